"""Every estimator in scikit-learn's hands: its checks, and its tools, which keep sequences whole."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

from contracts import ESTIMATORS, SUPERVISED, WITH_ROWS, every
from estimator_data import BATCH, BLOCKS, flat, parts, rows, with_ids
from reservoir import ESNSearchCV
from scikit_learn_checks import PIPELINES_FIT_THEIR_STEPS, NumberRows, clashes_with_sequences

# ------------------------------------------------------------------------------------------------- its checks


SEARCH = ESNSearchCV(ESTIMATORS["forecaster"].make(), n_candidates=2, cv=2, random_state=0)


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore::reservoir.IgnoredTargetWarning")  # the checks give y to whoever has a fit
@pytest.mark.filterwarnings("ignore::reservoir.ColdStartWarning")  # and score few rows
@parametrize_with_checks(
    [*(contract.make() for contract in ESTIMATORS.values()), SEARCH], expected_failed_checks=clashes_with_sequences
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.compiled
@parametrize_with_checks(
    [make_pipeline(NumberRows(), contract.make(sequence_column=0)) for contract in WITH_ROWS.values()],
    expected_failed_checks=lambda pipeline: PIPELINES_FIT_THEIR_STEPS,
)
def test_scikit_learn_check_when_every_row_is_a_sequence(estimator, check):
    check(estimator)


@every({name: contract for name, contract in WITH_ROWS.items() if contract.takes_weights})
def test_a_weight_is_a_repetition_when_every_row_is_a_sequence(contract):
    X = rows()
    y = contract.targets(X)
    times = np.random.default_rng(1).integers(0, 4, len(X))
    weighted = contract.make(alpha=1.0).fit(X, y, sample_weight=times, lengths=np.ones(len(X), int))
    repeated = contract.make(alpha=1.0)
    repeated.fit(X.repeat(times, axis=0), y.repeat(times), lengths=np.ones(times.sum(), int))
    assert_allclose(contract.answer(weighted, X), contract.answer(repeated, X), **BLOCKS)


# -------------------------------------------------------------------------------------------------- its tools

N_SEQUENCES = 9
EQUAL = (20,) * N_SEQUENCES


@pytest.fixture(scope="module")
def table():
    """Nine sequences of 20 rows with their ids in column 0, and folds that keep sequences whole."""
    X = with_ids(rows(sum(EQUAL)), EQUAL)
    return X, list(GroupKFold(3).split(X, groups=X[:, 0]))


def by_hand(contract, X, y, train, test, **parameters):
    """Model and predictions of one fold, the sequences given as lists."""
    n_train, n_test = len(train) // 20, len(test) // 20
    model = contract.make(**parameters)
    model.fit(parts(X[train, 1:], (20,) * n_train), parts(y[train], (20,) * n_train))
    return np.concatenate(model.predict(parts(X[test, 1:], (20,) * n_test)))


@every(SUPERVISED)
def test_cross_val_predict_sees_the_sequences(contract, table):
    X, folds = table
    y = contract.targets(X)
    found = cross_val_predict(contract.make(sequence_column=0), X, y, cv=folds)
    for train, test in folds:
        assert_array_equal(found[test], by_hand(contract, X, y, train, test))


@pytest.mark.slow
@every(SUPERVISED)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_sees_the_sequences(contract, table, n_jobs):
    X, folds = table
    y = contract.targets(X)
    grid = {"leak_rate": [0.5, 1.0]}
    scoring = "accuracy" if contract.target == "labels" else "neg_mean_squared_error"
    search = GridSearchCV(contract.make(sequence_column=0), grid, cv=folds, scoring=scoring, n_jobs=n_jobs).fit(X, y)
    for leak_rate, score in zip(grid["leak_rate"], search.cv_results_["mean_test_score"], strict=True):
        scores = []
        for train, test in folds:
            found = by_hand(contract, X, y, train, test, leak_rate=leak_rate)
            is_right = found == y[test] if contract.target == "labels" else -((found - y[test]) ** 2)
            scores.append(np.mean(is_right))
        assert_allclose(score, np.mean(scores), **BATCH)


@every(WITH_ROWS)
def test_a_scaler_before_the_estimator_keeps_the_sequences(contract, table):
    X, _ = table
    y = [] if contract.target is None else [contract.targets(X)]
    pipeline = make_pipeline(StandardScaler(), contract.make(sequence_column=0)).fit(X, *y)
    scaled = parts(StandardScaler().fit_transform(X[:, 1:]), EQUAL)
    by_list = contract.make().fit(scaled, *[parts(labels, EQUAL) for labels in y])
    assert_allclose(contract.answer(pipeline, X), flat(contract.answer(by_list, scaled)), **BATCH)


@every(WITH_ROWS)
def test_the_sequence_column_may_be_a_name(contract):
    frame = pd.DataFrame(with_ids(rows()), columns=["id", "a", "b", "c"])[["a", "id", "b", "c"]]
    model = contract.make(sequence_column="id").fit(frame, *contract.arguments(rows())[1:])
    by_list = contract.make().fit(*[parts(array) for array in contract.arguments(rows())])
    assert_array_equal(contract.answer(model, frame), flat(contract.answer(by_list, parts(rows()))))


@every(WITH_ROWS)
def test_feature_names_are_kept_and_checked(contract):
    frame = pd.DataFrame(rows(), columns=["a", "b", "c"])
    model = contract.make().fit(frame, *contract.arguments(rows())[1:])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        contract.answer(model, frame[["b", "a", "c"]])


def test_states_come_as_a_data_frame_when_asked_for():
    frame = pd.DataFrame(rows(), columns=["a", "b", "c"], index=pd.date_range("2020-01-01", periods=200))
    model = ESTIMATORS["transformer"].make().set_output(transform="pandas")
    states = model.fit_transform(frame)
    assert list(states.columns) == list(model.get_feature_names_out())
    assert states.index.equals(frame.index)


@every(ESTIMATORS)
def test_notebooks_show_the_estimator(contract):
    assert type(contract.make()).__name__ in estimator_html_repr(contract.make())
