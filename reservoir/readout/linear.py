"""Linear readouts as they are found: y = W z + b in the original data, and what of them can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from optim.device import namespace
from reservoir.alarms import StateOverflowError


@dataclass(frozen=True)
class Readout:
    """A solved readout: prediction = features @ coef.T + intercept, in the original, unshifted data.

    Attributes
    ----------
    coef : (n_outputs, n_features)
    intercept : (n_outputs,), zeros where none was fitted
    alpha : float >= 0
    condition : float >= 1
        Condition number of (centred Gram + α I), estimated; its square root is that of the QR problem.
    rank : int
        Directions of the features in use; fewer than n_features where some were lost to rounding.
    method : "cholesky", "qr", "decomposition", "dual" or "cg"
    """

    coef: Any
    intercept: Any
    alpha: float
    condition: float
    rank: int
    method: str

    @property
    def is_full_rank(self) -> bool:
        """Whether every direction of the features is in use."""
        return self.rank == self.coef.shape[1]


class Centring(Protocol):
    """What was subtracted from the data.

    Attributes
    ----------
    centre, target_centre : (K,), (O,) what is subtracted from the rows of a tile, times its constant row
    shift : (K + O,) what had been subtracted from the data before
    """

    centre: Any
    target_centre: Any
    shift: np.ndarray


def readout_of(coef: Any, centring: Centring, alpha: float, *, condition: float, rank: int, method: str) -> Readout:
    """Undo the shift and the centring: b = mean_y - W mean_z; exactly zero where none was fitted."""
    xp = namespace(coef)
    K = coef.shape[1]
    means = xp.asarray(centring.shift[:K]) + centring.centre
    target_means = xp.asarray(centring.shift[K:]) + centring.target_centre
    intercept = target_means - coef @ means
    if not (bool(xp.all(xp.isfinite(intercept))) and bool(xp.all(xp.isfinite(coef)))):
        raise StateOverflowError(
            "X and y must leave sums of products within the range of float64, got a readout that is not finite; scale "
            "the data, choose a smaller spectral_radius or a bounded activation, or give a larger alpha."
        )
    return Readout(coef, intercept, alpha, max(1.0, condition), rank, method)


def rounding_outweighs(smallest: float, rounding: float) -> bool:
    """Whether the smallest eigenvalue, penalty included, does not exceed what rounding may have added.

    Examples
    --------
    >>> from reservoir.readout.linear import rounding_outweighs
    >>> rounding_outweighs(1e-12, rounding=1e-10), rounding_outweighs(1e-6, rounding=1e-10)
    (True, False)
    """
    return not smallest > rounding


def require_rows(weight: float) -> None:
    """Raise unless the sum of the weights is above zero."""
    if not weight > 0.0:
        raise ValueError(
            f"expected at least one row of positive weight, got a sum of weights of {weight:g}; "
            "check sample_weight and washout."
        )


def require_finite(value: float) -> None:
    """Raise unless ``value``, made of states, targets or their products, is finite."""
    if not np.isfinite(value):
        raise StateOverflowError(
            "X and y must keep states and sums of products finite, got sums that overflowed or are NaN; scale the data "
            "down, or choose a smaller spectral_radius or a bounded activation."
        )
