"""Kernels compile whole or not at all: Ctrl-C waits for the compiler, and leaves as KeyboardInterrupt."""

import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

from conftest import package_folders
from optim import interrupts
from reservoir import jit as kernels
from reservoir.jit import Kernel, njit

pytestmark = pytest.mark.compiled


def scaled(x, factor):
    return factor * x


def test_a_kernel_computes_what_its_function_does():
    kernel = njit(nogil=True, error_model="numpy")(scaled)
    assert isinstance(kernel, Kernel) and kernel.__name__ == "scaled"
    assert kernel(2, 3) == 6 and kernel(2.0, 0.5) == 1.0
    assert njit(scaled)(2, 3) == 6


def test_kernels_call_each_other():
    inner = njit(scaled)

    @njit(nogil=True)
    def outer(x):
        return inner(x, 2) + 1

    assert outer(3) == 7


def test_a_kernel_survives_pickling():
    kernel = pickle.loads(pickle.dumps(njit(cache=True)(scaled)))
    assert isinstance(kernel, Kernel) and kernel(2, 3) == 6


def test_with_the_jit_off_a_kernel_is_its_function(monkeypatch):
    monkeypatch.setattr(kernels.config, "DISABLE_JIT", 1)
    assert njit(cache=True)(scaled) is scaled


def test_ctrl_c_in_the_compiler_waits_for_its_end(monkeypatch):
    """The code is kept: the next call need not compile."""
    kernel = njit(scaled)
    refresh = kernel.targetctx.refresh

    def interrupted_refresh():
        signal.raise_signal(signal.SIGINT)
        refresh()

    monkeypatch.setattr(kernel.targetctx, "refresh", interrupted_refresh)
    with pytest.raises(KeyboardInterrupt):
        kernel(2, 3)
    assert len(kernel.signatures) == 1
    assert interrupts.signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert kernel(2, 3) == 6 and njit(scaled)(2.0, 3.0) == 6.0


N_INTERRUPTS = 15
INTERRUPTED = """
import json, os, random, signal, time, types
import numpy as np
from reservoir.jit import njit

def sums(a, b, n):
    s = 0.0
    for i in range(n):
        for j in range(a.shape[1]):
            s += np.tanh(a[i, j]) * b[j]
    return s

def first_call():
    kernel = njit(nogil=True, error_model="numpy")(types.FunctionType(sums.__code__, sums.__globals__, "sums"))
    return lambda: kernel(np.ones((3, 4)), np.ones(4), 3)

first_call()()
call = first_call()
start = time.perf_counter()
call()
seconds = time.perf_counter() - start
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
random.seed(0)
left_by = []
for _ in range(N_INTERRUPTS):
    call = first_call()
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, seconds))
        call()
        time.sleep(2 * seconds)
        left_by.append("nothing")
    except BaseException as error:
        left_by.append(type(error).__name__)
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps([left_by, first_call()()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="os.kill sends no Ctrl-C on Windows")
def test_ctrl_c_in_a_first_call_leaves_as_keyboard_interrupt_and_breaks_nothing():
    script = INTERRUPTED.replace("N_INTERRUPTS", str(N_INTERRUPTS))
    environment = {**os.environ, "PYTHONPATH": str(package_folders()[0].parent)}
    answer = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    left_by, total = json.loads(answer.stdout)
    assert left_by == ["KeyboardInterrupt"] * N_INTERRUPTS
    assert np.isclose(total, 12 * np.tanh(1.0))
