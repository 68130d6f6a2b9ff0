"""An autoencoder of logistic layers for any optimiser, with exact curvature products and two preconditioners."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

WIDTHS = (64, 32, 16, 8, 16, 32, 64)


class Autoencoder:
    """Cross-entropy between images and their reconstruction by a stack of logistic layers, for any optimiser.

    With a_0 the images, layers k = 1 .. K, and p = a_K the reconstruction::

        z_k = a_{k-1} W_k + b_k          a_k = σ(z_k)          loss = -Σ a_0 log p + (1 - a_0) log(1 - p)

    theta holds W_1, b_1, W_2, ... one after the other, in the dtype of the images. The loss matches the last
    nonlinearity: its gradient by z_K is p - a_0, its curvature p (1 - p).

    Parameters
    ----------
    images : (B, widths[0]) array, intensities in [0, 1]
    widths : tuple of int, of all layers from the input to the output
    """

    def __init__(self, images: np.ndarray, widths: tuple[int, ...] = WIDTHS):
        self.images, self.widths = images, widths
        self.n_sequences, self.dtype = len(images), images.dtype
        self.with_ones = np.hstack([images, np.ones((len(images), 1), images.dtype)])
        self.by_unit = self.with_ones.T.copy()
        self.n_params = sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))

    def layers(self, theta: np.ndarray) -> list[np.ndarray]:
        """Views [W; b] of every layer: (n_in + 1, n_out), the biases last."""
        found, start = [], 0
        for n_in, n_out in pairwise(self.widths):
            end = start + (n_in + 1) * n_out
            found.append(theta[start:end].reshape(n_in + 1, n_out))
            start = end
        return found

    def start(self, rng: np.random.Generator, in_degree: int = 15) -> np.ndarray:
        """Parameters to begin with: `in_degree` incoming weights a unit from normal(0, 1), all else 0."""
        theta = np.zeros(self.n_params, self.dtype)
        for layer in self.layers(theta):
            for unit in layer[:-1].T:
                chosen = rng.choice(unit.size, min(in_degree, unit.size), replace=False)
                unit[chosen] = rng.standard_normal(chosen.size)
        return theta

    def forward(self, theta: np.ndarray, batch: np.ndarray | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Activities a_0 .. a_K of the batch, each with a column of ones, and z_K; (B, n + 1) and (B, n_K).

        All are views of arrays (n + 1, B): the units of an image lie apart, the images of a unit side by side.
        """
        a = self.by_unit if batch is None else self.with_ones.take(batch, axis=0).T.copy()
        activities, layers = [a.T], self.layers(theta)
        for k, layer in enumerate(layers):
            before, a = a, np.empty((layer.shape[1] + 1, a.shape[1]), self.dtype)
            z = np.matmul(layer.T, before, out=None if k == len(layers) - 1 else a[:-1])
            logistic(z, out=a[:-1])
            a[-1] = 1.0
            activities.append(a.T)
        return activities, z.T

    def backward(
        self,
        theta: np.ndarray,
        activities: list[np.ndarray],
        dz: np.ndarray,
        *,
        slopes: list[np.ndarray] | None = None,
        scratch: list[np.ndarray] | None = None,
        power: int = 1,
    ) -> np.ndarray:
        """Σ over images of their gradients by theta, each entry to the `power`, from the gradient by z_K.

        Slopes and scratch are (n, B) for every layer; scratch is overwritten.
        """
        grad, layers, dz = np.empty_like(theta), self.layers(theta), dz.T
        for k, out in reversed(list(enumerate(self.layers(grad)))):
            a, d = (activities[k].T, dz) if power == 1 else (activities[k].T ** power, dz**power)
            np.matmul(a, d.T, out=out)
            if k:
                dz = np.matmul(layers[k][:-1], dz, out=None if scratch is None else scratch[k])
                dz *= slope(activities[k].T[:-1]) if slopes is None else slopes[k]
        return grad

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Any:
        """Loss of the batch; its weight is the number of images."""
        from optim import Evaluation

        activities, z = self.forward(theta, batch)
        return Evaluation(cross_entropy(z, activities[0][:, :-1]), len(z))

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Any:
        """Loss and gradient of the batch."""
        from optim import Evaluation

        activities, z = self.forward(theta, batch)
        grad = self.backward(theta, activities, difference(activities))
        return Evaluation(cross_entropy(z, activities[0][:, :-1]), len(z), grad)

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Linearized:
        """The batch's net linearised at theta."""
        return Linearized(self, theta.copy(), self.forward(theta, batch)[0])

    def squared_error(self, theta: np.ndarray) -> float:
        """Mean over all images of |a_0 - p|²."""
        activities, _ = self.forward(theta)
        return float(np.mean(np.sum(difference(activities) ** 2, axis=1, dtype=np.float64)))


