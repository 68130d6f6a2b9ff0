"""Matrix products for Numba kernels, made of register tiles: no call leaves the kernel, one row is no special case.

    C[i, j] += sum over k of A[i, k] B[k, j]

A tile of C, a few rows by a few packs, stays in registers while k runs. Every element of C is one chain of fused
multiply-adds in the order of k, cut into blocks of :data:`DEPTH`, whatever the tile: its bits depend neither on the
number of rows nor on their place, so a batch of rows gives exactly what its rows give one by one.

A matrix that many rows meet is first copied into panels (:func:`panels`), as wide as a tile: its rows then follow one
another in memory, instead of fighting for the same places of the cache. Panels are about equally wide, because a tile
of one pack takes as long as one of two: its few sums wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import llvmlite.ir as ir
import numpy as np
from numba.core import cgutils, types

from reservoir.jit import njit
from reservoir.simd.llvm_vectors import (
    PACK_BYTES,
    address_of,
    check_reach,
    compiled,
    intrinsic,
    is_array,
    llvm_float,
    masked_load,
    masked_store,
    prefix_mask,
    splat,
)
from reservoir.simd.vectors import ONE_PACK, aligned, at, greater, lesser, load_some, pack_size, put, store_some

# How the operands of a tile stand: A with its rows or its columns running through memory, B with or without memory
# behind its last column that may be read. A tile is compiled for each.
AS_THEY_STAND, PADDED, TRANSPOSED, TRANSPOSED_PADDED = (), (0,), (0,) * 2, (0,) * 3
MOST_ROWS, PANEL_PACKS = 8, 3  # of a tile: they fill 24 of 32 vector registers, and 4 hold the operands
DEPTH = 192  # terms of a sum between two visits to C: a panel of that length leaves room for A in a 48 KB cache
_NEAR = 640  # packs that stay in that cache while a product reads them again and again


# ------------------------------------------------------------------------------------------------ register tiles


def add_rows(form, a, a_start, a_stride, b, b_start, b_row, c, c_start, c_row, n_rows, depth, n_columns):
    """``c[i, j] += sum over k < depth of a[i, k] b[k, j]`` for ``n_rows`` rows i and ``n_columns`` columns j.

    ``form`` says where a[i, k] stands: at the flat position ``a_start + i a_stride + k``, or, if it is transposed, at
    ``a_start + i + k a_stride``. Other elements are at ``b_start + k b_row + j`` and ``c_start + i c_row + j``. There
    are 1 to three packs of columns; what is beyond the last one is neither read nor written, but for ``b`` where
    ``form`` says that it is padded. ``c`` must not overlap ``a`` or ``b``.
    """
    a, b, c = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    a_row, a_column = (1, a_stride) if form in (TRANSPOSED, TRANSPOSED_PADDED) else (a_stride, 1)
    i, j, k = np.arange(n_rows)[:, None], np.arange(n_columns), np.arange(depth)
    c[c_start + i * c_row + j] += a[a_start + i * a_row + k * a_column] @ b[b_start + k[:, None] * b_row + j]


def add_row(a, a_start, b, b_start, b_row, c, c_start, depth, n_columns):
    """:func:`add_rows` of one row, any number of columns wide: many sums hide each other's latency."""
    add_rows(AS_THEY_STAND, a, a_start, 0, b, b_start, b_row, c, c_start, 0, 1, depth, n_columns)


@compiled(add_rows, lambda form, a, *others: types.none if is_array(a) else None)
def _add_rows(context, builder, sig, args):
    numbers = [context.cast(builder, args[n], sig.args[n], types.intp) for n in (2, 3, 5, 6, 8, 9, 10, 11, 12)]
    *where, n_rows, depth, n_columns = numbers
    tiles = _Tiles(context, builder, len(sig.args[0]), *((sig.args[n], args[n]) for n in (1, 4, 7)), *where, depth)
    intp = depth.type
    n_eights = builder.sdiv(n_rows, intp(MOST_ROWS))
    with cgutils.for_range(builder, n_eights, intp=intp) as loop:
        tiles.add_strip(MOST_ROWS, builder.mul(loop.index, intp(MOST_ROWS)), n_columns)
    first = builder.mul(n_eights, intp(MOST_ROWS))
    four = builder.and_(n_rows, intp(4))
    with builder.if_then(builder.icmp_signed(">", four, intp(0))):
        tiles.add_strip(4, first, n_columns)
    first = builder.add(first, four)
    with cgutils.for_range(builder, builder.sub(n_rows, first), intp=intp) as loop:
        tiles.add_strip(1, builder.add(first, loop.index), n_columns)
    return context.get_dummy_value()


