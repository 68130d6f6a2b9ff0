"""The transpose of a matrix, made block by block in the registers.

Panels (``reservoir.simd.tiles``) pay when many rows meet them. A few rows read a matrix as it stands, and where they
need its transpose, this is how it is made.
"""

from __future__ import annotations

import llvmlite.ir as ir
import numpy as np
from numba.core import types

from reservoir.jit import njit
from reservoir.simd.llvm_vectors import (
    PACK_BYTES,
    address_of,
    check_reach,
    compiled,
    is_array,
    llvm_float,
    masked_load,
    masked_store,
    prefix_mask,
)
from reservoir.simd.vectors import aligned, lesser, pack_size


def transpose_block(a, a_start, a_row, b, b_start, b_row, n_rows, n_columns):
    """``b[j, i] = a[i, j]`` for a block of at most one pack of rows i and of columns j.

    Elements stand at the flat positions ``a_start + i a_row + j`` and ``b_start + j b_row + i``.
    """
    a, b = a.reshape(-1), b.reshape(-1)
    i, j = np.arange(n_rows)[:, None], np.arange(n_columns)
    b[b_start + j * b_row + i] = a[a_start + i * a_row + j]


@compiled(transpose_block, lambda a, *others: types.none if is_array(a) else None)
def _transpose_block(context, builder, sig, args):
    dtype = sig.args[0].dtype
    size = PACK_BYTES * 8 // dtype.bitwidth
    vector = ir.VectorType(llvm_float(dtype), size)
    numbers = [context.cast(builder, args[n], sig.args[n], types.intp) for n in (1, 2, 4, 5, 6, 7)]
    a_start, a_row, b_start, b_row, n_rows, n_columns = numbers
    intp = n_rows.type

    def reach(array, start, row, n_rows, n_columns):
        end = builder.add(builder.mul(row, builder.sub(n_rows, intp(1))), builder.sub(n_columns, intp(1)))
        check_reach(context, builder, sig.args[array], args[array], builder.add(start, end), 1)
        return address_of(context, builder, sig.args[array], args[array], start, 1)

    def pack_of(first, row, number):
        place = builder.gep(first, [builder.mul(row, intp(number))])
        return builder.bitcast(place, vector.as_pointer())

    def within(number, n, count):
        """Mask of ``count`` places, none if ``number`` is not less than ``n``."""
        there = builder.icmp_signed("<", intp(number), n)
        return prefix_mask(builder, builder.select(there, count, intp(0)), size)

    a_first, b_first = reach(0, a_start, a_row, n_rows, n_columns), reach(3, b_start, b_row, n_columns, n_rows)
    rows = [masked_load(builder, pack_of(a_first, a_row, i), within(i, n_rows, n_columns)) for i in range(size)]
    # Row i and row i + size / 2 are interleaved; after log2(size) rounds all rows are columns.
    half = size // 2
    places = [[(first + k // 2) + size * (k % 2) for k in range(size)] for first in (0, half)]
    masks = [ir.Constant(ir.VectorType(ir.IntType(32), size), place) for place in places]
    for _ in range(size.bit_length() - 1):
        pairs = zip(rows[:half], rows[half:], strict=True)
        rows = [builder.shuffle_vector(low, high, mask) for low, high in pairs for mask in masks]
    for j, column in enumerate(rows):
        masked_store(builder, column, pack_of(b_first, b_row, j), within(j, n_columns, n_rows))
    return context.get_dummy_value()


def transposed(matrix):
    """The transpose of a matrix as it stands: B for :func:`reservoir.simd.tiles.add_product` where few rows meet it.

    Parameters
    ----------
    matrix : (K, N) array, C-contiguous

    Returns
    -------
    ndarray
        (1, N, K) with K rounded up to whole packs, so that every row begins on one; zeros behind the last column.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.simd.transpose import transposed
    >>> transposed(np.ones((5, 30))).shape
    (1, 30, 8)
    """
    K, N = matrix.shape
    P = pack_size(matrix)
    out = aligned((1, N, -(-K // P) * P), matrix.dtype)
    fill_transpose(matrix, out[0])
    return out


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def fill_transpose(matrix, out):
    """``out[:, :M] = matrix.T``, ``matrix`` (M, N); both C-contiguous, no alias."""
    M, N = matrix.shape
    P, width = pack_size(matrix), out.shape[1]
    for j in range(0, N, P):
        for i in range(0, M, P):
            transpose_block(matrix, i * N + j, N, out, j * width + i, width, lesser(P, M - i), lesser(P, N - j))
