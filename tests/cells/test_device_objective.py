"""Objectives on a GPU, on the stand-in for CuPy: the numbers of the processor's kernels."""

import shutil
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from cells import (
    GRU,
    LSTM,
    CharRNN,
    Elman,
    Network,
    RNNClassifier,
    RNNRegressor,
    SequenceObjective,
    Stepper,
    TruncatedObjective,
    predict,
    states,
    train,
)
from cells.device import device_layer
from cells.device.device_layer import has_array_code
from cells.device.device_matrices import DeviceMatrices
from cells.device.device_run import DeviceRun, bytes_of_a_step
from cells.device.step_by_step import StepByStep
from cells.passes.time_loops import STEPS, backward_step, forward_step, rforward_step
from cells.shares.carried import state_width
from contracts import CELLS, every
from cuda_host import standin
from network_problems import problem
from objective_problems import DISTANCES, FLOAT32, NETWORKS, answers, made
from optim import HessianFree

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, which builds the kernels for the host")
# The same sums in other orders, and activations off by some units in the last place, a few steps deep.
SAME = {"rtol": 1e-11, "atol": 1e-12}


def assert_same_there(case, theta, batch=None, tolerance=SAME, **options):
    """The device's answers are the processor's, for parameters of NumPy and for those of CuPy."""
    expected = answers(case.objective(**options), theta, batch)
    with standin.installed() as cupy:
        there = case.objective(**options, device="gpu")
        came = answers(there, theta, batch)
        found = there.value_and_grad(cupy.asarray(theta), batch)
        assert isinstance(found.grad, cupy.ndarray) and isinstance(came["grad"], np.ndarray)
        assert_array_equal(found.grad.get(), came["grad"])
    for name, value in expected.items():
        assert_allclose(came[name], value, **tolerance, err_msg=name)
        assert np.asarray(came[name]).dtype == np.asarray(value).dtype


@every(CELLS)
def test_every_cell_in_array_code_has_the_numbers_of_its_kernels(make, monkeypatch):
    monkeypatch.setattr(device_layer, "scan_of", lambda cell, places, dtype: StepByStep(places))
    cell = make(3, 4)
    made_up = problem(Network(cell, n_out=2), (3, 1, 4))
    assert_same_there(made_up, made_up.theta)


@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)
def test_every_network_has_the_numbers_of_its_kernels(case):
    ours, _, _ = made(case)
    assert_same_there(ours, ours.theta)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("mean", ["sum_time", "mean_time"])
def test_structural_damping_and_clipped_signals_are_those_of_the_kernels(distance, mean):
    ours, _, _ = made(NETWORKS["clamped"])
    options = {"structural_distance": distance, "structural_mean": mean, "clip_signal": 0.05}
    assert_same_there(ours, ours.theta, np.array([2, 0]), **options)


def test_float32_stays_float32_and_near_float64():
    ours = problem(Network(LSTM(2, 3), n_out=2, loss="softmax"), dtype=np.float32)
    expected = answers(ours.objective(dtype=np.float64), ours.theta.astype(float))
    with standin.installed():
        came = answers(ours.objective(device="gpu"), ours.theta)
    assert came["grad"].dtype == came["product"].dtype == np.float32
    for name, value in expected.items():
        assert_allclose(came[name], value, rtol=FLOAT32, atol=FLOAT32, err_msg=name)


def test_squared_gradients_are_those_of_single_sequences():
    ours, _, _ = made(NETWORKS["stack-last"])
    expected = ours.objective().linearize(ours.theta).squared_gradients()
    with standin.installed():
        assert_allclose(ours.objective(device="gpu").linearize(ours.theta).squared_gradients(), expected, **SAME)


