"""What Numba does to a kernel, less what kernels do not need.

Most of the time until a first result is Numba's own Python, not LLVM's: a kernel passes through some twenty passes,
half of them for closures, contexts, loops over tuples, and expressions of whole arrays. Kernels have none of these. One
that has, as a cell from elsewhere may, fails in the short pipeline and takes Numba's own after it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from numba.core import typed_passes, untyped_passes
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager

_TO_TYPES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.GenericRewrites,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.ReconstructSSA,
    untyped_passes.DeadBranchPrune,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
)
_TO_CODE = (
    typed_passes.NoPythonSupportedFeatureValidation,
    typed_passes.IRLegalization,
    typed_passes.AnnotateTypes,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)


class KernelCompiler(CompilerBase):
    """The short pipeline, and Numba's own for what that one cannot compile."""

    def define_pipelines(self) -> list[PassManager]:
        short = PassManager("kernel")
        for passes in (_TO_TYPES, _TO_CODE):
            for pass_ in passes:
                short.add_pass(pass_, pass_.name())
        short.finalize()
        return [short, DefaultPassBuilder.define_nopython_pipeline(self.state)]

    def _compile_core(self) -> CompileResult:
        """The code, without what Numba notes down when the first pipeline failed: a dispatcher would raise it."""
        return super()._compile_core()._replace(typing_error=None)


@contextmanager
def garbage_left() -> Iterator[None]:
    """Nothing is collected inside: a compiler makes many objects, keeps most, and would have all looked through."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()
