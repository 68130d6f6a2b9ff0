"""The factorisation in blocks and what is asked of its factor, against NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir import cholesky
from reservoir.blas import inverse_condition, one_norm, solve_factored
from reservoir.cholesky import factorise

# A few times n eps: the matrices below have condition numbers of some hundred and n <= 130.
RTOL = 1e-11
SIZES = [1, 2, 63, 64, 65, 130]


def positive(n, seed=0):
    """A well-conditioned positive matrix inside a larger one, so that its rows do not follow each other closely."""
    X = np.random.default_rng(seed).standard_normal((n, 4 * n + 4))
    room = np.zeros((n + 3, n + 5))
    room[:n, :n] = X @ X.T
    return room[:n, :n]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(cholesky, "_BLOCK", 32)
    monkeypatch.setattr(cholesky, "_WHOLE_TO", 48)
    monkeypatch.setattr(cholesky, "_LARGE_FROM", 100)


@pytest.mark.parametrize("n", SIZES)
def test_factor_is_that_of_numpy(small_blocks, n):
    matrix = positive(n)
    expected, above = np.linalg.cholesky(matrix), np.triu(matrix, 1)
    assert factorise(matrix)
    assert_allclose(np.tril(matrix), expected, rtol=RTOL, atol=RTOL * np.abs(expected).max())
    assert_array_equal(np.triu(matrix, 1), above)


def test_number_of_threads_changes_no_bit(small_blocks):
    factors = [positive(130) for _ in range(3)]
    for n_threads, matrix in enumerate(factors, start=1):
        assert factorise(matrix, n_threads)
    assert_array_equal(factors[0], factors[1])
    assert_array_equal(factors[0], factors[2])


@pytest.mark.parametrize("where", [0, 40, 129])
def test_what_is_not_positive_is_refused(small_blocks, where):
    matrix = positive(130)
    matrix[where, where] = -1.0
    assert not factorise(matrix)


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
