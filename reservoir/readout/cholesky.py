"""Cholesky factorisation in register tiles, column block by column block: the same bits for any number of threads.

    L_ij = (A_ij - sum over k < j of L_ik L_jkᵀ) L_jjᵀ⁻¹

for panels of columns j. What a panel subtracts is a matrix product, its rows L_j in panels of ``reservoir.simd.tiles``.
The rest is a substitution with the corner L_jj, a few columns wide, for a pack of rows at a time.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from optim.threads import run_all
from reservoir.jit import njit
from reservoir.simd.tiles import DEPTH, PADDED, PANEL_PACKS, add_rows
from reservoir.simd.transpose import transpose_block
from reservoir.simd.vectors import ONE_PACK, aligned, fma, full, load, pack_size, store

# Panels of a block, whose corner is one thread's work, and rows of a thread's turn: twice as many where the matrix
# leaves the caches. Of 3 to 12 panels and 64 to 256 rows, at 1000 and 3000 rows, none stood out of the noise.
_PANELS, _STRIP, _LARGE_FROM = 4, 128, 3_000


def factorise(matrix: np.ndarray, n_threads: int = 1) -> bool:
    """Replace the lower triangle of a symmetric matrix by L with L Lᵀ = matrix.

    Parameters
    ----------
    matrix : (m, m) float64, last axis contiguous, in and out; what is above the diagonal is spoilt
    n_threads : int >= 1

    Returns
    -------
    bool
        False, with ``matrix`` spoilt, if it is not positive definite to working precision.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.cholesky import factorise
    >>> matrix = np.array([[4.0, 2.0], [2.0, 2.0]])
    >>> factorise(matrix)
    True
    >>> np.tril(matrix)
    array([[2., 0.],
           [1., 1.]])
    """
    m, row = len(matrix), matrix.strides[0] // matrix.itemsize
    flat = np.lib.stride_tricks.as_strided(matrix, (max(0, (m - 1) * row + m),), (matrix.itemsize,))
    scale = 1 if m < _LARGE_FROM else 2
    width = PANEL_PACKS * pack_size(matrix)
    panels = aligned((scale * _PANELS, m, width), np.float64)
    for begin in range(0, m, len(panels) * width):
        end = min(begin + len(panels) * width, m)
        if not _factorise_columns(flat, row, begin, end, begin, end, panels):
            return False
        strips = [(first, min(first + scale * _STRIP, m)) for first in range(end, m, scale * _STRIP)]
        run_all(_factorise_columns, [(flat, row, *strip, begin, end, panels) for strip in strips], n_threads)
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _factorise_columns(flat, row, first, last, begin, end, panels):
    """Columns ``begin`` .. ``end`` of L in rows ``first`` .. ``last``; those before them are there already.

    Either the rows are those of the columns, and ``panels`` are filled on the way, or they are later ones, which
    threads may share, and what the panels hold is read.

    Parameters
    ----------
    flat : 1-D float64, in and out; the matrix, whose rows begin every ``row`` elements
    panels : (n_panels, >= end, width), out or in; -L_jkᵀ of each panel j. What is behind the last column is anything.

    Returns
    -------
    bool
        False if a corner is not positive.
    """
    width, is_corner = panels.shape[2], first == begin
    n_panels = -(-(end - begin) // width)
    x = np.zeros((width, pack_size(flat)))  # a thread's own, once in a turn
    if is_corner:
        for p in range(n_panels):
            j = begin + p * width
            _fill_panel(flat, row, j, min(width, end - j), 0, begin, panels[p])
    # A strip of rows stays in the second-level cache while all panels meet it.
    for k in range(0, begin, DEPTH):
        stop = min(k + DEPTH, begin)
        for p in range(n_panels):
            j = begin + p * width
            top = max(first, j)
            _subtract(flat, row, top, last, j, min(width, end - j), k, stop, panels, p)
    for p in range(n_panels):
        j = begin + p * width
        n_columns, top = min(width, end - j), max(first, j)
        if is_corner:
            _fill_panel(flat, row, j, n_columns, begin, j, panels[p])
        for k in range(begin, j, DEPTH):
            _subtract(flat, row, top, last, j, n_columns, k, min(k + DEPTH, j), panels, p)
        if is_corner:
            if not _factorise_corner(flat, row, j, n_columns):
                return False
            top += n_columns
        _substitute(flat, row, top, last, j, n_columns, x)
    return True


@njit(nogil=True, error_model="numpy")
def _fill_panel(flat, row, j, n_columns, begin, end, panel):
    """``panel[k, c] = -L[j + c, k]`` for begin <= k < end."""
    P, width = pack_size(panel), panel.shape[1]
    for k in range(begin, end, P):
        for c in range(0, n_columns, P):
            rows, columns = min(P, n_columns - c), min(P, end - k)
            transpose_block(flat, (j + c) * row + k, row, panel, k * width + c, width, rows, columns)
    for k in range(begin, end):
        for c in range(n_columns):
            panel[k, c] = -panel[k, c]


@njit(nogil=True, error_model="numpy")
def _subtract(flat, row, first, last, j, n_columns, begin, end, panels, p):
    """Products of columns ``begin`` .. ``end`` leave the panel p of columns from j > them on, in these rows."""
    width = panels.shape[2]
    left, there, right = first * row + begin, first * row + j, (p * panels.shape[1] + begin) * width
    add_rows(PADDED, flat, left, row, panels, right, width, flat, there, row, last - first, end - begin, n_columns)


@njit(nogil=True, error_model="numpy")
def _factorise_corner(flat, row, j, n_columns):
    """Factor of the ``n_columns`` rows and columns from j on, element by element; False if it is not positive."""
    for c in range(n_columns):
        for i in range(c, n_columns):
            a, b = (j + i) * row + j, (j + c) * row + j
            value = flat[a + c]
            for k in range(c):
                value -= flat[a + k] * flat[b + k]
            if i == c:
                if not 0.0 < value < np.inf:
                    return False
                flat[a + c] = sqrt(value)
            else:
                flat[a + c] = value / flat[b + c]
    return True


@njit(nogil=True, error_model="numpy")
def _substitute(flat, row, first, last, j, n_columns, x):
    """Columns X from j on, in rows ``first`` .. ``last``, become X L_jjᵀ⁻¹: a pack of rows side by side.

    x : (>= n_columns, P) float64, scratch
    """
    P = pack_size(flat)
    for i in range(first, last, P):
        n_rows = min(P, last - i)
        for c in range(0, n_columns, P):
            transpose_block(flat, i * row + j + c, row, x, c * P, P, n_rows, min(P, n_columns - c))
        for c in range(n_columns):
            corner = (j + c) * row + j + c
            solved = load(x, ONE_PACK, c * P) * full(x, ONE_PACK, 1.0 / flat[corner])
            store(x, c * P, solved)
            for d in range(c + 1, n_columns):
                corner += row
                others = fma(solved, full(x, ONE_PACK, -flat[corner]), load(x, ONE_PACK, d * P))
                store(x, d * P, others)
        for c in range(0, n_columns, P):
            transpose_block(x, c * P, P, flat, i * row + j + c, row, min(P, n_columns - c), n_rows)
