"""The reservoir's CUDA kernels, run on the host in four orders of threads, against the naive twin."""

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
from reservoir.drive import device_drive
from reservoir.drive.device_drive import SOURCE, drive_closed, drive_open, lay_out, states_in_chunks, threads_for
from reservoir.drive.weights import build_reservoir
from reservoir.simd.activations import CODES

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, which builds the kernels for the host")
DTYPES = [np.float32, np.float64]
# Sums of up to 30 terms of order 1 and a tanh, a few steps deep: some tens of roundings.
RTOL = {np.float32: 3e-6, np.float64: 1e-13}
MOST_REGISTERS = {"float": 128, "double": 160}  # of 65,536: three blocks of 128 threads a processor at least


def problem(N, in_degree, *, B=2, T=5, leak=0.3, activation="tanh", dtype=np.float32, seed=0):
    """A reservoir and, in ``dtype``, what drives it and where it starts."""
    rng = np.random.default_rng(seed)
    W = np.zeros((N, N))
    for row in W:
        row[rng.choice(N, min(in_degree, N), replace=False)] = rng.uniform(-1, 1, min(in_degree, N))
    reservoir = build_reservoir(
        n_units=N, n_inputs=0, topology=W, spectral_radius=None, leak_rate=np.full(N, leak), activation=activation,
        rng=rng,
    )  # fmt: skip
    return reservoir, rng.uniform(-1, 1, (B, T, N)).astype(dtype), rng.uniform(-1, 1, (B, N)).astype(dtype)


def twin(reservoir, driven, start):
    """States of every sequence; what drives comes as one input a unit."""
    N = reservoir.n_units
    return np.array(
        [
            echo_states(
                reservoir.W.toarray(), np.eye(N), np.zeros(N), reservoir.leak, rows, activation=reservoir.activation,
                start=x,
            )[0]
            for rows, x in zip(driven, start, strict=True)
        ]
    )  # fmt: skip


def in_every_order(run):
    """``run(cupy)`` under each order of threads, as NumPy arrays; all have the same bits."""
    answers = []
    for order in standin.ORDERS:
        with standin.installed(order) as cupy:
            answers.append([answer.get() for answer in run(cupy)])
    for answer in answers[1:]:
        for got, first in zip(answer, answers[0], strict=True):
            assert_array_equal(got, first)
    return answers[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "in_degree"), [(1, 1), (31, 0), (31, 7), (97, 10), (97, 30), (100, 16)])
def test_open_loop_equals_the_twin_in_every_order_of_threads(N, in_degree, dtype):
    reservoir, driven, start = problem(N, in_degree, dtype=dtype)

    def run(cupy):
        return [drive_open(lay_out(reservoir, dtype), cupy.asarray(driven), cupy.asarray(start))]

    states = in_every_order(run)[0]
    assert states.dtype == dtype
    assert_allclose(states, twin(reservoir, driven, start), rtol=RTOL[dtype], atol=RTOL[dtype])


@pytest.mark.parametrize("activation", CODES)
@pytest.mark.parametrize("leak", [0.1, 1.0])
def test_activations_and_leaks_are_those_of_the_twin(activation, leak):
    reservoir, driven, start = problem(20, 3, leak=leak, activation=activation, dtype=np.float64)
    with standin.installed() as cupy:
        states = drive_open(lay_out(reservoir, np.float64), cupy.asarray(driven), cupy.asarray(start)).get()
    assert_allclose(states, twin(reservoir, driven, start), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("T", [0, 1])
def test_no_step_and_one_step(T):
    reservoir, driven, start = problem(7, 2, T=T, dtype=np.float64)
    with standin.installed() as cupy:
        states = drive_open(lay_out(reservoir, np.float64), cupy.asarray(driven), cupy.asarray(start)).get()
    assert states.shape == (2, T, 7)
    assert_allclose(states, twin(reservoir, driven, start).reshape(2, T, 7), rtol=1e-12)


def test_array_code_equals_the_kernel_and_serves_numpy():
    reservoir, driven, start = problem(30, 8, dtype=np.float64)
    with standin.installed() as cupy:
        rows = lay_out(reservoir, np.float64)
        by_kernel = drive_open(rows, cupy.asarray(driven), cupy.asarray(start)).get()
        weights, columns, leak = (cupy.asnumpy(array) for array in (rows.weights, rows.columns, rows.leak))
        on_host = device_drive.DeviceRows(weights, columns, leak, rows.activation)
        by_arrays = drive_open(on_host, driven, start)
    assert_allclose(by_arrays, by_kernel, rtol=1e-12, atol=1e-12)


def test_chunks_of_time_and_of_sequences_change_no_bit(monkeypatch):
    reservoir, driven, start = problem(40, 10, B=5, T=9)
    with standin.installed() as cupy:
        rows = lay_out(reservoir)
        whole = drive_open(rows, cupy.asarray(driven), cupy.asarray(start)).get()
        monkeypatch.setattr(device_drive, "CHUNK_BYTES", 4 * 5 * 40 * 4)
        chunks = [chunk.get() for chunk in states_in_chunks(rows, cupy.asarray(driven), cupy.asarray(start))]
        monkeypatch.setattr(standin, "THREADS_OF_A_PROCESSOR", 128)
        monkeypatch.setattr(standin, "N_PROCESSORS", 3)
        in_turn = drive_open(rows, cupy.asarray(driven), cupy.asarray(start)).get()
    assert [chunk.shape[1] for chunk in chunks] == [4, 4, 1]
    assert_array_equal(np.concatenate(chunks, axis=1), whole)
    assert_array_equal(in_turn, whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "in_degree", "T"), [(33, 31, 5), (150, 40, 3), (33, 31, 1), (33, 31, 0)])
