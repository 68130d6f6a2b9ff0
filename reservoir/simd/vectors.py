"""Short vectors inside Numba kernels: one vocabulary with two meanings.

Compiled, a vector is an LLVM vector held in registers; with the JIT switched off the same functions act on small
NumPy arrays, so a kernel written in this vocabulary runs, and can be read, either way. Arithmetic is IEEE with no
fast-math flag and an explicit ``fma``: every processor computes the same bits. The plain meaning rounds a fused
multiply-add twice and agrees to 1e-13 relative.

A vector has ``len(packs)`` packs of 64 bytes: 8 float64 or 16 float32 numbers each. ``packs`` is a tuple such as
:data:`ONE_PACK`; its length is part of its type, so the compiled kernels of every width are found again in Numba's
disk cache. Arrays are C-contiguous and are addressed by flat positions, which must not be negative; nothing is
checked unless NUMBA_BOUNDSCHECK is set.
"""

from __future__ import annotations

import math
import operator

import llvmlite.ir as ir
import numpy as np
from numba.core import cgutils, types

from reservoir.simd.llvm_vectors import (
    PACK_BYTES,
    Vector,
    address_of,
    check_reach,
    compiled,
    intrinsic,
    is_array,
    is_float_array,
    last_position,
    llvm_float,
    llvm_vector,
    masked_load,
    masked_store,
    prefix_mask,
    same_vectors,
    splat,
    vector_from_array,
)

ONE_PACK = (0,)
TWO_PACKS = (0, 0)
# A number whose last place is 1, and whose last bits are the exponent of 1.
ROUNDING = {"float64": 1.5 * 2.0**52 + 1023, "float32": 1.5 * 2.0**23 + 127}


