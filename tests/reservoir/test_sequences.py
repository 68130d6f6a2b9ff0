"""The one internal form of sequences: what goes back to the caller, and what a washout leaves."""

import numpy as np
import pytest
from hypothesis import given, settings

from naive import sequences as naive
from reservoir.data.sequences import check_washout
from sequence_forms import cases, in_form, read


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


def test_labels_are_constant_looks_within_sequences_only():
    X = np.zeros((5, 1))
    assert read(X, list("aabbb"), target="labels", lengths=[2, 3]).labels_are_constant
    assert not read(X, list("aabba"), target="labels", lengths=[2, 3]).labels_are_constant
    assert not read(X, list("abbbb"), target="labels", lengths=[2, 3]).labels_are_constant
    assert read(X, list("abcab"), target="labels", lengths=[1] * 5).labels_are_constant


def test_washout_must_leave_rows_and_weight():
    X = np.zeros((5, 2))
    got = read(X, lengths=[3, 2], sample_weight=[1, 0, 0, 1, 0])
    assert check_washout(got, 0) == 0 and check_washout(read(X, lengths=[3, 2]), np.int64(1)) == 1
    with pytest.raises(ValueError, match="washout=2 while sequence 1 has 2 rows; use a smaller washout"):
        check_washout(got, 2)
    with pytest.raises(ValueError, match=r"sample_weight .*got only zeros .*washout=1; use a smaller"):
        check_washout(got, 1)
    with pytest.raises(ValueError, match="washout must be an integer >= 0, got -1; give a number of steps, 0 to keep"):
        check_washout(got, -1)
    for washout in (1.0, True, "1"):
        with pytest.raises(TypeError, match=r"washout must be an integer >= 0, got .*; give"):
            check_washout(got, washout)
