"""Windows of long sequences: the gradient that is meant, states handed on, the same bits for any number of threads."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import GRU, LSTM, Elman, Network, SequenceObjective, TruncatedObjective, initial_theta, predict
from contracts import ONE_OF_EACH, every
from optim.checks import gradient

SUMS = {"rtol": 1e-11, "atol": 1e-12}  # sums of some hundreds of float64 terms in another order
CARRIED = {name: build for name, build in ONE_OF_EACH.items() if not build(3, 3).n_fed_back}


def problem(cell=None, n=3, T=12, seed=0, **choices):
    rng = np.random.default_rng(seed)
    network = Network(cell or LSTM(4, 5), n_out=4, loss="softmax", **choices)
    theta = initial_theta(network, "sparse", rng=rng) + 0.1 * rng.standard_normal(network.n_params)
    numbers = rng.integers(0, 4, (n, T + 1))
    return network, theta, numbers[:, :-1], numbers[:, 1:]


@every(CARRIED)
def test_one_window_as_long_as_the_sequences_is_the_whole_gradient(build):
    network, theta, X, y = problem(build(4, 4), learn_initial_state=True)
    whole = SequenceObjective(network, X, y, dtype=np.float64).value_and_grad(theta)
    found = TruncatedObjective(network, X, y, k1=12, k2=12, dtype=np.float64).value_and_grad(theta)
    assert_array_equal(found.grad, whole.grad)
    assert (found.loss_sum, found.weight) == (whole.loss_sum, whole.weight)


@pytest.mark.parametrize("k1", [1, 3, 5, 12])
def test_reaching_back_to_the_beginning_is_the_whole_gradient_whatever_the_windows(k1):
    network, theta, X, y = problem(learn_initial_state=True)
    whole = SequenceObjective(network, X, y, dtype=np.float64).value_and_grad(theta)
    found = TruncatedObjective(network, X, y, k1=k1, k2=12, dtype=np.float64).value_and_grad(theta)
    assert_allclose(found.grad, whole.grad, **SUMS)


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (2, 7), (5, 5), (5, 6), (40, 40)])
def test_the_loss_of_all_windows_is_the_loss_whatever_is_cut(k1, k2):
    network, theta, X, y = problem()
    whole = SequenceObjective(network, X, y, dtype=np.float64).value(theta)
    found = TruncatedObjective(network, X, y, k1=k1, k2=k2, dtype=np.float64)
    assert_allclose(found.value(theta).loss_sum, whole.loss_sum, **SUMS)
    assert_allclose(found.value_and_grad(theta).loss_sum, whole.loss_sum, **SUMS)


def test_a_windows_gradient_is_that_of_its_loss_with_the_carried_state_held_fixed():
    network, theta, X, y = problem(GRU(4, 5))
    objective = TruncatedObjective(network, X, y, k1=4, k2=6, dtype=np.float64)
    carried = objective.window(theta, 0, None).carried
    window = objective.window(theta, 1, carried)  # steps 4 to 8 count, the run begins at step 2

    def loss(point):
        return objective.window(point, 1, carried, wants_grad=False).evaluation.loss_sum

    direction = np.random.default_rng(1).standard_normal(theta.size)
    step = 1e-6
    slope = (loss(theta + step * direction) - loss(theta - step * direction)) / (2 * step)
    assert_allclose(window.evaluation.grad @ direction, slope, rtol=1e-6)


def test_truncation_changes_the_gradient():
    network, theta, X, y = problem()
    whole = SequenceObjective(network, X, y, dtype=np.float64).value_and_grad(theta).grad
    found = TruncatedObjective(network, X, y, k1=3, dtype=np.float64).value_and_grad(theta).grad
    assert np.linalg.norm(found - whole) > 1e-3 * np.linalg.norm(whole)


def test_the_whole_gradient_passes_the_public_check():
    network, theta, X, y = problem(Elman(4, 3))
    objective = TruncatedObjective(network, X, y, k1=4, k2=12, dtype=np.float64)
    assert gradient(objective, theta).passed


def test_sequences_of_unequal_lengths_are_as_if_alone():
    network, theta, X, y = problem(n=4)
    lengths = [12, 3, 7, 4]
    parts = [x[:length] for x, length in zip(X, lengths, strict=True)]
    answers = [part[:length] for part, length in zip(y, lengths, strict=True)]
    found = TruncatedObjective(network, parts, answers, k1=3, k2=6, dtype=np.float64).value_and_grad(theta)
    padded = TruncatedObjective(network, X, y, lengths=lengths, k1=3, k2=6, dtype=np.float64).value_and_grad(theta)
    alone = [
        TruncatedObjective(network, [x], [a], k1=3, k2=6, dtype=np.float64) for x, a in zip(parts, answers, strict=True)
    ]
    # the run of a last, shorter window begins later where a sequence is alone: compare the losses there
    assert_allclose(found.loss_sum, sum(one.value(theta).loss_sum for one in alone), **SUMS)
    assert_array_equal(padded.grad, found.grad)
    assert found.weight == sum(lengths)


def test_masked_rows_do_not_count():
    network, theta, X, y = problem()
    mask = np.ones(X.shape)
    mask[0, 3:5] = 0.0
    mask[1, 7] = 2.0
    whole = SequenceObjective(network, X, y, mask=mask, dtype=np.float64).value(theta)
    found = TruncatedObjective(network, X, y, mask=mask, k1=4, dtype=np.float64).value(theta)
    assert_allclose(found.loss, whole.loss, **SUMS)


def test_a_window_of_which_nothing_counts_has_no_weight_and_hands_its_state_on():
    network, theta, X, y = problem()
    mask = np.ones(X.shape)
    mask[:, 4:8] = 0.0
    for reduction in ("mean", "sum"):
        objective = TruncatedObjective(network, X, y, mask=mask, k1=4, reduction=reduction, dtype=np.float64)
        plain = TruncatedObjective(network, X, y, k1=4, dtype=np.float64)
        first = objective.window(theta, 0, None).carried.copy()
        found, expected = (each.window(theta, 1, first) for each in (objective, plain))
        assert (found.evaluation.weight, found.evaluation.loss_sum) == (0.0, 0.0)
        assert not found.evaluation.grad.any()
        assert_array_equal(found.carried, expected.carried)


def test_single_outputs_may_be_masked():
    rng = np.random.default_rng(0)
    network = Network(GRU(2, 3), n_out=2)
    theta, X, y = initial_theta(network, rng=rng), rng.standard_normal((3, 12, 2)), rng.standard_normal((3, 12, 2))
    mask = rng.random(y.shape) < 0.6
    y[~mask] = np.nan
    whole = SequenceObjective(network, X, y, mask=mask).value(theta)
    for k1, k2 in ((12, 12), (4, 6)):
        found = TruncatedObjective(network, X, y, mask=mask, k1=k1, k2=k2).value(theta)
        assert_allclose([found.loss_sum, found.weight], [whole.loss_sum, whole.weight], **SUMS)


@pytest.mark.parametrize("number", [-1, 3, 10**9, 2**70, 0.5, True])
def test_windows_that_are_not_there_are_refused(number):
    network, theta, X, y = problem()
    objective = TruncatedObjective(network, X, y, k1=4, dtype=np.float64)
    with pytest.raises((ValueError, TypeError), match=r"number must be an integer in \[0, 2\], got"):
        objective.window(theta, number, objective.window(theta, 0, None).carried)


@pytest.mark.parametrize("carried", [None, np.zeros((3, 9)), np.zeros((2, 10)), np.zeros((3, 10), np.float32)])
def test_carried_states_that_do_not_fit_are_refused(carried):
    network, theta, X, y = problem()
    with pytest.raises(ValueError, match=r"carried must be a float64 array of shape \(3, 10\), got"):
        TruncatedObjective(network, X, y, k1=4, dtype=np.float64).window(theta, 1, carried)


def test_with_sums_the_weight_of_a_window_is_one():
    network, theta, X, y = problem()
    mean, total = (
        TruncatedObjective(network, X, y, k1=4, reduction=reduction, dtype=np.float64) for reduction in ("mean", "sum")
    )
    a, b = mean.window(theta, 0, None).evaluation, total.window(theta, 0, None).evaluation
    assert (a.weight, b.weight) == (12.0, 1.0)
    assert a.loss_sum == b.loss_sum


def test_the_given_state_continues_a_text():
    network, theta, X, y = problem(T=12)
    whole = TruncatedObjective(network, X, y, k1=4, dtype=np.float64)
    carried = None
    for number in range(2):
        carried = whole.window(theta, number, carried).carried
    rest = TruncatedObjective(network, X[:, 8:], y[:, 8:], k1=4, initial_state=carried, dtype=np.float64)
    one, other = whole.window(theta, 2, carried), rest.window(theta, 0, None)
    assert_array_equal(one.evaluation.grad, other.evaluation.grad)
    assert_array_equal(one.carried, other.carried)


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (5, 5), (4, 8), (12, 12)])
def test_after_the_last_window_the_states_are_those_at_the_end(k1, k2):
    network, theta, X, y = problem(n=3, T=12)
    objective = TruncatedObjective(network, X, y, k1=k1, k2=k2, dtype=np.float64)
    carried = None
    for number in range(objective.n_windows):
        carried = objective.window(theta, number, carried).carried
    assert_array_equal(carried, predict(network, theta, X, return_state=True)[1])


def test_restarts_come_to_each_sequence_in_its_turn():
    network, theta, X, y = problem(n=4, T=16, learn_initial_state=True)
    objective = TruncatedObjective(network, X, y, k1=2, restart_every=4, dtype=np.float64)
    alone = SequenceObjective(network, X[:, 6:8], y[:, 6:8], dtype=np.float64)
    far = np.full((4, 10), 0.3)
    started = [
        {
            i
            for i in range(4)
            if np.allclose(
                objective.window(theta, number, far).carried[i],
                TruncatedObjective(network, X[:, 2 * number :], y[:, 2 * number :], k1=2)
                .window(theta, 0, None)
                .carried[i],
            )
        }
        for number in range(1, 8)
    ]
    assert started == [{3}, {2}, {1}, {0}, {3}, {2}, {1}]
    # the one that restarts in window 3 is the one whose learnt start gets a gradient, and the right one
    name = "layer0.initial_h"
    found = network.views(objective.window(theta, 3, far).evaluation.grad)[name]
    assert_allclose(found, network.views(alone.value_and_grad(theta, np.array([1])).grad)[name], **SUMS)


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_and_repetition_do_not_change_a_bit(dtype):
    network, theta, X, y = problem(n=70, T=9)
    theta = theta.astype(dtype)
    objectives = [TruncatedObjective(network, X, y, k1=4, k2=6, dtype=dtype, n_jobs=n_jobs) for n_jobs in (1, 2, 5)]
    grads = [objective.value_and_grad(theta).grad for objective in (*objectives, objectives[1])]
    for grad in grads[1:]:
        assert_array_equal(grad, grads[0])


def test_the_back_propagated_signal_is_clipped():
    network, theta, X, y = problem(Elman(4, 5, activation="identity"))
    theta = theta * 3
    loose, tight = (
        TruncatedObjective(network, X, y, k1=12, clip_signal=limit, dtype=np.float64).value_and_grad(theta).grad
        for limit in (np.inf, 1e-3)
    )
    assert abs(network.views(tight)["layer0.bias"]).max() <= 3 * 12 * 1e-3
    assert abs(network.views(loose)["layer0.bias"]).max() > 3 * 12 * 1e-3


BAD = {
    "k1": {"k1": 0},
    "k1 must be an integer": {"k1": True},
    "k2": {"k1": 4, "k2": 3},
    "reduction": {"k1": 4, "reduction": "none"},
    "clip_signal": {"k1": 4, "clip_signal": 0.0},
    "restart_every": {"k1": 4, "restart_every": 0},
    "initial_state": {"k1": 4, "initial_state": np.zeros(3)},
    "mask": {"k1": 4, "mask": np.zeros((3, 12))},
}


@pytest.mark.parametrize("name", BAD)
def test_settings_that_cannot_be_meant_are_refused(name):
    network, _, X, y = problem()
    with pytest.raises((ValueError, TypeError), match=name):
        TruncatedObjective(network, X, y, **BAD[name])


@pytest.mark.parametrize(
    "network",
    [
        Network(LSTM(4, 5), n_out=4, loss="softmax", targets="last"),
        Network(LSTM(4, 5), n_out=4, loss="softmax", bidirectional=True),
        Network(LSTM(4, 5, has_full_gate_recurrence=True), n_out=4, loss="softmax"),
    ],
)
def test_networks_whose_state_cannot_be_carried_are_refused(network):
    _, _, X, y = problem()
    with pytest.raises(NotImplementedError, match="truncated"):
        TruncatedObjective(network, X, y[:, -1] if network.targets == "last" else y, k1=4)


def test_a_batch_of_windows_is_refused():
    network, theta, X, y = problem()
    with pytest.raises(ValueError, match="window"):
        TruncatedObjective(network, X, y, k1=4, dtype=np.float64).value(theta, np.array([0]))
