"""Products of register tiles: exact on integers, inside their blocks, and the same bits however rows are grouped."""

import math
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from naive import products as naive
from one_case import in_one_case
from reservoir.jit import njit
from reservoir.simd.tiles import (
    AS_THEY_STAND,
    DEPTH,
    PADDED,
    PANEL_PACKS,
    TRANSPOSED,
    TRANSPOSED_PADDED,
    add_product,
    add_rows,
    add_transposed_product,
    panels,
)
from reservoir.simd.vectors import PACK_BYTES, aligned

DTYPES = [np.float64, np.float32]
both_types = pytest.mark.parametrize("dtype", DTYPES)
both_forms = in_one_case("in_place", [False, True])
# (rows, terms, columns): nothing at all, one of each, odd, every number of packs and of rows in a tile, several
# panels, and sums that visit C more than once.
SHAPES = [
    (0, 5, 7),
    (3, 0, 5),
    (3, 5, 0),
    (1, 1, 1),
    (1, 3, 1),
    (1, 7, 200),
    (1, DEPTH + 1, 33),
    (5, 4, 1),
    (7, 5, 9),
    (13, 11, 17),
    (4, 3, 48),
    (8, 3, 49),
    (15, 2, 97),
    (3, 2 * DEPTH + 3, 29),
    (9, DEPTH, 8),
    (70, DEPTH + 1, 100),
    (20, 5, 3),
    (9300, 2, 9),
]
each_shape = in_one_case("R, K, N", SHAPES)


@njit(cache=True)
def add(a, a_row, a_column, b, c, c_row, c_column, n_rows, n_columns):
    add_product(a, a_row, a_column, b, c, c_row, c_column, n_rows, n_columns)


@njit(cache=True)
def add_transposed(a, a_row, a_column, b, b_row, b_column, c, c_start, n, M, N, panel):
    add_transposed_product(a, a_row, a_column, b, b_row, b_column, c, c_start, n, M, N, panel)


@njit(cache=True)
def add_some_rows(form, a, a_start, a_stride, b, b_start, b_row, c, c_start, c_row, n_rows, depth, n_columns):
    add_rows(form, a, a_start, a_stride, b, b_start, b_row, c, c_start, c_row, n_rows, depth, n_columns)


def width_of(dtype):
    """Columns of a panel."""
    return PANEL_PACKS * PACK_BYTES // np.dtype(dtype).itemsize


def integers(rng, shape, dtype):
    """Small integers: their products and sums are exact in both precisions, so every order gives the same bits."""
    return rng.integers(-4, 5, shape).astype(dtype)


def guarded(block, above, left, below=2, right=3):
    """An array of NaN around ``block``."""
    shape = above + block.shape[0] + below, left + block.shape[1] + right
    array = np.full(shape, np.nan, block.dtype)
    array[above : above + block.shape[0], left : left + block.shape[1]] = block
    return array


def with_spoilt_padding(form, N):
    """The panels ``form`` of a matrix with N columns, NaN wherever there is no element of it."""
    form = form.copy()
    for panel, (first, end) in zip(form, bounds_of_panels(N, form.dtype, len(form)), strict=True):
        panel[:, end - first :] = np.nan
    return form


def bounds_of_panels(N, dtype, n_panels):
    """(first, end) column of each: packs spread evenly, the wider panels where rounding up puts them."""
    P = PACK_BYTES // np.dtype(dtype).itemsize
    begins = [min(P * math.ceil(Fraction(p * math.ceil(N / P), max(n_panels, 1))), N) for p in range(n_panels + 1)]
    return list(pairwise(begins))


# ------------------------------------------------------------------------------------------------ tiles


@pytest.mark.parametrize("form", [AS_THEY_STAND, PADDED, TRANSPOSED, TRANSPOSED_PADDED], ids=len)
@in_one_case("M", [0, 1, 3, 4, 7, 8, 13, 16])
@in_one_case("n_packs", range(1, PANEL_PACKS + 1))
@both_types
def test_tiles_add_their_product_and_touch_nothing_else(M, n_packs, form, dtype):
    rng, P = np.random.default_rng(0), PACK_BYTES // np.dtype(dtype).itemsize
    for K, N in product((1, 4, 7), {(n_packs - 1) * P + 1, n_packs * P - 1, n_packs * P}):
        A, B, C = integers(rng, (M, K), dtype), integers(rng, (K, N), dtype), integers(rng, (M, N), dtype)
        a, c = guarded(A.T if form in (TRANSPOSED, TRANSPOSED_PADDED) else A, 1, 2), guarded(C, 3, 4)
        b = guarded(B, 2, 1, right=n_packs * P - N if form in (PADDED, TRANSPOSED_PADDED) else 0, below=0)
        starts = [m.shape[1] * above + left for m, above, left in ((a, 1, 2), (b, 2, 1), (c, 3, 4))]
        widths = [m.shape[1] for m in (a, b, c)]
        add_some_rows(form, a, starts[0], widths[0], b, starts[1], widths[1], c, starts[2], widths[2], M, K, N)
        assert_array_equal(c, guarded(C + A @ B, 3, 4))


