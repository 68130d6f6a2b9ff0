"""Tables of numbers: what plainly passes is taken as it is, all else goes through scikit-learn's checks."""

import numpy as np
import pandas as pd
import pytest
import sklearn.utils
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from reservoir.data.reading import read_sequences
from reservoir.data.tables import checked

BOTH = [np.float64, np.float32]
NUMBERS = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("array", [NUMBERS, NUMBERS.astype(np.float32)], ids=["float64", "float32"])
def test_a_plain_array_comes_back_itself_without_being_sent_to_scikit_learn(monkeypatch, array):
    monkeypatch.setattr(sklearn.utils, "check_array", None)
    assert checked(array, BOTH, "X") is array
    column = array[:, 0].copy()
    assert checked(column, BOTH, "y", is_table=False) is column


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad):
    array = NUMBERS.copy()
    array[2, 1] = bad
    with pytest.raises(ValueError, match=r"X must hold finite numbers, got (NaN|infinity).* on row 2, column 1"):
        checked(array, BOTH, "X")


def test_large_numbers_whose_sum_overflows_are_finite():
    array = np.full((4, 3), 1e308)
    assert_array_equal(checked(array, BOTH, "X"), array)


@pytest.mark.parametrize(
    "array", [np.asfortranarray(NUMBERS), NUMBERS.astype(">f8"), NUMBERS.astype(int), NUMBERS[:, ::2]],
    ids=["Fortran order", "other bytes", "integers", "strides"],
)  # fmt: skip
def test_other_layouts_and_types_become_plain(array):
    found = checked(array, BOTH, "X")
    assert found.dtype == np.float64
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert_array_equal(found, array)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (2, 2, 2)])
def test_no_table_is_no_table(shape):
    with pytest.raises(ValueError):
        checked(np.ones(shape), BOTH, "X")


def test_names_of_features_are_forgotten_by_a_fit_without_names():
    estimator = BaseEstimator()
    read_sequences(estimator, pd.DataFrame(NUMBERS, columns=list("abc")), reset=True, target="none")
    assert list(estimator.feature_names_in_) == ["a", "b", "c"]
    read_sequences(estimator, NUMBERS[:, :2].copy(), reset=True, target="none")
    assert not hasattr(estimator, "feature_names_in_")
    assert estimator.n_features_in_ == 2
    read_sequences(estimator, NUMBERS[:, :2].copy(), reset=False, target="none")
    with pytest.raises(ValueError, match="2 features"):
        read_sequences(estimator, NUMBERS, reset=False, target="none")


# -------------------------------------------------------------------------------------------- tables of pandas

DAYS = pd.date_range("2020-01-01", periods=4)
TIMES = {
    "dates": DAYS,
    "dates in a zone": DAYS.tz_localize("UTC"),
    "durations": DAYS - DAYS[0],
    "periods": DAYS.to_period("D"),
    "Python's dates": np.array([day.date() for day in DAYS], dtype=object),
    "NumPy's dates as objects": np.array(list(DAYS.to_numpy()), dtype=object),
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("beside", [{}, {"v": np.arange(4.0)}, {"v": DAYS}], ids=["alone", "numbers", "more dates"])
def test_times_are_refused_with_a_remedy_and_never_read_as_nanoseconds(times, beside):
    with pytest.raises(TypeError, match=r"column '(when|v)' of X must hold real numbers.*give times as numbers"):
        read_sequences(BaseEstimator(), pd.DataFrame({**beside, "when": times}), reset=True, target="none")
    with pytest.raises(TypeError, match=r"^y must hold real numbers.*give times as numbers"):
        read_sequences(BaseEstimator(), NUMBERS, pd.Series(times), reset=True, target="rows")
    with pytest.raises(TypeError, match=r"^y must hold real numbers.*give times as numbers"):
        read_sequences(BaseEstimator(), NUMBERS, pd.DataFrame({"when": times}), reset=True, target="rows")


@pytest.mark.parametrize(
    "column",
    [
        pd.array([1, 0, 1, 1], dtype="Int64"),
        pd.array([1.0, 0.0, 1.0, 1.0], dtype="Float64"),
        pd.array([True, False, True, True], dtype="boolean"),
        pd.Categorical([1, 0, 1, 1]),
        np.array([True, 0, 1.0, 1], dtype=object),
    ],
    ids=["Int64", "Float64", "boolean", "categories of numbers", "objects"],
)
def test_numbers_in_any_column_are_read(column):
    got = read_sequences(BaseEstimator(), pd.DataFrame({"a": column}), column, reset=True, target="rows")
    assert got.rows.ravel().tolist() == got.targets.ravel().tolist() == [1.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (pd.array([1, None, 1, 1], dtype="Int64"), ValueError, "NaN on row 1"),
        (pd.array([1, None, 1, 1], dtype="Float64"), ValueError, "NaN on row 1"),
        (pd.array([True, None, True, True], dtype="boolean"), ValueError, "NaN"),
        (np.array([1, None, 1, 1], dtype=object), ValueError, "missing value None"),
        (pd.Categorical(["u", "v", "u", "u"]), TypeError, "got 'u' in an object array"),
        (pd.array(["u", "v", "u", "u"], dtype="string"), TypeError, "got 'u' in an object array"),
        (pd.arrays.SparseArray([0.0, 1.0, 0.0, 0.0]), TypeError, "be dense.*to_dense"),
        (pd.arrays.SparseArray([0.0, np.nan, 0.0, 0.0]), TypeError, "be dense.*to_dense"),
        (np.array([10**400, 1, 1, 1], dtype=object), ValueError, "hold finite numbers.* float64 cannot hold"),
    ],
)
def test_other_columns_are_refused_in_our_words(column, error, message):
    with pytest.raises(error, match=f"(column 'a' of )?X must .*{message}"):
        read_sequences(BaseEstimator(), pd.DataFrame({"a": column}), reset=True, target="none")


def test_a_message_is_short_whatever_came():
    for X in (
        np.zeros(10_000),
        pd.Series(np.zeros(10_000)),
        [0.0] * 10_000,
        np.array([{"a": "b" * 9_999}] * 9)[:, None],
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            read_sequences(BaseEstimator(), X, reset=True, target="none")
        assert len(str(caught.value)) < 300


def test_a_stack_without_features_is_refused_by_name():
    with pytest.raises(ValueError, match="X must hold something, got 0 feature"):
        read_sequences(BaseEstimator(), np.zeros((2, 3, 0)), reset=True, target="none")
