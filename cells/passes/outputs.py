"""The linear readout of a network: outputs, gradients and derivatives by the features, for many rows at once.

    y = f W + b            dW = fᵀ dy            db = sum of dy            df = dy Wᵀ

W (F, O) comes in the form that suits its width: ``columns``, its transpose (O, >= F) padded with zeros to whole packs,
if O is at most ``cells.passes.feed.FEW``, else panels of ``reservoir.simd.tiles``. The other form is empty and not
read. Features (., F) are rows from ``first`` on, outputs and what has their name (n, O), ``gradient`` (P,) is theta's;
all are C-contiguous, of one precision, and none overlaps another.
"""

from __future__ import annotations

from cells.passes.feed import FEW, begin_with_feed
from cells.passes.products import BLOCK, add_bias, add_bias_gradient, begin_planes
from reservoir.jit import njit
from reservoir.simd.subnormals import flush_subnormals, restore_mode
from reservoir.simd.tiles import add_product, add_transposed_product
from reservoir.simd.vectors import ONE_PACK, fma, full, lesser, load, load_some, pack_size, spread, store, total

# Rows that stay in the nearest cache while one loop after the other takes them.
_STRIP = 8


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def read_out(features, first, weights, columns, bias, outputs):
    """``outputs = features W + bias``, of the rows of ``features`` from ``first`` on."""
    begin_planes(outputs)
    add_bias(bias, outputs, 0)
    add_read_out(features, first, weights, columns, outputs)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_read_out(features, first, weights, columns, outputs):
    """``outputs += features W``, of the rows of ``features`` from ``first`` on."""
    n, O = outputs.shape
    if O > FEW:
        for r in range(0, n, BLOCK):
            add_product(features, first + r, 0, weights, outputs, r, 0, lesser(BLOCK, n - r), O)
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
def add_readout_gradient(features, first, doutputs, gradient, start, dcolumns, panel):
    """Add the gradient by W and by the bias to ``gradient`` from ``start`` on.

    ``dcolumns`` is scratch of the shape of ``columns``, ``panel`` that of the tiles.
    """
    mode = flush_subnormals()
    n, O = doutputs.shape
    F, padded, P = features.shape[1], dcolumns.shape[1], pack_size(doutputs)
    add_bias_gradient(doutputs, 0, O, gradient, start + F * O)
    if O > FEW:
        add_transposed_product(features, first, 0, doutputs, 0, 0, gradient, start, n, F, O, panel)
        restore_mode(mode)
        return
    begin_planes(dcolumns)
    for strip in range(0, n, _STRIP):
        for j in range(0, F, P):
            for o in range(O):
                sums = load(dcolumns, ONE_PACK, o * padded + j)
                for r in range(strip, lesser(strip + _STRIP, n)):
                    feature = load_some(features, ONE_PACK, (first + r) * F + j, F - j)
                    sums = fma(spread(doutputs, ONE_PACK, r * O + o), feature, sums)
                store(dcolumns, o * padded + j, sums)
    for j in range(F):
        for o in range(O):
            gradient[start + j * O + o] += dcolumns[o, j]
    restore_mode(mode)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def read_back(feed, doutputs, weights_back, dfeatures):
    """``dfeatures = doutputs Wᵀ``; from a ``feed`` of ``columns`` that begins at these rows, or panels of Wᵀ."""
    mode = flush_subnormals()
    n, F = dfeatures.shape
    if feed.matrix.size > 0:
        begin_with_feed(feed, 0, dfeatures, 0, n)
    else:
        begin_planes(dfeatures)
        for r in range(0, n, BLOCK):
            add_product(doutputs, r, 0, weights_back, dfeatures, r, 0, lesser(BLOCK, n - r), F)
    restore_mode(mode)
