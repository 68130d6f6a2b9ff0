"""Runs of a net on its own output: kept finite, and held against the range of the data it has learnt from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from reservoir.alarms import FreeRunDivergedWarning, StateOverflowError
from reservoir.data.sequences import Sequences
from reservoir.drive.closed_loop import Lanes, run_closed
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.drive.weights import Reservoir

# Share of steps that bounds may act on before a run counts as diverged.
SELDOM = 0.01


def range_of(rows: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """(2, O) least and largest value of each column of ``rows`` (n, O), and of an earlier range.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.estimators.free_run import range_of
    >>> range_of(np.array([[1.0, 5.0], [3.0, 4.0]]), before=np.array([[2.0, 0.0], [9.0, 0.0]]))
    array([[1., 0.],
           [9., 5.]])
    """
    rows = rows if before is None else np.concatenate([rows, before])
    return np.stack([rows.min(axis=0), rows.max(axis=0)]).astype(float)


def watched(rows: np.ndarray, offsets: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """``rows`` (n, O) of free runs; the last finite row takes the place of those from the first that is not finite on.

    Parameters
    ----------
    rows : (n, O)
    offsets : (n_runs + 1,) int
        Run i is ``rows[offsets[i]:offsets[i + 1]]``.
    seen : (2, O)
        The range of the data.

    Returns
    -------
    (n, O), all finite

    Raises
    ------
    StateOverflowError
        If the first row of a run is not finite.

    Warns
    -----
    FreeRunDivergedWarning
        If a value was not finite, or is outside ``seen`` by more than its width (for a constant: its size, at least 1).
    """
    low, high = seen
    width = np.where(high > low, high - low, np.maximum(1.0, np.abs(high)))
    with np.errstate(invalid="ignore"):
        is_within = (rows >= low - width) & (rows <= high + width)
    if is_within.all():
        return rows
    row, output = np.argwhere(~is_within)[0]
    run = int(np.searchsorted(offsets, row, side="right")) - 1
    kept = _finite(rows, offsets)
    warnings.warn(
        f"expected a free run that stays near the data, whose output {output} was in [{low[output]:.4g}, "
        f"{high[output]:.4g}], got {rows[row, output]:.4g} at step {row - offsets[run]}"
        f"{'' if kept is rows else '; the last finite values are repeated where none followed'}; use fewer steps, a "
        "larger alpha, a smaller spectral_radius or more noise in fit.",
        FreeRunDivergedWarning,
        stacklevel=4,
    )
    return kept


def _finite(rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    is_finite = np.isfinite(rows).all(axis=1)
    if is_finite.all():
        return rows
    kept = rows.copy()
    for begin, end in pairwise(offsets):
        n_finite = end - begin if is_finite[begin:end].all() else int(np.argmin(is_finite[begin:end]))
        if n_finite == 0:
            raise StateOverflowError(
                "the state and inputs must give a first output that is finite, got one that is not; scale X down, or "
                "choose a smaller spectral_radius or a bounded activation."
            )
        kept[begin + n_finite : end] = kept[begin + n_finite - 1]
    return kept


@dataclass(frozen=True, eq=False)
class Start:
    """Where free runs of S series begin.

    Attributes
    ----------
    state : (S, N)
    last : (S, lag + 1, O)
        Their last rows, as the user gave them.
    form : str
        How they came, as in :class:`reservoir.data.sequences.Sequences`.
    context : Sequences or None
        What has synchronised the states, as the reservoir saw it; None: the training series.
    others : tuple of Start
        Where those of the other members of an ensemble begin.
    """

    state: np.ndarray
    last: np.ndarray
    form: str
    context: Sequences | None = None
    others: tuple[Start, ...] = ()


def guarded_run(reservoir: Reservoir, task_of: Callable[..., Task], lanes: Lanes) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`reservoir.drive.closed_loop.run_closed` returns for lanes of one readout, by the kernel where it can.

    Bounds are not the kernel's affair: a run that they hold goes on step by step.

    Parameters
    ----------
    reservoir : Reservoir
    task_of : callable
        Makes a task of sequences, their rows and ``initial`` states.
    lanes : Lanes
    """
    outputs = _unguarded(reservoir, task_of, lanes).outputs.reshape(*lanes.exog.shape[:2], -1)
    is_held = np.zeros(outputs.shape[:2], bool)
    low, high = (np.broadcast_to(bound, outputs.shape) for bound in (lanes.low, lanes.high))
    is_outside = ~((outputs >= low) & (outputs <= high)).all(axis=2)
    for lane in np.flatnonzero(is_outside.any(axis=1)):
        k, own = int(np.argmax(is_outside[lane])), slice(lane, lane + 1)
        one = replace(lanes, state=lanes.state[own], last=lanes.last[own], exog=lanes.exog[own, : k + 1])
        state, y = np.split(_unguarded(reservoir, task_of, one).final, [reservoir.n_units], axis=1)
        y = np.clip(y, low[own, k], high[own, k])
        one = replace(
            one, state=state, last=y, exog=lanes.exog[own, k + 1 :], low=low[own, k + 1 :], high=high[own, k + 1 :]
        )
        outputs[lane, k], is_held[lane, k] = y[0], True
        outputs[own, k + 1 :], is_held[own, k + 1 :] = run_closed(reservoir, one)
    return outputs, is_held


def warn_if_often_held(is_held: np.ndarray) -> None:
    """Warn of runs (S, n_steps) in which bounds have acted on more than a hundredth of all steps."""
    shares = is_held.mean(axis=1)
    if (shares > SELDOM).any():
        worst = int(np.argmax(shares))
        warnings.warn(
            f"expected a free run that stays near the data, got one of which {shares[worst]:.0%} of the steps had to "
            f"be held to the range of the training series, from step {int(np.argmax(is_held[worst]))} on; use fewer "
            "steps, a larger alpha, difference= for a series that wanders, or more data.",
            FreeRunDivergedWarning,
            stacklevel=4,
        )


def _unguarded(reservoir: Reservoir, task_of: Callable[..., Task], lanes: Lanes) -> Any:
    """The kernel's run, which starts from the rows seen last: they stand in for the output of the step before."""
    S, n_steps = lanes.exog.shape[:2]
    rows = np.zeros((S, n_steps, reservoir.n_inputs), reservoir.dtype)
    rows[:, :, lanes.last.shape[1] :] = lanes.exog
    sequences = Sequences(rows.reshape(S * n_steps, -1), n_steps * np.arange(S + 1))
    task = task_of(sequences, sequences.rows, initial=np.concatenate([lanes.state, lanes.last], axis=1))
    return drive(reservoir, task, coef=lanes.coef, intercept=lanes.intercept, fed=0, wants_final=True)
