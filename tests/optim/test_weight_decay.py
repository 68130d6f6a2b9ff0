"""Weight decay is the same problem with another loss: its gradient, its curvature, its diagonal."""

import numpy as np
import pytest

from objectives import logistic_regression, small_net
from optim import WeightDecay, checks

MASK = np.array([True, False, True, True, False])
SUM_RTOL = 1e-12


def test_everything_is_consistent():
    objective, _, _ = logistic_regression(scales=(1.0, 2.0, 0.5, 1.0, 1.5))
    decayed = WeightDecay(objective, 0.3, MASK)
    theta = np.linspace(-1.0, 1.0, 5)
    checks.check(decayed, theta, np.arange(40))
    assert decayed.n_params == 5 and decayed.n_sequences == 300


def test_terms_are_those_of_the_formula():
    objective, theta = small_net()
    mask = np.arange(theta.size) % 3 == 0
    decayed = WeightDecay(objective, 0.3, mask)
    batch = np.arange(7)
    plain, found = objective.value_and_grad(theta, batch), decayed.value_and_grad(theta, batch)
    assert found.loss - plain.loss == pytest.approx(0.15 * np.sum(theta[mask] ** 2), rel=SUM_RTOL)
    np.testing.assert_allclose(found.grad - plain.grad, 7 * 0.3 * mask * theta, atol=SUM_RTOL)
    assert decayed.value(theta, batch).loss_sum == found.loss_sum
    v = np.ones_like(theta)
    linear, plain_linear = decayed.linearize(theta, batch), objective.linearize(theta, batch)
    for structural in (0.0, 0.5):
        difference = linear.gauss_newton(v, structural=structural) - plain_linear.gauss_newton(v, structural=structural)
        np.testing.assert_allclose(difference, 7 * 0.3 * mask, atol=SUM_RTOL)
    difference = linear.squared_gradients() - plain_linear.squared_gradients()
    np.testing.assert_allclose(difference, 7 * 0.3 * mask, atol=SUM_RTOL)


def test_float32_stays():
    objective, theta = small_net(dtype=np.float32)
    decayed = WeightDecay(objective, 0.1)
    assert decayed.value_and_grad(theta).grad.dtype == np.float32
    assert decayed.linearize(theta).gauss_newton(theta).dtype == np.float32


def test_own_preconditioner_is_that_of_the_loss_with_the_mean_rate_as_damping():
    objective, theta = small_net()
    assert not hasattr(WeightDecay(objective, 0.3).linearize(theta), "preconditioner")

    class Linear:
        weight = 8.0

        def preconditioner(self, damping):
            return damping

    class Known:
        n_params = theta.size

        def linearize(self, theta, batch=None):
            return Linear()

    mask = np.arange(theta.size) < theta.size / 2
    found = WeightDecay(Known(), 0.3, mask).linearize(theta).preconditioner(0.1)
    assert found == pytest.approx(0.1 + 0.3 * mask.mean(), rel=SUM_RTOL)


def test_a_mask_that_does_not_fit_is_named():
    objective, _, _ = logistic_regression()
    with pytest.raises(ValueError, match=r"decay_mask must be bool of shape \(5,\), got float64 of shape \(5,\)"):
        WeightDecay(objective, 0.1, np.ones(5))
    with pytest.raises(ValueError, match="weight_decay must be a finite number >= 0, got -1"):
        WeightDecay(objective, -1)
