"""What every estimator keeps: scikit-learn's checks, whole sequences, helpful errors, exact round trips."""

import io
import pickle
import tempfile
from functools import cache
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

import reservoir
from contracts import ESTIMATORS, REGRESSORS, SUPERVISED, WITH_ROWS, every

# A state of 30 units at radius 0.9 is a sum of some tens of rounded terms, and forgets its errors.
BATCH = {"rtol": 1e-12, "atol": 1e-12}
# Two orders of summing a Gram differ by some 1e-15 relative. The condition of the penalised Gram multiplies
# that: with alpha = 1 and 33 features of order 1 at most 200 * 33, for some 400 repeated rows twice that.
BLOCKS = {"rtol": 1e-10, "atol": 1e-10}
# float32 states are off by some 1e-6, and a penalty of 1 keeps the sum of |coefficients| below 100.
SINGLE = {"rtol": 1e-4, "atol": 1e-4}

LENGTHS = (60, 1, 45, 94)
N_ROWS = 200


def rows(n_rows=N_ROWS, n_features=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_features))


def parts(X, lengths=LENGTHS):
    return np.split(X, np.cumsum(lengths)[:-1])


def with_ids(X, lengths=LENGTHS):
    """``X`` behind a column of ids that are no counting numbers."""
    return np.column_stack([np.repeat(7.5 - np.arange(len(lengths)), lengths), X])


def flat(answer):
    return np.concatenate(answer) if isinstance(answer, list) else answer


def long_enough(contract):
    """Lengths that leave a forecaster's washout something to learn from."""
    return LENGTHS if contract.has_rows else (60, 11, 45, 84)


@cache
def fitted(contract):
    X = rows()
    return contract.make().fit(*contract.arguments(X))


# -------------------------------------------------------------------------------------- scikit-learn's checks

SEQUENCES_ARE_NOT_ROWS = {
    "check_methods_sample_order_invariance": "rows in another order are another sequence",
    "check_methods_subset_invariance": "the answer at a row depends on the rows before it",
    "check_sample_weight_equivalence_on_dense_data": "a row of weight 0 is remembered, a row left out is not",
}


def clashes_with_sequences(estimator):
    """The checks that must fail: strict, so that a check that passes against expectation fails the build."""
    answers_rows = hasattr(estimator, "predict") or hasattr(estimator, "transform")
    clashes = [name for name in SEQUENCES_ARE_NOT_ROWS if answers_rows and "sample_weight" not in name]
    if answers_rows and has_fit_parameter(estimator, "sample_weight"):
        clashes.append("check_sample_weight_equivalence_on_dense_data")
    return {name: SEQUENCES_ARE_NOT_ROWS[name] for name in clashes}


