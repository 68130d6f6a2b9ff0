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

import operator

import llvmlite.ir as ir
import numpy as np
from numba.core import cgutils, config, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

PACK_BYTES = 64
ONE_PACK = (0,)
TWO_PACKS = (0, 0)


def aligned(shape, dtype):
    """Zeros that begin on a pack boundary: a vector load that straddles two cache lines costs twice as much."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
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
    """Vector of the elements of ``a`` at ``base`` plus the int32 ``indices`` that stand from ``position`` on."""
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
    return np.where(factor == 0, v.dtype.type(0), v * factor)


def power_of_two(t):
    """2**k for ``t = k + 1.5 * 2**m``, the sum that rounds to an integer k (m = 52, or 23 in float32)."""
    if t.dtype == np.float64:
        return ((t.view(np.uint64) << np.uint64(52)) + np.uint64(1023 << 52)).view(np.float64)
    return ((t.view(np.uint32) << np.uint32(23)) + np.uint32(127 << 23)).view(np.float32)


def polynomial(r, coefficients):
    """Horner's rule: ``coefficients`` from the highest power down."""
    p = like(r, coefficients[0])
    for c in coefficients[1:]:
        p = fma(p, r, like(r, c))
    return p


def total(v):
    """Sum of a one-pack vector: halves are added until one number is left."""
    while v.size > 1:
        v = v[: v.size // 2] + v[v.size // 2 :]
    return v[0]


def is_double(v):
    """True if the elements of array or vector ``v`` are float64."""
    return v.dtype == np.float64


# ---------------------------------------------------------------- the compiled meaning


class Vector(types.Type):
    """Numba type of a vector of ``size`` elements of type ``dtype``."""

    def __init__(self, dtype, size):
        self.dtype = dtype
        self.size = size
        super().__init__(name=f"Vector({dtype} x {size})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _llvm_vector(fe_type))


def _llvm_float(dtype):
    return ir.DoubleType() if dtype == types.float64 else ir.FloatType()


def _llvm_vector(ty):
    return ir.VectorType(_llvm_float(ty.dtype), ty.size)


def _vector_of(dtype, packs):
    return Vector(dtype, len(packs) * PACK_BYTES * 8 // dtype.bitwidth)


def _compiled(function, typer, *lowered):
    """Decorator: the decorated code generator is what ``function`` compiles to where ``typer`` accepts its types."""

    @infer_global(function)
    class Template(AbstractTemplate):
        key = function

        def generic(self, args, kws):
            result = typer(*args)
            return None if result is None else signature(result, *args)

    def register(generate):
        lower_builtin(function, *(lowered or (types.VarArg(types.Any),)))(generate)
        return generate

    return register


def _splat(builder, scalar, vector):
    """LLVM vector of type ``vector`` holding ``scalar``, converted to its element type, in every place."""
    if scalar.type != vector.element:
        convert = builder.fptrunc if isinstance(vector.element, ir.FloatType) else builder.fpext
        scalar = convert(scalar, vector.element)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


def _address(context, builder, array_type, array, position, count):
    """Pointer to the element at a flat ``position``; NUMBA_BOUNDSCHECK makes sure of ``count`` elements from there."""
    fields = context.make_array(array_type)(context, builder, array)
    if config.BOUNDSCHECK:
        end = builder.add(position, position.type(count))
        outside = builder.or_(
            builder.icmp_signed("<", position, position.type(0)), builder.icmp_signed(">", end, fields.nitems)
        )
        with cgutils.if_unlikely(builder, outside):
            context.call_conv.return_user_exc(builder, IndexError, ("a vector reaches outside its array",))
    return builder.gep(fields.data, [position])


def _intrinsic(builder, name, arguments):
    """Call of the LLVM intrinsic ``name`` overloaded on the type of its ``arguments``."""
    kind = arguments[0].type
    scalar = "f64" if isinstance(getattr(kind, "element", kind), ir.DoubleType) else "f32"
    suffix = f"v{kind.count}{scalar}" if isinstance(kind, ir.VectorType) else scalar
    function_type = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}"), arguments
    )


def _array(a):
    return isinstance(a, types.Array)


def _float_array(a):
    return _array(a) and a.dtype in (types.float64, types.float32)


def _vector_from_array(a, packs, *_):
    return _vector_of(a.dtype, packs) if _float_array(a) else None


def _same_vectors(*args):
    return args[0] if isinstance(args[0], Vector) and len(set(args)) == 1 else None


@_compiled(pack_size, lambda a: types.intp)
def _pack_size(context, builder, sig, args):
    return context.get_constant(types.intp, PACK_BYTES * 8 // sig.args[0].dtype.bitwidth)


@_compiled(is_double, lambda v: types.boolean)
def _is_double(context, builder, sig, args):
    return context.get_constant(types.boolean, sig.args[0].dtype == types.float64)


@_compiled(full, _vector_from_array)
def _full(context, builder, sig, args):
    scalar = context.cast(builder, args[2], sig.args[2], types.float64)
    return _splat(builder, scalar, _llvm_vector(sig.return_type))


@_compiled(like, lambda v, value: v if isinstance(v, Vector) else None)
def _like(context, builder, sig, args):
    scalar = context.cast(builder, args[1], sig.args[1], types.float64)
    return _splat(builder, scalar, _llvm_vector(sig.return_type))


@_compiled(load, _vector_from_array)
def _load(context, builder, sig, args):
    vector = _llvm_vector(sig.return_type)
    position = context.cast(builder, args[2], sig.args[2], types.intp)
    address = _address(context, builder, sig.args[0], args[0], position, vector.count)
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=sig.return_type.dtype.bitwidth // 8)


@_compiled(spread, _vector_from_array)
def _spread(context, builder, sig, args):
    position = context.cast(builder, args[2], sig.args[2], types.intp)
    address = _address(context, builder, sig.args[0], args[0], position, 1)
    return _splat(builder, builder.load(address), _llvm_vector(sig.return_type))


def _prefix(builder, count, size):
    """LLVM mask of ``size`` places, the first ``count`` of them true."""
    int32 = ir.IntType(32)
    vector = ir.VectorType(int32, size)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, builder.trunc(count, int32), int32(0))
    counts = builder.shuffle_vector(first, undefined, ir.Constant(vector, None))
    return builder.icmp_signed("<", ir.Constant(vector, list(range(size))), counts)


def _masked_load(builder, place, mask):
    """Vector at the vector pointer ``place``; zeros, and no access, where ``mask`` is false."""
    vector, align = place.type.pointee, ir.IntType(32)(_item(place))
    function_type = ir.FunctionType(vector, [place.type, align.type, mask.type, vector])
    name = f"llvm.masked.load.v{vector.count}f{8 * align.constant}.p0"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, [place, align, mask, ir.Constant(vector, None)])


