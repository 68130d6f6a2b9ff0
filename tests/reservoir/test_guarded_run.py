"""Forecasts that are held to the range of the data: bounds, the kernel and the steps after it, warnings."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir import ESNForecaster, FreeRunDivergedWarning
from reservoir.drive.closed_loop import run_closed
from reservoir.estimators.free_run import guarded_run, warn_if_often_held

SMALL = {"n_units": 30, "in_degree": 5, "washout": 5, "random_state": 0}


def walks(n=120, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2)).cumsum(axis=0)


def wild(**settings):
    """More units than rows and no penalty: the free run leaves the data within a few steps."""
    return ESNForecaster(**SMALL | {"n_units": 300}, alpha=1e-12, solver="qr", **settings)


@pytest.mark.filterwarnings("ignore::reservoir.IllConditionedWarning")
def test_a_run_goes_on_from_the_kernel_as_if_it_had_been_run_step_by_step():
    exog = np.random.default_rng(1).normal(size=(120, 1))
    model = wild().fit([walks(), walks(seed=2)], exog=[exog, exog])
    lanes = model._lanes(model._synchronise([walks(), walks(seed=2)], [exog, exog], None, None), np.zeros((2, 40, 1)))
    found, is_held = guarded_run(model.reservoir_, model._task, lanes)
    right, held = run_closed(model.reservoir_, lanes)
    assert is_held.any(axis=1).all()
    # Runs that leave the data repeat rounding errors of the kernel; those before and at the first bound are compared.
    first = is_held.argmax(axis=1).max() + 1
    assert_allclose(found[:, :first], right[:, :first], rtol=1e-6, atol=1e-8)
    assert_array_equal(is_held[:, :first], held[:, :first])
    assert (found >= lanes.low).all() and (found <= lanes.high).all()


@pytest.mark.filterwarnings("ignore::reservoir.IllConditionedWarning")
def test_what_is_fed_back_stays_within_a_quarter_of_the_range():
    X = np.sin(0.3 * np.arange(200))[:, None] + 0.3 * np.random.default_rng(0).normal(size=(200, 1))
    for guard in (0.25, 1.0):
        with pytest.warns(FreeRunDivergedWarning, match="had to be held"):
            values = wild(guard=guard).fit(X).forecast(300)
        low, high = X.min(), X.max()
        outside = np.maximum(low - values, values - high).max() / (high - low)
        assert 0.9 * guard < outside < 1.1 * guard + 0.1  # the trend of noise is small, not 0


def test_a_run_that_stays_within_is_that_without_a_guard():
    X = np.sin(0.2 * np.arange(300))[:, None]
    make = lambda guard: ESNForecaster(**SMALL, alpha=1e-6, guard=guard).fit(X).forecast(100)  # noqa: E731
    assert_array_equal(make(0.25), make(None))


def test_a_warning_needs_more_than_a_hundredth_of_the_steps():
    is_held = np.zeros((2, 200), bool)
    is_held[1, 50:52] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_often_held(is_held)
    is_held[1, 90] = True
    with pytest.warns(FreeRunDivergedWarning, match="2% of the steps had to be held .* from step 50 on"):
        warn_if_often_held(is_held)
