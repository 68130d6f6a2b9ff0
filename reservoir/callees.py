"""How compiled kernels call one another.

Numba turns all that a kernel calls into optimised machine code of its own, which nobody runs, and then again within
every caller, level by level. Here a kernel that is called is a *part*: its code is put into its callers as it is and
optimised there, once. The code of a *shared* kernel, one large enough for a call not to matter, is made once in all:
others call it by an address, under a name that says what it was made of, and remember that they need it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module

import llvmlite.binding as llvm
from numba.core.codegen import CodeLibrary, JITCodeLibrary
from numba.core.compiler import CompileResult, Flags, compile_extra
from numba.core.dispatcher import Dispatcher
from numba.core.typing.templates import Signature

from reservoir.compiler import KernelCompiler

# A variable that Numba's own cache takes for the sign that code is of use to this process only: it knows no needs.
MARK = "numba.dynamic.globals.shared_kernels"


@dataclass(frozen=True)
class Callee:
    """What a compiled kernel calls: a key under which Numba looks its code up, and its types."""

    key: object
    signature: Signature
    symbol: str = ""  # its name for the linker, if it is shared


class _Part(JITCodeLibrary):
    """Code that is optimised where it is called, and nowhere else."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


@dataclass(frozen=True)
class Need:
    """A shared kernel, for these types of arguments, in the code of one that calls it.

    It can be pickled, and stands among the libraries of the caller, with nothing in it but :data:`MARK`.
    """

    module: str
    kernel: str
    types: tuple
    symbol: str  # its name for the linker

    _reload_init = frozenset()

    def is_met(self) -> bool:
        """Whether the kernel, compiled if it was not, still is what the caller's code needs."""
        with suppress(ImportError):
            kernel = getattr(import_module(self.module), self.kernel, None)
            return hasattr(kernel, "share") and kernel.share(self.types) == self.symbol
        return False

    def _ensure_finalized(self) -> None:
        """As of a library."""

    def _get_module_for_linking(self) -> llvm.ModuleRef:
        return llvm.parse_assembly(f'@"{MARK}" = weak global i8 0')


def part(kernel: Dispatcher, types: tuple) -> Callee:
    """Compile ``kernel`` for these types of arguments, as a part of whatever calls it."""
    options = kernel.targetoptions | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    flags = Flags()
    kernel.targetdescr.options.parse_as_flags(flags, options)
    flags.no_compile = True
    context, function = kernel.targetctx, kernel.py_func
    library = _Part(context.codegen(), function.__qualname__)
    typing = kernel.targetdescr.typing_context
    result = compile_extra(
        typing, context, function, types, None, flags, {}, library=library, pipeline_class=KernelCompiler
    )
    callee = Callee(object(), result.signature)
    context.insert_user_function(callee.key, result.fndesc, [result.library])
    return callee


def shared(kernel: Dispatcher, types: tuple, symbol: str) -> Callee:
    """``kernel``, compiled for these types of arguments, as what others call by the name ``symbol``."""
    result = kernel.overloads[types]
    llvm.add_symbol(symbol, result.library.get_pointer_to_function(result.fndesc.llvm_func_name))
    named = copy.copy(result.fndesc)
    named.mangled_name = symbol
    need = Need(kernel.__module__, kernel.__qualname__, types, symbol)
    callee = Callee(object(), result.signature, symbol)
    kernel.targetctx.insert_user_function(callee.key, named, [need])
    return callee


def needs_of(result: CompileResult) -> tuple[Need, ...]:
    """The shared kernels that compiled code calls."""
    return tuple(dict.fromkeys(_needs(result.library)))


def _needs(library: CodeLibrary | Need) -> Iterator[Need]:
    if isinstance(library, Need):
        yield library
    for linked in getattr(library, "_linking_libraries", ()):
        yield from _needs(linked)
