"""What stands beside the rows of X: targets, labels and weights, one entry a row or one a sequence."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target

from optim.arguments import brief, number
from reservoir.data.tables import as_array, checked, is_missing, refuse_not_finite, refuse_unusable

if TYPE_CHECKING:
    from reservoir.data.sequences import Sequences

_MANY = ("list", "stack")


def read_y(sequences: Sequences, y, target: str, *, y_of: str | None = None, has_gaps: bool = False) -> dict:
    """Fields of `Sequences` that come from y; ``target``, ``y_of`` and ``has_gaps`` as in `read_sequences`.

    In gaps numbers become 0, and labels that are not finite another row's.
    """
    if target == "rows":
        targets, one_per_sequence = _gather(sequences, y, "y", y_of)
        has_weight = _has_weight(sequences, one_per_sequence) if has_gaps else None
        if has_weight is not None and targets.dtype.kind == "f":
            targets = np.where(has_weight.reshape(-1, *[1] * (targets.ndim - 1)), targets, targets.dtype.type(0))
        targets = checked(targets, [sequences.rows.dtype], "y", is_table=False)
        targets = sequences.on_rows(targets) if one_per_sequence else targets
        is_1d = targets.ndim == 1
        targets = targets.reshape(sequences.n_steps, -1)
        return {"targets": targets, "targets_1d": is_1d, "one_per_sequence": one_per_sequence}
    labels, one_per_sequence = _gather(sequences, y, "y", y_of, may_be_vectors=False)
    if labels.dtype.kind == "c" or labels.dtype == np.float16:
        refuse_unusable(labels, "y")
    if labels.ndim != 1 and labels.shape != (len(labels), 1):
        raise ValueError(
            f"y must hold one label a row or one a sequence, got an array of shape {labels.shape}; "
            "give 1-D labels, one column only (of one-hot rows y.argmax(axis=-1))."
        )
    labels = column_or_1d(labels, warn=True)
    has_weight = _has_weight(sequences, one_per_sequence) if has_gaps else None
    if has_weight is not None and labels.dtype.kind == "f":
        labels = np.where(has_weight | np.isfinite(labels), labels, labels[has_weight][0])
    _check_labels(labels)
    return {
        "labels": sequences.on_rows(labels) if one_per_sequence else labels,
        "one_per_sequence": one_per_sequence,
    }


def _check_labels(labels: np.ndarray) -> None:
    """Refuse what tells no classes apart: missing labels, fractions, and what cannot be compared."""
    if labels.dtype.kind == "f":
        refuse_not_finite(labels, "y")
    if labels.dtype == object and any(map(is_missing, labels)):
        raise ValueError("y must hold a label everywhere, got a missing one (NaN); fill it in, or leave out its row.")
    try:
        found = type_of_target(labels)
    except (TypeError, ValueError):
        found = "labels of several kinds"
    if found not in ("binary", "multiclass"):
        raise ValueError(
            f"y must hold labels of classes, got {brief(labels.tolist())}. Unknown label type: {found}; give integers "
            "or text, or learn numbers by a regressor."
        )


def read_weights(sequences: Sequences, sample_weight) -> np.ndarray | None:
    """Weights (n_steps,) float64, finite, not negative, not all zero; None stays None."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Number):
        sample_weight = np.full(sequences.n_steps, number("sample_weight", sample_weight, least=0))
    return check_weights(read_numbers(sequences, sample_weight, "sample_weight", np.float64)[0])


def check_weights(weights: np.ndarray) -> np.ndarray:
    """Return finite weights that are 1-D, not negative and not all zero; refuse others."""
    if weights.ndim != 1:
        raise ValueError(
            f"sample_weight must be 1-D, one weight a row or one a sequence, got shape {weights.shape}; "
            "give one weight for all outputs."
        )
    if (weights < 0).any():
        row = int(weights.argmin())
        raise ValueError(
            f"sample_weight must not be negative, got {weights[row]} on row {row}; use 0 for rows that do not count."
        )
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"sample_weight must have a finite sum, got weights up to {weights.max():g}; divide them all, "
            "and alpha with them."
        )
    if not weights.any():
        raise ValueError("sample_weight must be positive on some row, got zeros only; leave it out to weigh all alike.")
    return weights


