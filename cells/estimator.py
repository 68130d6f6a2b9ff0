"""What the estimators of this package share: saving, and training that ends well or leaves no trace."""

from __future__ import annotations

import os
import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cells.saving import save
from cells.train import TrainingResult
from optim.result import StopReason


class NotFiniteWarning(UserWarning):
    """Training came upon a loss that is not finite, and stopped with the last parameters before it."""


class RecurrentEstimator(BaseEstimator):
    """Base of the estimators; its subclasses define ``__init__`` and say what is fitted."""

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to one ``.npz`` file; :func:`cells.load` reads it without running code.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self)
        save(self, path)

    def _take(self, result: TrainingResult) -> None:
        """Keep what a training found. Ctrl-C is passed on: the fit has not happened."""
        if result.reason == StopReason.INTERRUPTED:
            raise KeyboardInterrupt
        if result.reason == StopReason.NOT_FINITE:
            warnings.warn(
                f"training stopped after {result.n_iterations} steps: {result.message}", NotFiniteWarning, stacklevel=3
            )
        self.theta_ = result.theta
        self.n_iter_ = result.n_iterations
        self.loss_curve_ = np.asarray(result.trace["loss"], float) if result.trace.n_rows else np.empty(0)
        self.validation_curve_ = {name: np.array(result.validation[name]) for name in result.validation}
        self.trace_ = {name: np.array(result.trace[name]) for name in result.trace}
        self.stop_reason_ = result.reason.value
