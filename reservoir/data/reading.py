"""The door for data: every accepted form of sequences becomes flat rows plus offsets.

Four forms come in (X and, where there is one, y):

1. a 2-D array (n_steps, n_features): one sequence;
2. a list of 2-D arrays, or a 3-D array (n_sequences, n_steps, n_features);
3. a 2-D array with ``groups=`` (an id a row, equal ids contiguous) or ``lengths=`` (rows a sequence);
4. a 2-D array or DataFrame with ``sequence_column=``, the column that holds the ids.

One form goes on: ``rows`` and ``offsets``, sequence i being ``rows[offsets[i]:offsets[i + 1]]``. Only form 4
keeps its boundaries inside the folds of a cross-validation, in every tool of scikit-learn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from sklearn.utils.validation import validate_data

from optim.device import all_to_host, is_on_device
from reservoir.data.boundaries import (
    column_position,
    offsets_from_ids,
    offsets_from_lengths,
    refuse_two_boundaries,
    take_ids,
    without_column,
)
from reservoir.data.sequences import Sequences, read_only
from reservoir.data.stacking import offsets_of, refuse_states_as_ids
from reservoir.data.tables import as_array, checked, flatten, precisions
from reservoir.data.targets import read_numbers, read_weights, read_y


def read_sequences(
    estimator,
    X,
    y=None,
    *,
    sample_weight=None,
    groups=None,
    lengths=None,
    sequence_column=None,
    dtype=None,
    reset: bool,
    target: Literal["rows", "labels", "none"],
    y_of: Literal["rows", "sequences"] | None = None,
    y_has_gaps: bool = False,
) -> Sequences:
    """Validate X, y and weights in any accepted form and bring them into the one internal form.

    Nothing is copied that is C-contiguous float64 or float32 already, except where sequences must be joined
    or the column of ids taken out.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Gets ``n_features_in_`` and ``feature_names_in_`` when ``reset``, is checked against them otherwise.
        The column of ids counts as a feature there.
    X : 2-D array-like or DataFrame, 3-D array, or list of 2-D array-likes
        A nested list of numbers is one 2-D sequence. All values finite; no sequence empty. States that know their
        sequences (:class:`reservoir.data.stacking.SequenceRows`) are several, answered as with ``sequence_column``.
    y : array-like, or list of array-likes, or None
        *One entry a row*: (n_steps,) or (n_steps, n_outputs); for a list X also a list of arrays with as many
        rows each; for a 3-D X also (n_sequences, n_steps) or (n_sequences, n_steps, n_outputs).
        *One entry a sequence*: (n_sequences,) or (n_sequences, n_outputs); for list, 3-D, ``groups=`` and
        ``lengths=``, where the two can be told apart.
        Where both could be meant, with ``groups=`` and ``lengths=`` n_steps entries are rows. For a list or
        3-D X, a list of n_sequences members that are not scalars, or an array (n_sequences, k, ...) with k
        the length of every sequence, holds rows; any other n_sequences entries are one a sequence.
    sample_weight : array-like or float, optional
        Not negative, not all zero; the same forms as a one-column y.
    groups : (n_steps,) of any type that can be hashed, optional
    lengths : (n_sequences,) int, optional
        All at least 1, summing to n_steps.
    sequence_column : int or str, optional
        Index of the column of ids (negative counts from the end) or, in a DataFrame, its name; ids in a
        pandas DataFrame may be of any type. Splitters that reorder rows are found out by ids that come again;
        KFold only leaves rows out, which ids cannot show: GroupKFold keeps sequences whole.
    dtype : {None, float64, float32}
        Precision of rows and targets. None keeps float32 and makes float64 of everything else.
    reset : bool
        True in fit and in the first ``partial_fit``.
    target : {"rows", "labels", "none"}
        Numbers (regressor), labels (classifier), or y is not looked at.
    y_of : {"rows", "sequences"}, optional
        What an entry of y belongs to; by default its shape tells. Those of sequences may be repeated on all their rows.
    y_has_gaps : bool
        Whether entries of y of weight 0 may be anything, NaN too, because nothing reads them: they become others.

    Returns
    -------
    Sequences

    Raises
    ------
    ValueError, TypeError
        For everything that is not as described, naming the argument, what came and what to do.
    """
    numbers = X, *(part for part in (y, sample_weight) if not _holds_text(part))
    is_there = is_on_device(None, *numbers) and is_on_device(getattr(estimator, "device", None), *numbers)
    X, y, sample_weight, groups, lengths = map(all_to_host, (X, y, sample_weight, groups, lengths))
    refuse_two_boundaries(groups, lengths, sequence_column)
    known = offsets_of(X, sequence_column)
    table = flatten(X)
    if table.form != "rows" and not (groups is None and lengths is None and sequence_column is None):
        raise ValueError(
            "groups, lengths and sequence_column must come with a 2-D X, got a list of sequences or a 3-D "
            "array; leave them out, or join the sequences into one 2-D array."
        )
    if target != "none" and y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None; "
            "give one target a row or one a sequence."
        )
    X, position, ids = table.rows, None, None
    if sequence_column is not None and getattr(X, "ndim", 2) == 2:
        position = column_position(sequence_column, X, estimator)
        ids, X = take_ids(X, position)
    rows = checked(X, precisions(dtype), "X")
    header = rows if table.header is None else table.header
    _note_features(estimator, header, reset)
    form, n_steps = table.form, len(rows)
    if position is not None:
        form, offsets = "column", offsets_from_ids(ids, f"sequence_column={sequence_column!r}", n_steps)
        if reset:
            refuse_states_as_ids(ids, offsets, sequence_column)
        rows = without_column(rows, position)
    elif groups is not None:
        form, offsets = "groups", offsets_from_ids(as_array(groups, "groups"), "groups", n_steps)
    elif lengths is not None:
        form, offsets = "lengths", offsets_from_lengths(lengths, n_steps)
    elif known is not None:
        form, offsets = "column", known
    else:
        offsets = np.concatenate(([0], np.cumsum(n_steps if table.sizes is None else table.sizes)))
    sequences = Sequences(rows, offsets.astype(np.int64, copy=False), form, is_on_device=is_there)
    sequences = replace(sequences, weights=read_weights(sequences, sample_weight))
    if target == "none":
        return sequences
    return replace(sequences, **read_y(sequences, y, target, y_of=y_of, has_gaps=y_has_gaps))


def _holds_text(values) -> bool:
    """Whether these are labels that no device could hold."""
    return getattr(getattr(values, "dtype", None), "kind", "f") not in "fiub"


def _note_features(estimator, header, reset: bool) -> None:
    """Let scikit-learn note or compare number and names of features; where there are no names it is quickly done."""
    if type(header) is np.ndarray and not hasattr(estimator, "feature_names_in_"):
        if reset:
            estimator.n_features_in_ = header.shape[1]
            return
        if getattr(estimator, "n_features_in_", None) == header.shape[1]:
            return
    expected = getattr(estimator, "n_features_in_", None)
    has_names = hasattr(header, "columns") and hasattr(estimator, "feature_names_in_")
    if not (reset or has_names) and expected != header.shape[1]:
        raise ValueError(
            f"X has {header.shape[1]} features, but {type(estimator).__name__} is expecting {expected} features as "
            "input; give the columns that fit was given, in their order."
        )
    validate_data(estimator, header, reset=reset, skip_check_array=True)


def read_beside(sequences: Sequences, values, name: str) -> np.ndarray:
    """Numbers that go beside the rows of X, such as exogenous inputs, in the forms a numeric y may have.

    Parameters
    ----------
    sequences : Sequences
        What X became.
    values : array-like, or list of array-likes
    name : str
        The argument's name, for messages.

    Returns
    -------
    (n_steps, n_columns) or (n_steps,) C-contiguous, dtype of the rows
    """
    return read_only(read_numbers(sequences, values, name, sequences.rows.dtype)[0])
