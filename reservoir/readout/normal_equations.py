"""Normal equations of ridge regression: centred sums of products, solved by Cholesky or by eigenvectors.

With the means taken off, the intercept of the best readout is b = mean_y - W mean_z and W solves the problem
without one. Without intercept the data are put back to their own zero instead: the shift is undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.device import namespace
from optim.threads import run_all, single_blas_thread
from reservoir.readout.blas import factorise, inverse_condition, one_norm, solve_factored
from reservoir.readout.factorisations import eigenvectors
from reservoir.readout.linear import (
    Decomposition,
    Readout,
    readout_of,
    require_finite,
    require_rows,
    rounding_outweighs,
)
from reservoir.readout.lower import centre_lower, strips
from reservoir.readout.reductions import Reduced, Tridiagonal

# Below this many eps of the norm an eigenvalue of a sum of products counts as rounding. On states of 200 and
# 400 units over 4,000 and 40,000 steps the sums were off by 0.1 to 0.15 eps and their smallest eigenvalues by
# up to 1: what stands above ten is known to a tenth.
ROUNDING_OF_PRODUCTS = 10.0
# Rows from which handing work to another thread is worth it.
_SIDE_BY_SIDE_FROM = 256


@dataclass(frozen=True)
class NormalEquations:
    """Centred sums of products; ridge regression solves (gram + α I) Wᵀ = cross.

    Attributes
    ----------
    gram : (K, K), of which the lower triangle is to be read; cross : (K, O), target_energy : (O,)
    centre, target_centre, shift, weight, n_rows
        As in :class:`reservoir.readout.linear.Decomposition`.
    rounding : what rounding may have added to an eigenvalue of ``gram``
    """

    gram: Any
    cross: Any
    target_energy: Any
    centre: Any
    target_centre: Any
    shift: np.ndarray
    weight: float
    n_rows: int
    rounding: float

    @classmethod
    def of(
        cls, matrix: Any, K: int, shift: np.ndarray, n_rows: int, *, fit_intercept: bool, n_threads: int = 1
    ) -> NormalEquations:
        """From the lower triangle of a Gram matrix, which on the CPU is worked on in place.

        Without intercept ``matrix`` is that of unshifted data; ``shift`` says by what it had been shifted.
        """
        xp = namespace(matrix)
        require_finite(float(xp.linalg.trace(matrix)))
        total = float(matrix[K, K])
        require_rows(total)
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
        if fit_intercept:
            cross = cross - total * centre[:, None] * target_centre[None, :]
            energy = energy - total * target_centre**2
            energy = xp.where(energy > 0.0, energy, xp.zeros_like(energy))
        else:
            centre, target_centre = xp.asarray(-shift[:K]), xp.asarray(-shift[K:])
        return cls(features, cross, energy, centre, target_centre, shift, weight, n_rows, rounding)

    def solve(self, alpha: float, n_threads: int = 1) -> Readout | None:
        """Ridge readout; None where rounding outweighs the penalty. ``gram`` is overwritten on the CPU."""
        if namespace(self.gram) is not np:
            decomposition = self.decompose()
            return decomposition.readout(alpha) if decomposition.is_reliable(alpha) else None
        solved = solve_positive(self.gram, self.cross, alpha, self.rounding, n_threads)
        if solved is None:
            return None
        coef, condition = solved
        return readout_of(coef.T, self, alpha, condition=condition, rank=len(coef), method="cholesky")

    def reduce(self) -> Reduced:
        """``gram`` by reflections from both sides, which overwrite it; not on the CPU by its eigenvectors."""
        if namespace(self.gram) is not np:
            return self.decompose()
        with single_blas_thread():
            return Tridiagonal.of(self.gram, self.cross, self.rounding)

    def decompose(self) -> Decomposition:
        """Eigenvectors of ``gram``."""
        xp = namespace(self.gram)
        with single_blas_thread():
            values, vectors = eigenvectors(self.gram)
            projected = vectors.T @ self.cross
        values = xp.where(values > 0.0, values, xp.zeros_like(values))
        is_known = values > self.rounding
        inverse = xp.where(is_known, 1.0 / xp.where(is_known, values, xp.ones_like(values)), xp.zeros_like(values))
        unexplained = self.target_energy - inverse @ projected**2
        return Decomposition(
            values=values,
            vectors=vectors,
            projected=projected,
            target_energy=self.target_energy,
            unexplained=xp.where(unexplained > 0.0, unexplained, xp.zeros_like(unexplained)),
            centre=self.centre,
            target_centre=self.target_centre,
            shift=self.shift,
            weight=self.weight,
            n_rows=self.n_rows,
            cutoff=self.rounding,
        )


def solve_positive(
    matrix: np.ndarray, right: np.ndarray, alpha: float, rounding: float, n_threads: int = 1
) -> tuple[np.ndarray, float] | None:
    """(matrix + α I)⁻¹ right and the condition number, by Cholesky; None where rounding outweighs α.

    ``matrix`` is overwritten.
    """
    diagonal = np.einsum("ii->i", matrix)  # a view
    diagonal += alpha
    norm = one_norm(matrix)
    with single_blas_thread():
        if not factorise(matrix):
            return None
        # Side by side; that the condition forbids the solution is seldom.
        inverse, solution = run_all(
            lambda function, argument: function(matrix, argument),
            [(inverse_condition, norm), (solve_factored, right)],
            n_threads if len(matrix) >= _SIDE_BY_SIDE_FROM else 1,
        )
    if rounding_outweighs(inverse * norm, rounding):
        return None
    return solution, 1.0 / inverse


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
