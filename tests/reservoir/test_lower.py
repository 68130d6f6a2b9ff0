"""Lower triangles, strip by strip, against whole matrices."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir.readout.lower import add_lower, centre_lower, strips


@pytest.mark.parametrize("size", [0, 1, 256, 257, 700])
def test_strips_cover_every_row_once(size):
    rows = [i for first, last in strips(size) for i in range(first, last)]
    assert rows == list(range(size))


def whole(m, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-9, 9, (m, m)).astype(float)
    matrix += matrix.T
    spoilt = matrix.copy()
    spoilt[np.triu_indices(m, 1)] = np.nan
    return matrix, spoilt


@pytest.mark.parametrize("m", [1, 2, 19])
def test_only_the_lower_triangle_is_read_and_written(m):
    (a, spoilt), (b, other) = whole(m), whole(m, 1)
    for first, last in ((0, m // 2), (m // 2, m)):
        add_lower(spoilt, other, first, last)
    assert_array_equal(np.tril(spoilt), np.tril(a + b))
    assert np.isnan(spoilt[np.triu_indices(m, 1)]).all()


@pytest.mark.parametrize("m", [1, 2, 19])
def test_centring_takes_the_means_off_and_returns_the_squares(m):
    matrix, spoilt = whole(m)
    centre = np.random.default_rng(2).integers(-4, 4, m).astype(float)
    square = sum(centre_lower(spoilt, centre, 2.0, first, last) for first, last in ((0, m // 2), (m // 2, m)))
    assert_array_equal(np.tril(spoilt), np.tril(matrix - 2.0 * np.outer(centre, centre)))
    assert_allclose(square, np.sum(matrix**2), rtol=1e-15)
    assert np.isnan(spoilt[np.triu_indices(m, 1)]).all()
