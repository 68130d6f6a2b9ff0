"""Readouts at many penalties from tridiagonal and bidiagonal forms, against dense decompositions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from reservoir.readout.reductions import Bidiagonal, Tridiagonal

ALPHAS = np.array([0.0, 1e-3, 1.0, 100.0])
# Of systems whose condition is below 1e4, or of its square.
SOLVED, SQUARED = {"rtol": 1e-11, "atol": 1e-12}, {"rtol": 1e-8, "atol": 1e-8}
SHAPES = pytest.mark.parametrize("shape", [(1, 1), (2, 3), (24, 1), (70, 2)], ids=str)


def factor(shape, seed=0):
    """R (K, K), diagonally dominant, and targets (K, O)."""
    K, O = shape
    rng = np.random.default_rng(seed)
    return np.triu(rng.standard_normal((K, K)) / K, 1) + np.diag(rng.uniform(0.5, 2.0, K)), rng.standard_normal((K, O))


def dense(R, targets):
    left, values, right = np.linalg.svd(R)
    return np.stack([(right.T * (values / (values**2 + alpha)) @ left.T @ targets).T for alpha in ALPHAS])


@SHAPES
def test_tridiagonal_form_solves_the_normal_equations(shape):
    R, targets = factor(shape)
    room = np.full((len(R) + 2, len(R) + 3), 7.0)
    gram = room[: len(R), : len(R)]
    gram[:] = np.where(np.tri(len(R), dtype=bool), R.T @ R, np.nan)  # what is above the diagonal is not read
    reduced = Tridiagonal.of(gram, R.T @ targets, 1e-12)
    assert reduced.is_full
    assert_allclose(reduced.coef(ALPHAS), dense(R, targets), **SQUARED)
    assert (room[len(R) :] == 7.0).all() and (room[:, len(R) :] == 7.0).all()


@SHAPES
def test_bidiagonal_form_solves_least_squares(shape):
    R, targets = factor(shape)
    before = R.copy(), targets.copy()
    reduced = Bidiagonal.of(R, targets, 1e-12, is_full=True)
    assert_allclose(reduced.coef(ALPHAS), dense(R, targets), **SOLVED)
    assert (R == before[0]).all() and (targets == before[1]).all()


def test_bidiagonal_form_does_not_square_the_condition():
    K = 30
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.standard_normal((K, K)))[0] for _ in range(2))
    values = np.geomspace(1.0, 1e-10, K)
    R = np.linalg.qr(left * values @ right.T, mode="r")
    W = rng.standard_normal((K, 1))
    coef = Bidiagonal.of(R, R @ W, 1e-30, is_full=True).coef(np.array([1e-24]))[0]
    # Known to eps times the condition of R, of which W has K directions.
    assert_allclose(coef, W.T, rtol=0, atol=100 * np.finfo(float).eps / values[-1])


@pytest.mark.parametrize("least", [1e-6, 1e-14])
def test_a_direction_below_rounding_is_noticed(least):
    Q = np.linalg.qr(np.random.default_rng(2).standard_normal((20, 20)))[0]
    gram = Q * np.geomspace(1.0, least, 20) @ Q.T
    assert Tridiagonal.of(gram, np.ones((20, 1)), 1e-10).is_full == (least > 1e-10)
