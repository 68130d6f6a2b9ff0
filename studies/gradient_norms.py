"""How fast does a gradient vanish or explode on its way back through time, cell by cell?

Method. A network with random weights reads `lag` steps of noise, normal(0, 1), and answers at the end; the loss is half
the squared answer. Its gradient by the state before the first step, which is a parameter here, is the gradient after
`lag` steps of travelling back. Its norm is divided by that of the gradient by the last state, for 20 sequences each on
its own, and the median is reported. For the cells with a memory c the norm by c stands beside that by h.

For the simple networks there is a bound: with the derivative of the nonlinearity at most 1, each step back multiplies
the norm by at most the largest singular value of the recurrent matrix R, so that the ratio is at most ||R||^lag. The
spectral radius, which is smaller, says on which side of 1 the growth lies where units are nearly linear.

The nets: tanh units with 15 connections a unit, scaled to a spectral radius; rectified units likewise, half of which
are silent at any time, so that the balance lies near the square root of 2, and with the identity as their matrix; LSTM
with three initial forget biases; GRU; and the cell h = f h + u without an input gate. Weights of the gated cells are
Glorot's.

Sources. Hochreiter 1991, Bengio, Simard and Frasconi 1994, and Pascanu, Mikolov and Bengio 2013, section 2, for the
bound; Hochreiter and Schmidhuber 1997; Jozefowicz, Zaremba and Sutskever 2015 for the forget bias.

Expected run time: about a minute by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PANELS = {
    "tanh units": ("tanh, radius 0.5", "tanh, radius 0.9", "tanh, radius 1.1", "tanh, radius 1.5"),
    "rectified units": ("ReLU, radius 0.9", "ReLU, radius 1.4", "ReLU, radius 2", "ReLU, identity"),
    "cells with gates": ("LSTM, forget bias 0", "LSTM, forget bias 1", "LSTM, forget bias 3", "GRU", "h = f h + u"),
}
WAYS = [way for ways in PANELS.values() for way in ways]


@dataclass(frozen=True)
class Settings:
    """One random network."""

    way: str = "tanh, radius 0.9"
    n_units: int = 50
    n_inputs: int = 5
    lags: tuple[int, ...] = (1, 2, 3, 5, 8, 12, 18, 25, 35, 50)
    n_sequences: int = 20
    seed: int = 0


GRID = {
    "quick": [
        {"way": ["tanh, radius 0.9", "ReLU, radius 1.4", "LSTM, forget bias 1"], "n_units": 10, "lags": (1, 5, 20),
         "n_sequences": 5, "seed": range(2)}
    ],
    "default": [{"way": WAYS, "seed": range(20)}],
}  # fmt: skip
EXPECTED_S = {"quick": 3, "default": 60}
COLUMNS = ("lag", "quantity", "ratio")
BY = ("way", "quantity", "lag")


def run(settings: Settings) -> list[dict]:
    """Relative norm of the gradient at every lag."""
    from cells import Network, initial_theta

    cell, scheme = _cell(settings)
    network = Network(cell, n_out=1, targets="last", learn_initial_state=True)
    rng = np.random.default_rng([settings.seed, 2024])
    theta = initial_theta(network, scheme, rng=np.random.default_rng(settings.seed))
    noise = rng.standard_normal((settings.n_sequences, max(settings.lags), settings.n_inputs))
    is_simple = not settings.way.startswith(("LSTM", "GRU", "h ="))
    growth = np.linalg.norm(network.views(theta)["layer0.recurrent"], 2)
    rows = []
    for lag in settings.lags:
        found = {f"by {state}": np.median(ratios) for state, ratios in _ratios(network, theta, noise[:, -lag:]).items()}
        if is_simple:
            found["bound"] = growth**lag
        rows += [{"lag": lag, "quantity": name, "ratio": float(value)} for name, value in found.items()]
    return rows


def finding(rows) -> str:
    """Where the gradient vanishes most and least at the longest lag."""
    here = rows[(rows["lag"] == rows["lag"].max()) & (rows["quantity"] == "by h")]
    medians = here.groupby("way", sort=False)["ratio"].median().sort_values()
    least, most = medians.index[-1], medians.index[0]
    return (
        f"{here['lag'].iloc[0]} steps back the gradient's norm is {medians[most]:.2g} of that at the end for {most} "
        f"and {medians[least]:.2g} for {least}, the two extremes (medians)."
    )


def _cell(settings: Settings):
    """The cell of a way, and what draws its weights."""
    from cells import GRU, LSTM, Elman, ForgetGate
    from cells.initial import EchoState, Glorot, Identity

    name, _, kind = settings.way.partition(", ")
    I, H = settings.n_inputs, settings.n_units
    if name == "LSTM":
        return LSTM(I, H, forget_bias=float(kind.split()[-1])), Glorot()
    if name in ("GRU", "h = f h + u"):
        return {"GRU": GRU, "h = f h + u": ForgetGate}[name](I, H), Glorot()
    cell = Elman(I, H, activation=name.lower())
    if kind == "identity":
        return cell, Identity(deviation=0.1)
    return cell, EchoState(spectral_radius=float(kind.split()[-1]), input_scale=0.1)


def _ratios(network, theta: np.ndarray, X: np.ndarray) -> dict[str, np.ndarray]:
    """(n,) norms of the gradients by the first states h and, if there are such, c, over that by the last h.

    A sequence whose answer is exactly 0, as rectified units that have all gone silent give, has no gradient at all and
    counts as 0.
    """
    from cells import SequenceObjective

    objective = SequenceObjective(network, X, np.zeros((len(X), 1)))
    weights = np.linalg.norm(network.views(theta)["readout.weights"])
    found: dict[str, list[float]] = {}
    for i in range(len(X)):
        evaluation = objective.value_and_grad(theta, np.array([i]))
        last = weights * np.sqrt(2.0 * evaluation.loss_sum)  # |dL/dh| = |W| |answer|, and the loss is answer^2 / 2
        for name, gradient in network.views(evaluation.grad).items():
            if ".initial_" in name:
                found.setdefault(name[-1], []).append(np.linalg.norm(gradient) / last if last else 0.0)
    return {state: np.array(ratios) for state, ratios in found.items()}


def plot(rows):
    """Relative norm against the lag, a panel a family; the memory's gradient dashed, the bound dotted."""
    from studies.bench.figures import COLOURS, FAINT, median_line, panels

    shown = {title: [way for way in ways if way in set(rows["way"])] for title, ways in PANELS.items()}
    shown = {title: ways for title, ways in shown.items() if ways}
    figure, all_axes = panels(len(shown), width=4.6, height=3.8)
    for axes, (title, ways) in zip(all_axes, shown.items(), strict=True):
        for i, way in enumerate(ways):
            here = rows[rows["way"] == way]
            table = here[here["quantity"] == "by h"].pivot_table(index="lag", columns="seed", values="ratio")
            median_line(axes, table.index, table.where(table > 0), label=way, index=i)
            for quantity, style in (("by c", "--"), ("bound", ":")):
                line = here[here["quantity"] == quantity].groupby("lag")["ratio"].median()
                axes.plot(line.index, line, style, color=COLOURS[i], linewidth=1.1)
        axes.axhline(1.0, color=FAINT, linewidth=0.8, zorder=1)
        axes.set_yscale("log")
        axes.set(title=title, xlabel="steps back", ylim=(1e-12, 1e6), ylabel="gradient by h, relative (bound dotted)")
        axes.legend(loc="lower left", fontsize=8)
        if title == "cells with gates":
            axes.set_ylabel("gradient by h (by c dashed), relative")
    return figure
