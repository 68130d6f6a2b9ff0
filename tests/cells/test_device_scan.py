"""Cells through time by CUDA kernels, in four orders of threads, against the complex step of the naive twins."""

import copy
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import LSTM, MUT3, Elman
from cells.device import device_scan
from cells.device.device_layer import DeviceLayer
from cells.device.device_matrices import DeviceMatrices
from cells.device.device_places import Held, Places
from cells.device.device_scan import MOST_THREADS, SOURCE, KernelScan, scan_of
from cells.device.step_by_step import StepByStep
from cells.device.step_text import scan_text
from cells.device.step_writer import BARRIER
from cells.passes.pointwise import give, take
from cells.passes.rows import Rows
from cells.passes.time_loops import STEPS, forward_step
from contracts import CELLS, ONE_OF_EACH, PEEPHOLES, every
from cuda_host import standin
from cuda_host.cards import EVERY_CARD, compiler
from optim import device

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, which builds the kernels for the host")
LENGTHS = (4, 3, 3, 2, 2, 2, 1, 1, 1)  # two blocks of up to eight, one of which ends early; odd numbers at every step
# As for the processor's kernels; in float32, sums of some tens of numbers near 1, forward and back through a few steps.
RTOL = {np.float64: EXACT_RTOL, np.float32: 3e-5}
# The gates that feed on gates run as array code: their step asks what stands at other steps.
BY_ARRAY_CODE = {"lstm-fgr", "lstm-cifg-fgr"}
BY_KERNEL = {name: make for name, make in CELLS.items() if name not in BY_ARRAY_CODE}
QUICK = [name for name in (*ONE_OF_EACH, "lstm-vanilla") if name not in BY_ARRAY_CODE]
MOST_REGISTERS = 112


class Scanned(Problem):
    """The same function of a point on the stand-in that is installed; what kernels write begins as NaN."""

    def on(self, xp):
        """The problem there."""
        self.xp = xp
        self.on_device = DeviceLayer(self.cell, Places(self.rows, xp), self.dtype)
        self.held = Held(self.clamp.units.tolist(), xp.asarray(self.clamp.values))
        self.on_device.scan = Poisoned(self.on_device.scan)
        return self

    def there(self, vector, shapes):
        """Parts of a vector on the device."""
        return {name: self.xp.asarray(part) for name, part in self.split(vector, shapes).items()}

    def states(self, tape):
        """Outputs and final c of a tape."""
        last = self.xp.asarray(self.B + self.rows.last)
        return self.join(tape.h[self.B :].get(), tape.c[last].get())

    def __call__(self, point):
        at = self.there(point, self.shapes)
        self.on_device.forward(DeviceMatrices(self.cell, at["theta"]), at["x"], (at["h"], at["c"]), self.held)
        return self.states(self.on_device.tape)

    def moved(self, v):
        V = self.there(v, self.shapes)
        return self.states(self.on_device.rforward(DeviceMatrices(self.cell, V["theta"]), V["x"], (V["h"], V["c"])))

    def pulled(self, u, *, added=None, limit=np.inf):
        U, layer = self.there(u, self.out_shapes), self.on_device
        added = None if added is None else self.xp.asarray(added)
        d = layer.backward(U["outputs"], (0.0, U["c"]), limit=limit, added=added)
        gradient = self.xp.zeros(self.cell.n_params, self.dtype)
        layer.add_gradient(d.z, gradient)
        return self.join(*(part.get() for part in (gradient, layer.input_cotangent(d.z), d.h, d.c)))

    def answers(self, seed=0):
        """Value, J v, Jᵀ u and Jᵀ u with something added to the planes, cut."""
        u, added = self.random(self.n_out, seed=2), self.random((self.R, self.cell.n_columns), seed=3)
        value = self(self.point())
        return value, self.moved(self.point(1)), self.pulled(u), self.pulled(u, added=added, limit=0.5)


