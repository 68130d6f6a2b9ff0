"""Two language models as one: their probabilities mixed with a weight that a held-out text decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_ITERATIONS = 200
_CHANGE = 1e-9


@dataclass(frozen=True)
class Interpolation:
    """p = weight * p of the network + (1 - weight) * p of the n-gram.

    Parameters
    ----------
    network, ngram : models with ``log_probabilities_of``
        That of the network leaves the first character out.
    weight : float in [0, 1]

    Examples
    --------
    >>> from cells import CharRNN
    >>> from cells.ngram import NGram
    >>> text = "the cat sat on the mat. the dog sat on the cat. "
    >>> network = CharRNN(8, n_steps=10, max_epochs=5, random_state=0).fit(text)
    >>> mixture = network.interpolate(NGram(order=2).fit(text), "the cat on the mat sat. ")
    >>> 0.0 <= mixture.weight <= 1.0
    True
    """

    network: Any
    ngram: Any
    weight: float

    def log_probabilities_of(self, text: str) -> np.ndarray:
        """log p of every character but the first, in nats: (T - 1,)."""
        return _mixed(*_both(self.network, self.ngram, text), self.weight)

    def score(self, text: str) -> float:
        """Bits a character."""
        return -float(self.log_probabilities_of(text).mean()) / float(np.log(2.0))


def interpolate(network: Any, ngram: Any, held_out: str) -> Interpolation:
    """The mixture whose weight makes ``held_out`` likeliest.

    The mean log-probability is concave in the weight w, and expectation-maximisation climbs it: w becomes the mean
    share of the network in the probabilities of the characters.
    """
    one, other = _both(network, ngram, held_out)
    w = 0.5
    for _ in range(_ITERATIONS):
        share = float(np.exp(np.log(w) + one - _mixed(one, other, w)).mean()) if w > 0.0 else 0.0
        if abs(share - w) < _CHANGE:
            break
        w = share
    return Interpolation(network, ngram, min(max(w, 0.0), 1.0))


def _both(network: Any, ngram: Any, text: str) -> tuple[np.ndarray, np.ndarray]:
    return network.log_probabilities_of(text), ngram.log_probabilities_of(text)[1:]


def _mixed(one: np.ndarray, other: np.ndarray, w: float) -> np.ndarray:
    """log(w exp(one) + (1 - w) exp(other)), by the larger of both."""
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log(w) + one, np.log1p(-w) + other)