@compiled(add_row, lambda a, *others: types.none if is_array(a) else None)
def _add_row(context, builder, sig, args):
    a_start, b_start, b_row, c_start, depth, n_columns = (
        context.cast(builder, args[n], sig.args[n], types.intp) for n in (1, 3, 4, 6, 7, 8)
    )
    intp = depth.type
    where = a_start, intp(0), b_start, b_row, c_start, intp(0)
    arrays = ((sig.args[n], args[n]) for n in (0, 2, 5))
    tiles = _Tiles(context, builder, len(AS_THEY_STAND), *arrays, *where, depth)
    begin = intp(0)
    for n_packs in (8, 4):  # one pack less than that is taken as all of them
        width, left = intp(n_packs * tiles.pack), builder.sub(n_columns, begin)
        n_tiles = builder.sdiv(builder.add(left, intp(tiles.pack - 1)), width)
        with cgutils.for_range(builder, n_tiles, intp=intp) as loop:
            done = builder.mul(loop.index, width)
            rest = builder.sub(left, done)
            columns = builder.select(builder.icmp_signed("<", rest, width), rest, width)
            tiles.add(1, n_packs, intp(0), columns, builder.add(begin, done))
        begin = builder.add(begin, builder.mul(n_tiles, width))
    left = builder.sub(n_columns, begin)
    with builder.if_then(builder.icmp_signed(">", left, intp(0))):
        tiles.add_strip(1, intp(0), left, begin)
    return context.get_dummy_value()


class _Tiles:
    """Code for tiles of C, a few rows by a few packs, which stay in registers while k runs."""

    def __init__(self, context, builder, form, a, b, c, a_start, a_stride, b_start, b_row, c_start, c_row, depth):
        self.context, self.builder = context, builder
        self.a, self.b, self.c = a, b, c
        self.a_start, self.b_start, self.b_row, self.c_start, self.c_row = a_start, b_start, b_row, c_start, c_row
        self.depth, self.intp = depth, depth.type
        self.is_transposed = form in (len(TRANSPOSED), len(TRANSPOSED_PADDED))
        self.is_padded = form in (len(PADDED), len(TRANSPOSED_PADDED))
        self.a_row, self.a_column = (self.intp(1), a_stride) if self.is_transposed else (a_stride, self.intp(1))
        dtype = c[0].dtype
        self.item, self.pack = dtype.bitwidth // 8, PACK_BYTES * 8 // dtype.bitwidth
        self.vector = ir.VectorType(llvm_float(dtype), self.pack)

    def add_strip(self, n_rows, first, n_columns, column=None):
        """At most three packs of ``n_rows`` rows from ``first`` on, from this column on."""
        builder = self.builder
        is_wider = [builder.icmp_signed(">", n_columns, self.intp(n * self.pack)) for n in (1, 2)]
        with builder.if_else(is_wider[1]) as (three, fewer):
            with three:
                self.add(n_rows, 3, first, n_columns, column)
            with fewer, builder.if_else(is_wider[0]) as (two, one):
                with two:
                    self.add(n_rows, 2, first, n_columns, column)
                with one:
                    self.add(n_rows, 1, first, n_columns, column)

    def add(self, n_rows, n_packs, first, n_columns, column=None):
        """A tile, whose last column lies in the last of its packs."""
        builder, intp, vector = self.builder, self.intp, self.vector
        column = intp(0) if column is None else column
        last = prefix_mask(builder, builder.sub(n_columns, intp((n_packs - 1) * self.pack)), self.pack)

        def pack_of(row, number):
            return builder.bitcast(builder.gep(row, [intp(number * self.pack)]), vector.as_pointer())

        def read(row, number, is_whole=False):
            place = pack_of(row, number)
            if number == n_packs - 1 and not is_whole:
                return masked_load(builder, place, last)
            return builder.load(place, align=self.item)

        def place_of(start, first, row, column=None):
            position = builder.add(start, builder.mul(first, row))
            return position if column is None else builder.add(position, column)

        c_start = place_of(self.c_start, first, self.c_row, column)
        a_first = self._reach(
            self.a, place_of(self.a_start, first, self.a_row), self.a_row, self.a_column, intp(n_rows), self.depth
        )
        b_columns = intp(n_packs * self.pack) if self.is_padded else n_columns
        b_first = self._reach(self.b, builder.add(self.b_start, column), self.b_row, intp(1), self.depth, b_columns)
        c_first = self._reach(self.c, c_start, self.c_row, intp(1), intp(n_rows), n_columns)
        c_rows = [builder.gep(c_first, [builder.mul(self.c_row, intp(i))]) for i in range(n_rows)]
        a_rows = [builder.gep(a_first, [builder.mul(self.a_row, intp(i))]) for i in range(n_rows)]
        if not self.is_transposed:  # as unrelated pointers: else each is found from the one before, one long chain
            kind = ir.FunctionType(a_first.type, [a_first.type])
            a_rows = [builder.asm(kind, "", "=r,0", [row], False) for row in a_rows]
        tile = [[cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(n_packs)] for _ in a_rows]

        with cgutils.for_range(builder, self.depth, intp=intp) as loop:
            b_k = builder.gep(b_first, [builder.mul(loop.index, self.b_row)])
            right = [read(b_k, number, self.is_padded) for number in range(n_packs)]
            a_k = builder.mul(loop.index, self.a_column)
            for row, sums in zip(a_rows, tile, strict=True):
                left = splat(builder, builder.load(builder.gep(row, [a_k])), vector)
                for place, factor in zip(sums, right, strict=True):
                    builder.store(intrinsic(builder, "fma", [left, factor, builder.load(place)]), place)
        # All of C is read before any of it is written: a load waits for a masked store to its memory, even where the
        # mask is off, and there the next row may begin.
        results = [
            [builder.fadd(read(row, number), builder.load(place)) for number, place in enumerate(sums)]
            for row, sums in zip(c_rows, tile, strict=True)
        ]
        for row, values in zip(c_rows, results, strict=True):
            for number, value in enumerate(values):
                if number == n_packs - 1:
                    masked_store(builder, value, pack_of(row, number), last)
                else:
                    builder.store(value, pack_of(row, number), align=self.item)

    def _reach(self, array, start, row, column, n_rows, n_columns):
        """Pointer to an element of ``array``; bounds are those of the last one that is reached from there."""
        builder, one = self.builder, self.intp(1)
        end = builder.add(start, builder.mul(row, builder.sub(n_rows, one)))
        end = builder.add(end, builder.mul(column, builder.sub(n_columns, one)))
        check_reach(self.context, builder, *array, end, 1)
        return address_of(self.context, builder, *array, start, 1)


