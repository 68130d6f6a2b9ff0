"""Hidden Markov models: scaled forward and backward passes, Baum and Welch's re-estimation.

    p(s(1) = i) = start_i,   p(s(t+1) = j | s(t) = i) = transition_ij,   x(t) ~ emission of s(t)

Sequences of one length run side by side. Emissions are symbols, by a table of probabilities, or numbers, normal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

LEAST_VARIANCE = 1e-6
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class HiddenMarkov:
    """A model of N states.

    Attributes
    ----------
    start : (N,)
    transition : (N, N), rows sum to 1
    emission : (N, M) probabilities of symbols, or (N, 2) means and variances of numbers
    """

    start: np.ndarray
    transition: np.ndarray
    emission: np.ndarray

    def log_likelihoods(self, X: np.ndarray) -> np.ndarray:
        """(n, T): log p(x(t) | x(1) .. x(t-1)). X : (n, T) symbols, integers, or numbers."""
        return _forward(self, _densities(self, X))[1]


def baum_welch(X: np.ndarray, n_states: int, *, rng: np.random.Generator, n_iterations: int = 100) -> HiddenMarkov:
    """The model after `n_iterations` of expectation and maximisation from a random one.

    Parameters
    ----------
    X : (n, T), symbols 0, 1, .. as integers, or numbers
    n_states : int >= 1
    rng : numpy.random.Generator
    n_iterations : int >= 0
    """
    start, transition = rng.dirichlet(np.ones(n_states)), rng.dirichlet(np.ones(n_states), n_states)
    if X.dtype.kind == "i":
        emission = rng.dirichlet(np.ones(X.max() + 1), n_states)
    else:
        emission = np.column_stack([rng.choice(X.ravel(), n_states), np.full(n_states, X.var())])
    model = HiddenMarkov(start, transition, emission)
    for _ in range(n_iterations):
        model = step(model, X)
    return model


def step(model: HiddenMarkov, X: np.ndarray) -> HiddenMarkov:
    """One re-estimation; the likelihood of X does not fall."""
    densities = _densities(model, X)
    forward, log_scale = _forward(model, densities)
    backward = _backward(model, densities, np.exp(log_scale))
    posterior = forward * backward  # (n, T, N), sums to 1 over N
    ahead = densities[:, 1:] * backward[:, 1:] / np.exp(log_scale)[:, 1:, None]
    pairs = model.transition * np.einsum("nti,ntj->ij", forward[:, :-1], ahead)
    return replace(
        model,
        start=posterior[:, 0].mean(0),
        transition=_normalised(pairs),
        emission=_emission(X, posterior),
    )


def _emission(X: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    if X.dtype.kind == "i":
        return _normalised(np.stack([posterior[X == symbol].sum(0) for symbol in range(X.max() + 1)], axis=1))
    weight = posterior.sum((0, 1)) + LEAST_PROBABILITY
    mean = np.einsum("nti,nt->i", posterior, X) / weight
    variance = np.einsum("nti,nti->i", posterior, (X[:, :, None] - mean) ** 2) / weight
    return np.column_stack([mean, np.maximum(variance, LEAST_VARIANCE)])


def _densities(model: HiddenMarkov, X: np.ndarray) -> np.ndarray:
    """(n, T, N) probability or density of every x in every state."""
    if X.dtype.kind == "i":
        return model.emission.T[X] + LEAST_PROBABILITY
    mean, variance = model.emission.T
    exponent = -0.5 * (X[:, :, None] - mean) ** 2 / variance
    return np.exp(exponent) / np.sqrt(2.0 * np.pi * variance) + LEAST_PROBABILITY


def _forward(model: HiddenMarkov, densities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States given what came so far (n, T, N), and the log of each step's scale (n, T)."""
    forward, scales = np.empty_like(densities), np.empty(densities.shape[:2])
    before: Any = model.start
    for t in range(densities.shape[1]):
        joint = before * densities[:, t]
        scales[:, t] = joint.sum(1)
        forward[:, t] = joint / scales[:, t, None]
        before = forward[:, t] @ model.transition
    return forward, np.log(scales)


def _backward(model: HiddenMarkov, densities: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(n, T, N): what comes later given the state, over what it is without it."""
    backward = np.ones_like(densities)
    for t in range(densities.shape[1] - 1, 0, -1):
        backward[:, t - 1] = (backward[:, t] * densities[:, t] / scales[:, t, None]) @ model.transition.T
    return backward


def _normalised(counts: np.ndarray) -> np.ndarray:
    counts = counts + LEAST_PROBABILITY
    return counts / counts.sum(1, keepdims=True)
