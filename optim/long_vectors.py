"""Sums and updates of long vectors: float64 scalars, fixed order, no copies, the same bits for any number of threads.

BLAS splits long vectors over its threads, and so changes the last bits of a dot product with their number. Blocks
this short it does not split; between blocks the order is ours.
"""

from __future__ import annotations

import math

import numpy as np

from optim.device import namespace

BLOCK = 8192  # entries; in float64 they fill a first-level cache with room for the rest


def block_of(vector: np.ndarray) -> int:
    """Entries that an update takes at a time: all of them on a GPU, where a call costs more than a cache gives.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.long_vectors import block_of
    >>> block_of(np.zeros(3))
    8192
    """
    return BLOCK if isinstance(vector, np.ndarray) else max(1, vector.size)


def is_finite(vector: np.ndarray) -> bool:
    """Whether all entries are.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.long_vectors import is_finite
    >>> is_finite(np.ones(2)), is_finite(np.array([1.0, np.nan]))
    (True, False)
    """
    return bool(namespace(vector).isfinite(vector).all())


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Inner product in float64, whatever the dtype.

    Parameters
    ----------
    a, b : (P,) float arrays

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from optim.long_vectors import dot
    >>> dot(np.full(2, 1e30, np.float32), np.full(2, 1e30, np.float32)) > 1e60
    True
    """
    if not isinstance(a, np.ndarray):
        return float((a.astype(np.float64) * b.astype(np.float64)).sum())
    total = 0.0
    for start in range(0, a.size, BLOCK):
        one = a[start : start + BLOCK].astype(np.float64, copy=False)
        other = one if b is a else b[start : start + BLOCK].astype(np.float64, copy=False)
        with np.errstate(all="ignore"):  # what is not finite is looked for in the sum
            total += float(one @ other)
    return total


def norm(vector: np.ndarray) -> float:
    """Euclidean norm, summed in float64 whatever the dtype.

    Parameters
    ----------
    vector : (P,) float array

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from optim.long_vectors import norm
    >>> norm(np.full(4, 1e20, dtype=np.float32)) < 2.1e20  # the squares do not fit into float32
    True
    """
    return math.sqrt(dot(vector, vector))


def add_scaled(y: np.ndarray, scale: float, x: np.ndarray) -> None:
    """y ← y + scale x, in place.

    Parameters
    ----------
    y, x : (P,) arrays of one dtype
    scale : float

    Examples
    --------
    >>> import numpy as np
    >>> from optim.long_vectors import add_scaled
    >>> y = np.ones(2)
    >>> add_scaled(y, 2.0, np.array([1.0, -1.0]))
    >>> y
    array([ 3., -1.])
    """
    if not isinstance(y, np.ndarray):
        y += x * scale
        return
    scratch = np.empty(min(BLOCK, y.size), y.dtype)
    for start in range(0, y.size, BLOCK):
        here = slice(start, start + BLOCK)
        part = scratch[: y[here].size]
        with np.errstate(all="ignore"):
            np.multiply(x[here], scale, out=part)
            np.add(y[here], part, out=y[here])
