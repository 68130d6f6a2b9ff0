r"""Driving a reservoir over data: outputs, states, or a stream of tiles for the sums of a readout.

Three ways, chosen from the lengths of the sequences and from what the data show:

1. several sequences, a lane each;
2. long series cut in time, provided that the reservoir forgets: a pilot measures in how many steps, and every seam
   is verified. Should one fail, the warm-up is doubled and the run repeated;
3. one sequence after the other: short series, closed loops, and what would have to warm up for too long.

All three compute the same bits, except that a seam may leave a difference up to its tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from reservoir.drive.device_runs import device_tiles, drive_on_device
from reservoir.drive.lanes import LaneTiles, SeamOpenError, forgetting_time, run_lanes
from reservoir.drive.one_sequence import run_sequences, sequence_tiles
from reservoir.drive.plan import Lanes, Stretches, choose_lanes, cut
from reservoir.drive.task import Task, no_sinks, readout_of
from reservoir.drive.weights import Reservoir
from reservoir.simd.vectors import PACK_BYTES

# Steps of warm-up for each counted step up to which cutting pays.
WORTHWHILE_WARM_UP = 1.5


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
    n, N, dtype = len(task.rows), reservoir.n_units, reservoir.dtype
    readout = readout_of(reservoir, coef, intercept, fed)
    O = len(readout.offset)
    states = np.empty((n if wants_states else 0, N), dtype)
    sinks = no_sinks(reservoir, O)._replace(outputs=np.empty((n, O), dtype), states=states)
    final = np.empty((len(task.offsets) - 1, N + O), dtype) if wants_final else None
    if task.device == "gpu":
        return Run(*drive_on_device(reservoir, task, coef, intercept, fed, wants_states, final), final)

    def in_lanes(lanes: Lanes, stretches: Stretches) -> None:
        for _ in run_lanes(reservoir, task, readout, sinks, lanes, stretches, final):
            pass

    def one_by_one() -> None:
        run_sequences(reservoir, task, readout, sinks, final)

    _run(reservoir, task, fed < 0, np.array([0, n]), in_lanes, one_by_one)
    return Run(sinks.outputs if O > 0 else None, states if wants_states else None, final)


def each_pass(
    reservoir: Reservoir,
    task: Task,
    consume: Callable[[Iterable[tuple[int, np.ndarray]]], None],
    breaks: np.ndarray | None = None,
    final: np.ndarray | None = None,
) -> None:
    """Call ``consume`` with an iterator over (fold, tile); call it again, afresh, if a seam turned out open.

    On a GPU tiles are arrays of the GPU. Where lanes run, the iterator is a :class:`reservoir.drive.lanes.LaneTiles`,
    whose tiles may also be added up in parts. A tile (N + n_read + 1 + n_targets, n_columns) float64 holds
    sqrt(weight) [x; u - shift; 1; y - shift], a step a column in no particular order, with columns of zeros among them.
    The next tile overwrites it.

    Parameters
    ----------
    breaks : (n_folds + 1,) int64, optional
        Row from which on each fold begins, and the number of rows; one fold if not given.
    final : (n_sequences, N), optional
        Filled with the state after the last row of each sequence.
    """
    breaks = np.array([0, len(task.rows)]) if breaks is None else breaks
    if task.device == "gpu":
        consume(device_tiles(reservoir, task, breaks, final))
        return

    def in_lanes(lanes: Lanes, stretches: Stretches) -> None:
        consume(LaneTiles(reservoir, task, lanes, stretches, final))

    def one_by_one() -> None:
        consume(sequence_tiles(reservoir, task, breaks, final))

    _run(reservoir, task, True, breaks, in_lanes, one_by_one)


def _run(
    reservoir: Reservoir,
    task: Task,
    may_cut: bool,
    breaks: np.ndarray,
    in_lanes: Callable[[Lanes, Stretches], None],
    one_by_one: Callable[[], None],
) -> None:
    """The first way that works, best first."""
    lengths = task.lengths
    lanes = choose_lanes(lengths, reservoir.n_units, reservoir.dtype)
    if lanes is None:
        one_by_one()
        return
    longest = max(1, int(lengths.sum()) // lanes.total)
    must_cut = bool((lengths > 1.5 * longest).any()) or len(breaks) > 2
    n_warm = forgetting_time(reservoir, task) if must_cut and may_cut else None
    while n_warm is not None and n_warm <= WORTHWHILE_WARM_UP * longest:
        try:
            in_lanes(lanes, cut(task.offsets, longest, n_warm, breaks))
            return
        except SeamOpenError:
            n_warm *= 2
    if len(lengths) < PACK_BYTES // reservoir.dtype.itemsize // 2 or len(breaks) > 2:
        one_by_one()
    else:
        in_lanes(lanes, cut(task.offsets, int(lengths.max()) + 1, 1, breaks))