@pytest.mark.compiled
@parametrize_with_checks(
    [contract.make() for contract in ESTIMATORS.values()], expected_failed_checks=clashes_with_sequences
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


class NumberRows(TransformerMixin, BaseEstimator):
    """Puts a running number before every row, by which each row becomes a sequence of its own."""

    def fit(self, X, y=None):
        validate_data(self, X)
        return self

    def transform(self, X):
        check_is_fitted(self, "n_features_in_")
        X = validate_data(self, X, reset=False)
        return np.column_stack([np.arange(len(X), dtype=X.dtype), X])

    def get_feature_names_out(self, input_features=None):
        return np.array(["row", *(f"x{column}" for column in range(self.n_features_in_))], dtype=object)


PIPELINES_FIT_THEIR_STEPS = {
    "check_dont_overwrite_parameters": "every pipeline keeps its fitted steps in its parameter",
    "check_estimators_overwrite_params": "every pipeline keeps its fitted steps in its parameter",
}


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


# --------------------------------------------------------------------------------------- sequences never leak


def forms(contract, X, y, lengths):
    """The forms of the same sequences: name, constructor's, positional and keyword arguments."""
    targets = [] if y is None else [y]
    ids = np.repeat(np.arange(len(lengths)), lengths)
    yield "list", {}, (parts(X, lengths), *[parts(y, lengths) for y in targets]), {}
    yield "lengths", {}, (X, *targets), {"lengths": lengths}
    if contract.has_rows:
        yield "groups", {}, (X, *targets), {"groups": ids}
    yield "column", {"sequence_column": 0}, (with_ids(X, lengths), *targets), {}


@every(ESTIMATORS)
def test_every_form_of_the_data_fits_the_same_model(contract):
    lengths = long_enough(contract)
    X = rows()
    answers = {}
    for form, parameters, data, sequences in forms(contract, X, contract.targets(X), lengths):
        model = contract.make(**parameters).fit(*data, **sequences)
        one = with_ids(X[-60:], (60,)) if parameters else X[-60:]
        answers[form] = contract.answer(model, one)
    for form, answer in answers.items():
        assert_array_equal(answer, answers["list"], err_msg=form)


@every(WITH_ROWS)
def test_every_form_of_the_data_gets_the_same_answer(contract):
    model = fitted(contract)
    expected = np.concatenate([contract.answer(model, part) for part in parts(rows())])
    for form, parameters, data, sequences in forms(contract, rows(), None, LENGTHS):
        if not parameters:
            assert_allclose(flat(contract.answer(model, *data, **sequences)), expected, **BATCH, err_msg=form)


@every(WITH_ROWS)
def test_a_three_dimensional_array_is_a_list_of_equal_sequences(contract):
    X = rows(60).reshape(4, 15, 3)
    answer = contract.answer(fitted(contract), X)
    assert isinstance(answer, np.ndarray) and answer.shape[:2] == (4, 15)
    assert_array_equal(answer, np.stack(contract.answer(fitted(contract), list(X))))


@pytest.mark.compiled
@every(WITH_ROWS)
@settings(max_examples=200)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 2**32 - 1))
def test_a_batch_is_a_loop_over_its_members_in_any_order(contract, lengths, seed):
    sequences = parts(rows(sum(lengths), seed=seed), lengths)
    order = np.random.default_rng(seed).permutation(len(lengths))
    model = fitted(contract)
    batch = contract.answer(model, sequences)
    permuted = contract.answer(model, [sequences[i] for i in order])
    assert [len(answer) for answer in batch] == lengths
    for i, place in enumerate(np.argsort(order)):
        assert_allclose(batch[i], contract.answer(model, sequences[i]), **BATCH)
        assert_allclose(permuted[place], batch[i], **BATCH)


@every(WITH_ROWS)
def test_a_batch_in_single_precision_is_a_loop_over_its_members(contract):
    sequences = parts(rows().astype(np.float32))
    model = contract.make(alpha=1.0) if contract.target else contract.make()
    model.fit(*contract.arguments(rows().astype(np.float32)))
    for answer, sequence in zip(contract.answer(model, sequences), sequences, strict=True):
        assert_allclose(answer, contract.answer(model, sequence), rtol=1e-5, atol=1e-5)


@every(WITH_ROWS)
def test_the_answer_does_not_depend_on_rows_to_come(contract):
    X = rows()
    whole = contract.answer(fitted(contract), X)
    assert_allclose(contract.answer(fitted(contract), X[:50]), whole[:50], **BATCH)


@every(WITH_ROWS)
def test_predicting_twice_starts_from_rest_twice(contract):
    assert_array_equal(contract.answer(fitted(contract), rows()), contract.answer(fitted(contract), rows()))


@every(REGRESSORS)
def test_a_state_handed_over_continues_the_sequence(contract):
    X = rows()
    head, state = fitted(contract).predict(X[:70], return_state=True)
    tail = fitted(contract).predict(X[70:], initial_state=state)
    assert_allclose(np.concatenate([head, tail]), fitted(contract).predict(X), **BATCH)


# --------------------------------------------------------------------------------------- scikit-learn's tools

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


# ------------------------------------------------------------------------------------------------ round trips


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_cloudpickle(model):
    return pickle.loads(cloudpickle.dumps(model))


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(io.BytesIO(file.getvalue()))


def through_a_file_without_code(model):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        model.save(path)
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype.kind != "O" for name in arrays.files)
        return reservoir.load(path)


def through_clone_and_fit(model):
    X = rows()
    contract = next(contract for contract in ESTIMATORS.values() if fitted(contract) is model)
    return clone(model).fit(*contract.arguments(X))


TRIPS = {
    function.__name__: function
    for function in (
        *(through_pickle, through_cloudpickle, through_joblib),
        *(through_a_file_without_code, through_clone_and_fit),
    )
}


