"""Several processes that compile at once must not mix up each other's kernels."""

import os
import subprocess
import sys

import pytest
from numba.core.caching import IndexDataCacheFile

import reservoir  # noqa: F401 - what its import does to Numba is what is tested

pytest.importorskip("fcntl", reason="this system has no locks of files")

N_KERNELS = 100
SAVE = """
import sys
from numba.core.caching import IndexDataCacheFile
import reservoir
file = IndexDataCacheFile(sys.argv[1], "kernel", "stamp")
print("ready", flush=True); sys.stdin.readline()
for i in range(int(sys.argv[3])):
    file.save((sys.argv[2], i), (sys.argv[2], i))
"""


@pytest.mark.slow
def test_two_processes_that_write_at_once_leave_every_kernel_under_its_own_name(tmp_path):
    names = ("a", "b")
    command = [sys.executable, "-c", SAVE, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, name, str(N_KERNELS)], **pipes) for name in names]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
    finally:
        for process in processes:
            process.kill()
    file = IndexDataCacheFile(str(tmp_path), "kernel", "stamp")
    kernels = [(name, i) for name in names for i in range(N_KERNELS)]
    assert [file.load(kernel) for kernel in kernels] == kernels


def test_a_lock_that_cannot_be_had_is_done_without(tmp_path):
    os.mkdir(tmp_path / "kernels.lock")  # opening it fails, as opening another user's would
    file = IndexDataCacheFile(str(tmp_path), "kernel", "stamp")
    file.save("key", "kernel")
    assert file.load("key") == "kernel"
