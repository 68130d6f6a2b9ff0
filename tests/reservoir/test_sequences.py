"""The door for data: four forms give the same numbers, no needless copies, every error says what to do."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from naive import sequences as naive
from reservoir.data.reading import read_beside, read_sequences
from reservoir.data.sequences import Sequences, check_washout

# A product over 5 columns in another blocking: 5 roundings of 2.2e-16, times cancellation of up to 100.
RTOL = 1e-13
FORMS = ["list", "groups", "lengths", "column", "stack"]


def read(X, y=None, *, target="none", reset=True, estimator=None, **keywords):
    return read_sequences(estimator or BaseEstimator(), X, y, target=target, reset=reset, **keywords)


def in_form(form, members, ids, position=0):
    """Arguments that hand over the sequences ``members``, a list of (n, F) arrays, in one of the forms."""
    flat = np.concatenate(members)
    rows = np.array(naive.ids(members, ids))
    if form == "list":
        return {"X": members}
    if form == "stack":
        return {"X": np.stack(members)}
    if form == "groups":
        return {"X": flat, "groups": rows}
    if form == "lengths":
        return {"X": flat, "lengths": [len(member) for member in members]}
    return {"X": np.insert(flat, position, rows, axis=1), "sequence_column": position}


# ---------------------------------------------------------------- one meaning


@st.composite
def cases(draw):
    equal = draw(st.booleans())
    n_sequences = draw(st.integers(1, 6))
    length = st.just(draw(st.integers(1, 5))) if equal else st.integers(1, 5)
    lengths = [draw(length) for _ in range(n_sequences)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    n_features, n_outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "form": draw(st.sampled_from(FORMS if equal else FORMS[:-1])),
        "members": [rng.normal(size=(n, n_features)).astype(dtype) for n in lengths],
        "ids": rng.permutation(100)[:n_sequences].tolist(),
        "position": draw(st.integers(0, n_features)),
        "y": [rng.normal(size=(n, n_outputs)) for n in lengths],
        "one": rng.normal(size=(n_sequences, n_outputs)),
        "weights": [rng.uniform(0.1, 1, n) for n in lengths],
    }


@settings(max_examples=250, deadline=None)
@given(cases())
def test_all_forms_give_the_same_rows_offsets_targets_and_weights(case):
    members, form = case["members"], case["form"]
    arguments = in_form(form, members, case["ids"], case["position"])
    y, weights = case["y"], case["weights"]
    if form == "stack":
        y, weights = np.stack(y), np.stack(weights)
    elif form != "list":
        y, weights = np.concatenate(y), np.concatenate(weights)
    got = read(y=y, sample_weight=weights, target="rows", **arguments)
    assert got.form == form
    assert got.offsets.tolist() == naive.offsets(members)
    assert got.lengths.tolist() == [len(member) for member in members]
    assert (got.n_sequences, got.n_steps) == (len(members), sum(map(len, members)))
    np.testing.assert_array_equal(got.rows, naive.flat(members))
    np.testing.assert_array_equal(got.targets, np.array(naive.flat(case["y"]), got.rows.dtype))
    np.testing.assert_array_equal(got.weights, naive.flat(case["weights"]))
    assert got.rows.dtype == got.targets.dtype == arguments["X"][0].dtype
    assert got.weights.dtype == np.float64
    assert not got.targets_1d and not got.one_per_sequence
    assert all(a.flags.c_contiguous and not a.flags.writeable for a in (got.rows, got.targets, got.weights))


@settings(max_examples=200, deadline=None)
@given(cases())
def test_one_target_weight_or_label_a_sequence_is_repeated_on_its_rows(case):
    members, form, one = case["members"], case["form"], case["one"]
    lengths = [len(member) for member in members]
    # One a sequence must be tellable from one a row.
    assume(form != "column" and len(members) != sum(lengths) and not (lengths == [one.shape[1]] * len(lengths)))
    arguments = in_form(form, members, case["ids"])
    on_rows = [[entry] * len(member) for entry, member in zip(one, members, strict=True)]
    got = read(y=one, sample_weight=abs(one[:, 0]), target="rows", **arguments)
    assert got.one_per_sequence and not got.targets_1d
    np.testing.assert_array_equal(got.targets, np.array(naive.flat(on_rows), got.rows.dtype))
    np.testing.assert_array_equal(got.weights, abs(np.array(naive.flat(on_rows)))[:, 0])
    flat = read(y=one[:, 0], target="rows", **arguments)
    assert flat.targets_1d and flat.one_per_sequence
    np.testing.assert_array_equal(flat.targets, got.targets[:, :1])
    labels = [f"label {i % 2}" for i in range(len(members))]
    got = read(y=labels, target="labels", **arguments)
    assert got.one_per_sequence and got.labels_are_constant
    assert got.labels.tolist() == naive.ids(members, labels)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_results_go_back_in_the_form_of_the_input(case):
    members, form = case["members"], case["form"]
    got = read(**in_form(form, members, case["ids"]))
    for rows_out in (got.rows, got.rows[:, 0]):
        back = got.like_input(rows_out)
        if form in ("list", "stack"):
            assert type(back) is (list if form == "list" else np.ndarray)
            for mine, member in zip(back, members, strict=True):
                np.testing.assert_array_equal(mine, member if rows_out.ndim == 2 else member[:, 0])
        else:
            assert back is rows_out
    values = np.arange(len(members))
    expected = naive.ids(members, values) if form == "column" else values
    np.testing.assert_array_equal(got.per_sequence(values), expected)
    np.testing.assert_array_equal(got.on_rows(values), naive.ids(members, values))


def test_a_nested_list_of_numbers_is_one_sequence():
    got = read([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [1, 2, 3], target="rows")
    assert (got.form, got.n_sequences, got.n_steps) == ("rows", 1, 3)
    assert got.targets_1d and got.targets.shape == (3, 1)
    assert read([np.array([1.0, 2.0]), np.array([3.0, 4.0])]).form == "rows"


@pytest.mark.parametrize(
    "X",
    [
        [[[1.0], [2.0]], [[3.0]]],
        ([[1.0], [2.0]], [[3.0]]),
        [np.array([[1.0], [2.0]]), [[3]]],
        [[np.array([1.0]), np.array([2.0])], [np.array([3.0])]],
        np.array([np.array([[1.0], [2.0]]), np.array([[3.0]])], dtype=object),
        [pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [3.0]})],
    ],
)
def test_a_list_of_tables_of_any_kind_is_several_sequences(X):
    estimator = BaseEstimator()
    got = read(X, [np.array([1, 2]), np.array([3])], target="rows", estimator=estimator)
    assert (got.form, got.offsets.tolist(), got.rows.ravel().tolist()) == ("list", [0, 2, 3], [1, 2, 3])
    assert got.targets_1d and got.targets.ravel().tolist() == [1, 2, 3]
    assert estimator.n_features_in_ == 1


def test_a_y_that_fits_both_readings_is_read_as_documented():
    X = np.zeros((2, 3, 1))
    y = np.arange(6.0).reshape(2, 3)
    assert not read(X, y, target="rows").one_per_sequence
    assert read(X, y[:, :2], target="rows").one_per_sequence
    assert read(X, [0.0, 1.0], target="rows").one_per_sequence
    assert not read(X, np.arange(6.0), target="rows").one_per_sequence
    assert read(np.zeros((2, 1, 1)), [0.0, 1.0], target="rows").one_per_sequence
    assert not read(np.zeros((2, 1)), [0.0, 1.0], lengths=[1, 1], target="rows").one_per_sequence


def test_labels_may_be_anything_that_classifies():
    X = np.zeros((4, 1))
    for y in (["a", "b", "b", "a"], [1, 2, 2, 1], [True, False, False, True], [1.0, 2.0, 2.0, 1.0]):
        for given_y in (y, np.array(y), pd.Series(y), np.array(y, dtype=object) if y[0] == "a" else y):
            got = read(X, given_y, target="labels")
            assert got.labels.tolist() == y and not got.one_per_sequence and got.targets is None
    with pytest.warns(DataConversionWarning):
        assert read(X, np.array([[1], [2], [2], [1]]), target="labels").labels.tolist() == [1, 2, 2, 1]


def test_labels_are_constant_looks_within_sequences_only():
    X = np.zeros((5, 1))
    assert read(X, list("aabbb"), target="labels", lengths=[2, 3]).labels_are_constant
    assert not read(X, list("aabba"), target="labels", lengths=[2, 3]).labels_are_constant
    assert not read(X, list("abbbb"), target="labels", lengths=[2, 3]).labels_are_constant
    assert read(X, list("abcab"), target="labels", lengths=[1] * 5).labels_are_constant


def test_a_scalar_weight_counts_for_every_row():
    assert read(np.zeros((3, 1)), sample_weight=2).weights.tolist() == [2.0, 2.0, 2.0]
    assert read(np.zeros((3, 1))).weights is None


def test_read_beside_takes_numbers_like_x():
    got = read([np.zeros((2, 1)), np.zeros((3, 1))])
    beside = read_beside(got, [np.ones((2, 4)), np.zeros((3, 4))], "exog")
    assert beside.shape == (5, 4) and beside.sum() == 8 and not beside.flags.writeable
    with pytest.raises(ValueError, match=r"exog\[1\] must have the 3 rows of X\[1\].*got shape \(2, 4\); give"):
        read_beside(got, [np.ones((2, 4)), np.zeros((2, 4))], "exog")


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_contiguous_floats_are_not_copied(dtype):
    X, y, w = np.ones((6, 2), dtype), np.ones((6, 2), dtype), np.ones(6)
    got = read(X, y, target="rows", sample_weight=w, lengths=[2, 4])
    for mine, theirs in ((got.rows, X), (got.targets, y), (got.weights, w)):
        assert np.shares_memory(mine, theirs) and theirs.flags.writeable and not mine.flags.writeable
    assert got.rows.dtype == got.targets.dtype == dtype
    assert np.shares_memory(read(X, y[:, 0].copy(), target="rows").rows, X)
    assert np.shares_memory(read([X]).rows, X)
    stack = np.ones((2, 3, 4), dtype)
    assert np.shares_memory(read(stack).rows, stack)
    frozen = X.copy()
    frozen.flags.writeable = False
    assert np.shares_memory(read(frozen).rows, frozen)


def test_memory_mapped_rows_are_not_read_into_memory(tmp_path):
    X = np.arange(20.0).reshape(10, 2)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    got = read(mapped)
    assert np.shares_memory(got.rows, mapped)
    np.testing.assert_array_equal(got.rows, X)


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
        lambda X: X.astype(np.int32),
        lambda X: X.astype(np.uint8),
        lambda X: X.astype(object),
        lambda X: X.astype(">f8"),
        lambda X: X.tolist(),
        pd.DataFrame,
        lambda X: pd.DataFrame(X).astype("Int64"),
    ],
)
@pytest.mark.parametrize("keywords", [{}, {"sequence_column": 2}])
def test_any_layout_and_number_type_equals_a_fresh_float64_copy(change, keywords):
    X = np.arange(30.0).reshape(10, 3) % 7
    X[:, 2] = np.arange(10) // 4
    changed = change(X)
    got, expected = read(changed, **keywords), read(X.copy(), **keywords)
    np.testing.assert_array_equal(got.rows, expected.rows)
    np.testing.assert_array_equal(got.offsets, expected.offsets)
    assert got.rows.dtype == np.float64 and got.rows.flags.c_contiguous
    if hasattr(changed, "astype"):
        pd.testing.assert_frame_equal(pd.DataFrame(changed), pd.DataFrame(change(X)))


def test_dtype_sets_the_precision_of_rows_and_targets():
    X = np.ones((3, 2))
    got = read(X, [1, 2, 3], target="rows", dtype="float32")
    assert got.rows.dtype == got.targets.dtype == np.float32
    assert read(X.astype(np.float32), dtype=np.float64).rows.dtype == np.float64
    with pytest.raises(ValueError, match=r"dtype must be None, numpy\.float64 or numpy\.float32, got 'int64'; choose"):
        read(X, dtype="int64")


# ---------------------------------------------------------------- a column of ids


@pytest.mark.parametrize("column", [0, -3, "id"])
@pytest.mark.parametrize("ids", [[7, 7, 3], ["b", "b", "a"], pd.to_datetime(["2020", "2020", "2019"])])
def test_ids_in_a_frame_may_be_of_any_type(column, ids):
    frame = pd.DataFrame({"id": ids, "u": np.float32([1, 2, 3]), "v": np.float32([4, 5, 6])})
    before = frame.copy()
    estimator = BaseEstimator()
    got = read(frame, sequence_column=column, estimator=estimator)
    assert got.offsets.tolist() == [0, 2, 3] and got.rows.dtype == np.float32
    assert got.rows.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert estimator.n_features_in_ == 3 and estimator.feature_names_in_.tolist() == ["id", "u", "v"]
    pd.testing.assert_frame_equal(frame, before)


def test_large_ids_stay_apart_when_rows_become_float32():
    X = np.array([[2.0**24, 1.0], [2.0**24 + 1, 2.0]])
    assert np.float32(X[0, 0]) == np.float32(X[1, 0])
    assert read(X, sequence_column=0, dtype=np.float32).n_sequences == 2


def test_a_column_name_is_remembered_for_arrays_by_the_names_seen_in_fit():
    estimator = BaseEstimator()
    frame = pd.DataFrame({"u": [1.0, 2.0], "id": [0, 1]})
    read(frame, sequence_column="id", estimator=estimator)
    with pytest.warns(UserWarning, match="valid feature names"):
        got = read(frame.to_numpy(), sequence_column="id", estimator=estimator, reset=False)
    assert got.rows.tolist() == [[1.0], [2.0]]


# ---------------------------------------------------------------- errors

X5 = np.arange(10.0).reshape(5, 2)
NAN = np.where(np.arange(10).reshape(5, 2) == 3, np.nan, X5)
PAIR = [X5[:2], X5[2:]]
FLOAT16 = X5.astype(np.float16)
OBJECTS = np.array([[1, "2"], [3, 4]], dtype=object)
ERRORS = {
    "two marks": ({"X": X5, "groups": [1] * 5, "lengths": [5]}, "one way, got groups and lengths; keep one"),
    "marks on a list": ({"X": PAIR, "lengths": [2, 3]}, "lengths .*2-D X, got a list.*; leave them out"),
    "column in a stack": (
        {"X": X5[None], "sequence_column": 0},
        "sequence_column .*got a list.*3-D.*; leave",
    ),
    "X 1-D": ({"X": X5[0]}, r"X must be 2-D.*got shape \(2,\)\. Reshape your data"),
    "X 4-D": ({"X": np.zeros((1, 2, 3, 4))}, r"X must be 2-D, or 3-D .*got shape \(1, 2, 3, 4\); leave"),
    "X empty": ({"X": X5[:0]}, r"0 sample\(s\)"),
    "X without columns": ({"X": X5[:, :0]}, r"0 feature\(s\)"),
    "empty list": ({"X": []}, r"X must be 2-D.*got shape \(0,\)"),
    "empty stack": ({"X": np.zeros((0, 3, 1))}, r"X must be .*got shape \(0, 3, 1\); leave out empty"),
    "stack of empty": ({"X": np.zeros((2, 0, 1))}, r"X must be .*got shape \(2, 0, 1\); leave out empty"),
    "empty member": ({"X": [X5, X5[:0]]}, r"X must be 2-D and not empty, got X\[1\] of shape \(0, 2\); give"),
    "1-D member": ({"X": [X5, X5[0]]}, r"sequence in X must be 2-D .*got X\[1\] of shape \(2,\); give"),
    "uneven members": ({"X": [X5, X5[:, :1]]}, r"number of features, got 2 in X\[0\] and 1 in X\[1\]; give"),
    "ragged nest": ({"X": [[1.0, 2.0], [3.0]]}, "X must be a rectangular array, got nested.*; make all"),
    "ragged member": ({"X": [X5, [[1.0], [2.0, 3.0]]]}, r"X\[1\] must be a rectangular array.*; make all"),
    "frames at odds": (
        {"X": [pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]})]},
        r"same column names, X\[1\] differs from X\[0\]; give",
    ),
    "NaN in X": ({"X": NAN}, r"X must hold finite numbers, got NaN on row 1, column 1 \(.* 1 in all\); fill"),
    "NaN in a member": ({"X": [X5, NAN]}, "X must hold finite numbers, got NaN on row 6, column 1"),
    "infinity in X": (
        {"X": np.where(X5 == 3, np.inf, X5)},
        "X must hold finite.* infinity.* on row 1, column 1",
    ),
    "complex X": ({"X": X5 + 1j}, "Complex data not supported: X must .*got complex128; give"),
    "complex member": ({"X": [X5, X5 + 1j]}, r"Complex data not supported: X\[1\] must .*; give"),
    "complex y": ({"X": X5, "y": np.ones(5) + 1j, "target": "rows"}, "Complex .*: y must.*complex128; give"),
    "complex labels": ({"X": X5, "y": np.ones(5) + 1j, "target": "labels"}, "Complex .*: y must.*; give"),
    "lengths short": ({"X": X5, "lengths": [2, 2]}, "lengths must sum .*got a sum of 4 for 5 rows; give"),
    "lengths zero": ({"X": X5, "lengths": [5, 0]}, "lengths must be .*smallest entry of 0; leave out"),
    "lengths negative": ({"X": X5, "lengths": [6, -1]}, "lengths must be .*smallest entry of -1; leave out"),
    "lengths 2-D": ({"X": X5, "lengths": [[2, 3]]}, r"lengths must be 1-D .*got shape \(1, 2\).*; give"),
    "groups recur": ({"X": X5, "groups": list("aabba")}, "groups must keep.*'a' from row 0 .* row 4; sort"),
    "groups short": ({"X": X5, "groups": [1, 1]}, r"groups must hold one id a row.*got shape \(2,\); repeat"),
    "groups NaN": ({"X": X5, "groups": [1, 1, np.nan, 2, 2]}, "groups must hold an id.*on row 2; fill in"),
    "column recurs": (
        {"X": X5 % 4, "sequence_column": 0},
        r"sequence_column=0 must keep.*id 0.0 from row 0 .*again from row 2.*ShuffleSplit",
    ),
    "column outside": (
        {"X": X5, "sequence_column": 2},
        r"sequence_column must .* \[-2, 1\], got 2; give",
    ),
    "column unknown": (
        {"X": pd.DataFrame(X5, columns=["a", "b"]), "sequence_column": "c"},
        r"sequence_column='c' must name.*got the columns \['a', 'b'\]; give",
    ),
    "column unnamed": ({"X": X5, "sequence_column": "c"}, "'c' must .*an X without column names; give"),
    "column alone": ({"X": X5[:, :1], "sequence_column": 0}, "X must have a feature beside.*; add"),
    "column gaps": (
        {"X": pd.DataFrame({"id": ["a", None], "u": [1.0, 2.0]}), "sequence_column": "id"},
        "column of ids must be filled .*on row 1; fill",
    ),
    "no y": ({"X": X5, "target": "rows"}, "requires y to be passed, but the target y is None; give"),
    "y short": (
        {"X": X5, "y": [1.0] * 4, "target": "rows"},
        r"y must have one entry a row of X \(5\), got 4;",
    ),
    "y scalar": ({"X": X5, "y": 1.0, "target": "rows"}, "y must have one entry a row.*got a scalar; check"),
    "y neither": (
        {"X": PAIR, "y": [1.0] * 3, "target": "rows"},
        r"y must .*\(5\) or one .*\(2\), got 3; check",
    ),
    "y by sequence in a column": (
        {"X": X5, "y": [1.0] * 5, "sequence_column": 0, "sample_weight": [1.0] * 2, "target": "rows"},
        r"sample_weight must have one entry a row of X \(5\), got 2; check",
    ),
    "y unlike X": (
        {"X": PAIR, "y": [np.ones(2), np.ones(2)], "target": "rows"},
        r"y\[1\] must have the 3 rows of X\[1\].*got shape \(2,\); give",
    ),
    "y 3-D": (
        {"X": X5, "y": np.ones((5, 1, 1)), "target": "rows"},
        r"y must .*got shape \(5, 1, 1\); flatten",
    ),
    "NaN in y": ({"X": X5, "y": NAN[:, 1], "target": "rows"}, "y must hold finite numbers, got NaN on row 1"),
    "NaN label": ({"X": X5, "y": NAN[:, 1], "target": "labels"}, "y must hold finite numbers, got NaN on row 1"),
    "2-D labels": (
        {"X": X5, "y": X5, "target": "labels"},
        r"y must hold one label.*shape \(5, 2\); give 1-D",
    ),
    "numbers as labels": ({"X": X5, "y": X5[:, 0] + 0.5, "target": "labels"}, "Unknown label type"),
    "negative weight": (
        {"X": X5, "sample_weight": [1, 1, -2, 1, 1]},
        "sample_weight .*got -2.0 on row 2; use 0",
    ),
    "zero weights": (
        {"X": X5, "sample_weight": np.zeros(5)},
        "sample_weight must be positive.*zeros.*; leave",
    ),
    "zero scalar weight": ({"X": X5, "sample_weight": 0.0}, "sample_weight must be positive.*; leave"),
    "NaN weight": ({"X": X5, "sample_weight": NAN[:, 1]}, "sample_weight must hold finite.*NaN on row 1"),
    "NaN scalar weight": (
        {"X": X5, "sample_weight": np.nan},
        "sample_weight must be a finite .*got nan; give",
    ),
    "2-D weights": ({"X": X5, "sample_weight": X5}, r"sample_weight must be 1-D.*got shape \(5, 2\); give"),
}
KIND_ERRORS = {
    "float16 X": ({"X": FLOAT16}, r"X must hold float64, .*got float16; use"),
    "float16 member": ({"X": [X5, FLOAT16]}, r"X\[1\] must hold float64, .*got float16; use"),
    "float16 column": ({"X": pd.DataFrame({"a": FLOAT16[:, 0]})}, "column 'a' of X must .*float16; use"),
    "float16 y": ({"X": X5, "y": FLOAT16[:, 0], "target": "rows"}, "y must hold float64.*got float16; use"),
    "float16 label": ({"X": X5, "y": FLOAT16[:, 0], "target": "labels"}, "y must .*got float16; use"),
    "float16 weight": ({"X": X5, "sample_weight": FLOAT16[:, 1]}, "sample_weight must .*got float16; use"),
    "text": ({"X": np.array([["1", "2"]])}, "X must hold real numbers, got dtype <U1; encode"),
    "text y": (
        {"X": X5, "y": list("abcde"), "target": "rows"},
        "y must hold real numbers, got dtype <U1; enc",
    ),
    "text weight": ({"X": X5, "sample_weight": list("abcde")}, "sample_weight must .*got dtype <U1; encode"),
    "text in objects": ({"X": OBJECTS}, "X must hold real numbers, got '2' in an object array; this"),
    "text column": ({"X": pd.DataFrame({"a": ["x", "y"]})}, "column 'a' of X must .*got .*: encode each"),
    "complex object": ({"X": np.array([[np.complex64(1j)]], dtype=object)}, "X must hold real .*: encode"),
    "dict": (
        {"X": np.array([[{}]], dtype=object)},
        "X must .*argument must be .*string.*: encode each as a number",
    ),
    "dates": (
        {"X": np.array([["2020-01-01"]], dtype="M8[D]")},
        "X must hold real .*datetime64.*; give times",
    ),
    "sparse": ({"X": csr_array(X5)}, "Sparse data was passed"),
    "sparse ids": ({"X": csr_array(X5), "sequence_column": 0}, "Sparse data was passed"),
    "sparse member": ({"X": [csr_array(X5)]}, r"X\[0\] must be a dense.*got a sparse matrix; convert"),
    "float lengths": ({"X": X5, "lengths": [2.0, 3.0]}, r"lengths must be integers, got \[2.0, 3.0\]; give"),
    "column kind": ({"X": X5, "sequence_column": 0.5}, "sequence_column must be an integer.*got 0.5; give"),
    "column bool": ({"X": X5, "sequence_column": True}, "sequence_column must be an integer.*got True; give"),
}


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [pytest.param(ValueError, *case, id=name) for name, case in ERRORS.items()]
    + [pytest.param(TypeError, *case, id=name) for name, case in KIND_ERRORS.items()],
)
def test_unusable_data_are_refused_by_name_with_what_came_and_what_to_do(kind, arguments, message):
    with pytest.raises(kind, match=f"(?s){message}"):
        read(**arguments)


def test_a_changed_number_or_order_of_features_is_refused():
    estimator = BaseEstimator()
    read(X5, estimator=estimator)
    for X in (X5[:, :1], [X5[:, :1]], X5[None, :, :1]):
        with pytest.raises(ValueError, match="X has 1 features, but BaseEstimator is expecting 2 features"):
            read(X, estimator=estimator, reset=False)
    frame = pd.DataFrame(X5, columns=["a", "b"])
    read([frame, frame], estimator=estimator)
    assert estimator.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        read([frame[["b", "a"]]] * 2, estimator=estimator, reset=False)


def test_washout_must_leave_rows_and_weight():
    got = read(X5, lengths=[3, 2], sample_weight=[1, 0, 0, 1, 0])
    assert check_washout(got, 0) == 0 and check_washout(read(X5, lengths=[3, 2]), np.int64(1)) == 1
    with pytest.raises(ValueError, match="washout=2 while sequence 1 has 2 rows; use a smaller washout"):
        check_washout(got, 2)
    with pytest.raises(ValueError, match=r"sample_weight .*got only zeros .*washout=1; use a smaller"):
        check_washout(got, 1)
    with pytest.raises(ValueError, match="washout must be an integer >= 0, got -1; give a number of steps, 0 to keep"):
        check_washout(got, -1)
    for washout in (1.0, True, "1"):
        with pytest.raises(TypeError, match=r"washout must be an integer >= 0, got .*; give"):
            check_washout(got, washout)


# ---------------------------------------------------------------- through scikit-learn


class Leaky(BaseEstimator):
    """A one-pole filter of every feature, started anew in each sequence: the least that has a memory."""

    def __init__(self, sequence_column=None, leak=0.5):
        self.sequence_column = sequence_column
        self.leak = leak

    def _read(self, X, y=None, *, reset=False, target="none", sample_weight=None):
        return read_sequences(
            self,
            X,
            y,
            sample_weight=sample_weight,
            sequence_column=self.sequence_column,
            reset=reset,
            target=target,
        )

    def _design(self, sequences: Sequences):
        states = sequences.rows.astype(np.float64)
        starts = set(sequences.offsets.tolist())
        for t in range(sequences.n_steps):
            if t not in starts:
                states[t] += self.leak * states[t - 1]
        return np.column_stack([states, sequences.rows, np.ones(len(states))])

    def _solve(self, sequences, targets):
        Z = self._design(sequences)
        w = np.ones(len(Z)) if sequences.weights is None else sequences.weights
        Zw = Z * w[:, None]
        self.coef_ = np.linalg.solve(Zw.T @ Z + 1e-6 * np.eye(Z.shape[1]), Zw.T @ targets)
        return self


class LeakyRegressor(RegressorMixin, Leaky):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X, y, sample_weight=None):
        sequences = self._read(X, y, reset=True, target="rows", sample_weight=sample_weight)
        self.is_1d_ = sequences.targets_1d
        return self._solve(sequences, sequences.targets)

    def predict(self, X):
        check_is_fitted(self)
        sequences = self._read(X)
        out = self._design(sequences) @ self.coef_
        return sequences.like_input(out[:, 0] if self.is_1d_ else out)


class LeakyClassifier(ClassifierMixin, Leaky):
    def fit(self, X, y, sample_weight=None):
        sequences = self._read(X, y, reset=True, target="labels", sample_weight=sample_weight)
        self.classes_, codes = np.unique(sequences.labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("y must hold 2 classes, got 1 class; give more labels.")
        return self._solve(sequences, np.eye(len(self.classes_))[codes])

    def predict(self, X):
        check_is_fitted(self)
        sequences = self._read(X)
        return sequences.like_input(self.classes_[(self._design(sequences) @ self.coef_).argmax(1)])


class LeakyTransformer(TransformerMixin, Leaky):
    def fit(self, X, y=None):
        self._read(X, reset=True)
        self.fitted_ = True
        return self

    def transform(self, X):
        check_is_fitted(self)
        sequences = self._read(X)
        return sequences.like_input(self._design(sequences))


SEQUENCE_SEMANTICS = {
    "check_methods_sample_order_invariance": "the order of rows is time",
    "check_methods_subset_invariance": "a row depends on the rows before it",
}
WEIGHT_SEMANTICS = {
    "check_sample_weight_equivalence_on_dense_data": "a removed row shortens the past, a weight of 0 does not"
}


def expected_failures(estimator):
    return SEQUENCE_SEMANTICS | ({} if isinstance(estimator, LeakyTransformer) else WEIGHT_SEMANTICS)


@parametrize_with_checks(
    [LeakyRegressor(), LeakyClassifier(), LeakyTransformer()],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix")
def test_estimators_behind_the_door_pass_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture
def many():
    rng = np.random.default_rng(5)
    members = [rng.normal(size=(n, 2)) for n in (7, 4, 9, 5, 8, 6)]
    y = [member.cumsum(0) @ [1.0, -0.5] for member in members]
    return members, y, in_form("column", members, [4, 1, 9, 2, 3, 8], 1)["X"]


def test_a_column_of_ids_survives_pipelines_searches_and_cross_validation(many):
    members, y, X = many
    y = np.concatenate(y)
    pipeline = make_pipeline(StandardScaler(), LeakyRegressor(sequence_column=1))
    search = GridSearchCV(pipeline, {"leakyregressor__leak": [0.5, 0.9]}, scoring="r2", cv=KFold(3)).fit(X, y)
    assert search.best_params_ == {"leakyregressor__leak": 0.9}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    # A split between sequences: predictions equal those of a fit on the list of the other sequences.
    starts = naive.offsets(members)
    split = [
        (np.arange(starts[3], starts[6]), np.arange(starts[3])),
        (np.arange(starts[3]), np.arange(starts[3], starts[6])),
    ]
    got = cross_val_predict(LeakyRegressor(sequence_column=1), X, y, cv=split)
    parts = [y[a:b] for a, b in itertools.pairwise(starts)]
    first = LeakyRegressor().fit(members[3:], parts[3:]).predict(members[:3])
    second = LeakyRegressor().fit(members[:3], parts[:3]).predict(members[3:])
    np.testing.assert_array_equal(got, np.concatenate(first + second))


def test_group_splits_keep_sequences_whole(many):
    members, _, X = many
    ids = X[:, 1]
    for train, test in GroupKFold(3).split(X, groups=ids):
        for part in (train, test):
            got = read(X[part], sequence_column=1)
            assert set(got.lengths.tolist()) <= {len(member) for member in members}
            assert got.n_sequences == len(set(ids[part]))


def test_splits_that_shuffle_rows_are_refused(many):
    _, y, X = many
    with pytest.raises(ValueError, match=r"sort the rows.*ShuffleSplit.*use GroupKFold"):
        cross_val_score(
            LeakyRegressor(sequence_column=1),
            X,
            np.concatenate(y),
            error_score="raise",
            cv=ShuffleSplit(3, random_state=0),
        )


@pytest.mark.parametrize("estimator", [LeakyRegressor(sequence_column=0), LeakyTransformer(sequence_column=0)])
def test_rows_that_are_sequences_of_their_own_may_be_shuffled_and_cut(estimator):
    rng = np.random.default_rng(1)
    X = np.column_stack([np.arange(20.0), rng.normal(size=(20, 2))])
    fitted = estimator.fit(X, X[:, 1:].sum(1))
    method = fitted.predict if hasattr(fitted, "predict") else fitted.transform
    whole, order = method(X), rng.permutation(20)
    np.testing.assert_allclose(method(X[order]), whole[order], rtol=RTOL)
    np.testing.assert_allclose(np.concatenate([method(X[i : i + 1]) for i in range(20)]), whole, rtol=RTOL)


def test_the_door_does_not_write_into_its_arguments():
    rng = np.random.default_rng(2)
    X, y, w = rng.normal(size=(6, 2)), rng.normal(size=6), rng.uniform(size=6)
    X[:, 0] = [0, 0, 1, 1, 1, 2]
    before = X.copy(), y.copy(), w.copy()
    got = read(X, y, target="rows", sample_weight=w, sequence_column=0)
    check_washout(read(X, sample_weight=w, lengths=[3, 3]), 2)
    with pytest.raises(ValueError, match="read-only"):
        got.rows[0] = 1.0
    for mine, then in zip((X, y, w), before, strict=True):
        np.testing.assert_array_equal(mine, then)
        assert mine.flags.writeable
