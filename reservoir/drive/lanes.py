"""Driving many lanes: groups of lanes side by side on threads, a block of steps at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import numpy as np

from optim.threads import run_all
from reservoir.drive.arguments import Data, Plan, Readout, Sinks, Work
from reservoir.drive.gram_tiles import DEPTH, drive_into_sum
from reservoir.drive.kernels import drive_lanes
from reservoir.drive.plan import Lanes, Stretches, deal, lay_out
from reservoir.drive.route import Route, SeamOpenError
from reservoir.drive.task import Task, data_of, no_sinks, noise_of, readout_of, tile_height, tile_sinks
from reservoir.drive.weights import Reservoir
from reservoir.readout.columns import TakesTiles
from reservoir.simd.activations import TANH
from reservoir.simd.vectors import ONE_PACK, PACK_BYTES, aligned

# Largest difference of the two states at a seam, relative to the largest state if that exceeds 1.
SEAM_TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}
COMPARED_AT_ONCE = 1_000_000  # numbers of states at seams
# Unit-steps of one call, about 50 ms of work, and numbers of noise drawn for one.
UNIT_STEPS_A_CALL, NOISE_A_CALL = 32_000_000, 4_000_000
# Columns behind those of a tile, so that its rows do not fall on the same lines of the cache.
PAD = 8
# Bytes and columns of a tile that is added up at once, and products of its numbers in one call of about 50 ms.
PART_BYTES, FEWEST_IN_PART, MOST_IN_PART = 1_000_000, 256, 4_096
PRODUCTS_A_CALL = 4_000_000_000


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


class Records:
    """States where stretches meet and where sequences end: which stretch leaves which, and whether the seams hold.

    Attributes
    ----------
    rows : (n_records, N + O)
        As :attr:`Sinks.records`.
    warm_slot, end_slot : (n,) int
        Row for the state of each stretch after its warm-up and after its end; -1: none.
    """

    def __init__(self, stretches: Stretches, wants_final: bool, width: int, dtype: np.dtype) -> None:
        self.is_continued = stretches.is_continued
        self.ends_sequence = np.append(np.diff(stretches.sequence) > 0, True)
        is_recorded = np.append(self.is_continued[1:], False) | (self.ends_sequence & wants_final)
        n_seams = self.is_continued.sum()
        self.warm_slot = np.where(self.is_continued, np.cumsum(self.is_continued) - 1, -1)
        self.end_slot = np.where(is_recorded, n_seams + np.cumsum(is_recorded) - 1, -1)
        self.rows = np.empty((n_seams + is_recorded.sum(), width), dtype)

    def check_seams(self) -> None:
        """Raise SeamOpenError if some stretch was not where it had to take over."""
        seams, a_time = np.flatnonzero(self.is_continued), max(1, COMPARED_AT_ONCE // self.rows.shape[1])
        tolerance = SEAM_TOLERANCE[self.rows.dtype]
        for first in range(0, len(seams), a_time):
            some = seams[first : first + a_time]
            if not agree(self.rows[self.warm_slot[some]], self.rows[self.end_slot[some - 1]], tolerance):
                raise SeamOpenError

    @property
    def final(self) -> np.ndarray:
        """(n_sequences, N + O) states after the last rows of the sequences."""
        return self.rows[self.end_slot[self.ends_sequence]]


@dataclass(frozen=True, eq=False)
class InLanes(Route):
    """All stretches dealt to lanes, a fold after the other; seams are verified after the last."""

    lanes: Lanes
    stretches: Stretches

    def fill(self, readout: Readout, sinks: Sinks, final: np.ndarray | None = None) -> None:
        """Write outputs and states of all rows to ``sinks``."""
        for _ in self._side_by_side(readout, sinks, final):
            pass

    def tiles(self, final: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(fold, tile) as :meth:`Route.tiles` says."""
        sinks = tile_sinks(self.reservoir, self.task, self.lanes.total)
        for fold, n_columns in self._side_by_side(readout_of(self.reservoir, None, None, -1), sinks, final):
            yield fold, sinks.tile[:, :n_columns]

    def add_to(self, sums: Sequence[TakesTiles], final: np.ndarray | None = None) -> None:
        """Add every tile to the sums of its fold; to parts of them, if they have any, while the caches still hold it.

        Threads then add to different parts side by side. Which part a tile belongs to, and the order within a part,
        depend on the data only.
        """
        if sums[0].n_parts == 1:
            super().add_to(sums, final)
            return
        tiles = self._tiles_of_parts(sums[0])
        readout, records = readout_of(self.reservoir, None, None, -1), self._records(0, final)
        sinks = no_sinks(self.reservoir)._replace(shift=self.task.shift, records=records.rows)
        n_done, n_all = 0, int(self.stretches.n_rows.sum())
        for fold, groups in self._folds(readout, records, may_be_narrow=True):
            parts = [
                Part(sums[fold], k, groups[k :: len(tiles)], sinks._replace(tile=tile))
                for k, tile in enumerate(tiles[: len(groups)])
            ]
            a_call = parts[0].blocks_a_call
            for first in range(0, max(len(part.blocks) for part in parts), a_call):
                calls = [(part, first, first + a_call) for part in parts]
                n_done += sum(run_all(Part.add, calls, self.task.n_threads))
                self.task.tell(n_done / n_all)
        self._finish(records, final)

    def _tiles_of_parts(self, total: TakesTiles) -> list[np.ndarray]:
        """A tile for each part of a sum, small enough to stay in a cache."""
        height = tile_height(self.reservoir, self.task)
        columns = min(max(PART_BYTES // (8 * height), FEWEST_IN_PART), MOST_IN_PART)
        if total.is_summed_in_tiles:
            columns = DEPTH
        columns = -(-columns // self.lanes.n_lanes) * self.lanes.n_lanes
        n_parts = min(total.n_parts, self.lanes.n_groups)
        return [aligned((height, columns + PAD), np.float64) for _ in range(n_parts)]

    def _records(self, n_outputs: int, final: np.ndarray | None) -> Records:
        width = self.reservoir.n_units + n_outputs
        return Records(self.stretches, final is not None, width, self.reservoir.dtype)

    def _finish(self, records: Records, final: np.ndarray | None) -> None:
        records.check_seams()
        if final is not None:
            final[:] = records.final

    def _folds(self, readout: Readout, records: Records, *, may_be_narrow: bool) -> Iterator[tuple[int, list[Group]]]:
        """(fold, the groups that drive its stretches)."""
        task, s = self.task, self.stretches
        data = data_of(self.reservoir, task, len(readout.offset))
        begins = s.first == task.offsets[s.sequence]
        initial = np.where(begins & (task.initial is not None), 1 + s.sequence, 0)
        for fold in range(int(s.fold.max()) + 1):
            dealt = deal(s.n_rows, np.flatnonzero(s.fold == fold), self.lanes, may_be_narrow=may_be_narrow)
            arguments = [(queues, s, initial, records.warm_slot, records.end_slot) for queues in dealt]
            plans = run_all(lay_out, arguments, task.n_threads)
            yield fold, [Group(self.reservoir, task, readout, data, plan) for plan in plans]

    def _side_by_side(self, readout: Readout, sinks: Sinks, final: np.ndarray | None) -> Iterator[tuple[int, int]]:
        """(fold, columns of the tile) after each block of steps, where all groups meet; 0 columns without a tile."""
        has_tile = sinks.tile.size > 0
        records = self._records(len(readout.offset), final)
        sinks = sinks._replace(records=records.rows)
        n_done, n_all = 0, int(self.stretches.n_rows.sum())
        # A group that ends before the others would leave its columns of every later tile empty.
        for fold, groups in self._folds(readout, records, may_be_narrow=not has_tile):
            n_counted, most = max(group.n_counted for group in groups), _steps_a_call(groups[0])
            edges = np.cumsum([0, *(group.n_lanes for group in groups)])
            if has_tile:
                most = min(most, sinks.tile.shape[1] // edges[-1])
            n_calls = -(-n_counted // most)
            block = -(-n_counted // n_calls)
            points = [group.cut_points(block, n_calls) for group in groups]
            for call in range(n_calls):
                jobs = [
                    (group, p[call], p[call + 1], sinks, block * edge, block * group.n_lanes)
                    for group, p, edge in zip(groups, points, edges[:-1], strict=True)
                ]
                run_all(Group.advance, jobs, self.task.n_threads)
                n_done += sum(int(end - begin) * group.n_lanes for group, begin, end, *_ in jobs)
                self.task.tell(n_done / n_all)
                yield fold, block * int(edges[-1]) if has_tile else 0
        self._finish(records, final)


class Part:
    """Groups that are driven one after the other, a tile at a time; its products are added to part of a sum."""

    def __init__(self, total: Any, number: int, groups: list[Group], sinks: Sinks) -> None:
        self.total, self.number, self.sinks = total, number, sinks
        self.blocks = [(group, *edges) for group in groups for edges in pairwise(self._cut_points(group))]

    @property
    def columns(self) -> int:
        """Columns of the tile that are filled."""
        return self.sinks.tile.shape[1] - PAD

    @property
    def blocks_a_call(self) -> int:
        """Tiles of a call of about 50 ms."""
        group, height = self.blocks[0][0], len(self.sinks.tile)
        most = max(self.columns, PRODUCTS_A_CALL // height**2)
        return max(1, min(_steps_a_call(group) * group.n_lanes, most) // self.columns)

    def _cut_points(self, group: Group) -> np.ndarray:
        """Steps of the group at which tiles begin and end."""
        n_steps = self.columns // group.n_lanes
        return group.cut_points(n_steps, -(-group.n_counted // n_steps))

    def add(self, first: int, last: int) -> int:
        """Drive blocks ``first`` .. ``last`` and add them up: the steps of lanes done. Where it ends changes no bit."""
        blocks = self.blocks[first:last]
        if self.total.is_summed_in_tiles:
            for group, of_group in groupby(blocks, key=itemgetter(0)):
                (_, begin, end), *others = of_group
                end = others[-1][2] if others else end
                matrix = self.total.sum_of_part(self.number)
                n_rows = group.advance_into(matrix, begin, end, self.columns // group.n_lanes, self.sinks)
                self.total.count_in_part(self.number, n_rows)
        else:
            for group, begin, end in blocks:
                width = group.n_lanes * int(np.count_nonzero(group.plan.column[begin:end] >= 0))
                group.advance(begin, end, self.sinks, 0, width)
                self.total.add_part(self.number, self.sinks.tile[:, :width])
        return sum(int(end - begin) * group.n_lanes for group, begin, end in blocks)


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
