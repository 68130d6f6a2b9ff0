r"""Who runs in which lane: sequences, and stretches of long series cut in time, dealt to groups of lanes.

Echo states forget. A long series is therefore cut into stretches that run side by side: a stretch begins w steps
early from rest, warms up on them, and takes over where the stretch before it ends. That the two states agree there
is verified for every seam (:mod:`reservoir.drive.routes`). The cut depends on the lengths of the sequences only, never
on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reservoir.drive.arguments import Plan
from reservoir.jit import njit
from reservoir.simd.vectors import ONE_PACK, PACK_BYTES, TWO_PACKS

MAX_GROUPS = 8
# Fewer steps than this in all are not worth several lanes of one series.
WORTH_CUTTING = 3_000
# Steps from which two packs of lanes pay, and how many of them a lane must have for each of its warm-up: before, longer
# lanes of one pack spend less on warm-ups.
WORTH_TWO_PACKS, WORTH_A_WARM_UP = 18_000, 1.5
# Steps of one lane from which on another pair of groups pays for its warm-ups.
LONG_LANE = 2_048
# Time of a step of one pack of lanes over that of two: 0.54 to 0.6 at 24 to 100 units of float64.
TIME_OF_ONE_PACK = 0.6
# Units from which on two packs of lanes outgrow the second-level cache.
WIDE_RESERVOIR = 4_096
# Nanoseconds of a step, of a unit and of one of its weights: alone and as one pack of lanes, at 10 to 1,000 units with
# 1 to 100 weights on an AMD EPYC with AVX2. What is compared is their ratio.
STEP_ALONE, UNIT_ALONE, WEIGHT_ALONE, WEIGHT_OF_SHIFT = 60.0, 1.4, 0.36, 0.12
STEP_OF_PACK, UNIT_OF_PACK, WEIGHT_OF_PACK = 300.0, 12.0, 1.2
SETTING_UP = 400_000.0  # nanoseconds until lanes run
N_THREADS = 2  # that are taken to share the groups: what is chosen must not depend on how many there are


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


def choose_lanes(lengths: np.ndarray, n_units: int, dtype: np.dtype, n_warm: int = 0) -> Lanes | None:
    """Lanes for sequences of these lengths; None where running them one by one is as good.

    Parameters
    ----------
    lengths : (n_sequences,) int
    n_units : int
    dtype : float64 or float32
    n_warm : int >= 0
        Rows of warm-up of each lane.
    """
    P = PACK_BYTES // np.dtype(dtype).itemsize
    n_steps, n_sequences = int(lengths.sum()), len(lengths)
    if n_steps < WORTH_CUTTING and n_sequences < P // 2:
        return None
    if n_steps < WORTH_CUTTING:
        return Lanes(ONE_PACK, P, 1 if n_sequences <= P else 2)
    if n_units >= WIDE_RESERVOIR or n_steps < max(WORTH_TWO_PACKS, WORTH_A_WARM_UP * 4 * P * n_warm):
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
    n_parts = np.maximum(1, np.rint(np.diff(edges) / longest).astype(np.int64))
    fields = np.empty((5, int(n_parts.sum())), np.int64)
    _cut(edges, n_parts, n_warm, offsets, breaks, *fields)
    return Stretches(*fields)


@njit(cache=True, nogil=True, error_model="numpy")
def _cut(edges, n_parts, n_warm, offsets, breaks, first, warm, rows, sequences, folds):
    """The fields of :class:`Stretches`, written: ``n_parts[k]`` equal ones between the edges k and k + 1."""
    n, sequence, fold = 0, 0, 0
    for k in range(n_parts.size):
        left, length = edges[k], edges[k + 1] - edges[k]
        while offsets[sequence + 1] <= left:
            sequence += 1
        while breaks[fold + 1] <= left:
            fold += 1
        for part in range(n_parts[k]):
            start, stop = left + length * part // n_parts[k], left + length * (part + 1) // n_parts[k]
            # A warm-up that reaches the beginning of its sequence starts from the true state: its seam is exact.
            first[n] = max(offsets[sequence], start - n_warm)
            warm[n], rows[n], sequences[n], folds[n] = start - first[n], stop - first[n], sequence, fold
            n += 1


def time_alone(n_steps: int, n_units: int, degree: float, *, is_shifted: bool) -> float:
    """Nanoseconds that the kernel of one sequence is expected to take.

    Parameters
    ----------
    n_steps : int
    n_units : int
    degree : float
        Weights of a unit, those of inputs among them.
    is_shifted : bool
        Whether the graph is made of shifts.
    """
    weight = WEIGHT_OF_SHIFT if is_shifted else WEIGHT_ALONE
    return n_steps * (STEP_ALONE + n_units * (UNIT_ALONE + weight * degree))


def time_in_lanes(stretches: Stretches, lanes: Lanes, n_units: int, degree: float) -> float:
    """Nanoseconds that ``stretches`` are expected to take, a fold after the other."""
    rows = np.bincount(stretches.fold, stretches.n_rows)
    longest = np.zeros(len(rows))
    np.maximum.at(longest, stretches.fold, stretches.n_rows)
    n_steps = np.maximum(longest, rows / lanes.total).sum() * -(-lanes.n_groups // N_THREADS)
    step = STEP_OF_PACK + n_units * (UNIT_OF_PACK + WEIGHT_OF_PACK * degree)
    return SETTING_UP + n_steps * (step if lanes.packs == ONE_PACK else step / TIME_OF_ONE_PACK)


def deal(n_rows: np.ndarray, members: np.ndarray, lanes: Lanes, *, may_be_narrow: bool = True) -> list[list[list[int]]]:
    """Deal stretches to lanes, longest first, each to the lane with least to do: [group][lane] -> stretches.

    Where a last round would leave most lanes of two packs idle, what is left for it goes to groups of half as many
    lanes, which come last, if there may be such.
    """
    order = members[np.argsort(-n_rows[members], kind="stable")]
    sizes = n_rows[order]
    n_left = len(order) % lanes.total
    n_most = len(order) - n_left
    places = _places(sizes, lanes)
    if may_be_narrow and lanes.packs == TWO_PACKS and 0 < n_left <= lanes.total // 2:
        narrow = Lanes(ONE_PACK, lanes.n_lanes // 2, lanes.n_groups)
        most, left = _places(sizes[:n_most], lanes), _places(sizes[n_most:], narrow)
        if _longest(most, sizes[:n_most]) + TIME_OF_ONE_PACK * sizes[n_most] < _longest(places, sizes):
            return _queues(most, order[:n_most], lanes) + _queues(left, order[n_most:], narrow)
    return _queues(places, order, lanes)


def _places(sizes: np.ndarray, lanes: Lanes) -> np.ndarray:
    """Queue of each of the stretches of ``sizes`` rows in turn; queues are lane 0 of every group, then lane 1, ..."""
    n_groups = min(lanes.n_groups, -(-len(sizes) // lanes.n_lanes))
    places = np.empty(len(sizes), np.int64)
    _find_places(sizes, np.zeros(lanes.n_lanes * n_groups, np.int64), places)
    return places


def _longest(places: np.ndarray, sizes: np.ndarray) -> float:
    """Rows of the longest queue."""
    return np.bincount(places, sizes).max(initial=0.0)


def _queues(places: np.ndarray, stretches: np.ndarray, lanes: Lanes) -> list[list[list[int]]]:
    """Stretches by group and lane."""
    n_groups = min(lanes.n_groups, -(-len(stretches) // lanes.n_lanes))
    queues: list[list[int]] = [[] for _ in range(lanes.n_lanes * n_groups)]
    for stretch, place in zip(stretches.tolist(), places.tolist(), strict=True):
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
    """The plan of one group from its lanes' queues; ``column`` counts the steps that count for some lane: 0, 1, 2, ...

    Lanes end together: what idles then idles beside the others' warm-ups, and steps that count coincide.

    Parameters
    ----------
    queues : [lane] -> stretches
    initial : (n,) int
        Row of ``Data.initial`` each stretch starts from.
    warm_slot, end_slot : (n,) int
        Row of ``Sinks.records`` for the state after its warm-up and after its end; -1: none.
    """
    dealt = np.array([stretch for queue in queues for stretch in queue])
    sizes = np.array([len(queue) for queue in queues])
    s, B = stretches, len(queues)
    load = np.bincount(np.repeat(np.arange(B), sizes), s.n_rows[dealt], minlength=B).astype(np.int64)
    S = int(load.max())
    row, start, record = np.full((S, B), -1), np.full((S, B), -1, np.int32), np.full((S, B), -1, np.int32)
    plan = Plan(row, start, record, np.zeros((S, B), np.bool_), np.full(S, -1))
    _write(dealt, sizes, load, s.first, s.n_warm, s.n_rows, initial, warm_slot, end_slot, *plan)
    return plan


@njit(cache=True, nogil=True, error_model="numpy")
def _write(dealt, sizes, load, first, n_warm, n_rows, initial, warm_slot, end_slot, row, start, record, kept, column):
    """The fields of the plan of lanes that run ``sizes`` of the stretches ``dealt``, one lane after the other."""
    S, k = column.size, 0
    for lane in range(sizes.size):
        step = S - load[lane]
        for place in range(k, k + sizes[lane]):
            stretch = dealt[place]
            start[step, lane] = initial[stretch]
            for i in range(n_rows[stretch]):
                row[step + i, lane] = first[stretch] + i
                if i >= n_warm[stretch]:
                    kept[step + i, lane], column[step + i] = True, 0
            if n_warm[stretch] > 0:
                record[step + n_warm[stretch] - 1, lane] = warm_slot[stretch]
            step += n_rows[stretch]
            record[step - 1, lane] = end_slot[stretch]
        k += sizes[lane]
    n_counted = 0
    for step in range(S):
        if column[step] == 0:
            column[step] = n_counted
            n_counted += 1
