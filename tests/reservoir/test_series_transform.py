"""Differences, standardising and bounds: there and back again."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir import ESNForecaster
from reservoir.data.sequences import Sequences
from reservoir.data.series_transform import SeriesTransform


def two_series(seed=0):
    rng = np.random.default_rng(seed)
    return Sequences(rng.normal(5.0, 3.0, (50, 2)), np.array([0, 20, 50]))


@pytest.mark.parametrize("lag", [0, 1, 2, 7])
@pytest.mark.parametrize("standardize", [True, False])
def test_backward_undoes_forward(lag, standardize):
    X = two_series()
    transform = SeriesTransform.learnt(X, lag=lag, standardize=standardize)
    z = transform.forward(X)
    assert_array_equal(z.lengths, X.lengths - lag)
    for begin, end, start in zip(X.offsets[:-1], X.offsets[1:], z.offsets[:-1], strict=True):
        recent, future = X.rows[begin : begin + lag + 1], X.rows[begin + lag + 1 : end]
        steps = z.rows[start + 1 : start + len(future) + 1]
        assert_allclose(transform.backward(steps[None], recent[None])[0], future, rtol=1e-12)
        assert_allclose(transform.latest(recent[None])[0], z.rows[start], rtol=1e-12)


def test_what_is_standardised_has_mean_0_and_deviation_1_and_a_constant_stays():
    X = Sequences(np.column_stack([two_series().rows, np.full(50, 7.1)]), np.array([0, 50]))
    z = SeriesTransform.learnt(X).forward(X).rows
    assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    assert_allclose(z.std(axis=0), [1, 1, 0], atol=1e-12)


def test_bounds_follow_the_trend_on_its_side_for_two_training_lengths():
    n = 40
    X = Sequences(np.column_stack([np.arange(n) * 1.0, np.arange(n) % 2 - 0.05 * np.arange(n)]), np.array([0, n]))
    transform = SeriesTransform.learnt(X, standardize=False)
    low, high = transform.bounds(3 * n, 0.25)
    assert low.shape == high.shape == (1, 3 * n, 2)
    up = np.minimum(np.arange(n, 4 * n), 3 * n - 1)
    assert_allclose(high[0, :, 0] - up, high[0, 0, 0] - n, atol=1e-9)  # the line itself is within
    assert (high[0, :, 0] >= up).all() and np.ptp(low[0, :, 0]) == 0
    assert np.ptp(high[0, :, 1]) == 0 and low[0, 2 * n, 1] < low[0, 0, 1] - 0.9 * 0.05 * 2 * n
    assert_array_equal(low[0, 2 * n :, 1], low[0, -1, 1])


def test_bounds_do_not_clip_growth_that_gathers_speed():
    t = np.arange(200.0)[:, None]
    transform = SeriesTransform.learnt(Sequences(t[:160] ** 2, np.array([0, 160])))
    z = transform.forward(Sequences(t[160:184] ** 2, np.array([0, 24]))).rows
    assert (z <= transform.bounds(24, 0.25)[1][0]).all()


def test_bounds_hold_what_a_context_has_shown():
    X = two_series()
    transform = SeriesTransform.learnt(X, standardize=False)
    context = Sequences(np.array([[100.0, 0.0], [0.0, -100.0]]), np.array([0, 1, 2]))
    low, high = transform.bounds(1, 0.25, context)
    assert high[0, 0, 0] > 100 and low[1, 0, 1] < -100
    assert high[1, 0, 0] < 40 and low[0, 0, 1] > -40


def test_a_damaged_transform_is_refused():
    transform = SeriesTransform.learnt(two_series())
    with pytest.raises(ValueError, match="scale must be finite"):
        SeriesTransform(**vars(transform) | {"scale": np.zeros(2)})
    with pytest.raises(ValueError, match="low must be finite"):
        SeriesTransform(**vars(transform) | {"low": np.zeros(3)})


def test_numbers_whose_squares_overflow_are_refused():
    with pytest.raises(ValueError, match=r"X and exog must hold numbers of at most 1e\+150.*got 1.7e\+308"):
        ESNForecaster(5, random_state=0).fit(np.array([[0.1], [1.7e308], [0.2]]))
