"""Networks on a few short sequences, for tests: ours and, where there is one, the plain twin with the same numbers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cells import GRU, LSTM, Elman, Network, SequenceObjective
from naive import networks as plain

LENGTHS = (3, 1, 4)
N_IN, H, N_OUT = 2, 3, 2
TWINS = {
    "elman": (Elman, plain.Elman, {}),
    "relu": (Elman, plain.Elman, {"activation": "relu"}),
    "logistic": (Elman, plain.Elman, {"activation": "logistic"}),
    "lstm": (LSTM, plain.LSTM, {}),
    "gru": (GRU, plain.GRU, {}),
}


@dataclass
class Problem:
    """A network, its data as ``SequenceObjective`` takes them, and a point: all that a test needs."""

    network: Network
    X: Any
    y: Any
    theta: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)

    def objective(self, **options: Any) -> SequenceObjective:
        return SequenceObjective(self.network, self.X, self.y, **{**self.options, **options})

    def direction(self, seed: int = 1) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal(self.theta.size).astype(self.theta.dtype)


def problem(
    network: Network, lengths=LENGTHS, *, seed=0, dtype=np.float64, index=False, masked=False, given=0, clamped=0
) -> Problem:
    """Random data that fit a network. ``given`` and ``clamped`` are numbers of units.

    ``masked`` by "outputs" leaves targets out: some are NaN, of weight 0.
    """
    rng = np.random.default_rng(seed)
    I, O, n = network.n_in, network.n_out, len(lengths)
    X = [rng.integers(0, I, T) if index else rng.standard_normal((T, I)).astype(dtype) for T in lengths]

    def targets(T):
        if network.loss == "softmax":
            return rng.integers(0, O, T)
        y = rng.standard_normal((T, O)) if network.loss == "squared" else rng.integers(0, 2, (T, O))
        return y.astype(dtype)

    y = targets(n) if network.targets == "last" else [targets(T) for T in lengths]
    options: dict[str, Any] = {"dtype": dtype}
    if masked == "outputs":
        weights = [np.where(rng.random(np.shape(part)) < 0.4, 0.0, rng.random(np.shape(part)) + 0.5) for part in y]
        y = [np.where(w == 0, np.nan, part).astype(dtype) for part, w in zip(y, weights, strict=True)]
        y, options["mask"] = (np.array(y), np.array(weights)) if network.targets == "last" else (y, weights)
    elif masked:
        options["mask"] = rng.random(n) + 0.5 if network.targets == "last" else [rng.random(T) + 0.5 for T in lengths]
    units = rng.permutation(network.layers[0].n_units)
    if given:
        options["initial_state"] = (units[:given], rng.standard_normal((n, given)))
    if clamped:
        options["clamped"] = (units[-clamped:], [rng.standard_normal((T, clamped)) for T in lengths])
    theta = (rng.standard_normal(network.n_params) * 0.6).astype(dtype)
    return Problem(network, X, y, theta, options)


def pair(names, *, lengths=LENGTHS, options=None, **network_options) -> tuple[Problem, plain.Net, list[plain.Sequence]]:
    """The same problem for a stack of cells of :data:`TWINS`: ours, and the plain network with its sequences.

    ``options`` go to :func:`problem`, the other ones to both networks.
    """
    ours, twins, n_in = [], [], N_IN
    for k, name in enumerate(names):
        cell, twin, choices = TWINS[name]
        ours.append(cell(n_in, H - k, **choices))
        twins.append(twin(n_in, H - k, **choices))
        n_in = (H - k) * (2 if network_options.get("bidirectional") else 1)
    made = problem(Network(ours, n_out=N_OUT, **network_options), lengths, **(options or {}))
    units, values = made.options.get("initial_state", ([], np.empty((len(lengths), 0))))
    clamped, rows = made.options.get("clamped", ([], [np.empty((T, 0)) for T in lengths]))
    net = plain.Net(twins, N_OUT, **network_options, given=list(units), clamped=list(clamped))
    sequences = [plain_sequence(made, i, values[i], rows[i]) for i in range(len(lengths))]
    return made, net, sequences


def plain_sequence(made: Problem, i: int, h0: np.ndarray, clamp: np.ndarray) -> plain.Sequence:
    """Sequence ``i`` of a problem with inputs, targets and weights as rows of numbers."""
    network = made.network
    x = np.eye(network.n_in)[made.X[i]] if made.X[i].ndim == 1 else made.X[i]
    y = np.atleast_1d(made.y[i]) if network.loss == "softmax" else np.atleast_2d(made.y[i])
    y = np.eye(network.n_out)[y] if network.loss == "softmax" else y
    weights = made.options.get("mask", [np.ones(len(y))] * (i + 1))
    weights = weights[i : i + 1] if network.targets == "last" and "mask" in made.options else weights[i]
    return plain.Sequence(x, y, weights, h0, clamp)