# ------------------------------------------------------------------------------------------------ C += A B


@each_shape
@both_forms
@both_types
def test_product_is_added_to_its_block_and_to_nothing_else(R, K, N, in_place, dtype):
    rng = np.random.default_rng(0)
    A, B, C = integers(rng, (R, K), dtype), integers(rng, (K, N), dtype), integers(rng, (R, N), dtype)
    a, c = guarded(A, 2, 3), guarded(C, 1, 5)
    b = with_spoilt_padding(panels(B, in_place=in_place), N)
    add(a, 2, 3, b, c, 1, 5, R, N)
    assert_array_equal(c, guarded((C + naive.product(A, B)).astype(dtype), 1, 5))


@each_shape
@both_forms
@both_types
def test_product_with_a_transpose(R, K, N, in_place, dtype):
    rng = np.random.default_rng(1)
    A, B, C = integers(rng, (R, K), dtype), integers(rng, (N, K), dtype), integers(rng, (R, N), dtype)
    c = guarded(C, 1, 2)
    add(guarded(A, 1, 1), 1, 1, panels(B, transpose=True, in_place=in_place), c, 1, 2, R, N)
    assert_array_equal(c, guarded((C + naive.product(A, B.T)).astype(dtype), 1, 2))


@both_forms
@both_types
def test_product_is_as_near_as_a_sum_of_its_length(in_place, dtype):
    rng, (R, K, N) = np.random.default_rng(2), (6, 2 * DEPTH + 7, 31)
    A, B, C = (rng.standard_normal(shape).astype(dtype) for shape in ((R, K), (K, N), (R, N)))
    c = C.copy()
    add(A, 0, 0, panels(B, in_place=in_place), c, 0, 0, R, N)
    # A chain of K additions, and one of its blocks to C, each rounded by eps / 2; the plain meaning rounds twice.
    bound = (K + 4) * np.finfo(dtype).eps * (np.abs(C) + naive.product(np.abs(A), np.abs(B)))
    assert (np.abs(c - (C + naive.product(A.astype(float), B.astype(float)))) <= bound).all()


@pytest.mark.compiled
@both_forms
@in_one_case("n_rows", [1, 5])
def test_each_element_is_one_chain_of_fused_multiply_adds(in_place, n_rows):
    rng, (K, N) = np.random.default_rng(3), (DEPTH + 20, 11)
    A, B, C = rng.standard_normal((n_rows, K)), rng.standard_normal((K, N)), rng.standard_normal((n_rows, N))
    c = C.copy()
    add(A, 0, 0, panels(B, in_place=in_place), c, 0, 0, n_rows, N)
    for i, j in ((0, 0), (n_rows - 1, 7), (n_rows - 1, N - 1)):
        assert c[i, j] == naive.fused_chain(C[i, j], A[i], B[:, j], DEPTH)


@pytest.mark.compiled
@both_types
@in_one_case("N", [3, 30, 300])
def test_bits_depend_neither_on_the_number_of_rows_nor_on_the_form(N, dtype):
    rng, R, K = np.random.default_rng(4), 23, DEPTH + 5
    A, B, C = (rng.standard_normal(shape).astype(dtype) for shape in ((R, K), (K, N), (R, N)))
    whole = C.copy()
    add(A, 0, 0, panels(B), whole, 0, 0, R, N)
    for in_place in (False, True):
        form = panels(B, in_place=in_place)
        for step in (1, 2, 3, 4, 7, 8, 12, R):
            parts = C.copy()
            for first in range(0, R, step):
                add(A, first, 0, form, parts, first, 0, min(step, R - first), N)
            assert_array_equal(parts, whole, err_msg=f"{step} rows at a time, in_place={in_place}")


@pytest.mark.compiled
@both_types
def test_bits_depend_not_on_the_place_of_a_column(dtype):
    rng, R, K, N = np.random.default_rng(5), 6, 40, 2 * width_of(dtype) + 5
    A, B = rng.standard_normal((R, K)).astype(dtype), rng.standard_normal((K, N)).astype(dtype)
    c, turned = np.zeros((R, N), dtype), np.zeros((R, N), dtype)
    add(A, 0, 0, panels(B), c, 0, 0, R, N)
    add(A, 0, 0, panels(np.ascontiguousarray(B[:, ::-1])), turned, 0, 0, R, N)
    assert_array_equal(turned[:, ::-1], c)


@both_forms
@both_types
def test_not_a_number_stays_in_its_row(in_place, dtype):
    A, B = np.ones((5, 3), dtype), np.ones((3, 30), dtype)
    A[2, 1] = np.nan
    c = np.zeros((5, 30), dtype)
    add(A, 0, 0, panels(B, in_place=in_place), c, 0, 0, 5, 30)
    assert np.isnan(c[2]).all()
    assert_array_equal(np.delete(c, 2, axis=0), np.full((4, 30), 3.0))


# ------------------------------------------------------------------------------------------------ C += Aᵀ B


