"""Can rectified units that begin with the identity add two numbers 150 steps apart, and who else can?

Method. The adding puzzle in the version "le2015-irnn": `T` pairs of a number from uniform(0, 1) and a mark, two marks,
one in each half; the sum of the marked numbers is to be said at the end. Four networks of `n_units` units are trained
on the same 20,000 sequences in the same order by Adam with the gradient's norm clipped at 1: rectified units whose
recurrent matrix begins as the identity (IRNN), an LSTM, tanh units from Glorot's weights, and tanh units from an
orthogonal matrix. The mean squared error is that of 1,000 other sequences; always saying 1 has 1/6, and a run counts as
solved below 0.01.

Tuning. The learning rate of each network is the best of 0.0003, 0.001 and 0.003 for the error after the same number
of updates, on two seeds that are not among those reported; it is 0.003 for all four.

Sources. Le, Jaitly and Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units", section
4.1; Hochreiter and Schmidhuber 1997 for the puzzle; Kingma and Ba 2015 for Adam.

Expected run time: about nine minutes by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking

ALWAYS_ONE = 1.0 / 6.0
SOLVED = 0.01
RATES = {"IRNN": 3e-3, "LSTM": 3e-3, "tanh, Glorot": 3e-3, "tanh, orthogonal": 3e-3}


@dataclass(frozen=True)
class Settings:
    """One network in training."""

    way: str = "IRNN"
    T: int = 150
    n_units: int = 100
    learning_rate: float = 1e-3
    n_train: int = 20_000
    n_test: int = 1000
    n_updates: int = 4000
    n_looks: int = 20
    batch_size: int = 16
    seed: int = 0


GRID = {
    "quick": [
        {"way": "IRNN", "T": 20, "n_units": 30, "n_updates": 800, "n_looks": 8, "n_train": 2000, "seed": range(2)}
    ],
    "default": [{"way": way, "learning_rate": rate, "seed": range(5)} for way, rate in RATES.items()],
}
EXPECTED_S = {"quick": 3, "default": 540}
COLUMNS = ("n_updates", "time_s", "mse", "wrong_share")
BY = ("way", "n_updates")
RANKING = Ranking("mse", last="n_updates")


def run(settings: Settings) -> list[dict]:
    """Error on the test sequences at every look."""
    from cells import LSTM, Elman, initial_theta
    from cells.initial import Glorot, Identity, Orthogonal
    from optim import Adam
    from studies.learners.training import network_for, train
    from studies.tasks.puzzles import draw

    rng = np.random.default_rng([settings.seed, 2024])
    training, test = (
        draw("addition", "le2015-irnn", n_sequences=n, T=settings.T, rng=rng)
        for n in (settings.n_train, settings.n_test)
    )
    cell, scheme = {
        "IRNN": (Elman(2, settings.n_units, activation="relu"), Identity(deviation=0.1)),
        "LSTM": (LSTM(2, settings.n_units), Glorot()),
        "tanh, Glorot": (Elman(2, settings.n_units), Glorot()),
        "tanh, orthogonal": (Elman(2, settings.n_units), Orthogonal()),
    }[settings.way]
    network = network_for(training, cell)
    theta = initial_theta(network, scheme, rng=np.random.default_rng(settings.seed), dtype=np.float32)
    _, looks = train(
        *(network, theta, Adam(settings.learning_rate, clip_norm=1.0), training, test),
        n_updates=settings.n_updates,
        n_looks=settings.n_looks,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    # the loss of the package is half the squared error
    return [
        {
            "n_updates": look.n_updates,
            "time_s": look.time_s,
            "mse": 2.0 * look.test_loss,
            "wrong_share": look.wrong_share,
        }
        for look in looks
    ]


def remarks(rows) -> list[str]:
    """How many runs solve the puzzle, and how soon."""
    sentences = []
    for way, group in rows.groupby("way", sort=False):
        runs = [run.sort_values("n_updates") for _, run in group.groupby("seed")]
        solved = [run[run["mse"] < SOLVED] for run in runs]
        first = [run.iloc[0] for run in solved if len(run)]
        when = ""
        if first:
            updates, seconds = (np.median([row[column] for row in first]) for column in ("n_updates", "time_s"))
            when = f", after {updates:.0f} updates and {seconds:.0f} s in the median"
        sentences.append(f"{way}: {len(first)} of {len(runs)} runs come below {SOLVED}{when}.")
    return sentences


def plot(rows):
    """Error against updates and against seconds, a line per seed."""
    from studies.bench.figures import COLOURS, bar_line, log_axis, panels

    figure, (left, right) = panels(2, width=5.4, height=3.8)
    for i, (way, group) in enumerate(rows.groupby("way", sort=False)):
        for seed, run in group.groupby("seed"):
            run = run.sort_values("n_updates")
            label = way if seed == group["seed"].min() else None
            for axes, column in ((left, "n_updates"), (right, "time_s")):
                axes.plot(run[column], run["mse"], color=COLOURS[i], linewidth=1.0, alpha=0.8, label=label)
    for axes, name in ((left, "updates"), (right, "seconds of training")):
        log_axis(axes)
        bar_line(axes, ALWAYS_ONE, "always saying 1")
        bar_line(axes, SOLVED, "solved")
        axes.set(xlabel=name, ylabel="mean squared error")
    left.set_title(f"adding, {rows['T'].max()} steps")
    left.legend(loc="lower left")
    return figure
