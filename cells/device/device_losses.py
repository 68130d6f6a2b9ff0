"""The losses of :mod:`cells.passes.losses` in array code: sums in float64, predictions in the working precision."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cells.device.step_words import logistic
from cells.shares.portion import Portion


class Answers(NamedTuple):
    """Targets (n, O), class numbers as one-hot rows, and weights (n, 1) or (n, O); targets of weight 0 are 0."""

    targets: Any
    weights: Any

    @classmethod
    def of(cls, data: Portion, n_out: int, xp: ModuleType) -> Answers:
        """Those of a portion, moved to the device."""
        weights = data.weights if data.weights.ndim == 2 else data.weights[:, None]
        targets = np.eye(n_out, dtype=data.weights.dtype)[data.labels] if data.labels.size else data.targets
        return cls(xp.asarray(np.where(weights == 0, 0, targets)), xp.asarray(weights))


def predictions_of(xp: ModuleType, loss: str, outputs: Any) -> Any:
    """p of each row of ``outputs`` (n, O)."""
    if loss == "squared":
        return outputs
    if loss == "logistic":
        return logistic(xp, outputs)
    e = xp.exp(outputs - outputs.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss_sum(xp: ModuleType, loss: str, outputs: Any, answers: Answers) -> float:
    """Sum of weight times loss over all rows."""
    o, y = outputs.astype(np.float64), answers.targets.astype(np.float64)
    if loss == "squared":
        rows = 0.5 * (o - y) ** 2
    elif loss == "logistic":
        rows = xp.maximum(o, 0.0) - o * y + xp.log1p(xp.exp(-abs(o)))
    else:
        highest = o.max(axis=1, keepdims=True)
        partition = xp.exp(o - highest).sum(axis=1, keepdims=True)
        rows = highest + xp.log(partition) - (o * y).sum(axis=1, keepdims=True)
    return float(xp.where(answers.weights == 0, 0.0, answers.weights * rows).sum())


def output_cotangents(xp: ModuleType, p: Any, answers: Answers) -> Any:
    """w (p - y), the derivative of any of the losses by the outputs; 0 in rows of weight 0."""
    return xp.where(answers.weights == 0, 0.0, answers.weights * (p - answers.targets))


def times_curvature(xp: ModuleType, loss: str, p: Any, answers: Answers, u: Any) -> Any:
    """H u, the second derivative by the outputs; 0 in rows of weight 0."""
    if loss == "logistic":
        u = p * (1.0 - p) * u
    elif loss == "softmax":
        u = p * (u - (p * u).sum(axis=1, keepdims=True))
    return xp.where(answers.weights == 0, 0.0, answers.weights * u)
