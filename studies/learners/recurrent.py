"""Trained recurrent networks with the three uses of `studies.learners.baselines`: follow a series, run free, classify.

Three ways: an LSTM from Glorot's weights, trained by Adam; tanh units from sparse weights, trained by the Hessian-free
method with structural damping; and tanh units that begin like an echo state network, trained by Nesterov's momentum.
All see their inputs and targets scaled to zero mean and unit variance.
"""

from __future__ import annotations

import numpy as np

KINDS = ("LSTM", "Hessian-free", "ESN-initialised momentum")
STRUCTURAL = 1.0 / 30.0  # μ of Martens and Sutskever 2012


class Recurrent:
    """A one-layer network, trained in mini-batches.

    A series is cut into stretches of `n_steps` steps that overlap by half. The first half of a stretch warms the state
    up and has no targets, save at the beginning of the series.

    Parameters
    ----------
    kind : one of KINDS
    n_units : int >= 1
    learning_rate : float > 0, falling along a half cosine; the Hessian-free method has no use for it
    n_updates, batch_size : int >= 1
        Steps, and sequences or stretches in a batch. Of a Hessian-free step that is the batch for curvature and
        acceptance; the gradient is that of all.
    n_steps : int >= 2, of a stretch
    spectral_radius, input_scale : floats, of the echo state network; the others have no use for them
    damping, weight_decay : floats, of the Hessian-free method: λ at the start, and the penalty on weights
    max_cg : int >= 1, bound on conjugate gradients in a step
    seed : int

    Examples
    --------
    >>> x = np.sin(0.3 * np.arange(300))[:, None]
    >>> model = Recurrent("LSTM", n_units=8, learning_rate=0.02, n_updates=200, n_steps=20).fit(x[:-1], x[1:])
    >>> bool(np.abs(model.predict(x[:-1]) - x[1:])[20:].max() < 0.2)
    True
    """

    def __init__(
        self,
        kind: str,
        *,
        n_units: int = 50,
        learning_rate: float = 0.01,
        n_updates: int = 1000,
        batch_size: int = 20,
        n_steps: int = 100,
        spectral_radius: float = 1.1,
        input_scale: float = 0.1,
        damping: float = 0.1,
        weight_decay: float = 0.0,
        max_cg: int = 50,
        seed: int = 0,
    ):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}. Choose one of them.")
        self.kind, self.n_units, self.learning_rate, self.n_updates = kind, n_units, learning_rate, n_updates
        self.batch_size, self.n_steps, self.seed = batch_size, n_steps, seed
        self.spectral_radius, self.input_scale = spectral_radius, input_scale
        self.damping, self.weight_decay, self.max_cg = damping, weight_decay, max_cg

    def fit(self, X: np.ndarray, y: np.ndarray) -> Recurrent:
        """Learn y(t) from X(0..t).

        Parameters
        ----------
        X : (T, I)
        y : (T, O)
        """
        self._scale(X, y)
        half = self.n_steps // 2
        starts = [*range(0, max(1, len(X) - self.n_steps + 1), half)]
        if starts[-1] + self.n_steps < len(X):
            starts.append(len(X) - self.n_steps)
        u, z = (X - self._mean) / self._spread, (y - self._target_mean) / self._target_spread
        stretches = [slice(start, start + self.n_steps) for start in starts]
        masks = [np.arange(len(u[s])) >= (half if s.start else 0) for s in stretches]
        self._train([u[s] for s in stretches], [z[s] for s in stretches], masks, "squared", y.shape[1], "all")
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Answer at every row of X, from rest. Returns (T, O)."""
        from cells import predict

        (p,) = predict(self._network, self._theta, [self._heard(X)])
        return p * self._target_spread + self._target_mean

    def forecast(self, n_steps: int, *, context: np.ndarray) -> np.ndarray:
        """Continue several series, each prediction becoming the next input; fitted with y(t) = X(t+1).

        Parameters
        ----------
        n_steps : int >= 1
        context : (B, T, I), what came before, B series at once

        Returns
        -------
        future : (B, n_steps, I)
        """
        from cells import Stepper, predict

        p, state = predict(self._network, self._theta, self._heard(context), return_state=True)
        stepper = Stepper(self._network, self._theta, n_sequences=len(context), state=state)
        future = np.empty((len(context), n_steps, context.shape[2]))
        step = p[:, -1]
        for t in range(n_steps):
            future[:, t] = step * self._target_spread + self._target_mean
            step = stepper.step(self._heard(future[:, t]))
        return future

    def classify(self, train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Learn the labels of whole sequences and give those of others; the answer is read after the last step.

        Parameters
        ----------
        train, test : (n_sequences, n_steps, n_features)
        labels : (n_sequences,) int, 0 .. n_classes - 1

        Returns
        -------
        predicted : (n_sequences,)
        """
        from cells import predict

        self._scale(train.reshape(-1, train.shape[2]), np.zeros((1, 1)))
        self._train(self._heard(train), labels, None, "softmax", int(labels.max()) + 1, "last")
        return predict(self._network, self._theta, self._heard(test)).argmax(axis=1)

    def _scale(self, X: np.ndarray, y: np.ndarray) -> None:
        from reservoir.data.standardise import standard

        self._mean, self._spread = standard(X, None)
        self._target_mean, self._target_spread = standard(y, None)

    def _heard(self, X: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray((X - self._mean) / self._spread, np.float32)

    def _train(self, X, y, masks, loss: str, n_out: int, targets: str) -> None:
        from cells import LSTM, Elman, Network, SequenceObjective, initial_theta, train
        from cells.initial import EchoState, Glorot, Sparse
        from optim import Adam, Cosine, HessianFree, Nesterov

        rate, n_in = Cosine(self.learning_rate, self.n_updates), len(self._mean)
        cell = LSTM(n_in, self.n_units) if self.kind == "LSTM" else Elman(n_in, self.n_units)
        if self.kind == "LSTM":
            scheme, method = Glorot(), Adam(rate, clip_norm=1.0)
        elif self.kind == "Hessian-free":
            choices = {"structural": STRUCTURAL, "cg": self.max_cg, "weight_decay": self.weight_decay}
            scheme, method = Sparse(), HessianFree(damping=self.damping, **choices)
        else:
            scheme = EchoState(spectral_radius=self.spectral_radius, input_scale=self.input_scale)
            method = Nesterov(rate, momentum=0.95, clip_norm=1.0)
        self._network = Network(cell, n_out=n_out, loss=loss, targets=targets)
        theta = initial_theta(self._network, scheme, rng=np.random.default_rng(self.seed), dtype=np.float32)
        objective = SequenceObjective(self._network, X, y, mask=masks, dtype=np.float32)
        result = train(
            *(objective, theta, method),
            **self._batches(objective.n_sequences),
            max_iterations=self.n_updates,
            seed=self.seed,
        )
        self._theta = result.theta

    def _batches(self, n_sequences: int) -> dict:
        """How `train` draws its batches."""
        from optim import RandomBatches

        size = min(self.batch_size, n_sequences)
        if self.kind != "Hessian-free":
            return {"batch_size": size}
        policy = RandomBatches(n_sequences, gradient=n_sequences, curvature=size)
        return {"batches": policy, "rng": np.random.default_rng(self.seed)}
