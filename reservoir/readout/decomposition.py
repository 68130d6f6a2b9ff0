"""One factorisation of the centred features that serves every penalty and every output.

With Z (K, n) the centred, weighted features and Y (O, n) the targets, ridge regression for any α is diagonal
in the eigenvectors V of Z Zᵀ = V diag(λ) Vᵀ::

    W(α)ᵀ = V c(α),    c(α) = p / (λ + α),    p = Vᵀ Z Yᵀ,    trace of the hat matrix = Σ_k λ_k / (λ_k + α)

V and λ come from the Gram matrix (eigendecomposition), from the triangular factor or from Z itself (singular
values). Directions that rounding has made are left out where the penalty does not hold them: the answer then
is the one of least norm among the directions that are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.device import namespace
from optim.threads import single_blas_thread
from reservoir.readout.centring import CentredFactor, NormalEquations, centred_factor, centred_rows, normal_equations
from reservoir.readout.factorisations import eigenvectors, singular_vectors
from reservoir.readout.gram import Gram
from reservoir.readout.tsqr import TriangularFactor


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
        return self.rank(alpha) == self.vectors.shape[0] or alpha > self.cutoff

    def coefficients(self, alpha: float):
        """(r, O) coefficients c(α) in the basis of ``vectors``."""
        return self.projected * self.inverse(alpha)[:, None]


def decompose(moments: Gram | TriangularFactor, *, fit_intercept: bool = True) -> Decomposition:
    """Decomposition of the sums in ``moments``: eigenvectors of a Gram, singular vectors of a factor.

    Parameters
    ----------
    moments : Gram or TriangularFactor of at least one row
    fit_intercept : bool
        Whether features and targets are centred on their weighted means.
    """
    if isinstance(moments, TriangularFactor):
        return _from_factor(moments, centred_factor(moments, fit_intercept=fit_intercept))
    return decompose_equations(normal_equations(moments, fit_intercept=fit_intercept), moments.shift, moments.n_rows)


def decompose_equations(equations: NormalEquations, shift: np.ndarray, n_rows: int) -> Decomposition:
    """As :func:`decompose`, from the centred sums of ``n_rows`` rows."""
    xp = namespace(equations.gram)
    with single_blas_thread():
        values, vectors = eigenvectors(equations.gram)
        projected = vectors.T @ equations.cross
    values = xp.where(values > 0.0, values, xp.zeros_like(values))
    is_known = values > equations.rounding
    inverse = xp.where(is_known, 1.0 / xp.where(is_known, values, xp.ones_like(values)), xp.zeros_like(values))
    unexplained = equations.target_energy - inverse @ projected**2
    return Decomposition(
        values=values,
        vectors=vectors,
        projected=projected,
        target_energy=equations.target_energy,
        unexplained=xp.where(unexplained > 0.0, unexplained, xp.zeros_like(unexplained)),
        centre=equations.centre,
        target_centre=equations.target_centre,
        shift=shift,
        weight=equations.weight,
        n_rows=n_rows,
        cutoff=equations.rounding,
    )


def decompose_rows(tile, n_features: int, shift: np.ndarray, *, fit_intercept: bool = True) -> Decomposition:
    """Decomposition of data held in one tile, by singular values: for fewer rows than features.

    Parameters
    ----------
    tile : (D, n_columns) all the data, laid out as for :class:`reservoir.readout.gram.Gram`
    n_features : int
    shift : (n_features + n_outputs,) what was subtracted from the data before
    fit_intercept : bool
    """
    centred = centred_rows(tile, n_features, shift, fit_intercept=fit_intercept)
    Z, Y = centred.features, centred.targets
    xp = namespace(Z)
    with single_blas_thread():
        vectors, singular, rows = singular_vectors(Z)
        targets = rows @ Y.T
    return Decomposition(
        values=singular**2,
        vectors=vectors,
        projected=singular[:, None] * targets,
        target_energy=xp.sum(Y**2, axis=1),
        unexplained=xp.sum((Y - targets.T @ rows) ** 2, axis=1),
        centre=centred.centre,
        target_centre=centred.target_centre,
        shift=shift,
        weight=centred.weight,
        n_rows=int(xp.count_nonzero(tile[n_features, :])),
        cutoff=singular_cutoff(singular, max(Z.shape)),
    )


def _from_factor(moments: TriangularFactor, centred: CentredFactor) -> Decomposition:
    with single_blas_thread():
        left, singular, right = singular_vectors(centred.features)
    targets = left.T @ centred.projected
    residual = np.sum(centred.residual**2, axis=0)
    cutoff = singular_cutoff(singular, len(singular))
    lost = np.where((singular**2 <= cutoff)[:, None], targets, 0.0)
    return Decomposition(
        values=singular**2,
        vectors=right.T,
        projected=singular[:, None] * targets,
        target_energy=np.sum(targets**2, axis=0) + residual,
        unexplained=residual + np.sum(lost**2, axis=0),
        centre=centred.centre,
        target_centre=centred.target_centre,
        shift=moments.shift,
        weight=centred.weight,
        n_rows=moments.n_rows,
        cutoff=cutoff,
    )


def singular_cutoff(singular, size: int) -> float:
    """Square of ``size`` * eps * the largest singular value, the tolerance of numpy.linalg.matrix_rank; above 0."""
    xp = namespace(singular)
    largest = float(xp.max(singular)) if singular.shape[0] else 0.0
    return max((size * float(xp.finfo(xp.float64).eps) * largest) ** 2, float(np.finfo(float).tiny))
