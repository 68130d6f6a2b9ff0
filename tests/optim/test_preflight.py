"""The look before the first step: rounding passes, at whatever precision a function computes, and nothing else."""

import numpy as np
import pytest

from objectives import bowl
from optim import HessianFree, StopReason, from_callables, minimize
from optim.checks.preflight import fit_float32, preflight

THETA = np.random.default_rng(1).standard_normal(30)


def quadratic(product, value=None):
    _, A, _ = bowl(np.geomspace(1.0, 1e3, 30))
    return from_callables(
        lambda x: (0.5 * float(x @ A @ x), A @ x), lambda x, v: product(A, x, v), n_params=30, value=value
    )


def in_float32(A, x, v):
    return (A.astype(np.float32) @ v.astype(np.float32)).astype(float)


def by_differences(A, x, v):
    h = 1.5e-8
    return (A @ np.tanh(x + h * v) - A @ np.tanh(x)) / h


def skewed(size):
    S = np.triu(np.ones((30, 30)), 1)
    return lambda A, x, v: A @ v + size * ((S - S.T) @ v)


def test_what_is_right_to_the_last_digit_costs_three_products():
    seen = preflight(quadratic(lambda A, x, v: A @ v), THETA, None, 0.0)
    assert seen.reason is None and seen.n_products == 3


def test_products_in_float32_are_symmetric_enough_in_float64():
    seen = preflight(quadratic(in_float32), THETA, None, 0.0)
    assert seen.reason is None and seen.n_products == 5


def test_products_by_differences_are_symmetric_enough():
    objective = from_callables(
        lambda x: (float(np.sum(np.log(np.cosh(x)))), np.tanh(x)),
        lambda x, v: (np.tanh(x + 1.5e-8 * v) - np.tanh(x)) / 1.5e-8,
        n_params=30,
    )
    assert preflight(objective, THETA, None, 0.0).reason is None


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_what_is_linear_must_be_symmetric_to_the_last_digits(size):
    seen = preflight(quadratic(skewed(size)), THETA, None, 0.0)
    assert seen.reason == StopReason.NOT_SYMMETRIC and "check=False" in seen.message


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_what_is_not_symmetric_is_so_in_float32_too(size):
    product = skewed(size)
    seen = preflight(quadratic(lambda A, x, v: product(A, x, v).astype(np.float32).astype(float)), THETA, None, 0.0)
    assert seen.reason == StopReason.NOT_SYMMETRIC


def test_what_is_not_linear_is_not_excused_by_that():
    seen = preflight(quadratic(lambda A, x, v: A @ v + v**2), THETA, None, 0.0)
    assert seen.reason == StopReason.NOT_SYMMETRIC


def test_negative_curvature_may_be_meant():
    objective = quadratic(lambda A, x, v: -(A @ v))
    assert preflight(objective, THETA, None, 0.0).reason == StopReason.NEGATIVE_CURVATURE
    assert preflight(objective, THETA, None, 0.0, may_be_negative=True).reason is None


def test_losses_in_float32_may_differ_by_their_rounding():
    rng = np.random.default_rng(0)
    noise = lambda size: lambda x: float(np.float32(3.0 + size * rng.uniform()))  # noqa: E731
    for size, reason in ((1e-6, None), (1.0, StopReason.NOT_DETERMINISTIC)):
        assert preflight(quadratic(lambda A, x, v: A @ v, noise(size)), THETA, None, 0.0).reason == reason
    in_float64 = quadratic(lambda A, x, v: A @ v, lambda x: 3.0 + 1e-6 * rng.uniform())
    assert preflight(in_float64, THETA, None, 0.0).reason == StopReason.NOT_DETERMINISTIC


def test_numbers_of_float32_are_known_by_their_digits():
    assert fit_float32([0.5, 3.0, float(np.float32(0.1))]) and not fit_float32([0.5, 0.1])
    assert not fit_float32([1e300]) and not fit_float32([float("nan")])


def test_a_product_that_is_refused_is_taken_where_that_is_asked_for():
    objective = quadratic(skewed(1e-6))
    assert minimize(objective, THETA, HessianFree()).reason == StopReason.NOT_SYMMETRIC
    assert minimize(objective, THETA, HessianFree(check=False), tolerance=1e-6).success
