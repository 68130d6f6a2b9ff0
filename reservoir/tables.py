"""X in any accepted form as one 2-D table of usable numbers."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array


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
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)
    if isinstance(X, (list, tuple)) and _holds_sequences(X):
        return _join_sequences(X)
    if issparse(X):
        return Table(X)
    if hasattr(X, "columns"):
        return Table(X, header=X)
    if not isinstance(X, np.ndarray):
        X = as_array(X, "X")
    if X.ndim < 3:
        return Table(X)
    if X.ndim > 3 or X.shape[0] == 0 or X.shape[1] == 0:
        raise ValueError(
            "X must be 2-D, or 3-D (n_sequences, n_steps, n_features) with no empty axis, "
            f"got shape {X.shape}; leave out empty sequences, and flatten further axes into features."
        )
    return Table(X.reshape(-1, X.shape[2]), "stack", np.full(X.shape[0], X.shape[1]))


def _holds_sequences(members) -> bool:
    """Whether the members of list X are 2-D, judged by the first whose depth shows."""
    for member in members:
        depth = 0
        while isinstance(member, (list, tuple)) and len(member) > 0:
            member, depth = member[0], depth + 1
        if not isinstance(member, (list, tuple)):
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
    """``np.asarray`` with a message that says which argument was ragged."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a rectangular array, got nested sequences of unequal shape ({error}); "
            "make all rows equally long, and give ragged sequences as a list of 2-D arrays."
        ) from error


def checked(array: Any, dtypes: list, name: str, estimator: Any = None, *, is_table: bool = True) -> np.ndarray:
    """``array`` as finite C-contiguous numbers of one of ``dtypes``, by scikit-learn's ``check_array``.

    An array that plainly passes is not sent there, because that takes longer than some fits.
    """
    if type(array) is np.ndarray and array.dtype in dtypes and array.flags.c_contiguous and array.size > 0:
        with np.errstate(all="ignore"):
            if (array.ndim == 2 or (array.ndim == 1 and not is_table)) and np.isfinite(array.sum()):
                return array
    return check_array(array, dtype=dtypes, order="C", input_name=name, estimator=estimator, ensure_2d=is_table)


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written through."""
    array = array.view()
    array.flags.writeable = False
    return array


def precisions(dtype) -> list:
    """Element types that ``dtype=`` lets pass; the first is what all others become."""
    if dtype is None:
        return [np.float64, np.float32]
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise ValueError(f"dtype must be None, float64 or float32, got {dtype!r}; use one of these.")
    return [np.dtype(dtype)]


def refuse_unusable(table, name: str) -> None:
    """Refuse element types that are no numbers, or numbers that no kernel here works in.

    Complex is a ValueError, in scikit-learn's words; the rest is a TypeError.
    """
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        for i, dtype in enumerate(table.dtypes):
            if getattr(dtype, "kind", "") in "Oc" or dtype == np.float16:
                refuse_unusable(np.asarray(table.iloc[:, i]), f"column {table.columns[i]!r} of {name}")
    if not isinstance(table, np.ndarray):
        return
    kind = table.dtype.kind
    if kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} must hold real numbers, got {table.dtype}; "
            "give real and imaginary parts as two columns."
        )
    if table.dtype == np.float16:
        raise TypeError(f"{name} must hold float64, float32 or integers, got float16; use astype(numpy.float32).")
    if kind in "USVTmM":
        raise TypeError(f"{name} must hold real numbers, got dtype {table.dtype}; encode it as numbers first.")
    if kind == "O":
        _refuse_objects(table, name)


def _refuse_objects(array: np.ndarray, name: str) -> None:
    """Refuse an object array with a member that is no real number; text that looks like a number is none."""
    for value in array.flat:
        is_complex = isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real)
        if is_complex or isinstance(value, (str, bytes)):
            raise TypeError(f"{name} must hold real numbers, got {value!r} in an object array; encode it as numbers.")
    try:
        array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must hold real numbers, got an object array with something else ({error}); encode it as numbers."
        ) from error
