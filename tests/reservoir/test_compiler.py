"""The short pipeline compiles what kernels are made of, and leaves the rest to Numba's own."""

import gc

import numpy as np
import pytest
from numba.core.errors import TypingError

from reservoir.compiler import garbage_left
from reservoir.jit import njit

pytestmark = pytest.mark.compiled


def passes_of(kernel):
    """The names of the pipelines and of the last one's passes, of the one signature of a kernel."""
    ((name, times),) = kernel.overloads[kernel.signatures[0]].metadata["pipeline_times"].items()
    return name, len(times)


def test_a_kernel_takes_few_passes():
    @njit(nogil=True)
    def total(a):
        s = 0.0
        for i in range(a.size):
            s = s + a[i]
        return s

    assert total(np.arange(5.0)) == 10.0
    name, n_passes = passes_of(total)
    assert name == "kernel" and n_passes < 20


def test_closures_take_numbas_own_pipeline():
    @njit(nogil=True)
    def total(n, factor):
        return sum([factor * i for i in range(n)])

    assert total(5, 2) == 20
    assert passes_of(total)[0] == "nopython"


def test_what_neither_can_compile_raises_as_numba_does():
    @njit(nogil=True)
    def lost(x):
        return x + undefined_name  # noqa: F821

    with pytest.raises(TypingError, match="undefined_name"):
        lost(1)


@pytest.mark.parametrize("is_on", [True, False])
def test_the_collector_of_garbage_is_off_inside_and_then_as_before(is_on):
    was_on = gc.isenabled()
    (gc.enable if is_on else gc.disable)()
    try:
        with pytest.raises(KeyboardInterrupt), garbage_left(), garbage_left():
            assert not gc.isenabled()
            raise KeyboardInterrupt
        assert gc.isenabled() == is_on
    finally:
        (gc.enable if was_on else gc.disable)()
