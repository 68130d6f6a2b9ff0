"""Networks trained on puzzles: from a draw to an objective, and training with looks at fresh sequences on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cells import Network, SequenceObjective
    from studies.tasks.sequence_task import Draw


@dataclass(frozen=True)
class Look:
    """How a network stood at one moment of its training.

    Attributes
    ----------
    n_updates : int, steps taken
    time_s : float, seconds of training so far, looks not counted
    loss : float, mean training loss a target row since the look before
    test_loss : float, the same on the test sequences
    wrong_share : float, share of the test sequences that are wrong
    """

    n_updates: int
    time_s: float
    loss: float
    test_loss: float
    wrong_share: float


def network_for(draw: Draw, layers: Any) -> Network:
    """The network of these layers whose readout and loss fit the draw."""
    from cells import Network

    return Network(layers, n_out=draw.n_outputs, loss=draw.loss, targets="last" if draw.is_at_end else "all")


def objective_on(network: Network, draw: Draw, **choices: Any) -> SequenceObjective:
    """The loss of a network on a draw; `choices` go to `SequenceObjective`, float32 by default."""
    from cells import SequenceObjective

    mask = None if draw.is_at_end else draw.mask
    choices = {"dtype": np.float32} | choices
    return SequenceObjective(network, draw.inputs, draw.targets, lengths=draw.lengths, mask=mask, **choices)


def train(
    network: Network,
    theta: np.ndarray,
    method: Any,
    training: Draw,
    test: Draw,
    *,
    n_updates: int,
    n_looks: int,
    batch_size: int,
    seed: int = 0,
    clip_signal: float = np.inf,
    is_done: Callable[[Look], bool] = lambda look: False,
) -> tuple[np.ndarray, list[Look]]:
    """Train in mini-batches and look at the test sequences at even distances.

    Training ends early where `is_done` says so of a look, and where loss or gradient is no longer finite. Looks that
    are then missing repeat the last one; of a run that was lost the last one says that everything is wrong.

    Parameters
    ----------
    network : Network
    theta : (P,) float32, where to begin
    method : first-order method of `optim`
    training, test : Draw
    n_updates, n_looks, batch_size : int >= 1
    seed : int, of the order of the sequences
    clip_signal : float > 0, bound on the back-propagated signal, by unit and step
    is_done : callable of a Look

    Returns
    -------
    theta : (P,) float32
    looks : list of n_looks Looks
    """
    from optim import Epochs, minimize

    objective = objective_on(network, training, clip_signal=clip_signal)
    watched = objective_on(network, test)
    every = max(1, n_updates // n_looks)
    looks: list[Look] = []
    losses: list[float] = []
    looking_s = 0.0

    def callback(progress: Any) -> bool:
        nonlocal looking_s
        losses.append(progress.row["loss"])
        if progress.iteration % every or not np.isfinite(losses[-1]):
            return False
        start = time.perf_counter()
        wrong = test.wrong(outputs_of(network, progress.theta, test))
        loss, test_loss = float(np.mean(losses)), watched.value(progress.theta).loss
        time_s = progress.row["seconds"] - looking_s
        looks.append(Look(progress.iteration, time_s, loss, test_loss, float(np.mean(wrong))))
        losses.clear()
        looking_s += time.perf_counter() - start
        return is_done(looks[-1])

    batches = Epochs(objective.n_sequences, batch_size, seed=seed)
    result = minimize(objective, theta, method, batches=batches, max_iterations=n_updates, callback=callback)
    if result.reason == "not_finite" or not looks:
        looks.append(Look(result.n_iterations, result.seconds - looking_s, np.inf, np.inf, 1.0))
    rest = [replace(looks[-1], n_updates=i * every) for i in range(len(looks) + 1, n_looks + 1)]
    return result.theta, [*looks, *rest][:n_looks]


def outputs_of(network: Network, theta: np.ndarray, draw: Draw) -> np.ndarray:
    """Outputs before any nonlinearity, (n, T, O), or (n, O) where targets are at the end; zeros after a sequence."""
    from cells.predict import run_network
    from cells.shares.data import SequenceData

    data = SequenceData(network, draw.inputs, lengths=draw.lengths, dtype=theta.dtype)
    rows = run_network(network, theta, data, wanted="outputs").rows
    return rows if draw.is_at_end else _padded(rows, draw)


def states_of(network: Network, theta: np.ndarray, draw: Draw) -> np.ndarray:
    """States of the top layer after every step, (n, T, F); zeros after a sequence."""
    from cells import states

    return _padded(np.concatenate(states(network, theta, draw.inputs, lengths=draw.lengths)), draw)


def _padded(rows: np.ndarray, draw: Draw) -> np.ndarray:
    """(n, T, W) of the rows of all sequences, one after the other."""
    inside = np.arange(draw.mask.shape[1]) < draw.lengths[:, None]
    padded = np.zeros((*draw.mask.shape, rows.shape[1]), rows.dtype)
    padded[inside] = rows
    return padded
