"""Tables of numbers: what plainly passes is taken as it is, all else goes through scikit-learn's checks."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from reservoir import tables
from reservoir.sequences import read_sequences
from reservoir.tables import checked

BOTH = [np.float64, np.float32]
NUMBERS = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("array", [NUMBERS, NUMBERS.astype(np.float32)], ids=["float64", "float32"])
def test_a_plain_array_comes_back_itself_without_being_sent_to_scikit_learn(monkeypatch, array):
    monkeypatch.setattr(tables, "check_array", None)
    assert checked(array, BOTH, "X") is array
    column = array[:, 0].copy()
    assert checked(column, BOTH, "y", is_table=False) is column


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad):
    array = NUMBERS.copy()
    array[2, 1] = bad
    with pytest.raises(ValueError, match="X contains"):
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