# ------------------------------------------------------------------------------------------------ products of arrays


def _begin_of_panel(number, n_columns, P):
    """First column of a panel; ``n_columns`` for the one behind the last. Packs of ``P`` are spread evenly."""
    n_packs = -(-n_columns // P)
    n_panels = -(-n_packs // PANEL_PACKS)
    return lesser(-(-number * n_packs // greater(n_panels, 1)) * P, n_columns)


begin_of_panel = njit(nogil=True, error_model="numpy")(_begin_of_panel)


@njit(is_shared=True, nogil=True, error_model="numpy", _nrt=False)
def add_product(a, a_row, a_column, b, c, c_row, c_column, n_rows, n_columns):
    """``C += A B`` for the blocks of ``a`` and ``c`` that begin at the given rows and columns.

    Parameters
    ----------
    a : (., .) C-contiguous, in; the block is (n_rows, K)
    b : (n_panels, K, width) C-contiguous, in; B (K, n_columns) in :func:`panels`, or (1, K, >= n_columns): B as it is
    c : (., .) C-contiguous, in and out, no alias of the others; the block is (n_rows, n_columns)
    """
    K, width = b.shape[1], b.shape[2]
    a_start, c_start = a_row * a.shape[1] + a_column, c_row * c.shape[1] + c_column
    for k in range(0, K, DEPTH):
        depth = lesser(DEPTH, K - k)
        if n_rows == 1 and b.shape[0] == 1:
            add_row(a, a_start + k, b, k * width, width, c, c_start, depth, n_columns)
            continue
        p, j, P = 0, 0, pack_size(c)
        while j < n_columns:
            end = begin_of_panel(p + 1, n_columns, P)
            left, there, columns = a_start + k, c_start + j, end - j
            if b.shape[0] == 1:
                start = k * width + j
                add_rows(
                    AS_THEY_STAND, a, left, a.shape[1], b, start, width, c, there, c.shape[1], n_rows, depth, columns
                )
            else:
                start = (p * K + k) * width
                add_rows(PADDED, a, left, a.shape[1], b, start, width, c, there, c.shape[1], n_rows, depth, columns)
            p, j = p + 1, end


@njit(is_shared=True, nogil=True, error_model="numpy", _nrt=False)
def add_transposed_product(a, a_row, a_column, b, b_row, b_column, c, c_start, n, M, N, panel):
    """``C += Aᵀ B``, a sum over ``n`` rows of both.

    B is read where it stands if few columns of A meet it, or if ``b`` stays in the nearest cache; else it is copied.
    If few of its columns are left over by whole packs they change places with A.

    Parameters
    ----------
    a : (., .) C-contiguous, in; the block (n, M) begins at ``a_row, a_column``
    b : (., .) C-contiguous, in; the block (n, N) begins at ``b_row, b_column``
    c : 1-D, in and out, no alias; C (M, N) stands C-contiguous from ``c_start`` on
    panel : (DEPTH * PANEL_PACKS * pack_size,), scratch
    """
    in_place = M <= MOST_ROWS or b.size <= _NEAR * pack_size(b)
    P = pack_size(c)
    width = PANEL_PACKS * P
    few = N % P if N % P <= P // 2 and P <= M and M * (N % P) <= panel.size else 0
    for k in range(0, n, DEPTH):
        depth = lesser(DEPTH, n - k)
        a_start, b_first = (a_row + k) * a.shape[1] + a_column, (b_row + k) * b.shape[1] + b_column
        p, j = 0, 0
        while j < N - few:
            end = begin_of_panel(p + 1, N - few, P)
            if in_place:
                _add_transposed_rows(
                    a, a_start, a.shape[1], b, b_first + j, b.shape[1], c, c_start + j, N, M, depth, end - j
                )
            else:
                _copy_rows(b, b_first + j, b.shape[1], panel, width, depth, end - j)
                add_rows(
                    TRANSPOSED_PADDED, a, a_start, a.shape[1], panel, 0, width, c, c_start + j, N, M, depth, end - j
                )
            p, j = p + 1, end
        if few > 0:
            _add_few_columns(a, a_start, b, b_first + N - few, c, c_start + N - few, N, M, depth, few, panel)


@njit(is_shared=True, nogil=True, error_model="numpy", _nrt=False)
def _add_transposed_rows(a, a_start, a_stride, b, b_start, b_row, c, c_start, c_row, n_rows, depth, n_columns):
    """:func:`add_rows` of :data:`TRANSPOSED` operands: its tiles are many, and their code is made once."""
    add_rows(TRANSPOSED, a, a_start, a_stride, b, b_start, b_row, c, c_start, c_row, n_rows, depth, n_columns)


@njit(nogil=True, error_model="numpy")
def _add_few_columns(a, a_start, b, b_start, c, c_start, N, M, depth, few, scratch):
    """The part of :func:`add_transposed_product` in the last few columns of C, which would leave a pack mostly empty.

    Its transpose, ``few`` rows of M columns, has full packs. The sums are the same.
    """
    for i in range(few * M):
        put(scratch, i, 0.0)
    p, i = 0, 0
    while i < M:
        end = begin_of_panel(p + 1, M, pack_size(c))
        _add_transposed_rows(b, b_start, b.shape[1], a, a_start + i, a.shape[1], scratch, i, M, few, depth, end - i)
        p, i = p + 1, end
    for i in range(M):
        for j in range(few):
            c[c_start + i * N + j] += at(scratch, j * M + i)


@njit(nogil=True, error_model="numpy")
def _copy_rows(b, b_start, b_row, panel, width, n_rows, n_columns):
    """The rows of ``b`` at the flat positions ``b_start + r b_row`` to those of ``panel``, ``width`` apart."""
    for r in range(n_rows):
        for j in range(0, n_columns, pack_size(b)):
            left = n_columns - j
            store_some(panel, r * width + j, load_some(b, ONE_PACK, b_start + r * b_row + j, left), left)


# ------------------------------------------------------------------------------------------------ panels


def panels(matrix, *, transpose=False, in_place=False, out=None):
    """Copy of a matrix, or of its transpose, in the form that :func:`add_product` takes as B.

    Parameters
    ----------
    matrix : (K, N) C-contiguous float64 or float32
    transpose : bool
        Whether B is ``matrix.T``.
    in_place : bool
        Whether B stays one block of rows, which suits a single row of A; without ``transpose`` nothing is copied.
    out : ndarray, optional
        What an earlier call with the same sizes returned, to be overwritten.

    Returns
    -------
    ndarray
        (n_panels, K, width), each panel's columns first and zeros behind them; or (1, K, N). For the transpose K and N
        change places.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.simd.tiles import panels
    >>> panels(np.ones((5, 30))).shape
    (2, 5, 24)
    """
    if in_place and not transpose:
        return matrix[None]
    K, N = matrix.shape[::-1] if transpose else matrix.shape
    if out is None:
        width = N if in_place else PANEL_PACKS * PACK_BYTES // matrix.itemsize
        out = aligned((-(-N // max(width, 1)), K, width), matrix.dtype)
    for part, columns in panel_parts(matrix.T if transpose else matrix, out):
        part[:] = columns
    return out


def panel_parts(matrix: np.ndarray, out: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The panels of ``out`` without their padding, each beside its columns of ``matrix``, all as views."""
    N, P = matrix.shape[1], pack_size(out)
    edges = [_begin_of_panel(p, N, P) for p in range(len(out) + 1)] if len(out) > 1 else [0, N]
    for panel, (first, end) in zip(out, pairwise(edges), strict=False):
        yield panel[:, : end - first], matrix[:, first:end]
