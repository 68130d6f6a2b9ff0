"""Statistics of a sequence: the naive twin, pieces that become one, and names that are none."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive.pooling import pooled
from reservoir.readout.pooling import POOLINGS, Statistics, check_poolings

# A mean of 30 numbers near 1 rounds by a few eps, and a deviation from it as much.
ROUNDED = {"rtol": 1e-12, "atol": 1e-13}


@pytest.mark.parametrize("n_steps", [1, 2, 30])
def test_statistics_are_those_of_the_naive_twin(n_steps):
    values = np.random.default_rng(n_steps).normal(size=(n_steps, 3))
    values[:, 2] = -1.5
    assert_allclose(Statistics.of(values).features(POOLINGS), pooled([values], POOLINGS)[0], **ROUNDED)


@pytest.mark.parametrize("cut", [1, 7, 29])
def test_two_pieces_have_the_statistics_of_the_whole(cut):
    values = np.random.default_rng(0).normal(size=(30, 4)) + 3
    found = Statistics.of(values[:cut]).followed_by(Statistics.of(values[cut:]))
    assert_allclose(found.features(POOLINGS), Statistics.of(values).features(POOLINGS), **ROUNDED)


def test_a_spread_far_from_zero_keeps_its_digits_in_single_precision():
    values = np.float32(1000) + np.arange(50, dtype=np.float32)[:, None] / 64
    (found,) = Statistics.of(values).features(("std",))
    assert_allclose(found, np.std(values.astype(float)), rtol=1e-12)


def test_poolings_come_in_the_order_of_their_names():
    values = np.array([[1.0, -2.0], [3.0, -4.0]])
    assert_array_equal(Statistics.of(values).features(("last", "max")), [3, -4, 3, -2])


@pytest.mark.parametrize(
    ("pooling", "error", "message"),
    [
        (("mean", "median"), ValueError, r"pooling must be .*, got 'median'"),
        ("mean", ValueError, r"pooling must be 'auto', None or a tuple .* got 'mean'"),
        (3, TypeError, "pooling must be .*, got 3"),
        ((), ValueError, "pooling must be .* each once"),
        (("max", "max"), ValueError, "pooling must be .* each once"),
        ((1,), TypeError, "pooling must be"),
    ],
)
def test_names_that_are_none_are_refused(pooling, error, message):
    with pytest.raises(error, match=message):
        check_poolings(pooling)
