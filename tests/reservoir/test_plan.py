"""Cutting, dealing and laying out: every row once, nothing mixed, whoever drives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from reservoir.drive.plan import (
    WIDE_RESERVOIR,
    WORTH_CUTTING,
    Lanes,
    choose_lanes,
    cut,
    deal,
    lay_out,
    time_alone,
    time_in_lanes,
)
from reservoir.simd.vectors import ONE_PACK, TWO_PACKS

EXAMPLES = settings(max_examples=200)
ragged = st.lists(st.integers(1, 60), min_size=1, max_size=12)


def offsets_of(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@st.composite
def cuttings(draw):
    """(offsets, longest, n_warm, breaks, lanes) of anything that may be asked."""
    offsets = offsets_of(draw(ragged))
    n = int(offsets[-1])
    inner = draw(st.lists(st.integers(1, max(1, n - 1)), unique=True, max_size=4)) if n > 1 else []
    breaks = np.array([0, *sorted(inner), n], np.int64)
    lanes = Lanes(ONE_PACK, draw(st.sampled_from([4, 8])), draw(st.integers(1, 3)))
    return offsets, draw(st.integers(1, 40)), draw(st.integers(1, 30)), breaks, lanes


def plans_of(offsets, longest, n_warm, breaks, lanes):
    """The stretches, and for each fold the queues and plans of its groups; records numbered by stretch."""
    stretches = cut(offsets, longest, n_warm, breaks)
    n = len(stretches.first)
    warm_slot = np.where(stretches.n_warm > 0, np.arange(n), -1)
    end_slot = n + np.arange(n)
    initial = np.arange(n) % 3
    folds = []
    for fold in range(len(breaks) - 1):
        dealt = deal(stretches.n_rows, np.flatnonzero(stretches.fold == fold), lanes)
        folds.append((dealt, [lay_out(queues, stretches, initial, warm_slot, end_slot) for queues in dealt]))
    return stretches, initial, warm_slot, end_slot, folds


@EXAMPLES
@given(cuttings())
def test_stretches_follow_each_other_and_cover_every_row_once(asked):
    offsets, longest, n_warm, breaks, _ = asked
    stretches = cut(offsets, longest, n_warm, breaks)
    begin, end = stretches.first + stretches.n_warm, stretches.first + stretches.n_rows
    assert begin[0] == 0
    assert end[-1] == offsets[-1]
    assert_array_equal(begin[1:], end[:-1])
    assert (end > begin).all()
    # None crosses a sequence or a fold, warm-up included for the sequence.
    assert (stretches.first >= offsets[stretches.sequence]).all()
    assert (end <= offsets[stretches.sequence + 1]).all()
    assert (begin >= breaks[stretches.fold]).all()
    assert (end <= breaks[stretches.fold + 1]).all()
    # A warm-up is the rows before, n_warm of them or all that there are.
    assert_array_equal(stretches.n_warm, np.minimum(n_warm, begin - offsets[stretches.sequence]))
    assert_array_equal(stretches.is_continued, begin > offsets[stretches.sequence])
    # About as long as asked: round() leaves at most one and a half.
    assert (end - begin <= 1.5 * longest + 1).all()


@EXAMPLES
@given(cuttings())
def test_every_row_is_kept_once_by_one_lane_after_its_warm_up(asked):
    stretches, initial, warm_slot, end_slot, folds = plans_of(*asked)
    offsets, _, _, breaks, _ = asked
    times_kept = np.zeros(offsets[-1], int)
    for fold, (dealt, plans) in enumerate(folds):
        for queues, plan in zip(dealt, plans, strict=True):
            counted = plan.row[plan.kept]
            assert (counted >= 0).all()
            np.add.at(times_kept, counted, 1)
            assert ((counted >= breaks[fold]) & (counted < breaks[fold + 1])).all()
            for lane, queue in enumerate(queues):
                # Lanes idle first and end together.
                step = len(plan.row) - int(stretches.n_rows[queue].sum())
                assert (plan.row[:step, lane] == -1).all() and not plan.kept[:step, lane].any()
                for stretch in queue:
                    n, warm = stretches.n_rows[stretch], stretches.n_warm[stretch]
                    here = slice(step, step + n)
                    assert_array_equal(plan.row[here, lane], stretches.first[stretch] + np.arange(n))
                    assert_array_equal(plan.kept[here, lane], np.arange(n) >= warm)
                    assert_array_equal(plan.start[here, lane], [initial[stretch]] + [-1] * (n - 1))
                    record = np.full(n, -1)
                    if warm > 0:
                        record[warm - 1] = warm_slot[stretch]
                    record[-1] = end_slot[stretch]
                    assert_array_equal(plan.record[here, lane], record)
                    step += n
                assert step == len(plan.row)
            assert (plan.row[-1] >= 0).any()
            counts = plan.kept.any(axis=1)
            assert_array_equal(plan.column[counts], np.arange(counts.sum()))
            assert (plan.column[~counts] == -1).all()
    assert (times_kept == 1).all()


@EXAMPLES
@given(cuttings())
def test_the_deal_is_balanced_and_complete(asked):
    offsets, longest, n_warm, breaks, lanes = asked
    stretches = cut(offsets, longest, n_warm, breaks)
    for fold in range(len(breaks) - 1):
        members = np.flatnonzero(stretches.fold == fold)
        dealt = deal(stretches.n_rows, members, lanes)
        assert 1 <= len(dealt) <= lanes.n_groups
        assert all(len(group) == lanes.n_lanes for group in dealt)
        queues = [queue for group in dealt for queue in group]
        assert_array_equal(np.sort([stretch for queue in queues for stretch in queue]), members)
        load = np.array([stretches.n_rows[queue].sum() for queue in queues])
        # Whoever has most had least before the last of its stretches came.
        assert load.max() - load.min() <= stretches.n_rows[members].max()
        assert all(any(group) for group in dealt)


@pytest.mark.parametrize(
    ("n_sequences", "widths"),
    [
        (200, [16, 16, 8]),
        (32, [16, 16]),
        (72, [16, 16, 8]),
        (73, [16, 16, 8, 8]),
        (90, [16, 16]),
        (10, [8, 8]),
        (5, [8]),
    ],
)
def test_what_a_last_round_would_leave_idle_is_driven_in_narrow_groups(n_sequences, widths):
    n_rows = np.full(n_sequences, 100)
    dealt = deal(n_rows, np.arange(n_sequences), Lanes(TWO_PACKS, 16, 2))
    assert [len(group) for group in dealt] == widths
    stretches = [stretch for group in dealt for queue in group for stretch in queue]
    assert sorted(stretches) == list(range(n_sequences))
    wide = deal(n_rows, np.arange(n_sequences), Lanes(TWO_PACKS, 16, 2), may_be_narrow=False)
    assert {len(group) for group in wide} == {16}


def test_short_sequences_fill_the_gaps_that_long_ones_leave():
    n_rows = np.array([100] * 30 + [10] * 10)
    dealt = deal(n_rows, np.arange(40), Lanes(TWO_PACKS, 16, 2))
    assert [len(group) for group in dealt] == [16, 16]


@EXAMPLES
@given(ragged, st.integers(1, 5), st.sampled_from([np.float64, np.float32]))
def test_lanes_suit_the_lengths(lengths, factor, dtype):
    lengths = np.array(lengths) * 10**factor // 10
    lanes = choose_lanes(lengths, 100, np.dtype(dtype))
    P = 64 // np.dtype(dtype).itemsize
    if lanes is None:
        assert lengths.sum() < WORTH_CUTTING
        assert len(lengths) < P / 2
    else:
        assert lanes.n_lanes == len(lanes.packs) * P
        assert lanes.total == lanes.n_lanes * lanes.n_groups


def test_wide_reservoirs_get_one_pack_of_lanes():
    lengths = np.array([100_000])
    assert choose_lanes(lengths, WIDE_RESERVOIR - 1, np.dtype(float)).packs == TWO_PACKS
    assert choose_lanes(lengths, WIDE_RESERVOIR, np.dtype(float)).packs == ONE_PACK


@pytest.mark.parametrize(("n_steps", "n_warm", "pays"), [(3000, 600, False), (10_000, 600, True), (3000, 60, True)])
def test_lanes_pay_where_warm_ups_are_few(n_steps, n_warm, pays):
    lanes = choose_lanes(np.array([n_steps]), 1000, np.dtype(float), n_warm)
    ends = np.array([0, n_steps])
    stretches = cut(ends, n_steps // lanes.total, n_warm, ends)
    alone = time_alone(n_steps, 1000, 11.0, is_shifted=False)
    assert (time_in_lanes(stretches, lanes, 1000, 11.0) < 0.9 * alone) == pays
    assert time_alone(n_steps, 1000, 11.0, is_shifted=True) < alone


def test_long_warm_ups_keep_to_one_pack_of_lanes():
    packs = [choose_lanes(np.array([20_000]), 100, np.dtype(float), n_warm).packs for n_warm in (0, 200, 600)]
    assert packs == [TWO_PACKS, TWO_PACKS, ONE_PACK]


def test_more_steps_get_more_groups():
    groups = [choose_lanes(np.array([n]), 100, np.dtype(float)).n_groups for n in (10**4, 10**5, 10**6, 10**7)]
    assert groups == sorted(groups)
    assert groups[0] < groups[-1]


def test_a_break_cuts_a_sequence_and_warms_up_across_it():
    stretches = cut(np.array([0, 100]), 1000, 7, np.array([0, 40, 100]))
    assert_array_equal(stretches.first, [0, 33])
    assert_array_equal(stretches.n_warm, [0, 7])
    assert_array_equal(stretches.n_rows, [40, 67])
    assert_array_equal(stretches.fold, [0, 1])


@pytest.mark.parametrize("n_warm", [10, 11, 10**6])
def test_a_warm_up_longer_than_what_precedes_begins_with_the_sequence(n_warm):
    stretches = cut(np.array([0, 5, 25]), 10, n_warm, np.array([0, 25]))
    assert_array_equal(stretches.first, [0, 5, 5])
    assert_array_equal(stretches.n_warm, [0, 0, 10])


def test_sequences_that_are_not_cut_are_stretches():
    offsets = offsets_of([4, 1, 9])
    stretches = cut(offsets, 10, 1, np.array([0, 14]))
    assert_array_equal(stretches.first, offsets[:-1])
    assert_array_equal(stretches.n_rows, np.diff(offsets))
    assert not stretches.is_continued.any()