@every(ESTIMATORS)
@pytest.mark.parametrize("trip", TRIPS.values(), ids=list(TRIPS))
def test_a_round_trip_answers_the_same_bits(contract, trip):
    model = fitted(contract)
    returned = trip(model)
    assert type(returned) is type(model)
    assert_array_equal(contract.answer(returned, rows(seed=1)), contract.answer(model, rows(seed=1)))
    assert repr(returned.get_params()) == repr(model.get_params())


@every(ESTIMATORS)
def test_a_saved_model_can_be_fitted_again(contract):
    again = through_a_file_without_code(fitted(contract)).fit(*contract.arguments(rows()))
    assert_array_equal(contract.answer(again, rows()), contract.answer(fitted(contract), rows()))


@every(ESTIMATORS)
def test_an_unfitted_model_is_not_saved(contract, tmp_path):
    with pytest.raises(NotFittedError):
        contract.make().save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_a_file_that_needs_code_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError):
        reservoir.load(path)


# --------------------------------------------------------------------------------------- inputs of every kind


def memory_mapped(X):
    with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
        np.save(file, X)
    mapped = np.load(file.name, mmap_mode="r")
    Path(file.name).unlink()
    return mapped


def read_only(X):
    X.setflags(write=False)
    return X


SAME_NUMBERS = {
    "read-only": read_only,
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=-1)[::2, ::2] if X.ndim == 2 else X.repeat(2)[::2],
    "reversed": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "memory-mapped": memory_mapped,
}


@every(ESTIMATORS)
@pytest.mark.parametrize("kind", SAME_NUMBERS.values(), ids=list(SAME_NUMBERS))
def test_the_layout_of_an_array_does_not_matter(contract, kind):
    arguments = [array if array.dtype.kind == "U" else kind(array.copy()) for array in contract.arguments(rows())]
    model = contract.make().fit(*arguments)
    assert_array_equal(contract.answer(model, kind(rows())), contract.answer(fitted(contract), rows()))


@every(ESTIMATORS)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint8, bool])
def test_integers_are_the_same_as_float64(contract, dtype):
    X = (np.abs(rows()) * 2).astype(int).astype(dtype)
    y = contract.arguments(X)[1:]
    integers = contract.make().fit(X, *y)
    floats = contract.make().fit(X.astype(np.float64), *y)
    assert_array_equal(contract.answer(integers, X), contract.answer(floats, X.astype(np.float64)))


@every(ESTIMATORS)
def test_single_precision_is_near_double(contract):
    penalty = {"alpha": 1.0} if "alpha" in contract.make().get_params() else {}
    single = contract.make(**penalty).fit(*contract.arguments(rows().astype(np.float32)))
    double = contract.make(**penalty).fit(*contract.arguments(rows()))
    answer = contract.answer(single, rows().astype(np.float32))
    assert_allclose(answer, contract.answer(double, rows()), **SINGLE)


@every(ESTIMATORS)
def test_the_arrays_of_the_caller_are_never_written_to(contract):
    arguments = contract.arguments(rows())
    weights = {"sample_weight": np.linspace(0, 1, len(rows()))} if contract.takes_weights else {}
    before = [array.copy() for array in (*arguments, *weights.values())]
    model = contract.make(washout=3) if contract.target else contract.make()
    contract.answer(model.fit(*arguments, **weights), arguments[0])
    for array, copy in zip((*arguments, *weights.values()), before, strict=True):
        assert_array_equal(array, copy)


# ------------------------------------------------------------------------------------------- errors that help


def spoilt(value):
    X = rows()
    X[17, 1] = value
    return X


BAD_ROWS = {
    "nan": (lambda: spoilt(np.nan), "X"),
    "infinity": (lambda: spoilt(np.inf), "X"),
    "complex": (lambda: rows() + 1j, "[Cc]omplex"),
    "half-precision": (lambda: rows().astype(np.float16), "float16"),
    "words": (lambda: np.full((200, 3), "a word", dtype=object), "X|a word"),
    "text": (lambda: np.full((200, 3), "a word"), "X|a word"),
    "nothing": (lambda: np.empty((0, 3)), "sample|empty|X"),
    "no-features": (lambda: np.empty((200, 0)), "feature"),
    "one-dimension": (lambda: rows()[:, 0], "2D|2-D|1-D"),
    "four-dimensions": (lambda: rows().reshape(10, 5, 4, 3), "X|dim"),
    "no-sequences": (lambda: [], "X|2D"),
    "an-empty-sequence": (lambda: [rows(30), rows(0), rows(30)], "X|empty"),
    "unequal-features": (lambda: [rows(30), rows(30, 2)], "feature|column"),
}


