"""Is what the GPU kernels compute right on this card, and how fast are they?

Method. Every check is a cell of its own, so that one failure leaves the others standing. Correctness comes first:
fresh random inputs, outputs that begin as NaN, odd sizes, against loops in float64 NumPy; runs repeated, which must
give the same bits; a grid that cannot be resident, which must be refused; estimators against the same on the CPU.
Then times by the events of the device, medians of `n_repeats` launches on three inputs in rotation, beside a sparse
product and a tanh per step in CuPy. `value` is an error where the unit is "relative", and then `bound` is what it may
be at most.

The profile "quick" runs all but the times on a stand-in for CuPy, whose kernels run on the host, where the tests of
this package and g++ are at hand.

Sources. The kernels are the project's own (`reservoir/drive.cu`).

Expected run time: about three minutes on a GPU, of which the first half minute compiles.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RELATIVE = {"float32": 1e-5, "float64": 1e-12}
SIZES = {"quick": ((1, 1), (33, 5)), "gpu": ((1, 1), (31, 0), (97, 30), (1000, 10), (2001, 100))}
TIMED = {
    "1,000 units, 10 a row": (1000, 10),
    "10,000 units, 10 a row": (10_000, 10),
    "1,000 units, 100 a row": (1000, 100),
}
CORRECT = ("open loop", "closed loop", "same bits", "resident grid", "estimators")


@dataclass(frozen=True)
class Settings:
    """One check."""

    check: str
    standin: bool = False
    n_repeats: int = 20
    device: str = "gpu"
    seed: int = 0


GRID = {
    "quick": [{"check": [*CORRECT], "standin": True}],
    "default": [{"check": ["device", *CORRECT, *TIMED]}],
}
EXPECTED_S = {"quick": 5, "default": 180}
COLUMNS = ("quantity", "value", "unit", "bound")
BY = ("check", "quantity", "unit")


def run(settings: Settings) -> list[dict]:
    """The rows of one check."""
    with _standin() if settings.standin else nullcontext() as there:
        if settings.standin and there is None:
            return [row("not run: the stand-in needs g++ and the tests of this package")]
        parts = {
            "device": _device,
            "open loop": _open_loop,
            "closed loop": _closed_loop,
            "same bits": _same_bits,
            "resident grid": _resident_grid,
            "estimators": _estimators,
        }
        return parts.get(settings.check, _times)(settings)


def finding(rows) -> str:
    """How many quantities kept within their bounds; one that does not is a failed row."""
    bounded = rows[rows["bound"].notna()]
    return f"{len(bounded)} quantities of {bounded['check'].nunique()} checks are within their bounds."


def row(quantity: str, value: float = float("nan"), unit: str = "", bound: float = float("nan")) -> dict[str, Any]:
    """One row; a value above its bound is a failure of the check."""
    if value > bound:
        raise ArithmeticError(f"{quantity}: expected at most {bound} {unit}, got {value}")
    return {"quantity": quantity, "value": value, "unit": unit, "bound": bound}


def _standin() -> Any:
    """The stand-in for CuPy as a context, or one that gives None where it is not at hand."""
    folder = Path(__file__).resolve().parents[1] / "tests"
    if shutil.which("g++") is None or not (folder / "cuda_host" / "standin.py").exists():
        return nullcontext()
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    from cuda_host import standin

    return standin.installed()


# ---------------------------------------------------------------------------------------------------- what is there


def _cupy() -> Any:
    """CuPy's module."""
    from optim.device import namespace, to_device

    return namespace(to_device(np.zeros(1)))


def _device(settings: Settings) -> list[dict]:
    """Card, versions, and the rates of copies and of products."""
    cupy = _cupy()
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    n = 4096
    rows = [
        row(f"{properties['name'].decode()}, CuPy {cupy.__version__}", properties["multiProcessorCount"], "processors"),
        row("driver", cupy.cuda.runtime.driverGetVersion(), "version"),
    ]
    for name in ("float32", "float64"):
        a = cupy.ones((n, n), name)
        seconds = _seconds(lambda a=a: a @ a, settings.n_repeats)
        rows.append(row(f"product, {name}", 2e-12 * n**3 / seconds, "TFLOP/s"))
    source = cupy.ones(2**26, "float32")
    target = cupy.empty_like(source)
    seconds = _seconds(lambda: cupy.copyto(target, source), settings.n_repeats)
    return [*rows, row("copy", 2 * source.nbytes * 1e-9 / seconds, "GB/s")]


