"""Vectors as LLVM has them: their Numba type, and what code generators are made of.

``reservoir.simd.vectors`` and ``reservoir.simd.tiles`` are written with these; kernels use only what those two offer.
"""

from __future__ import annotations

import llvmlite.ir as ir
from numba.core import cgutils, config, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

PACK_BYTES = 64


class Vector(types.Type):
    """Numba type of a vector of ``size`` elements of type ``dtype``."""

    def __init__(self, dtype, size):
        self.dtype = dtype
        self.size = size
        super().__init__(name=f"Vector({dtype} x {size})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, llvm_vector(fe_type))


def llvm_float(dtype):
    return ir.DoubleType() if dtype == types.float64 else ir.FloatType()


def llvm_vector(ty):
    return ir.VectorType(llvm_float(ty.dtype), ty.size)


def vector_of(dtype, packs):
    return Vector(dtype, len(packs) * PACK_BYTES * 8 // dtype.bitwidth)


def compiled(function, typer, *lowered):
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


def splat(builder, scalar, vector):
    """LLVM vector of type ``vector`` holding ``scalar``, converted to its element type, in every place."""
    if scalar.type != vector.element:
        convert = builder.fptrunc if isinstance(vector.element, ir.FloatType) else builder.fpext
        scalar = convert(scalar, vector.element)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


def address_of(context, builder, array_type, array, position, count):
    """Pointer to the element at a flat ``position``; NUMBA_BOUNDSCHECK makes sure of ``count`` elements from there."""
    check_reach(context, builder, array_type, array, position, count)
    return builder.gep(_field(context, builder, array_type, array, "data"), [position])


def check_reach(context, builder, array_type, array, position, count):
    """With NUMBA_BOUNDSCHECK, raise unless ``count`` elements from the flat ``position`` on are the array's."""
    if not config.BOUNDSCHECK:
        return
    end = builder.add(position, position.type(count))
    n_items = _field(context, builder, array_type, array, "nitems")
    outside = builder.or_(builder.icmp_signed("<", position, position.type(0)), builder.icmp_signed(">", end, n_items))
    with cgutils.if_unlikely(builder, outside):
        context.call_conv.return_user_exc(builder, IndexError, ("a vector reaches outside its array",))


def _field(context, builder, array_type, array, name):
    """A field of an array as it is: Numba's way there copies them all to memory."""
    model = context.data_model_manager[array_type]
    return builder.extract_value(array, model.get_field_position(name))


def intrinsic(builder, name, arguments):
    """Call of the LLVM intrinsic ``name`` overloaded on the type of its ``arguments``."""
    kind = arguments[0].type
    scalar = "f64" if isinstance(getattr(kind, "element", kind), ir.DoubleType) else "f32"
    suffix = f"v{kind.count}{scalar}" if isinstance(kind, ir.VectorType) else scalar
    function_type = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}"), arguments
    )


def is_array(a):
    return isinstance(a, types.Array)


def is_float_array(a):
    return is_array(a) and a.dtype in (types.float64, types.float32)


def vector_from_array(a, packs, *_):
    return vector_of(a.dtype, packs) if is_float_array(a) else None


def same_vectors(*args):
    return args[0] if isinstance(args[0], Vector) and len(set(args)) == 1 else None


def prefix_mask(builder, count, size):
    """LLVM mask of ``size`` places, the first ``count`` of them true."""
    int32 = ir.IntType(32)
    vector = ir.VectorType(int32, size)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, builder.trunc(count, int32), int32(0))
    counts = builder.shuffle_vector(first, undefined, ir.Constant(vector, None))
    return builder.icmp_signed("<", ir.Constant(vector, list(range(size))), counts)


def masked_load(builder, place, mask):
    """Vector at the vector pointer ``place``; zeros, and no access, where ``mask`` is false."""
    vector, align = place.type.pointee, ir.IntType(32)(_item(place))
    function_type = ir.FunctionType(vector, [place.type, align.type, mask.type, vector])
    name = f"llvm.masked.load.v{vector.count}f{8 * align.constant}.p0"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, [place, align, mask, ir.Constant(vector, None)])


def masked_store(builder, value, place, mask):
    """Write ``value`` to the vector pointer ``place`` where ``mask`` is true."""
    align = ir.IntType(32)(_item(place))
    function_type = ir.FunctionType(ir.VoidType(), [value.type, place.type, align.type, mask.type])
    name = f"llvm.masked.store.v{value.type.count}f{8 * align.constant}.p0"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    builder.call(function, [value, place, align, mask])


def _item(place):
    """Bytes of an element of the vector at ``place``."""
    return 8 if isinstance(place.type.pointee.element, ir.DoubleType) else 4


def last_position(builder, position, count, size):
    """Position of the last of ``count``, at most ``size``, elements from ``position`` on."""
    fewer = builder.icmp_signed("<", count, count.type(size))
    return builder.sub(builder.add(position, builder.select(fewer, count, count.type(size))), count.type(1))
