"""Do debiasing and growing curvature batches help Hessian-free training where the curvature's batch is small?

Method. The autoencoder of the study of that name, on the 1,797 digits, is trained by `optim.HessianFree` with fresh
batches at every step: the gradient on 900 images, losses for acceptance on the same, curvature on a few of them. The
ways:

- `plain`: curvature on n images, throughout.
- `debiased`: conjugate gradients find their directions on n images, and the curvature along each is measured again on
  n others; those lengths are taken.
- `growing when poor`, `growing always`: n images at the start, 10 % more after every step that the model predicted
  badly (ρ < 1/4), or 2 % more after every step, until there are 900.

All are compared at equal work. Work is counted in passes of one image through the net: 1 for a loss, 3 for a gradient,
4 for a curvature product, 1 for a linearisation; so a debiased iteration costs two products. The errors are those on
all images; `reduction_ratio` is the median over steps of ρ, the actual over the predicted fall of the loss, and
`n_curvature_end` the size of the last curvature batch. Runs are pure functions of their settings.

Tuning. None for this study: damping, bound on conjugate gradients, preconditioner and warm start are about those that
were found for the study `autoencoder`, and the same for all. The factors of growth were not searched.

Sources. Martens and Sutskever 2012 for batches of the roles; Tatzel et al. 2025 for the bias of quadratics on
mini-batches and its remedy; Byrd, Chin, Nocedal and Wu 2012 for samples that grow.

Expected run time: about four minutes by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from studies.bench.findings import Ranking
from studies.learners.logistic_layers import Autoencoder, Linearized

WAYS = {  # what differs from HessianFree's defaults
    "plain": {},
    "debiased": {},
    "growing when poor": {"curvature_growth": 1.1, "growth_when": "poor"},
    "growing always": {"curvature_growth": 1.02, "growth_when": "always"},
}
SIZES = [30, 100, 300]
N_MARKS = 8


@dataclass(frozen=True)
class Settings:
    """One run."""

    way: str = "plain"
    n_curvature: int = 100
    n_gradient: int = 900
    damping: float = 1.0
    max_cg: int = 50
    warm_start: float = 0.9
    million_passes: float = 4.0
    seed: int = 0


GRID = {
    "quick": [{"way": list(WAYS), "n_curvature": 30, "million_passes": 0.3, "seed": range(1)}],
    "default": [{"way": list(WAYS), "n_curvature": SIZES, "seed": range(5)}],
}
EXPECTED_S = {"quick": 3, "default": 200}
COLUMNS = ("work", "cross_entropy", "squared_error", "reduction_ratio", "n_curvature_end", "n_steps")
BY = ("n_curvature", "way", "work")
RANKING = Ranking("cross_entropy", within=("n_curvature",), last="work")


class Counted(Autoencoder):
    """An autoencoder that counts images passed through it.

    Attributes
    ----------
    n_passes : int
    """

    n_passes = 0

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Any:
        """As it is, for one pass an image."""
        found = super().value(theta, batch)
        self.n_passes += int(found.weight)
        return found

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Any:
        """As it is, for three passes an image."""
        found = super().value_and_grad(theta, batch)
        self.n_passes += 3 * int(found.weight)
        return found

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Linearized:
        """As it is, for one pass an image."""
        activities, _ = self.forward(theta, batch)
        self.n_passes += len(activities[0])
        return CountedProducts(self, theta.copy(), activities)


class CountedProducts(Linearized):
    """Products that are counted."""

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """As it is, for four passes an image."""
        self.model.n_passes += 4 * self.weight
        return super().gauss_newton(v, structural=structural)


def run(settings: Settings) -> list[dict]:
    """Errors at eight amounts of work."""
    import optim
    from studies.autoencoder import digits

    model, plain = Counted(digits()), Autoencoder(digits())
    theta = model.start(np.random.default_rng(settings.seed))
    marks = [round(settings.million_passes * 1e6 * (k + 1) / N_MARKS) for k in range(N_MARKS)]
    before, ratios, rows = theta.copy(), [0.0], []

    def look(scale):
        rows.append(
            {
                "work": marks[len(rows)] / 1e6,
                "cross_entropy": plain.value(before).loss,
                "squared_error": plain.squared_error(before),
                "reduction_ratio": float(np.median(ratios[1:] or ratios)),
                "n_curvature_end": min(round(settings.n_curvature * scale), settings.n_gradient),
                "n_steps": len(ratios) - 1,
            }
        )

    def callback(progress):
        while len(rows) < N_MARKS and model.n_passes > marks[len(rows)]:
            look(progress.row.get("curvature_scale", 1.0))
        np.copyto(before, progress.theta)
        ratios.append(max(progress.row.get("reduction_ratio", -1.0), -1.0))
        return len(rows) == N_MARKS

    policy = optim.RandomBatches(
        model.n_sequences,
        gradient=settings.n_gradient,
        curvature=settings.n_curvature,
        acceptance="gradient",
        debias=settings.n_curvature if settings.way == "debiased" else 0,
    )
    method = optim.HessianFree(
        damping=settings.damping,
        cg=settings.max_cg,
        warm_start=settings.warm_start,
        preconditioner="squared_gradients",
        **WAYS[settings.way],
    )
    result = optim.minimize(
        *(model, theta, method),
        batches=policy,
        max_iterations=10**9,
        callback=callback,
        rng=np.random.default_rng([settings.seed, 2024]),
    )
    while len(rows) < N_MARKS:  # a run that ended by itself stays where it is
        look(result.state.curvature_scale)
    return rows


def remarks(rows) -> list[str]:
    """Each way against plain at the end, paired by seed."""
    last = rows[rows["work"] == rows["work"].max()]
    said = []
    for n, here in last.groupby("n_curvature"):
        table = here.pivot(index="seed", columns="way", values="cross_entropy")
        if "plain" not in table:
            continue
        for way in [way for way in WAYS if way in table and way != "plain"]:
            change = table[way] - table["plain"]
            said.append(
                f"{n} images, {way}: cross-entropy {change.median():+.3f} against plain (median of pairs), lower in "
                f"{(change < 0).sum()} of {len(change)} seeds."
            )
    return said


def plot(rows):
    """Cross-entropy against work, a panel per size, and the median reduction ratio at the end."""
    from studies.bench.figures import COLOURS, median_line, panels, strip

    sizes, ways = sorted(rows["n_curvature"].unique()), [way for way in WAYS if way in set(rows["way"])]
    figure, all_axes = panels(2, (len(sizes) + 2) // 2, width=5.2, height=3.6)
    floor, top = rows["cross_entropy"].min(), rows[rows["work"] > 0.2 * rows["work"].max()]["cross_entropy"].max()
    for axes, n in zip(all_axes, sizes, strict=False):
        for i, way in enumerate(ways):
            here = rows[(rows["way"] == way) & (rows["n_curvature"] == n)]
            table = here.pivot(index="work", columns="seed", values="cross_entropy")
            median_line(axes, table.index, table, label=way, index=i)
        axes.set(xlabel="work, million passes of an image", title=f"curvature on {n} images")
        axes.set(ylabel="cross-entropy, nats an image", ylim=(floor - 0.05 * (top - floor), top + 0.05 * (top - floor)))
    all_axes[0].legend()
    last, ratios = rows[rows["work"] == rows["work"].max()], all_axes[len(sizes)]
    compared = {f"{way}\n{n} images": (way, n) for n in sizes for way in ways[:2]}
    strip(
        ratios,
        {
            label: last[(last["way"] == way) & (last["n_curvature"] == n)]["reduction_ratio"]
            for label, (way, n) in compared.items()
        },
        colours={label: COLOURS[ways.index(way)] for label, (way, _) in compared.items()},
    )
    ratios.axhline(1.0, color=COLOURS[6], linewidth=0.8)
    ratios.set(ylabel="reduction ratio, median over steps", title="actual over predicted fall")
    ratios.tick_params(axis="x", labelsize=8)
    for axes in all_axes[len(sizes) + 1 :]:
        axes.set_visible(False)
    return figure