class Linearized:
    """Products with the Gauss-Newton matrix of an autoencoder at one point; activities and slopes are kept."""

    def __init__(self, model: Autoencoder, theta: np.ndarray, activities: list[np.ndarray]):
        self.model, self.theta, self.activities, self.weight = model, theta, activities, len(activities[0])
        self.slopes = [None, *(slope(a.T[:-1]) for a in activities[1:])]
        # [R a; a; 1] and [W; V; v]: both terms of R z are one product. Only R a, V and v change. Images have no R a.
        hidden = zip(self.slopes[1:-1], activities[1:-1], strict=True)
        self.stacked = [activities[0].T, *(np.concatenate([s, a.T]) for s, a in hidden)]
        self.tangents = [None, *(both[: len(both) // 2] for both in self.stacked[1:]), np.empty_like(self.slopes[-1])]
        self.weights = [None, *(np.concatenate([layer[:-1], layer]) for layer in model.layers(theta)[1:])]

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """Jᵀ H J v, J the derivative of z_K and H = p (1 - p).

        R z_k = R a_{k-1} W_k + a_{k-1} V_k + v_k and R a_k = σ'(z_k) R z_k; then back, as any gradient goes.
        """
        if structural:
            raise NotImplementedError(f"structural must be 0 for an Autoencoder, got {structural!r}; leave it out.")
        for k, V in enumerate(self.model.layers(v)):
            if k:
                self.weights[k][len(V) - 1 :] = V
            weights = self.weights[k] if k else V
            Ra = np.matmul(weights.T, self.stacked[k], out=self.tangents[k + 1])
            Ra *= self.slopes[k + 1]
        dz = Ra  # H R z_K, because p (1 - p) is σ' as well
        return self.model.backward(self.theta, self.activities, dz.T, slopes=self.slopes, scratch=self.tangents)

    def preconditioner(self, damping: float) -> Callable[[np.ndarray, np.ndarray], None]:
        """Divides by the Kronecker factors of every layer, see :func:`kronecker_factored`.

        The gradients d are those of a loss whose gradient by z_K is ε sqrt(p (1 - p)) with random signs ε: the mean of
        its square over the signs is H. The signs are the same at every call.
        """
        layers = self.model.layers(self.theta)
        d = np.sqrt(self.slopes[-1])
        d *= np.random.default_rng(0).integers(0, 2, d.shape, dtype=np.int8) * 2 - 1
        divide = [None] * len(layers)
        for k in range(len(layers) - 1, -1, -1):
            divide[k] = kronecker_factored(self.activities[k].T, d, damping)
            if k:
                d = (layers[k][:-1] @ d) * self.slopes[k]

        def apply(r: np.ndarray, out: np.ndarray) -> None:
            for function, R, result in zip(divide, self.model.layers(r), self.model.layers(out), strict=True):
                function(R, result)

        return apply

    def squared_gradients(self) -> np.ndarray:
        """Σ over images of their squared gradients."""
        return self.model.backward(
            self.theta, self.activities, difference(self.activities), slopes=self.slopes, power=2
        )


def difference(activities: list[np.ndarray]) -> np.ndarray:
    """p - a_0, (B, n_K)."""
    return (activities[-1].T[:-1] - activities[0].T[:-1]).T


def logistic(z: np.ndarray, out: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) as (1 + tanh(z / 2)) / 2, which overflows nowhere."""
    np.multiply(z, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1.0
    out *= 0.5
    return out


def slope(a: np.ndarray) -> np.ndarray:
    """Derivative of the logistic function where its value is a."""
    found = 1.0 - a
    found *= a
    return found


def cross_entropy(z: np.ndarray, targets: np.ndarray) -> float:
    """Σ log(1 + exp(z)) - target z; the first term as max(z, 0) + log(1 + exp(-|z|)), which overflows nowhere."""
    terms = np.abs(z)
    np.negative(terms, out=terms)
    np.exp(terms, out=terms)
    terms += 1.0
    np.log(terms, out=terms)
    other = np.maximum(z, 0.0)
    terms += other
    terms -= np.multiply(targets, z, out=other)
    return float(np.sum(terms, dtype=np.float64))


def kronecker_factored(a: np.ndarray, d: np.ndarray, damping: float) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function ``(R, out)`` that divides by a layer's curvature, approximately, plus ``damping``.

    With E the mean over the columns of a and d, the eigenvectors U of E[a aᵀ] and V of E[d dᵀ]::

        out = U ((Uᵀ R V) / (D + damping)) Vᵀ,    D_ij = E[(Uᵀ a)_i² (Vᵀ d)_j²]

    D is the best diagonal in the eigenvectors of the Kronecker product E[a aᵀ] ⊗ E[d dᵀ], which takes a and d to be
    independent; it is exact where they are.

    Parameters
    ----------
    a : (n_in, B) array, inputs of the layer
    d : (n_out, B) array, gradients by what the layer makes of them before its nonlinearity
    damping : float > 0

    References
    ----------
    Martens and Grosse (2015), Optimizing neural networks with Kronecker-factored approximate curvature, for the
    factors. George et al. (2018), Fast approximate natural gradient descent in a Kronecker-factored eigenbasis, for D.
    """
    U, V = (np.linalg.eigh((x @ x.T).astype(np.float64))[1].astype(x.dtype) for x in (a, d))
    second_moments = (U.T @ a) ** 2 @ ((V.T @ d) ** 2).T / a.dtype.type(a.shape[1])
    divisors = second_moments + a.dtype.type(damping)

    def divide(R: np.ndarray, out: np.ndarray) -> None:
        np.matmul(U @ ((U.T @ R @ V) / divisors), V.T, out=out)

    return divide