class Poisoned:
    """A scan before which its outputs are NaN."""

    def __init__(self, scan):
        self.scan = scan

    def forward(self, of, tape, held):
        self.spoil(self.scan.places.rows.n_sequences, tape)
        self.scan.forward(of, tape, held)

    def rforward(self, of, tape, r, held):
        self.spoil(self.scan.places.rows.n_sequences, r)
        self.scan.rforward(of, tape, r, held)

    def backward(self, of, tape, d, outputs, limit, held):
        d.z.fill(np.nan)
        self.scan.backward(of, tape, d, outputs, limit, held)

    @staticmethod
    def spoil(B, tape):
        for made in (tape.h[B:], tape.c[B:], tape.e):
            made.fill(np.nan)


def problem(build, dtype=np.float64, *, H=5, lengths=LENGTHS):
    return Scanned(build(3, H), lengths, dtype, n_clamped=min(2, H - 1))


@pytest.fixture
def one_processor(monkeypatch):
    """A card so small that each block takes eight sequences."""
    monkeypatch.setattr(standin, "N_PROCESSORS", 1)


def assert_is_the_twin(ours, dtype, **options):
    """In every order of threads the same bits, which are near those of the twin and of its complex step."""
    found = []
    for order in standin.ORDERS:
        with standin.installed(order) as cupy:
            made = ours.on(cupy)
            assert isinstance(made.on_device.scan.scan, KernelScan)
            found.append(made.answers())
    for other in found[1:]:
        for one, first in zip(other, found[0], strict=True):
            assert_array_equal(one, first)
    value, moved, pulled, _ = found[0]
    assert value.dtype == pulled.dtype == dtype
    point, v, u = (x.astype(float) for x in (ours.point(), ours.point(1), ours.random(ours.n_out, seed=2)))
    expected = ours.twin(point + 1e-200j * v)
    assert_near(value, expected.real, RTOL[dtype])
    assert_near(moved, expected.imag / 1e-200, RTOL[dtype])
    size = np.linalg.norm(u) * np.linalg.norm(moved) + np.linalg.norm(pulled) * np.linalg.norm(v)
    assert_allclose(pulled @ v, u @ (expected.imag / 1e-200), rtol=0, atol=RTOL[dtype] * size)


@pytest.mark.parametrize(("dtype", "H", "lengths"), [(np.float32, 5, LENGTHS), (np.float64, 1, (1,))])
def test_a_small_net_is_its_twin_in_every_order_of_threads(dtype, H, lengths, one_processor):
    assert_is_the_twin(problem(Elman, dtype, H=H, lengths=lengths), dtype)


@pytest.mark.slow
@every(BY_KERNEL)
def test_every_cell_is_its_twin_in_every_order_of_threads(build, one_processor):
    assert_is_the_twin(problem(build), np.float64)


