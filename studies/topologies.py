"""Does the wiring of the reservoir matter, and are cyclic shifts as good as a random sparse graph?

Method. Every topology gets the same values on three tasks: NARMA-10 (NRMSE), memory capacity with tanh units
(share of the bound) and the Lorenz system in closed loop (mean valid time over the starts, in Lyapunov
times). Data and seeds are the same for all, so topologies are compared seed by seed: the median of the paired
differences with a bootstrap interval, and Wilcoxon's signed-rank test. The values are those that `narma` and
`lorenz` found for random sparse graphs, which favours those.

Sources. Rodan and Tino 2011, IEEE TNN 22 (ring), 2012, Neural Computation 24 (jumps); Wilcoxon 1945; Efron
1979.

Expected run time: about half a minute by default on two cores.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from studies import lorenz, memory_capacity, narma
from studies.bench.findings import Ranking
from studies.learners.echo_state import EchoState

ALL = ["sparse", "shifts", "ring", "ring_jumps", "delay_line", "orthogonal", "small_world"]
MEASURES = {
    "narma": "NRMSE (less is better)",
    "memory": "memory capacity / units (more is better)",
    "lorenz": "valid time (Lyapunov times, more is better)",
}


@dataclass(frozen=True)
class Settings(EchoState):
    """One topology on one task."""

    task: str = "narma"
    n_train: int = 4000


MEMORY = {"spectral_radius": 0.95, "input_scaling": 0.1, "alpha": 1e-12, "solver": "qr"}
GRID = {
    "quick": [
        {"task": "narma", **narma.TUNED, "topology": ["sparse", "shifts"], "n_units": 60, "n_train": 800,
         "seed": range(4)},
        {"task": "memory", **MEMORY, "topology": ["sparse", "shifts"], "n_units": 20, "n_train": 1000,
         "seed": range(4)},
    ],
    "default": [
        {"task": "narma", **narma.TUNED, "topology": ALL, "n_units": 300, "seed": range(20)},
        {"task": "memory", **MEMORY, "topology": ALL, "n_units": 100, "seed": range(20)},
        {"task": "lorenz", **lorenz.TUNED, "topology": ALL, "n_units": 300, "seed": range(20)},
    ],
}  # fmt: skip
SIDE_BY_SIDE = True
EXPECTED_S = {"quick": 3, "default": 35}
COLUMNS = ("value", "measure")
BY = ("task", "topology")
RANKING = Ranking("value", better={"narma": "lower", "memory": "higher", "lorenz": "higher"}, within=("task",))


def run(settings: Settings) -> list[dict]:
    """The task's own study on one topology, as one value."""
    common = {field.name: getattr(settings, field.name) for field in dataclasses.fields(EchoState)}
    n_train = settings.n_train
    if settings.task == "narma":
        rows = narma.run(narma.Settings(**common, n_train=n_train, n_test=n_train // 2))
        value = rows[0]["nrmse"]
    elif settings.task == "memory":
        rows = memory_capacity.run(memory_capacity.Settings(**common, activation="tanh", n_steps=2 * n_train))
        value = rows[0]["capacity_per_unit"]
    else:
        rows = lorenz.run(lorenz.Settings(**common, n_train=n_train, n_starts=10))
        value = float(np.mean([row["valid_time_lyapunov"] for row in rows]))
    return [{"value": value, "measure": MEASURES[settings.task]}]


@dataclass(frozen=True)
class Paired:
    """Seed-by-seed comparison: median difference, 95 % bootstrap interval, Wilcoxon's p, number of seeds."""

    median: float
    low: float
    high: float
    p_value: float
    n_seeds: int


def compare(a: np.ndarray, b: np.ndarray, *, n_resamples: int = 4000) -> Paired:
    """Compare paired values a - b. a, b : (n_seeds,)."""
    from scipy.stats import wilcoxon

    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    draws = np.random.default_rng(0).choice(difference, (n_resamples, difference.size))
    low, high = np.percentile(np.median(draws, axis=1), (2.5, 97.5))
    p_value = float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0
    return Paired(float(np.median(difference)), float(low), float(high), p_value, difference.size)


def remarks(rows) -> list[str]:
    """Shifts against sparse, a sentence per task."""
    sentences = []
    for task, group in rows.groupby("task", sort=False):
        table = group.pivot_table(index="seed", columns="topology", values="value").dropna()
        if not {"sparse", "shifts"} <= set(table) or len(table) < 2:
            continue
        found = compare(table["shifts"].to_numpy(), table["sparse"].to_numpy())
        sentences.append(
            f"{task}, shifts minus sparse over {found.n_seeds} seeds: median {found.median:+.3g} "
            f"(95 % interval {found.low:+.3g} to {found.high:+.3g}; "
            f"sparse has {table['sparse'].median():.3g}); "
            f"Wilcoxon p = {found.p_value:.2g}."
        )
    return sentences


def plot(rows):
    """A panel per task, a column per topology."""
    from studies.bench.figures import COLOURS, panels, strip

    tasks = list(rows["task"].unique())
    figure, all_axes = panels(len(tasks), width=5.6)
    for axes, task in zip(all_axes, tasks, strict=True):
        here = rows[rows["task"] == task].groupby("topology", sort=False)["value"]
        groups = {name.replace("_", "\n"): values for name, values in here}
        colours = {name: COLOURS[{"sparse": 0, "shifts": 1}.get(name, 6)] for name in groups}
        strip(axes, groups, colours=colours)
        axes.set(title=task, ylabel=MEASURES[task])
        axes.tick_params(axis="x", labelsize=8)
    return figure
