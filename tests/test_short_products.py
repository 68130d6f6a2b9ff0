"""Products with few rows: transposes exact and inside their blocks, products with the bits of those of panels."""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_array_equal

from reservoir.short_products import add_short_transposed_product, fill_transpose
from reservoir.tiles import DEPTH, PANEL_PACKS, add_transposed_product
from reservoir.vectors import PACK_BYTES

both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@njit(cache=True)
def add_short(a, a_row, a_column, b, b_row, b_column, c, c_start, n, M, N):
    add_short_transposed_product(a, a_row, a_column, b, b_row, b_column, c, c_start, n, M, N)


@njit(cache=True)
def add_long(a, a_row, a_column, b, b_row, b_column, c, c_start, n, M, N, panel):
    add_transposed_product(a, a_row, a_column, b, b_row, b_column, c, c_start, n, M, N, panel)


@both_types
@pytest.mark.parametrize("n_behind", [0, 3])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (1, 40), (40, 1), (7, 9), (8, 16), (16, 16), (17, 33)])
def test_a_transpose_is_exact_and_leaves_what_is_behind_it(shape, n_behind, dtype):
    matrix = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    out = np.full((shape[1], shape[0] + n_behind), np.nan, dtype)
    fill_transpose(matrix, out)
    assert_array_equal(out[:, : shape[0]], matrix.T)
    assert np.isnan(out[:, shape[0] :]).all()


@both_types
@pytest.mark.parametrize(("n", "M", "N"), [(0, 3, 3), (1, 1, 1), (5, 9, 7), (3, 17, 50), (2 * DEPTH + 1, 5, 33)])
def test_short_products_have_the_bits_of_long_ones(n, M, N, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n + 4, width + 5)).astype(dtype) for width in (M, N))
    short = rng.standard_normal(M * N + 6).astype(dtype)
    long = short.copy()
    add_short(a, 1, 2, b, 3, 1, short, 4, n, M, N)
    panel = np.empty((DEPTH, PANEL_PACKS * PACK_BYTES // np.dtype(dtype).itemsize), dtype)
    add_long(a, 1, 2, b, 3, 1, long, 4, n, M, N, panel)
    assert_array_equal(short, long)