@every(ESTIMATORS)
@pytest.mark.parametrize(("make", "names"), BAD_ROWS.values(), ids=list(BAD_ROWS))
def test_rows_that_cannot_be_meant_are_refused(contract, make, names):
    X = make()
    targets = [np.zeros(len(part)) for part in X] if isinstance(X, list) else np.zeros(len(X))
    with pytest.raises((ValueError, TypeError), match=names):
        contract.make().fit(X, *([targets] if contract.target else []))


@every(WITH_ROWS)
@pytest.mark.parametrize("name", ["nan", "infinity", "complex", "words", "one-dimension", "an-empty-sequence"])
def test_rows_that_cannot_be_meant_are_refused_after_fit_too(contract, name):
    make, names = BAD_ROWS[name]
    with pytest.raises((ValueError, TypeError), match=names):
        contract.answer(fitted(contract), make())


BAD_LENGTHS = {
    "lengths-do-not-sum": ({"lengths": [100, 99]}, "lengths"),
    "a-length-of-zero": ({"lengths": [100, 0, 100]}, "lengths"),
    "a-negative-length": ({"lengths": [300, -100]}, "lengths"),
    "a-fraction-as-length": ({"lengths": [100.5, 99.5]}, "lengths"),
}
BAD_GROUPS = {
    "ids-that-recur": ({"groups": np.repeat([0, 1, 0], [50, 50, 100])}, "groups"),
    "too-few-ids": ({"groups": np.zeros(199, int)}, "groups"),
    "both": ({"groups": np.zeros(200, int), "lengths": [200]}, "groups.*lengths|lengths.*groups"),
}


@every(ESTIMATORS)
@pytest.mark.parametrize(("lengths", "names"), BAD_LENGTHS.values(), ids=list(BAD_LENGTHS))
def test_lengths_that_cannot_be_meant_are_refused(contract, lengths, names):
    with pytest.raises((ValueError, TypeError), match=names):
        contract.make().fit(*contract.arguments(rows()), **lengths)


@every(WITH_ROWS)
@pytest.mark.parametrize(("groups", "names"), BAD_GROUPS.values(), ids=list(BAD_GROUPS))
def test_groups_that_cannot_be_meant_are_refused(contract, groups, names):
    with pytest.raises((ValueError, TypeError), match=names):
        contract.make().fit(*contract.arguments(rows()), **groups)


@every(ESTIMATORS)
def test_ids_that_recur_in_the_sequence_column_are_refused(contract):
    X = np.column_stack([np.repeat([0, 1, 0], [50, 50, 100]), rows()])
    with pytest.raises(ValueError, match="sequence_column"):
        contract.make(sequence_column=0).fit(X, *contract.arguments(rows())[1:])


@every(ESTIMATORS)
@pytest.mark.parametrize("column", [4, -5, "id", 1.5])
def test_a_sequence_column_that_is_not_there_is_refused(contract, column):
    with pytest.raises((ValueError, TypeError), match="sequence_column"):
        contract.make(sequence_column=column).fit(with_ids(rows()), *contract.arguments(rows())[1:])


@every({name: contract for name, contract in ESTIMATORS.items() if name != "transformer"})
@pytest.mark.parametrize("washout", [45, 60, -1, 2.5])
def test_a_washout_that_leaves_nothing_is_refused(contract, washout):
    lengths = (60, 45, 95)
    with pytest.raises((ValueError, TypeError), match="washout"):
        contract.make(washout=washout).fit(*contract.arguments(rows()), lengths=lengths)


BAD_WEIGHTS = {
    "zeros": np.zeros(200),
    "nan": np.full(200, np.nan),
    "infinity": np.full(200, np.inf),
    "negative": -np.ones(200),
    "too-few": np.ones(199),
    "complex": np.ones(200) * 1j,
}


@every({name: contract for name, contract in ESTIMATORS.items() if contract.takes_weights})
@pytest.mark.parametrize("weights", BAD_WEIGHTS.values(), ids=list(BAD_WEIGHTS))
def test_weights_that_cannot_be_meant_are_refused(contract, weights):
    with pytest.raises((ValueError, TypeError), match=r"(?i)weight|complex"):
        contract.make().fit(*contract.arguments(rows()), sample_weight=weights)


