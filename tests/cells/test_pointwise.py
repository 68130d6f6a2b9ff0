"""Words of the element-wise part: columns of a row, a vector at a time."""

from typing import NamedTuple

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_array_equal

from cells.passes.pointwise import clear, give, take, with_added
from reservoir.simd.vectors import pack_size

DTYPES = [np.float64, np.float32]
# Widths around one and two packs of both types.
WIDTHS = [1, 7, 8, 9, 16, 17, 33]

both_types = pytest.mark.parametrize("dtype", DTYPES)
each_width = pytest.mark.parametrize("width", WIDTHS)


class Holder(NamedTuple):
    """What ``with_added`` reads of the cotangents."""

    added: np.ndarray


@njit(cache=True)
def copy_plane(a, row, column, b, b_row, b_column, H):
    for j in range(0, H, pack_size(a)):
        give(b, b_row, b_column, j, H, take(a, row, column, j, H))


@njit(cache=True)
def add_to_plane(a, d, row, column, H):
    for j in range(0, H, pack_size(a)):
        give(a, row, column, j, H, with_added(take(a, row, column, j, H), d, row, column, j, H))


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@both_types
@each_width
def test_a_plane_is_copied_and_nothing_beside_it(dtype, width):
    a, b = numbers((3, width + 5), dtype), numbers((4, width + 2), dtype, 1)
    expected = b.copy()
    expected[2, 1 : 1 + width] = a[1, 3 : 3 + width]
    copy_plane(a, 1, 3, b, 2, 1, width)
    assert_array_equal(b, expected)


@each_width
def test_the_last_columns_of_the_last_row_are_reached_and_not_passed(width):
    """The bounds check of NUMBA_BOUNDSCHECK, or an error of the plain meaning, would tell."""
    a, b = numbers((2, width), np.float64), np.zeros((2, width))
    copy_plane(a, 1, 0, b, 1, 0, width)
    assert_array_equal(b, [np.zeros(width), a[1]])


@both_types
@each_width
def test_what_damping_adds_is_added_to_its_plane(dtype, width):
    a, added = numbers((2, width + 4), dtype), numbers((2, width + 4), dtype, 1)
    expected = a.copy()
    expected[1, 2 : 2 + width] += added[1, 2 : 2 + width]
    add_to_plane(a, Holder(added), 1, 2, width)
    assert_array_equal(a, expected)


@both_types
def test_without_damping_nothing_is_added(dtype):
    a = numbers((2, 9), dtype)
    expected = a.copy()
    add_to_plane(a, Holder(np.empty((0, 0), dtype)), 1, 0, 9)
    assert_array_equal(a, expected)


def test_clear_zeroes_the_first_rows():
    a = np.ones((4, 3))
    clear(a, 2)
    assert_array_equal(a, np.repeat([[0.0], [1.0]], 2, axis=0) * np.ones(3))
