"""What a caller hands over as arrays: sequences, numbers, classes and units, bounded before a kernel meets them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cells.network import Network


def as_array(name: str, given: Any) -> np.ndarray:
    """``given`` as an array of real numbers.

    Raises
    ------
    ValueError, TypeError
        For rows of unequal lengths, and for what holds anything else.

    Examples
    --------
    >>> from cells.shares.arrays import as_array
    >>> as_array("X", [1, 2]).shape
    (2,)
    """
    try:
        array = np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise ValueError(
            f"{name} must be an array, got {type(given).__name__} of unequal parts; make its rows equally long "
            f"({error})."
        ) from error
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise TypeError(
            f"{name} must hold real numbers, float32, float64 or integers, got {array.dtype}; convert it first."
        )
    return array


def as_sequences(name: str, given: Any, lengths: Any = None) -> list[np.ndarray]:
    """One array for each sequence, cut to its length where ``lengths`` says so.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.shares.arrays import as_sequences
    >>> [part.shape for part in as_sequences("X", np.zeros((2, 5, 3)), lengths=[4, 1])]
    [(4, 3), (1, 3)]
    """
    is_array = isinstance(given, np.ndarray) and given.dtype != object
    if given is None or isinstance(given, str | bytes | dict) or not hasattr(given, "__iter__"):
        raise TypeError(
            f"{name} must be a list of sequences or an array (n, T, ...), got {type(given).__name__}; "
            "give a single sequence as a list of one."
        )
    if is_array and given.ndim == 0:
        raise ValueError(f"{name} must be a list of sequences or an array (n, T, ...), got a single number; give more.")
    parts = list(as_array(name, given)) if is_array else [as_array(f"{name}[{i}]", p) for i, p in enumerate(given)]
    if not parts:
        raise ValueError(f"{name} must hold at least one sequence, got none; give one.")
    for number, part in enumerate(parts):
        if part.ndim == 0:
            raise ValueError(
                f"{name} must be a list of sequences or an array (n, T, ...), got a single number for sequence "
                f"{number}; targets='last' takes one target a sequence."
            )
    if lengths is not None:
        parts = [part[:count] for part, count in zip(parts, _counts(name, parts, lengths), strict=True)]
    for number, part in enumerate(parts):
        if len(part) == 0:
            raise ValueError(
                f"{name} must hold sequences of at least one step, got none in sequence {number}; leave it out."
            )
    return parts


def finite_numbers(name: str, given: np.ndarray, dtype: Any) -> np.ndarray:
    """``given``, C-contiguous and of this dtype, if all of it is finite there.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.shares.arrays import finite_numbers
    >>> finite_numbers("X", np.array([1, 2]), np.float32)
    array([1., 2.], dtype=float32)
    """
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(given, dtype=dtype)
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"{name} must be finite in {np.dtype(dtype).name}, got NaN, infinity or too large a number; "
            "impute or remove it first."
        )
    return numbers


def class_numbers(name: str, given: np.ndarray, n_classes: int, of_what: str) -> np.ndarray:
    """Integers ``given`` as int64, if they are at least 0 and below ``n_classes``, the network's ``of_what``.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.shares.arrays import class_numbers
    >>> class_numbers("X", np.array([0, 3], np.uint8), 4, "n_in of the first layer")
    array([0, 3])
    """
    if given.size and (given.min() < 0 or given.max() >= n_classes):
        raise ValueError(
            f"{name} must hold class numbers from 0 to {n_classes - 1}, {of_what} less one, got {given.min()} to "
            f"{given.max()}; number the classes from 0, or give numbers that are no classes as rows."
        )
    return given.astype(np.int64)


def units_and_values(name: str, given: Any, network: Network) -> tuple[np.ndarray, Any]:
    """Units (k,) int64 of the first cell, each named once, and whatever came with them."""
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"{name} must be a pair (units, values), got {type(given).__name__}; give a tuple of both.")
    units, H = as_array(f"units of {name}", given[0]), network.layers[0].n_units
    if units.ndim != 1 or units.dtype.kind not in "iu" or len(set(units.tolist())) != units.size:
        raise ValueError(f"{name} must name different units by integers (k,), got {units!r}; name each of them once.")
    if units.size and (units.min() < 0 or units.max() >= H):
        raise ValueError(
            f"{name} must name units from 0 to {H - 1}, got {units.min()} to {units.max()}; "
            "the first cell has no others."
        )
    return units.astype(np.int64), given[1]


def _counts(name: str, parts: list[np.ndarray], lengths: Any) -> np.ndarray:
    """``lengths``, each of them within the steps that are there: none is added up before."""
    counts = as_array("lengths", lengths)
    if counts.shape != (len(parts),) or counts.dtype.kind not in "iu":
        raise ValueError(
            f"lengths must be {len(parts)} integers, one for each sequence of {name}, got {counts.dtype} of shape "
            f"{counts.shape}; count the steps of each."
        )
    for number, (part, count) in enumerate(zip(parts, counts, strict=True)):
        if not 1 <= count <= len(part):
            raise ValueError(
                f"lengths must lie between 1 and the steps there are, {len(part)} in sequence {number} of {name}, "
                f"got {count}; leave out empty sequences."
            )
    return counts
