"""Driving many lanes: groups of lanes side by side on threads, a block of steps at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from optim.threads import run_all
from reservoir.drive.arguments import Data, Plan, Readout, Sinks, Work
from reservoir.drive.gram_tiles import DEPTH, drive_into_sum
from reservoir.drive.kernels import drive_lanes
from reservoir.drive.plan import Lanes, Stretches, deal, lay_out
from reservoir.drive.task import Task, data_of, no_sinks, noise_of, readout_of, tile_height, tile_sinks
from reservoir.drive.weights import Reservoir
from reservoir.readout.gram import Gram
from reservoir.simd.activations import TANH
from reservoir.simd.vectors import ONE_PACK, PACK_BYTES, aligned

# Largest difference of the two states at a seam, relative to the largest state if that exceeds 1.
SEAM_TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}
COMPARED_AT_ONCE = 1_000_000  # numbers of states at seams
# What the pilot asks for: well below a seam's tolerance, and above what rounding alone leaves (1e-7 in float32).
PILOT_TOLERANCE = {np.dtype(np.float64): 1e-13, np.dtype(np.float32): 5e-7}
# Steps of warm-up the pilot tries at most, and how many it takes between two comparisons.
LONGEST_PILOT, PILOT_BLOCK = 8_192, 32
# Unit-steps of one call, about 50 ms of work, and numbers of noise drawn for one.
UNIT_STEPS_A_CALL, NOISE_A_CALL = 32_000_000, 4_000_000
# Columns behind those of a tile, so that its rows do not fall on the same lines of the cache.
PAD = 8
# Bytes and columns of a tile that is added up at once, and products of its numbers in one call of about 50 ms.
PART_BYTES, FEWEST_IN_PART, MOST_IN_PART = 1_000_000, 256, 4_096
PRODUCTS_A_CALL = 4_000_000_000


class SeamOpenError(Exception):
    """A stretch had not forgotten its start when it took over."""


class Parts(NamedTuple):
    """Tiles that are added up by the threads that fill them, one for each part of the groups."""

    tiles: list[np.ndarray]
    grams: list[Gram]  # one a fold
    columns_a_call: int


class Group:
    """Lanes that one call drives: their memory and their plan."""

    def __init__(self, reservoir: Reservoir, task: Task, readout: Readout, data: Data, plan: Plan) -> None:
        N, B, O, dtype = reservoir.n_units, plan.row.shape[1], len(readout.offset), reservoir.dtype
        self.packs = ONE_PACK * (B * dtype.itemsize // PACK_BYTES)
        self.reservoir, self.task, self.n_lanes = reservoir, task, B
        self.scales: np.ndarray | None = None  # (4, B) as :func:`drive_lanes` takes them
        self.readout, self.data, self.plan = readout, data, plan
        self.work = Work(
            state=aligned((2, N, B), dtype),
            output=aligned((O, B), dtype),
            inputs=aligned((len(reservoir.units.input_weights), B), dtype),
            root=aligned(B, dtype),
            partial=aligned((O, PACK_BYTES // dtype.itemsize, B), dtype),
            doubles=aligned((2, B), np.float64),
            recent=np.empty((0, 0), dtype),
            lone_input=(0,) if len(reservoir.units.input_weights) == 1 else (),
        )

    @property
    def n_steps(self) -> int:
        """Steps of the longest lane."""
        return len(self.plan.row)

    @property
    def n_counted(self) -> int:
        """Steps that count for some lane."""
        return int(self.plan.column.max(initial=-1)) + 1

    def cut_points(self, n_counted: int, n_calls: int) -> np.ndarray:
        """(n_calls + 1,) steps at which calls begin, so that ``n_counted`` steps of each count for some lane."""
        last = np.searchsorted(np.maximum.accumulate(self.plan.column), n_counted * np.arange(1, n_calls) - 1)
        return np.concatenate([[0], np.minimum(last + 1, self.n_steps), [self.n_steps]])

    def advance(self, begin: int, end: int, sinks: Sinks, column: int, width: int) -> None:
        """Steps ``begin`` .. ``end`` of the plan; those that count for some lane go to ``width`` columns of the tile.

        The columns begin at ``column``; what is left of them is set to zero.
        """
        part = slice(begin, end)
        row, start, record, kept, place = (field[part] for field in self.plan)
        columns, B = np.full(len(row), -1), kept.shape[1]
        if sinks.tile.size > 0:
            counts = place >= 0
            n_used = B * int(np.count_nonzero(counts))
            columns[counts] = column + np.arange(0, n_used, B)
            sinks.tile[:, column + n_used : column + width] = 0.0
        if len(row) == 0:
            return
        r = self.reservoir
        plan = Plan(row, start, record, kept, columns)
        drive_lanes(
            self.packs, r.lane_graph, r.units, self.scales, r.activation_code, TANH[r.dtype.name], self.data, plan,
            self.readout, self._noise(row), self.work, sinks,
        )  # fmt: skip

    def advance_into(self, total: np.ndarray, begin: int, end: int, block: int, sinks: Sinks) -> int:
        """Steps ``begin`` .. ``end`` of the plan, whose products are added to ``total``.

        Added up in blocks of as many steps as ``block`` that count for some lane. Returns the number of columns of
        nonzero weight.
        """
        r, plan = self.reservoir, Plan(*(field[begin:end] for field in self.plan))
        return drive_into_sum(
            self.packs, r.lane_graph, r.units, self.scales, r.activation_code, TANH[r.dtype.name], self.data, plan,
            self.readout, self._noise(plan.row), self.work, sinks, block, np.empty_like(plan.column), total,
        )  # fmt: skip

    def _noise(self, row: np.ndarray) -> np.ndarray:
        """(S, N, B) noise of these rows (S, B) of data, or nothing."""
        r = self.reservoir
        if not self.task.noise > 0:
            return np.empty((0, 0, 0), r.dtype)
        noise = aligned((len(row), r.n_units, row.shape[1]), r.dtype)
        for lane in range(row.shape[1]):
            noise[:, :, lane] = noise_of(self.task, row[:, lane], r.n_units)
        return noise


def run_lanes(
    reservoir: Reservoir,
    task: Task,
    readout: Readout,
    sinks: Sinks,
    lanes: Lanes,
    stretches: Stretches,
    final: np.ndarray | None = None,
    parts: Parts | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Drive all stretches, yielding (fold, tile) whenever the tile of ``sinks``, if it has one, is full.

    With ``parts`` nothing is yielded: tiles go to them from the threads that fill them.

    Raises
    ------
    SeamOpenError
        After the last tile, if some stretch was not where it had to take over.
    """
    n_folds = int(stretches.fold.max()) + 1
    continued = stretches.is_continued
    hands_over = np.append(continued[1:], False)
    ends_sequence = np.append(np.diff(stretches.sequence) > 0, True)
    is_recorded = hands_over | (ends_sequence & (final is not None))
    warm_slot = np.where(continued, np.cumsum(continued) - 1, -1)
    end_slot = np.where(is_recorded, continued.sum() + np.cumsum(is_recorded) - 1, -1)
    records = np.empty((continued.sum() + is_recorded.sum(), sinks.records.shape[1]), reservoir.dtype)
    sinks = sinks._replace(records=records)
    begins = stretches.first == task.offsets[stretches.sequence]
    initial = np.where(begins & (task.initial is not None), 1 + stretches.sequence, 0)
    data = data_of(reservoir, task, len(readout.offset))
    done, total = 0, int(stretches.n_rows.sum())
    for fold in range(n_folds):
        members = np.flatnonzero(stretches.fold == fold)
        # A group that ends before the others would leave its columns of every later tile empty.
        dealt = deal(stretches.n_rows, members, lanes, may_be_narrow=sinks.tile.size == 0)
        arguments = [(queues, stretches, initial, warm_slot, end_slot) for queues in dealt]
        plans = run_all(lay_out, arguments, task.n_threads)
        groups = [Group(reservoir, task, readout, data, plan) for plan in plans]
        drive = _in_parts(task, sinks, parts, fold, groups) if parts else _side_by_side(task, sinks, fold, groups)
        for n_steps, tile in drive:
            done += n_steps
            task.tell(done / total)
            if tile is not None:
                yield fold, tile
    seams, a_time = np.flatnonzero(continued), max(1, COMPARED_AT_ONCE // records.shape[1])
    for first in range(0, len(seams), a_time):
        some = seams[first : first + a_time]
        if not agree(records[warm_slot[some]], records[end_slot[some - 1]], SEAM_TOLERANCE[reservoir.dtype]):
            raise SeamOpenError
    if final is not None:
        final[:] = records[end_slot[ends_sequence]]


def _side_by_side(task: Task, sinks: Sinks, fold: int, groups: list[Group]) -> Iterator[tuple[int, np.ndarray | None]]:
    """(steps of lanes done, tile) of all groups, which meet after each block of steps; None for no tile."""
    n_counted, most = max(group.n_counted for group in groups), _steps_a_call(groups[0])
    edges = np.cumsum([0, *(group.n_lanes for group in groups)])
    if sinks.tile.size > 0:
        most = min(most, sinks.tile.shape[1] // edges[-1])
    n_calls = -(-n_counted // most)
    block = -(-n_counted // n_calls)
    points = [group.cut_points(block, n_calls) for group in groups]
    for call in range(n_calls):
        jobs = [
            (group, p[call], p[call + 1], sinks, block * edge, block * group.n_lanes)
            for group, p, edge in zip(groups, points, edges[:-1], strict=True)
        ]
        run_all(Group.advance, jobs, task.n_threads)
        tile = sinks.tile[:, : block * edges[-1]] if sinks.tile.size > 0 else None
        yield sum(int(p[call + 1] - p[call]) * group.n_lanes for group, p in zip(groups, points, strict=True)), tile


def _in_parts(task: Task, sinks: Sinks, parts: Parts, fold: int, groups: list[Group]) -> Iterator[tuple[int, None]]:
    """(steps of lanes done, None); each part drives its groups one after the other, and adds up what is in its tile.

    A call takes so many blocks of each part; where it ends changes no bit.
    """
    columns = parts.tiles[0].shape[1] - PAD
    a_call = max(1, min(_steps_a_call(groups[0]) * groups[0].n_lanes, parts.columns_a_call) // columns)
    n_parts = min(len(parts.tiles), len(groups))
    blocks = [group.cut_points(size, -(-group.n_counted // size)) for group, size in _sizes(groups, columns)]
    n_calls = max(-(-sum(len(b) - 1 for b in blocks[part::n_parts]) // a_call) for part in range(n_parts))

    def work_of(part: int, call: int) -> Iterator[tuple[Group, int, np.ndarray]]:
        """Groups, the steps of their blocks that count, and where the blocks begin and end."""
        first = call * a_call
        for (group, size), edges in list(zip(_sizes(groups, columns), blocks, strict=True))[part::n_parts]:
            its = edges[max(first, 0) : max(first + a_call + 1, 0)]
            if len(its) > 1:
                yield group, size, its
            first -= len(edges) - 1

    def drive(gram: Gram, part: int, call: int) -> int:
        tile, n_steps = parts.tiles[part], 0
        own = sinks._replace(tile=tile)
        for group, _, edges in work_of(part, call):
            for begin, end in pairwise(edges):
                width = group.n_lanes * int(np.count_nonzero(group.plan.column[begin:end] >= 0))
                group.advance(begin, end, own, 0, width)
                gram.add_part(part, tile[:, :width])
                n_steps += int(end - begin) * group.n_lanes
        return n_steps

    def drive_into(gram: Gram, part: int, call: int) -> int:
        own, n_steps = sinks._replace(tile=parts.tiles[part]), 0
        for group, size, edges in work_of(part, call):
            total = gram.sum_of_part(part)
            gram.count_in_part(part, group.advance_into(total, edges[0], edges[-1], size, own))
            n_steps += int(edges[-1] - edges[0]) * group.n_lanes
        return n_steps

    gram = parts.grams[fold]
    job = drive_into if gram.is_summed_in_tiles else drive
    for call in range(n_calls):
        yield sum(run_all(job, [(gram, part, call) for part in range(n_parts)], task.n_threads)), None


def _sizes(groups: list[Group], columns: int) -> list[tuple[Group, int]]:
    """Groups and the steps of theirs that fill so many columns."""
    return [(group, columns // group.n_lanes) for group in groups]


def _steps_a_call(group: Group) -> int:
    """Steps of a call of about 50 ms."""
    if group.task.noise > 0:
        return max(1, NOISE_A_CALL // (group.reservoir.n_units * group.n_lanes))
    return max(1, UNIT_STEPS_A_CALL // (group.reservoir.cost_of_step * group.n_lanes))


def agree(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether all rows of two arrays of states are equal to ``tolerance``, relative to a row's largest if above 1."""
    sizes = np.maximum(1.0, np.max(np.abs(a), axis=-1, initial=0.0))
    differences = np.max(np.abs(a - b), axis=-1, initial=0.0)
    return bool(((differences <= tolerance * sizes) & (differences < np.inf)).all())


class LaneTiles:
    """(fold, tile) of all stretches: to be iterated over, or added up on the threads that fill the tiles."""

    def __init__(
        self, reservoir: Reservoir, task: Task, lanes: Lanes, stretches: Stretches, final: np.ndarray | None
    ) -> None:
        self.arguments = (lanes, stretches, final)
        self.reservoir, self.task = reservoir, task

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        return self._run(tile_sinks(self.reservoir, self.task, self.arguments[0].total), None)

    def add_to(self, grams: list[Gram]) -> None:
        """Add all tiles to the Gram of their fold, while the caches still hold them; call their ``take_parts`` then.

        Threads add to different parts of a Gram side by side. Which part a tile belongs to, and the order within a
        part, depend on the data only.
        """
        lanes = self.arguments[0]
        height = tile_height(self.reservoir, self.task)
        columns = min(max(PART_BYTES // (8 * height), FEWEST_IN_PART), MOST_IN_PART)
        if grams[0].is_summed_in_tiles:
            columns = DEPTH
        columns = -(-columns // lanes.n_lanes) * lanes.n_lanes
        tiles = [aligned((height, columns + PAD), np.float64) for _ in range(min(grams[0].n_parts, lanes.n_groups))]
        parts = Parts(tiles, grams, max(columns, PRODUCTS_A_CALL // height**2))
        for _ in self._run(no_sinks(self.reservoir)._replace(shift=self.task.shift), parts):
            pass

    def _run(self, sinks: Sinks, parts: Parts | None) -> Iterator[tuple[int, np.ndarray]]:
        readout = readout_of(self.reservoir, None, None, -1)
        return run_lanes(self.reservoir, self.task, readout, sinks, *self.arguments, parts)


def forgetting_time(reservoir: Reservoir, task: Task) -> int | None:
    """Steps within which runs from two far-apart starts become one, measured on a few places of the data.

    Runs from rest and from states of random signs, without noise, meet to :data:`PILOT_TOLERANCE` within the returned
    number of steps, a quarter added. None: not within :data:`LONGEST_PILOT` steps, or half the longest sequence.
    """
    N, dtype = reservoir.n_units, reservoir.dtype
    B = PACK_BYTES // dtype.itemsize
    longest = int(np.argmax(task.lengths))
    begin, end = int(task.offsets[longest]), int(task.offsets[longest + 1])
    limit = min(LONGEST_PILOT, (end - begin) // 2) // PILOT_BLOCK * PILOT_BLOCK
    places = begin + (end - begin - limit) * np.arange(B // 2) // (B // 2)
    row = np.tile(places, 2)[None, :] + np.arange(PILOT_BLOCK)[:, None]
    from_rest = np.arange(B) < B // 2
    nothing, never, column = np.full(row.shape, -1, np.int32), np.zeros(row.shape, bool), np.full(PILOT_BLOCK, -1)
    start = nothing.copy()
    start[0] = np.where(from_rest, 0, 1)
    far = np.random.default_rng(0).choice([-1.0, 1.0], (1, N))
    data = data_of(reservoir, task, 0, np.concatenate([np.zeros((1, N)), far]))
    plan = Plan(row, start, nothing, never, column)
    group = Group(reservoir, replace(task, noise=0.0), readout_of(reservoir, None, None, -1), data, plan)
    for done in range(PILOT_BLOCK, limit + 1, PILOT_BLOCK):
        group.advance(0, PILOT_BLOCK, no_sinks(reservoir), 0, 0)
        x = group.work.state[0].T
        if agree(x[from_rest], x[~from_rest], PILOT_TOLERANCE[dtype]):
            return done * 5 // 4
        group.plan = plan._replace(row=row + done, start=nothing)
    return None
