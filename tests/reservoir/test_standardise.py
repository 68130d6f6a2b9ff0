"""Means and deviations: exact for any precision, size and offset of the data, in little memory."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir.data.standardise import restored, standard, standardised

# A sum of n float64 terms of one size is off by at most n eps of it, and mostly by the root of that.
SUMS = {"rtol": 1e-12}
N = 300_000


def exact(rows, weights=None):
    """Mean and deviation in extended precision."""
    rows = rows.astype(np.longdouble)
    w = np.ones(len(rows), np.longdouble) if weights is None else weights.astype(np.longdouble)
    mean = (w[:, None] * rows).sum(axis=0) / w.sum()
    return mean, np.sqrt((w[:, None] * (rows - mean) ** 2).sum(axis=0) / w.sum())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_rows_far_from_zero_have_their_mean_and_deviation(dtype):
    rng = np.random.default_rng(0)
    rows = (np.array([1000.0, 0.0, -1e6]) + rng.standard_normal((N, 3))).astype(dtype)
    weights = rng.integers(0, 3, N).astype(float)
    for w in (None, weights):
        shift, scale = standard(rows, w)
        mean, deviation = exact(rows, w)
        assert_allclose(shift, mean.astype(float), rtol=1e-12, atol=1e-12)
        assert_allclose(scale, deviation.astype(float), **SUMS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [14.62, 0.1, -1e30, 1e-30, 0.0])
def test_a_constant_column_has_scale_one(dtype, value):
    rows = np.full((200_003, 1), value, dtype)
    weights = np.random.default_rng(0).random(len(rows))
    for w in (None, weights):
        shift, scale = standard(rows, w)
        assert scale == 1.0
        assert_allclose(shift, float(rows[0, 0]), rtol=1e-15)


def test_a_column_is_constant_whose_changes_its_precision_cannot_resolve():
    by_rounding = np.array([[0.1 + 0.2], [0.3]] * 50)
    assert standard(by_rounding, None)[1] == 1.0
    small = np.array([[1.0], [1.0 + 1e-6]] * 50)
    assert_allclose(standard(small, None)[1], 5e-7, rtol=1e-9)


@pytest.mark.parametrize("size", [1e300, 1.7e308, 1e-300, 1e-307])
def test_numbers_of_any_size_neither_overflow_nor_vanish(size):
    rows = np.array([[1.0], [-0.5], [0.25]]) * size
    shift, scale = standard(rows, None)
    assert_allclose(shift, 0.25 * size, rtol=1e-14)
    assert_allclose(scale / size, np.std([1.0, -0.5, 0.25]), rtol=1e-14)


def test_a_column_of_subnormal_numbers_is_constant():
    shift, scale = standard(np.array([[5e-324], [1e-323]]), None)
    assert np.isfinite(shift) and scale == 1.0


def test_rows_without_weight_are_not_looked_at():
    rows = np.array([[1.0], [np.nan], [3.0], [np.inf]])
    assert_array_equal(standard(rows, np.array([2.0, 0.0, 2.0, 0.0])), [[2.0], [1.0]])


def test_a_weight_is_a_repetition():
    rows = np.random.default_rng(0).standard_normal((50, 2))
    weights = np.arange(50) % 4
    found = standard(rows, weights)
    assert_allclose(found, standard(np.repeat(rows, weights, axis=0), None), **SUMS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_standardised_is_restored_in_its_precision(dtype):
    rows = (1000 + np.random.default_rng(0).standard_normal((1000, 2))).astype(dtype)
    scales = standard(rows, None)
    found = standardised(rows, *scales)
    assert found.dtype == dtype
    assert_allclose(found.mean(axis=0, dtype=float), 0.0, atol=1e-6)
    assert_allclose(found.std(axis=0, dtype=float), 1.0, rtol=1e-6)
    assert_allclose(restored(found, *scales), rows, rtol=2 * np.finfo(dtype).eps)


def test_memory_does_not_grow_with_the_rows():
    rows = np.zeros((2_000_000, 2), np.float32)
    tracemalloc.start()
    standard(rows, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20  # one float64 copy alone is 32 MB
