"""The stand-in for CuPy is as strict as CuPy, and the emulator sees what a card would not forgive."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cuda_host import standin
from optim.device import kernels, namespace, to_device, to_host

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, which builds kernels for the host")


def test_arrays_of_the_device_never_become_numpy_by_themselves():
    with standin.installed() as cupy:
        x = cupy.asarray([1.0, 2.0])
        for convert in (np.asarray, np.sqrt, np.linalg.norm):
            with pytest.raises(TypeError):
                convert(x)
        assert_array_equal(x.get(), [1.0, 2.0])
        assert_array_equal(to_host(x), [1.0, 2.0])
        assert namespace(x) is cupy


def test_arrays_of_the_device_do_not_mix_with_numpy():
    with standin.installed() as cupy:
        x, host = cupy.asarray([1.0, 2.0]), np.ones(2)
        for mix in (
            *(lambda: x + host, lambda: host + x, lambda: host @ x, lambda: x == host, lambda: cupy.maximum(x, host)),
            *(lambda: x.dot(host), lambda: cupy.stack([x, host]), lambda: x.__setitem__(slice(None), host)),
            lambda: namespace(x, host),
        ):
            with pytest.raises(TypeError):
                mix()
        assert float((x + np.float64(1.0)).sum()) == 5.0


def test_what_the_device_computes_is_what_numpy_computes():
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 4)), rng.random((3, 4))
    with standin.installed() as cupy:
        x, y = to_device(a), to_device(b)
        assert_array_equal(((2 - x * y) / (y + 1)).T.get(), ((2 - a * b) / (b + 1)).T)
        assert_array_equal((x @ y.T).get(), a @ b.T)
        x += y
        x[0, :2] = 0.0
        assert_array_equal(x.get()[1:], (a + b)[1:])
        assert x.sum(axis=0).shape == (4,) and isinstance(x.sum(), standin.ndarray)
        assert_array_equal(cupy.where(x > 1, x, 0).get(), np.where(x.get() > 1, x.get(), 0))


@pytest.fixture
def build(tmp_path):
    def build(body, name="probe", parameters="int* out, int n"):
        source = tmp_path / f"{name}.cu"
        source.write_text(f'#include "prelude.cuh"\nKERNEL({name}, {parameters}) {{ {body} }}\n', encoding="utf-8")
        return kernels(source).get_function(name)

    return build


@needs_compiler
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("if (threadIdx.x < 3) __syncthreads();", "deadlock|ended while its block waits"),
        ("if (threadIdx.x == 0) __shfl_sync(1u, 1, 5);", "reads a lane outside its mask"),
        ("__syncwarp(0xF0u);", "not in its own mask"),
        ("SHARED(int, words); words[n + 16] = 1;", "past the end of shared memory"),
        ("while (out[0] != 7) SPIN();", "deadlock"),
    ],
)
def test_what_would_hang_or_spoil_a_card_ends_the_launch(build, body, complaint):
    with standin.installed() as cupy:
        kernel = build(body)
        with pytest.raises(RuntimeError, match=complaint):
            kernel((1,), (8,), (cupy.zeros(8, np.int32), np.int32(0)), shared_mem=16)


@needs_compiler
def test_a_launch_is_held_to_the_limits_of_a_card(build):
    with standin.installed() as cupy:
        kernel, out = build("out[threadIdx.x] = n;"), cupy.zeros(8, np.int32)
        kernel((1,), (8,), (out, np.int32(4)))
        assert_array_equal(out.get(), 4)
        for grid, block, arguments, shared, error in (
            ((1,), (8,), (out, 4), 0, TypeError),  # a Python int has 64 bits
            ((1,), (8,), (np.zeros(8, np.int32), np.int32(4)), 0, TypeError),
            ((1,), (8,), (out,), 0, TypeError),
            ((1,), (2048,), (out, np.int32(4)), 0, RuntimeError),
            ((1,), (8,), (out, np.int32(4)), 64 * 1024, RuntimeError),
            ((10**6,), (8,), (out, np.int32(4)), 0, RuntimeError),
        ):
            with pytest.raises(error):
                kernel(grid, block, arguments, shared_mem=shared)


@needs_compiler
def test_an_order_of_threads_that_matters_is_seen(build):
    answers = set()
    for order in standin.ORDERS:
        with standin.installed(order) as cupy:
            out = cupy.zeros(2, np.int32)
            build("out[1] = threadIdx.x;")((1,), (8,), (out, np.int32(0)))
            answers.add(int(out[1]))
    assert len(answers) > 1


SANITIZED = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from cuda_host import standin
standin.COMPILER = (*standin.COMPILER, "-fsanitize=address", "-g")
from optim.device import kernels
from pathlib import Path
with standin.installed() as cupy:
    kernel = kernels(Path({source!r})).get_function("probe")
    kernel((1,), (8,), (cupy.zeros({size}, np.int32), np.int32(0)))
print("clean")
"""


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(("size", "is_clean"), [(8, True), (5, False)])
def test_writes_outside_an_array_are_named_by_the_address_sanitizer(build, tmp_path, size, is_clean):
    library = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    source = tmp_path / "probe.cu"
    source.write_text('#include "prelude.cuh"\nKERNEL(probe, int* out, int n) { out[threadIdx.x] = n; }\n')
    script = SANITIZED.format(tests=str(standin.HERE.parent), source=str(source), size=size)
    environment = {"LD_PRELOAD": library.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", script]
    folders = {"PYTHONPATH": str(standin.HERE.parents[1]), "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment | folders, capture_output=True, text=True, check=False)
    assert ("clean" in done.stdout) == is_clean
    assert ("heap-buffer-overflow" in done.stderr) != is_clean, done.stderr[-2000:]