@pytest.mark.parametrize("case", ["both-directions-last", "given-state", "index", "stack"])
def test_predictions_states_and_final_states_are_those_of_the_processor(case):
    ours, _, _ = made(NETWORKS[case])
    network, theta, X = ours.network, ours.theta, ours.X
    more = {} if network.bidirectional else {"initial_state": np.linspace(-1, 1, state_width(network))}
    expected = predict(network, theta, X, return_state=True, **more), states(network, theta, X, **more)
    with standin.installed() as cupy:
        there = cupy.asarray(theta), [cupy.asarray(x) for x in X]
        placed = {name: cupy.asarray(value) for name, value in more.items()}
        of_numpy = predict(network, theta, X, return_state=True, device="gpu", **more)
        of_cupy = predict(network, *there, return_state=True, **placed)
        h = states(network, *there, **placed)
        for rows, moved in zip([*of_numpy[0], of_numpy[1]], [*of_cupy[0], of_cupy[1]], strict=True):
            assert isinstance(moved, cupy.ndarray)
            assert_array_equal(rows, moved.get())
        h = [part.get() for part in h]
    for came, wanted in zip(
        [*of_numpy[0], of_numpy[1], *h], [*expected[0][0], expected[0][1], *expected[1]], strict=True
    ):
        assert_allclose(came, wanted, **SAME)


@pytest.mark.parametrize("options", [{}, {"k2": 3, "restart_every": 2, "clip_signal": 0.1}])
def test_windows_of_long_sequences_are_those_of_the_kernels(options):
    network = Network([GRU(2, 3), LSTM(3, 2)], n_out=2, loss="logistic", learn_initial_state=True)
    ours = problem(network, (7, 4, 5), masked="outputs")
    make = partial(TruncatedObjective, network, ours.X, ours.y, k1=2, mask=ours.options["mask"], **options)
    expected, carried = make(), None
    with standin.installed() as cupy:
        there = make(device="gpu")
        for number in range(expected.n_windows):
            one = expected.window(ours.theta, number, carried)
            other = there.window(cupy.asarray(ours.theta), number, carried)
            assert_allclose(other.evaluation.grad.get(), one.evaluation.grad, **SAME)
            assert_allclose(other.evaluation.loss_sum, one.evaluation.loss_sum, **SAME)
            assert_allclose(other.carried, one.carried, **SAME)
            carried = one.carried


def test_characters_are_learnt_and_scored_as_on_the_processor():
    text, small = "abcabba" * 6, {"cell": "gru", "n_units": 3, "n_steps": 5, "n_streams": 2, "max_epochs": 2}
    model = CharRNN(**small, dtype=np.float64, random_state=0)
    expected = model.fit(text).score(text)
    with standin.installed():
        assert_allclose(clone(model).set_params(device="gpu").fit(text).score(text), expected, rtol=1e-9)


def test_steps_on_parameters_of_cupy_are_those_of_numpy():
    ours, _, _ = made(NETWORKS["gru-softmax"])
    expected = Stepper(ours.network, ours.theta).step(np.ones(2))
    with standin.installed() as cupy:
        stepper = Stepper(ours.network, cupy.asarray(ours.theta))
        assert_array_equal(stepper.step(cupy.asarray(np.ones(2))).get(), expected)
        assert isinstance(stepper.state, cupy.ndarray)


def test_training_by_hessian_free_on_vectors_of_cupy_goes_the_way_of_the_processor():
    ours, _, _ = made(NETWORKS["gru-softmax"])
    method = HessianFree(damping=0.3, structural=0.1, cg=5)
    expected = train(ours.objective(), ours.theta, method, max_iterations=2, validation=ours.objective())
    with standin.installed() as cupy:
        X, y = [cupy.asarray(x) for x in ours.X], [cupy.asarray(labels) for labels in ours.y]
        objective = SequenceObjective(ours.network, X, y)
        found = train(objective, cupy.asarray(ours.theta), method, max_iterations=2, validation=objective)
        assert isinstance(found.theta, cupy.ndarray)
        assert_allclose(found.theta.get(), expected.theta, rtol=1e-7, atol=1e-9)
        assert_allclose(found.best_validation, expected.best_validation, rtol=1e-9)


@dataclass(frozen=True)
class Foreign(Elman):
    """A cell whose step uses a module: no array code can be made of it."""

    def weights(self, matrices):
        return ForeignWeights(*super().weights(matrices))


class ForeignWeights(NamedTuple):
    recurrent: np.ndarray
    recurrent_back: np.ndarray
    activation: tuple


def _with_a_module(weights, tape, now, before, after, n):
    np.tanh(tape.z[now:], out=tape.h[after:])


def _with_a_choice(weights, tape, now, before, after, n):
    for row in range(n):
        for j in range(tape.h.shape[1]):
            tape.h[after + row, j] = tape.z[now + row, j] if tape.z[now + row, j] > 0 else 0.0


