"""Few columns times a matrix, row by row where a step needs them: what they give never leaves the nearest cache.

    z(t) = bias + x(t) W                         before a forward step, of a few inputs
    dh(t) = dh(t) + dy(t) W_outᵀ                 before a backward step, of the derivatives by a few outputs

Register tiles would be mostly empty here, and a pass of its own would write to memory what the step reads back. The
kernels that call these stand in other files, because every pass is fed alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from reservoir.jit import njit
from reservoir.simd.vectors import ONE_PACK, aligned, fma, full, load, load_some, pack_size, spread, store_some

# Columns up to which this pays.
FEW = 4


class Feed(NamedTuple):
    """Rows (., K) and the matrix that they meet, K at most :data:`FEW`.

    A matrix without rows means to a pass that nothing is fed, and to :func:`begin_with_feed` that biases are all.
    """

    source: np.ndarray  # (., K)
    first: int  # its row that belongs to row 0 of the batch, or of the stretch that is filled
    matrix: np.ndarray  # (K, width), whole packs, zeros behind the last column
    bias: np.ndarray  # (width,) likewise


def no_feed(dtype: Any) -> Feed:
    """A feed of nothing."""
    return Feed(np.empty((0, 0), dtype), 0, np.empty((0, 0), dtype), np.empty(0, dtype))


def room_for(K: int, n_columns: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and bias of a feed, all zeros."""
    P = pack_size(np.empty(0, dtype))
    both = aligned((K + 1, -(-n_columns // P) * P), dtype)
    return both[:K], both[K]


@njit(nogil=True, error_model="numpy")
def _share(feed, row, j, like):
    """A pack of ``source[first + row] matrix``, from column ``j`` on."""
    K, width = feed.matrix.shape
    start, share = (feed.first + row) * K, full(like, ONE_PACK, 0.0)
    for k in range(K):
        share = fma(spread(feed.source, ONE_PACK, start + k), load(feed.matrix, ONE_PACK, k * width + j), share)
    return share


@njit(nogil=True, error_model="numpy")
def begin_with_feed(feed, row, z, first, n):
    """``z[first : first + n] = bias + source matrix``, of the feed's rows from ``row`` on; z (., Z) C-contiguous."""
    width, P = z.shape[1], pack_size(z)
    for i in range(n):
        for j in range(0, width, P):
            total = load(feed.bias, ONE_PACK, j) + _share(feed, row + i, j, z)
            store_some(z, (first + i) * width + j, total, width - j)


@njit(nogil=True, error_model="numpy")
def add_feed(feed, row, d, n):
    """``d[:n] += source matrix``, of the feed's rows from ``row`` on; d (., H) C-contiguous."""
    width, P = d.shape[1], pack_size(d)
    for i in range(n):
        for j in range(0, width, P):
            place, left = i * width + j, width - j
            store_some(d, place, load_some(d, ONE_PACK, place, left) + _share(feed, row + i, j, d), left)