def aligned(shape, dtype):
    """Zeros that begin on a pack boundary: a vector load that straddles two cache lines costs twice as much."""
    n_bytes = math.prod(shape if isinstance(shape, tuple) else (shape,)) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + PACK_BYTES, np.uint8)
    memory.fill(0)  # writes the pages at once, which is several times cheaper than a kernel's touching them
    start = -memory.ctypes.data % PACK_BYTES
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def pad(n, dtype):
    """Smallest multiple of two packs of ``dtype`` that holds ``n`` numbers."""
    step = 2 * PACK_BYTES // np.dtype(dtype).itemsize
    return -(-n // step) * step


# ---------------------------------------------------------------- the plain meaning (JIT switched off)


def pack_size(a):
    """Numbers in one pack of the element type of array or vector ``a``: 8 (float64) or 16 (float32)."""
    return PACK_BYTES // a.dtype.itemsize


def full(a, packs, value):
    """Vector of the element type of array ``a`` with ``value`` in every place."""
    return np.full(len(packs) * pack_size(a), value, a.dtype)


def like(v, value):
    """Vector of the type of vector ``v`` with ``value`` in every place."""
    return np.full_like(v, value)


def load(a, packs, position):
    """Vector of the consecutive elements of ``a`` from ``position`` on."""
    return a.reshape(-1)[position : position + len(packs) * pack_size(a)].copy()


def spread(a, packs, position):
    """Vector with the element of ``a`` at ``position`` in every place."""
    return full(a, packs, a.reshape(-1)[position])


def gather(a, packs, base, indices, position):
    """Vector of the elements of ``a`` at ``base`` plus the int32 ``indices`` >= 0 that stand from ``position`` on."""
    return a.reshape(-1)[base + indices[position : position + len(packs) * pack_size(a)]]


def load_some(a, packs, position, count):
    """Vector of the ``count`` elements of ``a`` from ``position`` on, 0 in its other places."""
    v = full(a, packs, 0.0)
    count = min(count, v.size)
    v[:count] = a.reshape(-1)[position : position + count]
    return v


def store_some(a, position, v, count):
    """Write the first ``count`` elements of ``v``, or all if it has fewer, to ``a`` from ``position`` on."""
    count = min(count, v.size)
    a.reshape(-1)[position : position + count] = v[:count]


def store(a, position, v):
    """Write ``v`` to consecutive elements of ``a`` from ``position`` on; float32 may go into a float64 array."""
    a.reshape(-1)[position : position + v.size] = v


def at(a, position):
    """Element of ``a`` at the flat ``position``."""
    return a.reshape(-1)[position]


def put(a, position, value):
    """Write ``value`` to the element of ``a`` at the flat ``position``."""
    a.reshape(-1)[position] = value


def lesser(a, b):
    """The built-in ``min`` of two numbers, which Numba makes a kernel of its own, for every pair of types."""
    return min(a, b)


def greater(a, b):
    """The built-in ``max`` of two numbers, likewise."""
    return max(a, b)


def fma(a, b, c):
    """``a * b + c``, rounded once when compiled; vectors or scalars."""
    return a * b + c


def magnitude(v):
    """Absolute value of each element."""
    return np.abs(v)


def with_sign(v, sign):
    """Magnitude of ``v`` with the sign of ``sign``, by element."""
    return np.copysign(v, sign)


def at_least(v, low):
    """``low`` where ``v < low``, else ``v``; NaN stays NaN."""
    return np.where(v < low, low, v)


def where_negative(v, a, b):
    """``a`` where ``v < 0``, else ``b``."""
    return np.where(v < 0, a, b)


def times_or_zero(v, factor):
    """``v * factor``, and exactly 0 where ``factor`` is 0, whatever ``v`` is there."""
    with np.errstate(invalid="ignore"):  # infinity times 0, which is not taken
        return np.where(factor == 0, v.dtype.type(0), v * factor)


def power_of_two(t):
    """2**k for ``t = k + ROUNDING[dtype]``, the sum that rounds to an integer k: its last bits are 2**k's exponent."""
    if t.dtype == np.float64:
        return (t.view(np.uint64) << np.uint64(52)).view(np.float64)
    return (t.view(np.uint32) << np.uint32(23)).view(np.float32)


def polynomial(r, coefficients):
    """Horner's rule: ``coefficients`` from the highest power down."""
    p = like(r, coefficients[0])
    for c in coefficients[1:]:
        p = fma(p, r, like(r, c))
    return p


def side_by_side(a, b):
    """Vector of the elements of ``a``, then those of ``b``."""
    return np.concatenate([a, b])


def total(v):
    """Sum of a one-pack vector: halves are added until one number is left."""
    while v.size > 1:
        v = v[: v.size // 2] + v[v.size // 2 :]
    return v[0]


def is_double(v):
    """True if the elements of array or vector ``v`` are float64."""
    return v.dtype == np.float64


# ---------------------------------------------------------------- the compiled meaning


@compiled(pack_size, lambda a: types.intp)
def _pack_size(context, builder, sig, args):
    return context.get_constant(types.intp, PACK_BYTES * 8 // sig.args[0].dtype.bitwidth)


@compiled(is_double, lambda v: types.boolean)
def _is_double(context, builder, sig, args):
    return context.get_constant(types.boolean, sig.args[0].dtype == types.float64)


@compiled(full, vector_from_array)
def _full(context, builder, sig, args):
    scalar = context.cast(builder, args[2], sig.args[2], types.float64)
    return splat(builder, scalar, llvm_vector(sig.return_type))


@compiled(like, lambda v, value: v if isinstance(v, Vector) else None)
def _like(context, builder, sig, args):
    scalar = context.cast(builder, args[1], sig.args[1], types.float64)
    return splat(builder, scalar, llvm_vector(sig.return_type))


@compiled(load, vector_from_array)
def _load(context, builder, sig, args):
    vector = llvm_vector(sig.return_type)
    position = context.cast(builder, args[2], sig.args[2], types.intp)
    address = address_of(context, builder, sig.args[0], args[0], position, vector.count)
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=sig.return_type.dtype.bitwidth // 8)


@compiled(spread, vector_from_array)
def _spread(context, builder, sig, args):
    position = context.cast(builder, args[2], sig.args[2], types.intp)
    address = address_of(context, builder, sig.args[0], args[0], position, 1)
    return splat(builder, builder.load(address), llvm_vector(sig.return_type))


@compiled(load_some, vector_from_array)
def _load_some(context, builder, sig, args):
    vector = llvm_vector(sig.return_type)
    position, count = (context.cast(builder, args[n], sig.args[n], types.intp) for n in (2, 3))
    address = address_of(context, builder, sig.args[0], args[0], position, 1)
    check_reach(context, builder, sig.args[0], args[0], last_position(builder, position, count, vector.count), 1)
    mask = prefix_mask(builder, count, vector.count)
    return masked_load(builder, builder.bitcast(address, vector.as_pointer()), mask)


@compiled(gather, vector_from_array)
def _gather(context, builder, sig, args):
    """One load an element, and one for the indices of two, of which the first is the low half.

    The processor's own gather takes two to four times as long where it is guarded against Downfall (2023).
    """
    vector, int64 = llvm_vector(sig.return_type), ir.IntType(64)
    position = context.cast(builder, args[4], sig.args[4], types.intp)
    start = address_of(context, builder, sig.args[3], args[3], position, vector.count)
    pairs = builder.bitcast(start, int64.as_pointer())
    base = context.cast(builder, args[2], sig.args[2], types.intp)
    found = ir.Constant(vector, ir.Undefined)
    for k in range(vector.count):
        if k % 2 == 0:
            pair = builder.load(builder.gep(pairs, [int64(k // 2)]), align=4)
            index = builder.and_(pair, int64(0xFFFFFFFF))
        else:
            index = builder.lshr(pair, int64(32))
        place = address_of(context, builder, sig.args[0], args[0], builder.add(base, index), 1)
        found = builder.insert_element(found, builder.load(place), ir.IntType(32)(k))
    return found


@compiled(store, lambda a, i, v: types.none if is_float_array(a) and isinstance(v, Vector) else None)
def _store(context, builder, sig, args):
    vector = ir.VectorType(llvm_float(sig.args[0].dtype), sig.args[2].size)
    value = args[2] if args[2].type == vector else builder.fpext(args[2], vector)
    position = context.cast(builder, args[1], sig.args[1], types.intp)
    address = address_of(context, builder, sig.args[0], args[0], position, vector.count)
    builder.store(value, builder.bitcast(address, vector.as_pointer()), align=sig.args[0].dtype.bitwidth // 8)
    return context.get_dummy_value()


@compiled(at, lambda a, i: a.dtype if is_array(a) else None)
def _at(context, builder, sig, args):
    position = context.cast(builder, args[1], sig.args[1], types.intp)
    return context.unpack_value(
        builder, sig.args[0].dtype, address_of(context, builder, sig.args[0], args[0], position, 1)
    )


@compiled(put, lambda a, i, value: types.none if is_array(a) else None)
def _put(context, builder, sig, args):
    position = context.cast(builder, args[1], sig.args[1], types.intp)
    value = context.cast(builder, args[2], sig.args[2], sig.args[0].dtype)
    builder.store(value, address_of(context, builder, sig.args[0], args[0], position, 1))
    return context.get_dummy_value()


def _store_some_type(a, position, v, count):
    return types.none if is_float_array(a) and isinstance(v, Vector) and v.dtype == a.dtype else None


@compiled(store_some, _store_some_type)
def _store_some(context, builder, sig, args):
    position, count = (context.cast(builder, args[n], sig.args[n], types.intp) for n in (1, 3))
    address = address_of(context, builder, sig.args[0], args[0], position, 1)
    check_reach(context, builder, sig.args[0], args[0], last_position(builder, position, count, sig.args[2].size), 1)
    mask = prefix_mask(builder, count, sig.args[2].size)
    masked_store(builder, args[2], builder.bitcast(address, args[2].type.as_pointer()), mask)
    return context.get_dummy_value()


def _fma_type(a, b, c):
    if a in (types.float64, types.float32) and a == b == c:
        return a
    return same_vectors(a, b, c)


@compiled(fma, _fma_type)
def _fma(context, builder, sig, args):
    return intrinsic(builder, "fma", args)


def _common_type(a, b):
    if all(isinstance(number, types.Integer) for number in (a, b)):
        return types.intp
    if all(number in (types.float64, types.float32) for number in (a, b)):
        return a if a == b else types.float64
    return None


def _comparison(function, sign):
    @compiled(function, _common_type)
    def _choose(context, builder, sig, args):
        kind = sig.return_type
        a, b = (context.cast(builder, arg, came, kind) for arg, came in zip(args, sig.args, strict=True))
        compare = builder.icmp_signed if kind == types.intp else builder.fcmp_ordered
        return builder.select(compare(sign, b, a), b, a)


_comparison(lesser, "<")
_comparison(greater, ">")


@compiled(magnitude, same_vectors)
def _magnitude(context, builder, sig, args):
    return intrinsic(builder, "fabs", args)


@compiled(with_sign, same_vectors)
def _with_sign(context, builder, sig, args):
    return intrinsic(builder, "copysign", args)


@compiled(at_least, same_vectors)
def _at_least(context, builder, sig, args):
    return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[1], args[0])


@compiled(where_negative, same_vectors)
def _where_negative(context, builder, sig, args):
    zero = ir.Constant(args[0].type, None)
    return builder.select(builder.fcmp_ordered("<", args[0], zero), args[1], args[2])


@compiled(times_or_zero, same_vectors)
def _times_or_zero(context, builder, sig, args):
    zero = ir.Constant(args[0].type, None)
    return builder.select(builder.fcmp_ordered("==", args[1], zero), zero, builder.fmul(*args))


@compiled(power_of_two, same_vectors)
def _power_of_two(context, builder, sig, args):
    bits, mantissa = (64, 52) if sig.return_type.dtype == types.float64 else (32, 23)
    integers = ir.VectorType(ir.IntType(bits), sig.return_type.size)
    shift = ir.Constant(integers, [mantissa] * integers.count)
    return builder.bitcast(builder.shl(builder.bitcast(args[0], integers), shift), args[0].type)


@compiled(polynomial, lambda r, coefficients: r if isinstance(r, Vector) else None)
def _polynomial(context, builder, sig, args):
    vector = args[0].type
    coefficients = cgutils.unpack_tuple(builder, args[1])
    p = splat(builder, coefficients[0], vector)
    for c in coefficients[1:]:
        p = intrinsic(builder, "fma", [p, args[0], splat(builder, c, vector)])
    return p


def _twice(a, b):
    return None if same_vectors(a, b) is None else Vector(a.dtype, 2 * a.size)


@compiled(side_by_side, _twice)
def _side_by_side(context, builder, sig, args):
    places = ir.Constant(ir.VectorType(ir.IntType(32), sig.return_type.size), list(range(sig.return_type.size)))
    return builder.shuffle_vector(*args, places)


@compiled(total, lambda v: v.dtype if isinstance(v, Vector) else None)
def _total(context, builder, sig, args):
    v = args[0]
    while v.type.count > 1:
        half = v.type.count // 2
        undefined = ir.Constant(v.type, ir.Undefined)
        mask = ir.VectorType(ir.IntType(32), half)
        low = builder.shuffle_vector(v, undefined, ir.Constant(mask, list(range(half))))
        high = builder.shuffle_vector(v, undefined, ir.Constant(mask, list(range(half, 2 * half))))
        v = builder.fadd(low, high)
    return builder.extract_element(v, ir.IntType(32)(0))


def _operator(function, instruction):
    @compiled(function, same_vectors, Vector, Vector)
    def _generate(context, builder, sig, args):
        return getattr(builder, instruction)(*args)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_function, _instruction)
