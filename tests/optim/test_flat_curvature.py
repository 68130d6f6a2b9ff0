"""Losses that are linear in the outputs: products of exactly zero are told once, whatever else is added."""

import warnings

import numpy as np
import pytest

from optim import FlatCurvatureWarning, HessianFree, from_callables, minimize

B = np.random.default_rng(0).standard_normal((20, 3))
SETTINGS = {"plain": {}, "decay": {"weight_decay": 0.1}}


def absolute_error(calls=None):
    """Σ |B θ - 1|, whose curvature by the outputs B θ is zero."""

    def product(theta, v):
        if calls is not None:
            calls.append(v.copy())
        return np.zeros_like(v)

    return from_callables(lambda x: (np.abs(B @ x - 1.0).sum(), B.T @ np.sign(B @ x - 1.0)), product, n_params=3)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_zero_curvature_is_told_once_a_run(settings):
    with pytest.warns(FlatCurvatureWarning, match=r"Gv that are exactly 0 where the gradient is not.*squared") as told:
        minimize(absolute_error(), np.zeros(3), HessianFree(**settings), max_iterations=5)
    assert len(told) == 1


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_curved_loss_is_not_told(settings):
    bowl = from_callables(lambda x: (0.5 * ((B @ x - 1.0) ** 2).sum(), B.T @ (B @ x - 1.0)),
                          lambda x, v: B.T @ (B @ v), n_params=3)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minimize(bowl, np.zeros(3), HessianFree(**settings), max_iterations=3)


def test_one_direction_without_curvature_is_no_matter():
    valley = from_callables(lambda x: (x[0] ** 2 + x[1], np.array([2.0 * x[0], 1.0])),
                            lambda x, v: np.array([2.0 * v[0], 0.0]), n_params=2)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minimize(valley, np.ones(2), HessianFree(), max_iterations=2)


def test_a_hessian_may_vanish_at_the_start_and_check_may_be_off():
    """Where products are those of a Hessian, zero is a matter of the point: sin x at 0."""
    wave = from_callables(lambda x: (np.sin(x).sum(), np.cos(x)), lambda x, v: -np.sin(x) * v, n_params=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minimize(wave, np.zeros(1), HessianFree(negative_curvature="truncate"), max_iterations=2)
        minimize(absolute_error(), np.zeros(3), HessianFree(check=False), max_iterations=2)


def test_the_look_costs_one_product():
    calls = []
    with pytest.warns(FlatCurvatureWarning):
        result = minimize(absolute_error(calls), np.zeros(3), HessianFree(), max_iterations=3)
    assert result.trace["products"][-1] == len(calls)