@every(REGRESSORS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_refused(contract, value):
    y = contract.targets(rows())
    y[5] = value
    with pytest.raises(ValueError, match="y"):
        contract.make().fit(rows(), y)


@every(SUPERVISED)
def test_targets_of_another_length_are_refused(contract):
    y = contract.targets(rows())
    with pytest.raises(ValueError, match=r"199.*200|200.*199"):
        contract.make().fit(rows(), y[:-1])
    with pytest.raises(ValueError, match="y"):
        contract.make().fit(parts(rows()), parts(y)[:-1])


@every(ESTIMATORS)
def test_another_number_of_features_is_refused(contract):
    with pytest.raises(ValueError, match=r"2 features.*3|3.*2"):
        contract.answer(fitted(contract), rows(n_features=2))


BAD_PARAMETERS = [
    *[("n_units", value) for value in (0, -1, 2.5, "many")],
    *[("spectral_radius", value) for value in (-0.9, np.nan, "large")],
    *[("leak_rate", value) for value in (0.0, 1.5, np.nan)],
    *[("input_scaling", value) for value in (np.inf, "large")],
    *[("in_degree", value) for value in (0, -3, 1.5)],
    *[("state_noise", value) for value in (-0.1, np.nan)],
    *[("topology", value) for value in ("spars", np.eye(7))],
    *[("activation", value) for value in ("tan", None)],
    *[("dtype", value) for value in ("float16", int)],
]
BAD_READOUT = [("alpha", -1.0), ("alpha", np.nan), ("alpha", []), ("solver", "cg")]


def parameter_id(parameter):
    name, value = parameter
    return f"{name}={'a matrix' if isinstance(value, np.ndarray) else repr(value)}"


@every(ESTIMATORS)
@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS, ids=map(parameter_id, BAD_PARAMETERS))
def test_parameters_that_cannot_be_meant_are_refused(contract, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        contract.make(**{name: value}).fit(*contract.arguments(rows()))


@every(SUPERVISED)
@pytest.mark.parametrize(("name", "value"), BAD_READOUT, ids=map(parameter_id, BAD_READOUT))
def test_readout_parameters_that_cannot_be_meant_are_refused(contract, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        contract.make(**{name: value}).fit(*contract.arguments(rows()))


@every(ESTIMATORS)
def test_a_fit_that_fails_leaves_the_model_as_it_was(contract):
    model = contract.make()
    with pytest.raises(ValueError):
        model.fit(spoilt(np.nan), *contract.arguments(rows())[1:])
    with pytest.raises(NotFittedError):
        contract.answer(model, rows())
    with pytest.raises(ValueError):  # found out later, when the sequences are known
        model.fit(rows(), *contract.arguments(rows())[1:], lengths=[200, 0])
    with pytest.raises(NotFittedError):
        contract.answer(model, rows())
    model.fit(*contract.arguments(rows()))
    before = contract.answer(model, rows())
    with pytest.raises(ValueError):
        model.fit(rows(n_features=2), *contract.arguments(rows())[1:], lengths=[200, 0])
    assert_array_equal(contract.answer(model, rows()), before)


# --------------------------------------------------------------------------------------------- piece by piece


@pytest.mark.compiled
@every({name: contract for name, contract in SUPERVISED.items() if contract.make().get_params()["solver"] != "qr"})
@settings(max_examples=25)
@given(order=st.permutations(range(4)), first=st.integers(1, 3))
def test_partial_fit_in_any_order_is_one_fit(contract, order, first):
    X, y = rows(), contract.targets(rows())
    options = {"classes": np.unique(y)} if contract.target == "labels" else {}
    Xs, ys = parts(X), parts(y)
    pieces = contract.make(alpha=1.0)
    for block in (order[:first], order[first:]):
        pieces.partial_fit([Xs[i] for i in block], [ys[i] for i in block], **options)
    whole = contract.make(alpha=1.0).fit(Xs, ys)
    assert_allclose(contract.answer(pieces, X), contract.answer(whole, X), **BLOCKS)


@every(SUPERVISED)
def test_fit_forgets_what_was_fitted_before(contract):
    model = contract.make().fit(*contract.arguments(rows(seed=5)))
    model.fit(*contract.arguments(rows()))
    assert_array_equal(contract.answer(model, rows()), contract.answer(fitted(contract), rows()))
