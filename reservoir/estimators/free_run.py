"""Runs of a net on its own output: kept finite, and held against the range of the data it has learnt from."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np

from reservoir.alarms import FreeRunDivergedWarning, StateOverflowError


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
