"""Linear dynamical systems with normal noise: Kalman's filter, the smoother, and their parameters by EM.

    z(t+1) = A z(t) + w,   w ~ N(0, Q);    x(t) = C z(t) + v,   v ~ N(0, R);    z(1) ~ N(m, P)

Sequences of one length run side by side: their covariances are the same.

References
----------
Rauch, Tung and Striebel 1965; Shumway and Stoffer 1982; Ghahramani and Hinton 1996.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearDynamics:
    """A system of K latent and O observed dimensions; A, Q, P : (K, K), C : (O, K), R : (O, O), m : (K,)."""

    A: np.ndarray
    C: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    m: np.ndarray
    P: np.ndarray

    def log_likelihoods(self, X: np.ndarray) -> np.ndarray:
        """(n, T): log p(x(t) | x(1) .. x(t-1)). X : (n, T, O)."""
        return _filter(self, X)[2]


def expectation_maximisation(
    X: np.ndarray, n_latent: int, *, rng: np.random.Generator, n_iterations: int = 100
) -> LinearDynamics:
    """The system after `n_iterations` from a random one. X : (n, T, O)."""
    K, O = n_latent, X.shape[2]
    A = 0.9 * np.linalg.qr(rng.standard_normal((K, K)))[0]
    C, unit = rng.standard_normal((O, K)), np.eye(K)
    system = LinearDynamics(A, C, unit, np.diag(X.reshape(-1, O).var(0)), np.zeros(K), unit)
    for _ in range(n_iterations):
        system = step(system, X)
    return system


def step(system: LinearDynamics, X: np.ndarray) -> LinearDynamics:
    """One step of EM; the likelihood of X does not fall."""
    mean, cov, cross = _smooth(system, X)
    n, T, _ = X.shape
    second = n * cov + np.einsum("nti,ntj->tij", mean, mean)  # (T, K, K) sums over sequences of E z z'
    lagged = n * cross[1:] + np.einsum("nti,ntj->tij", mean[:, 1:], mean[:, :-1])
    before, after, pairs = second[:-1].sum(0), second[1:].sum(0), lagged.sum(0)
    A = np.linalg.solve(before, pairs.T).T
    Q = (after - A @ pairs.T) / (n * (T - 1))
    seen = np.einsum("nto,ntk->ok", X, mean)
    C = np.linalg.solve(second.sum(0), seen.T).T
    R = (np.einsum("nto,ntp->op", X, X) - C @ seen.T) / (n * T)
    m = mean[:, 0].mean(0)
    P = second[0] / n - np.outer(m, m)
    return LinearDynamics(A, C, _symmetric(Q), _symmetric(R), m, _symmetric(P))


def _filter(system: LinearDynamics, X: np.ndarray):
    """Filtered means (n, T, K) and covariances (T, K, K), log-likelihoods (n, T), predicted covariances (T, K, K)."""
    n, T, _ = X.shape
    K = len(system.m)
    means, covs, logs, predicted = np.empty((n, T, K)), np.empty((T, K, K)), np.empty((n, T)), np.empty((T, K, K))
    mean, cov = np.broadcast_to(system.m, (n, K)), system.P
    for t in range(T):
        predicted[t] = cov
        innovation = X[:, t] - mean @ system.C.T
        S = system.C @ cov @ system.C.T + system.R
        gain = np.linalg.solve(S, system.C @ cov).T
        white = np.linalg.solve(np.linalg.cholesky(S), innovation.T)
        logs[:, t] = -0.5 * ((white**2).sum(0) + np.linalg.slogdet(2.0 * np.pi * S)[1])
        means[:, t] = mean + innovation @ gain.T
        covs[t] = _symmetric(cov - gain @ system.C @ cov)
        mean, cov = means[:, t] @ system.A.T, _symmetric(system.A @ covs[t] @ system.A.T + system.Q)
    return means, covs, logs, predicted


def _smooth(system: LinearDynamics, X: np.ndarray):
    """Smoothed means (n, T, K), covariances (T, K, K), and covariances of z(t) with z(t-1) (T, K, K), the first 0."""
    means, covs, _, predicted = _filter(system, X)
    cross = np.zeros_like(covs)
    for t in range(X.shape[1] - 2, -1, -1):
        J = np.linalg.solve(predicted[t + 1], system.A @ covs[t]).T
        means[:, t] += (means[:, t + 1] - means[:, t] @ system.A.T) @ J.T
        cross[t + 1] = covs[t + 1] @ J.T
        covs[t] = _symmetric(covs[t] + J @ (covs[t + 1] - predicted[t + 1]) @ J.T)
    return means, covs, cross


def _symmetric(M: np.ndarray) -> np.ndarray:
    return 0.5 * (M + M.T)
