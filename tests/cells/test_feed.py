"""What is fed to the steps row by row, against its equation and against the same for many rows at once.

Small integers, whose products and sums both precisions hold exactly: equality is exact.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells.passes.feed import FEW, Feed, add_feed, room_for
from cells.passes.products import FORMS, SOURCES, Spans, add_map, copies_to_feed, fill_planes
from cells.passes.time_loops import Tape
from naive.products import product
from one_case import in_one_case
from reservoir.simd.tiles import panels

both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def no_tape(dtype):
    """A tape that no map reads."""
    return Tape(*(np.zeros((0, 1), dtype) for _ in Tape._fields))


def feed_of(maps, theta, x, first, n_columns, is_fed):
    """The feed that stands for the biases and, if ``is_fed``, the input's maps."""
    matrix, bias = room_for(x.shape[1] if is_fed else 0, n_columns, theta.dtype)
    for function, *args in copies_to_feed(maps, theta, matrix, bias):
        function(*args)
    return Feed(x, first, matrix, bias)


def filled(x, first, R, theta, maps, n_columns, *, is_fed):
    """Planes (R, n_columns) that begin with garbage, after ``fill_planes`` with the input's maps."""
    spans, no_index = Spans(*[np.array([[first, 0, R]])] * 5), np.empty(0, np.int64)
    z = np.full((R, n_columns), np.nan, theta.dtype)
    feed = feed_of(maps, theta, x, first, n_columns, is_fed)
    fill_planes(maps, theta, feed, x, no_index, no_tape(theta.dtype), spans, z, True, False)
    return z


@in_one_case("R", [0, 1, 2, 9, 33])
@in_one_case("K", [1, FEW // 2, FEW])
@in_one_case("width", [1, 16, 37])
@in_one_case("is_fed", [True, False])
@both_types
def test_planes_are_biases_and_the_inputs_share(R, K, width, is_fed, dtype):
    """Two maps of neighbouring columns of the input, and a bias of both."""
    rng, first = np.random.default_rng(2), 3
    x, theta = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((first + R + 1, 2 * K), 2 * (K + 1) * width))
    dense, bias, source = FORMS["dense"], FORMS["bias"], SOURCES["x"]
    maps = np.array(
        [
            [dense, source, 0, K, 0, width, 0],
            [dense, source, K, K, width, width, K * width],
            [bias, SOURCES[""], 0, 0, 0, 2 * width, 2 * K * width],
        ]
    )
    W, V = (theta[k * K * width :][: K * width].reshape(K, width) for k in (0, 1))
    read = x[first : first + R]
    expected = np.hstack([product(read[:, :K], W), product(read[:, K:], V)]) + theta[2 * K * width :]
    assert_array_equal(filled(x, first, R, theta, maps, 2 * width, is_fed=is_fed), expected.astype(dtype))


@pytest.mark.compiled
@both_types
def test_few_inputs_give_the_bits_of_panels(dtype):
    rng, (R, K, width) = np.random.default_rng(3), (19, FEW, 53)
    x, theta = (rng.standard_normal(shape).astype(dtype) for shape in ((R, K), (K + 1) * width))
    maps = np.array(
        [
            [FORMS["dense"], SOURCES["x"], 0, K, 0, width, 0],
            [FORMS["bias"], SOURCES[""], 0, 0, 0, width, K * width],
        ]
    )
    z = np.tile(theta[K * width :], (R, 1))
    add_map(x, 0, np.array([[0, 0, R]]), panels(theta[: K * width].reshape(K, width)), z, 0, width)
    assert_array_equal(filled(x, 0, R, theta, maps, width, is_fed=True), z)


@in_one_case("K", [1, FEW])
@in_one_case("width", [1, 16, 37])
@both_types
def test_rows_that_are_fed_are_added(K, width, dtype):
    """What is before and behind them stays."""
    rng, first, row, n = np.random.default_rng(4), 2, 3, 5
    source, W = rng.integers(-4, 5, (first + row + n, K)).astype(dtype), rng.integers(-4, 5, (K, width)).astype(dtype)
    matrix, bias = room_for(K, width, dtype)
    matrix[:, :width], bias[:] = W, np.nan
    before = rng.integers(-4, 5, (n + 2, width)).astype(dtype)
    d = before.copy()
    add_feed(Feed(source, first, matrix, bias), row, d, n)
    assert_array_equal(d[:n], before[:n] + product(source[first + row :], W))
    assert_array_equal(d[n:], before[n:])
