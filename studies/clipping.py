"""How long a lag can plain gradient descent bridge, and what does clipping the gradient's norm change?

Method. The puzzle of temporal order in the version "pascanu2013": T symbols, two of them X or Y in the second and in
the sixth tenth; say at the end which two, in their order. Networks of 50 units are trained by plain gradient descent
(constant rate, no momentum, batches of 20), with the norm of the gradient clipped at 1 and without. They begin in three
ways: logistic units with weights from normal(0, 0.01); tanh units with weights from normal(0, 0.1); and tanh units with
15 connections a unit, scaled to a spectral radius of 0.95, and other weights from normal(0, 0.01) ("sparse tanh").
Every 250 updates 500 fresh sequences are asked; a run that answers at least 99 % of them rightly has solved the
puzzle and ends. What is reported is the share of runs that do within `n_updates`.

Tuning. For each of the six ways the best learning rate of 0.01, 0.03 and 0.1 at T = 30, on one seed that is not among
those reported: 0.1 for those that are clipped. Of those that are not, none solves the puzzle at any of the three, and
0.01, at which the fewest answers are wrong, is used.

Sources. Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", sections 3.2 and
4.1, with up to five million updates where we have six thousand. What is clipped is the norm itself, not its square.

Expected run time: about ten minutes by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking

WAYS = ("logistic", "tanh", "sparse tanh")
RATES = {True: 0.1, False: 0.01}  # clipped or not


@dataclass(frozen=True)
class Settings:
    """One run."""

    way: str = "tanh"
    is_clipped: bool = True
    T: int = 30
    learning_rate: float = 0.03
    n_units: int = 50
    n_updates: int = 6000
    look_every: int = 250
    batch_size: int = 20
    n_train: int = 20_000
    n_test: int = 500
    seed: int = 0


GRID = {
    "quick": [{"way": "sparse tanh", "is_clipped": [True, False], "T": 10, "n_updates": 1000, "seed": range(2)}],
    "default": [
        {"way": list(WAYS), "is_clipped": is_clipped, "learning_rate": rate, "T": [10, 20, 30, 50], "seed": range(5)}
        for is_clipped, rate in RATES.items()
    ],
    "hour": [
        {"way": list(WAYS), "is_clipped": is_clipped, "learning_rate": rate, "T": [20, 50, 75, 100, 150],
         "n_updates": 30_000, "seed": range(5)}
        for is_clipped, rate in RATES.items()
    ],
}  # fmt: skip
EXPECTED_S = {"quick": 3, "default": 600, "hour": 3600}
COLUMNS = ("is_solved", "n_updates_used", "wrong_share", "time_s")
BY = ("way", "is_clipped", "T")
RANKING = Ranking("wrong_share", within=("T",))


def run(settings: Settings) -> list[dict]:
    """Whether one run solves the puzzle, and when."""
    from cells import Elman, initial_theta
    from cells.initial import EchoState, Normal
    from optim import SGD
    from studies.learners.training import network_for, train
    from studies.tasks.puzzles import draw

    rng = np.random.default_rng([settings.seed, 2024])
    training, test = (
        draw("temporal order", "pascanu2013", n_sequences=n, T=settings.T, rng=rng)
        for n in (settings.n_train, settings.n_test)
    )
    activation = "logistic" if settings.way == "logistic" else "tanh"
    scheme = {
        "logistic": Normal(0.01),
        "tanh": Normal(0.1),
        "sparse tanh": EchoState(spectral_radius=0.95, input_scale=0.01, output_scale=0.01),
    }[settings.way]
    network = network_for(training, Elman(training.n_inputs, settings.n_units, activation=activation))
    theta = initial_theta(network, scheme, rng=np.random.default_rng(settings.seed), dtype=np.float32)
    method = SGD(settings.learning_rate, clip_norm=1.0 if settings.is_clipped else None)
    _, looks = train(
        *(network, theta, method, training, test),
        n_updates=settings.n_updates,
        n_looks=settings.n_updates // settings.look_every,
        batch_size=settings.batch_size,
        seed=settings.seed,
        is_done=lambda look: look.wrong_share <= 0.01,
    )
    first = next((look for look in looks if look.wrong_share <= 0.01), None)
    return [
        {
            "is_solved": int(first is not None),
            "n_updates_used": settings.n_updates if first is None else first.n_updates,
            "wrong_share": looks[-1].wrong_share,
            "time_s": looks[-1].time_s,
        }
    ]


def plot(rows):
    """Share of solved runs against the length, clipped and not, a panel a start."""
    from studies.bench.figures import COLOURS, MARKERS, panels

    ways = list(rows["way"].unique())
    figure, all_axes = panels(len(ways), width=3.8)
    for axes, way in zip(all_axes, ways, strict=True):
        here = rows[rows["way"] == way]
        for i, (is_clipped, label) in enumerate(((True, "norm clipped at 1"), (False, "not clipped"))):
            solved = here[here["is_clipped"] == is_clipped].groupby("T")["is_solved"].mean()
            axes.plot(solved.index, solved, MARKERS[i] + "-", color=COLOURS[i], label=label)
        axes.set(ylim=(-0.04, 1.08), xlabel="length T", title=way)
    all_axes[0].set_ylabel("share of runs that solve it")
    all_axes[0].legend(loc="center")
    return figure
