"""Driving one sequence after the other: short series, closed loops, reservoirs that do not forget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from reservoir.drive.arguments import Readout, Sinks, Work
from reservoir.drive.kernels import drive_sequence
from reservoir.drive.route import Route
from reservoir.drive.task import Task, data_of, no_sinks, noise_of, readout_of, tile_sinks
from reservoir.drive.weights import Reservoir
from reservoir.graph.matrix import Shifts
from reservoir.simd.activations import TANH
from reservoir.simd.vectors import PACK_BYTES, aligned, pad

# Unit-steps of one call: about 50 ms of work.
UNIT_STEPS_A_CALL, NOISE_A_CALL = 16_000_000, 4_000_000


# What the pilot asks for: well below a seam's tolerance, and above what rounding alone leaves (1e-7 in float32).
PILOT_TOLERANCE = {np.dtype(np.float64): 1e-13, np.dtype(np.float32): 5e-7}
# Steps until the first look and until the last, how near runs must have come for the rest to be foreseen, and by what
# that is multiplied: on series of five kinds the slowest of a dozen places took up to 0.95 of what is foreseen.
PILOT_BLOCK, LONGEST_PILOT, NEAR, MARGIN = 64, 8_192, 0.03, 1.15
WORTH_KEEPING = 1_000  # rows of a fit from which on a pilot is a small part of it


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
        self.start_from(self.data.initial[0 if self.task.initial is None else 1 + sequence])

    def start_from(self, origin: np.ndarray) -> None:
        """Put the state, and with ``task.initial`` the last output, to ``origin`` (N + O,)."""
        N, O = self.reservoir.n_units, len(self.readout.offset)
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


def forgetting_time(reservoir: Reservoir, task: Task) -> float:
    """Steps within which runs from two far-apart starts become one, from the first steps of the longest sequence.

    Runs from rest and from a state of random signs, without noise, come nearer by some factor in the latter half of
    what has been driven. At that rate they are foreseen to meet to :data:`PILOT_TOLERANCE` within the returned number
    of steps, a margin added. Infinity: they have not come near within a sixteenth of the sequence, when too few steps
    would be left for a warm-up to pay.
    """
    N, dtype = reservoir.n_units, reservoir.dtype
    longest = int(np.argmax(task.lengths))
    begin, end = int(task.offsets[longest]), int(task.offsets[longest + 1])
    limit = min(LONGEST_PILOT, max(2 * PILOT_BLOCK, (end - begin) // 16), end - begin)
    task = replace(task, initial=None, noise=0.0)
    runners = [Runner(reservoir, task, readout_of(reservoir, None, None, -1)) for _ in range(2)]
    runners[0].start(longest)
    runners[1].start_from(np.random.default_rng(0).choice([-1.0, 1.0], N))
    done, next_look, before = 0, PILOT_BLOCK, 1.0
    while next_look <= limit:
        for runner in runners:
            runner.advance(begin + done, begin + next_look, no_sinks(reservoir))
        one, other = (runner.final for runner in runners)
        with np.errstate(invalid="ignore"):  # states that overflow never come near
            distance = float(np.max(np.abs(one - other)) / max(1.0, np.max(np.abs(one))))
        if distance <= PILOT_TOLERANCE[dtype]:
            return next_look
        if done > 0 and distance < min(NEAR, before):
            rate = np.log(before / distance) / (next_look - done)
            foreseen = next_look + np.log(distance / PILOT_TOLERANCE[dtype]) / rate
            return int(np.ceil(MARGIN * foreseen))
        done, next_look, before = next_look, 2 * next_look, distance
    return np.inf


def kept_forgetting_time(reservoir: Reservoir, task: Task) -> int | None:
    """What a fit on ``task`` keeps for later drives; None where they have to measure it themselves."""
    if task.device == "gpu" or task.lengths.max() < WORTH_KEEPING:
        return None
    measured = forgetting_time(reservoir, task)
    return int(measured) if measured < np.inf else None
