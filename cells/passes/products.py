"""What concerns a cell's parameters, for all of time at once: the same for every cell.

    z  = bias + x W                            the input's share, before the forward pass (``cells.passes.feed`` if few)
    rz = sum over maps of source V             what a direction V adds, before the R-forward pass
    dW = sourceᵀ dz                            the gradient, after the backward pass
    dx = dz Wᵀ                                 by the input, for a layer below

Rows are those of ``cells.passes.time_loops``. The rows of z and those of a source stand side by side in *spans*,
(n_spans, 3): first row of the source, first row of z, number of rows. Sources that belong to the step itself have one
span; states before the step have a new one wherever sequences have ended.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cells.passes.feed import begin_with_feed
from reservoir.jit import njit
from reservoir.simd.subnormals import flush_subnormals, restore_mode
from reservoir.simd.tiles import add_product, add_transposed_product
from reservoir.simd.vectors import ONE_PACK, lesser, load_some, pack_size, store_some

# Rows of A that stay in the second-level cache while all panels of B pass by.
BLOCK = 96


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def begin_planes(z):
    """Set ``z`` to zero."""
    for r in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[r, j] = 0.0


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_bias(bias, z, column):
    """``z[:, column :] += bias`` (width,)."""
    for r in range(z.shape[0]):
        for j in range(bias.size):
            z[r, column + j] += bias[j]


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_map(source, source_column, spans, matrix, z, column, width):
    """``z[:, column : column + width] += source W``; ``matrix`` is W as ``reservoir.simd.tiles.panels`` has it."""
    mode = flush_subnormals()
    for k in range(spans.shape[0]):
        for r in range(0, spans[k, 2], BLOCK):
            n = lesser(BLOCK, spans[k, 2] - r)
            add_product(source, spans[k, 0] + r, source_column, matrix, z, spans[k, 1] + r, column, n, width)
    restore_mode(mode)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_chosen_rows(index, matrix, z, column):
    """``z[r, column :] += matrix[index[r]]``: the product with one-hot rows; ``matrix`` (K, width)."""
    width = matrix.shape[1]
    for r in range(index.size):
        for j in range(width):
            z[r, column + j] += matrix[index[r], j]


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_diagonal(source, source_column, spans, weights, z, column):
    """``z[:, column :] += source * weights`` by element; ``weights`` (width,)."""
    for k in range(spans.shape[0]):
        for r in range(spans[k, 2]):
            for j in range(weights.size):
                z[spans[k, 1] + r, column + j] += source[spans[k, 0] + r, source_column + j] * weights[j]


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_map_gradient(source, source_column, spans, dz, column, width, gradient, start, K, panel):
    """``gradient[start :]``, read as (K, width), ``+= sourceᵀ dz``; ``panel`` is scratch for the tiles."""
    for k in range(spans.shape[0]):
        add_transposed_product(
            *(source, spans[k, 0], source_column, dz, spans[k, 1], column),
            *(gradient, start, spans[k, 2], K, width, panel),
        )


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_chosen_rows_gradient(index, dz, column, width, gradient, start):
    """``gradient[start :]``, read as (K, width), gets ``dz[r]`` added to its row ``index[r]``."""
    for r in range(index.size):
        row = start + index[r] * width
        for j in range(width):
            gradient[row + j] += dz[r, column + j]


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_diagonal_gradient(source, source_column, spans, dz, column, gradient, start, width):
    """``gradient[start : start + width] += `` the sum over rows of ``source * dz``."""
    for k in range(spans.shape[0]):
        for r in range(spans[k, 2]):
            for j in range(width):
                gradient[start + j] += source[spans[k, 0] + r, source_column + j] * dz[spans[k, 1] + r, column + j]


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_bias_gradient(dz, column, width, gradient, start):
    """``gradient[start : start + width] +=`` the sum of the rows of ``dz[:, column :]``."""
    P = pack_size(dz)
    for first in range(0, dz.shape[0], 8):  # few rows at a time: they are read from the nearest cache but once
        for j in range(0, width, P):
            total = load_some(gradient, ONE_PACK, start + j, width - j)
            for r in range(first, lesser(first + 8, dz.shape[0])):
                total = total + load_some(dz, ONE_PACK, r * dz.shape[1] + column + j, width - j)
            store_some(gradient, start + j, total, width - j)


# ------------------------------------------------------------------------------------------------ all maps of a cell

# A cell's maps as rows of integers: form, source, source_column, K, column, width, start in theta.
FORMS = {"dense": 0, "diagonal": 1, "bias": 2}
SOURCES = {"x": 0, "h": 1, "c": 2, "c_now": 3, "e": 4, "e_before": 5, "": 6}
_DENSE, _DIAGONAL, _BIAS, _INPUT = 0, 1, 2, 0


class Spans(NamedTuple):
    """The spans of the kinds of sources."""

    x: np.ndarray
    now: np.ndarray
    after: np.ndarray
    before: np.ndarray
    step_before: np.ndarray


@njit(nogil=True, error_model="numpy", _nrt=False)
def _source(source, x, tape, spans):
    """Array and spans of a source of this number."""
    if source == 1:
        return tape.h, spans.before
    if source == 2:
        return tape.c, spans.before
    if source == 3:
        return tape.c, spans.after
    if source == 4:
        return tape.e, spans.now
    if source == 5:
        return tape.e, spans.step_before
    return x, spans.x


def copies_to_feed(maps: np.ndarray, theta: np.ndarray, matrix: np.ndarray, bias: np.ndarray) -> list[tuple]:
    """Calls that fill matrix and bias of a feed: with the input's maps, unless ``matrix`` has no rows, and the biases.

    Each is a function and its arguments. Where two maps meet, the second is added.
    """
    copies, taken = [], np.zeros((len(matrix) + 1, bias.size), bool)
    for form, source, row, K, column, width, start in maps.tolist():
        columns = slice(column, column + width)
        if form == _BIAS:
            there, place, part = taken[-1, columns], bias[columns], theta[start : start + width]
        elif form == _DENSE and source == _INPUT and len(matrix) > 0:
            rows = slice(row, row + K)
            there, place = taken[rows, columns], matrix[rows, columns]
            part = theta[start : start + K * width].reshape(K, width)
        else:
            continue
        copies.append((np.add, place, part, place) if there.any() else (np.copyto, place, part))
        there[:] = True
    return copies


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def fill_planes(maps, theta, feed, x, index, tape, spans, z, with_input, with_all):
    """Set ``z`` to the biases, what maps of chosen rows add, and what is fed; ``theta`` may be a direction.

    ``feed`` has the biases, and unless its matrix has no rows the input's maps, for the row of x that row 0 of z needs.
    If it has no rows, ``with_input`` adds the input's other maps too, with their matrices read as they stand in
    ``theta``. ``with_all`` adds those of all other sources likewise.
    """
    is_fed = feed.matrix.size > 0
    begin_with_feed(feed, 0, z, 0, z.shape[0])
    for m in range(maps.shape[0]):
        form, source, source_column, K, column, width, start = maps[m]
        if form == _BIAS or (is_fed and source == _INPUT):
            continue
        if source == _INPUT and index.size > 0:
            add_chosen_rows(index, theta[start : start + K * width].reshape((K, width)), z, column)
        elif with_all or (with_input and source == _INPUT):
            array, at = _source(source, x, tape, spans)
            if form == _DENSE:
                matrix = theta[start : start + K * width].reshape((1, K, width))
                add_map(array, source_column, at, matrix, z, column, width)
            else:
                add_diagonal(array, source_column, at, theta[start : start + width], z, column)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_gradients(maps, x, index, tape, spans, dz, gradient, first, panel):
    """Add sourceᵀ dz of every map to ``gradient[first :]``, which has the places of theta."""
    mode = flush_subnormals()
    for m in range(maps.shape[0]):
        form, source, source_column, K, column, width, place = maps[m]
        start = first + place
        if form == _BIAS:
            add_bias_gradient(dz, column, width, gradient, start)
        elif source == _INPUT and index.size > 0:
            add_chosen_rows_gradient(index, dz, column, width, gradient, start)
        else:
            array, at = _source(source, x, tape, spans)
            if form == _DENSE:
                add_map_gradient(array, source_column, at, dz, column, width, gradient, start, K, panel)
            else:
                add_diagonal_gradient(array, source_column, at, dz, column, gradient, start, width)
    restore_mode(mode)
