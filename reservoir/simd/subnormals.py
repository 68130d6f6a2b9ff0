"""Numbers too small for a full significand, taken as zero while a kernel runs.

Where a signal fades over many steps it passes through the subnormal numbers, below 1.2e-38 in float32 and 2.2e-308 in
float64, and processors take some hundred times longer for each operation that meets one. A kernel that says

    mode = flush_subnormals()
    ...
    restore_mode(mode)

treats them, as operands and as results, as zeros of their sign: what it computes is off by at most the smallest normal
number in each operation. The mode belongs to the thread, and ends with the kernel: the caller keeps its own, unless
something raises in between, which a kernel that flushes must not do. Processors
other than x86, and kernels with the JIT switched off, go on as they do, which is slower there and equal but for numbers
that small.
"""

from __future__ import annotations

import llvmlite.binding as llvm
import llvmlite.ir as ir
from numba.core import cgutils, types

from reservoir.simd.llvm_vectors import compiled

_FLUSH = 0x8040  # of MXCSR: results that are subnormal become zeros (bit 15), and so do such operands (bit 6)


def flush_subnormals():
    """Take subnormal numbers as zeros from now on; what was said before, for :func:`restore_mode`."""
    return 0


def restore_mode(mode):
    """Go back to the mode that :func:`flush_subnormals` found."""


def flushes_here() -> bool:
    """Whether compiled kernels flush on this processor.

    Examples
    --------
    >>> from reservoir.simd.subnormals import flushes_here
    >>> flushes_here() in (True, False)
    True
    """
    return llvm.get_process_triple().startswith(("x86_64", "i386", "i686"))


def _control(builder, name, place):
    """Write the control register to ``place`` ("stmxcsr") or read it from there ("ldmxcsr")."""
    function_type = ir.FunctionType(ir.VoidType(), [place.type])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.sse.{name}")
    builder.call(function, [place])


@compiled(flush_subnormals, lambda: types.uint32)
def _flush_subnormals(context, builder, sig, args):
    int32 = ir.IntType(32)
    if not flushes_here():
        return int32(0)
    place = cgutils.alloca_once(builder, int32)
    _control(builder, "stmxcsr", place)
    mode = builder.load(place)
    builder.store(builder.or_(mode, int32(_FLUSH)), place)
    _control(builder, "ldmxcsr", place)
    return mode


@compiled(restore_mode, lambda mode: types.none)
def _restore_mode(context, builder, sig, args):
    if flushes_here():
        mode = context.cast(builder, args[0], sig.args[0], types.uint32)
        _control(builder, "ldmxcsr", cgutils.alloca_once_value(builder, mode))
    return context.get_dummy_value()
