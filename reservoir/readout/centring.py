"""Sums, factors and rows centred on their weighted means, which is how the free intercept leaves the problem.

With the means taken off, the intercept of the best readout is b = mean_y - W mean_z and W solves the problem
without one. Without intercept the data are put back to their own zero instead: the shift is undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.device import namespace
from optim.threads import run_all
from reservoir.alarms import StateOverflowError
from reservoir.readout.gram import Gram
from reservoir.readout.lower import centre_lower, strips
from reservoir.readout.tsqr import TriangularFactor, triangle

# Below this many eps of the norm an eigenvalue of a sum of products counts as rounding. On states of 200 and
# 400 units over 4,000 and 40,000 steps the sums were off by 0.1 to 0.15 eps and their smallest eigenvalues by
# up to 1: what stands above ten is known to a tenth.
ROUNDING_OF_PRODUCTS = 10.0


@dataclass(frozen=True)
class NormalEquations:
    """Centred sums of products; ridge regression solves (gram + α I) Wᵀ = cross.

    Attributes
    ----------
    gram : (K, K), of which the lower triangle is to be read; cross : (K, O), target_energy : (O,)
    centre, target_centre : (K,), (O,) what is subtracted from the rows of a tile, times its constant row
    weight : sum of weights, 0 when no intercept is fitted
    rounding : what rounding may have added to an eigenvalue of ``gram``
    """

    gram: Any
    cross: Any
    target_energy: Any
    centre: Any
    target_centre: Any
    weight: float
    rounding: float


@dataclass(frozen=True)
class CentredFactor:
    """Triangular factor R (K + O, K + O) of the centred data: min |R [Wᵀ; -I]|² + α |W|² is ridge regression.

    ``centre``, ``target_centre``, ``weight`` as in :class:`NormalEquations`.
    """

    R: np.ndarray
    n_features: int
    centre: np.ndarray
    target_centre: np.ndarray
    weight: float

    @property
    def features(self) -> np.ndarray:
        """(K, K) upper triangular factor of the features alone."""
        return self.R[: self.n_features, : self.n_features]

    @property
    def projected(self) -> np.ndarray:
        """(K, O) targets in the span of the features."""
        return self.R[: self.n_features, self.n_features :]

    @property
    def residual(self) -> np.ndarray:
        """(O, O) targets outside the span of the features."""
        return self.R[self.n_features :, self.n_features :]


@dataclass(frozen=True)
class CentredRows:
    """Centred ``features`` (K, n) and ``targets`` (O, n) held in memory; the rest as in NormalEquations."""

    features: Any
    targets: Any
    centre: Any
    target_centre: Any
    weight: float


def normal_equations(
    gram: Gram, *, fit_intercept: bool = True, keep: bool = True, n_threads: int = 1
) -> NormalEquations:
    """Centred sums of ``gram``: about the means or, without intercept, about the original data's zero.

    ``keep=False`` takes the memory of ``gram``, which is empty afterwards.
    """
    K = gram.n_features
    used = gram if fit_intercept else gram.recentred(np.zeros_like(gram.shift))
    if used is not gram and not keep:
        gram.empty()
    matrix = used.lower(keep=keep and used is gram, n_threads=n_threads)
    xp = namespace(matrix)
    require_finite(float(xp.linalg.trace(matrix)))
    total = float(matrix[K, K])
    _require_rows(total)
    features, cross = matrix[:K, :K], matrix[K + 1 :, :K].T
    energy = xp.linalg.diagonal(matrix[K + 1 :, K + 1 :])
    centre, target_centre = matrix[K, :K] / total, matrix[K + 1 :, K] / total
    weight = total if fit_intercept else 0.0
    if xp is np:
        squares = run_all(centre_lower, [(matrix, centre, weight, *rows) for rows in strips(K)], n_threads)
        rounding = _rounding(sum(squares), np.finfo(matrix.dtype).eps)
    else:
        rounding = rounding_of_products(features)
        features = features - weight * centre[:, None] * centre[None, :]
    if not fit_intercept:
        centre, target_centre = xp.asarray(-gram.shift[:K]), xp.asarray(-gram.shift[K:])
        return NormalEquations(features, cross, energy, centre, target_centre, 0.0, rounding)
    cross = cross - total * centre[:, None] * target_centre[None, :]
    energy = energy - total * target_centre**2
    energy = xp.where(energy > 0.0, energy, xp.zeros_like(energy))
    return NormalEquations(features, cross, energy, centre, target_centre, total, rounding)


def centred_factor(moments: TriangularFactor, *, fit_intercept: bool = True) -> CentredFactor:
    """Triangular factor of the centred data. With the constant column put first, the rest of R is centred::

    Q [c, Z, Y] = [[R_cc, R_cZ, R_cY], [0, R_ZZ, R_ZY], [0, 0, R_YY]],   means = R_c. / R_cc
    """
    K = moments.n_features
    used = moments if fit_intercept else moments.recentred(np.zeros_like(moments.shift))
    R = used.factor
    require_finite(float(np.vdot(R, R)))
    constant, others = R[:, K : K + 1], np.delete(R, K, axis=1)
    total = float(np.sum(constant**2))
    _require_rows(total)
    if fit_intercept:
        R = triangle(np.hstack([constant, others]))
        centre, target_centre = R[0, 1 : K + 1] / R[0, 0], R[0, K + 1 :] / R[0, 0]
        R = R[1:, 1:]
    else:
        R = triangle(others)
        centre, target_centre, total = -moments.shift[:K], -moments.shift[K:], 0.0
    return CentredFactor(R, K, centre, target_centre, total)


def centred_rows(tile, n_features: int, shift: np.ndarray, *, fit_intercept: bool = True) -> CentredRows:
    """Features and targets of a tile that holds all the data, minus their weighted means."""
    K = n_features
    xp = namespace(tile)
    root_weight = tile[K, :]
    weight = float(xp.sum(root_weight**2))
    _require_rows(weight)
    require_finite(float(xp.sum(tile)))
    if fit_intercept:
        centre, target_centre = tile[:K, :] @ root_weight / weight, tile[K + 1 :, :] @ root_weight / weight
    else:
        centre, target_centre, weight = xp.asarray(-shift[:K]), xp.asarray(-shift[K:]), 0.0
    features = tile[:K, :] - centre[:, None] * root_weight[None, :]
    targets = tile[K + 1 :, :] - target_centre[:, None] * root_weight[None, :]
    return CentredRows(features, targets, centre, target_centre, weight)


def rounding_of_products(matrix) -> float:
    """What rounding may have added to an eigenvalue of ``matrix``, a sum of products.

    Relative to the Frobenius norm: at least the largest eigenvalue, and hardly more where one dominates.
    """
    xp = namespace(matrix)
    # einsum reads a view without the copy that a norm would make of it
    square = np.einsum("ij,ij", matrix, matrix) if xp is np else xp.linalg.vector_norm(matrix) ** 2
    return _rounding(square, xp.finfo(matrix.dtype).eps)


def _rounding(square, eps) -> float:
    # Products below the smallest normal number have lost their digits.
    return max(ROUNDING_OF_PRODUCTS * float(eps) * float(square) ** 0.5, float(np.finfo(float).tiny))


def _require_rows(weight: float) -> None:
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
