"""Linear readouts y = W z + b as they are found: one, or a decomposition that holds one for every penalty.

With Z (K, n) the centred, weighted features and Y (O, n) the targets, ridge regression for any α is diagonal
in the eigenvectors V of Z Zᵀ = V diag(λ) Vᵀ::

    W(α)ᵀ = V c(α),    c(α) = p / (λ + α),    p = Vᵀ Z Yᵀ,    trace of the hat matrix = Σ_k λ_k / (λ_k + α)

V and λ come from the Gram matrix (eigendecomposition), from the triangular factor or from Z itself (singular
values). Directions that rounding has made are left out where the penalty does not hold them: the answer then
is the one of least norm among the directions that are known.
"""

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


@dataclass(frozen=True)
class Decomposition:
    """Eigenvectors of the centred features and what the targets look like in them.

    Attributes
    ----------
    values : (r,) eigenvalues of Z Zᵀ, >= 0, r <= K
    vectors : (K, r) orthonormal columns V
    projected : (r, O) p = Vᵀ Z Yᵀ
    target_energy : (O,) weighted sum of squares of the centred targets
    unexplained : (O,) what is left of it when no penalty is paid
    centre, target_centre : (K,), (O,) what is subtracted from the rows of a tile, times its constant row
    shift : (K + O,) what had been subtracted from the data before
    weight : sum of weights, 0 when no intercept is fitted
    n_rows : rows of weight other than zero
    cutoff : eigenvalues up to it may be rounding only
    """

    values: Any
    vectors: Any
    projected: Any
    target_energy: Any
    unexplained: Any
    centre: Any
    target_centre: Any
    shift: np.ndarray
    weight: float
    n_rows: int
    cutoff: float

    def inverse(self, alpha: float):
        """(r,) 1 / (λ + α), and 0 where neither λ nor α stands above rounding."""
        xp = namespace(self.values)
        is_lost = xp.logical_and(self.values <= self.cutoff, xp.asarray(alpha <= self.cutoff))
        safe = xp.where(is_lost, xp.ones_like(self.values), self.values + alpha)
        return xp.where(is_lost, xp.zeros_like(safe), 1.0 / safe)

    def rank(self, alpha: float) -> int:
        """Directions in use at this penalty."""
        xp = namespace(self.values)
        return int(xp.count_nonzero(self.inverse(alpha)))

    def is_reliable(self, alpha: float) -> bool:
        """Whether rounding left out no direction of the K features at this penalty."""
        return alpha > self.cutoff or self.rank(alpha) == self.vectors.shape[0]

    def coefficients(self, alpha: float):
        """(r, O) coefficients c(α) in the basis of ``vectors``."""
        return self.projected * self.inverse(alpha)[:, None]

    @property
    def rounding(self) -> float:
        """``cutoff``, as :class:`reservoir.readout.reductions.Reduced` has it."""
        return self.cutoff

    @property
    def is_full(self) -> bool:
        """Whether every direction of the K features stands above rounding."""
        return self.rank(0.0) == self.vectors.shape[0]

    def coef(self, alphas: np.ndarray):
        """(A, O, K) readouts at penalties (A,)."""
        return namespace(self.values).stack([(self.vectors @ self.coefficients(float(a))).T for a in alphas])

    def readout(self, alpha: float) -> Readout:
        """Ridge readout at one penalty; does not warn where it is not reliable."""
        xp = namespace(self.values)
        coef = (self.vectors @ self.coefficients(alpha)).T
        largest = float(xp.max(self.values)) + alpha
        smallest = max(float(xp.min(self.values)) if self.values.shape[0] == coef.shape[1] else 0.0, 0.0) + alpha
        condition = largest / smallest if smallest > 0.0 else np.inf
        return readout_of(coef, self, alpha, condition=condition, rank=self.rank(alpha), method="decomposition")


def singular_cutoff(singular: np.ndarray, size: int) -> float:
    """Square of ``size`` * eps * the largest singular value, the tolerance of numpy.linalg.matrix_rank; above 0."""
    largest = float(np.max(singular, initial=0.0))
    return max((size * float(np.finfo(float).eps) * largest) ** 2, float(np.finfo(float).tiny))


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
