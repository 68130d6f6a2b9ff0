"""Does it pay to learn the initial state, and how should a net be told what does not change?

Method. Tanh units trained by the Hessian-free method, all with as many curvature products.

- `beginning`: every sequence is a sine whose frequency and phase are drawn, seen through noise; the next value is to be
  predicted from the first step on. The initial state is 0 (`fixed`) or a parameter (`learnt`).
- `pattern`: no input at all, and one series of 100 numbers, normal(0, 1), to be said by heart; `fixed` or `learnt`.
- `parameters`: two numbers, the sine and cosine of an angle p, are given to the net, which has to say sin(p + w t) for
  `n_steps` steps. They are the initial state of all units, a copy for every pair (`state of all`), that of two units
  (`state of two`), the state of these two units at every step (`two clamped`), or, as usual, an input at the first step
  (`first input`) or at all of them (`every input`). Angles are drawn anew for the test.

The error is the root of the mean squared error over the deviation of the targets, on sequences that were not taught,
except for `pattern`, which has one only.

Found (medians of five seeds). Learning the initial state changes nothing where inputs speak from the first step on,
0.125 either way; by heart it helps in the first three steps, 0.081 against 0.164, and over all 100, 0.65 against 0.71,
no more than seeds do. What does not change is best given as the initial state of all units, 0.0026, quartiles apart
from the others'; then of two units, 0.0045, as the first input, 0.0059, by clamping, 0.0070, and as every input,
0.0115.

Sources. The lecture's ways to give inputs: as the initial states of all units, of a subset, as the states of the same
subset at every step; and to learn the initial state as one learns weights.

Expected run time: a minute by default on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking

WAYS = {
    "beginning": ("fixed", "learnt"),
    "pattern": ("fixed", "learnt"),
    "parameters": ("state of all", "state of two", "two clamped", "first input", "every input"),
}


@dataclass(frozen=True)
class Settings:
    """One net, told in one way."""

    task: str = "beginning"
    way: str = "fixed"
    n_units: int = 20
    n_steps: int = 20
    n_sequences: int = 200
    structural: float = 0.03
    max_products: int = 500
    seed: int = 0


GRID = {
    "quick": [
        {"task": task, "way": list(ways), "n_units": 10, "n_sequences": 40, "max_products": 100, "seed": range(2)}
        for task, ways in WAYS.items()
    ],
    "default": [
        {"task": task, "way": list(ways), "n_steps": 100 if task == "pattern" else 20, "seed": range(5)}
        for task, ways in WAYS.items()
    ],
}
EXPECTED_S = {"quick": 5, "default": 60}
COLUMNS = ("nrmse", "first_nrmse", "loss")
BY = ("task", "way")
RANKING = Ranking("nrmse", within=("task",))
SIDE_BY_SIDE = True


def run(settings: Settings) -> list[dict]:
    """Error over all steps and at the first three."""
    from cells import Elman, Network, SequenceObjective, initial_theta
    from optim import HessianFree, minimize

    rng = np.random.default_rng([settings.seed, 2024])
    draw = {"beginning": _beginning, "pattern": _pattern, "parameters": _parameters}[settings.task]
    X, y, choices = draw(settings, rng)
    network = Network(Elman(X.shape[2], settings.n_units), n_out=1, learn_initial_state=settings.way == "learnt")
    objective = SequenceObjective(network, X, y, **choices)
    theta = initial_theta(network, "sparse", rng=np.random.default_rng(settings.seed))
    method = HessianFree(structural=settings.structural)
    result = minimize(objective, theta, method, max_iterations=1000, max_products=settings.max_products)
    if settings.task != "pattern":
        X, y, choices = draw(settings, rng)
    first = {**choices, "mask": np.tile(np.arange(settings.n_steps) < 3, (len(X), 1))}
    whole, early = (SequenceObjective(network, X, y, **each).value(result.theta).loss for each in (choices, first))
    return [
        {
            "nrmse": float(np.sqrt(2.0 * whole) / y.std()),  # the loss is half the squared error
            "first_nrmse": float(np.sqrt(2.0 * early) / y[:, :3].std()),
            "loss": result.value,
        }
    ]


def _beginning(settings: Settings, rng: np.random.Generator):
    n, T = settings.n_sequences, settings.n_steps
    frequency, phase = rng.uniform(0.2, 0.6, (n, 1)), rng.normal(0.5, 0.3, (n, 1))
    x = np.sin(frequency * np.arange(T + 1) + phase)[:, :, None]
    return x[:, :-1] + 0.1 * rng.standard_normal((n, T, 1)), x[:, 1:], {}


def _pattern(settings: Settings, rng: np.random.Generator):
    return np.zeros((1, settings.n_steps, 1)), rng.standard_normal((1, settings.n_steps, 1)), {}


def _parameters(settings: Settings, rng: np.random.Generator):
    n, T, H = settings.n_sequences, settings.n_steps, settings.n_units
    p = rng.uniform(0.0, 2.0 * np.pi, n)
    given = np.column_stack([np.cos(p), np.sin(p)])
    y = np.sin(p[:, None] + 0.3 * np.arange(1, T + 1))[:, :, None]
    X, choices = np.zeros((n, T, 2)), {}
    if settings.way == "state of all":
        choices["initial_state"] = (np.arange(H), np.tile(given, H // 2))
    elif settings.way == "state of two":
        choices["initial_state"] = ([0, 1], given)
    elif settings.way == "two clamped":
        choices["clamped"] = ([0, 1], np.repeat(given[:, None], T, axis=1))
    else:
        X[:, : 1 if settings.way == "first input" else T] = given[:, None]
    return X, y, choices


def plot(rows):
    """Errors of all runs, a panel for each task."""
    from studies.bench.figures import log_axis, panels, strip

    tasks = list(rows["task"].unique())
    figure, all_axes = panels(len(tasks), width=4.0, height=3.6)
    for axes, task in zip(all_axes, tasks, strict=True):
        here = rows[rows["task"] == task]
        strip(axes, {way.replace(" ", "\n"): here[here["way"] == way]["nrmse"] for way in here["way"].unique()})
        axes.set(title=task, ylabel="NRMSE")
        axes.tick_params(axis="x", labelsize=8)
        log_axis(axes)
    return figure
