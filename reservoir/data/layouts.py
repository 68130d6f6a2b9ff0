"""Arrays laid out as other packages have them, which shapes alone cannot tell: (n, channels, time) and (n, time)."""

from __future__ import annotations

import warnings

import numpy as np

from reservoir.alarms import LayoutWarning
from reservoir.data.sequences import Sequences

# Columns from which on a table may be one of series; channels of a series are seldom more.
_MANY_COLUMNS, _MANY_CHANNELS = 16, 16
# Neighbours whose correlation is below are not alike, and alike if above another by as much.
_ALIKE = 0.25
_ROWS_LOOKED_AT = 10_000


def warn_of_another_layout(sequences: Sequences, has_one_answer: bool) -> None:
    """Warn where X is probably (n, time), or with one answer a sequence (n, channels, time).

    Raises
    ------
    ValueError
        For (n, 1, time), sequences of one step with one answer each.

    Warns
    -----
    LayoutWarning
    """
    n, F = sequences.n_sequences, sequences.rows.shape[1]
    if sequences.form == "rows":
        if F >= _MANY_COLUMNS and likeness(sequences.rows[None, :_ROWS_LOOKED_AT], axis=1) < _ALIKE:
            T = sequences.n_steps
            _warn(
                f"X of shape ({T}, {F}) was read as one sequence of {T} steps with {F} features, though each step is "
                f"unlike the one before; if its rows are series of {F} steps, give X[:, :, None], and else say "
                f"lengths=[{T}]."
            )
        return
    steps = int(sequences.lengths[0])
    if sequences.form not in ("list", "stack") or not has_one_answer or (sequences.lengths != steps).any():
        return
    if steps == 1 and F > 1 and sequences.form == "stack":
        raise ValueError(
            f"X must have shape (n_sequences, n_steps, n_features), got ({n}, 1, {F}), one step with one answer each; "
            "of (n, channels, time) give X.transpose(0, 2, 1), and without sequences X[:, 0]."
        )
    if steps == 1 or steps > _MANY_CHANNELS or F < 2 * steps:
        return
    stack = sequences.rows.reshape(n, steps, F)[: max(1, _ROWS_LOOKED_AT // steps)]
    along_steps = likeness(stack, axis=1)
    if along_steps < _ALIKE or likeness(stack, axis=2) > along_steps + _ALIKE:
        _warn(
            f"X was read as {n} sequences of {steps} steps with {F} features, (n_sequences, n_steps, n_features), "
            f"though its steps are unlike those before; of {steps} channels over {F} steps give "
            "X.transpose(0, 2, 1), and else say lengths= of the rows of all sequences."
        )


def warn_of_series_in_rows(sequences: Sequences) -> None:
    """Warn where what should be forecast is probably laid out with time along the columns.

    Warns
    -----
    LayoutWarning
    """
    rows, T, F = sequences.rows[None, :_ROWS_LOOKED_AT], int(sequences.lengths.max()), sequences.rows.shape[1]
    if T < F and F >= _MANY_COLUMNS and likeness(rows, axis=2) > likeness(rows, axis=1) + _ALIKE:
        _warn(
            f"X was read as {T} steps of {F} features, though neighbouring features are more alike than steps; of "
            "series in rows give X.T, and several series of their own as a list of arrays (n_steps, 1).",
            depth=4,
        )


def likeness(values: np.ndarray, axis: int) -> float:
    """Correlation of neighbours along ``axis`` of (n, T, K), each line about its own mean; 1 where nothing varies.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.layouts import likeness
    >>> wave = np.sin(0.1 * np.arange(200.0))[None, :, None]
    >>> round(likeness(wave, axis=1), 1), round(likeness(wave * (-1.0) ** np.arange(200)[:, None], axis=1), 1)
    (1.0, -1.0)
    """
    values = values.astype(np.float64)
    scale = np.abs(values).max(initial=0.0)
    values = values / scale if scale > 0 else values
    n = values.shape[axis]
    variance = np.mean((values - values.mean(axis=axis, keepdims=True)) ** 2) * n / max(1, n - 1)
    if not variance > 0 or n < 2:
        return 1.0
    return float(1.0 - np.mean(np.diff(values, axis=axis) ** 2) / (2.0 * variance))


def _warn(message: str, depth: int = 3) -> None:
    """Warn where the user calls, ``depth`` calls above the function that found out."""
    warnings.warn(message, LayoutWarning, stacklevel=depth + 2)
