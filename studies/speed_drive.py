"""How fast are driving and fitting an echo state network, beside NumPy with SciPy, ReservoirPy, rclib, JAX and torch?

Method. One case a cell, all contestants in one process on the same matrices. Times are medians of warm calls, in
fifteen rounds of up to three, of which none begins once 50 ms have been timed, after the answers were compared
(1e-6). Rates are steps a second of predict, readout included; rivals run a shorter series, their rate does not depend
on its length, except that at everyday lengths, 1,000 to 10,000 steps, all run the same series. rclib draws matrices
of its own, of the same size and number of weights; its answers are not compared. float64, both threads for us and
whatever the rivals take; tanh, spectral radius 0.9, input scaling 1. Fits of one series have the reservoir and the
penalty given. Other cases compare a fit with the symmetric Gram product alone (BLAS dsyrk, all threads), and measure
building, and memory and start-up in fresh processes. `ratio` is ours over the best rival, or, for the cases of a bound,
the bound over what was measured; `reach` is what the project set itself.

Rivals are optional: pip install reservoirpy==0.4.2 rclib==0.2.0 jax (and torch for the batched fit).

Sources. The cases and the bars are the project's own.

Expected run time: about eighteen minutes by default on two cores. Run it alone, with --jobs 1.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import dataclass

import numpy as np

from studies.bench.findings import of_ratios
from studies.bench.timing import in_turn

NAN = float("nan")
TURN_S = 0.05


@dataclass(frozen=True)
class Settings:
    """One row of the table."""

    case: str
    leak_rate: float = 1.0
    n_repeats: int = 45
    scale: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Drive:
    """A predict: units, entries a row, steps of ours and of rivals, threads of ours, and the ratio to reach."""

    n_units: int
    n_steps: int
    rival_steps: int
    reach: float
    in_degree: int = 10
    topology: str = "sparse"
    n_jobs: int | None = None
    is_closed: bool = False


DRIVES = {
    "predict 1000": Drive(1000, 100_000, 3_000, 15),
    # Fewer than 3,000 steps are not cut in time: the kernel of one sequence runs.
    "one core, sparse 1000": Drive(1000, 2_900, 2_900, 4, n_jobs=1),
    "one core, shifts 1000": Drive(1000, 2_900, 2_900, 8, topology="shifts", n_jobs=1),
    "predict 100": Drive(100, 100_000, 20_000, 8),
    "predict 5000": Drive(5000, 50_000, 1_000, 8),
    "predict 1000, 10 % dense": Drive(1000, 100_000, 2_000, 10, in_degree=100),
    "closed loop, shifts 1000": Drive(1000, 10_000, 3_000, 4, topology="shifts", n_jobs=1, is_closed=True),
    "closed loop, sparse 1000": Drive(1000, 10_000, 3_000, 3, n_jobs=1, is_closed=True),
}
EVERYDAY = {
    f"{topology} {n_units}, {n_steps} steps": Drive(n_units, n_steps, n_steps, reach, topology=topology)
    for n_units in (100, 300, 1000)
    for n_steps in (1_000, 3_000, 10_000)
    for topology, reach in (("sparse", 3.5), ("shifts", 4.0 if (n_units, n_steps) == (100, 1_000) else 8.0))
}
FITS = {
    f"fit {topology} {n_units}, {n_steps} steps": (topology, n_units, n_steps)
    for topology in ("sparse", "shifts")
    for n_units in (100, 300, 1000)
    for n_steps in (1_000, 10_000)
}
BOUNDS = {
    "fit 1000 over Gram product": 1.3,
    "search in 2 processes over 1": 1.0,
    "build 1000, s": 0.15,
    "memory of fit 500, 1e6 steps, MB": 200.0,
    "first call over warm call, s": 0.6,
    "import reservoir, s": 1.3,
    "import of an estimator, s": 1.3,
}
GRID = {
    "quick": [{"case": ["predict 100", "closed loop, sparse 1000", "build 1000, s"], "n_repeats": 3, "scale": 0.05}],
    "default": [
        {"case": [*DRIVES, "fit 200 sequences", *BOUNDS]},
        {"case": [*DRIVES, *EVERYDAY, *FITS], "leak_rate": 0.3},
    ],
}
EXPECTED_S = {"quick": 5, "default": 1080}
COLUMNS = ("ours", "numpy_scipy", "reservoirpy", "rclib", "jax", "torch", "ratio", "reach")
BY = ("case", "leak_rate")


def run(settings: Settings) -> list[dict]:
    """Medians of one case."""
    drives = DRIVES | EVERYDAY
    if settings.case in drives:
        found = _drive(drives[settings.case], settings)
    elif settings.case in FITS:
        found = _fit(*FITS[settings.case], settings)
    elif settings.case == "fit 200 sequences":
        found = _fit_sequences(settings)
    else:
        value = {
            "fit 1000 over Gram product": _fit_over_gram,
            "search in 2 processes over 1": _search_in_processes,
            "build 1000, s": _build,
            "memory of fit 500, 1e6 steps, MB": _memory,
            "first call over warm call, s": _first_call,
            "import reservoir, s": lambda settings: _import("import reservoir"),
            "import of an estimator, s": lambda settings: _import("from reservoir import ESNRegressor"),
        }[settings.case](settings)
        bound = BOUNDS[settings.case]
        found = {"ours": value, "ratio": bound / value, "reach": 1.0}
    return [{column: found.get(column, NAN) for column in COLUMNS}]


def _drive(case: Drive, settings: Settings) -> dict:
    from studies.learners import rivals

    rng = np.random.default_rng(settings.seed)
    n_steps = max(100, int(case.n_steps * settings.scale))
    rival_steps = max(100, int(case.rival_steps * settings.scale))
    u = rng.uniform(-1, 1, (n_steps, 1))
    model, ours = _model(case, settings, u)
    coef, intercept = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    others = {
        "numpy_scipy": rivals.numpy_scipy_closed if case.is_closed else rivals.numpy_scipy,
        "reservoirpy": None if case.is_closed else rivals.reservoirpy,
        "rclib": None if case.is_closed else rivals.rclib,
        # a dense scan at 5,000 units takes minutes
        "jax": None if case.n_units > 2000 else rivals.jax_closed if case.is_closed else rivals.jax_scan,
    }
    contestants = {name: make(model.reservoir_, coef, intercept) for name, make in others.items() if make}
    contestants = {name: drive for name, drive in contestants.items() if drive}
    short = np.ascontiguousarray(u[:rival_steps])
    answer = ours(u)[:rival_steps]
    for name, drive in contestants.items():
        if name == "rclib":
            continue
        # a closed loop may amplify rounding: its beginning is compared
        n = 50 if case.is_closed else rival_steps
        if not np.allclose(drive(short)[:n], answer[:n], rtol=0, atol=1e-6 * max(1.0, np.abs(answer).max())):
            raise ArithmeticError(f"expected equal answers on equal matrices, got another one from {name}")
    times = in_turn(
        {"ours": lambda: ours(u)} | {k: _call(f, short) for k, f in contestants.items()},
        settings.n_repeats,
        turn_s=TURN_S,
    )
    rates = {name: (n_steps if name == "ours" else rival_steps) / t for name, t in times.items()}
    best = max(rate for name, rate in rates.items() if name != "ours")
    return rates | {"ratio": rates["ours"] / best, "reach": float(case.reach)}


def _model(case: Drive, settings: Settings, u: np.ndarray):
    """A fitted estimator and its drive; the readout is of ordinary size and predicts nothing of interest."""
    from reservoir import ESNForecaster, ESNRegressor

    common = {
        "in_degree": case.in_degree,
        "topology": case.topology,
        "leak_rate": settings.leak_rate,
        "n_jobs": case.n_jobs,
        "alpha": 1.0,
        "random_state": settings.seed,
        "solver": "gram",
    }
    if case.is_closed:
        wave = np.sin(0.2 * np.arange(1500))[:, None]
        model = ESNForecaster(
            case.n_units, input_scaling=1.0, bias_scaling=0.0, standardize=False, guard=None, **common
        ).fit(wave)
        return model, _from_rest(model)
    model = ESNRegressor(case.n_units, **common).fit(u[:1500], u[:1500, 0])
    return model, lambda u: model.predict(u)[:, None]


def _from_rest(model):
    """The closed loop from rest, as rivals run it: the first row of the inputs is all that it has seen."""
    from reservoir import ColdStartWarning

    def forecast(u: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ColdStartWarning)
            return model.forecast(len(u), context=u[:1])

    return forecast


def _call(function, *args):
    return lambda: function(*args)


def _fit(topology: str, n_units: int, n_steps: int, settings: Settings) -> dict:
    """One series, the reservoir and the penalty given; steps a second."""
    from reservoir import ESNRegressor
    from studies.learners import rivals

    n_steps = max(100, int(n_steps * settings.scale))
    u = np.random.default_rng(settings.seed).uniform(-1, 1, (n_steps, 1))
    y = np.roll(u[:, 0], 3)
    kept = {"leak_rate": settings.leak_rate, "warm_start": True, "random_state": settings.seed}
    model = ESNRegressor(n_units, topology=topology, alpha=1.0, **kept).fit(u, y)
    contestants = {
        "ours": lambda: model.fit(u, y),
        "numpy_scipy": _call(rivals.numpy_batched_fit, model.reservoir_, u[None], y[None], 1.0),
        "rclib": rivals.rclib_fit(model.reservoir_, u, y),
    }
    if not np.allclose(contestants["numpy_scipy"](), model.coef_, atol=1e-6):
        raise ArithmeticError("expected equal readouts on equal matrices, got another one from numpy_scipy")
    times = in_turn({k: fit for k, fit in contestants.items() if fit}, settings.n_repeats, turn_s=TURN_S)
    rates = {name: n_steps / t for name, t in times.items()}
    best = max(rate for name, rate in rates.items() if name != "ours")
    return rates | {"ratio": rates["ours"] / best, "reach": 5.0}


def _fit_sequences(settings: Settings) -> dict:
    """200 sequences of 200 steps, 100 units, reservoir given; fits a second."""
    from reservoir import ESNRegressor
    from studies.learners import rivals

    rng = np.random.default_rng(settings.seed)
    X = rng.uniform(-1, 1, (200, 200, 1))
    y = np.roll(X[:, :, 0], 2, axis=1)
    model = ESNRegressor(100, alpha=1e-3, warm_start=True, random_state=settings.seed).fit(X, y)
    others = {"numpy_scipy": rivals.numpy_batched_fit, "torch": rivals.torch_batched_fit}
    contestants = {k: _call(f, model.reservoir_, X, y, 1e-3) for k, f in others.items()}
    contestants = {name: fit for name, fit in contestants.items() if fit() is not None}
    for name, fit in contestants.items():
        if not np.allclose(fit(), model.coef_, atol=1e-6):
            raise ArithmeticError(f"expected equal readouts on equal matrices, got another one from {name}")
    times = in_turn({"ours": lambda: model.fit(X, y)} | contestants, settings.n_repeats, turn_s=TURN_S)
    rates = {name: 1.0 / t for name, t in times.items()}
    best = max(rate for name, rate in rates.items() if name != "ours")
    return rates | {"ratio": rates["ours"] / best, "reach": 6.0}


def _fit_over_gram(settings: Settings) -> float:
    """Time of a fit, 1000 units, 10,000 steps, reservoir kept, over that of dsyrk on states of that size."""
    from scipy.linalg.blas import dsyrk

    from reservoir import ESNRegressor

    rng = np.random.default_rng(settings.seed)
    u = rng.uniform(-1, 1, (10_000, 1))
    y = np.roll(u[:, 0], 3)
    model = ESNRegressor(1000, alpha=1e-6, warm_start=True, random_state=settings.seed).fit(u, y)
    Z = np.asfortranarray(rng.uniform(-1, 1, (1002, 10_000)))
    times = in_turn({"fit": lambda: model.fit(u, y), "gram": lambda: dsyrk(1.0, Z)}, settings.n_repeats, turn_s=TURN_S)
    return times["fit"] / times["gram"]


def _search_in_processes(settings: Settings) -> float:
    """Seconds of a grid search of 12 settings, 500 units, 5,000 steps, by two processes that are up, over one."""
    from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

    from reservoir import ESNRegressor

    u = np.random.default_rng(settings.seed).uniform(-1, 1, (5000, 1))
    y = np.roll(u[:, 0], 3) * np.roll(u[:, 0], 1)
    grid = {"spectral_radius": [0.5, 0.7, 0.9, 1.0], "input_scaling": [0.1, 0.5, 1.0]}
    model = ESNRegressor(500, alpha=1e-6, random_state=settings.seed)
    searches = {n: GridSearchCV(model, grid, cv=TimeSeriesSplit(3), n_jobs=n) for n in (1, 2)}
    times = in_turn({str(n): _call(search.fit, u, y) for n, search in searches.items()}, 6, turn_s=TURN_S)
    return times["2"] / times["1"]


def _build(settings: Settings) -> float:
    from reservoir.drive.weights import build_reservoir

    def build() -> None:
        build_reservoir(n_units=1000, n_inputs=1, rng=np.random.default_rng(settings.seed))

    return in_turn({"build": build}, settings.n_repeats, turn_s=TURN_S)["build"]


MEMORY = """
import numpy as np
from reservoir import ESNRegressor
rng = np.random.default_rng(0)
u = rng.uniform(-1, 1, (1_000_000, 1)); y = np.roll(u[:, 0], 3)
def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name + ":")) / 1024
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
before = status("VmRSS")
ESNRegressor(500, random_state=0).fit(u, y)
print(status("VmHWM") - before)
"""
FIRST_CALL = """
import time, numpy as np
from reservoir import ESNRegressor
u = np.random.default_rng(0).uniform(-1, 1, (5000, 1))
def call():
    start = time.perf_counter(); ESNRegressor(200, random_state=0).fit(u, u[:, 0]).predict(u)
    return time.perf_counter() - start
