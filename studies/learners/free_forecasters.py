"""Rivals of `ESNForecaster` on chaotic systems, and a search that is the same for all.

Each has ``fit(train)`` and ``forecast(n_steps, contexts)``, where ``contexts`` is a list of (n, O), and gives
(n_contexts, n_steps, O).

References
----------
Gauthier, Bollt, Griffith and Barbosa (2021), Next generation reservoir computing, Nat. Commun. 12, 5564.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from reservoir.metrics import valid_prediction_time

LARGEST = 1e6  # a free run beyond it is over
HELD_OUT = 0.25  # share of the series on which configurations are compared
N_PLACES = 8  # from which they run freely there
N_CONTEXT = 200  # rows before a place that synchronise
THRESHOLD = 0.4


class NextGeneration:
    """NG-RC: a ridge regression of increments on monomials of the last rows.

    z(t+1) = z(t) + C [1; u; monomials of u of degree 2 .. order],    u = [z(t); ...; z(t - n_delays + 1)]

    Parameters
    ----------
    n_delays, order : int >= 1
    alpha : float >= 0

    Examples
    --------
    >>> import numpy as np
    >>> from studies.learners.free_forecasters import NextGeneration
    >>> x = np.sin(0.3 * np.arange(300))[:, None]
    >>> model = NextGeneration(n_delays=2, order=1, alpha=1e-12).fit(x[:250])
    >>> bool(np.abs(model.forecast(50, [x[:250]])[0] - x[250:]).max() < 1e-3)
    True
    """

    def __init__(self, n_delays: int = 2, order: int = 2, alpha: float = 1e-6):
        self.n_delays, self.order, self.alpha = n_delays, order, alpha

    def fit(self, train: np.ndarray) -> NextGeneration:
        """Learn from one series (n, O)."""
        lags = [train[self.n_delays - 1 - k : len(train) - 1 - k] for k in range(self.n_delays)]
        features = self._monomials(np.hstack(lags))
        U, s, Vt = np.linalg.svd(features, full_matrices=False)
        self._coef = Vt.T @ ((s / (s**2 + self.alpha))[:, None] * (U.T @ np.diff(train, axis=0)[self.n_delays - 1 :]))
        return self

    def forecast(self, n_steps: int, contexts: list[np.ndarray]) -> np.ndarray:
        """Free runs, held where they leave all bounds."""
        rows = np.stack([c[: -self.n_delays - 1 : -1].ravel() for c in contexts])
        O = contexts[0].shape[1]
        out = np.empty((len(rows), n_steps, O))
        for k in range(n_steps):
            step = np.clip(rows[:, :O] + self._monomials(rows) @ self._coef, -LARGEST, LARGEST)
            out[:, k], rows = step, np.hstack([step, rows[:, :-O]])
        return out

    def _monomials(self, u: np.ndarray) -> np.ndarray:
        columns = [np.ones(len(u))]
        for degree in range(1, self.order + 1):
            chosen = itertools.combinations_with_replacement(range(u.shape[1]), degree)
            columns += [np.prod(u[:, index], axis=1) for index in map(list, chosen)]
        return np.stack(columns, axis=1)


class ReservoirPyForecaster:
    """A net of ReservoirPy with the output fed back step by step.

    Parameters
    ----------
    n_units, spectral_radius, leak_rate, input_scaling, bias_scaling, alpha, random_state
        As in ``ESNForecaster``.
    """

    def __init__(
        self, n_units=500, *, spectral_radius=0.9, leak_rate=0.7, input_scaling=0.2, bias_scaling=0.5, alpha=1e-8,
        random_state=0,
    ):  # fmt: skip
        self.settings = {
            "units": n_units, "sr": spectral_radius, "lr": leak_rate, "input_scaling": input_scaling,
            "bias": bias_scaling * np.random.default_rng(random_state).uniform(-1.0, 1.0, n_units),
            "input_connectivity": 1.0, "rc_connectivity": 10 / n_units, "seed": random_state,
        }  # fmt: skip
        self.alpha = alpha

    def fit(self, train: np.ndarray) -> ReservoirPyForecaster:
        """Learn from one series (n, O)."""
        from reservoirpy.nodes import Reservoir, Ridge

        self._reservoir, self._readout = Reservoir(**self.settings), Ridge(ridge=self.alpha)
        self._model = self._reservoir >> self._readout
        self._model.fit(train[:-1], train[1:], warmup=min(100, len(train) // 10))
        return self

    def forecast(self, n_steps: int, contexts: list[np.ndarray]) -> np.ndarray:
        """Free runs, each after its context from rest."""
        out = np.empty((len(contexts), n_steps, contexts[0].shape[1]))
        for run, context in zip(out, contexts, strict=True):
            self._model.reset()
            y = self._model.run(context)[-1]
            for k in range(n_steps):
                run[k] = y
                y = self._model.step(np.clip(y, -LARGEST, LARGEST))
        return out


def searched(make: Callable[..., Any], configurations: list[dict], train: np.ndarray, horizon: int) -> Any:
    """The configuration whose free runs on rows held out are valid for longest, fitted to all rows.

    Parameters
    ----------
    make : callable
        Makes a forecaster of a configuration.
    configurations : list of dict
    train : (n, O)
    horizon : int >= 1
        Steps of a free run, at most half of the rows held out.
    """
    edge = int(len(train) * (1 - HELD_OUT))
    horizon = min(horizon, (len(train) - edge) // 2)
    places = np.linspace(edge, len(train) - horizon, N_PLACES).astype(int)
    scores, scale = [], train.std(axis=0)
    for configuration in configurations:
        model = make(**configuration).fit(train[:edge])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs = model.forecast(horizon, [train[max(0, p - N_CONTEXT) : p] for p in places])
        valid = [
            valid_prediction_time(train[p : p + horizon], run, dt=1.0, threshold=THRESHOLD, normaliser=scale)
            for p, run in zip(places, runs, strict=True)
        ]
        scores.append(np.mean(valid))
    return make(**configurations[int(np.argmax(scores))]).fit(train)
