"""The Hessian-free method on problems whose answers are known."""

import numpy as np
import pytest
import scipy.optimize

from objectives import bowl, logistic_regression, small_net, valley
from optim import CGSettings, HessianFree, LevenbergMarquardt, StopReason, from_callables, minimize

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
