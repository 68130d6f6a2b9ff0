"""The rows of a batch against an enumeration of its steps, one after the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from cells.passes.rows import Rows
from naive.products import take_rows

some_lengths = st.lists(st.integers(1, 9), min_size=1, max_size=7).map(lambda lengths: sorted(lengths, reverse=True))


def enumerated(lengths):
    """(step, sequence) of every row, in order."""
    return [(t, i) for t in range(max(lengths)) for i in range(len(lengths)) if t < lengths[i]]


def read_by(spans, n_rows):
    """{row: row it reads} by the spans; no row is named twice, and none is outside."""
    pairs = [(first + k, first_read + k) for first_read, first, n in spans for k in range(n)]
    found = dict(pairs)
    assert len(found) == len(pairs)
    assert set(found) <= set(range(n_rows))
    return found


@given(some_lengths)
def test_rows_are_the_steps_in_time_longest_sequence_first(lengths):
    rows, steps = Rows(np.array(lengths)), enumerated(lengths)
    assert (rows.n_sequences, rows.n_rows) == (len(lengths), len(steps)) == (len(lengths), sum(lengths))
    assert list(zip(rows.step, rows.sequence, strict=True)) == steps
    assert rows.running.tolist() == [sum(length > t for length in lengths) for t in range(lengths[0])]
    assert rows.first.tolist() == [steps.index((t, 0)) for t in range(lengths[0])] + [len(steps)]
    assert rows.first.dtype == np.int64


@given(some_lengths)
def test_the_last_row_of_a_sequence_is_its_last_step(lengths):
    steps = enumerated(lengths)
    assert Rows(np.array(lengths)).last.tolist() == [steps.index((n - 1, i)) for i, n in enumerate(lengths)]


@given(some_lengths)
def test_reversing_turns_each_sequence_at_its_true_end(lengths):
    rows, steps = Rows(np.array(lengths)), enumerated(lengths)
    assert rows.reversed.tolist() == [steps.index((lengths[i] - 1 - t, i)) for t, i in steps]
    assert_array_equal(rows.reversed[rows.reversed], np.arange(len(steps)))


@given(some_lengths)
def test_states_before_a_step_are_the_initial_ones_or_those_of_the_step_before(lengths):
    """Arrays of states have the initial states in front."""
    rows, steps, B = Rows(np.array(lengths)), enumerated(lengths), len(lengths)
    before = [i if t == 0 else B + steps.index((t - 1, i)) for t, i in steps]
    assert read_by(rows.spans_before, len(steps)) == dict(enumerate(before))


@given(some_lengths)
def test_states_after_a_step_stand_behind_the_initial_ones(lengths):
    rows, steps, B = Rows(np.array(lengths)), enumerated(lengths), len(lengths)
    assert read_by(rows.span_now, len(steps)) == {row: row for row in range(len(steps))}
    assert read_by(rows.span_after, len(steps)) == {row: B + row for row in range(len(steps))}


@given(some_lengths)
def test_rows_of_the_step_before_are_nothing_at_the_first_step(lengths):
    rows, steps = Rows(np.array(lengths)), enumerated(lengths)
    before = {row: steps.index((t - 1, i)) for row, (t, i) in enumerate(steps) if t > 0}
    assert read_by(rows.spans_step_before, len(steps)) == before


@pytest.mark.parametrize(
    ("lengths", "n_spans"), [([1], 1), ([5], 1), ([1, 1, 1], 1), ([7, 7, 7], 1), ([9, 1], 2), ([4, 4, 2, 2, 1], 3)]
)
def test_there_is_one_more_span_only_where_sequences_have_ended(lengths, n_spans):
    """Few spans are few products."""
    assert len(Rows(np.array(lengths)).spans_before) == n_spans


def test_what_rows_read_by_spans():
    """The twin that other tests use: two sequences, of two steps and of one."""
    rows, states = Rows(np.array([2, 1])), np.array([[10.0], [20.0], [11.0], [21.0], [12.0]])
    assert_array_equal(take_rows(states, rows.spans_before, 3), [[10.0], [20.0], [11.0]])
    assert_array_equal(take_rows(states[2:], rows.spans_step_before, 3), [[0.0], [0.0], [11.0]])
