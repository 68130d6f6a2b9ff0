"""On which signals does a linear dynamical system, a hidden Markov model or a recurrent net predict best?

Method. Three signals of one number a step, each made by one of the three kinds, 50 sequences of 100 steps to learn
from, 25 to choose by and 50 to be scored on, by the log-likelihood of the next value, in nats a step.

- `linear`: a point in the plane that turns by 0.3 and shrinks by 0.98 a step, pushed by noise; one coordinate is seen,
  through noise.
- `hidden`: four states that stay with probability 0.85 or go on to the next; two of them show the same mean.
- `chaotic`: the x of the Hénon map, seen through a noise of 0.02.

The linear system (2 or 4 latent dimensions) is fitted by EM with Kalman's smoother, the Markov model (4 or 8
states, the best of three starts) by Baum and Welch's, the net (20 tanh units) by Adam until its loss on the
sequences to choose by no longer falls; it predicts a mean, and its variance is that of its errors there. The sizes are
those that are best on the sequences to choose by.

`memory`: one of 16 symbols, a blank, and the same symbol again. Reported are the bits of the symbol that are held over
the blank, 4 less the cross-entropy of the last step. N states can hold at most log2 N bits, and this Markov model, the
best of five starts, needs some of them to show symbols and others to show the blank. The net has N tanh units.

Found (medians of five seeds, nats a step). Each is best on its own signal: on `linear` the linear system, -0.622, by
0.012 over the net and 0.21 over the Markov model; on `hidden` the Markov model, -1.18, by 0.48 and 0.49; on `chaotic`
the net, 1.64, by 1.45 and 2.64. Markov models of 2, 4, 8, 16 and 32 states hold 0, 1.0, 1.5, 2.3 and 3.0 bits, a net
of 4 tanh units all 4, of 2 units 2.8.

Sources. The lecture: linear dynamical systems and hidden Markov models as the predecessors of recurrent nets, and the
latter's log2 N limit. Shumway and Stoffer 1982; Baum et al. 1970; Rabiner 1989.

Expected run time: three minutes by default on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking

SIGNALS = ("linear", "hidden", "chaotic")
SIZES = {"linear system": (2, 4), "Markov model": (4, 8), "recurrent net": (20,)}
HOLDERS = ("Markov model", "recurrent net")  # of bits
N_SYMBOLS = 16


@dataclass(frozen=True)
class Settings:
    """One kind of model on one signal; for `memory` of one size."""

    task: str = "linear"
    way: str = "linear system"
    size: int = 0  # 0: chosen
    n_train: int = 50
    n_steps: int = 100
    n_iterations: int = 60
    max_epochs: int = 300
    seed: int = 0


GRID = {
    "quick": [
        {"task": list(SIGNALS), "way": "linear system", "size": 2, "n_iterations": 10, "seed": range(2)},
        {"task": list(SIGNALS), "way": "Markov model", "size": 4, "n_iterations": 10, "seed": range(2)},
        {"task": list(SIGNALS), "way": "recurrent net", "size": 5, "max_epochs": 10, "seed": range(2)},
        {"task": "memory", "way": list(HOLDERS), "size": [2, 4], "n_iterations": 50, "seed": range(2)},
    ],
    "default": [
        {"task": list(SIGNALS), "way": list(SIZES), "seed": range(5)},
        {"task": "memory", "way": list(HOLDERS), "size": [2, 4, 8, 16, 32], "n_iterations": 300, "seed": range(5)},
    ],
}  # fmt: skip
EXPECTED_S = {"quick": 4, "default": 150}
COLUMNS = ("score", "chosen_size")
BY = ("task", "way", "size")
RANKING = Ranking("score", better="higher", within=("task",))
SIDE_BY_SIDE = True


def run(settings: Settings) -> list[dict]:
    """Nats a step of the signal's sequences, or bits remembered."""
    rng = np.random.default_rng([settings.seed, 2024])
    if settings.task == "memory":
        score = _markov_memory if settings.way == "Markov model" else _net_memory
        return [{"score": score(settings, rng), "chosen_size": settings.size}]
    draw = {"linear": _linear, "hidden": _hidden, "chaotic": _chaotic}[settings.task]
    training, chosen_by, test = (draw(n, settings.n_steps, rng) for n in (settings.n_train, 25, 50))
    mean, deviation = training.mean(), training.std()
    training, chosen_by, test = ((X - mean) / deviation for X in (training, chosen_by, test))
    learn = {"linear system": _learn_linear, "Markov model": _learn_markov, "recurrent net": _learn_net}[settings.way]
    sizes = (settings.size,) if settings.size else SIZES[settings.way]
    scores = {size: learn(settings, size, training, chosen_by, rng) for size in sizes}
    best = max(sizes, key=lambda size: scores[size](chosen_by))
    return [{"score": float(scores[best](test) - np.log(deviation)), "chosen_size": best}]


def _linear(n: int, T: int, rng: np.random.Generator) -> np.ndarray:
    turn = 0.98 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    z, x = rng.standard_normal((n, 2)), np.empty((n, T))
    for t in range(T):
        x[:, t] = z[:, 0] + 0.3 * rng.standard_normal(n)
        z = z @ turn.T + 0.2 * rng.standard_normal((n, 2))
    return x


def _hidden(n: int, T: int, rng: np.random.Generator) -> np.ndarray:
    means = np.array([0.0, 3.0, 0.0, -3.0])
    moves = rng.uniform(size=(n, T)) > 0.85
    states = (rng.integers(4, size=(n, 1)) + np.cumsum(moves, axis=1)) % 4
    return means[states] + 0.5 * rng.standard_normal((n, T))


