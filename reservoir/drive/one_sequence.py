"""Driving one sequence after the other: short series, closed loops, reservoirs that do not forget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reservoir.drive.arguments import Readout, Sinks, Work
from reservoir.drive.kernels import drive_sequence
from reservoir.drive.route import Route
from reservoir.drive.task import Task, data_of, noise_of, readout_of, tile_sinks
from reservoir.drive.weights import Reservoir
from reservoir.graph.matrix import Shifts
from reservoir.simd.activations import TANH
from reservoir.simd.vectors import PACK_BYTES, aligned, pad

# Unit-steps of one call: about 50 ms of work.
UNIT_STEPS_A_CALL, NOISE_A_CALL = 16_000_000, 4_000_000


class Runner:
    """One state that is driven along, and its memory."""

    def __init__(self, reservoir: Reservoir, task: Task, readout: Readout) -> None:
        N, O, dtype = reservoir.n_units, len(readout.offset), reservoir.dtype
        P, padded = PACK_BYTES // dtype.itemsize, pad(N, dtype)
        self.reservoir, self.task, self.readout = reservoir, task, readout
        self.data = data_of(reservoir, task, O)
        self.work = Work(
            state=aligned((2, reservoir.sequence_stride), dtype),
            output=aligned((O, 1), dtype),
            inputs=aligned((len(reservoir.units.input_weights), 1), dtype),
            root=np.empty(0, dtype),
            partial=aligned((O, P, 1), dtype),
            doubles=np.empty((0, 0)),
            recent=aligned((P, padded), dtype),
        )

    def start(self, sequence: int) -> None:
        """Put the state where ``sequence`` starts."""
        N, O = self.reservoir.n_units, len(self.readout.offset)
        origin = self.data.initial[0 if self.task.initial is None else 1 + sequence]
        self.work.state[:] = 0
        self.work.output[:] = 0
        self.work.state[0, :N] = origin[:N]
        if isinstance(self.reservoir.W, Shifts):
            again = min(N, self.work.state.shape[1] - N)
            self.work.state[0, N : N + again] = origin[:again]
        if self.task.initial is not None:
            self.work.output[:, 0] = origin[N : N + O]

    def advance(self, begin: int, end: int, sinks: Sinks, column: int = -1) -> None:
        """Rows ``begin`` .. ``end``."""
        r, n_steps = self.reservoir, end - begin
        noise = np.empty((0, 0), r.dtype)
        if self.task.noise > 0:
            noise = aligned((n_steps, pad(r.n_units, r.dtype)), r.dtype)
            noise[:, : r.n_units] = noise_of(self.task, np.arange(begin, end), r.n_units)
        drive_sequence(
            r.n_units, r.sequence_graph, r.units, r.activation_code, TANH[r.dtype.name], self.data, begin,
            n_steps, column, self.readout, noise, self.work, sinks,
        )  # fmt: skip

    @property
    def final(self) -> np.ndarray:
        """(N + O,) state and last output."""
        return np.concatenate([self.work.state[0, : self.reservoir.n_units], self.work.output[:, 0]])

    @property
    def steps_a_call(self) -> int:
        """Steps that take about 50 ms."""
        if self.task.noise > 0:
            return max(1, NOISE_A_CALL // self.reservoir.n_units)
        return max(1, UNIT_STEPS_A_CALL // self.reservoir.cost_of_step)


@dataclass(frozen=True, eq=False)
class OneByOne(Route):
    """All sequences in turn, each driven once from its start; ``breaks`` (n_folds + 1,) as in :func:`routes`."""

    breaks: np.ndarray

    def fill(self, readout: Readout, sinks: Sinks, final: np.ndarray | None) -> None:
        """Write outputs and states of all rows to ``sinks``."""
        task, runner = self.task, Runner(self.reservoir, self.task, readout)
        for sequence, (begin, end) in enumerate(pairwise(task.offsets)):
            runner.start(sequence)
            for first in range(begin, end, runner.steps_a_call):
                runner.advance(first, min(first + runner.steps_a_call, end), sinks)
                task.tell(first / task.offsets[-1])
            if final is not None:
                final[sequence] = runner.final

    def tiles(self, final: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(fold, tile) as :meth:`Route.tiles` says; a tile never mixes folds."""
        task, breaks = self.task, self.breaks
        sinks = tile_sinks(self.reservoir, task, 1)
        runner = Runner(self.reservoir, task, readout_of(self.reservoir, None, None, -1))
        width = min(sinks.tile.shape[1] - 8, runner.steps_a_call)
        n_filled, here = 0, 0
        for begin, end in pairwise(np.union1d(task.offsets, breaks)):
            fold = int(np.searchsorted(breaks, begin, side="right")) - 1
            sequence = int(np.searchsorted(task.offsets, begin, side="right")) - 1
            if fold != here and n_filled > 0:
                yield here, _rest_cleared(sinks.tile, n_filled)
                n_filled = 0
            here = fold
            if begin == task.offsets[sequence]:
                runner.start(sequence)
            while begin < end:
                n_steps = min(end - begin, width - n_filled)
                runner.advance(begin, begin + n_steps, sinks, n_filled)
                begin, n_filled = begin + n_steps, n_filled + n_steps
                task.tell(begin / task.offsets[-1])
                if n_filled == width:
                    yield fold, _rest_cleared(sinks.tile, n_filled)
                    n_filled = 0
            if final is not None and end == task.offsets[sequence + 1]:
                final[sequence] = runner.final
        if n_filled > 0:
            yield here, _rest_cleared(sinks.tile, n_filled)


def _rest_cleared(tile: np.ndarray, n_filled: int) -> np.ndarray:
    tile[:, n_filled:] = 0.0
    return tile if 2 * n_filled > tile.shape[1] else tile[:, :n_filled]
