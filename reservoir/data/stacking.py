"""States as scikit-learn hands them from step to step: joined by features, and with their sequences kept apart.

A union of transformers calls ``numpy.concat(outputs, axis=1)``. For lists of sequences NumPy would join that in time,
and rows of several sequences would forget where each begins; the two classes here do neither. A copy, a slice or a sum
of them is plain NumPy again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class SequenceList(list):
    """A list of 2-D arrays, one a sequence, that ``numpy.concat(..., axis=1)`` joins by features.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.stacking import SequenceList
    >>> one, two = SequenceList([np.zeros((5, 2)), np.zeros((3, 2))]), SequenceList([np.ones((5, 1)), np.ones((3, 1))])
    >>> [rows.shape for rows in np.concatenate([one, two], axis=1)]
    [(5, 3), (3, 3)]
    """

    def __array_function__(self, function: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
        lists = args[0] if args else ()
        if _joins_features(function, args, kwargs):
            sizes = [[len(rows) for rows in members] for members in lists]
            if any(size != sizes[0] for size in sizes):
                raise ValueError(
                    "X must reach all transformers of a union as the same sequences, got lists of "
                    f"{' and '.join(str(len(size)) for size in sizes)} sequences of different lengths; give all the "
                    "same list."
                )
            return SequenceList(np.concatenate(rows, axis=1) for rows in zip(*lists, strict=True))
        plain = [[list(part) if isinstance(part, SequenceList) else part for part in lists]] if args else []
        return function(*plain, *args[1:], **kwargs)


class SequenceRows(np.ndarray):
    """Rows of several sequences, one after the other, that know where each begins.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.stacking import SequenceRows
    >>> rows = SequenceRows.of(np.zeros((5, 2)), np.array([0, 2, 5]))
    >>> rows.sequence_offsets, np.concatenate([rows, rows], axis=1).sequence_offsets, rows[1:].sequence_offsets is None
    (array([0, 2, 5]), array([0, 2, 5]), True)
    """

    sequence_offsets: np.ndarray | None = None

    @classmethod
    def of(cls, rows: np.ndarray, offsets: np.ndarray) -> SequenceRows:
        """``rows`` (n, k), not copied, whose sequence i is ``rows[offsets[i]:offsets[i + 1]]``."""
        found = np.asarray(rows).view(cls)
        found.sequence_offsets = offsets
        return found

    def __array_finalize__(self, source: Any) -> None:
        self.sequence_offsets = None

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def __array_function__(self, function: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
        joined = super().__array_function__(function, types, args, kwargs)
        if not _joins_features(function, args, kwargs):
            return np.asarray(joined) if isinstance(joined, SequenceRows) else joined
        offsets = [getattr(part, "sequence_offsets", None) for part in args[0]]
        if any(found is None or not np.array_equal(found, offsets[0]) for found in offsets):
            return np.asarray(joined)
        return SequenceRows.of(joined, offsets[0])

    def __reduce__(self) -> tuple:
        return SequenceRows.of, (np.asarray(self), self.sequence_offsets)


def offsets_of(X: Any, sequence_column: Any) -> np.ndarray | None:
    """Where the sequences of ``X`` begin, and its number of rows, if ``X`` knows; it then has no column of ids.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.stacking import SequenceRows, offsets_of
    >>> offsets_of(SequenceRows.of(np.zeros((5, 2)), np.array([0, 2, 5])), sequence_column=None)
    array([0, 2, 5])
    """
    offsets = getattr(X, "sequence_offsets", None)
    if offsets is not None and sequence_column is not None:
        raise ValueError(
            "sequence_column must be None for states of a transformer, which took the ids out, got "
            f"{sequence_column!r}; leave it out: these states know their sequences."
        )
    return offsets


def refuse_states_as_ids(ids: np.ndarray, offsets: np.ndarray, sequence_column: Any) -> None:
    """Raise if ``ids`` are numbers such as states are: with many digits after the point, and new on every row."""
    if len(ids) < 2 or len(offsets) <= len(ids) or ids.dtype.kind != "f":
        return
    few_digits = 1024 * ids.astype(float)
    if (few_digits != np.round(few_digits)).all():
        raise ValueError(
            f"sequence_column={sequence_column!r} must be a column of ids, got another number on every one of "
            f"{len(ids)} rows; after a ReservoirTransformer, which takes the ids out, leave sequence_column out."
        )


def _joins_features(function: Callable, args: tuple, kwargs: dict) -> bool:
    axis = kwargs.get("axis", args[1] if len(args) > 1 else 0)
    return (function is np.concatenate and axis == 1) or function is np.hstack
