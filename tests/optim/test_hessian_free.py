"""The Hessian-free method on problems whose answers are known."""

import numpy as np
import pytest
import scipy.optimize

from objectives import bowl, logistic_regression, small_net, valley
from optim import Batches, CGSettings, HessianFree, LevenbergMarquardt, StopReason, from_callables, minimize

# The model of a quadratic is exact; predicted and actual falls differ by their rounding.
RATIO_RTOL = 1e-9


def test_a_quadratic_takes_one_step_of_at_most_as_many_products_as_dimensions():
    objective, _, s = bowl(np.geomspace(1.0, 10.0, 12))
    method = HessianFree(damping=1e-12, cg=CGSettings(progress=0.0, residual=1e-10), check=False)
    result = minimize(objective, np.zeros(12), method, max_iterations=1)
    assert result.trace["cg_iterations"][0] <= 12
    np.testing.assert_allclose(result.theta, s, rtol=1e-8)


def test_rosenbrocks_valley_is_followed_to_its_end():
    objective, start = valley()
    result = minimize(objective, start, HessianFree(), tolerance=1e-10)
    assert result.reason == StopReason.CONVERGED and result.n_iterations < 40
    np.testing.assert_allclose(result.theta, [1.0, 1.0], rtol=1e-8)


def test_ill_conditioned_logistic_regression_meets_newtons_method():
    objective, _, _ = logistic_regression()
    result = minimize(objective, np.zeros(5), HessianFree(), tolerance=1e-10)
    reference = scipy.optimize.minimize(
        lambda w: objective.value(w).loss, np.zeros(5),
        jac=lambda w: objective.value_and_grad(w).grad / 300, method="BFGS", options={"gtol": 1e-9},
    )  # fmt: skip
    assert result.reason == StopReason.CONVERGED
    np.testing.assert_allclose(result.theta, reference.x, rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "softmax", "squared of logistic"])
def test_matching_and_other_losses_are_learnt(loss):
    objective, theta = small_net(loss)
    start = objective.value(theta).loss
    result = minimize(objective, theta, HessianFree(structural=0.03), max_iterations=25)
    assert result.value < 0.02 * start


def test_ratio_of_a_quadratic_is_one_without_and_above_one_with_damping_in_the_model():
    objective, _, _ = bowl([1.0, 2.0, 5.0])
    for model, expected in (("undamped", 1.0), ("damped", None)):
        rule = LevenbergMarquardt(initial=3.0, model=model)
        ratios = minimize(objective, np.zeros(3), HessianFree(damping=rule), max_iterations=1).trace["reduction_ratio"]
        if expected:
            np.testing.assert_allclose(ratios, expected, rtol=RATIO_RTOL)
        else:
            assert 1.2 < ratios[0] < 2.0


def test_at_the_limit_of_the_dtype_a_run_has_converged():
    objective, start = valley()
    result = minimize(objective, start, HessianFree(), tolerance=0.0, max_iterations=500)
    assert result.reason == StopReason.CONVERGED
    flat = from_callables(lambda x: (1.0, np.zeros(2)), lambda x, v: v, n_params=2)
    assert minimize(flat, np.ones(2), HessianFree()).reason == StopReason.CONVERGED


# --------------------------------------------------------------------------------- losses without digits


def cancelling(c=(3.0, -2.0, 5.0)):
    """Σ exp(x - c) - 1 - (x - c): zero at its minimum, and made of terms that are not."""
    c = np.array(c)
    return from_callables(
        lambda x: (float(np.sum(np.exp(x - c) - 1 - (x - c))), np.exp(x - c) - 1),
        lambda x, v: np.exp(x - c) * v,
        n_params=c.size,
    )


@pytest.mark.parametrize("tolerance", [1e-8, 1e-10, 1e-13])
def test_below_the_cancellation_of_losses_the_gradient_decides(tolerance):
    result = minimize(cancelling(), np.zeros(3), HessianFree(), tolerance=tolerance)
    assert result.reason == StopReason.CONVERGED and result.n_iterations < 30
    assert np.linalg.norm(cancelling().value_and_grad(result.theta).grad) <= tolerance


def test_at_a_minimum_a_run_stays_there():
    objective = cancelling()
    method, theta = HessianFree(), np.zeros(3)
    state = method.init(theta)
    lengths = []
    for _ in range(100):
        theta, state, step = method.step(objective, theta, state)
        lengths.append(np.linalg.norm(objective.value_and_grad(theta).grad))
    assert min(lengths) < 1e-12 and max(lengths[40:]) < 1e-12
    assert step.reason == StopReason.CONVERGED


def test_a_gradient_of_another_function_does_not_decide():
    shifted = from_callables(lambda x: (0.5 * x @ x, x - 1e-3), lambda x, v: v, n_params=3)
    result = minimize(shifted, -np.ones(3), HessianFree(patience=3))
    assert result.reason == StopReason.NO_PROGRESS
    assert np.linalg.norm(result.theta) < 1e-2


def test_a_gradient_on_other_data_than_the_loss_does_not_decide():
    objective, _, _ = logistic_regression()
    half, other = np.arange(150), np.arange(150, 300)
    calls = []

    class Counted:
        n_params, n_sequences = 5, 300
        value, linearize = staticmethod(objective.value), staticmethod(objective.linearize)

        def value_and_grad(self, theta, batch=None):
            calls.append(batch)
            return objective.value_and_grad(theta, batch)

    theta = minimize(objective, np.zeros(5), HessianFree(), tolerance=1e-9, batches=lambda rng, t: other).theta
    method = HessianFree(check=False)
    result = method.step(Counted(), theta, method.init(theta), batches=Batches(half, half, other))
    assert result[2].row["step_length"] == 0.0 and len(calls) == 1
