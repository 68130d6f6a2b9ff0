"""How many past inputs does a reservoir hold?

Method. A series u ~ uniform(-1, 1) drives the reservoir; for every delay k a linear readout recovers u(t-k)
from the state alone. The capacity is the sum over k = 1 .. 2N of the squared correlation between readout and
truth on the second half of the series. It cannot exceed the number of units N. Linear reservoirs come near it
when their states stay well conditioned (orthogonal matrix, ring, delay line); random ones do not, and a tanh
costs memory.

Tuning. None beyond the radius: chosen once by hand for each topology so that the oldest of N inputs is still
above rounding.

Sources. Jaeger 2001, GMD report 152 (definition and bound); White, Lee and Sompolinsky 2004, PRL 92
(orthogonal); Rodan and Tino 2011, IEEE TNN 22 (ring).

Expected run time: under a minute by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking
from studies.learners.echo_state import EchoState

LINEAR = {"activation": "identity", "input_scaling": 1.0}
NEARLY_LINEAR = {
    "activation": "tanh",
    "input_scaling": 0.01,
    "alpha": 1e-16,
}  # states 100 times smaller, squared


@dataclass(frozen=True)
class Settings(EchoState):
    """One reservoir without direct input to the readout."""

    activation: str = "identity"
    alpha: float = 1e-12
    solver: str = "qr"
    n_steps: int = 20_000


GRID = {
    "quick": [
        {**LINEAR, "topology": ["orthogonal", "sparse"], "n_units": 20, "n_steps": 3000, "seed": range(2)},
        {
            **LINEAR,
            "topology": "ring",
            "spectral_radius": 0.95,
            "n_units": 20,
            "n_steps": 3000,
            "seed": range(2),
        },
    ],
    "default": [
        {**kind, **matrix, "n_units": [20, 50, 100], "seed": range(5)}
        for kind in (LINEAR, NEARLY_LINEAR)
        for matrix in (
            {"topology": "orthogonal", "spectral_radius": 0.9},
            {"topology": "ring", "spectral_radius": 0.95},
            {"topology": "delay_line", "spectral_radius": 0.95},
            {"topology": ["sparse", "shifts", "ring_jumps", "small_world"], "spectral_radius": 0.95},
        )
    ],
}
EXPECTED_S = {"quick": 3, "default": 40}
COLUMNS = ("memory_capacity", "capacity_per_unit")
BY = ("activation", "topology", "n_units")
RANKING = Ranking("capacity_per_unit", better="higher", within=("activation", "n_units"))


def run(settings: Settings) -> list[dict]:
    """Memory capacity of one reservoir."""
    from reservoir import ESNRegressor
    from studies.tasks.signals import delayed_copies

    u = settings.data_rng().uniform(-1.0, 1.0, settings.n_steps)
    past = delayed_copies(u, 2 * settings.n_units)
    half = settings.n_steps // 2
    model = ESNRegressor(include_input=False, activation=settings.activation, **settings.arguments())
    answer = model.fit(u[:half, None], past[:half]).predict(u[:, None])
    capacity = np.sum(squared_correlations(past[half:], answer[half:]))
    return [{"memory_capacity": capacity, "capacity_per_unit": capacity / settings.n_units}]


def squared_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared correlation of every column of a with the same column of b. a, b : (T, K). Returns (K,)."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = np.sum(a * a, axis=0) * np.sum(b * b, axis=0)
    return np.divide(np.sum(a * b, axis=0) ** 2, spread, out=np.zeros(a.shape[1]), where=spread > 0)


def plot(rows):
    """Capacity per unit of every topology at the largest size."""
    from studies.bench.figures import COLOURS, bar_line, panels, strip

    kinds = list(rows["activation"].unique())
    figure, all_axes = panels(len(kinds), width=6.4)
    largest = rows[rows["n_units"] == rows["n_units"].max()]
    for axes, kind in zip(all_axes, kinds, strict=True):
        here = largest[largest["activation"] == kind]
        groups = {t.replace("_", "\n"): g["capacity_per_unit"] for t, g in here.groupby("topology", sort=False)}
        strip(axes, groups, colours=dict.fromkeys(groups, COLOURS[0]))
        bar_line(axes, 1.0, "bound")
        axes.set(
            ylim=(0, 1.12),
            ylabel="memory capacity / units",
            title=f"{'linear' if kind == 'identity' else kind}, {rows['n_units'].max()} units",
        )
    return figure
