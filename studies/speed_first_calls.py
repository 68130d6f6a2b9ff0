"""How long does a newcomer wait: what does the first call of a kind cost, with nothing compiled and with all compiled?

Method. Every case runs in two fresh processes, one after the other, which share a folder of kernels that is empty for
the first. `empty` is the first call of the first process, `kept` that of the second, `again` the call after it;
`imports` are those of what the case needs, of which `scikit_learn` is what scikit-learn, SciPy and NumPy take alone, in
a process of their own. Processor seconds of all threads, but for `empty_wall`. Data are small.

Sources. The cases are the project's own. Numba compiles a kernel where it is first called and keeps it on disk.

Expected run time: two minutes by default on two cores. Run it alone, with --jobs 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

LSTM = """
import numpy as np, cells, optim
""", """
rng = np.random.default_rng(0)
X = [rng.standard_normal((30, 3)) for _ in range(20)]
network = cells.Network(cells.LSTM(3, 32), n_out=1)
objective = cells.SequenceObjective(network, X, [x[:, :1] for x in X])
theta = cells.initial_theta(network, rng=rng)
"""  # fmt: skip
SERIES = "t = np.arange(2000.0); X = (np.sin(0.1 * t) + np.sin(0.0234 * t))[:, None]"
LABELLED = "rng = np.random.default_rng(0); X = list(rng.standard_normal((40, 50, 3))); y = np.arange(40) % 2"
# imports, what is not timed, the call
CASES: dict[str, tuple[str, str, str]] = {
    "ESNRegressor: fit, predict": (
        "import numpy as np; from reservoir import ESNRegressor",
        SERIES,
        "ESNRegressor(random_state=0).fit(X, X[:, 0]).predict(X)",
    ),
    "ESNForecaster: fit, forecast": (
        "import numpy as np; from reservoir import ESNForecaster",
        SERIES,
        "ESNForecaster(random_state=0).fit(X).forecast(100)",
    ),
    "ESNClassifier: fit, predict": (
        "import numpy as np; from reservoir import ESNClassifier",
        LABELLED,
        "ESNClassifier(random_state=0).fit(X, y).predict(X)",
    ),
    "RNNClassifier: fit, predict": (
        "import numpy as np; from cells import RNNClassifier",
        LABELLED,
        "RNNClassifier(max_epochs=1, random_state=0).fit(X, y).predict(X)",
    ),
    "a data set": (
        "import numpy as np; from reservoir.datasets import narma10",
        "",
        "narma10(100, random_state=0)",
    ),
    "LSTM: loss and gradient": (*LSTM, "objective.value_and_grad(theta)"),
    "LSTM: Hessian-free step": (
        *LSTM,
        "optim.minimize(objective, theta, optim.HessianFree(structural=0.03), max_iterations=1)",
    ),
}
TIMED = """
import json, sys, time
imports, ready, call = json.loads(sys.argv[1])
begin = time.process_time()
exec(imports)
imported = time.process_time() - begin
exec(ready)
clocks = []
for _ in range(2):
    begin, wall = time.process_time(), time.perf_counter()
    exec(call)
    clocks.append((time.process_time() - begin, time.perf_counter() - wall))
print(json.dumps([imported, *clocks]))
"""
SCIKIT_LEARN = "import numpy, scipy.linalg, scipy.sparse, sklearn.base, sklearn.utils.validation, sklearn.metrics"


@dataclass(frozen=True)
class Settings:
    """One kind of call; seeds are repetitions."""

    call: str = "ESNRegressor: fit, predict"
    seed: int = 0


GRID = {
    "quick": [{"call": "a data set"}],
    "default": [{"call": list(CASES), "seed": range(3)}],
}
EXPECTED_S = {"quick": 5, "default": 250}
COLUMNS = ("empty_s", "empty_wall_s", "kept_s", "again_s", "imports_s", "scikit_learn_s")
BY = ("call",)


def run(settings: Settings) -> list[dict]:
    """First calls in two processes."""
    with tempfile.TemporaryDirectory() as folder:
        imported, empty, _ = _timed(CASES[settings.call], folder)
        _, kept, again = _timed(CASES[settings.call], folder)
        (alone, *_) = _timed((SCIKIT_LEARN, "", ""), folder)
    return [
        {
            "empty_s": empty[0],
            "empty_wall_s": empty[1],
            "kept_s": kept[0],
            "again_s": again[0],
            "imports_s": imported,
            "scikit_learn_s": alone,
        }
    ]


def _timed(case: tuple[str, str, str], folder: str) -> tuple:
    """Seconds of the imports, and (processor, wall) of the first and of the second call, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED, json.dumps(case)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NUMBA_CACHE_DIR": folder},
    )
    return tuple(json.loads(done.stdout))


def finding(rows) -> str:
    """What each first call takes."""
    median = rows.groupby("call", sort=False)[["empty_s", "kept_s"]].median()
    told = "; ".join(f"{call} {row['empty_s']:.1f} s, then {row['kept_s']:.2f} s" for call, row in median.iterrows())
    return f"First calls with nothing compiled, and of later processes: {told}."


def plot(rows):
    """Processor seconds of first calls."""
    from studies.bench.figures import COLOURS, panels

    calls = list(rows["call"].unique())[::-1]
    figure, (axes,) = panels(1, width=7.0, height=0.6 + 0.5 * len(calls))
    median = rows.groupby("call")[["empty_s", "kept_s"]].median().loc[calls]
    for i, (column, label) in enumerate({"empty_s": "nothing compiled", "kept_s": "kernels on disk"}.items()):
        axes.barh([k + 0.2 - 0.4 * i for k in range(len(calls))], median[column], 0.38, color=COLOURS[i], label=label)
        for k, value in enumerate(median[column]):
            axes.text(value, k + 0.2 - 0.4 * i, f" {value:.2g}", va="center")
    axes.set_yticks(range(len(calls)), calls)
    axes.set(xlabel="processor seconds of the first call", title="First calls")
    axes.legend()
    return figure
