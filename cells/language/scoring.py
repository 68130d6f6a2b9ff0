"""How well a network predicts a sequence of symbols: log-probabilities, however long the sequence and the alphabet."""

from __future__ import annotations

from typing import Any

import numpy as np

from cells.network import Network
from cells.predict import run_network
from cells.shares.data import SequenceData

# Symbols scored at a time: their outputs fit into memory whatever the alphabet.
_BLOCK = 65_536


def log_probabilities(network: Network, theta: np.ndarray, numbers: np.ndarray, **options: Any) -> np.ndarray:
    """log p of every symbol but the first given those before it, in nats: (T - 1,) float64.

    Parameters
    ----------
    network : Network
        That reads one-hot symbols and predicts the next by a softmax.
    theta : (P,)
    numbers : (T,) integers
        T at least 2; the state starts from rest.
    options
        ``n_threads`` and ``is_on_device`` of :func:`cells.predict.run_network`.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import LSTM, Network
    >>> from cells.language.scoring import log_probabilities
    >>> network = Network(LSTM(2, 3), n_out=2, loss="softmax")
    >>> log_probabilities(network, np.zeros(network.n_params), np.array([0, 1, 1])).round(4)
    array([-0.6931, -0.6931])
    """
    found, state = np.empty(numbers.size - 1), None
    for start in range(0, found.size, _BLOCK):
        y = numbers[start + 1 : start + _BLOCK + 1]
        data = SequenceData(network, [numbers[start : start + y.size]], dtype=theta.dtype)
        outputs, state = run_network(network, theta, data, wanted="outputs", initial=state, **options)
        found[start : start + y.size] = log_softmax(outputs)[np.arange(y.size), y]
    return found


def log_softmax(outputs: np.ndarray) -> np.ndarray:
    """log p of every symbol in float64: o - max o - log sum exp(o - max o), where log(softmax) would end at -103.

    Parameters
    ----------
    outputs : (n, V)

    Examples
    --------
    >>> import numpy as np
    >>> from cells.language.scoring import log_softmax
    >>> log_softmax(np.array([[0.0, 1000.0]], np.float32)).tolist()
    [[-1000.0, 0.0]]
    """
    below = outputs.astype(np.float64)
    below -= below.max(axis=1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=1, keepdims=True))
