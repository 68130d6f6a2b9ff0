"""Begun like an echo state network and driven by momentum: what does gradient descent learn, and what without either?

Method. Networks of 100 tanh units begin as an echo state network does: 15 recurrent connections a unit, scaled to a
spectral radius of 1.1, small input and output weights, and the readout's bias at the mean of the targets where these
are numbers. They are trained on 20,000 sequences in batches of 100, the norm of the gradient clipped at 1, by gradient
descent without momentum, with classical momentum and with Nesterov's. The momentum is 0.9 for the first tenth of
the updates and `momentum` from there on. The puzzles, in the version "martens2011-thesis", are addition,
multiplication and the noiseless memorisation of 5 and of 20 bits; T is their nominal length. What is reported is the
loss on 500 other sequences (half the squared error, or nats a symbol) and the share of them that is wrong; a run with
at most 1 % wrong has solved its puzzle.

Tuning. For every puzzle and method the learning rate is the best of 0.01, 0.03 and 0.1 (0.03, 0.1 and 0.3 without
momentum) for the test loss after 1,500 updates at T = 30, on one seed that is not among those reported, and then used
at every T. None of them learns 20 bits in that time, so those have the rates of 5 bits. The input scale was not tuned.

Sources. Sutskever, Martens, Dahl and Hinton 2013, "On the importance of initialization and momentum in deep learning",
section 5, with 50,000 updates where we have 2,000 or 6,000, and other lengths.

Expected run time: under half an hour by default on two cores, an hour for both lengths, with the larger momentum only;
for a night it is an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking

VERSION = "martens2011-thesis"
WAYS = {  # name of the method in `optim`, momentum
    "none": ("SGD", 0.0),
    "classical 0.9": ("Momentum", 0.9),
    "classical 0.98": ("Momentum", 0.98),
    "Nesterov 0.9": ("Nesterov", 0.9),
    "Nesterov 0.98": ("Nesterov", 0.98),
}
RATES = {  # in the order of WAYS
    "addition": (0.1, 0.03, 0.01, 0.03, 0.03),
    "multiplication": (0.1, 0.03, 0.01, 0.03, 0.01),
    "memorisation, 5 bits": (0.3, 0.03, 0.01, 0.03, 0.03),
    "memorisation, 20 bits": (0.3, 0.03, 0.01, 0.03, 0.03),
}


@dataclass(frozen=True)
class Settings:
    """One run."""

    task: str = "addition"
    way: str = "Nesterov 0.98"
    T: int = 30
    learning_rate: float = 0.01
    spectral_radius: float = 1.1
    input_scale: float = 0.1
    n_units: int = 100
    n_updates: int = 2000
    batch_size: int = 100
    n_train: int = 20_000
    n_test: int = 500
    seed: int = 0


def _entries(ways=tuple(WAYS), **common) -> list[dict]:
    return [
        {"task": task, "way": way, "learning_rate": rate, **common}
        for task, rates in RATES.items()
        for way, rate in zip(WAYS, rates, strict=True)
        if way in ways
    ]


LARGER = ("none", "classical 0.98", "Nesterov 0.98")
GRID = {
    "quick": [
        {"task": "memorisation, 5 bits", "way": ["none", "Nesterov 0.98"], "T": 5, "learning_rate": 0.03, "n_units": 40,
         "n_updates": 300, "batch_size": 32, "n_train": 1000, "n_test": 100, "seed": range(2)},
    ],
    "default": _entries(LARGER, T=30, seed=range(5)),
    "hour": _entries(LARGER, T=[30, 80], seed=range(3)),
    "night": _entries(T=[30, 80], n_updates=6000, seed=range(5)),
}  # fmt: skip
EXPECTED_S = {"quick": 3, "default": 1500, "hour": 3000, "night": 33_000}
COLUMNS = ("test_loss", "wrong_share", "is_solved", "time_s")
BY = ("task", "T", "way")
RANKING = Ranking("test_loss", within=("task", "T"))


def run(settings: Settings) -> list[dict]:
    """Test loss and share of wrong sequences after training."""
    import optim
    from cells import Elman, initial_theta
    from cells.initial import EchoState
    from studies.learners.training import network_for, train
    from studies.tasks.puzzles import draw

    rng = np.random.default_rng([settings.seed, 2024])
    training, test = (
        draw(settings.task, VERSION, n_sequences=n, T=settings.T, rng=rng) for n in (settings.n_train, settings.n_test)
    )
    network = network_for(training, Elman(training.n_inputs, settings.n_units))
    scheme = EchoState(spectral_radius=settings.spectral_radius, input_scale=settings.input_scale)
    theta = initial_theta(network, scheme, rng=np.random.default_rng(settings.seed), dtype=np.float32)
    if training.loss == "squared":
        network.views(theta)["readout.bias"][:] = training.targets.mean(axis=0)
    name, momentum = WAYS[settings.way]
    choices = {"clip_norm": 1.0}
    if momentum:
        choices["momentum"] = optim.Piecewise((0.9, momentum), starts=(max(1, settings.n_updates // 10),))
    _, looks = train(
        *(network, theta, getattr(optim, name)(settings.learning_rate, **choices), training, test),
        n_updates=settings.n_updates,
        n_looks=1,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    look = looks[-1]
    return [
        {
            "test_loss": look.test_loss,
            "wrong_share": look.wrong_share,
            "is_solved": int(look.wrong_share <= 0.01),
            "time_s": look.time_s,
        }
    ]


def plot(rows):
    """A panel per puzzle and length, a column a method."""
    from studies.bench.figures import COLOURS, log_axis, panels, strip

    ways = [way for way in WAYS if way in set(rows["way"])]
    colours = {way.replace(" ", "\n"): COLOURS[{"SGD": 6, "Momentum": 1, "Nesterov": 0}[WAYS[way][0]]] for way in ways}
    lengths, tasks = sorted(rows["T"].unique()), list(rows["task"].unique())
    figure, all_axes = panels(len(tasks), len(lengths), width=4.0)
    places = ((T, task) for T in lengths for task in tasks)
    for axes, (T, task) in zip(all_axes, places, strict=True):
        here = rows[(rows["task"] == task) & (rows["T"] == T)].groupby("way")["test_loss"]
        groups = {way.replace(" ", "\n"): here.get_group(way) for way in ways if way in here.groups}
        strip(axes, groups, colours=colours)
        log_axis(axes)
        axes.set(title=f"{task}, T = {T}")
        axes.tick_params(axis="x", labelsize=8)
    for axes in all_axes[:: len(tasks)]:
        axes.set_ylabel("test loss")
    return figure
