"""Does the wiring of the reservoir matter, and are cyclic shifts as good as a random sparse graph?

Method. Every topology gets the same values on the same tasks: NARMA-10 (NRMSE), a laser's next intensity (NRMSE),
memory capacity with tanh units (the share of the bound that is missed), the Lorenz system in closed loop (inverse of
the mean valid time over the starts, in Lyapunov times), Mackey-Glass (NRMSE after 84 free steps), and the next value
of every series of the development half of `tabled_series` (NRMSE on the last 30 %, standardised, the penalty chosen by
blocks). Data and seeds are the same for all, so topologies are compared seed by seed. The values are those that
`narma`, `laser` and `lorenz` found for random sparse graphs, which favours those, and the estimators' defaults.

Decision. `shifts` is equivalent to `sparse` if the upper end of the 95 % interval of the ratio of their errors is
below 1.15 on every task and below 1.03 overall. The ratio is the geometric mean over seeds, its interval Student's t of
the logarithms; overall every task counts alike.

Found. Overall 0.987 (0.959 to 1.016), and below 1.15 on twelve of fourteen tasks; but with 20 seeds not on CO2, 0.977
(0.778 to 1.228), and not on real consumption, 1.097 (1.004 to 1.198). So `sparse` stays the default.

Sources. Rodan and Tino 2011, IEEE TNN 22 (ring), 2012, Neural Computation 24 (jumps); Schuirmann 1987, Journal of
Pharmacokinetics and Biopharmaceutics 15 (equivalence); Wilcoxon 1945; Efron 1979.

Expected run time: about four minutes by default on two cores.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from studies import forecaster_defaults, laser, lorenz, mackey_glass, memory_capacity, narma
from studies.bench.findings import Ranking
from studies.learners.echo_state import EchoState
from studies.tasks.tabled_series import DEVELOPMENT, tabled_series

PAIR = ["sparse", "shifts"]
OTHERS = ["ring", "ring_jumps", "delay_line", "orthogonal", "small_world"]
MEASURES = {
    "narma": "NRMSE (less is better)",
    "laser": "NRMSE (less is better)",
    "memory": "memory capacity / units (more is better)",
    "lorenz": "valid time (Lyapunov times, more is better)",
    "mackey_glass": "NRMSE after 84 free steps (less is better)",
}
OF_A_SERIES = "NRMSE of the next value (less is better)"
MOST_ON_A_TASK, MOST_OVERALL = 1.15, 1.03
WORST = 1e3  # in the place of a loss that is larger, or not finite


@dataclass(frozen=True)
class Settings(EchoState):
    """One topology on one task."""

    data_files: ClassVar[tuple[str, ...]] = ("santafe_laser.npy",)
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
        *(
            {**task, "topology": topologies, "seed": range(n_seeds)}
            for task in (
                {"task": "narma", **narma.TUNED, "n_units": 300},
                {"task": "memory", **MEMORY, "n_units": 100},
                {"task": "lorenz", **lorenz.TUNED, "n_units": 300},
            )
            for topologies, n_seeds in ((PAIR, 40), (OTHERS, 20))
        ),
        {"task": "laser", **laser.TUNED, "topology": PAIR, "n_units": 300, "washout": 200, "seed": range(40)},
        {"task": "mackey_glass", **forecaster_defaults.DEFAULTS, "solver": "qr", "topology": PAIR, "n_train": 3000,
         "seed": range(60)},
        {"task": list(DEVELOPMENT), "topology": PAIR, "washout": 10, "n_units": 300, "seed": range(20)},
    ],
}  # fmt: skip
SIDE_BY_SIDE = True
EXPECTED_S = {"quick": 3, "default": 240}
COLUMNS = ("value", "measure", "loss")
BY = ("task", "topology")
RANKING = Ranking("loss", within=("task",))


def run(settings: Settings) -> list[dict]:
    """The task's own study on one topology, as one value and as a loss, less of which is better."""
    common = {field.name: getattr(settings, field.name) for field in dataclasses.fields(EchoState)}
    n_train = settings.n_train
    if settings.task == "narma":
        loss = value = narma.run(narma.Settings(**common, n_train=n_train, n_test=n_train // 2))[0]["nrmse"]
    elif settings.task == "laser":
        loss = value = np.sqrt(laser.run(laser.Settings(**common))[0]["nmse_test"])
    elif settings.task == "memory":
        rows = memory_capacity.run(memory_capacity.Settings(**common, activation="tanh", n_steps=2 * n_train))
        value = rows[0]["capacity_per_unit"]
        loss = 1.0 - value
    elif settings.task == "lorenz":
        rows = lorenz.run(lorenz.Settings(**common, n_train=n_train, n_starts=10))
        value = np.mean([row["valid_time_lyapunov"] for row in rows])
        loss = 1.0 / max(value, 1.0 / WORST)
    elif settings.task == "mackey_glass":
        rows = mackey_glass.run(mackey_glass.Settings(**common, n_train=n_train, n_starts=25))
        loss = value = next(row["nrmse"] for row in rows if row["horizon_steps"] == 84)
    else:
        loss = value = _next_value(settings)
    measure = MEASURES.get(settings.task, OF_A_SERIES)
    return [{"value": float(value), "measure": measure, "loss": float(np.nan_to_num(min(loss, WORST), nan=WORST))}]


def _next_value(settings: Settings) -> float:
    """NRMSE of the next value of a series on its last 30 %."""
    from reservoir import ESNRegressor
    from reservoir.metrics import nrmse

    x = tabled_series()[settings.task]
    n_train = int(0.7 * len(x))
    z = (x - x[:n_train].mean()) / x[:n_train].std()
    choosing = {"alpha": np.logspace(-6, 2, 9), "alpha_selection": "blocked"}
    model = ESNRegressor(**settings.arguments() | choosing).fit(z[: n_train - 1], z[1:n_train])
    return nrmse(z[n_train:], model.predict(z[n_train - 1 : -1], initial_state="fitted"))


@dataclass(frozen=True)
class Ratio:
    """Ratio of two errors, paired seed by seed: geometric mean, 95 % interval, number of seeds, logarithmic error²."""

    mean: float
    low: float
    high: float
    n_seeds: int
    variance: float


def ratio_of(a: np.ndarray, b: np.ndarray) -> Ratio:
    """Geometric mean of a / b by Student's t of the logarithms. a, b : (n_seeds,) > 0."""
    from scipy.stats import t

    logs = np.log(np.asarray(a, np.float64)) - np.log(np.asarray(b, np.float64))
    variance = logs.var(ddof=1) / logs.size
    half = t.ppf(0.975, logs.size - 1) * np.sqrt(variance)
    return Ratio(*np.exp([logs.mean(), logs.mean() - half, logs.mean() + half]).tolist(), logs.size, variance)


def overall(ratios: list[Ratio]) -> Ratio:
    """Geometric mean over tasks that count alike; normal, for the tasks are many."""
    mean = np.mean([np.log(ratio.mean) for ratio in ratios])
    variance = sum(ratio.variance for ratio in ratios) / len(ratios) ** 2
    half = 1.96 * np.sqrt(variance)
    n_seeds = min(ratio.n_seeds for ratio in ratios)
    return Ratio(*np.exp([mean, mean - half, mean + half]).tolist(), n_seeds, variance)


def error_ratios(rows) -> dict[str, Ratio]:
    """Errors of shifts against those of sparse, a ratio per task that has both."""
    found = {}
    for task, group in rows.groupby("task", sort=False):
        table = group.pivot_table(index="seed", columns="topology", values="loss").dropna(axis=1, how="all")
        if set(PAIR) <= set(table):
            table = table[PAIR].dropna()
            if len(table) > 1:
                found[task] = ratio_of(table["shifts"], table["sparse"])
    return found


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
    """Shifts against sparse, a sentence per task, and whether they are equivalent."""
    sentences = []
    for task, group in rows.groupby("task", sort=False):
        table = group.pivot_table(index="seed", columns="topology", values="value")
        if not set(PAIR) <= set(table) or len(table[PAIR].dropna()) < 2:
            continue
        table = table[PAIR].dropna()
        found = compare(table["shifts"].to_numpy(), table["sparse"].to_numpy())
        sentences.append(
            f"{task}, shifts minus sparse over {found.n_seeds} seeds: median {found.median:+.3g} "
            f"(95 % interval {found.low:+.3g} to {found.high:+.3g}; sparse has {table['sparse'].median():.3g}); "
            f"Wilcoxon p = {found.p_value:.2g}."
        )
    ratios = error_ratios(rows)
    if not ratios:
        return sentences
    for task, ratio in {**ratios, "overall": overall(list(ratios.values()))}.items():
        most = MOST_OVERALL if task == "overall" else MOST_ON_A_TASK
        sentences.append(
            f"{task}: error of shifts over that of sparse {ratio.mean:.3f} (95 % interval {ratio.low:.3f} to "
            f"{ratio.high:.3f}), {'equivalent' if ratio.high < most else f'not shown to be below {most}'}."
        )
    return sentences


def plot(rows):
    """Ratios of errors with the bounds of equivalence; then a panel per task with a column per topology."""
    from studies.bench.figures import COLOURS, panels, strip

    counts = rows.groupby("task", sort=False)["topology"].nunique()
    tasks = list(counts.index[counts > 2]) or list(counts.index[:2])
    figure, (forest, *all_axes) = panels(1 + len(tasks), width=5.6)
    _plot_ratios(forest, error_ratios(rows))
    for axes, task in zip(all_axes, tasks, strict=True):
        here = rows[rows["task"] == task].groupby("topology", sort=False)["value"]
        groups = {name.replace("_", "\n"): values for name, values in here}
        colours = {name: COLOURS[{"sparse": 0, "shifts": 1}.get(name, 6)] for name in groups}
        strip(axes, groups, colours=colours)
        axes.set(title=task, ylabel=MEASURES[task])
        axes.tick_params(axis="x", labelsize=8)
    return figure


def _plot_ratios(axes, ratios: dict[str, Ratio]) -> None:
    from studies.bench.figures import COLOURS, FAINT

    shown = {**ratios, "overall": overall(list(ratios.values()))} if ratios else {}
    for place, (task, ratio) in enumerate(shown.items()):
        most = MOST_OVERALL if task == "overall" else MOST_ON_A_TASK
        colour = COLOURS[0 if ratio.high < most else 1]
        axes.plot([ratio.low, ratio.high], [place, place], color=colour)
        axes.plot(ratio.mean, place, "o", color=colour)
        axes.plot([most, most], [place - 0.35, place + 0.35], color=FAINT)
    axes.axvline(1.0, color=FAINT, linewidth=0.8)
    axes.set_yticks(range(len(shown)), [task.replace("interest_inflation", "interest") for task in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set(title="shifts against sparse", xlabel="ratio of errors, 95 % interval; bars: the bound")
