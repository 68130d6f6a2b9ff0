"""The factorisation in place and what is asked of its factor, against NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir.readout.blas import factorise, inverse_condition, one_norm, solve_factored

# A few times n eps: the matrices below have condition numbers of some hundred and n <= 330.
RTOL = 1e-11
SIZES = [1, 2, 7, 24, 97, 130]
LARGE = 330


def positive(n, seed=0):
    """A well-conditioned positive matrix inside a larger one, so that its rows do not follow each other closely."""
    X = np.random.default_rng(seed).standard_normal((n, 4 * n + 4))
    room = np.zeros((n + 3, n + 5))
    room[:n, :n] = X @ X.T
    return room[:n, :n]


@pytest.mark.parametrize("n", [*SIZES, LARGE])
def test_factor_is_that_of_numpy_and_nothing_outside_the_matrix_is_written(n):
    matrix = positive(n)
    room = matrix.base.copy()
    expected = np.linalg.cholesky(matrix)
    assert factorise(matrix)
    assert_allclose(np.tril(matrix), expected, rtol=RTOL, atol=RTOL * np.abs(expected).max())
    room[:n, :n] = matrix
    assert_array_equal(matrix.base, room)


def test_an_empty_matrix_has_an_empty_factor():
    assert factorise(np.zeros((0, 0)))


def test_what_is_above_the_diagonal_is_not_read():
    matrix = positive(130)
    other = np.where(np.tri(130, dtype=bool), matrix, np.nan)
    assert factorise(matrix) and factorise(other)
    assert_array_equal(np.tril(matrix), np.tril(other))


def test_factor_of_a_badly_conditioned_matrix_gives_it_back_to_rounding():
    n = LARGE
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    matrix = Q * np.geomspace(1.0, 1e-12, n) @ Q.T
    matrix = 0.5 * (matrix + matrix.T)
    factor = matrix.copy()
    assert factorise(factor)
    L = np.tril(factor)
    # Of norm 1. The bound on Cholesky's backward error grows with n squared (Higham 2002, theorem 10.3); what is met
    # does not: 0.4 eps here, 0.5 by LAPACK.
    assert np.linalg.norm(L @ L.T - matrix, 2) <= 4 * np.finfo(float).eps


@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan, np.inf])
@pytest.mark.parametrize("where", [0, 40, 129])
def test_what_is_not_positive_is_refused(where, value):
    matrix = positive(130)
    matrix[where, where] = value
    assert not factorise(matrix)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_below_the_diagonal_is_refused(value):
    matrix = positive(130)
    matrix[100, 50] = value
    assert not factorise(matrix)


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**900])
def test_powers_of_four_change_no_digit(scale):
    one, other = positive(97), positive(97) * scale
    assert factorise(one) and factorise(other)
    assert_array_equal(np.tril(other), np.tril(one) * np.sqrt(scale))


@pytest.mark.parametrize("n", SIZES)
def test_norm_solution_and_condition_are_those_of_numpy(n):
    matrix, right = positive(n), np.random.default_rng(1).standard_normal((n, 2))
    full = matrix.copy()
    norm = one_norm(matrix)
    assert_allclose(norm, np.linalg.norm(full, 1), rtol=RTOL)
    assert factorise(matrix)
    assert_allclose(solve_factored(matrix, right), np.linalg.solve(full, right), rtol=RTOL, atol=RTOL)
    # The estimate never exceeds the norm of the inverse, and seldom falls below a third of it.
    exact = 1.0 / np.linalg.cond(full, 1)
    assert exact * (1 - RTOL) <= inverse_condition(matrix, norm) <= 3 * exact
