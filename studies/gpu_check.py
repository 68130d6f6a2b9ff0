"""Is what the GPU kernels compute right on this card, and how fast are they?

Method. Every check is a cell of its own, so that one failure leaves the others standing. Correctness comes first:
fresh random inputs, outputs that begin as NaN, odd sizes, against loops in float64 NumPy; runs repeated, which must
give the same bits; a grid that cannot be resident, which must be refused; estimators against the same on the CPU.
Networks of every cell, cells as large as their kernels take, and methods on vectors of the device are held to the CPU.
Then times by the events of the device, medians of `n_repeats` launches on three inputs in rotation, beside a sparse
product and a tanh per step in CuPy and, where it is installed with CUDA, in PyTorch; what sums of a readout take beside
a bare float64 product; and gradients and Gauss-Newton products of networks, beside cuDNN's gradient and the product
that PyTorch gets by differentiating twice. `value` is an error where the unit is "relative", and then `bound` is what
it may be at most.

The profile "quick" runs all but the times on a stand-in for CuPy, whose kernels run on the host, where the tests of
this package and g++ are at hand.

Sources. The kernels are the project's own (`reservoir/drive/kernels.cu` and `many.cu`, `cells/device/scan.cu`).

Expected run time: about four minutes on a GPU, of which the first half minute compiles.
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

from studies.bench.device_networks import cell_rows, network_times, scan_rows
from studies.bench.device_rows import RELATIVE, relative_error, row
from studies.bench.device_timing import cupy_module, device_seconds, torch_loop_seconds

SIZES = {"quick": ((1, 1), (33, 5)), "gpu": ((1, 1), (31, 0), (97, 30), (1000, 10), (2001, 100))}
TIMED = {
    "1,000 units, 10 a row": (1000, 10),
    "10,000 units, 10 a row": (10_000, 10),
    "1,000 units, 100 a row": (1000, 100),
}
CORRECT = (
    "open loop",
    "long rows",
    "many reservoirs",
    "closed loop",
    "same bits",
    "resident grid",
    "estimators",
    "cells",
    "scans",
    "methods",
)
NETWORKS = "networks of 100 units on 1,000 sequences of 200 steps"
SEARCH = "a search over 1,000 configurations of 1,000 units"
SUMS = "sums of 1,000 units over 100,000 steps"


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
    "default": [{"check": ["device", *CORRECT, *TIMED, SEARCH, SUMS, NETWORKS]}],
}
EXPECTED_S = {"quick": 5, "default": 240}
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
            "long rows": _long_rows,
            "many reservoirs": _many_reservoirs,
            SEARCH: _search,
            "closed loop": _closed_loop,
            "same bits": _same_bits,
            "resident grid": _resident_grid,
            "estimators": _estimators,
            "cells": cell_rows,
            "scans": scan_rows,
            "methods": _methods,
            SUMS: _sums,
            NETWORKS: network_times,
        }
        return parts.get(settings.check, _times)(settings)


def finding(rows) -> str:
    """How many quantities kept within their bounds; one that does not is a failed row."""
    bounded = rows[rows["bound"].notna()]
    return f"{len(bounded)} quantities of {bounded['check'].nunique()} checks are within their bounds."


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


def _device(settings: Settings) -> list[dict]:
    """Card, versions, and the rates of copies and of products."""
    cupy = cupy_module()
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    n = 4096
    rows = [
        row(f"{properties['name'].decode()}, CuPy {cupy.__version__}", properties["multiProcessorCount"], "processors"),
        row("driver", cupy.cuda.runtime.driverGetVersion(), "version"),
    ]
    for name in ("float32", "float64"):
        a = cupy.ones((n, n), name)
        seconds = device_seconds(lambda a=a: a @ a, settings.n_repeats)
        rows.append(row(f"product, {name}", 2e-12 * n**3 / seconds, "TFLOP/s"))
    source = cupy.ones(2**26, "float32")
    target = cupy.empty_like(source)
    seconds = device_seconds(lambda: cupy.copyto(target, source), settings.n_repeats)
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
            error = relative_error(states, _twin(reservoir, driven, start)[0])
            rows.append(row(f"{N} units, {in_degree} a row, {dtype}", error, "relative", bound))
    return rows


def _long_rows(settings: Settings) -> list[dict]:
    """Rows of more entries than the registers of their threads take, from shared memory: one thread to each row."""
    from optim.device import to_device
    from reservoir.drive.device_drive import drive_open, lay_out, one_lane

    N, in_degree = (33, 20) if settings.standin else (2001, 100)
    reservoir, driven, start = _problem(N, in_degree, settings, T=3 if settings.standin else 20)
    expected, found = _twin(reservoir, driven, start)[0], []
    for dtype, bound in RELATIVE.items():
        states = drive_open(one_lane(lay_out(reservoir, dtype)), to_device(driven, dtype), to_device(start, dtype))
        found.append(row(f"{N} units, {in_degree} a row, {dtype}", relative_error(states, expected), "relative", bound))
    return found


def _configurations(N: int, C: int, settings: Settings) -> tuple:
    """Radius, scale of inputs, scale of the bias and leak (4, C), the bias (N,), and starts (C, N)."""
    rng = np.random.default_rng([settings.seed, N, C])
    return rng.uniform(0.1, 1, (4, C)), rng.uniform(-1, 1, N), rng.uniform(-1, 1, (C, N))


def _many_reservoirs(settings: Settings) -> list[dict]:
    """Reservoirs of one graph in one launch, an odd number of them, each against its own loop in NumPy."""
    from optim.device import to_device
    from reservoir.drive.device_drive import lay_out
    from reservoir.drive.device_many import Configurations, drive_many

    N, in_degree, C = (33, 5, 5) if settings.standin else (1000, 10, 65)
    reservoir, driven, _ = _problem(N, in_degree, settings, B=1)
    numbers, bias, start = _configurations(N, C, settings)
    x, expected = start, []
    radius, scale, of_bias, leak = numbers[:, :, None]
    for p in driven[0]:
        x = x + leak * (np.tanh(radius * (reservoir.W @ x.T).T + scale * p + of_bias * bias) - x)
        expected.append(x)
    rows = []
    for dtype, bound in RELATIVE.items():
        given, q, x = (to_device(array, dtype) for array in (driven[0], bias, start))
        of = Configurations(*(to_device(row, dtype) for row in numbers))
        states = drive_many(lay_out(reservoir, dtype), given, q, of, x)
        rows.append(row(f"{C} of {N} units, {dtype}", relative_error(states, np.stack(expected, 1)), "relative", bound))
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
            error = max(map(relative_error, run, _twin(reservoir, driven, start, closed)))
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
        rows.append(row(name, relative_error(got, expected), "relative", 1e-6))
    return rows


def _methods(settings: Settings) -> list[dict]:
    """Steps of methods on vectors of the device, beside those on vectors of the host."""
    from optim import Adam, HessianFree, from_callables, minimize
    from optim.device import to_device

    n = 50
    diagonal, start, rows = np.linspace(1, 10, n), np.ones(n), []
    for method in (Adam(0.1), HessianFree(damping=0.1)):
        thetas = []
        for place in (np.asarray, to_device):
            A = place(diagonal)
            bowl = from_callables(
                lambda x, A=A: (float(0.5 * (A * x * x).sum()), A * x), lambda x, v, A=A: A * v, n_params=n
            )
            thetas.append(minimize(bowl, place(start), method, max_iterations=5).theta)
        rows.append(row(type(method).__name__, relative_error(thetas[1], thetas[0]), "relative", 1e-9))
    return rows


# ------------------------------------------------------------------------------------------------------------- times


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

    tanh = cupy_module().tanh

    def eager():
        state, p = x[0], next(inputs)[0]
        for t in range(200):
            state = state + np.float32(0.4) * (tanh(W @ state + p[t]) - state)

    micro = {
        "open loop": 1e6 / T * device_seconds(lambda: drive_open(rows, next(inputs), x), settings.n_repeats),
        "closed loop": 1e6
        / T
        * device_seconds(lambda: drive_closed(rows, next(inputs), x, **closed), settings.n_repeats),
        "sparse product and tanh in CuPy": 1e6 / 200 * device_seconds(eager, 5),
    }
    in_torch = torch_loop_seconds(reservoir.W, driven[0, :200], settings.n_repeats)
    if in_torch is not None:
        micro["sparse product and tanh in PyTorch"] = 1e6 / 200 * in_torch
    return [row(name, value, "us a step") for name, value in micro.items()]


def _search(settings: Settings) -> list[dict]:
    """Steps a second of all configurations together."""
    from optim.device import to_device
    from reservoir.drive.device_drive import lay_out
    from reservoir.drive.device_many import Configurations, drive_many

    N, C, T = 1000, 1000, 1000
    reservoir, driven, _ = _problem(N, 10, settings, B=1, T=T)
    numbers, bias, start = _configurations(N, C, settings)
    given, q, x = (to_device(array, np.float32) for array in (driven[0], bias, start))
    rows, of = lay_out(reservoir), Configurations(*(to_device(row, np.float32) for row in numbers))
    seconds = device_seconds(lambda: drive_many(rows, given, q, of, x), settings.n_repeats)
    return [row("all together", C * T / seconds, "configuration-steps/s")]


def _sums(settings: Settings) -> list[dict]:
    """Seconds of the sums of a readout, states included, and of the float64 product that they cannot do without."""
    import time

    from reservoir import ESNRegressor

    N, T = 1000, 100_000
    X = np.random.default_rng(settings.seed).uniform(-1, 1, (T, 1)).astype(np.float32)
    model = ESNRegressor(N, alpha=1e-3, solver="gram", device=settings.device, random_state=settings.seed)
    seconds = []
    for _ in range(4):
        begin = time.perf_counter()
        model.fit(X, X)
        seconds.append(time.perf_counter() - begin)
    tile = cupy_module().ones((N, T // 10), "float64")
    bare = 10 * device_seconds(lambda: tile @ tile.T, 5)
    return [row("fit", statistics.median(seconds[1:]), "s"), row("product of the states alone", bare, "s")]


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
