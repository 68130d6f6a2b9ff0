"""Compiled kernels: Numba's ``njit``, made to survive Ctrl-C, the end of the program, and a disk that fails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba import config
from numba.core import types
from numba.core.registry import CPUDispatcher
from numba.core.typing import make_concrete_template

from optim.interrupts import interrupts_deferred
from optim.threads import held_at_exit
from reservoir.callees import Callee, part, shared
from reservoir.compilation import compilation
from reservoir.compiler import KernelCompiler, garbage_left
from reservoir.kernel_cache import KernelCache


class Kernel(CPUDispatcher):
    """A function that Numba compiles for each combination of argument types that it meets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, pipeline_class=KernelCompiler, **kwargs)
        self._callees: dict[tuple, Callee] = {}

    def compile(self, signature: Any) -> Any:
        """Compile for one signature, or find the code that is there.

        Ctrl-C waits for the end: an exception between two of the compiler's lines leaves its tables half made, and
        every later compilation of the process would fail.
        """
        with held_at_exit(), interrupts_deferred(), compilation().of(self.__module__), garbage_left():
            return super().compile(signature)

    def get_call_template(self, args: tuple, kws: dict) -> tuple:
        """What a call with arguments of these types is to the compiler."""
        pysig, args = self._compiler.fold_argument_types(args, kws)
        args = tuple(types.unliteral(arg) for arg in args)  # a constant is one to LLVM too: no variant of its own
        template = make_concrete_template(self.__name__, self.__name__, [self._callee(args).signature])
        return template, pysig, args, {}

    def get_overload(self, sig: tuple) -> object:
        """What finds the code for such a call."""
        return self._callee(tuple(sig)).key

    def _callee(self, args: tuple) -> Callee:
        if args not in self._callees:
            self._callees[args] = part(self, args)
        return self._callees[args]

    def enable_caching(self) -> None:
        """Keep what is compiled on disk."""
        self._cache = KernelCache(self.py_func)


class SharedKernel(Kernel):
    """A kernel, at the top of a module, whose code all compiled callers share."""

    def share(self, args: tuple) -> str:
        """Have the code for these types of arguments ready for callers; its name for the linker."""
        return self._callee(args).symbol

    def _callee(self, args: tuple) -> Callee:
        if args not in self._callees:
            self.compile(args)
            self._callees[args] = shared(self, args, self._cache.symbol(args, self.targetctx))
        return self._callees[args]


def njit(function: Callable | None = None, *, cache: bool = False, is_shared: bool = False, **options: Any) -> Callable:
    """Decorator of kernels, to be used as ``numba.njit``.

    Parameters
    ----------
    function : callable
    cache : bool
        Whether compiled code is kept on disk, see :mod:`reservoir.kernel_cache`; that of closures never is.
    is_shared : bool
        Whether compiled callers call it where it stands, see :mod:`reservoir.callees`, instead of taking its code in.
        It must stand at the top of its module, and is kept on disk.
    options
        Of ``numba.njit``.

    Returns
    -------
    Kernel
        Or the function itself where ``NUMBA_DISABLE_JIT`` is set.

    Examples
    --------
    >>> from reservoir.jit import njit
    >>> @njit(nogil=True)
    ... def add(a, b):
    ...     return a + b
    >>> add(1, 2)
    3
    """
    if function is None:
        return functools.partial(njit, cache=cache, is_shared=is_shared, **options)
    if config.DISABLE_JIT:
        return function
    if is_shared and "<locals>" in function.__qualname__:
        raise TypeError(
            f"a shared kernel must stand at the top of a module, got {function.__qualname__}; move it there."
        )
    options = {"nopython": True, "boundscheck": None, "no_cfunc_wrapper": True, **options}
    kernel = (SharedKernel if is_shared else Kernel)(function, targetoptions=options)
    if (cache or is_shared) and function.__closure__ is None:
        kernel.enable_caching()
    return kernel
