"""How much structural damping does a long memory need, and by which distance between hidden states?

Method. Noiseless memorisation of 5 bits, as in the study `long_lags` and with its network, start and optimiser: all 32
patterns in every step, until none is answered wrongly or the budget of steps and products is used up. A step of
Hessian-free optimisation is held back by λ μ times a distance that it moves the hidden states. μ runs from 0 to 1, with
λ of 0.1 at first; the distances, by their curvature at a tanh unit of value h, are

    matching                 1 - h²          cross-entropy of (1 + h)/2, which matches tanh: the thesis
    matching_quarter         (1 - h²)/4      the constant of the released program
    squared_values           (1 - h²)²       squares of the values
    squared_activations      1               squares of what goes into tanh

summed over time or averaged. The loss is the mean over all steps of all sequences, and the sum over time is divided by
the same number. μ means something else in every one of these conventions; where a program says μ and no distance, its
figure cannot be carried over. Without damping (μ = 0) all are the same, and there is one set of runs.

Tuning. None beyond that of `long_lags`.

Sources. Martens and Sutskever 2011, "Learning recurrent neural networks with Hessian-free optimization", section 3, who
find structural damping needed for memorisation over more than 50 steps; Sutskever's thesis of 2013, section 4.2.3, for
the matching distance and μ = 1/30; the program released with the paper.

Expected run time: about five minutes by default, half as long with `--jobs 2`, since every run has one thread. Those of
the longer profiles are estimates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking
from studies.long_lags import FEW_PATTERNS, MU, draw_runs, share_products, solve, tally

DISTANCES = ("matching", "matching_quarter", "squared_values", "squared_activations")
MEANS = ("sum_time", "mean_time")
STRENGTHS = (MU, 0.1, 0.3, 1.0)
UNDAMPED = "none"  # the distance of μ = 0
WORDS = {"sum_time": "sum over time", "mean_time": "mean over time"}


@dataclass(frozen=True)
class Settings:
    """One run."""

    T: int = 50
    distance: str = "matching"
    mean: str = "sum_time"
    structural: float = MU
    damping: float = 0.1
    task: str = FEW_PATTERNS
    n_units: int = 100
    n_cg: int = 300
    max_steps: int = 500
    max_products: int = 5000
    n_gradient: int = 5000  # for puzzles with more patterns than these 32
    n_curvature: int = 1000
    n_train: int = 20_000
    n_test: int = 10_000
    seed: int = 0


def _entries(*, distances=DISTANCES, means=MEANS, strengths=STRENGTHS, **common) -> list[dict]:
    return [
        {"distance": UNDAMPED, "mean": UNDAMPED, "structural": 0.0, **common},
        {"distance": list(distances), "mean": list(means), "structural": list(strengths), **common},
    ]


GRID = {
    "quick": _entries(means=["sum_time"], strengths=[MU], T=10, max_products=400, seed=range(2)),
    "default": _entries(means=["sum_time"], T=50, seed=range(5)),
    "half-hour": _entries(T=[50], seed=range(5)) + _entries(means=["sum_time"], T=100, seed=range(5)),
    "hour": _entries(T=[50, 100], seed=range(5)),
    "night": _entries(T=[50, 100, 150, 200], max_products=20_000, seed=range(10)),
}
EXPECTED_S = {"quick": 3, "default": 300, "half-hour": 2400, "hour": 4000, "night": 60_000}
COLUMNS = ("is_solved", "n_steps", "n_products", "time_s", "wrong_share", "stop")
BY = ("T", "distance", "mean", "structural")
RANKING = Ranking("wrong_share", within=("T",))


def run(settings: Settings) -> list[dict]:
    """Whether one run recalls every pattern, and at what cost."""
    if settings.structural == 0.0:  # exact: the setting that switches damping off
        return [solve(settings)]
    return [solve(settings, distance=settings.distance, mean=settings.mean)]


def remarks(rows) -> list[str]:
    """How many runs solve the puzzle, with each convention at each strength."""
    sentences = []
    for (T, distance, mean), group in rows.groupby(["T", "distance", "mean"], sort=False):
        by_strength = [
            f"{int(runs['is_solved'].sum())} of {len(runs)} at μ = {_name(structural)}"
            for structural, runs in group.groupby("structural")
        ]
        convention = "" if distance == UNDAMPED else f", {distance}, {WORDS[mean]}"
        sentences.append(f"T = {T}{convention}: solved by {', '.join(by_strength)}. All of these: {tally(group)}")
    return sentences


def _name(strength: float) -> str:
    return "1/30" if strength == MU else f"{strength:g}"


def plot(rows):
    """Products until all patterns are recalled against μ, a panel a distance, a row a length and mean."""
    from studies.bench.figures import COLOURS, INK, panels

    damped, without = rows[rows["structural"] > 0], rows[rows["structural"] == 0]
    distances = [name for name in DISTANCES if name in set(damped["distance"])]
    strengths = [0.0, *sorted(damped["structural"].unique())]
    places = sorted(
        {(T, mean) for T, mean in zip(damped["T"], damped["mean"], strict=True)}, key=lambda p: (p[0], p[1] != MEANS[0])
    )
    figure, all_axes = panels(len(distances), len(places), width=3.4, height=3.0)
    for axes, ((T, mean), distance) in zip(all_axes, ((p, d) for p in places for d in distances), strict=True):
        here = damped[(damped["T"] == T) & (damped["mean"] == mean) & (damped["distance"] == distance)]
        draw_runs(axes, np.zeros(len(without[without["T"] == T])), without[without["T"] == T], colour=INK)
        at = np.array([strengths.index(strength) for strength in here["structural"]])
        draw_runs(axes, at, here, colour=COLOURS[DISTANCES.index(distance)])
        axes.set_xticks(range(len(strengths)), [_name(strength) for strength in strengths])
        axes.set(xlabel="μ", xlim=(-0.5, len(strengths) - 0.5), title=f"{distance}\nT = {T}, {WORDS[mean]}")
        share_products(axes, rows)
    for axes in all_axes[:: len(distances)]:
        axes.set_ylabel("curvature products until solved")
    return figure