def _masked_store(builder, value, place, mask):
    """Write ``value`` to the vector pointer ``place`` where ``mask`` is true."""
    align = ir.IntType(32)(_item(place))
    function_type = ir.FunctionType(ir.VoidType(), [value.type, place.type, align.type, mask.type])
    name = f"llvm.masked.store.v{value.type.count}f{8 * align.constant}.p0"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    builder.call(function, [value, place, align, mask])


def _item(place):
    """Bytes of an element of the vector at ``place``."""
    return 8 if isinstance(place.type.pointee.element, ir.DoubleType) else 4


@_compiled(load_some, _vector_from_array)
def _load_some(context, builder, sig, args):
    vector = _llvm_vector(sig.return_type)
    position, count = (context.cast(builder, args[n], sig.args[n], types.intp) for n in (2, 3))
    address = _address(context, builder, sig.args[0], args[0], position, 1)
    _address(context, builder, sig.args[0], args[0], _last(builder, position, count, vector.count), 1)
    mask = _prefix(builder, count, vector.count)
    return _masked_load(builder, builder.bitcast(address, vector.as_pointer()), mask)


def _last(builder, position, count, size):
    """Position of the last of ``count``, at most ``size``, elements from ``position`` on."""
    fewer = builder.icmp_signed("<", count, count.type(size))
    return builder.sub(builder.add(position, builder.select(fewer, count, count.type(size))), count.type(1))


class _Addresses(ir.instructions.GEPInstr):
    """Vector of the addresses of the elements numbered by a vector of indices, which llvmlite's own builder lacks."""

    def __init__(self, block, base, indices):
        super().__init__(block, base, [indices], inbounds=True, name="", source_etype=base.type.pointee)
        self.type = ir.VectorType(base.type, indices.type.count)


@_compiled(gather, _vector_from_array)
def _gather(context, builder, sig, args):
    vector = _llvm_vector(sig.return_type)
    position = context.cast(builder, args[4], sig.args[4], types.intp)
    start = _address(context, builder, sig.args[3], args[3], position, vector.count)
    index_vector = ir.VectorType(ir.IntType(32), vector.count)
    indices = builder.load(builder.bitcast(start, index_vector.as_pointer()), align=4)
    fields = context.make_array(sig.args[0])(context, builder, args[0])
    mask = ir.Constant(ir.VectorType(ir.IntType(1), vector.count), [1] * vector.count)
    base = context.cast(builder, args[2], sig.args[2], types.intp)
    for k in range(vector.count if config.BOUNDSCHECK else 0):
        index = builder.sext(builder.extract_element(indices, ir.IntType(32)(k)), base.type)
        _address(context, builder, sig.args[0], args[0], builder.add(base, index), 1)
    pointers = _Addresses(builder.block, builder.gep(fields.data, [base]), indices)
    builder._insert(pointers)
    kind = f"v{vector.count}f{sig.return_type.dtype.bitwidth}"
    function_type = ir.FunctionType(vector, [pointers.type, mask.type, vector])
    function = cgutils.get_or_insert_function(
        builder.module, function_type, f"llvm.masked.gather.{kind}.v{vector.count}p0"
    )
    return builder.call(function, [pointers, mask, ir.Constant(vector, ir.Undefined)])