@pytest.mark.slow
def test_a_cell_that_speaks_in_other_words_is_run_by_the_processor(monkeypatch):
    own = type(DeviceMatrices(Elman(1, 1), np.zeros(3)).weights)
    for kind in (forward_step, backward_step, rforward_step):
        monkeypatch.setitem(STEPS, (kind, ForeignWeights), STEPS[kind, own])
    assert has_array_code(Foreign(2, 3))
    ours = problem(Network(Foreign(2, 3), n_out=2))
    expected = answers(problem(Network(Elman(2, 3), n_out=2)).objective(), ours.theta)
    for other in (_with_a_choice, _with_a_module):
        monkeypatch.setitem(STEPS, (forward_step, ForeignWeights), other)
        has_array_code.cache_clear()
        assert not has_array_code(Foreign(2, 3))
    with standin.installed() as cupy:
        objective = ours.objective(device="gpu")
        monkeypatch.setitem(STEPS, (forward_step, ForeignWeights), STEPS[forward_step, own])  # what is compiled
        came, found = answers(objective, ours.theta), objective.value_and_grad(cupy.asarray(ours.theta))
        assert_array_equal(found.grad.get(), expected["grad"])
    for name, value in expected.items():
        assert_array_equal(came[name], value)


@pytest.mark.parametrize("case", ["stack-last", "index"])
def test_a_batch_that_has_no_room_at_once_is_gone_through_in_portions(case, monkeypatch):
    ours, _, _ = made(NETWORKS[case])
    of_a_step = bytes_of_a_step(ours.network, np.float64, by_index=case == "index")
    squares = ours.objective().linearize(ours.theta).squared_gradients()
    asked = []
    monkeypatch.setattr(DeviceRun, "_check_room", lambda run: asked.append(run.data.rows.n_rows))
    monkeypatch.setattr(standin, "FREE_BYTES", 5 * of_a_step)
    assert_same_there(ours, ours.theta)
    assert set(asked) == {4}  # of the lengths 3, 1 and 4, in two portions
    with standin.installed():
        there = ours.objective(device="gpu").linearize(ours.theta)
        assert_allclose(there.squared_gradients(), squares, **SAME)


def test_a_sequence_that_has_no_room_on_the_device_is_refused(monkeypatch):
    ours, _, _ = made(NETWORKS["stack"])
    monkeypatch.setattr(standin, "FREE_BYTES", 100)
    with (
        standin.installed(),
        pytest.raises(MemoryError, match=r"4 steps of .* parameters, .* use fewer or shorter sequences"),
    ):
        ours.objective(device="gpu").value(ours.theta)


def test_data_and_parameters_of_two_places_are_refused():
    ours, _, _ = made(NETWORKS["gru-softmax"])
    with standin.installed() as cupy:
        theta = cupy.asarray(ours.theta)
        with pytest.raises(TypeError, match="theta must live where the data do, in NumPy arrays, got one of CuPy"):
            ours.objective().value(theta)
        X = [cupy.asarray(x) for x in ours.X]
        with pytest.raises(TypeError, match="must live in one place, got cupy and numpy"):
            SequenceObjective(ours.network, X, ours.y)
        with pytest.raises(TypeError, match="must live in one place, got cupy and numpy"):
            predict(ours.network, ours.theta, X)
        with pytest.raises(ValueError, match="device must be None or 'gpu' for CuPy's arrays, got 'cpu'"):
            predict(ours.network, theta, X, device="cpu")


def test_estimators_learn_on_the_device_what_they_learn_on_the_processor():
    X, y = np.random.default_rng(0).standard_normal((4, 6, 2)), np.arange(4) % 2
    for make, targets in ((RNNRegressor, X[:, :, 0]), (RNNClassifier, y)):
        model = make(3, cell="gru", max_epochs=2, random_state=0, targets="all" if make is RNNRegressor else "last")
        ask = "predict" if make is RNNRegressor else "predict_proba"
        expected = getattr(model.fit(X, targets), ask)(X)
        with standin.installed() as cupy:
            found = getattr(clone(model).set_params(device="gpu").fit(X, targets), ask)(X)
            there = clone(model).fit(cupy.asarray(X), cupy.asarray(targets))
            assert_array_equal(getattr(there, ask)(cupy.asarray(X)).get(), found)
        assert_allclose(found, expected, rtol=1e-9)