def _chaotic(n: int, T: int, rng: np.random.Generator) -> np.ndarray:
    from reservoir.datasets import henon

    x = henon(n * T, random_state=rng)[:, 0].reshape(n, T)
    return x + 0.02 * rng.standard_normal((n, T))


def _learn_linear(settings, size, training, chosen_by, rng):
    """A function from sequences to nats a step, as the two below."""
    from studies.learners.linear_dynamics import expectation_maximisation

    system = expectation_maximisation(training[:, :, None], size, rng=rng, n_iterations=settings.n_iterations)
    return lambda X: system.log_likelihoods(X[:, :, None])[:, 1:].mean()


def _learn_markov(settings, size, training, chosen_by, rng, *, n_starts: int = 3):
    from studies.learners.hidden_markov import baum_welch

    models = [baum_welch(training, size, rng=rng, n_iterations=settings.n_iterations) for _ in range(n_starts)]
    model = max(models, key=lambda model: model.log_likelihoods(training).sum())
    return lambda X: model.log_likelihoods(X)[:, 1:].mean()


def _learn_net(settings, size, training, chosen_by, rng):
    from cells import Elman, Network, SequenceObjective, initial_theta, train
    from cells.predict import predict
    from optim import Adam

    network = Network(Elman(1, size), n_out=1)
    objectives = [SequenceObjective(network, X[:, :-1, None], X[:, 1:, None], n_jobs=1) for X in (training, chosen_by)]
    theta = initial_theta(network, rng=rng)
    theta = train(
        objectives[0], theta, Adam(0.01), batch_size=10, max_epochs=settings.max_epochs, validation=objectives[1],
        patience=30,
    ).theta  # fmt: skip

    def errors(X):
        return np.asarray(predict(network, theta, X[:, :-1, None], n_jobs=1))[:, :, 0] - X[:, 1:]

    variance = (errors(chosen_by) ** 2).mean()
    return lambda X: -0.5 * (np.log(2.0 * np.pi * variance) + (errors(X) ** 2).mean() / variance)


def _symbols() -> np.ndarray:
    """(n, 3): every symbol, a blank, the symbol again."""
    symbols = np.tile(np.arange(N_SYMBOLS), 2)
    return np.column_stack([symbols, np.full(len(symbols), N_SYMBOLS), symbols])


def _bits(log_likelihood: np.ndarray) -> float:
    return float(np.log2(N_SYMBOLS) + log_likelihood.mean() / np.log(2.0))


def _markov_memory(settings: Settings, rng: np.random.Generator, *, n_starts: int = 5) -> float:
    from studies.learners.hidden_markov import baum_welch

    X = _symbols()
    models = [baum_welch(X, settings.size, rng=rng, n_iterations=settings.n_iterations) for _ in range(n_starts)]
    return _bits(max((model.log_likelihoods(X) for model in models), key=np.sum)[:, 2])


def _net_memory(settings: Settings, rng: np.random.Generator) -> float:
    from cells import Elman, Network, SequenceObjective, initial_theta
    from cells.predict import predict
    from optim import HessianFree, minimize

    X = _symbols()
    network = Network(Elman(N_SYMBOLS + 1, settings.size), n_out=N_SYMBOLS + 1, loss="softmax")
    objective = SequenceObjective(network, X[:, :2], X[:, 1:], n_jobs=1)
    theta = minimize(
        objective, initial_theta(network, rng=rng), HessianFree(), max_iterations=200, max_products=1000
    ).theta
    p = np.asarray(predict(network, theta, X[:, :2], n_jobs=1))[:, 1]
    return _bits(np.log(np.maximum(p[np.arange(len(X)), X[:, 2]], 1e-300)))


def finding(rows) -> str:
    """Who is best on each signal, and the bits that states and units hold."""
    said = []
    for task, group in rows[rows["task"] != "memory"].groupby("task", sort=False):
        medians = group.groupby("way", sort=False)["score"].median().sort_values(ascending=False)
        ahead = f" by {medians.iloc[0] - medians.iloc[1]:.2g} nats a step" if len(medians) > 1 else ""
        said.append(f"{task}: the {medians.index[0]}{ahead}")
    bits = rows[rows["task"] == "memory"].groupby(["way", "size"])["score"].median()
    held = [f"{way} of {size} {value:.2g}" for (way, size), value in bits.items()]
    return f"Best in held-out likelihood: {'; '.join(said)}. Bits remembered: {', '.join(held)}."


def plot(rows):
    """Likelihoods, a panel a signal, and bits against states with the limit."""
    from studies.bench.figures import INK, median_line, panels, size_axis, strip

    tasks = [task for task in rows["task"].unique() if task != "memory"]
    figure, all_axes = panels(len(tasks) + 1, width=3.4)
    for axes, task in zip(all_axes, tasks, strict=False):
        here = rows[rows["task"] == task]
        ways = [way for way in SIZES if way in set(here["way"])]
        strip(axes, {way.replace(" ", "\n"): here[here["way"] == way]["score"] for way in ways})
        axes.set(title=task, ylabel="nats a step, higher is better")
    axes, memory = all_axes[-1], rows[rows["task"] == "memory"]
    for i, way in enumerate(HOLDERS, start=1):
        table = memory[memory["way"] == way].pivot_table(index="size", columns="seed", values="score")
        median_line(axes, table.index, table, label=way, index=i)
    sizes = sorted(memory["size"].unique())
    axes.plot(sizes, np.minimum(np.log2(sizes), 4.0), color=INK, linewidth=1, linestyle=(0, (4, 3)), label="log2 N")
    size_axis(axes, sizes)
    axes.set(title="memory", xlabel="states or units", ylabel="bits of 4")
    axes.legend()
    return figure
