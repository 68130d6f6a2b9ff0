"""Cholesky factorisation in blocks, which spread over threads: the same bits for any number of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from optim.threads import run_all, single_blas_thread
from reservoir.blas import add_product, add_self_product, cholesky, divide_by_triangle

# Rows of a block; twice as many where the matrix is large, and one block where it is small.
_BLOCK, _LARGE_FROM, _WHOLE_TO = 128, 3_000, 384


def factorise(matrix: np.ndarray, n_threads: int = 1) -> bool:
    """Replace the lower triangle of a symmetric matrix by L with L Lᵀ = matrix.

    Block column by block column: the block on the diagonal is factorised, those below it are divided by it, and their
    products leave what is to the right. The blocks depend on the size only.

    Parameters
    ----------
    matrix : (m, m) float64, last axis contiguous, in and out; what is above the diagonal is not touched
    n_threads : int >= 1

    Returns
    -------
    bool
        False, with ``matrix`` spoilt, if it is not positive definite to working precision.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.cholesky import factorise
    >>> matrix = np.array([[4.0, 2.0], [2.0, 2.0]])
    >>> factorise(matrix)
    True
    >>> np.tril(matrix)
    array([[2., 0.],
           [1., 1.]])
    """
    m = len(matrix)
    block = m if m <= _WHOLE_TO else _BLOCK if m < _LARGE_FROM else 2 * _BLOCK
    edges = [*range(0, m, max(1, block)), m]
    blocks = [slice(start, stop) for start, stop in pairwise(edges)]
    with single_blas_thread():
        for k, here in enumerate(blocks):
            corner, below = matrix[here, here], blocks[k + 1 :]
            if not cholesky(corner):
                return False
            run_all(divide_by_triangle, [(matrix[i, here], corner) for i in below], n_threads)
            # the longest rows first
            run_all(_subtract, [(matrix, here, i, edges[k + 1]) for i in below[::-1]], n_threads)
    return True


def _subtract(matrix: np.ndarray, column: slice, row: slice, first: int) -> None:
    """Products of a block column leave one block row, up to the diagonal."""
    rows = matrix[row, column]
    if first < row.start:
        add_product(rows, matrix[first : row.start, column], matrix[row, first : row.start], -1.0)
    add_self_product(rows, matrix[row, row], -1.0)
