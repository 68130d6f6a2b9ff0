"""What the estimators of this package share: saving, and training that ends well or leaves no trace."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cells.saving import save
from cells.train import TrainingResult
from optim.result import StopReason


class NotFiniteWarning(UserWarning):
    """Training came upon a loss that is not finite, and stopped with the last parameters before it."""


class WrongCurvatureWarning(UserWarning):
    """Training found that curvature products are not what they must be, and stopped with the parameters before them."""


_WRONG_CURVATURE = (StopReason.NEGATIVE_CURVATURE, StopReason.NOT_DETERMINISTIC, StopReason.NOT_SYMMETRIC)


@contextmanager
def interrupts_told(checkpoint: str | os.PathLike | None) -> Iterator[None]:
    """Context of a training in which Ctrl-C leaves with a message: what is left, and where the next ``fit`` goes on.

    Examples
    --------
    >>> from cells.estimators.estimator import interrupts_told
    >>> try:
    ...     with interrupts_told(None):
    ...         raise KeyboardInterrupt
    ... except KeyboardInterrupt as interrupt:
    ...     message = str(interrupt)
    >>> message
    'training was interrupted, the estimator is as it was before; with checkpoint= it can go on.'
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        message = "training was interrupted, the estimator is as it was before; "
        if checkpoint is not None and os.path.exists(checkpoint):
            message += f"the next fit with checkpoint={os.fspath(checkpoint)!r} goes on from there."
        else:
            message += "with checkpoint= it can go on."
        interrupt.args = (message,)
        raise


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
        if result.reason == StopReason.NOT_FINITE and result.n_iterations <= 1:
            raise ValueError(
                "X and y must keep the first step of training finite, got infinity or NaN; give them in smaller units, "
                "or take standardize=True, an init with smaller weights, a smaller learning_rate, or no warm_start."
            )
        if result.reason == StopReason.NOT_FINITE:
            self._warn_of(result, NotFiniteWarning)
        if result.reason in _WRONG_CURVATURE:
            self._warn_of(result, WrongCurvatureWarning)
        self.theta_ = result.theta
        self.n_iter_ = result.n_iterations
        self.loss_curve_ = np.asarray(result.trace["loss"], float) if result.trace.n_rows else np.empty(0)
        self.validation_curve_ = {name: np.array(result.validation[name]) for name in result.validation}
        self.trace_ = {name: np.array(result.trace[name]) for name in result.trace}
        self.stop_reason_ = result.reason.value

    def _warn_of(self, result: TrainingResult, kind: type[UserWarning]) -> None:
        warnings.warn(f"training stopped after {result.n_iterations} steps: {result.message}", kind, stacklevel=6)
