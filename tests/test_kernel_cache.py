"""Several processes that compile at once must not mix up each other's kernels."""

import subprocess
import sys

from numba.core.caching import IndexDataCacheFile

import reservoir  # noqa: F401 - what is imported is what is tested

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


def test_two_processes_that_write_at_once_leave_every_kernel_under_its_own_name(tmp_path):
    names = ("a", "b")
    command = [sys.executable, "-c", SAVE, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, name, str(N_KERNELS)], **pipes) for name in names]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    file = IndexDataCacheFile(str(tmp_path), "kernel", "stamp")
    kernels = [(name, i) for name in names for i in range(N_KERNELS)]
    assert [file.load(kernel) for kernel in kernels] == kernels