def read_numbers(sequences: Sequences, values, name: str, dtype) -> tuple[np.ndarray, bool]:
    """Finite numbers, one entry a row, 1-D or 2-D as given; and whether they came one a sequence."""
    array, one_per_sequence = _gather(sequences, values, name)
    array = checked(array, [np.dtype(dtype)], name, is_table=False)
    return (sequences.on_rows(array) if one_per_sequence else array), one_per_sequence


def _has_weight(sequences: Sequences, one_per_sequence: bool) -> np.ndarray | None:
    """Which entries count: (n_steps,) or (n_sequences,) bool; None if all do."""
    if sequences.weights is None or (sequences.weights > 0).all():
        return None
    has_weight = sequences.weights > 0
    return np.logical_or.reduceat(has_weight, sequences.offsets[:-1]) if one_per_sequence else has_weight


def _gather(
    sequences: Sequences, values, name: str, y_of: str | None = None, *, may_be_vectors: bool = True
) -> tuple[np.ndarray, bool]:
    """Entries of ``values`` as one array, n_steps or n_sequences of them; whether they are one a sequence.

    The rule for what could be read both ways stands in `read_sequences`, under y.
    """
    if y_of == "sequences" and may_be_vectors:
        array = as_array(values, name)
        if array.ndim and len(array) == sequences.n_sequences:
            return array, True
    array, one_per_sequence = _by_shape(sequences, values, name)
    if y_of == "sequences" and not one_per_sequence:
        return _first_of_each(sequences, array, name), True
    if y_of == "rows" and one_per_sequence:
        raise ValueError(
            f"{name} must have one entry a row of X ({sequences.n_steps}), got one a sequence ({len(array)}); repeat "
            "each on the rows of its sequence, or ask for targets of sequences."
        )
    return array, one_per_sequence


def _first_of_each(sequences: Sequences, array: np.ndarray, name: str) -> np.ndarray:
    """The entry of each sequence, which ``array`` has on every row of it."""
    first = array[sequences.offsets[:-1]]
    if not _is_same(array, sequences.on_rows(first)):
        raise ValueError(
            f"{name} must have one entry a sequence ({sequences.n_sequences}), or the same on all rows of a sequence, "
            f"got different ones in a sequence, {len(array)} in all; give each sequence one target."
        )
    return first


def _is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether all entries are equal, NaN to NaN."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _by_shape(sequences: Sequences, values, name: str) -> tuple[np.ndarray, bool]:
    n_steps, n_sequences, form = sequences.n_steps, sequences.n_sequences, sequences.form
    joined = _join_like(values, name, sequences.lengths) if form in _MANY else None
    if joined is not None:
        return joined, False
    array = as_array(values, name)
    n_entries = len(array) if array.ndim else None
    if form in _MANY and n_entries == n_sequences:
        return array, True
    if n_entries == n_steps:
        return array, False
    if form not in ("rows", "column") and n_entries == n_sequences:
        return array, True
    also = "" if form in ("rows", "column") else f" or one a sequence ({n_sequences})"
    came = "a scalar" if n_entries is None else n_entries
    raise ValueError(
        f"{name} must have one entry a row of X ({n_steps}){also}, got {came}; check that X and {name} belong together."
    )


def _join_like(values, name: str, lengths: np.ndarray) -> np.ndarray | None:
    """Join ``values`` that are in the form of a list or 3-D X; None if they are not."""
    if isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1:
        values = list(values)
    if isinstance(values, np.ndarray):
        if values.ndim > 1 and len(values) == len(lengths) and (lengths == values.shape[1]).all():
            return values.reshape(-1, *values.shape[2:])
        return None
    if not isinstance(values, (list, tuple)) or len(values) != len(lengths):
        return None
    if not any(isinstance(member, (list, tuple)) or getattr(member, "ndim", 0) for member in values):
        return None
    arrays = [as_array(member, f"{name}[{i}]") for i, member in enumerate(values)]
    for i, (array, length) in enumerate(zip(arrays, lengths, strict=True)):
        if array.ndim == 0 or len(array) != length or array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{name}[{i}] must have the {length} rows of X[{i}] and as many columns as {name}[0], "
                f"got shape {array.shape}; give an array for each sequence, or one number or label for each."
            )
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
