"""Sums of products of rows with each other, for Numba kernels: the Gram matrix of a few hundred rows, no call made.

    total[i, j] += sum over k of rows[i, k] rows[j, k],    j <= i

Three rows meet eight in a register tile: each of their 24 sums is a pack of partial sums, every eighth term in one, and
eight packs become one by adding neighbours at the end. An element's chain depends on the columns only, never on where
its tile lies, and is cut into blocks of :data:`DEPTH` columns, eight rows of which fit the first-level cache.
"""

from __future__ import annotations

import llvmlite.ir as ir
from numba.core import cgutils, types

from reservoir.drive.arguments import Plan
from reservoir.drive.kernels import drive_lanes
from reservoir.jit import njit
from reservoir.simd.llvm_vectors import (
    PACK_BYTES,
    address_of,
    check_reach,
    compiled,
    intrinsic,
    is_array,
    masked_load,
    masked_store,
    prefix_mask,
)
from reservoir.simd.vectors import lesser

ONE_ROW, TWO_ROWS, THREE_ROWS = (0,), (0,) * 2, (0,) * 3
WIDTH = PACK_BYTES // 8  # float64 only: sums of products are kept in double precision
DEPTH = 384


def add_triangle_tile(few, rows, row, i, j, m, begin, depth, total):
    """``total[i + p, j + q] += sum over k of rows[i + p, k] rows[j + q, k]`` where ``j + q <= i + p``.

    Here p < ``len(few)``, q < :data:`WIDTH` and ``begin <= k < begin + depth``; what else ``total`` holds is neither
    read nor written.

    Parameters
    ----------
    few : tuple as long as the number of rows p, which all exist
    rows : (m, row) float64 C-contiguous, in
    i, j : int
        First rows of the tile, j <= i. Rows q from m on are read as the last one, and their sums go nowhere.
    begin, depth : int
        0 <= begin, 1 <= depth, begin + depth <= row.
    total : (m, m) float64 C-contiguous, in and out, no alias of ``rows``
    """
    columns = slice(begin, begin + depth)
    for p in range(i, i + len(few)):
        last = min(p + 1, j + WIDTH)
        total[p, j:last] += rows[j:last, columns] @ rows[p, columns]


def _is_double(array):
    return is_array(array) and array.dtype == types.float64


@compiled(add_triangle_tile, lambda few, rows, *others: types.none if _is_double(rows) else None)
def _add_triangle_tile(context, builder, sig, args):
    n_few = len(sig.args[0])
    vector = ir.VectorType(ir.DoubleType(), WIDTH)
    row, i, j, m, begin, depth = (context.cast(builder, args[n], sig.args[n], types.intp) for n in range(2, 8))
    intp = row.type

    def start_of(number):  # the bounds of a row are those of its last element
        start = builder.add(builder.mul(number, row), begin)
        check_reach(context, builder, sig.args[1], args[1], builder.add(start, builder.sub(depth, intp(1))), 1)
        return address_of(context, builder, sig.args[1], args[1], start, 1)

    def clipped(number):  # rows that do not exist are read as the last one; their sums go nowhere
        last = builder.sub(m, intp(1))
        return builder.select(builder.icmp_signed("<", number, last), number, last)

    left = [start_of(builder.add(i, intp(p))) for p in range(n_few)]
    right = [start_of(clipped(builder.add(j, intp(q)))) for q in range(WIDTH)]
    zero = ir.Constant(vector, None)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in right] for _ in left]

    def add_pack(k, read):
        factors = [read(builder.bitcast(builder.gep(start, [k]), vector.as_pointer())) for start in left]
        for q, start in enumerate(right):
            factor = read(builder.bitcast(builder.gep(start, [k]), vector.as_pointer()))
            for p in range(n_few):
                place = sums[p][q]
                builder.store(intrinsic(builder, "fma", [factors[p], factor, builder.load(place)]), place)

    n_packs = builder.sdiv(depth, intp(WIDTH))
    with cgutils.for_range(builder, n_packs, intp=intp) as loop:
        add_pack(builder.mul(loop.index, intp(WIDTH)), lambda place: builder.load(place, align=8))
    whole = builder.mul(n_packs, intp(WIDTH))
    rest = builder.sub(depth, whole)
    with cgutils.if_unlikely(builder, builder.icmp_signed(">", rest, intp(0))):
        mask = prefix_mask(builder, rest, WIDTH)
        add_pack(whole, lambda place: masked_load(builder, place, mask))
    for p in range(n_few):
        number = builder.add(i, intp(p))
        count = builder.add(builder.sub(number, j), intp(1))
        end = builder.select(builder.icmp_signed("<", count, intp(WIDTH)), count, intp(WIDTH))
        position = builder.add(builder.mul(number, m), j)
        check_reach(context, builder, sig.args[8], args[8], builder.add(position, builder.sub(end, intp(1))), 1)
        place = builder.bitcast(address_of(context, builder, sig.args[8], args[8], position, 1), vector.as_pointer())
        mask = prefix_mask(builder, end, WIDTH)
        found = _sums_of_each(builder, [builder.load(place_of_sum) for place_of_sum in sums[p]])
        masked_store(builder, builder.fadd(masked_load(builder, place, mask), found), place, mask)
    return context.get_dummy_value()


