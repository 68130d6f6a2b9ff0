"""What must not change the answers of an objective: forms of the data, batches, shares, threads, what came before."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_limits

import cells.shares.sharing
from cells import GRU, LSTM, Elman, Network, SequenceObjective
from network_problems import LENGTHS, problem
from objective_problems import NETWORKS, REORDERED, STACK, TARGETS, answers, assert_same_answers, made, many, stacks
from optim import checks

pytestmark = pytest.mark.usefixtures("small_batches_are_cut_into_shares_too")


@stacks
def test_ragged_is_padded_with_lengths_or_with_a_mask(network):
    ours = problem(network)
    ragged = ours.objective()

    def padded(parts, filler):
        return np.stack([np.concatenate([p, np.full((max(LENGTHS) - len(p), *p.shape[1:]), filler)]) for p in parts])

    is_last = network.targets == "last"
    X = padded(ours.X, np.nan)
    y = ours.y if is_last else padded(ours.y, -1)
    with_lengths = SequenceObjective(network, X, y, lengths=LENGTHS)
    assert_same_answers(ragged, with_lengths, exactly=True)
    if not is_last:
        mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
        found = SequenceObjective(network, np.nan_to_num(X), y, mask=mask).value_and_grad(ours.theta)
        assert found.weight == ragged.value(ours.theta).weight
        assert_allclose(found.grad, ragged.value_and_grad(ours.theta).grad, **REORDERED)


@stacks
def test_order_of_sequences_is_of_no_account(network):
    ours = problem(network, masked=True)
    order = [2, 0, 1]
    permuted = SequenceObjective(
        network, *([part[i] for i in order] for part in (ours.X, ours.y)), mask=[ours.options["mask"][i] for i in order]
    )
    assert_same_answers(ours.objective(), permuted)
    assert_same_answers(ours.objective(), ours.objective(), batches=(None, np.array(order)))


@pytest.mark.parametrize("name", ["stack", "both-directions-last", "given-state", "clamped", "index"])
def test_a_batch_is_an_objective_of_its_own(name):
    ours, _, _ = made(NETWORKS[name])
    batch = np.array([2, 0])
    options = dict(ours.options)
    for key in ("initial_state", "clamped"):
        if key in options:
            options[key] = (options[key][0], [options[key][1][i] for i in batch])
    if "mask" in options:
        options["mask"] = [options["mask"][i] for i in batch]
    alone = SequenceObjective(ours.network, [ours.X[i] for i in batch], [ours.y[i] for i in batch], **options)
    assert_same_answers(alone, ours.objective(), batches=(None, batch), exactly=True)


def test_a_sequence_twice_in_a_batch_counts_twice():
    ours = problem(STACK)
    once, twice = (ours.objective().value_and_grad(ours.theta, np.array(batch)) for batch in ([1], [1, 1]))
    assert twice.weight == 2 * once.weight
    assert_allclose(twice.grad, 2 * once.grad, **REORDERED)


@stacks
def test_classes_are_one_hot_inputs(network):
    ours = problem(network, index=True)
    dense = SequenceObjective(network, [np.eye(3)[x] for x in ours.X], ours.y)
    assert_same_answers(dense, ours.objective())


@stacks
def test_shares_make_the_whole(network, monkeypatch):
    ours = many(network)
    whole, shared = ours.objective(), ours.objective()
    expected, n_shares = {}, {}
    for objective, least in ((whole, 64), (shared, 16)):
        monkeypatch.setattr(cells.shares.sharing, "MIN_SHARE", least)
        n_shares[least] = len(objective._batch(None).shares)
        expected[least] = answers(objective, ours.theta)
    assert n_shares[64] == 1 < n_shares[16]
    for name in expected[64]:
        assert_allclose(expected[16][name], expected[64][name], **REORDERED)


@stacks
def test_one_and_two_threads_give_the_same_bits(network):
    ours = many(network)
    assert_same_answers(*(ours.objective(n_jobs=n_jobs) for n_jobs in (1, 2)), exactly=True)
    squares = [ours.objective(n_jobs=n_jobs).linearize(ours.theta).squared_gradients() for n_jobs in (1, 2)]
    assert_array_equal(*squares)


@pytest.mark.compiled
def test_squared_gradients_have_the_same_bits_for_any_number_of_threads_of_blas():
    ours = problem(Network(LSTM(3, 64), n_out=65, loss="softmax"), [300])
    linear, squares = ours.objective().linearize(ours.theta), []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            squares.append(linear.squared_gradients())
    assert_array_equal(*squares)


def test_passes_of_one_linearization_on_two_threads_do_not_meet():
    ours = many(STACK)
    expected = ours.objective(n_jobs=1).linearize(ours.theta).squared_gradients()
    linear = ours.objective(n_jobs=2).linearize(ours.theta)
    product = linear.gauss_newton(ours.theta)
    for _ in range(10):
        assert_array_equal(linear.squared_gradients(), expected)
        assert_array_equal(linear.gauss_newton(ours.theta), product)


def test_the_same_call_gives_the_same_bits_whatever_came_between():
    ours = many(STACK)
    objective, fresh = ours.objective(), ours.objective()
    expected = answers(fresh, ours.theta)
    for batch in ([3], [0, 1, 2, 5, 7], list(range(30)), [39, 38], [4] * 3):
        answers(objective, 2 * ours.theta, np.array(batch))
    came = answers(objective, ours.theta)
    for name in expected:
        assert_array_equal(came[name], expected[name])


@pytest.mark.parametrize("network", [Network(LSTM(1, 1), n_out=1), Network(Elman(1, 1), n_out=1, targets="last")])
def test_the_smallest_network_and_one_step_are_no_special_case(network):
    ours = problem(network, [1])
    checks.check(ours.objective(), ours.theta, structural=0.3)
    assert_same_answers(ours.objective(), ours.objective(recompute=True))


def test_a_bound_on_the_signal_changes_the_gradient_alone():
    ours = problem(STACK)
    free, bounded = ours.objective(), ours.objective(clip_signal=1e-3)
    (plainly, cut) = (answers(objective, ours.theta) for objective in (free, bounded))
    assert cut["loss"] == plainly["loss"]
    assert_array_equal(cut["product"], plainly["product"])
    assert not np.allclose(cut["grad"], plainly["grad"])
    assert_array_equal(ours.objective(clip_signal=1e9).value_and_grad(ours.theta).grad, plainly["grad"])


def test_a_bound_on_the_signal_holds_at_every_step():
    # One unit, h = a, r = 1: the derivative by each state is the sum of those of the steps after it, cut to the bound.
    network = Network(Elman(1, 1, "identity"), n_out=1, targets="last")
    theta = np.array([1.0, 2.0, 0.0, 1.0, 0.0])  # input, recurrent, bias, readout
    objective = SequenceObjective(network, np.ones((1, 3, 1)), np.zeros((1, 1)), clip_signal=3.0)
    h = [0.0, 1.0, 3.0, 7.0]
    signal = [3.0, 3.0, 3.0]  # 7 cut to 3; 3 x 2 cut to 3; again
    grad = objective.value_and_grad(theta).grad
    assert_array_equal(grad[:3], [sum(signal), sum(s * before for s, before in zip(signal, h, strict=False)), 9.0])


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("targets", TARGETS)
def test_a_mask_of_outputs_that_are_weighed_alike_is_a_mask_of_rows(loss, targets):
    ours = problem(Network(LSTM(2, 3), n_out=3, loss=loss, targets=targets), masked=True)
    mask = [np.repeat(np.asarray(weights)[..., None], 3, axis=-1) for weights in ours.options["mask"]]
    assert_same_answers(ours.objective(), ours.objective(mask=mask))


def test_a_mask_of_outputs_holds_where_states_are_computed_again():
    ours = problem(Network(GRU(2, 3), n_out=2), masked="outputs")
    assert_same_answers(ours.objective(), ours.objective(recompute=True))
