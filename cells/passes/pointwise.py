"""Words for the element-wise part of a cell's step: vectors that stand in some columns of a row.

``take(a, row, column, j, H)`` is the vector of ``a[row, column + j : column + H]``, as many elements as fit a
register; ``give`` writes one there. A loop over ``j`` in steps of :func:`reservoir.simd.vectors.pack_size` covers a
plane.
"""

from __future__ import annotations

from reservoir.jit import njit
from reservoir.simd.vectors import ONE_PACK, load_some, store_some


@njit(nogil=True, error_model="numpy")
def take(a, row, column, j, H):
    """Vector of ``a[row, column + j : column + H]``, zeros beyond."""
    return load_some(a, ONE_PACK, row * a.shape[1] + column + j, H - j)


@njit(nogil=True, error_model="numpy")
def give(a, row, column, j, H, v):
    """Write ``v`` to ``a[row, column + j : column + H]``."""
    store_some(a, row * a.shape[1] + column + j, v, H - j)


@njit(nogil=True, error_model="numpy")
def with_added(dz, d, row, column, j, H):
    """``dz`` plus what structural damping adds to this plane."""
    if d.added.size > 0:
        return dz + take(d.added, row, column, j, H)
    return dz


@njit(nogil=True, error_model="numpy")
def clear(a, n):
    """Zero the first ``n`` rows of ``a``."""
    for i in range(n):
        for j in range(a.shape[1]):
            a[i, j] = 0.0