@_compiled(store, lambda a, i, v: types.none if _float_array(a) and isinstance(v, Vector) else None)
def _store(context, builder, sig, args):
    vector = ir.VectorType(_llvm_float(sig.args[0].dtype), sig.args[2].size)
    value = args[2] if args[2].type == vector else builder.fpext(args[2], vector)
    position = context.cast(builder, args[1], sig.args[1], types.intp)
    address = _address(context, builder, sig.args[0], args[0], position, vector.count)
    builder.store(value, builder.bitcast(address, vector.as_pointer()), align=sig.args[0].dtype.bitwidth // 8)
    return context.get_dummy_value()


@_compiled(at, lambda a, i: a.dtype if _array(a) else None)
def _at(context, builder, sig, args):
    position = context.cast(builder, args[1], sig.args[1], types.intp)
    return context.unpack_value(
        builder, sig.args[0].dtype, _address(context, builder, sig.args[0], args[0], position, 1)
    )


@_compiled(put, lambda a, i, value: types.none if _array(a) else None)
def _put(context, builder, sig, args):
    position = context.cast(builder, args[1], sig.args[1], types.intp)
    value = context.cast(builder, args[2], sig.args[2], sig.args[0].dtype)
    builder.store(value, _address(context, builder, sig.args[0], args[0], position, 1))
    return context.get_dummy_value()


def _store_some_type(a, position, v, count):
    return types.none if _float_array(a) and isinstance(v, Vector) and v.dtype == a.dtype else None


@_compiled(store_some, _store_some_type)
def _store_some(context, builder, sig, args):
    position, count = (context.cast(builder, args[n], sig.args[n], types.intp) for n in (1, 3))
    address = _address(context, builder, sig.args[0], args[0], position, 1)
    _address(context, builder, sig.args[0], args[0], _last(builder, position, count, sig.args[2].size), 1)
    mask = _prefix(builder, count, sig.args[2].size)
    _masked_store(builder, args[2], builder.bitcast(address, args[2].type.as_pointer()), mask)
    return context.get_dummy_value()


def _fma_type(a, b, c):
    if a in (types.float64, types.float32) and a == b == c:
        return a
    return _same_vectors(a, b, c)


@_compiled(fma, _fma_type)
def _fma(context, builder, sig, args):
    return _intrinsic(builder, "fma", args)


@_compiled(magnitude, _same_vectors)
def _magnitude(context, builder, sig, args):
    return _intrinsic(builder, "fabs", args)


@_compiled(with_sign, _same_vectors)
def _with_sign(context, builder, sig, args):
    return _intrinsic(builder, "copysign", args)


@_compiled(at_least, _same_vectors)
def _at_least(context, builder, sig, args):
    return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[1], args[0])


@_compiled(where_negative, _same_vectors)
def _where_negative(context, builder, sig, args):
    zero = ir.Constant(args[0].type, None)
    return builder.select(builder.fcmp_ordered("<", args[0], zero), args[1], args[2])


@_compiled(times_or_zero, _same_vectors)
def _times_or_zero(context, builder, sig, args):
    zero = ir.Constant(args[0].type, None)
    return builder.select(builder.fcmp_ordered("==", args[1], zero), zero, builder.fmul(*args))


@_compiled(power_of_two, _same_vectors)
def _power_of_two(context, builder, sig, args):
    bits, mantissa, bias = (64, 52, 1023) if sig.return_type.dtype == types.float64 else (32, 23, 127)
    integers = ir.VectorType(ir.IntType(bits), sig.return_type.size)
    shift = ir.Constant(integers, [mantissa] * integers.count)
    exponent_of_one = ir.Constant(integers, [bias << mantissa] * integers.count)
    raised = builder.add(builder.shl(builder.bitcast(args[0], integers), shift), exponent_of_one)
    return builder.bitcast(raised, args[0].type)


@_compiled(polynomial, lambda r, coefficients: r if isinstance(r, Vector) else None)
def _polynomial(context, builder, sig, args):
    vector = args[0].type
    coefficients = cgutils.unpack_tuple(builder, args[1])
    p = _splat(builder, coefficients[0], vector)
    for c in coefficients[1:]:
        p = _intrinsic(builder, "fma", [p, args[0], _splat(builder, c, vector)])
    return p


@_compiled(total, lambda v: v.dtype if isinstance(v, Vector) else None)
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
    @_compiled(function, _same_vectors, Vector, Vector)
    def _generate(context, builder, sig, args):
        return getattr(builder, instruction)(*args)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_function, _instruction)
