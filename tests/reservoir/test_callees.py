"""Kernels that are called: their code is compiled once, and a change of it is noticed."""

import json
import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from conftest import package_folders
from reservoir.callees import needs_of
from reservoir.jit import SharedKernel, njit

pytestmark = pytest.mark.compiled

SHARED = """
from reservoir.jit import njit

@njit(is_shared=True, nogil=True)
def scaled(x, k):
    if k > 5:
        raise ValueError("k must be at most 5")
    return FACTOR * x[0] * k
"""
CALLER = """
from reservoir.jit import njit
from shared_of_a_test import scaled

@njit(nogil=True)
def shifted(x, k):
    return scaled(x, k) + 1

@njit(cache=True, nogil=True)
def total(x, n):
    s = 0.0
    for k in range(n):
        s += shifted(x, k)
    return s

@njit(cache=True, nogil=True)
def twice(x, n):
    return scaled(x, n) + scaled(x, 1)
"""
CALL = """
import json
import numba
import numpy as np
import caller_of_a_test as caller
from shared_of_a_test import scaled
x = np.ones(3)
found = [caller.total(x, 5), caller.twice(x, 4)]
try:
    caller.total(x, 9)
except ValueError as error:
    found.append(str(error))
counts = [sum(kernel.stats.cache_misses.values()) for kernel in (caller.total, caller.twice, scaled)]
print(json.dumps([found, counts, caller.shifted.signatures == []]))
"""


class Modules:
    """A module with a shared kernel and one that calls it, which new processes import."""

    def __init__(self, folder):
        self.folder = folder
        self.write("1")
        (folder / "caller_of_a_test.py").write_text(CALLER)

    def write(self, factor):
        (self.folder / "shared_of_a_test.py").write_text(SHARED.replace("FACTOR", factor))

    def call(self):
        path = os.pathsep.join([str(self.folder), str(package_folders()[0].parent)])
        environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(self.folder / "cache")}
        command = [sys.executable, "-W", "error", "-c", CALL]
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert (answer.returncode, answer.stderr) == (0, "")
        found, misses, is_part = json.loads(answer.stdout)
        assert is_part
        return found, misses


@pytest.mark.slow
def test_callers_share_the_code_in_every_process_and_notice_when_it_changed(tmp_path):
    modules, message = Modules(tmp_path), "k must be at most 5"
    assert modules.call() == ([15.0, 5.0, message], [1, 1, 1])
    assert modules.call() == ([15.0, 5.0, message], [0, 0, 0])
    modules.write("2")
    assert modules.call() == ([25.0, 10.0, message], [1, 1, 1])
    for path in (tmp_path / "cache").rglob("shared_of_a_test*"):
        path.unlink()
    assert modules.call() == ([25.0, 10.0, message], [0, 0, 1])


def test_what_is_called_has_no_machine_code_of_its_own():
    @njit(nogil=True)
    def inner(x, k):
        return x[0] + k

    @njit(nogil=True)
    def outer(x, n):
        return inner(x, 2) + inner(x, n)

    assert outer(np.ones(2), 3) == 7.0
    assert inner.signatures == []
    assert len(inner._callees) == 1  # a constant makes no variant
    assert inner(np.ones(2), 3) == 4.0 and len(inner.signatures) == 1
    assert needs_of(outer.overloads[outer.signatures[0]]) == ()


def test_a_kernel_that_others_share_must_stand_at_the_top_of_a_module():
    with pytest.raises(TypeError, match="top of a module"):

        @njit(is_shared=True)
        def inner(x):
            return x + 1


def test_products_are_shared():
    from reservoir.simd.tiles import add_product, add_transposed_product

    assert isinstance(add_product, SharedKernel) and isinstance(add_transposed_product, SharedKernel)


def test_numba_itself_does_not_keep_a_caller_whose_needs_it_does_not_know():
    from reservoir.simd.tiles import add_transposed_product

    @numba.njit(cache=True)
    def caller(a, c, panel):
        add_transposed_product(a, 0, 0, a, 0, 0, c, 0, 2, 3, 3, panel)

    a, c = np.ones((2, 3)), np.zeros(9)
    with pytest.warns(numba.NumbaWarning, match="dynamic globals"):
        caller(a, c, np.zeros((192, 24)))
    assert c.tolist() == [2.0] * 9