def test_rows_longer_than_registers_are_read_from_shared_memory(N, in_degree, T, dtype, monkeypatch):
    monkeypatch.setattr(device_drive, "MOST_LANES", 4)
    monkeypatch.setattr(device_drive, "MOST_ENTRIES", 2)
    reservoir, driven, start = problem(N, in_degree, B=3, T=T, dtype=dtype)
    asked = []
    monkeypatch.setattr(device_drive, "launch_together", lambda kernel, *rest, **more: asked.append(kernel.name))
    with standin.installed() as cupy:
        drive_open(lay_out(reservoir, dtype), cupy.asarray(driven), cupy.asarray(start))
    assert set(asked) <= {"drive_shared"} and bool(asked) == (T > 0)
    monkeypatch.setattr(device_drive, "launch_together", device.launch_together)
    states = in_every_order(
        lambda cupy: [drive_open(lay_out(reservoir, dtype), cupy.asarray(driven), cupy.asarray(start))]
    )[0]
    expected = twin(reservoir, driven, start).reshape(3, T, N)
    assert_allclose(states, expected, rtol=2 * RTOL[dtype], atol=2 * RTOL[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("O", "T"), [(1, 6), (3, 6), (1, 1), (1, 0)])
def test_closed_loop_equals_the_twin_in_every_order_of_threads(O, T, dtype):
    N = 33
    reservoir, driven, start = problem(N, 5, B=2, T=T, dtype=dtype)
    closed = closed_loop(N, O, 2, T, dtype)

    def run(cupy):
        there = {name: cupy.asarray(array) for name, array in closed.items()}
        return drive_closed(lay_out(reservoir, dtype), cupy.asarray(driven), cupy.asarray(start), **there)

    states, outputs = in_every_order(run)
    x, y = start.astype(float), closed["first_output"].astype(float)
    assert states.shape == (2, T, N) and outputs.shape == (2, T, O)
    for t in range(T):
        x = x + 0.3 * (np.tanh(x @ reservoir.W.toarray().T + y @ closed["fed"].T + driven[:, t]) - x)
        y = x @ closed["coef"].T + y @ closed["again"].T + closed["offset"][:, t]
        assert_allclose(states[:, t], x, rtol=10 * RTOL[dtype], atol=10 * RTOL[dtype])
        assert_allclose(outputs[:, t], y, rtol=10 * RTOL[dtype], atol=10 * RTOL[dtype])


def test_a_state_that_is_no_number_does_not_stop_the_others():
    reservoir, driven, start = problem(12, 3, dtype=np.float32)
    start[0, 0] = np.nan
    with standin.installed() as cupy:
        states = drive_open(lay_out(reservoir), cupy.asarray(driven), cupy.asarray(start)).get()
    assert np.isnan(states[0, :, 0]).all()
    assert_allclose(states[1], twin(reservoir, driven, start)[1], rtol=1e-5, atol=1e-5)


# ----------------------------------------------------------------------------------------- the door and its guards


def test_a_grid_that_is_not_resident_is_refused():
    with standin.installed():
        rows = lay_out(problem(12, 3)[0])
        kernel = device.kernels(SOURCE, **rows.constants).get_function("drive_open")
        most = device.most_blocks_together(kernel, 128)
        with pytest.raises(RuntimeError, match=rf"needs {most + 1} of them resident, got a card that holds {most}"):
            device.launch_together(kernel, most + 1, 128, ())


def test_arguments_of_another_size_are_refused_by_the_standin():
    reservoir, driven, _ = problem(12, 3)
    with standin.installed() as cupy:
        rows = lay_out(reservoir)
        kernel = device.kernels(SOURCE, **rows.constants).get_function("drive_open")
        arrays = (rows.weights, rows.columns, cupy.asarray(driven), rows.leak, cupy.zeros((2, 6, 12)))
        with pytest.raises(TypeError, match="parameters of"):
            device.launch_together(kernel, 1, 128, (*arrays, 12, 5, 2))  # Python ints have 64 bits


def test_a_grid_that_runs_block_after_block_waits_for_ever():
    reservoir, driven, _ = problem(70, 5, B=1)
    with standin.installed() as cupy:
        rows = lay_out(reservoir)
        states = cupy.empty((1, 6, 70), np.float32)
        states.view(np.uint8).fill(255)
        kernel = device.kernels(SOURCE, **rows.constants).get_function("drive_open")
        kernel.together = False
        arguments = (
            *(rows.weights, rows.columns, cupy.asarray(driven), rows.leak, states),
            *(np.int32(70), np.int32(5), np.int32(1)),
        )
        with pytest.raises(RuntimeError, match="deadlock"):
            kernel((5,), (128,), arguments)


def closed_loop(N, O, B, T, dtype=np.float64):
    """What the closed loop reads beside the open one."""
    rng = np.random.default_rng([N, O])
    return {
        "fed": rng.uniform(-1, 1, (N, O)).astype(dtype),
        "coef": (rng.uniform(-1, 1, (O, N)) / N).astype(dtype),
        "again": (rng.uniform(-1, 1, (O, O)) / 3).astype(dtype),
        "offset": rng.uniform(-1, 1, (B, T, O)).astype(dtype),
        "first_output": rng.uniform(-1, 1, (B, O)).astype(dtype),
    }


@pytest.mark.slow
@pytest.mark.parametrize("barrier", range(SOURCE.read_text(encoding="utf-8").count("__syncthreads();")))
def test_a_barrier_is_missed_when_it_is_left_out(barrier, tmp_path, monkeypatch):
    pieces = SOURCE.read_text(encoding="utf-8").split("__syncthreads();")
    broken = tmp_path / "broken.cu"
    broken.write_text(
        "__syncthreads();".join(pieces[: barrier + 1]) + ";" + "__syncthreads();".join(pieces[barrier + 1 :])
    )
    monkeypatch.setattr(device_drive, "MOST_LANES", 4)
    monkeypatch.setattr(device_drive, "MOST_ENTRIES", 4)

    def answers(source, order):
        monkeypatch.setattr(device_drive, "SOURCE", source)
        with standin.installed(order) as cupy:
            found = []
            for in_degree in (3, 40):
                reservoir, driven, start = problem(300, in_degree, B=1, T=8, dtype=np.float64)
                rows, p, x = lay_out(reservoir, np.float64), cupy.asarray(driven), cupy.asarray(start)
                there = {name: cupy.asarray(array) for name, array in closed_loop(300, 1, 1, 8).items()}
                try:
                    found += [drive_open(rows, p, x).get(), drive_closed(rows, p, x, **there)[1].get()]
                except RuntimeError as error:
                    found.append(str(error))
            return found

    def are_same(one, other):
        return len(one) == len(other) and all(map(np.array_equal, one, other))

    right = answers(SOURCE, 0)
    assert not all(are_same(answers(broken, order), right) for order in range(8))


SANITIZED = """
import sys
sys.path[:0] = {folders!r}
import numpy as np
from cuda_host import standin
from cuda_host.cards import EVERY_CARD, compiler
standin.COMPILER = (*standin.COMPILER, "-fsanitize=address", "-g")
from reservoir.drive import device_drive
import test_device_drive as tests
with standin.installed() as cupy:
    for most, in_degree, dtype in ((16, 5, np.float32), (2, 9, np.float64)):
        device_drive.MOST_ENTRIES, device_drive.MOST_LANES = most, 4
        reservoir, driven, start = tests.problem(33, in_degree, T=3, dtype=dtype)
        rows, p, x = device_drive.lay_out(reservoir, dtype), cupy.asarray(driven), cupy.asarray(start)
        there = {{name: cupy.asarray(array) for name, array in tests.closed_loop(33, 2, 2, 3, dtype).items()}}
        device_drive.drive_open(rows, p, x)
        device_drive.drive_closed(rows, p, x, **there)
print("clean")
"""


@pytest.mark.slow
def test_the_address_sanitizer_finds_nothing(tmp_path):
    library = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    here = Path(__file__).parent
    script = SANITIZED.format(folders=[str(here), str(here.parent), str(here.parents[1])])
    environment = os.environ | {"LD_PRELOAD": library.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "clean", done.stderr[-3000:]


def test_lanes_and_entries_hold_every_row():
    for in_degree in range(1, 513):
        lanes, entries = threads_for(in_degree)
        assert lanes * entries >= in_degree and entries <= device_drive.MOST_ENTRIES and lanes & (lanes - 1) == 0


# ----------------------------------------------------------------------------------------------------- real cards


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="needs nvcc, or the wheel nvidia-cuda-nvrtc")
@pytest.mark.parametrize("card", EVERY_CARD)
@pytest.mark.parametrize(("lanes", "entries"), [(4, 3), (32, 16)])
def test_kernels_compile_for_every_card_without_spills(card, lanes, entries):
    sizes = f"-DLANES={lanes}", f"-DENTRIES={entries}", "-DACTIVATION=1", "-DOUTPUTS=3"
    for real, more in {"float": (), "double": ("-DREAL_IS_DOUBLE",)}.items():
        found = compiler()(SOURCE, card, (*sizes, f"-I{Path(device.__file__).parent}", *more))
        assert set(found.registers) == {"drive_open", "drive_shared", "drive_closed"}
        assert max(found.registers.values()) <= MOST_REGISTERS[real], found.registers
        assert found.spilled == 0
        for name in found.registers:
            ptx = found.of(name)
            assert "ld.relaxed.gpu" in ptx and "st.relaxed.gpu" in ptx and "membar" not in ptx, name
