"""How long kernels were compiled, and the line that says so."""

import threading
import time

import pytest

from reservoir import compilation as module
from reservoir.compilation import Compilation, compilation
from reservoir.jit import njit


def busy(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_what_runs_inside_counts_once():
    watch = Compilation()
    with watch.of("cells.kinds"):
        busy(0.02)
        with watch.of("reservoir.simd"):
            busy(0.02)
        assert 0.04 <= watch.seconds < 2.0
    found = watch.seconds
    busy(0.01)
    assert watch.seconds == found
    with watch.of("cells.kinds"):
        busy(0.01)
    assert watch.seconds >= found + 0.01


def test_a_long_compilation_says_so_once(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    lines, watch, said = [], Compilation(), threading.Event()
    monkeypatch.setattr(module.LOG, "info", lambda *args: (lines.append(args[0] % args[1:]), said.set()))
    for _ in range(2):
        with watch.of("cells.passes.time_loops"):
            assert said.wait(10.0)
    assert lines == ["compiling the kernels of cells, once for this version and this processor, about 10 s"]


def test_a_short_one_is_silent(monkeypatch):
    lines = []
    monkeypatch.setattr(module.LOG, "info", lambda *args: lines.append(args))
    watch = Compilation()
    for _ in range(3):
        with watch.of("reservoir"):
            busy(0.001)
    assert lines == []


@pytest.mark.compiled
def test_compiling_is_timed():
    before = compilation().seconds
    assert njit(lambda x: x + 1)(2) == 3
    assert compilation().seconds > before
