"""Objectives for the tests of the optimisers: a recurrent net, logistic regression, a valley."""

from dataclasses import dataclass

import numpy as np

from naive.curvature import TanhNet
from optim import Evaluation, from_callables


@dataclass
class NetObjective:
    """The naive recurrent net behind the contract, with its structural damping."""

    net: TanhNet

    @property
    def n_params(self):
        return self.net.n_params

    @property
    def n_sequences(self):
        return len(self.net.X)

    def value(self, theta, batch=None):
        loss_sum, weight, _ = self.net.value_and_grad(theta, batch)
        return Evaluation(loss_sum, weight)

    def value_and_grad(self, theta, batch=None):
        return Evaluation(*self.net.value_and_grad(theta, batch))

    def linearize(self, theta, batch=None):
        return NetProducts(self.net, theta.copy(), batch, self.value(theta, batch).weight)


@dataclass
class NetProducts:
    net: TanhNet
    theta: np.ndarray
    batch: np.ndarray | None
    weight: float

    def gauss_newton(self, v, *, structural=0.0):
        return self.net.product(self.theta, v, self.batch, structural)

    def squared_gradients(self):
        return self.net.squared_gradients(self.theta, self.batch)


def small_net(loss="squared", every_step=False, n_sequences=24, n_steps=6, n_hidden=5, dtype=np.float64, seed=0):
    """A net with a task that needs its memory: the target tells about the first input."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_sequences, n_steps, 2)).astype(dtype)
    first = X[:, 0, :]
    y = np.stack([first[:, 0] > 0, first[:, 0] <= 0], axis=1) if loss == "softmax" else 1.0 / (1.0 + np.exp(-first))
    y = y.astype(dtype)
    if every_step:
        y = np.repeat(y[:, None, :], n_steps, axis=1)
    objective = NetObjective(TanhNet(X, y, n_hidden, loss, every_step))
    theta = (0.4 * rng.standard_normal(objective.n_params)).astype(dtype)
    return objective, theta


def bowl(eigenvalues, seed=0, dtype=np.float64):
    """½ (x - s)ᵀ A (x - s) with the given eigenvalues; the objective, A and s."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))
    A = (Q * np.asarray(eigenvalues)) @ Q.T
    A = (0.5 * (A + A.T)).astype(dtype)
    s = rng.standard_normal(len(eigenvalues)).astype(dtype)

    def value_and_grad(x):
        return 0.5 * float((x - s) @ A @ (x - s)), A @ (x - s)

    return from_callables(value_and_grad, lambda x, v: A @ v, n_params=len(s)), A, s


def valley():
    """Rosenbrock's function as least squares, and where to start from."""

    def residuals(x):
        return np.array([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)])

    def jacobian(x):
        return np.array([[-1.0, 0.0], [-20.0 * x[0], 10.0]])

    objective = from_callables(
        lambda x: (0.5 * residuals(x) @ residuals(x), jacobian(x).T @ residuals(x)),
        lambda x, v: jacobian(x).T @ (jacobian(x) @ v),
        n_params=2,
    )
    return objective, np.array([-1.2, 1.0])


def logistic_regression(n_samples=300, scales=(1.0, 30.0, 1e-2, 1.0, 5.0), seed=0):
    """Cross-entropy of labels that overlap; features of very different scales make it ill-conditioned."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, len(scales))) * np.asarray(scales)
    y = (rng.uniform(size=n_samples) < 1.0 / (1.0 + np.exp(-(X / scales) @ np.linspace(-1, 1, len(scales))))) * 1.0

    def value_and_grad(w, batch):
        a = X[batch] @ w
        loss = np.logaddexp(0.0, a) - y[batch] * a
        return Evaluation(float(loss.sum()), float(len(batch)), X[batch].T @ (1.0 / (1.0 + np.exp(-a)) - y[batch]))

    def gauss_newton(w, v, batch):
        p = 1.0 / (1.0 + np.exp(-(X[batch] @ w)))
        return X[batch].T @ (p * (1.0 - p) * (X[batch] @ v))

    def squared_gradients(w, batch):
        p = 1.0 / (1.0 + np.exp(-(X[batch] @ w)))
        return ((X[batch] * (p - y[batch])[:, None]) ** 2).sum(axis=0)

    objective = from_callables(
        value_and_grad, gauss_newton, n_params=len(scales), n_sequences=n_samples, squared_gradients=squared_gradients
    )
    return objective, X, y
