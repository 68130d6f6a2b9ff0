"""Paths and intervals: what is drawn, what it must hold, in what form it comes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir import ESNForecaster, load
from reservoir.forecasting import free_run_penalty

SMALL = {"n_units": 30, "in_degree": 5, "random_state": 0}


def autoregression(n, seed=0, rho=0.8):
    e = np.random.default_rng(seed).normal(size=n)
    x = np.zeros(n)
    for t in range(1, n):
        x[t] = rho * x[t - 1] + e[t]
    return x[:, None]


def test_paths_without_errors_are_the_forecast():
    model = ESNForecaster(**SMALL).fit(autoregression(200))
    model.residuals_ = np.zeros((5, 4, 1))
    for path in model.forecast_paths(10, 3):
        assert_allclose(path, model.forecast(10), rtol=1e-6, atol=1e-8)


def test_paths_are_the_same_until_another_seed_is_given(tmp_path):
    model = ESNForecaster(**SMALL).fit(autoregression(200))
    paths = model.forecast_paths(5, 4)
    assert paths.shape == (4, 5, 1) and len(np.unique(paths[:, 0])) == 4
    assert_array_equal(paths, model.forecast_paths(5, 4))
    assert not np.array_equal(paths, model.forecast_paths(5, 4, random_state=1))
    model.save(tmp_path / "model.npz")
    assert_array_equal(load(tmp_path / "model.npz").forecast_paths(5, 4), paths)


@pytest.mark.parametrize("difference", [None, 1])
def test_paths_spread_as_the_residuals_and_bounds_hold_their_share(difference):
    model = ESNForecaster(**SMALL, difference=difference).fit(autoregression(200))
    n_known = model.residuals_.shape[1]
    found = model.forecast_interval(n_known + 20, 0.8)
    paths = model.forecast_paths(n_known + 20, 2000)
    root = np.sqrt(np.mean(model.residuals_**2, axis=0))
    errors = paths - found.point
    assert_allclose(np.sqrt(np.mean(errors[:, :n_known] ** 2, axis=0)), root, rtol=0.1)  # a draw has a deviation of 2 %
    grown = errors[:, -1].std() / errors[:, n_known - 1].std()
    assert_allclose(grown, 1.0 if difference is None else np.sqrt(1 + 20 / n_known))
    inside = ((found.lower < paths) & (paths < found.upper)).mean(axis=0)
    assert_allclose(inside, 0.8, atol=0.05)
    together = np.mean(errors[:, 0] * errors[:, 1]) / np.prod(root[:2])
    assert_allclose(together, np.mean(model.residuals_[:, 0] * model.residuals_[:, 1]) / np.prod(root[:2]), atol=0.1)


def test_an_interval_covers_what_it_says():
    x = autoregression(2000, seed=3)
    model, n_inside = ESNForecaster(**SMALL).fit(x[:400]), []
    for origin in range(450, 1950, 50):
        found = model.forecast_interval(12, 0.8, context=x[origin - 64 : origin])
        assert (found.lower <= found.upper).all()
        n_inside.append(((found.lower <= x[origin : origin + 12]) & (x[origin : origin + 12] <= found.upper)).mean())
    # 30 origins of 12 steps that hang together: about 90 independent ones, a deviation of 4 %.
    assert 0.68 < np.mean(n_inside) < 0.92
    assert found.coverage == 0.8
    assert_array_equal(found.point, model.forecast(12, context=x[1836:1900]))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_bounds_are_finite_where_free_runs_over_rows_held_out_left_all_bounds(value, monkeypatch):
    monkeypatch.setattr(
        free_run_penalty, "run_closed", lambda reservoir, lanes: (np.full((*lanes.exog.shape[:2], 1), value), None)
    )
    model = ESNForecaster(**SMALL).fit(autoregression(40))
    assert np.abs(model.residuals_).max() > 1e99
    assert np.isfinite(model.forecast_interval(3).upper).all()


@pytest.mark.parametrize("n", [3, 4])
def test_a_few_rows_have_bounds_or_are_refused(n):
    x = autoregression(n)
    assert len(ESNForecaster(**SMALL).fit(x).forecast_interval(2).upper) == 2
    with pytest.raises(ValueError, match="X more than a few rows"):
        ESNForecaster(**SMALL, washout=n - 2).fit(x).forecast_interval(2)


def test_several_series_and_tables_keep_their_form():
    pd = pytest.importorskip("pandas")
    x = autoregression(200)
    model = ESNForecaster(**SMALL).fit([x, x[:150]])
    assert [paths.shape for paths in model.forecast_paths(3, 2)] == [(2, 3, 1)] * 2
    assert [bound.shape for bound in model.forecast_interval(3).lower] == [(3, 1)] * 2
    table = pd.Series(x[:, 0], pd.date_range("2020", periods=200, freq="D"), name="x")
    found = ESNForecaster(**SMALL).fit(table).forecast_interval(3)
    for part in (found.point, found.lower, found.upper):
        assert part.name == "x" and part.index.equals(pd.date_range(table.index[-1], periods=4, freq="D")[1:])


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90])
def test_a_coverage_outside_0_and_1_is_refused(coverage):
    with pytest.raises(ValueError, match="coverage must be a finite number in"):
        ESNForecaster(**SMALL).fit(autoregression(100)).forecast_interval(3, coverage)


def test_a_given_penalty_holds_no_rows_out():
    with pytest.raises(ValueError, match=r"alpha must be 'auto' for paths and intervals, got 0\.1"):
        ESNForecaster(**SMALL, alpha=0.1).fit(autoregression(100)).forecast_paths(3)