# ------------------------------------------------------------------------------------------------------ correctness


def _problem(N: int, in_degree: int, settings: Settings, *, B: int = 2, T: int = 20):
    """A reservoir with what drives it and where it starts, in float64."""
    import scipy.sparse as sp

    from reservoir.drive.weights import build_reservoir

    rng = np.random.default_rng([settings.seed, N, in_degree])
    columns = np.concatenate([rng.choice(N, min(in_degree, N), replace=False) for _ in range(N)]).astype(int)
    rows = np.repeat(np.arange(N), min(in_degree, N))
    values = rng.uniform(-1, 1, len(columns)) * 1.5 / max(1, in_degree) ** 0.5
    W = sp.csr_array((values, (rows, columns)), shape=(N, N))
    reservoir = build_reservoir(n_units=N, n_inputs=0, topology=W, spectral_radius=None, leak_rate=0.4, rng=rng)
    return reservoir, rng.uniform(-1, 1, (B, T, N)), rng.uniform(-1, 1, (B, N))


def _twin(reservoir, driven, start, closed=None):
    """States, and outputs if the loop is closed, step by step in float64."""
    x, states, outputs = start, [], []
    y = None if closed is None else closed["first_output"]
    for t in range(driven.shape[1]):
        z = (reservoir.W @ x.T).T + driven[:, t]
        z = z if closed is None else z + y @ closed["fed"].T
        x = x + reservoir.leak * (np.tanh(z) - x)
        if closed is not None:
            y = x @ closed["coef"].T + y @ closed["again"].T + closed["offset"][:, t]
            outputs.append(y)
        states.append(x)
    return np.stack(states, 1), np.stack(outputs, 1) if outputs else None


def _error(got: Any, expected: np.ndarray) -> float:
    """Largest error relative to the largest value; infinite where anything is NaN."""
    from optim.device import to_host

    difference = float(np.abs(to_host(got) - expected).max() / np.abs(expected).max())
    return difference if np.isfinite(difference) else float("inf")


def _sizes(settings: Settings) -> tuple:
    return SIZES["quick" if settings.standin else "gpu"]


def _open_loop(settings: Settings) -> list[dict]:
    from optim.device import to_device
    from reservoir.drive.device_drive import drive_open, lay_out

    rows = []
    for dtype, bound in RELATIVE.items():
        for N, in_degree in _sizes(settings):
            reservoir, driven, start = _problem(N, in_degree, settings)
            states = drive_open(lay_out(reservoir, dtype), to_device(driven, dtype), to_device(start, dtype))
            error = _error(states, _twin(reservoir, driven, start)[0])
            rows.append(row(f"{N} units, {in_degree} a row, {dtype}", error, "relative", bound))
    return rows


