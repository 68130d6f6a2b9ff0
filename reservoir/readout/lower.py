"""Lower triangles of symmetric matrices, strip by strip, so that threads may share them."""

from __future__ import annotations

from itertools import pairwise

from reservoir.jit import njit

_STRIP = 256


def strips(size: int) -> list[tuple[int, int]]:
    """(first, last) of the rows of each strip of ``size`` rows; they depend on nothing else.

    Examples
    --------
    >>> from reservoir.readout.lower import strips
    >>> strips(300)
    [(0, 256), (256, 300)]
    """
    return list(pairwise([*range(0, size, _STRIP), size]))


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_lower(total, other, first, last):
    """``total[i, j] += other[i, j]`` for first <= i < last and j <= i.

    Parameters
    ----------
    total : (m, m) float64 C-contiguous, in and out
    other : (m, m) float64 C-contiguous, in, no alias
    first, last : int, 0 <= first <= last <= m
    """
    for i in range(first, last):
        for j in range(i + 1):
            total[i, j] += other[i, j]


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def centre_lower(matrix, centre, weight, first, last):
    """``matrix[i, j] -= weight centre[i] centre[j]`` for first <= i < last and j <= i.

    Parameters
    ----------
    matrix : (m, m) float64 C-contiguous, in and out
    centre : (>= last,) float64, in
    weight : float
    first, last : int, 0 <= first <= last <= m

    Returns
    -------
    float
        What these rows, and the columns that mirror them, had as their sum of squares before.
    """
    square = 0.0
    for i in range(first, last):
        below, factor = 0.0, weight * centre[i]
        for j in range(i):
            below += matrix[i, j] * matrix[i, j]
            matrix[i, j] -= factor * centre[j]
        square += 2.0 * below + matrix[i, i] * matrix[i, i]
        matrix[i, i] -= factor * centre[i]
    return square
