"""Where sequences begin and end in a 2-D table: ids a row, a column of ids, or lengths."""

from __future__ import annotations

import numpy as np

from optim.arguments import brief, integer
from reservoir.data.tables import as_array, is_missing


def refuse_two_boundaries(groups, lengths, sequence_column) -> None:
    """Refuse more than one of the three ways to mark sequences."""
    given = {"groups": groups, "lengths": lengths, "sequence_column": sequence_column}
    given = [name for name, value in given.items() if value is not None]
    if len(given) > 1:
        raise ValueError(
            f"the sequences must be marked in one way, got {' and '.join(given)}; "
            "keep one of groups, lengths and sequence_column."
        )


def offsets_from_lengths(lengths, n_steps: int) -> np.ndarray:
    """Offsets (n_sequences + 1,) of sequences with the given numbers of rows."""
    lengths = as_array(lengths, "lengths")
    if lengths.ndim != 1 or lengths.size == 0:
        raise ValueError(
            f"lengths must be 1-D with an entry a sequence, got shape {lengths.shape}; give the number of rows of each."
        )
    members = lengths.tolist()  # Python's integers: a sum of NumPy's may wrap around to the number of rows
    if lengths.dtype.kind not in "iu" and not all(type(member) is int for member in members):
        raise TypeError(f"lengths must be integers, got {brief(members)}; give the number of rows of each sequence.")
    if min(members) < 1:
        raise ValueError(
            f"lengths must be >= 1, got a smallest entry of {brief(min(members))}; leave out empty sequences."
        )
    if sum(members) != n_steps:
        raise ValueError(
            f"lengths must sum to the number of rows of X, got a sum of {brief(sum(members))} for {n_steps} rows; "
            "give one length a sequence (in cross-validation use sequence_column= instead)."
        )
    return np.concatenate(([0], np.cumsum(members, dtype=np.int64)))


def offsets_from_ids(ids: np.ndarray, name: str, n_steps: int) -> np.ndarray:
    """Offsets (n_sequences + 1,) of the runs of equal ids; an id that comes back after another is refused."""
    if ids.shape != (n_steps,):
        raise ValueError(
            f"{name} must hold one id a row, shape ({n_steps},), got shape {ids.shape}; repeat each id on its rows."
        )
    if ids.dtype == object:
        _refuse_no_ids(ids, name)
    elif (ids != ids).any():
        _refuse_missing(ids, int(np.argmax(ids != ids)), name)
    offsets = np.concatenate(([0], np.flatnonzero(ids[1:] != ids[:-1]) + 1, [n_steps]))
    first_row = {}
    for row, value in zip(offsets[:-1].tolist(), ids[offsets[:-1]].tolist(), strict=True):
        if value in first_row:
            raise ValueError(
                f"{name} must keep the rows of a sequence together, got id {value!r} from row "
                f"{first_row[value]} and, after another id, again from row {row}; sort the rows by sequence. "
                "Splitters that shuffle rows, such as train_test_split and ShuffleSplit, tear sequences "
                "apart: use GroupKFold, GroupShuffleSplit or TimeSeriesSplit."
            )
        first_row[value] = row
    return offsets


def _refuse_no_ids(ids: np.ndarray, name: str) -> None:
    """Refuse an object array with a member that is missing (None, NaN, pandas' NA) or cannot be told from others."""
    for row, value in enumerate(ids):
        try:
            hash(value)
        except TypeError as error:
            raise TypeError(
                f"{name} must hold ids that can be hashed, got {brief(value)} on row {row}; take numbers or text."
            ) from error
        if is_missing(value):
            _refuse_missing(ids, row, name)


def _refuse_missing(ids: np.ndarray, row: int, name: str) -> None:
    raise ValueError(f"{name} must hold an id on every row, got {ids[row]!r} on row {row}; fill in the missing ids.")


def column_position(sequence_column, X, estimator) -> int:
    """Index >= 0 of the column of ids among the columns of X."""
    n_columns = X.shape[1]
    if isinstance(sequence_column, str):
        names = list(getattr(X, "columns", getattr(estimator, "feature_names_in_", [])))
        if names.count(sequence_column) != 1 or len(names) != n_columns:
            came = f"the columns {names}" if names else "an X without column names"
            raise ValueError(
                f"sequence_column={sequence_column!r} must name one column of X, got {came}; "
                "give a DataFrame that has it, or the index of the column."
            )
        return names.index(sequence_column)
    remedy = f"give the name of the column of ids, or its place among the {n_columns} columns of X"
    return integer("sequence_column", sequence_column, least=-n_columns, most=n_columns - 1, remedy=remedy) % n_columns


def take_ids(X, position: int):
    """Ids as the caller wrote them, and an X that can be validated as numbers.

    As written, because a cast to float32 may make two large ids equal.
    """
    if not hasattr(X, "iloc"):
        return np.asarray(X[:, position]), X
    ids = X.iloc[:, position]
    if ids.isna().any():
        row = int(ids.isna().to_numpy().argmax())
        raise ValueError(
            f"the column of ids must be filled on every row of X, got a missing id on row {row}; fill it in."
        )
    X = X.copy(deep=False)
    X.isetitem(position, np.zeros(len(X), np.float32))
    return ids.to_numpy(), X


def without_column(rows: np.ndarray, position: int) -> np.ndarray:
    """The features alone, (n_steps, n_columns - 1) C-contiguous: a copy."""
    if rows.shape[1] == 1:
        raise ValueError("X must have a feature beside the column of ids, got that column only; add the inputs.")
    return np.ascontiguousarray(np.delete(rows, position, axis=1))