def _closed(N: int, O: int, settings: Settings, B: int, T: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([settings.seed, N, O])
    return {
        "fed": rng.uniform(-1, 1, (N, O)),
        "coef": rng.uniform(-1, 1, (O, N)) / N,
        "again": np.zeros((O, O)),
        "offset": rng.uniform(-1, 1, (B, T, O)),
        "first_output": rng.uniform(-1, 1, (B, O)),
    }


def _closed_loop(settings: Settings) -> list[dict]:
    from optim.device import to_device
    from reservoir.drive.device_drive import drive_closed, lay_out

    rows = []
    for dtype, bound in RELATIVE.items():
        for N, in_degree in _sizes(settings):
            reservoir, driven, start = _problem(N, in_degree, settings)
            closed = _closed(N, 3, settings, *driven.shape[:2])
            there = {name: to_device(array, dtype) for name, array in closed.items()}
            run = drive_closed(lay_out(reservoir, dtype), to_device(driven, dtype), to_device(start, dtype), **there)
            error = max(map(_error, run, _twin(reservoir, driven, start, closed)))
            rows.append(row(f"{N} units, {in_degree} a row, {dtype}", error, "relative", 10 * bound))
    return rows


def _same_bits(settings: Settings) -> list[dict]:
    from optim.device import to_device, to_host
    from reservoir.drive.device_drive import drive_open, lay_out

    N, in_degree = _sizes(settings)[-1]
    reservoir, driven, start = _problem(N, in_degree, settings)
    arguments = lay_out(reservoir), to_device(driven, np.float32), to_device(start, np.float32)
    runs = [to_host(drive_open(*arguments)) for _ in range(5)]
    differing = sum(not np.array_equal(runs[0], other) for other in runs[1:])
    return [row("runs of 5 that differ from the first", differing, "runs", 0)]


def _resident_grid(settings: Settings) -> list[dict]:
    from optim import device
    from reservoir.drive.device_drive import SOURCE, THREADS, lay_out

    kernel = device.kernels(SOURCE, **lay_out(_problem(40, 10, settings)[0]).constants).get_function("drive_open")
    most = device.most_blocks_together(kernel, THREADS)
    try:
        device.launch_together(kernel, most + 1, THREADS, ())
    except RuntimeError:
        return [row("blocks that the card holds at once", most, "blocks")]
    raise AssertionError(f"expected a grid of {most + 1} blocks to be refused, got a launch")


def _estimators(settings: Settings) -> list[dict]:
    from reservoir import ESNForecaster, ESNRegressor

    t = np.arange(300 if settings.standin else 3000) * 0.3
    X = np.column_stack([np.sin(t), np.cos(0.7 * t)])
    small = {"n_units": 30 if settings.standin else 300, "alpha": 1e-3, "random_state": 0}
    rows = []
    for name, kind, more, answer in (
        ("regressor", ESNRegressor, {}, lambda model: model.predict(X)),
        ("forecaster", ESNForecaster, {"washout": 50}, lambda model: model.forecast(10)),
    ):
        data = (X[:-1], X[1:]) if kind is ESNRegressor else (X,)
        expected, got = (answer(kind(**small, **more, device=device).fit(*data)) for device in ("cpu", "gpu"))
        rows.append(row(name, _error(got, expected), "relative", 1e-6))
    return rows


# ------------------------------------------------------------------------------------------------------------- times


def _seconds(call: Any, n_repeats: int) -> float:
    """Median seconds of a call by the events of the device, after three calls that do not count."""
    cupy, times = _cupy(), []
    for i in range(n_repeats + 3):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        call()
        end.record()
        end.synchronize()
        if i >= 3:
            times.append(1e-3 * cupy.cuda.get_elapsed_time(begin, end))
    return statistics.median(times)


def _times(settings: Settings) -> list[dict]:
    """Microseconds per step of both loops, and of a loop of one sparse product and one tanh per step in CuPy."""
    import itertools

    from cupyx.scipy.sparse import csr_matrix

    from optim.device import to_device
    from reservoir.drive.device_drive import drive_closed, drive_open, lay_out

    N, in_degree = TIMED[settings.check]
    T = 2000
    reservoir, driven, start = _problem(N, in_degree, settings, B=1, T=T)
    rows, x = lay_out(reservoir), to_device(start, np.float32)
    inputs = itertools.cycle([to_device(np.roll(driven, shift, axis=1), np.float32) for shift in range(3)])
    closed = {name: to_device(array, np.float32) for name, array in _closed(N, 3, settings, 1, T).items()}
    W = csr_matrix(reservoir.W.astype(np.float32))

    tanh = _cupy().tanh

    def eager():
        state, p = x[0], next(inputs)[0]
        for t in range(200):
            state = state + np.float32(0.4) * (tanh(W @ state + p[t]) - state)

    micro = {
        "open loop": 1e6 / T * _seconds(lambda: drive_open(rows, next(inputs), x), settings.n_repeats),
        "closed loop": 1e6 / T * _seconds(lambda: drive_closed(rows, next(inputs), x, **closed), settings.n_repeats),
        "sparse product and tanh in CuPy": 1e6 / 200 * _seconds(eager, 5),
    }
    return [row(name, value, "us a step") for name, value in micro.items()]


def plot(rows):
    """Errors beside their bounds."""
    from studies.bench.figures import panels

    figure, (axes,) = panels(1, width=6.4)
    measured = rows[rows["unit"] == "relative"]
    names = (measured["check"] + ": " + measured["quantity"]).tolist()
    axes.plot(measured["value"].clip(lower=1e-17), range(len(names)), "o", label="error")
    axes.plot(measured["bound"], range(len(names)), "|", label="bound")
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="relative error", xscale="log")
    axes.invert_yaxis()
    axes.set_title("GPU kernels beside NumPy")
    axes.legend()
    return figure
