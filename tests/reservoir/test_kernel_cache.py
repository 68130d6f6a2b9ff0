"""Compiled kernels are found again, never under another's name, and no disk and no broken file ends a computation."""

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import package_folders
from reservoir import kernel_cache
from reservoir.jit import njit

pytestmark = pytest.mark.compiled

PACKAGES = package_folders()[0].parent
ADD = '''
"""Two kernels."""
from typing import NamedTuple
from reservoir.jit import njit

class Pair(NamedTuple):
    a: float
    b: float

@njit(cache=True)
def add(x, y):
    return x + y

@njit(cache=True)
def total(pair):
    return pair.a + SIGN * pair.b
'''
CALL = """
import json
import kernels_of_a_test as kernels
found = [kernels.add(1, 2), kernels.add(1.5, 2.0), kernels.total(kernels.Pair(3.0, 2.0))]
counts = [kernel.stats for kernel in (kernels.add, kernels.total)]
print(json.dumps([found, *(sum(getattr(c, n).values()) for n in ("cache_hits", "cache_misses") for c in counts)]))
"""
RESULTS = [3, 3.5, 5.0]
# Permissions do not bind the superuser, unless what lifts them is taken away.
BOUND = ["setpriv", "--bounding-set", "-dac_override"] if getattr(os, "geteuid", lambda: 1)() == 0 else []


class Kernels:
    """A module with kernels, which new processes import."""

    def __init__(self, folder):
        self.folder = folder
        self.cache = folder / "cache"
        self.write("1")

    def write(self, sign):
        (self.folder / "kernels_of_a_test.py").write_text(ADD.replace("SIGN", sign))

    def run(self, script=CALL, **variables):
        path = os.pathsep.join([str(self.folder), str(PACKAGES)])
        environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(self.cache), **variables}
        command = [*BOUND, sys.executable, "-W", "error", "-c", script]
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert answer.returncode == 0, answer.stderr
        return answer

    def call(self):
        """Results, and how many kernels were found and how many compiled."""
        answer = self.run()
        assert answer.stderr == ""
        results, *counts = json.loads(answer.stdout)
        return results, sum(counts[:2]), sum(counts[2:])

    def files(self):
        return sorted(path for path in self.cache.rglob("*") if path.is_file())


@pytest.fixture
def kernels(tmp_path):
    return Kernels(tmp_path)


# ------------------------------------------------------------------------------------------------ found again


@pytest.mark.slow
def test_another_process_finds_every_kernel(kernels):
    assert kernels.call() == (RESULTS, 0, 3)
    files = kernels.files()
    assert len(files) == 3
    assert kernels.call() == (RESULTS, 3, 0)
    assert kernels.files() == files


@pytest.mark.slow
def test_an_edited_source_is_compiled_anew_and_its_old_kernels_are_removed(kernels):
    kernels.call()
    (first, *_) = kernels.files()
    shutil.copy(first, first.with_suffix(".0123456789abcdef"))  # as a writer that was killed leaves it
    kernels.write("-1")
    assert kernels.call() == ([3, 3.5, 1.0], 0, 3)
    assert len(kernels.files()) == 3


@pytest.mark.slow
def test_processes_that_compile_at_once_leave_every_kernel_under_its_own_name(kernels):
    path = os.pathsep.join([str(kernels.folder), str(PACKAGES)])
    environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(kernels.cache)}
    command = [sys.executable, "-c", CALL]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert kernels.call() == (RESULTS, 3, 0)


# ----------------------------------------------------------------------------------------------- broken files


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.slow
def test_a_broken_file_is_compiled_anew_and_replaced(kernels):
    kernels.call()
    for harm in (cut, flip, lambda data: b"", lambda data: bytes(len(data))):
        for path in kernels.files():
            path.write_bytes(harm(path.read_bytes()))
        assert kernels.call() == (RESULTS, 0, 3)
        assert kernels.call() == (RESULTS, 3, 0)


@pytest.mark.slow
def test_a_file_under_another_kernels_name_is_not_taken(kernels):
    kernels.call()
    files = [path for path in kernels.files() if ".add-" in path.name]
    for path, data in zip(files, [path.read_bytes() for path in files][::-1], strict=True):
        path.write_bytes(data)
    assert kernels.call() == (RESULTS, 1, 2)


# ------------------------------------------------------------------------------------------- nowhere to write


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache.config, "CACHE_DIR", str(tmp_path))
    kernel_cache._say_once.cache_clear()
    yield tmp_path
    kernel_cache._say_once.cache_clear()


def twice(x):
    return 2 * x


@pytest.mark.parametrize("step", ["mkdir", "write_bytes", "replace"])
def test_a_full_disk_costs_one_line_of_the_log(cache_folder, monkeypatch, caplog, step):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*(kernel_cache.os, step) if step == "replace" else (Path, step), full)
    with caplog.at_level(logging.WARNING, logger="reservoir"):
        kernel = njit(cache=True)(twice)
        assert [kernel(3), kernel(1.5), kernel(np.float32(2))] == [6, 3.0, 4.0]
    (record,) = caplog.records
    assert "cannot be kept on disk (No space left on device)" in record.getMessage()
    assert "set NUMBA_CACHE_DIR" in record.getMessage()
    assert not [path for path in cache_folder.rglob("*") if path.is_file()]


def test_a_writer_that_is_interrupted_leaves_no_file(cache_folder, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(kernel_cache.os, "replace", interrupted)
    kernel = njit(cache=True)(twice)
    with pytest.raises(KeyboardInterrupt):
        kernel(3)
    assert not [path for path in cache_folder.rglob("*") if path.is_file()]
    assert kernel(3) == 6


def test_a_closure_is_not_kept(cache_folder):
    factor = 3

    @njit(cache=True)
    def scaled(x):
        return factor * x

    assert scaled(2) == 6
    assert not list(cache_folder.rglob("*.nbc"))


FIT = """
import numpy as np
from cells import RNNRegressor
from reservoir import ESNRegressor
from reservoir.datasets import narma10
X = np.random.default_rng(0).standard_normal((60, 2))
for model in (ESNRegressor(10, random_state=0), RNNRegressor(n_units=3, max_epochs=1, random_state=0)):
    print(np.isfinite(model.fit(X, X[:, 0]).predict(X)).all())
print(np.isfinite(narma10(20, random_state=0)[1]).all())
"""


def read_only(folder):
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)


@pytest.mark.slow
@pytest.mark.skipif(bool(BOUND) and not shutil.which("setpriv"), reason="the superuser needs setpriv to be refused")
@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permissions on Windows")
def test_packages_and_a_home_that_are_read_only_cost_one_line(tmp_path):
    packages, home = tmp_path / "packages", tmp_path / "home"
    home.mkdir()
    for folder in package_folders():
        shutil.copytree(folder, packages / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (packages, home):
        read_only(folder)
    environment = {name: text for name, text in os.environ.items() if name not in {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}}
    environment |= {"PYTHONPATH": str(packages), "HOME": str(home)}
    command = [*BOUND, sys.executable, "-W", "error", "-c", FIT]
    answer = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["True"] * 3
    (line,) = answer.stderr.splitlines()
    assert "cannot be kept on disk (Permission denied)" in line


@pytest.mark.slow
@pytest.mark.skipif(bool(BOUND) and not shutil.which("setpriv"), reason="the superuser needs setpriv to be refused")
@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permissions on Windows")
def test_kernels_are_found_in_a_folder_that_can_only_be_read(kernels):
    kernels.call()
    read_only(kernels.cache)
    assert kernels.call() == (RESULTS, 3, 0)
