"""Compiled kernels: Numba's ``njit``, made to survive Ctrl-C, the end of the program, and a disk that fails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba import config
from numba.core.registry import CPUDispatcher

from optim.interrupts import interrupts_deferred
from optim.threads import held_at_exit
from reservoir.kernel_cache import KernelCache


class Kernel(CPUDispatcher):
    """A function that Numba compiles for each combination of argument types that it meets."""

    def compile(self, signature: Any) -> Any:
        """Compile for one signature, or find the code that is there.

        Ctrl-C waits for the end: an exception between two of the compiler's lines leaves its tables half made, and
        every later compilation of the process would fail.
        """
        with held_at_exit(), interrupts_deferred():
            return super().compile(signature)

    def enable_caching(self) -> None:
        """Keep what is compiled on disk."""
        self._cache = KernelCache(self.py_func)


def njit(function: Callable | None = None, *, cache: bool = False, **options: Any) -> Callable:
    """Decorator of kernels, to be used as ``numba.njit``.

    Parameters
    ----------
    function : callable
    cache : bool
        Whether compiled code is kept on disk, see :mod:`reservoir.kernel_cache`; that of closures never is.
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
        return functools.partial(njit, cache=cache, **options)
    if config.DISABLE_JIT:
        return function
    kernel = Kernel(function, targetoptions={"nopython": True, "boundscheck": None, **options})
    if cache and function.__closure__ is None:
        kernel.enable_caching()
    return kernel
