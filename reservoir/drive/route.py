"""A way of driving a reservoir through a task, to the end or until it proves not to serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reservoir.drive.arguments import Readout, Sinks
from reservoir.drive.task import Task, no_sinks, readout_of
from reservoir.drive.weights import Reservoir
from reservoir.readout.columns import TakesTiles


class SeamOpenError(Exception):
    """A stretch had not forgotten its start when it took over: all that the route gave is to be thrown away."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a drive returns.

    Attributes
    ----------
    outputs : (n, O) or None
    states : (n, N) or None
    final : (n_sequences, N + O) or None
        State after the last row of each sequence and its output there.
    """

    outputs: np.ndarray | None
    states: np.ndarray | None
    final: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Route:
    """A way of driving; every method begins afresh and may raise :class:`SeamOpenError`, at its end.

    Attributes
    ----------
    reservoir : Reservoir
    task : Task
    """

    reservoir: Reservoir
    task: Task

    def run(
        self,
        coef: np.ndarray | None,
        intercept: np.ndarray | None,
        fed: int,
        *,
        wants_states: bool = False,
        wants_final: bool = False,
    ) -> Run:
        """Outputs, states and final states, as :func:`reservoir.drive.routes.drive` is asked for them."""
        n, N, dtype = len(self.task.rows), self.reservoir.n_units, self.reservoir.dtype
        readout = readout_of(self.reservoir, coef, intercept, fed)
        O = len(readout.offset)
        states = np.empty((n if wants_states else 0, N), dtype)
        sinks = no_sinks(self.reservoir, O)._replace(outputs=np.empty((n, O), dtype), states=states)
        final = np.empty((len(self.task.lengths), N + O), dtype) if wants_final else None
        self.fill(readout, sinks, final)
        return Run(sinks.outputs if O > 0 else None, states if wants_states else None, final)

    def fill(self, readout: Readout, sinks: Sinks, final: np.ndarray | None) -> None:
        """Write outputs and states of all rows to ``sinks``."""
        raise NotImplementedError

    def tiles(self, final: np.ndarray | None = None) -> Iterator[tuple[int, Any]]:
        """(fold, tile) until all rows have come.

        A tile (N + n_read + 1 + n_targets, n_columns) float64 holds sqrt(weight) [x; u - shift; 1; y - shift], a step a
        column in no particular order, with columns of zeros among them. The next tile overwrites it. On a GPU tiles are
        arrays of the GPU.

        Parameters
        ----------
        final : (n_sequences, N), optional
            Filled with the state after the last row of each sequence.
        """
        raise NotImplementedError

    def add_to(self, sums: Sequence[TakesTiles], final: np.ndarray | None = None) -> None:
        """Add every tile to the sums of its fold."""
        for fold, tile in self.tiles(final):
            sums[fold].add(tile, self.task.n_threads)