def _sums_of_each(builder, vectors):
    """Vector whose element q is the sum of all elements of ``vectors[q]``: neighbours are added, then pairs, then all.

    ``group`` neighbouring places hold what belongs to as many vectors.
    """
    group = 1
    while len(vectors) > 1:
        starts = range(0, WIDTH, 2 * group)
        low = [first + s + g for s in starts for first in (0, WIDTH) for g in range(group)]
        halves = [ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [k + d for k in low]) for d in (0, group)]
        vectors = [
            builder.fadd(*(builder.shuffle_vector(a, b, half) for half in halves))
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        group *= 2
    return vectors[0]


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def add_self_product_in_tiles(rows, n_columns, total):
    """Lower triangle of ``total += Z Zᵀ`` for the first ``n_columns`` columns Z of ``rows``.

    Parameters
    ----------
    rows : (m, >= n_columns) float64 C-contiguous, in
    n_columns : int >= 0
    total : (m, m) float64 C-contiguous, in and out, no alias; what is above the diagonal is neither read nor written
    """
    m, row = rows.shape
    for begin in range(0, n_columns, DEPTH):
        depth = lesser(DEPTH, n_columns - begin)
        for j in range(0, m, WIDTH):
            i = j
            while i + 3 <= m:
                add_triangle_tile(THREE_ROWS, rows, row, i, j, m, begin, depth, total)
                i += 3
            if i + 2 == m:
                add_triangle_tile(TWO_ROWS, rows, row, i, j, m, begin, depth, total)
            elif i + 1 == m:
                add_triangle_tile(ONE_ROW, rows, row, i, j, m, begin, depth, total)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def drive_into_sum(
    packs, graph, units, scales, activation, tanh, data, plan, readout, noise, work, sinks, size, column, total
):  # fmt: skip
    """Drive lanes as :func:`reservoir.drive.kernels.drive_lanes` does; each block of steps is added up while in the
    caches.

    Parameters
    ----------
    plan : Plan
        Here ``column`` counts the steps that count for some lane, from any multiple of ``size`` on.
    noise : (S, N, B), or of size 0
    size : int >= 1
        Steps of a block that count for some lane; their B columns each have room in ``sinks.tile``.
    column : (S,) int64, scratch
    total : (m, m) float64
        As in :func:`add_self_product_in_tiles`, m the rows of ``sinks.tile``.

    Returns
    -------
    int
        Columns whose constant row, the square root of the weight, is not zero.
    """
    S, B = plan.kept.shape
    constant = sinks.tile.shape[0] - 1 - data.targets.shape[1]
    n_rows, first, n_counted = 0, 0, 0
    for s in range(S):
        column[s] = -1
        if plan.column[s] >= 0:
            column[s] = n_counted * B
            n_counted += 1
        if n_counted == size or s == S - 1:
            part = slice(first, s + 1)
            block = Plan(plan.row[part], plan.start[part], plan.record[part], plan.kept[part], column[part])
            its_noise = noise[part] if noise.size > 0 else noise
            drive_lanes(packs, graph, units, scales, activation, tanh, data, block, readout, its_noise, work, sinks)
            for k in range(n_counted * B):
                n_rows += sinks.tile[constant, k] != 0.0
            add_self_product_in_tiles(sinks.tile, n_counted * B, total)
            first, n_counted = s + 1, 0
    return n_rows
