r"""Who runs in which lane: sequences, and stretches of long series cut in time, dealt to groups of lanes.

Echo states forget. A long series is therefore cut into stretches that run side by side: a stretch begins w steps
early from rest, warms up on them, and takes over where the stretch before it ends. That the two states agree there
is verified for every seam (:mod:`reservoir.runs`). The cut depends on the lengths of the sequences only, never on the
number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from reservoir.drive_arguments import Plan
from reservoir.vectors import ONE_PACK, PACK_BYTES, TWO_PACKS

MAX_GROUPS = 8
# Fewer steps than this in all are not worth several lanes of one series.
WORTH_CUTTING = 3_000
# Steps from which two packs of lanes pay: before, longer lanes of one pack spend less on warm-ups.
WORTH_TWO_PACKS = 18_000
# Steps of one lane from which on another pair of groups pays for its warm-ups.
LONG_LANE = 2_048
# Units from which on two packs of lanes outgrow the second-level cache.
WIDE_RESERVOIR = 4_096


@dataclass(frozen=True)
class Lanes:
    """How many lanes run: ``n_groups`` groups, each one call of the kernel, of ``n_lanes`` lanes."""

    packs: tuple
    n_lanes: int
    n_groups: int

    @property
    def total(self) -> int:
        """Lanes of all groups."""
        return self.n_lanes * self.n_groups


def choose_lanes(lengths: np.ndarray, n_units: int, dtype: np.dtype) -> Lanes | None:
    """Lanes for sequences of these lengths; None where running them one by one is as good.

    Parameters
    ----------
    lengths : (n_sequences,) int
    n_units : int
    dtype : float64 or float32
    """
    P = PACK_BYTES // np.dtype(dtype).itemsize
    n_steps, n_sequences = int(lengths.sum()), len(lengths)
    if n_steps < WORTH_CUTTING and n_sequences < P // 2:
        return None
    if n_steps < WORTH_CUTTING:
        return Lanes(ONE_PACK, P, 1 if n_sequences <= P else 2)
    if n_units >= WIDE_RESERVOIR or n_steps < WORTH_TWO_PACKS:
        packs, n_lanes = ONE_PACK, P
    else:
        packs, n_lanes = TWO_PACKS, 2 * P
    n_groups = 2
    while n_groups < MAX_GROUPS and n_steps >= 2 * n_groups * n_lanes * LONG_LANE:
        n_groups *= 2
    return Lanes(packs, n_lanes, n_groups)


@dataclass(frozen=True)
class Stretches:
    """Runs of consecutive rows, each to be driven without a break in one lane.

    Attributes
    ----------
    first : (n,) int64
        First row read.
    n_warm : (n,) int64
        Rows read only to warm up; 0 for the beginning of a sequence.
    n_rows : (n,) int64
        All rows read.
    sequence : (n,) int64
        The sequence the rows belong to.
    fold : (n,) int64
    """

    first: np.ndarray
    n_warm: np.ndarray
    n_rows: np.ndarray
    sequence: np.ndarray
    fold: np.ndarray

    @property
    def is_continued(self) -> np.ndarray:
        """(n,) bool: whether the stretch takes over from the one before it in the list."""
        return self.n_warm > 0


def cut(offsets: np.ndarray, longest: int, n_warm: int, breaks: np.ndarray) -> Stretches:
    """Cut sequences into stretches of at most about ``longest`` rows, none of them across a break.

    Parameters
    ----------
    offsets : (n_sequences + 1,) int64
    longest : int >= 1
    n_warm : int >= 1
        Rows of warm-up of a stretch that does not begin its sequence.
    breaks : (n_folds + 1,) int64
        Row from which on each fold begins, and the number of rows.
    """
    edges = np.union1d(offsets, breaks)
    left, length = edges[:-1], np.diff(edges)
    n_parts = np.maximum(1, np.rint(length / longest)).astype(np.int64)
    piece = np.repeat(np.arange(len(left)), n_parts)
    part = np.arange(len(piece)) - np.repeat(np.cumsum(n_parts) - n_parts, n_parts)
    start = left[piece] + length[piece] * part // n_parts[piece]
    stop = left[piece] + length[piece] * (part + 1) // n_parts[piece]
    sequence = np.searchsorted(offsets, start, side="right") - 1
    # A warm-up that reaches the beginning of its sequence starts from the true state: its seam is exact.
    first = np.maximum(offsets[sequence], start - n_warm)
    return Stretches(first, start - first, stop - first, sequence, np.searchsorted(breaks, start, side="right") - 1)


def deal(n_rows: np.ndarray, members: np.ndarray, lanes: Lanes) -> list[list[list[int]]]:
    """Deal stretches to lanes, longest first, each to the lane with least to do: [group][lane] -> stretches."""
    order = members[np.argsort(-n_rows[members], kind="stable")]
    n_groups = min(lanes.n_groups, -(-len(members) // lanes.n_lanes))
    queues: list[list[int]] = [[] for _ in range(lanes.n_lanes * n_groups)]  # lane 0 of every group first
    places = np.empty(len(order), np.int64)
    _find_places(n_rows[order], np.zeros(len(queues), np.int64), places)
    for stretch, place in zip(order.tolist(), places.tolist(), strict=True):
        queues[place].append(stretch)
    return [queues[group::n_groups] for group in range(n_groups)]


@njit(cache=True, nogil=True, error_model="numpy")
def _find_places(n_rows, load, places):
    """``places[k]``: the first queue with least to do when stretch k comes; ``load`` (n_queues,) is zeros."""
    for k in range(n_rows.size):
        places[k] = np.argmin(load)
        load[places[k]] += n_rows[k]


def lay_out(
    queues: list[list[int]],
    stretches: Stretches,
    initial: np.ndarray,
    warm_slot: np.ndarray,
    end_slot: np.ndarray,
) -> Plan:
    """The plan of one group from its lanes' queues, without columns.

    Parameters
    ----------
    queues : [lane] -> stretches
    initial : (n,) int
        Row of ``Data.initial`` each stretch starts from.
    warm_slot, end_slot : (n,) int
        Row of ``Sinks.records`` for the state after its warm-up and after its end; -1: none.
    """
    B = len(queues)
    dealt = np.array([stretch for queue in queues for stretch in queue])
    lane = np.repeat(np.arange(B), [len(queue) for queue in queues])
    n_rows, n_warm = stretches.n_rows[dealt], stretches.n_warm[dealt]
    load = np.bincount(lane, n_rows, B).astype(np.int64)  # its floats count exactly to 2^53
    S = int(load.max())
    row, kept = np.full((S, B), -1, np.int64), np.zeros((S, B), bool)
    start, record = np.full((S, B), -1, np.int32), np.full((S, B), -1, np.int32)
    # Lanes end together: what idles then idles beside the others' warm-ups, and steps that count coincide.
    begin = np.cumsum(n_rows) - n_rows - (np.cumsum(load) - S)[lane]
    _write_steps(lane, begin, stretches.first[dealt], n_rows, n_warm, row, kept)
    start[begin, lane] = initial[dealt]
    is_warmed = n_warm > 0
    record[(begin + n_warm - 1)[is_warmed], lane[is_warmed]] = warm_slot[dealt][is_warmed]
    record[begin + n_rows - 1, lane] = end_slot[dealt]
    return Plan(row, start, record, kept, np.empty(0, np.int64))


@njit(cache=True, nogil=True, error_model="numpy")
def _write_steps(lane, begin, first, n_rows, n_warm, row, kept):
    """Rows read in the steps of each stretch, and which of them count."""
    for k in range(lane.size):
        for i in range(n_rows[k]):
            row[begin[k] + i, lane[k]] = first[k] + i
            kept[begin[k] + i, lane[k]] = i >= n_warm[k]
