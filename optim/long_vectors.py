"""Sums and updates of long vectors: float64 scalars, fixed order, no copies, the same bits for any number of threads.

BLAS splits long vectors over its threads, and so changes the last bits of a dot product with their number. Blocks
this short it does not split; between blocks the order is ours.
"""

from __future__ import annotations

import math

import numpy as np

BLOCK = 8192  # entries; in float64 they fill a first-level cache with room for the rest


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
    scratch = np.empty(min(BLOCK, y.size), y.dtype)
    for start in range(0, y.size, BLOCK):
        here = slice(start, start + BLOCK)
        part = scratch[: y[here].size]
        with np.errstate(all="ignore"):
            np.multiply(x[here], scale, out=part)
            np.add(y[here], part, out=y[here])
