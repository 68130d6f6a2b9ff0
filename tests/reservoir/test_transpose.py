"""A transpose is exact, and nothing is written beside it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from one_case import in_one_case
from reservoir.simd.transpose import fill_transpose

both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@both_types
@in_one_case("n_behind", [0, 3])
@in_one_case("shape", [(0, 3), (3, 0), (1, 1), (1, 40), (40, 1), (7, 9), (8, 16), (16, 16), (17, 33)])
def test_a_transpose_is_exact_and_leaves_what_is_behind_it(shape, n_behind, dtype):
    matrix = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    out = np.full((shape[1], shape[0] + n_behind), np.nan, dtype)
    fill_transpose(matrix, out)
    assert_array_equal(out[:, : shape[0]], matrix.T)
    assert np.isnan(out[:, shape[0] :]).all()
