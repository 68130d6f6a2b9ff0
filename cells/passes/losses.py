"""Losses of output rows, with what back-propagation and Gauss-Newton products need of them.

o are the outputs before any nonlinearity, p the predictions, y the targets, w the weight of a row:

    squared     p = o            loss = w sum (p - y)² / 2                              H u = w u
    logistic    p = logistic(o)  loss = -w sum (y log p + (1 - y) log(1 - p))           H u = w p (1 - p) u
    softmax     p = softmax(o)   loss = -w sum y log p                                  H u = w (p u - p (pᵀ u))

These are matching pairs: the derivative by o is w (p - y) in all three, and H, the second derivative by o, has no
negative eigenvalue. Logarithms are taken of sums of exponentials, never of p. Targets of softmax may be class numbers
(*labels*); otherwise rows of y sum to one.

Each loss is two kernels, so that only those of a network's own are compiled. Both take

    outputs    (n, O), in
    targets    (n, O), in, or of size 0
    labels     (n,) int64, in, or of size 0; exactly one of the two is there
    weights    (n,), in; rows of weight 0 count nothing, whatever their targets
    p          (n, O), out of the first kernel, where it may be ``outputs``; in to the second
    u          (n, O), becomes H u, and 0 in rows of weight 0

References
----------
Schraudolph (2002), Fast curvature matrix-vector products, section 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cells.passes.pointwise import give, take
from reservoir.jit import njit
from reservoir.simd.activations import exponential, logistic, times_one_minus
from reservoir.simd.vectors import greater, lesser, like, magnitude, pack_size, total

_FACTORS = 32  # factors 1 + exp(-|o|) <= 2 multiplied before a logarithm is taken


@njit(nogil=True, error_model="numpy")
def _weighted(weight, loss):
    """The part of a row in the sum: exactly nothing if it does not count, for its targets may be NaN."""
    return float(weight) * loss if weight != 0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate_squared(outputs, targets, labels, weights, p):
    """Sum of w ½ |o - y|²; p becomes o."""
    n, O = outputs.shape
    loss_sum = 0.0
    for r in range(n):
        row = 0.0
        for j in range(O):
            difference = float(outputs[r, j]) - float(targets[r, j])
            row += 0.5 * difference * difference
            p[r, j] = outputs[r, j]
        loss_sum += _weighted(weights[r], row)
    return loss_sum


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate_logistic(outputs, targets, labels, weights, p):
    """Sum of w (log(1 + exp(o)) - y o); p becomes logistic(o)."""
    n, O = outputs.shape
    P = pack_size(outputs)
    loss_sum = 0.0
    for r in range(n):
        row = 0.0
        for j in range(O):
            o = float(outputs[r, j])
            row += greater(o, 0.0) - o * float(targets[r, j])
        product = 1.0
        for j in range(0, O, P):
            o = take(outputs, r, 0, j, O)
            give(p, r, 0, j, O, exponential(like(o, -1.0) * magnitude(o)))
            for k in range(j, lesser(j + P, O)):
                product *= 1.0 + float(p[r, k])
            if (j // P) % (_FACTORS // P) == _FACTORS // P - 1:
                row += math.log(product)
                product = 1.0
            give(p, r, 0, j, O, logistic(o))
        loss_sum += _weighted(weights[r], row + math.log(product))
    return loss_sum


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate_softmax(outputs, targets, labels, weights, p):
    """Sum of w (log sum exp(o) - y o), or of labels; p becomes softmax(o)."""
    n, O = outputs.shape
    P = pack_size(outputs)
    loss_sum = 0.0
    for r in range(n):
        highest = outputs[r, 0]
        for j in range(1, O):
            highest = greater(highest, outputs[r, j])
        row = float(highest)
        if labels.size > 0:
            row -= float(outputs[r, labels[r]])
        else:
            for j in range(O):
                row -= float(targets[r, j]) * float(outputs[r, j])
        first = take(outputs, r, 0, 0, O)
        sums = like(first, 0.0)
        for j in range(0, O, P):
            give(p, r, 0, j, O, exponential(take(outputs, r, 0, j, O) - like(first, highest)))
            sums = sums + take(p, r, 0, j, O)
        partition = total(sums)
        for j in range(0, O, P):
            give(p, r, 0, j, O, take(p, r, 0, j, O) / like(first, partition))
        loss_sum += _weighted(weights[r], row + math.log(float(partition)))
    return loss_sum


@njit(cache=True, nogil=True, error_model="numpy")
def _curve_squared(p, weights, u):
    """``u`` becomes w u."""
    n, O = u.shape
    for r in range(n):
        for j in range(O):
            u[r, j] = weights[r] * u[r, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _curve_logistic(p, weights, u):
    """``u`` becomes w p (1 - p) u."""
    n, O = u.shape
    for r in range(n):
        for j in range(0, O, pack_size(u)):
            v = take(u, r, 0, j, O)
            give(u, r, 0, j, O, like(v, weights[r]) * times_one_minus(take(p, r, 0, j, O)) * v)


@njit(cache=True, nogil=True, error_model="numpy")
def _curve_softmax(p, weights, u):
    """``u`` becomes w (p u - p (p·u))."""
    n, O = u.shape
    P = pack_size(u)
    for r in range(n):
        sums = like(take(u, r, 0, 0, O), 0.0)
        for j in range(0, O, P):
            sums = sums + take(p, r, 0, j, O) * take(u, r, 0, j, O)
        mean = total(sums)
        for j in range(O):
            u[r, j] = weights[r] * p[r, j] * (u[r, j] - mean)


class Loss(NamedTuple):
    """The kernels of a loss."""

    evaluate: Callable  # of (outputs, targets, labels, weights, p): sum of the losses of all rows
    apply_curvature: Callable  # of (p, weights, u)


LOSSES = {
    "squared": Loss(_evaluate_squared, _curve_squared),
    "logistic": Loss(_evaluate_logistic, _curve_logistic),
    "softmax": Loss(_evaluate_softmax, _curve_softmax),
}


@njit(cache=True, nogil=True, error_model="numpy")
def cotangents(p, targets, labels, weights, d):
    """``d`` (n, O) becomes w (p - y), and 0 in rows of weight 0; it may be ``p``."""
    n, O = p.shape
    for r in range(n):
        w = weights[r]
        if w == 0:  # exact: its target may be NaN
            for j in range(O):
                d[r, j] = 0.0
        elif labels.size > 0:
            for j in range(O):
                d[r, j] = w * p[r, j]
            d[r, labels[r]] -= w
        else:
            for j in range(O):
                d[r, j] = w * (p[r, j] - targets[r, j])


def predictions(loss: str, outputs: np.ndarray) -> np.ndarray:
    """p of each row of ``outputs``.

    Parameters
    ----------
    loss : "squared", "logistic" or "softmax"
    outputs : (n, O) float64 or float32

    Returns
    -------
    (n, O) array of the same dtype

    Examples
    --------
    >>> import numpy as np
    >>> from cells.passes.losses import predictions
    >>> predictions("softmax", np.zeros((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}; see cells.passes.losses.")
    outputs = np.require(outputs, requirements="CW")
    p = np.empty_like(outputs)
    weights = np.zeros(len(outputs), outputs.dtype)
    if loss == "softmax":
        labels, targets = np.zeros(len(outputs), np.int64), np.empty((0, 0), outputs.dtype)
    else:
        labels, targets = np.empty(0, np.int64), np.zeros_like(outputs)
    LOSSES[loss].evaluate(outputs, targets, labels, weights, p)
    return p
