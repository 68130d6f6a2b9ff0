"""What concerns a cell's parameters, for all of time at once: the same for every cell.

    z  = bias + x W                            the input's share, before the forward pass
    rz = sum over maps of source V             what a direction V adds, before the R-forward pass
    dW = sourceᵀ dz                            the gradient, after the backward pass
    dx = dz Wᵀ                                 by the input, for a layer below

Rows are those of ``cells.passes``. The rows of z and those of a source stand side by side in *spans*, (n_spans, 3): first
row of the source, first row of z, number of rows. Sources that belong to the step itself have one span; states before
the step have a new one wherever sequences have ended.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from reservoir.tiles import add_product, add_transposed_product
from reservoir.vectors import ONE_PACK, fma, load_some, pack_size, spread, store_some

# Rows of A that stay in the second-level cache while all panels of B pass by.
_BLOCK = 96


@njit(cache=True, nogil=True, error_model="numpy")
def begin_planes(z):
    """Set ``z`` to zero."""
    for r in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[r, j] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def add_bias(bias, z, column):
    """``z[:, column :] += bias`` (width,)."""
    for r in range(z.shape[0]):
        for j in range(bias.size):
            z[r, column + j] += bias[j]


@njit(cache=True, nogil=True, error_model="numpy")
def add_map(source, source_column, spans, matrix, z, column, width):
    """``z[:, column : column + width] += source W``; ``matrix`` is W (K, width) as ``reservoir.tiles.panels`` has it."""
    for k in range(spans.shape[0]):
        for r in range(0, spans[k, 2], _BLOCK):
            n = min(_BLOCK, spans[k, 2] - r)
            add_product(source, spans[k, 0] + r, source_column, matrix, z, spans[k, 1] + r, column, n, width)


@njit(cache=True, nogil=True, error_model="numpy")
def add_chosen_rows(index, matrix, z, column):
    """``z[r, column :] += matrix[index[r]]``: the product with one-hot rows; ``matrix`` (K, width)."""
    width = matrix.shape[1]
    for r in range(index.size):
        for j in range(width):
            z[r, column + j] += matrix[index[r], j]


@njit(cache=True, nogil=True, error_model="numpy")
def add_diagonal(source, source_column, spans, weights, z, column):
    """``z[:, column :] += source * weights`` by element; ``weights`` (width,)."""
    for k in range(spans.shape[0]):
        for r in range(spans[k, 2]):
            for j in range(weights.size):
                z[spans[k, 1] + r, column + j] += source[spans[k, 0] + r, source_column + j] * weights[j]


@njit(cache=True, nogil=True, error_model="numpy")
def add_map_gradient(source, source_column, spans, dz, column, width, gradient, start, K, panel):
    """``gradient[start :]``, read as (K, width), ``+= sourceᵀ dz``; ``panel`` is scratch for the tiles."""
    for k in range(spans.shape[0]):
        add_transposed_product(
            *(source, spans[k, 0], source_column, dz, spans[k, 1], column),
            *(gradient, start, spans[k, 2], K, width, panel),
        )


@njit(cache=True, nogil=True, error_model="numpy")
def add_chosen_rows_gradient(index, dz, column, width, gradient, start):
    """``gradient[start :]``, read as (K, width), gets ``dz[r]`` added to its row ``index[r]``."""
    for r in range(index.size):
        row = start + index[r] * width
        for j in range(width):
            gradient[row + j] += dz[r, column + j]


@njit(cache=True, nogil=True, error_model="numpy")
def add_diagonal_gradient(source, source_column, spans, dz, column, gradient, start, width):
    """``gradient[start : start + width] += `` the sum over rows of ``source * dz``."""
    for k in range(spans.shape[0]):
        for r in range(spans[k, 2]):
            for j in range(width):
                gradient[start + j] += source[spans[k, 0] + r, source_column + j] * dz[spans[k, 1] + r, column + j]


@njit(cache=True, nogil=True, error_model="numpy")
def add_bias_gradient(dz, column, width, gradient, start):
    """``gradient[start : start + width] +=`` the sum of the rows of ``dz[:, column :]``."""
    P = pack_size(dz)
    for j in range(0, width, P):
        total = load_some(gradient, ONE_PACK, start + j, width - j)
        for r in range(dz.shape[0]):
            total = total + load_some(dz, ONE_PACK, r * dz.shape[1] + column + j, width - j)
        store_some(gradient, start + j, total, width - j)
