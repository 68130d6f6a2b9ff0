"""Free runs over rows held out, one by one."""

from __future__ import annotations

import numpy as np


def states_of(z, W, W_in, b, a):
    """(n, N) states after every row of z (n, O), from rest."""
    x, found = np.zeros(len(b)), []
    for row in z:
        x = (1 - a) * x + a * np.tanh(W @ x + W_in @ row + b)
        found.append(x)
    return np.array(found)


def ridge(Z, Y, alpha):
    """Coefficients (O, K) and intercept (O,) that minimise |Y - Z Cᵀ - c|² + alpha |C|²."""
    centred, K = Z - Z.mean(axis=0), Z.shape[1]
    C = np.linalg.lstsq(
        np.vstack([centred, np.sqrt(alpha) * np.eye(K)]), np.vstack([Y - Y.mean(axis=0), np.zeros((K, Y.shape[1]))])
    )[0].T
    return C, Y.mean(axis=0) - C @ Z.mean(axis=0)


def errors_of_free_runs(z, places, known, n_steps, alpha, lag, W, W_in, b, a):
    """Truth minus free run from every place, for as long as there is a truth: a list of (at most n_steps, O).

    Row t of z is followed by row t + 1. The readout of the run from place i has learnt what follows rows ``known[i]``.
    Errors of differences (lag > 0) are added up to those of the series.
    """
    states, runs = states_of(z[:-1], W, W_in, b, a), []
    for place, rows in zip(places, known, strict=True):
        C, c = ridge(np.hstack([states, z[:-1]])[rows], z[1:][rows], alpha)
        x, y, errors = states[place - 1], z[place], []
        for truth in z[place + 1 : place + 1 + n_steps]:
            x = (1 - a) * x + a * np.tanh(W @ x + W_in @ y + b)
            y = C @ np.concatenate([x, y]) + c
            before = errors[-lag] if 0 < lag <= len(errors) else 0.0
            errors.append(truth - y + before)
        runs.append(np.array(errors))
    return runs