first = call(); print(first - min(call() for _ in range(5)))
"""
IMPORT = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def _fresh(script: str) -> float:
    """What ``script`` prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _memory(settings: Settings) -> float:
    return _fresh(MEMORY)


def _first_call(settings: Settings) -> float:
    _fresh(FIRST_CALL)
    return float(np.median([_fresh(FIRST_CALL) for _ in range(5)]))


def _import(statement: str) -> float:
    script = IMPORT.format(statement)
    _fresh(script)
    return float(np.median([_fresh(script) for _ in range(5)]))


def finding(rows) -> str:
    """In how many cases ours is faster."""
    return of_ratios(rows)


def remarks(rows) -> list[str]:
    """Which rivals were missing."""
    from studies.learners.rivals import hint

    return [hint()] if hint() else []


def plot(rows):
    """Ratio to the best rival, or to the bound, beside what was to be reached."""
    from studies.bench.figures import panels

    table = rows.groupby(["case", "leak_rate"], sort=False)[["ratio", "reach"]].median().iloc[::-1]
    figure, (axes,) = panels(1, width=7.5)
    figure.set_size_inches(7.5, 0.32 * len(table) + 1.2)
    where = np.arange(len(table))
    axes.barh(where, table["ratio"], color="#0072b2", height=0.6)
    axes.plot(table["reach"], where, "|", color="#d55e00", markersize=12, markeredgewidth=2, label="set out to reach")
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.set_yticks(where, [f"{case} (leak {leak:g})" for case, leak in table.index])
    axes.set(xlabel="times faster than the best rival (or below the bound)", title="Echo state networks, float64")
    axes.legend(loc="lower right")
    return figure
