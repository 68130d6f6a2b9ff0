"""Which axis of an array of a framework counts sequences, and whether a batch's indices are among them."""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.arguments import brief


def axis_of_sequences(name: str, shape: tuple[int, ...], batch_axis: int, n_sequences: int) -> int:
    """The axis of an array that counts sequences: ``batch_axis``, or the first of an array that has not so many there.

    Sequences of shape (T, B, I) go with lengths of shape (B,) and answers of shape (B, O); ``batch_axis`` is 1.

    Parameters
    ----------
    name : str
        Of the array, for the message.
    shape : tuple of int
    batch_axis : int
    n_sequences : int

    Raises
    ------
    ValueError
        Where neither axis has ``n_sequences`` entries.

    Examples
    --------
    >>> from optim.batch_axes import axis_of_sequences
    >>> axis_of_sequences("X", (7, 30, 2), 1, 30), axis_of_sequences("lengths", (30,), 1, 30)
    (1, 0)
    """
    for axis in (batch_axis, 0):
        if -len(shape) <= axis < len(shape) and shape[axis] == n_sequences:
            return axis % len(shape)
    raise ValueError(
        f"{name} must have {n_sequences} entries, one a sequence, along axis {batch_axis} or its first, got shape "
        f"{tuple(shape)}; transpose it, set batch_axis, or let the model or the loss hold what is not one a sequence."
    )


def rows_of_batch(batch: Any, n_sequences: int) -> np.ndarray:
    """``batch`` as int64 indices, if all are in [0, ``n_sequences``) and there is one at least.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> from optim.batch_axes import rows_of_batch
    >>> rows_of_batch([3, 0], 4)
    array([3, 0])
    """
    rows = np.asarray(batch)
    remedy = "draw batches of the indices of sequences"
    message = f"batch must be indices in [0, {n_sequences - 1}], at least one, got {brief(batch)}; {remedy}."
    if rows.size == 0:
        raise ValueError(message)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise TypeError(message)
    if rows.min() < 0 or rows.max() >= n_sequences:
        worst = int(rows.min() if rows.min() < 0 else rows.max())
        raise ValueError(f"batch must be indices in [0, {n_sequences - 1}], got one that is {worst}; {remedy}.")
    return rows.astype(np.int64)
