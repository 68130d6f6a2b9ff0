"""What concerns a cell's parameters, for all of time at once: the same for every cell.

    z  = bias + x W                            the input's share, before the forward pass
    rz = sum over maps of source V             what a direction V adds, before the R-forward pass
    dW = sourceᵀ dz                            the gradient, after the backward pass
    dx = dz Wᵀ                                 by the input, for a layer below

Rows are those of ``cells.passes``. The rows of z and those of a source stand side by side in *spans*, (n_spans, 3):
first row of the source, first row of z, number of rows. Sources that belong to the step itself have one span; states
before the step have a new one wherever sequences have ended.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from reservoir.subnormals import flush_subnormals, restore_mode
from reservoir.tiles import add_product, add_transposed_product
from reservoir.vectors import ONE_PACK, fma, full, load, load_some, pack_size, spread, store, store_some, total

# Rows of A that stay in the second-level cache while all panels of B pass by.
_BLOCK = 96
# Inputs, and outputs, up to which register tiles would be mostly empty: such products are made row by row.
FEW = 4
# Rows that stay in the nearest cache while one loop after the other takes them.
_STRIP = 8


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
    """``z[:, column : column + width] += source W``; ``matrix`` is W as ``reservoir.tiles.panels`` has it."""
    mode = flush_subnormals()
    for k in range(spans.shape[0]):
        for r in range(0, spans[k, 2], _BLOCK):
            n = min(_BLOCK, spans[k, 2] - r)
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
            for r in range(first, min(first + 8, dz.shape[0])):
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


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def fill_planes(maps, theta, x, index, tape, spans, z, with_input, with_all):
    """Set ``z`` to the biases and what maps of chosen rows add; ``theta`` may be a direction.

    ``with_input`` adds the other maps of the input too, with their matrices read as they stand in ``theta``;
    ``with_all`` adds those of all sources likewise.
    """
    R = z.shape[0]
    last = z[max(0, R - 1) :]
    begin_planes(last)
    for m in range(maps.shape[0]):  # biases first, here and where panels are read: the same sums, the same bits
        form, _, _, _, column, width, start = maps[m]
        if form == _BIAS:
            add_bias(theta[start : start + width], last, column)
    for first in range(0, R, _STRIP):
        end = min(first + _STRIP, R)
        for r in range(first, min(end, R - 1)):
            for j in range(z.shape[1]):
                z[r, j] = z[R - 1, j]
        for m in range(maps.shape[0]):
            form, source, source_column, K, column, width, start = maps[m]
            if form == _DENSE and source == _INPUT and with_input and index.size == 0 and K <= FEW:
                _add_few_columns(x, spans.x[0, 0], source_column, K, theta, start, z, first, end, column, width)
    for m in range(maps.shape[0]):
        form, source, source_column, K, column, width, start = maps[m]
        if form == _BIAS:
            continue
        if source == _INPUT and index.size > 0:
            add_chosen_rows(index, theta[start : start + K * width].reshape((K, width)), z, column)
        elif form == _DENSE and source == _INPUT and with_input and K <= FEW:
            continue
        elif with_all or (with_input and source == _INPUT):
            array, at = _source(source, x, tape, spans)
            if form == _DENSE:
                matrix = theta[start : start + K * width].reshape((1, K, width))
                add_map(array, source_column, at, matrix, z, column, width)
            else:
                add_diagonal(array, source_column, at, theta[start : start + width], z, column)


@njit(nogil=True, error_model="numpy", _nrt=False)
def _add_few_columns(x, x_first, x_column, K, theta, start, z, first, end, column, width):
    """Rows ``first`` to ``end`` of z += x W, x the ``K`` columns from ``x_column`` of the rows from ``x_first`` on."""
    P = pack_size(z)
    for r in range(first, end):
        here = (x_first + r) * x.shape[1] + x_column
        for j in range(0, width, P):
            left, place = width - j, r * z.shape[1] + column + j
            share = full(z, ONE_PACK, 0.0)
            for k in range(K):
                w = load_some(theta, ONE_PACK, start + k * width + j, left)
                share = fma(spread(x, ONE_PACK, here + k), w, share)
            store_some(z, place, load_some(z, ONE_PACK, place, left) + share, left)


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


# ------------------------------------------------------------------------------------------------ the readout


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def read_out(features, first, weights, columns, bias, outputs):
    """``outputs = features W + bias``, of the rows of ``features`` from ``first`` on; W as in :func:`add_read_out`."""
    begin_planes(outputs)
    add_bias(bias, outputs, 0)
    add_read_out(features, first, weights, columns, outputs)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_read_out(features, first, weights, columns, outputs):
    """``outputs += features W``, of the rows of ``features`` from ``first`` on.

    W (F, O) comes as ``columns``, its transpose (O, >= F) padded with zeros to whole packs, if O <= :data:`FEW`, else
    as ``weights``, as ``reservoir.tiles.panels`` has it; the other one is not read.
    """
    n, O = outputs.shape
    if O > FEW:
        for r in range(0, n, _BLOCK):
            add_product(features, first + r, 0, weights, outputs, r, 0, min(_BLOCK, n - r), O)
        return
    F, padded, P = features.shape[1], columns.shape[1], pack_size(outputs)
    for r in range(n):
        for o in range(O):
            sums = full(outputs, ONE_PACK, 0.0)
            for j in range(0, F, P):
                feature = load_some(features, ONE_PACK, (first + r) * F + j, F - j)
                sums = fma(feature, load(columns, ONE_PACK, o * padded + j), sums)
            outputs[r, o] += total(sums)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def read_out_backward(features, first, outputs, weights_back, columns, gradient, start, dfeatures, dcolumns, panel):
    """Add W's and the bias's gradient from ``start`` on, and write ``dfeatures``, given those by the outputs.

    W as in :func:`add_read_out`, but ``weights_back`` holds the panels of its transpose; ``dcolumns`` is scratch of the
    shape of ``columns``.
    """
    mode = flush_subnormals()
    n, O = outputs.shape
    F, padded, P = dfeatures.shape[1], columns.shape[1], pack_size(outputs)
    add_bias_gradient(outputs, 0, O, gradient, start + F * O)
    if O > FEW:
        add_transposed_product(features, first, 0, outputs, 0, 0, gradient, start, n, F, O, panel)
        for r in range(0, n, _BLOCK):
            rows = min(_BLOCK, n - r)
            begin_planes(dfeatures[r : r + rows])
            add_product(outputs, r, 0, weights_back, dfeatures, r, 0, rows, F)
        restore_mode(mode)
        return
    begin_planes(dcolumns)
    for strip in range(0, n, _STRIP):
        end = min(strip + _STRIP, n)
        for j in range(0, F, P):
            left = F - j
            for o in range(O):
                sums = load(dcolumns, ONE_PACK, o * padded + j)
                for r in range(strip, end):
                    feature = load_some(features, ONE_PACK, (first + r) * F + j, left)
                    sums = fma(spread(outputs, ONE_PACK, r * O + o), feature, sums)
                store(dcolumns, o * padded + j, sums)
            for r in range(strip, end):
                dfeature = full(outputs, ONE_PACK, 0.0)
                for o in range(O):
                    w = load(columns, ONE_PACK, o * padded + j)
                    dfeature = fma(spread(outputs, ONE_PACK, r * O + o), w, dfeature)
                store_some(dfeatures, r * F + j, dfeature, left)
    for j in range(F):
        for o in range(O):
            gradient[start + j * O + o] += dcolumns[o, j]
    restore_mode(mode)
