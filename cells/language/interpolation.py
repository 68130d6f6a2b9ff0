"""Two language models as one: their probabilities mixed with a weight that a held-out text decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from cells.language.alphabet import check_text
from optim.arguments import brief

_CLOSE = 1e-9  # in the weight, where the search ends


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
    >>> from cells.language.ngram import NGram
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

    The mean log-probability is concave in the weight, so a bracketing search finds its one maximum.
    """
    if not hasattr(ngram, "log_probabilities_of"):
        raise TypeError(
            f"ngram must be a fitted cells.language.ngram.NGram, got {brief(ngram)}; fit one on the same text."
        )
    one, other = _both(network, ngram, check_text("held_out", held_out, least=2))
    found = minimize_scalar(
        lambda weight: -float(_mixed(one, other, weight).mean()), bounds=(0.0, 1.0), options={"xatol": _CLOSE}
    )
    weights = (0.0, float(found.x), 1.0)
    return Interpolation(network, ngram, max(weights, key=lambda weight: float(_mixed(one, other, weight).mean())))


def _both(network: Any, ngram: Any, text: str) -> tuple[np.ndarray, np.ndarray]:
    return network.log_probabilities_of(text), ngram.log_probabilities_of(text)[1:]


def _mixed(one: np.ndarray, other: np.ndarray, w: float) -> np.ndarray:
    """log(w exp(one) + (1 - w) exp(other)), by the larger of both."""
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log(w) + one, np.log1p(-w) + other)
