r"""Driving a reservoir over data: outputs, states, or a stream of tiles for the sums of a readout.

Three ways, chosen from the lengths of the sequences and from what the data show:

1. several sequences, a lane each;
2. long series cut in time, provided that the reservoir forgets soon enough for it to pay: a pilot measures in how many
   steps, and every seam is verified. Should one fail, the warm-up is doubled and the run repeated;
3. one sequence after the other: short series, closed loops, and what would have to warm up for too long.

All three compute the same bits, except that a seam may leave a difference up to its tolerance. A GPU has a way of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

import numpy as np

from reservoir.drive.device_runs import OnDevice
from reservoir.drive.lanes import InLanes
from reservoir.drive.one_sequence import OneByOne, forgetting_time
from reservoir.drive.plan import Lanes, Stretches, choose_lanes, cut, time_alone, time_in_lanes
from reservoir.drive.route import Route, Run, SeamOpenError
from reservoir.drive.task import Task
from reservoir.drive.weights import Reservoir
from reservoir.graph.matrix import Shifts
from reservoir.readout.columns import TakesTiles
from reservoir.simd.vectors import PACK_BYTES

# Share of the time of the other way below which that of cutting in time is trusted to be less.
WORTHWHILE = 0.9

Taker = TypeVar("Taker", bound=TakesTiles)


def drive(
    reservoir: Reservoir,
    task: Task,
    *,
    coef: np.ndarray | None = None,
    intercept: np.ndarray | None = None,
    fed: int = -1,
    wants_states: bool = False,
    wants_final: bool = False,
) -> Run:
    """Drive ``reservoir`` over all sequences of ``task``.

    Parameters
    ----------
    reservoir : Reservoir
    task : Task
    coef : (O, N + n_read), intercept : (O,)
        A readout, states first; without one there are no outputs.
    fed : int
        First input column that takes the outputs of the step before, which closes the loop; -1: none.
    wants_states, wants_final : bool
    """
    for route in routes(reservoir, task, may_cut=fed < 0):
        try:
            return route.run(coef, intercept, fed, wants_states=wants_states, wants_final=wants_final)
        except SeamOpenError:
            continue
    raise AssertionError("the last route has no seam that could be open")


class Reader:
    """Looks at all the data as often as it is asked to, by the route that the first look has found to serve.

    Parameters
    ----------
    reservoir : Reservoir
    task : Task
    n_folds : int >= 1
        Blocks of consecutive rows, which are looked at apart.
    """

    def __init__(self, reservoir: Reservoir, task: Task, n_folds: int = 1) -> None:
        self.n_folds = n_folds
        self._routes = routes(reservoir, task, len(task.rows) * np.arange(n_folds + 1) // n_folds)
        self._route = next(self._routes)

    def read(self, make: Callable[[], Taker], final: np.ndarray | None = None) -> list[Taker]:
        """``make()`` for each fold, to which all its tiles have been added.

        Parameters
        ----------
        make : callable
            Makes what tiles are added to.
        final : (n_sequences, N), optional
            Filled with the state after the last row of each sequence.
        """
        for route in chain([self._route], self._routes):
            takers = [make() for _ in range(self.n_folds)]
            try:
                route.add_to(takers, final)
            except SeamOpenError:
                continue
            for taker in takers:
                taker.finish(route.task.n_threads)
            self._route = route
            return takers
        raise AssertionError("the last route has no seam that could be open")


def routes(
    reservoir: Reservoir, task: Task, breaks: np.ndarray | None = None, *, may_cut: bool = True
) -> Iterator[Route]:
    """Ways of driving, best first; ask for the next where seams turned out open. The last has none.

    Parameters
    ----------
    breaks : (n_folds + 1,) int64, optional
        Row from which on each fold begins, and the number of rows; one fold if not given.
    may_cut : bool
        Whether a sequence may be cut in time.
    """
    breaks = np.array([0, len(task.rows)]) if breaks is None else breaks
    if task.device == "gpu":
        yield OnDevice.of(reservoir, task, breaks)
        return
    lengths, sizes = task.lengths, (reservoir.n_units, reservoir.dtype)
    lanes = choose_lanes(lengths, *sizes)
    if lanes is None:
        yield OneByOne(reservoir, task, breaks)
        return
    uncut, time = None, _time_alone(reservoir, task)
    if len(lengths) >= PACK_BYTES // reservoir.dtype.itemsize // 2 and len(breaks) == 2:
        uncut = cut(task.offsets, int(lengths.max()) + 1, 1, breaks)
        time = _time_in_lanes(reservoir, uncut, lanes)
    if may_cut and ((lengths > 1.5 * lengths.sum() / lanes.total).any() or len(breaks) > 2):
        n_folds, n_warm = len(breaks) - 1, task.forgetting_time or forgetting_time(reservoir, task)
        while n_warm < np.inf:
            suited = choose_lanes(lengths, *sizes, n_warm * n_folds)
            stretches = cut(task.offsets, max(1, int(lengths.sum()) // (suited.total * n_folds)), n_warm, breaks)
            if _time_in_lanes(reservoir, stretches, suited) > WORTHWHILE * time:
                break
            yield InLanes(reservoir, task, suited, stretches)
            n_warm *= 2
    yield OneByOne(reservoir, task, breaks) if uncut is None else InLanes(reservoir, task, lanes, uncut)


def _time_alone(reservoir: Reservoir, task: Task) -> float:
    sizes = int(task.offsets[-1]), reservoir.n_units, reservoir.degree
    return time_alone(*sizes, is_shifted=isinstance(reservoir.W, Shifts))


def _time_in_lanes(reservoir: Reservoir, stretches: Stretches, lanes: Lanes) -> float:
    return time_in_lanes(stretches, lanes, reservoir.n_units, reservoir.degree)
