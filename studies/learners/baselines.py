"""Learners without a state: what a window of the last steps can do, linear, quadratic and through a small
network.

One class serves three uses, as the echo state estimators do: `fit`/`predict` on a series, `forecast` in
closed loop, and `classify` on sequences. A window is the last `n_lags` steps side by side; before the start
stand zeros.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

KINDS = ("lagged ridge", "lagged quadratic ridge", "MLP on windows")


def windows(X: np.ndarray, n_lags: int) -> np.ndarray:
    """The last `n_lags` rows at every row, the newest first; zeros before the start.

    Parameters
    ----------
    X : (T, I)
    n_lags : int >= 1

    Returns
    -------
    rows : (T, n_lags * I)

    Examples
    --------
    >>> windows(np.array([[1.0], [2.0], [3.0]]), 2)
    array([[1., 0.],
           [2., 1.],
           [3., 2.]])
    """
    padded = np.vstack([np.zeros((n_lags - 1, X.shape[1])), X])
    return np.hstack([padded[n_lags - 1 - k : len(padded) - k] for k in range(n_lags)])


def with_products(rows: np.ndarray) -> np.ndarray:
    """The columns of `rows`, then the products of every pair of them, squares included.

    Parameters
    ----------
    rows : (T, I)

    Returns
    -------
    features : (T, I + I (I + 1) / 2)
    """
    i, j = np.triu_indices(rows.shape[1])
    return np.hstack([rows, rows[:, i] * rows[:, j]])


class Memoryless:
    """A learner that sees a window of the input and keeps nothing else.

    Parameters
    ----------
    kind : one of KINDS
    n_lags : int >= 1, steps in the window
    alpha : float >= 0, penalty of the ridge, or the weight decay of the network
    n_hidden : int >= 1, units of the network's one hidden layer (tanh)
    seed : int, used by the network only

    Examples
    --------
    >>> x = np.sin(0.3 * np.arange(400))[:, None]
    >>> model = Memoryless("lagged ridge", n_lags=3, alpha=1e-9).fit(x[:-1], x[1:])
    >>> future = model.forecast(50, context=x[None, -3:])
    >>> bool(np.abs(future[0, :, 0] - np.sin(0.3 * np.arange(400, 450))).max() < 1e-3)
    True
    """

    def __init__(self, kind: str, *, n_lags: int, alpha: float = 1e-6, n_hidden: int = 100, seed: int = 0):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}. Choose one of them.")
        self.kind, self.n_lags, self.alpha, self.n_hidden, self.seed = kind, n_lags, alpha, n_hidden, seed

    def fit(self, X: np.ndarray, y: np.ndarray) -> Memoryless:
        """Learn y(t) from the window ending at X(t). The first n_lags - 1 rows, whose window has no full
        past, are left out.

        Parameters
        ----------
        X : (T, I)
        y : (T, O)
        """
        full = slice(self.n_lags - 1, None)
        self._model = _fit(self._regressor(), self._features(windows(X, self.n_lags))[full], y[full])
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Answer at every row of X. Returns (T, O)."""
        return self._answer(windows(X, self.n_lags))

    def forecast(self, n_steps: int, *, context: np.ndarray) -> np.ndarray:
        """Continue several series, each prediction becoming the next input; fitted with y(t) = X(t+1).

        A forecast that leaves all bounds is held at infinity.

        Parameters
        ----------
        n_steps : int >= 1
        context : (B, at least n_lags, I), what came before, B series at once

        Returns
        -------
        future : (B, n_steps, I)
        """
        B, _, I = context.shape
        newest_first = context[:, ::-1][:, : self.n_lags].reshape(B, -1).astype(np.float64)
        future = np.full((B, n_steps, I), np.inf)
        lost = np.zeros(B, bool)
        for t in range(n_steps):
            step = self._answer(np.where(lost[:, None], 0.0, newest_first))
            lost |= ~(np.abs(step) < 1e6).all(axis=1)
            future[~lost, t] = step[~lost]
            newest_first = np.hstack([step, newest_first[:, :-I]])
        return future

    def classify(self, train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Learn the labels of whole sequences and give those of others.

        The classifier reads the window at the last step, so `n_lags` equal to the length shows it everything.

        Parameters
        ----------
        train, test : (n_sequences, n_steps, n_features)
        labels : (n_sequences,)

        Returns
        -------
        predicted : (n_sequences,)
        """
        last = [X[:, ::-1][:, : self.n_lags].reshape(len(X), -1) for X in (train, test)]
        if self.kind == "MLP on windows":
            model = MLPClassifier(
                hidden_layer_sizes=(self.n_hidden,), alpha=self.alpha, max_iter=300, random_state=self.seed
            )
        else:
            model = RidgeClassifier(alpha=self.alpha)
        return _fit(model, self._features(last[0]), labels).predict(self._features(last[1]))

    def _features(self, rows: np.ndarray) -> np.ndarray:
        return with_products(rows) if self.kind == "lagged quadratic ridge" else rows

    def _answer(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._model.predict(self._features(rows))).reshape(len(rows), -1)

    def _regressor(self):
        if self.kind != "MLP on windows":
            # "svd": noiseless lags are almost collinear; normal equations would lose half the digits
            return Ridge(alpha=self.alpha, solver="svd")
        network = MLPRegressor(
            hidden_layer_sizes=(self.n_hidden,),
            activation="tanh",
            solver="lbfgs",
            alpha=self.alpha,
            max_iter=400,
            max_fun=20_000,
            random_state=self.seed,
        )
        return make_pipeline(StandardScaler(), network)


def _fit(model, rows: np.ndarray, answers: np.ndarray):
    """Fit quietly: the network's iterations are its budget, and to use it up is no fault to be told of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows, answers[:, 0] if answers.ndim == 2 and answers.shape[1] == 1 else answers)
