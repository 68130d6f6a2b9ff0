"""The search as scikit-learn's users meet it."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score

from reservoir import ESNForecaster, ESNRegressor, ESNSearchCV
from reservoir.model_selection import WarmSplit, free_run_scorer
from reservoir.search import held_out, search_cv

SMALL = {"n_units": 30, "in_degree": 5, "random_state": 0}
X = np.column_stack([np.sin(0.2 * np.arange(260)), np.cos(0.31 * np.arange(260))])
E = np.random.default_rng(0).normal(size=(260, 1))


def search(**settings):
    return ESNSearchCV(ESNForecaster(**SMALL), n_candidates=3, random_state=0, **settings)


@pytest.fixture(scope="module")
def found():
    return search().fit(X)


def test_results_have_scikit_learns_names(found):
    results, grid = found.cv_results_, {"leak_rate": [0.8, 1.0]}
    theirs = GridSearchCV(ESNForecaster(**SMALL, alpha=1e-6), grid, cv=WarmSplit(2, 94)).fit(X[:, :1]).cv_results_
    names = set(search(param_distributions=grid, cv=2).fit(X).cv_results_)
    assert names == set(theirs) | {"alpha"}
    assert all(len(values) == 3 for values in results.values())
    splits = np.stack([results[f"split{k}_test_score"] for k in range(3)])
    assert_allclose(results["mean_test_score"], splits.mean(axis=0))
    assert found.best_score_ == results["mean_test_score"].max() == results["mean_test_score"][found.best_index_]
    assert results["rank_test_score"][found.best_index_] == 1 and found.n_splits_ == 3
    assert found.best_params_ == results["params"][found.best_index_]


def test_the_best_candidate_answers(found):
    best = ESNForecaster(**SMALL, **found.best_params_).fit(X)
    assert_array_equal(found.forecast(5), best.forecast(5))
    assert_array_equal(found.forecast_interval(5).upper, best.forecast_interval(5).upper)
    assert_array_equal(found.forecast_paths(5, 3), best.forecast_paths(5, 3))
    assert_array_equal(found.predict(X), best.predict(X))
    assert found.score(X) == best.score(X) and found.n_features_in_ == 2
    again = search().fit(X[:200]).update(X[200:], refit=True)
    assert_allclose(again.forecast(5), again.best_estimator_.fit(X).forecast(5), rtol=1e-9)


def test_threads_do_not_matter(found):
    for n_jobs in (1, 2):
        scores = search(n_jobs=n_jobs).fit(X).cv_results_["mean_test_score"]
        assert_array_equal(scores, found.cv_results_["mean_test_score"])


def test_what_forecasts_better_is_chosen():
    space = {"input_scaling": [1e-9], "leak_rate": [1e-3]}
    assert search(param_distributions=space).fit(X).best_index_ == 0
    for scoring in ("neg_mean_absolute_error", lambda truth, found: -np.abs(found - truth).max()):
        other = search(param_distributions=space, scoring=scoring).fit(X)
        assert other.best_index_ == 0 and other.best_score_ < 0


def test_what_is_known_in_advance_reaches_every_candidate():
    driven = np.zeros((260, 1))
    for t in range(1, 260):
        driven[t] = 0.5 * driven[t - 1] + 0.4 * E[t]
    model = search().fit(driven[:200], exog=E[:200])
    assert model.best_score_ > 3
    assert_allclose(model.forecast(60, exog=E[200:]), driven[200:], atol=1e-3)
    cv = WarmSplit(TimeSeriesSplit(2, test_size=80), warm_up=100)
    with sklearn.config_context(enable_metadata_routing=True):
        ours = search().set_fit_request(exog=True).set_score_request(exog=True)
        assert cross_val_score(ours, driven, cv=cv, params={"exog": E}).min() > 0.99
        one = ESNForecaster(**SMALL, alpha=1e-6).set_fit_request(exog=True)
        theirs = GridSearchCV(one, {"leak_rate": [0.8, 1.0]}, cv=cv, scoring=free_run_scorer("r2", warm_up=100))
        assert theirs.fit(driven, exog=E).best_score_ > 0.99


def test_containers_and_several_series_come_through():
    table = pd.Series(X[:, 0], pd.date_range("2020", periods=260, freq="D"), name="x")
    model = search().fit(table)
    assert model.forecast(2).index[0] == pd.Timestamp("2020-09-17") and model.feature_names_in_ == ["x"]
    assert search().fit(X[:, 0]).forecast(2).shape == (2,)
    assert [len(each) for each in search().fit([X[:100], X[100:]]).forecast(4)] == [4, 4]


def test_an_interrupted_search_leaves_what_was_before(found, monkeypatch):
    judge, calls = held_out.HeldOut.judge, []

    def interrupted(self, model):
        calls.append(model)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return judge(self, model)

    monkeypatch.setattr(held_out.HeldOut, "judge", interrupted)
    before, fresh = dict(vars(found)), search(n_jobs=1)
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(X)
    assert not [name for name in vars(fresh) if name.endswith("_")]
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        found.fit(X[:100])
    assert vars(found) == before


def test_without_refit_there_are_no_forecasts():
    model = search(refit=False, param_distributions={"leak_rate": [0.5]}).fit(X)
    assert "leak_rate" in model.best_params_ and not hasattr(model, "best_estimator_")
    with pytest.raises(AttributeError, match="refit must be True"):
        model.forecast(3)
    with pytest.raises(NotFittedError):
        search().forecast(3)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"cv": 1}, ValueError, "cv must be an integer >= 2"),
        ({"n_steps": 0}, ValueError, "n_steps must be an integer >= 1"),
        ({"refit": "no"}, TypeError, "refit must be True or False"),
        ({"cv": 200}, ValueError, "X must have a row or more for each of cv=200 blocks"),
        ({"scoring": "accurate"}, ValueError, "accurate"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, kind, message):
    with pytest.raises(kind, match=message):
        search(**settings).fit(X)
    with pytest.raises(TypeError, match="estimator must be an ESNForecaster"):
        ESNSearchCV(ESNRegressor()).fit(X)


def test_progress_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(search_cv, "progress", lambda name, verbose: told.append)
    search(n_jobs=1, verbose=1, refit=False).fit(X[:100])
    assert told == [1 / 3, 2 / 3, 1.0]
