"""What an objective refuses, and what it makes of numbers that are not finite."""

import numpy as np
import pytest

from cells import Elman, Network
from network_problems import LENGTHS, problem
from objective_problems import BOTH, LOSSES, STACK

pytestmark = pytest.mark.usefixtures("small_batches_are_cut_into_shares_too")


# ------------------------------------------------------------------------------------------------- not finite


@pytest.mark.compiled
@pytest.mark.parametrize("loss", LOSSES)
def test_parameters_that_blow_up_give_a_loss_that_is_not_finite(loss):
    network = Network(Elman(2, 3, "relu"), n_out=2, loss=loss)
    ours = problem(network, [30, 20])
    for theta in (ours.theta * 1e200, np.full_like(ours.theta, np.nan), np.full_like(ours.theta, np.inf)):
        objective = ours.objective()
        found = objective.value_and_grad(theta)
        assert not np.isfinite(found.loss_sum)
        assert not np.isfinite(found.grad).all()
        assert not np.isfinite(objective.value(theta).loss_sum)
        assert not np.isfinite(objective.linearize(theta).gauss_newton(ours.theta)).all()
    assert np.isfinite(objective.value(ours.theta).loss_sum)  # nothing of it is left behind


@pytest.mark.compiled
def test_a_direction_that_is_not_finite_gives_a_product_that_is_not():
    ours = problem(STACK)
    linear = ours.objective().linearize(ours.theta)
    assert not np.isfinite(linear.gauss_newton(np.full_like(ours.theta, np.nan))).all()
    assert np.isfinite(linear.gauss_newton(ours.theta)).all()


# ---------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"clip_signal": 0.0}, ValueError, r"clip_signal must be a finite number > 0, got 0.0"),
        ({"clip_signal": np.nan}, ValueError, r"clip_signal must be a finite number > 0, got nan"),
        ({"clip_signal": "1"}, TypeError, r"clip_signal must be a finite number > 0, got '1'"),
        ({"structural_distance": "cosine"}, ValueError, r"structural_distance must be one of 'matching', .*'cosine'"),
        ({"structural_mean": "time"}, ValueError, r"structural_mean must be one of 'sum_time', 'mean_time', got"),
        ({"n_jobs": 0}, ValueError, r"n_jobs must be None or an integer"),
        ({"recompute": "yes"}, TypeError, r"recompute must be True or False, got 'yes'"),
    ],
)
def test_options_that_are_not_there_are_named(options, kind, says):
    with pytest.raises(kind, match=says):
        problem(STACK).objective(**options)


def test_what_needs_one_direction_says_so():
    ours = problem(BOTH)
    for options in ({"recompute": True}, {"clamped": (np.array([0]), [np.zeros((T, 1)) for T in LENGTHS])}):
        with pytest.raises(NotImplementedError, match="need a network in one direction, got bidirectional=True"):
            ours.objective(**options)


@pytest.mark.parametrize(
    ("theta", "came"),
    [
        (lambda theta: theta.astype(np.float32), r"float32 of shape \(\d+,\)"),
        (lambda theta: theta[:-1], r"float64 of shape \(\d+,\)"),
        (lambda theta: theta[None], r"float64 of shape \(1, \d+\)"),
        (lambda theta: theta.tolist(), "list"),
    ],
)
def test_parameters_that_do_not_fit_are_named(theta, came):
    ours = problem(STACK)
    objective = ours.objective()
    linear = objective.linearize(ours.theta)
    says = rf"must be a float64 array of shape \({ours.theta.size},\), got {came}"
    for ask in (objective.value, objective.value_and_grad, objective.linearize, linear.gauss_newton):
        with pytest.raises(ValueError, match=says):
            ask(theta(ours.theta))


@pytest.mark.parametrize("structural", [-0.1, np.nan, np.inf, "0.1"])
def test_weights_of_structural_damping_must_be_numbers_from_zero_on(structural):
    ours = problem(STACK)
    with pytest.raises((ValueError, TypeError), match="structural must be a finite number >= 0, got"):
        ours.objective().linearize(ours.theta).gauss_newton(ours.theta, structural=structural)


@pytest.mark.parametrize(
    ("batch", "came"),
    [
        ([], "float64 of shape"),
        ([0.5], "float64"),
        ([[0]], r"shape \(1, 1\)"),
        ([3], "got 3 to 3"),
        ([10**9], "got 1000000000 to 1000000000"),
        ([0, 2**63], "got 0 to 9223372036854775808"),
        ([-1], "got -1 to -1"),
    ],
)
def test_batches_that_are_not_there_are_named(batch, came):
    ours = problem(STACK)
    for ask in (ours.objective().value, ours.objective().value_and_grad, ours.objective().linearize):
        with pytest.raises(ValueError, match=rf"batch must .*{came}"):
            ask(ours.theta, np.array(batch, np.uint64 if batch == [0, 2**63] else None))


def test_squared_gradients_need_the_states():
    ours = problem(STACK)
    with pytest.raises(NotImplementedError, match="recompute=True"):
        ours.objective(recompute=True).linearize(ours.theta).squared_gradients()
