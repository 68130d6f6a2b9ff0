"""Single steps, scores and updates of a forecaster."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir import ColdStartWarning, ESNForecaster

SMALL = {"n_units": 40, "in_degree": 5, "washout": 10, "alpha": 1e-6, "random_state": 0}
CLOSED = {"rtol": 1e-7, "atol": 1e-8}


def series(n=300, seed=0):
    e = np.random.default_rng(seed).uniform(-1, 1, (n, 1))
    t = 0.2 * np.arange(n)
    return np.column_stack([np.sin(t), np.cos(t) + 0.2 * e[:, 0]]) * 3.0 + 5.0, e


@pytest.mark.parametrize("difference", [None, 1, 4])
@pytest.mark.parametrize("has_exog", [False, True])
def test_a_row_is_predicted_as_the_first_step_of_a_forecast_from_those_before(difference, has_exog):
    X, e = series()
    model = ESNForecaster(**SMALL, difference=difference, guard=None).fit(X, exog=e if has_exog else None)
    found, lag = model.predict(X, exog=e if has_exog else None), difference or 0
    assert np.isnan(found[: lag + 1]).all() and np.isfinite(found[lag + 1 :]).all()
    for t in (lag + 64, lag + 70, 100):
        given = {"exog": e[t : t + 1], "context_exog": e[:t]} if has_exog else {}
        assert_allclose(found[t], model.forecast(1, context=X[:t], **given)[0], **CLOSED)


def test_every_series_is_predicted_by_itself():
    X, _ = series()
    model = ESNForecaster(**SMALL).fit(X)
    several = model.predict([X[:100], X[:1], X[100:150]])
    assert np.isnan(several[1]).all()
    assert_array_equal(several[0], model.predict(X[:100]))
    assert_array_equal(several[2], model.predict(X[100:150]))
    assert np.isnan(model.predict(X[:1])).all()


def test_pandas_objects_are_predicted_in_their_container():
    pd = pytest.importorskip("pandas")
    X, _ = series()
    table = pd.DataFrame(X, pd.date_range("2020", periods=len(X), freq="h"), columns=["a", "b"])
    model = ESNForecaster(**SMALL).fit(table)
    found = model.predict(table)
    assert found.index.equals(table.index) and list(found.columns) == ["a", "b"]
    column = ESNForecaster(**SMALL).fit(table["a"]).predict(table["a"])
    assert column.name == "a" and np.isnan(column.iloc[0])


def test_the_score_is_that_of_a_free_run_after_the_rows_that_are_remembered():
    X, e = series()
    model = ESNForecaster(**SMALL).fit(X[:160], exog=e[:160])
    X, e = X[160:], e[160:]
    n = 64  # remembered, for 0.93 to the power of it is 0.01
    free = model.forecast(76, X[:n], e[n:], context_exog=e[:n])
    errors = ((free - X[n:]) ** 2).sum(axis=0) / ((X[n:] - X[n:].mean(axis=0)) ** 2).sum(axis=0)
    assert model.score(X, exog=e) == pytest.approx(1 - errors.mean(), rel=1e-9)
    with pytest.warns(ColdStartWarning, match="half of X must have the 64 rows.*got 50"):
        found = model.score(X[:100], exog=e[:100])
    with pytest.warns(ColdStartWarning, match="context must have"):
        free = model.forecast(50, X[:50], e[50:100], context_exog=e[:50])
    errors = ((free - X[50:100]) ** 2).sum(axis=0) / ((X[50:100] - X[50:100].mean(axis=0)) ** 2).sum(axis=0)
    assert found == pytest.approx(1 - errors.mean(), rel=1e-9)
    with pytest.raises(ValueError, match="X must be one series of at least 4 rows"):
        model.score(X[:3], exog=e[:3])


@pytest.mark.parametrize("difference", [None, 3])
def test_an_update_goes_on_as_if_the_rows_had_come_at_once(difference):
    X, e = series()
    fit = lambda: ESNForecaster(**SMALL, difference=difference).fit(X[:200], exog=e[:200])  # noqa: E731
    model = fit().update(X[200:201], exog=e[200:201]).update(X[201:], exog=e[201:])
    right = fit().forecast(20, context=X, context_exog=e, exog=e[:20])
    assert_allclose(model.forecast(20, exog=e[:20]), right, **CLOSED)


def test_an_update_moves_every_series_and_its_index():
    pd = pytest.importorskip("pandas")
    X, _ = series()
    table = pd.DataFrame(X, pd.date_range("2020", periods=len(X), freq="h"), columns=["a", "b"])
    model = ESNForecaster(**SMALL).fit([table[:200], table[:100]]).update([table[200:210], table[100:101]])
    first, second = model.forecast(2)
    assert first.index[0] == table.index[210] and second.index[0] == table.index[101]
    assert_allclose(second.to_numpy(), model.forecast(2, context=table[:101]), **CLOSED)
    with pytest.raises(ValueError, match="each of the 2 series of fit, got 1"):
        model.update(table[210:])


@pytest.mark.parametrize("alpha", [1e-6, "auto"])
@pytest.mark.parametrize("settings", [{}, {"difference": 3, "n_members": 2}, {"state_noise": 1e-3}])
def test_a_refit_is_a_fit_of_all_rows(alpha, settings):
    X, e = series()
    settings = SMALL | {"alpha": alpha} | settings
    pieces = ESNForecaster(**settings).fit(X[:200], exog=e[:200]).update(X[200:250], exog=e[200:250])
    pieces.update(X[250:], exog=e[250:], refit=True)
    whole = ESNForecaster(**settings).fit(X, exog=e)
    for name in ("coef_", "intercept_", "state_", "last_", "range_", "alpha_"):
        assert_array_equal(getattr(pieces, name), getattr(whole, name))
    assert_array_equal(pieces.forecast(9, exog=e[:9]), whole.forecast(9, exog=e[:9]))
    assert_array_equal(pieces.seen_.rows, whole.seen_.rows)


def test_a_refit_keeps_a_reservoir_that_nobody_can_draw_again():
    X, _ = series()
    model = ESNForecaster(**SMALL | {"random_state": None}).fit([X[:100], X[100:180]])
    reservoir = model.reservoir_
    model.update([X[100:120], X[180:200]], refit=True)
    assert model.reservoir_ is reservoir
    kept = ESNForecaster(**SMALL, warm_start=True)
    kept.reservoir_, kept.noise_seed_ = reservoir, model.noise_seed_
    assert_allclose(model.coef_, kept.fit([X[:120], X[100:200]]).coef_, rtol=1e-9)


def test_what_is_given_to_fit_may_be_changed_afterwards():
    X, _ = series()
    given = X[:200].copy()
    model = ESNForecaster(**SMALL).fit(given)
    given[:] = 0
    assert_array_equal(model.update(X[200:], refit=True).coef_, ESNForecaster(**SMALL).fit(X).coef_)
    with pytest.raises(TypeError, match="refit must be True or False"):
        model.update(X[:10], refit="yes")


def test_an_update_that_fails_changes_no_member(monkeypatch):
    X, _ = series()
    model = ESNForecaster(**SMALL, n_members=3).fit(X[:200])
    before = model.forecast(5)
    calls, go_on = [], ESNForecaster._go_on

    def failing(self, *args):
        calls.append(self)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return go_on(self, *args)

    monkeypatch.setattr(ESNForecaster, "_go_on", failing)
    with pytest.raises(KeyboardInterrupt):
        model.update(X[200:])
    assert_array_equal(model.forecast(5), before)
