"""Folds that begin warm: which rows they hold, which are scored, and that scikit-learn's tools go by them."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import get_scorer, r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from reservoir import ESNClassifier, ESNForecaster, ESNRegressor
from reservoir.metrics import nrmse
from reservoir.model_selection import WarmSplit, free_run_scorer, warm_scorer

SMALL = {"n_units": 30, "in_degree": 5, "random_state": 0}
TIME = TimeSeriesSplit(3, test_size=40)


def series(n=300):
    u = np.random.default_rng(0).uniform(-1, 1, (n, 1))
    return u, np.roll(u[:, 0], 3)


def numbered(lengths):
    """Sequences in one table with their ids in column 0."""
    u, y = series(sum(lengths))
    return np.column_stack([np.repeat(np.arange(len(lengths)), lengths), u]), y


# --------------------------------------------------------------------------------------------------------- folds


@pytest.mark.parametrize("X", [series()[0], pd.DataFrame(series()[0])], ids=["array", "frame"])
def test_every_fold_begins_with_the_rows_before_it(X):
    found = list(WarmSplit(TIME, warm_up=25).split(X))
    assert len(found) == WarmSplit(TIME, warm_up=25).get_n_splits(X) == 3
    for (train, test), (train_before, test_before) in zip(found, TIME.split(X), strict=True):
        assert_array_equal(train, train_before)
        assert_array_equal(test, np.r_[test_before[0] - 25 : test_before[-1] + 1])


def test_a_fold_with_nothing_before_it_pays_with_its_own_rows():
    X, _ = series(50)
    folds = [test for _, test in WarmSplit(5, warm_up=7).split(X)]
    assert_array_equal(folds[0], np.arange(10))
    assert_array_equal(folds[1], np.r_[3:20])
    scored = [test[7:] for test in folds]
    assert_array_equal(np.concatenate(scored), np.r_[7:50])


def test_a_warm_up_stays_within_its_sequence():
    X, _ = numbered((20, 30, 25))
    folds = [(np.arange(0), np.r_[10:20, 23:50, 70:75])]
    ((_, test),) = WarmSplit(folds, warm_up=4, sequence_column=0).split(X)
    assert_array_equal(test, np.r_[6:20, 20:50, 66:75])


def test_whole_sequences_are_left_as_they_are():
    X, y = numbered((20, 30, 25, 15))
    cv = GroupKFold(2)
    for warm, plain in zip(
        WarmSplit(cv, warm_up=5, sequence_column=0).split(X, y, X[:, 0]), cv.split(X, y, X[:, 0]), strict=True
    ):
        assert_array_equal(warm[1], plain[1])


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (lambda X: WarmSplit(KFold(3, shuffle=True, random_state=0), warm_up=5).split(X), "cv must .* consecutive"),
        (lambda X: WarmSplit(100, warm_up=5).split(X), r"cv must .* longer than warm_up=5, got 3 rows"),
        (lambda X: WarmSplit(3, warm_up=-1).split(X), "warm_up must be an integer >= 0"),
        (lambda X: WarmSplit(3, warm_up=5).split([X, X]), "X must be an array .* sequence_column="),
        (lambda X: WarmSplit(3, warm_up=5, sequence_column="id").split(X), "sequence_column='id' must name"),
        (lambda X: WarmSplit(3, warm_up=5, sequence_column=0).split(X % 1), "sequence_column=0 must keep"),
    ],
)
def test_folds_that_cannot_be_warm_are_refused(split, message):
    with pytest.raises(ValueError, match=message):
        list(split(numbered((100, 200))[0][:, [0]] + np.tile([[0.0], [0.5]], (150, 1))))


# -------------------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("metric", ["r2", "neg_mean_absolute_error"])
def test_the_warm_up_is_driven_through_and_not_scored(metric):
    u, y = series()
    model = ESNRegressor(**SMALL).fit(u[:200], y[:200])
    found = warm_scorer(metric, warm_up=30)(model, u[170:], y[170:])

    class Known(ESNRegressor):
        def predict(self, X):
            return model.predict(u[170:])[30:]

    assert found == get_scorer(metric)(Known(), u[200:], y[200:])


def test_weights_and_options_reach_the_metric():
    u, y = series()
    w = np.arange(100.0)
    model = ESNRegressor(**SMALL).fit(u[:200], y[:200])
    answer = model.predict(u[200:])[20:]
    scorer = warm_scorer(nrmse, warm_up=20, greater_is_better=False)
    assert scorer(model, u[200:], y[200:], sample_weight=w) == -nrmse(y[220:], answer, sample_weight=w[20:])
    assert pickle.loads(pickle.dumps(warm_scorer("r2", warm_up=20)))(model, u[200:], y[200:]) == r2_score(
        y[220:], answer
    )


def test_every_sequence_has_its_warm_up():
    X, y = numbered((40, 30, 50))
    model = ESNRegressor(**SMALL, sequence_column=0).fit(X, y)
    rows = np.r_[5:40, 45:70, 75:120]
    assert warm_scorer("r2", warm_up=5, sequence_column=0)(model, X, y) == r2_score(y[rows], model.predict(X)[rows])
    with pytest.raises(ValueError, match="sequence_column must be that of the estimator, 0, got None"):
        warm_scorer("r2", warm_up=5)(model, X, y)
    with pytest.raises(ValueError, match="X must hold sequences longer than warm_up=30, got 30 rows"):
        warm_scorer("r2", warm_up=30, sequence_column=0)(model, X, y)


def test_probabilities_of_rows_are_scored_alike():
    u, y = series()
    labels = np.where(y > 0, "up", "down")
    model = ESNClassifier(**SMALL).fit(u[:200], labels[:200])
    found = warm_scorer("roc_auc", warm_up=20)(model, u[180:], labels[180:])
    expected = model.predict(u[180:], initial_state=None)
    assert found > 0.95
    assert warm_scorer("accuracy", warm_up=20)(model, u[180:], labels[180:]) == np.mean(expected[20:] == labels[200:])


def test_a_metric_is_a_name_or_a_function():
    for metric, options in ((3, {}), ("r2", {"greater_is_better": False})):
        with pytest.raises(TypeError, match="metric must be the name of a scorer without options, or a callable"):
            warm_scorer(metric, warm_up=3, **options)


# --------------------------------------------------------------------------------------------------------- tools


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_search_scores_the_same_warm_rows_of_every_candidate(n_jobs):
    u, y = series()
    cv = WarmSplit(TIME, warm_up=30)
    grid = {"leak_rate": [0.3, 1.0], "washout": [0, 40]}
    search = GridSearchCV(ESNRegressor(**SMALL), grid, cv=cv, scoring=warm_scorer("r2", warm_up=30), n_jobs=n_jobs)
    results = search.fit(u, y).cv_results_
    for parameters, found in zip(results["params"], results["mean_test_score"], strict=True):
        scores = []
        for train, test in TIME.split(u):
            warm = np.r_[test[0] - 30 : test[-1] + 1]
            answer = ESNRegressor(**SMALL, **parameters).fit(u[train], y[train]).predict(u[warm])
            scores.append(r2_score(y[test], answer[30:]))
        assert found == np.mean(scores)
    assert clone(search).cv.warm_up == 30


def test_folds_of_sequences_in_a_pipeline():
    X, y = numbered((60,) * 6)
    frame, step = pd.DataFrame(X, columns=["id", "u"]), np.arange(360) % 60
    folds = [(np.flatnonzero(step < k), np.flatnonzero((k <= step) & (step < k + 10))) for k in (40, 50)]
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), ESNRegressor(**SMALL, sequence_column="id"))
    cv = WarmSplit(folds, warm_up=20, sequence_column="id")
    found = cross_val_score(model, frame, y, cv=cv, scoring=warm_scorer("r2", warm_up=20, sequence_column="id"))
    for score, (train, test), k in zip(found, folds, (40, 50), strict=True):
        warm = np.flatnonzero((k - 20 <= step) & (step < k + 10))
        answer = clone(model).fit(frame.iloc[train], y[train]).predict(frame.iloc[warm])
        assert score == r2_score(y[test], answer[np.isin(warm, test)]) > 0.5


def test_groups_are_routed_to_the_splitter():
    X, y = numbered((30,) * 4)
    cv = WarmSplit(GroupKFold(2), warm_up=5, sequence_column=0)
    model, scorer = ESNRegressor(**SMALL, sequence_column=0), warm_scorer("r2", warm_up=5, sequence_column=0)
    plain = cross_val_score(model, X, y, cv=cv, scoring=scorer, groups=X[:, 0])
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(groups=False).set_score_request(groups=False)
        routed = cross_val_score(model, X, y, cv=cv, scoring=scorer, params={"groups": X[:, 0]})
    assert_array_equal(routed, plain)


# ------------------------------------------------------------------------------------------------------ free runs


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, np.ravel])
def test_a_forecaster_is_scored_by_its_free_run(make):
    X = make(np.sin(0.3 * np.arange(400))[:, None])
    model = ESNForecaster(**SMALL, washout=20)
    scores = cross_val_score(
        model, X, cv=WarmSplit(TIME, warm_up=70), scoring=free_run_scorer(nrmse, warm_up=70, greater_is_better=False)
    )
    for score, (train, test) in zip(scores, TIME.split(X), strict=True):
        free = model.fit(X[: len(train)]).forecast(40, context=X[test[0] - 70 : test[0]])
        assert score == -nrmse(np.asarray(X)[test], free)


def test_free_runs_need_a_context_and_one_series():
    X, _ = series()
    with pytest.raises(ValueError, match="warm_up must be an integer >= 1"):
        free_run_scorer("r2", warm_up=0)
    with pytest.raises(ValueError, match="X must be a series longer than warm_up=300"):
        free_run_scorer("r2", warm_up=300)(ESNForecaster(), X)
    with pytest.raises(NotImplementedError, match="sequence_column must be None"):
        free_run_scorer("r2", warm_up=3)(ESNForecaster(sequence_column=0), X)


def test_a_search_on_threads_finds_what_one_alone_does():
    X, y = series()
    grid = {"spectral_radius": [0.5, 0.9], "leak_rate": [0.3, 1.0]}

    def scores(n_jobs):
        cv, scoring = WarmSplit(TIME, warm_up=30), warm_scorer("r2", warm_up=30)
        search = GridSearchCV(ESNRegressor(**SMALL, n_jobs=1), grid, cv=cv, scoring=scoring, n_jobs=n_jobs)
        with parallel_config("threading"):
            return search.fit(X, y).cv_results_["mean_test_score"]

    assert_array_equal(scores(2), scores(1))