@pytest.mark.slow
@pytest.mark.parametrize(("H", "lengths"), [(33, (3, 1)), (70, (2, 2, 1))])
def test_units_beyond_one_round_of_the_threads_are_their_twins(H, lengths):
    assert_is_the_twin(problem(LSTM, H=H, lengths=lengths), np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_what_is_added_cut_and_held_is_that_of_array_code(name, one_processor):
    ours = problem(CELLS[name])
    with standin.installed() as cupy:
        by_kernel = ours.on(cupy).answers()
        ours.on_device.scan = Poisoned(StepByStep(ours.on_device.places))
        by_arrays = ours.answers()
    for one, other in zip(by_kernel, by_arrays, strict=True):
        assert_near(one, other, EXACT_RTOL)


@every(CELLS)
def test_every_step_but_those_that_feed_gates_to_gates_has_a_text(build):
    cell = build(3, 4)
    assert (scan_text(cell) is None) == getattr(cell, "has_full_gate_recurrence", False)


def test_no_step_writes_nothing_and_blocks_without_a_sequence_end():
    with standin.installed() as cupy:
        scan = Scanned(Elman(1, 3), (1,)).on(cupy).on_device.scan.scan
        kernel = device.kernels(SOURCE, before=scan.text.text, is_together=False, **scan.constants)
        first, nothing = cupy.asarray(np.zeros(1, np.int32)), cupy.zeros(0)
        h, numbers = cupy.full((2, 3), 7.0), cupy.zeros(0, np.int32)
        arguments = (cupy.zeros(9), first, h[1:], h, nothing, nothing, numbers, nothing)
        sizes = np.int32(0), np.int32(1), np.int32(0)
        kernel.get_function("scan_forward")((3,), (32,), (*arguments, *sizes), shared_mem=1000)
        assert_array_equal(h.get(), 7.0)


# ------------------------------------------------------------------------------------------------ what has no kernel


def test_a_cell_whose_weights_do_not_fit_goes_step_by_step(monkeypatch):
    places = Places(Rows(np.array([2, 1])), np)
    assert isinstance(scan_of(Elman(1, 3), places, np.float64), StepByStep)
    with standin.installed() as cupy:
        places = Places(places.rows, cupy)
        assert isinstance(scan_of(Elman(1, 230), places, np.float32), KernelScan)
        assert isinstance(scan_of(Elman(1, 230), places, np.float64), StepByStep)
        assert isinstance(scan_of(LSTM(1, 117), places, np.float32), KernelScan)
        assert isinstance(scan_of(LSTM(1, 130), places, np.float32), StepByStep)
        monkeypatch.setattr(device_scan, "_MOST_STATES", 5)
        assert isinstance(scan_of(Elman(1, 3), places, np.float32), StepByStep)


def test_blocks_take_as_few_sequences_as_the_card_has_processors_for():
    with standin.installed() as cupy:

        def sequences(n, H=4):
            return scan_of(Elman(1, H), Places(Rows(np.ones(n, np.int64)), cupy), np.float32).n_sequences

        assert [sequences(n) for n in (1, 16, 17, 40, 128, 1000)] == [1, 1, 2, 4, 8, 8]
        assert sequences(1000, 239) == 2  # more have no room


def test_arrays_of_another_precision_are_refused():
    with standin.installed() as cupy:
        ours = Scanned(Elman(1, 3), (1,), np.float32).on(cupy)
        with pytest.raises(TypeError, match="a scan in float32 takes arrays of that type, got one of float64"):
            ours(ours.point().astype(float))


def by_element(weights, tape, now, before, after, n):
    for j in range(tape.h.shape[1]):
        tape.h[after, j] = tape.z[now, j]


def by_number_of_the_step(weights, tape, now, before, after, n):
    give(tape.h, after, 0, 0, 7, take(tape.z if now == 0 else tape.h, now, 0, 0, 7))


def by_value(weights, tape, now, before, after, n):
    if take(tape.z, now, 0, 0, 7):
        give(tape.h, after, 0, 0, 7, take(tape.z, now, 0, 0, 7))


def by_neighbour(weights, tape, now, before, after, n):
    give(tape.h, after, 0, 0, 7, take(tape.z, now, 0, 0, 7) + take(tape.h, after, 1, 0, 6))


@pytest.mark.parametrize("step", [by_element, by_number_of_the_step, by_value, by_neighbour])
def test_a_step_that_says_what_has_no_text_gets_none(step, monkeypatch):
    weights = type(Elman(1, 1).weights(DeviceMatrices(Elman(1, 1), np.zeros(3))))
    monkeypatch.setitem(STEPS, (forward_step, weights), step)
    scan_text.cache_clear()
    assert scan_text(Elman(1, 7)) is None
    scan_text.cache_clear()


# ------------------------------------------------------------------------------------------------- barriers, memory


def steps_without(number, text):
    """The text of steps, each without its barrier of that number if it has so many."""
    lines, count = [], 0
    for line in text.splitlines():
        count = 0 if line.endswith("_STEP {") else count + (BARRIER in line)
        lines.append(line.replace(BARRIER, ";") if count == number + 1 else line)
    return "\n".join([*lines, ""])


def passes_that_differ(ours, change):
    """Which passes, on a right tape, give other bits in some order of threads, or fail, once their scan is changed."""
    differ = set()
    u, added = ours.random(ours.n_out, seed=2), ours.random((ours.R, ours.cell.n_columns), seed=3)
    passes = {
        "forward": lambda: ours(ours.point()),
        "rforward": lambda: ours.moved(ours.point(1)),
        "backward": lambda: ours.pulled(u),
        "damped_backward": lambda: ours.pulled(u, added=added, limit=0.5),
    }
    for order in range(8):
        with standin.installed(order) as cupy:
            right = ours.on(cupy).on_device.scan
            expected = ours.answers()
            broken = Poisoned(change(copy.copy(right.scan)))
            for (name, run), wanted in zip(passes.items(), expected, strict=True):
                ours.on_device.scan = broken
                try:
                    is_same = np.array_equal(run(), wanted)
                except RuntimeError:
                    is_same = False
                ours.on_device.scan = right
                ours(ours.point())
                if not is_same:
                    differ.add(name)
    return differ


@pytest.mark.slow
@pytest.mark.parametrize("build", [PEEPHOLES, MUT3])
def test_a_barrier_of_a_step_is_missed_when_it_is_left_out(build, one_processor):
    ours = problem(build)
    text = scan_text(ours.cell)
    barriers = {name.removesuffix("_step"): step.text.count(BARRIER) for name, step in text.steps.items()}

    def change(scan):
        scan.text = replace(text, text=steps_without(number, text.text))
        return scan

    for number in range(max(barriers.values())):
        expected = {name for name, n_barriers in barriers.items() if n_barriers > number}
        assert passes_that_differ(ours, change) >= expected, number


@pytest.mark.slow
def test_the_barrier_of_the_scan_is_missed_when_it_is_left_out(one_processor, tmp_path):
    text = SOURCE.read_text(encoding="utf-8")
    assert text.count(BARRIER) == 1
    (tmp_path / "scan.cu").write_text(text.replace(BARRIER, ";"), encoding="utf-8")
    shutil.copy(SOURCE.with_name("scan_words.cuh"), tmp_path)

    def change(scan):
        scan.source = tmp_path / "scan.cu"
        return scan

    assert passes_that_differ(problem(PEEPHOLES), change) >= {"backward", "damped_backward"}


SANITIZED = """
import sys
sys.path[:0] = {folders!r}
import numpy as np
from cuda_host import standin
standin.COMPILER = (*standin.COMPILER, "-fsanitize=address", "-g")
standin.N_PROCESSORS = 1
import test_device_scan as tests
with standin.installed() as cupy:
    for build, dtype in ((tests.PEEPHOLES, np.float64), (tests.MUT3, np.float32)):
        tests.problem(build, dtype, H=3, lengths=(2, 2, 1)).on(cupy).answers()
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


# ----------------------------------------------------------------------------------------------------- real cards


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="needs nvcc, or the wheel nvidia-cuda-nvrtc")
@pytest.mark.parametrize("card", EVERY_CARD)
@pytest.mark.parametrize(
    ("cell", "more"),
    [(Elman(3, 230), ()), (LSTM(3, 80, has_peepholes=True), ("-DREAL_IS_DOUBLE",)), (MUT3(3, 100), ())],
    ids=["elman", "lstm", "mut3"],
)
def test_kernels_compile_for_every_card_without_spills(card, cell, more, tmp_path):
    source = tmp_path / "scan.cu"
    source.write_text(scan_text(cell).text + SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
    folders = (f"-I{path}" for path in (Path(device.__file__).parent, SOURCE.parent))
    sizes = "-DSEQUENCES=8", f"-DMOST_THREADS={MOST_THREADS}", "-DFEWEST_BLOCKS=1"
    found = compiler()(source, card, (*sizes, *folders, *more))
    assert set(found.registers) == {f"scan_{name}" for name in ("forward", "rforward", "backward", "damped_backward")}
    assert max(found.registers.values()) <= MOST_REGISTERS, found.registers
    assert found.spilled == 0
    wide = "ld.shared.v2.f64" if more else "ld.shared.v4.f32"
    assert all(wide in found.of(name) and "bar.sync" in found.of(name) for name in found.registers)