@in_one_case("n, M, N", [(n, M, N) for M, n, N in SHAPES])
@both_types
def test_transposed_product_is_added_to_its_block_and_to_nothing_else(n, M, N, dtype):
    rng = np.random.default_rng(6)
    A, B, C = integers(rng, (n, M), dtype), integers(rng, (n, N), dtype), integers(rng, (M, N), dtype)
    before, behind = np.full(4, np.nan, dtype), np.full(9, np.nan, dtype)
    c = np.concatenate([before, C.ravel(), behind])
    panel = np.full(DEPTH * width_of(dtype), np.nan, dtype)
    add_transposed(guarded(A, 2, 1), 2, 1, guarded(B, 3, 4), 3, 4, c, 4, n, M, N, panel)
    expected = (C + naive.product(A.T, B)).astype(dtype)
    assert_array_equal(c, np.concatenate([before, expected.ravel(), behind]))


@pytest.mark.compiled
@in_one_case("M", [5, 13, 70])
@in_one_case("left_over", [0, 1, 4, 6, 8, 13])
@both_types
def test_transposed_product_has_the_bits_of_the_product(M, left_over, dtype):
    """One chain of multiply-adds an element there as well, also where the last columns change places with A."""
    rng, n, N = np.random.default_rng(7), DEPTH + 9, width_of(dtype) + left_over
    A, B = rng.standard_normal((n, M)).astype(dtype), rng.standard_normal((n, N)).astype(dtype)
    transposed, direct = np.zeros(M * N, dtype), np.zeros((M, N), dtype)
    add_transposed(A, 0, 0, B, 0, 0, transposed, 0, n, M, N, aligned((DEPTH, width_of(dtype)), dtype))
    add(np.ascontiguousarray(A.T), 0, 0, panels(B), direct, 0, 0, M, N)
    assert_array_equal(transposed.reshape(M, N), direct)


# ------------------------------------------------------------------------------------------------ panels


@in_one_case("K, N", [(0, 3), (3, 0), (1, 1), (5, 30), (40, 48), (17, 100)])
@in_one_case("transpose", [False, True])
@both_types
def test_panels_hold_the_matrix_and_zeros_behind_it(K, N, transpose, dtype):
    matrix = np.random.default_rng(8).standard_normal((N, K) if transpose else (K, N)).astype(dtype)
    form = panels(matrix, transpose=transpose)
    width = width_of(dtype)
    assert form.shape == (-(-N // width), K, width)
    assert form.dtype == dtype
    bounds = bounds_of_panels(N, dtype, len(form))
    side_by_side = np.hstack(
        [np.empty((K, 0)), *(panel[:, : j - i] for panel, (i, j) in zip(form, bounds, strict=True))]
    )
    assert_array_equal(side_by_side, matrix.T if transpose else matrix)
    assert not any(panel[:, j - i :].any() for panel, (i, j) in zip(form, bounds, strict=True))
    assert np.ptp([-(-(j - i) // (width // PANEL_PACKS)) for i, j in bounds] or [0]) <= 1


@both_types
def test_panels_begin_on_a_pack(dtype):
    assert panels(np.ones((5, 30), dtype)).ctypes.data % PACK_BYTES == 0


@both_types
def test_a_matrix_in_place_is_the_matrix_itself(dtype):
    matrix = np.random.default_rng(9).standard_normal((4, 7)).astype(dtype)
    form = panels(matrix, in_place=True)
    assert np.shares_memory(form, matrix)
    assert_array_equal(form, matrix[None])


@both_types
def test_the_transpose_in_place_is_one_block_of_rows(dtype):
    matrix = np.random.default_rng(10).standard_normal((40, 7)).astype(dtype)
    assert_array_equal(panels(matrix, transpose=True, in_place=True), matrix.T[None])


@in_one_case("transpose", [False, True])
@in_one_case("in_place", [False, True])
@both_types
def test_panels_overwrite_what_they_made_before(transpose, in_place, dtype):
    rng = np.random.default_rng(11)
    first, second = rng.standard_normal((2, 6, 31)).astype(dtype)
    kept = panels(first, transpose=transpose, in_place=in_place)
    again = panels(second, transpose=transpose, in_place=in_place, out=kept)
    assert_array_equal(again, panels(second, transpose=transpose, in_place=in_place))
    if transpose or not in_place:
        assert again is kept


@both_types
@in_one_case("n, M, N", [(1, 9, 16), (3, 17, 48), (2 * DEPTH + 1, 11, 32)])
def test_a_transposed_product_has_the_same_bits_read_in_place_and_copied(n, M, N, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, width)).astype(dtype) for width in (M, N))
    far = np.zeros((10_000, N), dtype)  # too large to be read in place
    far[:n] = b
    panel = np.empty((DEPTH, width_of(dtype)), dtype)
    results = []
    for factor in (b, far):
        panel.fill(np.nan)
        results.append(np.zeros(M * N, dtype))
        add_transposed(a, 0, 0, factor, 0, 0, results[-1], 0, n, M, N, panel)
    assert not np.isnan(panel).all()
    assert_array_equal(results[0], results[1])
