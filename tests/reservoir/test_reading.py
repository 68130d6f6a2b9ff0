"""The door for data: four forms give the same numbers, no needless copies, a column of ids of any type."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning

from naive import sequences as naive
from reservoir.data.reading import read_beside
from reservoir.data.sequences import check_washout
from sequence_forms import cases, in_form, read

# ---------------------------------------------------------------- one meaning


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
