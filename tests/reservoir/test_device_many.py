"""Many reservoirs in one launch, in four orders of threads, against one naive twin for each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cuda_host import standin
from cuda_host.cards import EVERY_CARD, compiler
from naive.drive import echo_states
from optim import device
from reservoir.drive import device_many
from reservoir.drive.device_drive import lay_out
from reservoir.drive.device_many import MOST_HELD, SOURCE, THREADS, Configurations, drive_many
from reservoir.drive.weights import build_reservoir

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, which builds the kernels for the host")
REAL = {4: (), 8: ("-DREAL_IS_DOUBLE",)}
RTOL = {np.float32: 3e-6, np.float64: 1e-13}  # sums of up to ten terms of order 1 and a tanh, a few steps deep


def problem(N, in_degree, C, T, dtype):
    """A reservoir, and in ``dtype`` what drives it, its bias, what configurations differ by, and starts."""
    rng = np.random.default_rng([N, C])
    W = np.zeros((N, N))
    for row in W:
        row[rng.choice(N, min(in_degree, N), replace=False)] = rng.uniform(-1, 1, min(in_degree, N))
    reservoir = build_reservoir(n_units=N, n_inputs=0, topology=W, spectral_radius=None, rng=rng)
    shapes = (T, N), (N,), (4, C), (C, N)
    driven, bias, numbers, start = (rng.uniform(0.1, 1, shape).astype(dtype) for shape in shapes)
    return reservoir, driven, bias, numbers, start


def states_of(cupy, reservoir, driven, bias, numbers, start):
    dtype = driven.dtype
    there = [cupy.asarray(array) for array in (driven, bias, start)]
    of = Configurations(*(cupy.asarray(row) for row in numbers))
    return drive_many(lay_out(reservoir, dtype), there[0], there[1], of, there[2]).get()


def twins(reservoir, driven, bias, numbers, start):
    W, N = reservoir.W.toarray(), reservoir.n_units
    found = [
        echo_states(r * W, s * np.eye(N), b * bias, np.full(N, a), driven, activation="tanh", start=x)[0]
        for r, s, b, a, x in zip(*numbers, start, strict=True)
    ]
    return np.array(found).reshape(len(start), len(driven), N)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize(("N", "in_degree", "C", "T"), [(1, 1, 1, 3), (31, 5, 5, 4), (530, 5, 4, 3), (31, 5, 6, 1)])
def test_every_configuration_is_the_twin_of_its_own(N, in_degree, C, T, dtype):
    made = problem(N, in_degree, C, T, dtype)
    answers = []
    for order in standin.ORDERS:
        with standin.installed(order) as cupy:
            answers.append(states_of(cupy, *made))
    for answer in answers[1:]:
        assert_array_equal(answer, answers[0])
    assert answers[0].dtype == dtype
    assert_allclose(answers[0], twins(*made), rtol=RTOL[dtype], atol=RTOL[dtype])


@pytest.mark.parametrize("T", [0, 3])
def test_array_code_serves_what_no_kernel_takes(T, monkeypatch):
    made = problem(31, 5, 5, T, np.float64)
    monkeypatch.setattr(device_many, "MOST_HELD", {8: 1})
    with standin.installed() as cupy:
        assert_allclose(states_of(cupy, *made), twins(*made), rtol=1e-13, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("barrier", [0, 1])
def test_a_barrier_is_missed_when_it_is_left_out(barrier, tmp_path, monkeypatch):
    pieces = SOURCE.read_text(encoding="utf-8").split("__syncthreads();")
    assert len(pieces) == 3
    broken = tmp_path / "many.cu"
    pieces[barrier : barrier + 2] = [pieces[barrier] + ";" + pieces[barrier + 1]]
    broken.write_text("__syncthreads();".join(pieces))
    made = problem(300, 5, 4, 6, np.float64)

    def answer(source, order):
        monkeypatch.setattr(device_many, "SOURCE", source)
        with standin.installed(order) as cupy:
            return states_of(cupy, *made)

    right = answer(SOURCE, 0)
    assert not all(np.array_equal(answer(broken, order), right) for order in range(8))


SANITIZED = """
import sys
sys.path[:0] = {folders!r}
import numpy as np
from cuda_host import standin
standin.COMPILER = (*standin.COMPILER, "-fsanitize=address", "-g")
import test_device_many as tests
with standin.installed() as cupy:
    for dtype in (np.float32, np.float64):
        tests.states_of(cupy, *tests.problem(31, 5, 5, 3, dtype))
print("clean")
"""


@pytest.mark.slow
def test_the_address_sanitizer_finds_nothing():
    library = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    here = Path(__file__).parent
    script = SANITIZED.format(folders=[str(here), str(here.parent), str(here.parents[1])])
    environment = os.environ | {"LD_PRELOAD": library.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "clean", done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="needs nvcc, or the wheel nvidia-cuda-nvrtc")
@pytest.mark.parametrize("card", EVERY_CARD)
@pytest.mark.parametrize(("size", "rows", "entries"), [(4, 2, 10), (4, 1, 20), (8, 4, 10)])
def test_the_kernel_compiles_for_every_card_without_spills(card, size, rows, entries):
    assert rows * entries <= MOST_HELD[size]
    sizes = "-DLANES=1", f"-DROWS={rows}", f"-DENTRIES={entries}", "-DACTIVATION=1", "-DCONFIGURATIONS=4"
    more = (f"-DMOST_THREADS={THREADS[size]}", f"-I{Path(device.__file__).parent}", *REAL[size])
    found = compiler()(SOURCE, card, (*sizes, *more))
    assert found.registers["drive_many"] * THREADS[size] <= 65536
    assert found.spilled == 0
    assert "ld.shared" in found.ptx and "bar.sync" in found.ptx
