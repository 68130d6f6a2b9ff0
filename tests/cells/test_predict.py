"""Predictions and states: every form of the data, however long, cut or continued, the same bits."""

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import LSTM, Elman, Network, SequenceObjective, Stepper, initial_theta, predict, states
from cells.predict import _ROWS
from cells.shares.carried import state_width
from contracts import ONE_OF_EACH, every

SUMS = {"rtol": 1e-12, "atol": 1e-12}  # sums of some tens of float64 terms in another order
SINGLE_SUMS = {"rtol": 1e-5, "atol": 1e-6}


def assert_same_bits(found, expected):
    """Equal; with the JIT switched off, when NumPy sums in an order that depends on the shape, nearly equal."""
    if not numba.config.DISABLE_JIT:
        assert_array_equal(found, expected)
    assert_allclose(found, expected, **(SINGLE_SUMS if np.asarray(found).dtype == np.float32 else SUMS))


def make(network, dtype=np.float64, seed=0):
    return initial_theta(network, "sparse", rng=np.random.default_rng(seed), dtype=dtype)


def sequences(lengths, n_in=3, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((length, n_in)) for length in lengths]


CARRIED = {name: build for name, build in ONE_OF_EACH.items() if not build(3, 3).n_fed_back}


@every(CARRIED)
def test_a_step_at_a_time_is_the_whole_sequence(build):
    network = Network(build(3, 5), n_out=2, loss="logistic")
    theta, (X,) = make(network), sequences([9])
    stepper = Stepper(network, theta)
    found = np.array([stepper.step(x)[0] for x in X])
    assert_same_bits(found, predict(network, theta, [X])[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_of_one_hot_inputs_are_the_whole_sequence(dtype):
    network = Network([LSTM(6, 5), LSTM(5, 4)], n_out=6, loss="softmax", learn_initial_state=True)
    theta = make(network, dtype) + dtype(0.1)
    X = np.random.default_rng(0).integers(0, 6, (2, 11))
    stepper = Stepper(network, theta, n_sequences=2)
    found = np.array([stepper.step(x).copy() for x in X.T]).swapaxes(0, 1)
    assert found.dtype == dtype
    assert_same_bits(found, predict(network, theta, X))


def test_predictions_have_the_loss_that_the_objective_says():
    network = Network(LSTM(3, 4), n_out=2, loss="squared")
    theta, X = make(network), sequences([5, 8, 1])
    y = sequences([5, 8, 1], 2, seed=7)
    p = predict(network, theta, X)
    by_hand = sum(0.5 * ((a - b) ** 2).sum() for a, b in zip(p, y, strict=True))
    assert_allclose(SequenceObjective(network, X, y).value(theta).loss_sum, by_hand, **SUMS)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("targets", ["all", "last"])
def test_a_batch_is_a_loop_over_its_members(bidirectional, targets):
    width = 8 if bidirectional else 4
    layers = [Elman(3, 4), Elman(width, 4)]
    network = Network(layers, n_out=2, bidirectional=bidirectional, targets=targets)
    theta, X = make(network), sequences([5, 1, 8, 40, 40, 2] * 9)
    batch, states_of_batch = predict(network, theta, X, n_jobs=2), states(network, theta, X)
    for i, x in enumerate(X):
        assert_same_bits(batch[i], predict(network, theta, [x])[0])
        assert_same_bits(states_of_batch[i], states(network, theta, [x])[0])


def test_the_readout_of_the_states_is_the_prediction():
    network = Network(LSTM(3, 4), n_out=2, bidirectional=True)
    theta, X = make(network), sequences([6, 3])
    views = network.views(theta)
    for h, p in zip(states(network, theta, X), predict(network, theta, X), strict=True):
        assert_allclose(h @ views["readout.weights"] + views["readout.bias"], p, **SUMS)


def test_sequences_longer_than_a_stretch_are_as_if_never_cut():
    network = Network(Elman(3, 4), n_out=2)
    theta, (X,) = make(network), sequences([2 * _ROWS + 17])
    stepper = Stepper(network, theta)
    assert_same_bits([stepper.step(x)[0].copy() for x in X], predict(network, theta, [X])[0])


def test_arrays_come_back_as_arrays_and_padding_is_not_read():
    network = Network(Elman(3, 4), n_out=2)
    theta, X = make(network), np.random.default_rng(0).standard_normal((4, 6, 3))
    assert predict(network, theta, X).shape == (4, 6, 2)
    X[1, 2:] = np.nan
    short = predict(network, theta, X, lengths=[6, 2, 6, 1])
    assert [len(p) for p in short] == [6, 2, 6, 1]
    assert_same_bits(short[1], predict(network, theta, [X[1, :2]])[0])


@pytest.mark.parametrize("targets", ["all", "last"])
def test_a_state_handed_over_continues_each_sequence(targets):
    network = Network([LSTM(3, 4), Elman(4, 5)], n_out=2, targets=targets)
    theta, X = make(network), sequences([9, 4, 6])
    whole, after = predict(network, theta, X, return_state=True)
    _, middle = predict(network, theta, [x[:3] for x in X], return_state=True)
    rest, end = predict(network, theta, [x[3:] for x in X], initial_state=middle, return_state=True)
    assert middle.shape == (3, state_width(network))
    assert_same_bits(end, after)
    for a, b in zip(rest, whole, strict=True):
        assert_same_bits(a, b[3:] if targets == "all" else b)


def test_a_stepper_takes_and_gives_states():
    network = Network(LSTM(3, 4), n_out=2)
    theta, (X,) = make(network), sequences([6])
    one, other = Stepper(network, theta), Stepper(network, theta)
    one.step(X[0])
    other.state = one.state[0]
    assert_same_bits(one.step(X[1]).copy(), other.step(X[1]))


def test_a_stepper_does_not_see_later_changes_of_theta():
    network = Network(Elman(3, 4), n_out=2)
    theta, (X,) = make(network), sequences([1])
    stepper, expected = Stepper(network, theta), predict(network, theta, [X])[0]
    theta[:] = 0.0
    assert_same_bits(stepper.step(X), expected)


@pytest.mark.parametrize("state", [np.zeros(3), np.zeros((2, 8)), np.full(8, np.nan), np.array(["a"] * 8)])
def test_states_that_do_not_fit_are_refused(state):
    network = Network(LSTM(3, 4), n_out=2)
    with pytest.raises((ValueError, TypeError), match="initial_state"):
        predict(network, make(network), sequences([5]), initial_state=state)


@pytest.mark.parametrize(
    "network",
    [
        Network(Elman(3, 4), n_out=2, bidirectional=True),
        Network(LSTM(3, 4, has_full_gate_recurrence=True), n_out=2),
    ],
)
def test_a_network_whose_states_are_not_all_is_run_whole_and_not_stepped(network):
    theta, (X,) = make(network), sequences([_ROWS + 5])
    y = np.zeros((len(X), 2))
    by_hand = 0.5 * (predict(network, theta, [X])[0] ** 2).sum()
    assert_allclose(SequenceObjective(network, [X], [y]).value(theta).loss_sum, by_hand, rtol=1e-10)
    for refused in (
        lambda: Stepper(network, theta),
        lambda: predict(network, theta, [X], initial_state=np.zeros(state_width(network))),
    ):
        with pytest.raises(NotImplementedError, match="one direction"):
            refused()
