"""What a puzzle hands out: sequences, their targets, and when an answer counts as wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax


@dataclass(frozen=True)
class Draw:
    """Sequences of a puzzle with their targets.

    Attributes
    ----------
    inputs : (n, T, I) float64, or (n, T) int64 of symbols below I, one per step; zeros after a sequence's end
    n_inputs : int, I
    lengths : (n,) int64, steps of each sequence
    targets : one a sequence, at its last step: (n, O) float64 or (n,) int64 of classes;
        or one per step: (n, T, O) or (n, T)
    n_outputs : int, O
    loss : "squared" for numbers, "logistic" for bits, "softmax" for classes
    mask : (n, T) bool, steps that have a target
    tolerance : float or None. None: a row is wrong if its largest output is another class, or an output has the
        sign of the other bit. A number: wrong if an output, as a probability where there are classes or bits, is
        off by more than it. An output that is not finite is always wrong.
    scored : (n, T) bool or None, steps that decide whether a sequence is wrong; None means those of `mask`
    """

    inputs: np.ndarray
    n_inputs: int
    lengths: np.ndarray
    targets: np.ndarray
    n_outputs: int
    loss: str
    mask: np.ndarray
    tolerance: float | None = None
    scored: np.ndarray | None = None

    @property
    def is_at_end(self) -> bool:
        """Whether the only target of a sequence is at its last step."""
        return self.targets.ndim == (1 if self.loss == "softmax" else 2)

    def dense(self, dtype: Any = np.float32) -> np.ndarray:
        """Inputs as a network without an embedding takes them, symbols as one of I. Returns (n, T, I)."""
        if self.inputs.ndim == 3:
            return self.inputs.astype(dtype)
        X = np.zeros((*self.inputs.shape, self.n_inputs), dtype)
        inside = np.arange(self.inputs.shape[1]) < self.lengths[:, None]
        np.put_along_axis(X, self.inputs[..., None], inside[..., None].astype(dtype), axis=2)
        return X

    def wrong(self, outputs: np.ndarray) -> np.ndarray:
        """Which sequences count as wrong.

        Parameters
        ----------
        outputs : (n, T, O), or (n, O) at the last steps where targets are there; before the logistic or softmax

        Returns
        -------
        wrong : (n,) bool
        """
        n = len(self.inputs)
        at_end = outputs.ndim == 2
        if at_end and not self.is_at_end:
            raise ValueError(
                f"outputs must be (n, T, O) for a target per step, got shape {outputs.shape}. Give all steps."
            )
        if self.is_at_end:
            last = outputs if at_end else outputs[np.arange(n), self.lengths - 1]
            return self._rows_wrong(last, self.targets)
        scored = self.mask if self.scored is None else self.scored
        return np.any(self._rows_wrong(outputs, self.targets) & scored, axis=1)

    def _rows_wrong(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """outputs : (..., O). Returns (...) bool."""
        lost = ~np.isfinite(outputs).all(axis=-1)
        answers = np.where(lost[..., None], 0.0, outputs)
        if self.tolerance is None:
            if self.loss == "softmax":
                return lost | (answers.argmax(axis=-1) != targets)
            return lost | np.any((answers > 0.0) != (targets > 0.5), axis=-1)
        if self.loss == "softmax":
            answers, targets = softmax(answers, axis=-1), np.eye(self.n_outputs)[targets]
        elif self.loss == "logistic":
            answers = expit(answers)
        return lost | np.any(np.abs(answers - targets) > self.tolerance, axis=-1)
