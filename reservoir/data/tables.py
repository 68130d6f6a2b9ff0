"""X in any accepted form as one 2-D table of usable numbers."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from scipy.sparse import issparse

from optim import arguments
from optim.arguments import brief, precision
from optim.device import all_to_host

_DATES = "give times as numbers that mean something, such as hours since a start or the sine and cosine of the hour"
_TIMES = (date, timedelta, np.datetime64, np.timedelta64)


@dataclass(frozen=True)
class Table:
    """X as one table, not yet validated.

    Parameters
    ----------
    rows : ndarray, DataFrame or sparse matrix, 2-D in valid input
    form : {"rows", "list", "stack"}
    sizes : (n_sequences,) int, or None
        Rows of each sequence; None when X is one table.
    header : DataFrame or None
        What names the features.
    """

    rows: Any
    form: str = "rows"
    sizes: np.ndarray | None = None
    header: Any = None


def flatten(X) -> Table:
    """Join X, a table, a list of tables or a 3-D stack of them, into one table."""
    X = all_to_host(X)
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)
    if isinstance(X, (list, tuple)) and _holds_sequences(X):
        return _join_sequences(X)
    if issparse(X):
        raise TypeError(
            f"X must be dense, got {brief(X)} (Sparse data was passed); convert it with X.toarray() if it fits."
        )
    if hasattr(X, "columns"):
        return Table(X if hasattr(X, "iloc") else as_array(X, "X"), header=X)
    X = as_array(X, "X")
    if X.ndim < 3:
        return Table(X)
    if X.ndim > 3 or X.shape[0] == 0 or X.shape[1] == 0:
        raise ValueError(
            "X must be 2-D, or 3-D (n_sequences, n_steps, n_features) with no empty axis, "
            f"got shape {X.shape}; leave out empty sequences, and flatten further axes into features."
        )
    n_sequences, n_steps, n_features = X.shape
    return Table(X.reshape(n_sequences * n_steps, n_features), "stack", np.full(n_sequences, n_steps))


def _holds_sequences(members) -> bool:
    """Whether the members of list X are 2-D, judged by the first whose depth shows."""
    for member in members:
        depth = 0
        while depth < 2 and isinstance(member, (list, tuple)) and len(member) > 0:
            member, depth = member[0], depth + 1
        if depth == 2 or not isinstance(member, (list, tuple)):
            return depth + getattr(member, "ndim", 0) >= 2
    return False


def _join_sequences(members) -> Table:
    """Join the 2-D members of list X."""
    advice = "give 2-D arrays (n_steps, n_features) with the same columns, and leave out empty sequences."
    arrays = []
    for i, member in enumerate(members):
        if issparse(member):
            raise TypeError(f"X[{i}] must be a dense 2-D array, got a sparse matrix; convert it with X[{i}].toarray().")
        array = as_array(member, f"X[{i}]")
        if array.ndim != 2 or array.shape[0] == 0:
            raise ValueError(
                f"every sequence in X must be 2-D and not empty, got X[{i}] of shape {array.shape}; {advice}"
            )
        if i and array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"all sequences in X must have the same number of features, got {arrays[0].shape[1]} in X[0] "
                f"and {array.shape[1]} in X[{i}]; {advice}"
            )
        refuse_unusable(array, f"X[{i}]")
        if list(getattr(member, "columns", [])) != list(getattr(members[0], "columns", [])):
            raise ValueError(f"all sequences in X must have the same column names, X[{i}] differs from X[0]; {advice}")
        arrays.append(array)
    sizes = np.array([len(array) for array in arrays])
    header = members[0] if hasattr(members[0], "columns") else None
    return Table(arrays[0] if len(arrays) == 1 else np.concatenate(arrays), "list", sizes, header)


def as_array(values, name: str) -> np.ndarray:
    """``np.asarray`` of what is an array or a list; nothing is masked, ragged or endless."""
    return arguments.as_array(
        name,
        all_to_host(values),
        remedy="make all rows equally long, and give ragged sequences as a list of 2-D arrays",
    )


def checked(array: Any, dtypes: list, name: str, *, is_table: bool = True, is_finite: bool = True) -> np.ndarray:
    """``array`` as C-contiguous numbers of one of ``dtypes``, a table or at least one-dimensional; finite if wanted.

    An array that plainly passes is not sent through scikit-learn's ``check_array``, which takes longer than some fits.
    What arrives there has only its type and layout to be changed: its other tests are made here, in our words.
    """
    if type(array) is np.ndarray and array.dtype in dtypes and array.flags.c_contiguous and array.size > 0:
        with np.errstate(all="ignore"):
            if (array.ndim == 2 or (array.ndim == 1 and not is_table)) and np.isfinite(array.sum()):
                return array
    from sklearn.utils import check_array  # which importing the packages does not load

    refuse_unusable(array, name)
    _check_shape(array.shape, name, is_table)
    try:
        with np.errstate(over="ignore"):
            found = check_array(
                array, dtype=dtypes, order="C", ensure_all_finite=False, ensure_2d=is_table, ensure_min_samples=0,
                ensure_min_features=0,
            )  # fmt: skip
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{name} must hold finite numbers, got {brief(array)} that {np.dtype(dtypes[0])} cannot hold ({error}); "
            "scale it down, or make an array of floats of it."
        ) from error
    if is_finite:
        refuse_not_finite(found, name)
    return found


def _check_shape(shape: tuple[int, ...], name: str, is_table: bool) -> None:
    if is_table and len(shape) != 2:
        raise ValueError(
            f"{name} must be 2-D, (n_steps, n_features), got shape {shape}. Reshape your data: "
            f"numpy.reshape({name}, (-1, 1)) makes one feature of it, (1, -1) one step."
        )
    if len(shape) not in (1, 2):
        raise ValueError(f"{name} must be 1-D or 2-D, got shape {shape}; flatten further axes into columns.")
    for axis, what in enumerate(("sample", "feature")[: len(shape)]):
        if shape[axis] == 0:
            raise ValueError(
                f"{name} must hold something, got 0 {what}(s) (shape={shape}) while a minimum of 1 is required; "
                f"give at least one {'row' if axis == 0 else 'column'}."
            )


def refuse_not_finite(array: np.ndarray, name: str) -> None:
    """Refuse NaN and infinity, naming the first by its place."""
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):
            return
    bad = ~np.isfinite(array)
    if not bad.any():
        return
    place = tuple(int(axis[0]) for axis in np.nonzero(bad))
    is_nan = bool(np.isnan(array[place]))
    # The words in brackets are those that scikit-learn's own checks look for.
    known_as = "NaN" if is_nan else f"infinity or a value too large for dtype('{array.dtype}')"
    raise ValueError(
        f"{name} must hold finite numbers, got {'NaN' if is_nan else 'infinity'} on row {place[0]}"
        f"{''.join(f', column {j}' for j in place[1:])} (Input {name} contains {known_as}, {np.count_nonzero(bad)} in "
        "all); fill these in, or leave out their rows."
    )


def precisions(dtype) -> list:
    """Element types that ``dtype=`` lets pass; the first is what all others become."""
    return [np.float64, np.float32] if dtype is None else [np.dtype(precision("dtype", dtype))]


def refuse_unusable(table, name: str) -> None:
    """Refuse element types that are no numbers, or numbers that no kernel here works in.

    Complex is a ValueError, in scikit-learn's words; the rest is a TypeError.
    """
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        for i, dtype in enumerate(table.dtypes):
            if type(dtype).__name__ == "SparseDtype":
                name = f"column {table.columns[i]!r} of {name}"
                raise TypeError(f"{name} must be dense, got {dtype}; convert it by .sparse.to_dense().")
            if getattr(dtype, "kind", "O") not in "biuf" or dtype == np.float16:
                refuse_unusable(np.asarray(table.iloc[:, i]), f"column {table.columns[i]!r} of {name}")
        return
    kind = table.dtype.kind
    if kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} must hold real numbers, got {table.dtype}; "
            "give real and imaginary parts as two columns."
        )
    if table.dtype == np.float16:
        raise TypeError(f"{name} must hold float64, float32 or integers, got float16; use astype(numpy.float32).")
    if kind in "mM":
        raise TypeError(f"{name} must hold real numbers, got dtype {table.dtype}; {_DATES}.")
    if kind in "USVT":
        raise TypeError(f"{name} must hold real numbers, got dtype {table.dtype}; encode it as numbers first.")
    if kind == "O":
        _refuse_objects(table, name)


def _refuse_objects(array: np.ndarray, name: str) -> None:
    """Refuse an object array with a member that is no real number; text that looks like a number is none.

    Dates are none either, though NumPy would make nanoseconds of them. None, and pandas' NA, stand for NaN.
    """
    for value in array.flat:
        if is_missing(value):
            raise ValueError(
                f"{name} must hold finite numbers, got the missing value {value!r} (NaN); fill it in, or leave out its "
                "row."
            )
        if isinstance(value, _TIMES) or hasattr(value, "to_timestamp"):
            raise TypeError(f"{name} must hold real numbers, got {brief(value)} in an object array; {_DATES}.")
        if not isinstance(value, (numbers.Real, np.bool_, Decimal)):
            raise TypeError(
                f"{name} must hold real numbers, got {brief(value)} in an object array; this argument must be free of "
                "any string or other object: encode each as a number."
            )


def is_missing(value) -> bool:
    """Whether an object stands for nothing: None, NaN, NaT, pandas' NA (whatever made it, so without importing it)."""
    is_nan = isinstance(value, (float, np.floating)) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")
