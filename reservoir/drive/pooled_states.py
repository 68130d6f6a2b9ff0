"""Pooled states: a row of features a sequence, from states that are driven in batches and never all held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from optim.threads import run_all
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.drive.weights import Reservoir
from reservoir.readout.pooling import Statistics

# Numbers of states held at once.
STATES_AT_ONCE = 4_000_000


class Pooling(NamedTuple):
    """What becomes of the states of a sequence.

    Attributes
    ----------
    names : tuple of names out of :data:`reservoir.readout.pooling.POOLINGS`
    washout : int >= 0
        Steps at the start of every sequence that do not count.
    is_bidirectional : bool
        Whether the reservoir is driven over the reversed sequences too.
    """

    names: tuple[str, ...]
    washout: int
    is_bidirectional: bool

    def n_features(self, n_units: int, n_read: int) -> int:
        """Features of a sequence."""
        return len(self.names) * (n_units * (1 + self.is_bidirectional) + n_read)


def pooled_features(reservoir: Reservoir, task: Task, pooling: Pooling) -> Iterator[tuple[int, np.ndarray]]:
    """(first sequence, features (m, K) float64) of all sequences of ``task``, m of them at a time.

    A row holds the statistics of the states, those of the states over the reversed sequence if wanted, and those of
    the ``n_read`` inputs; in each of them one pooling after the other.
    """
    most = max(1, STATES_AT_ONCE // reservoir.n_units)
    for first, last in batches(task.offsets, most):
        parts = [_pooled_states(reservoir, task, first, last, pooling, False)]
        if pooling.is_bidirectional:
            parts.append(_pooled_states(reservoir, task, first, last, pooling, True))
        if task.n_read > 0:
            inputs = task.rows[task.offsets[first] : task.offsets[last], : task.n_read]
            offsets = task.offsets[first : last + 1] - task.offsets[first]
            found = _statistics(inputs, offsets, pooling.washout, task.n_threads)
            parts.append(np.stack([each.features(pooling.names) for each in found]))
        yield first, np.concatenate(parts, axis=1)
        task.tell(task.offsets[last] / task.offsets[-1])


def batches(offsets: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of consecutive sequences of at most ``most`` rows together, or of one longer sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.drive.pooled_states import batches
    >>> list(batches(np.array([0, 3, 5, 20, 22]), most=6))
    [(0, 2), (2, 3), (3, 4)]
    """
    first, n = 0, len(offsets) - 1
    while first < n:
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + most, side="right")) - 1)
        yield first, last
        first = last


def _pooled_states(
    reservoir: Reservoir, task: Task, first: int, last: int, pooling: Pooling, is_reversed: bool
) -> np.ndarray:
    """(m, K) statistics of the states of sequences ``first`` .. ``last``; a long one is driven piece by piece."""
    begin, end = int(task.offsets[first]), int(task.offsets[last])
    offsets, rows = task.offsets[first : last + 1] - begin, task.rows[begin:end]
    if is_reversed:
        rows = rows[np.repeat(offsets[:-1] + offsets[1:] - 1, np.diff(offsets)) - np.arange(len(rows))]
    seed = task.noise_seed + begin + is_reversed * len(task.rows)
    most = max(1, STATES_AT_ONCE // reservoir.n_units)
    step = most if last == first + 1 else len(rows)
    found: list[Statistics | None] = [None] * (last - first)
    state = None
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        inside = np.clip(offsets, start, stop) - start
        piece = replace(
            task, rows=rows[start:stop], offsets=inside, initial=state, targets=None, weights=None,
            noise_seed=seed + start, watch=None,
        )  # fmt: skip
        run = drive(reservoir, piece, wants_states=True, wants_final=stop < len(rows))
        state = run.final
        these = _statistics(run.states, inside, max(0, pooling.washout - start), task.n_threads)
        found = [_joined(*pair) for pair in zip(found, these, strict=True)]
    return np.stack([each.features(pooling.names) for each in found])


def _statistics(values: np.ndarray, offsets: np.ndarray, washout: int, n_threads: int) -> list[Statistics | None]:
    """Statistics of each sequence without its first ``washout`` rows; None where none is left."""
    pieces = [(values[a + washout : b],) for a, b in pairwise(offsets)]
    return run_all(lambda piece: Statistics.of(piece) if len(piece) else None, pieces, n_threads)


def _joined(earlier: Statistics | None, later: Statistics | None) -> Statistics | None:
    if earlier is None or later is None:
        return later if earlier is None else earlier
    return earlier.followed_by(later)
