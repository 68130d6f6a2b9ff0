"""Clipping by value and by norm."""

import numpy as np
import pytest

from optim import clip_by_norm, clip_by_value
from optim.long_vectors import BLOCK, norm

# A float64 sum of n squares, rounded n times at worst.
NORM_RTOL = 1e-13


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 1])
def test_norm_is_that_of_numpy(size):
    vector = np.random.default_rng(0).standard_normal(size)
    assert norm(vector) == pytest.approx(float(np.linalg.norm(vector)), rel=NORM_RTOL)


def test_norm_of_float32_is_summed_in_float64():
    # In float32 the sum stops growing at 2^24.
    vector = np.full(2**24 + 2**20, 1.0, np.float32)
    assert norm(vector) ** 2 == pytest.approx(vector.size, rel=NORM_RTOL)


def test_norm_is_not_squared():
    grad = np.array([0.3, 0.4])
    np.testing.assert_array_equal(clip_by_norm(grad, 0.5), grad)
    assert norm(clip_by_norm(grad, 0.1)) == pytest.approx(0.1, rel=NORM_RTOL)


def test_clipping_by_norm_keeps_the_direction_and_by_value_the_signs():
    grad = np.random.default_rng(1).standard_normal(50)
    clipped = clip_by_norm(grad, 1.0)
    assert clipped @ grad == pytest.approx(norm(grad), rel=NORM_RTOL)
    np.testing.assert_array_equal(np.sign(clip_by_value(grad, 0.2)), np.sign(grad))
    assert np.max(np.abs(clip_by_value(grad, 0.2))) == 0.2


@pytest.mark.parametrize("clip", [clip_by_norm, clip_by_value])
def test_out_may_be_the_gradient_itself(clip):
    grad = np.random.default_rng(2).standard_normal(20).astype(np.float32)
    expected = clip(grad, 0.5)
    assert clip(grad, 0.5, out=grad) is grad and grad.dtype == np.float32
    np.testing.assert_array_equal(grad, expected)


@pytest.mark.parametrize("clip", [clip_by_norm, clip_by_value])
def test_a_limit_that_is_none_is_named(clip):
    for limit in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="limit must be a finite number > 0, got"):
            clip(np.ones(2), limit)
    with pytest.raises(TypeError, match="limit must be a finite number > 0, got 'small'"):
        clip(np.ones(2), "small")
