"""Ridge regression for every penalty from one reduction of the features to a few diagonals, without eigenvectors.

A symmetric matrix is similar to a tridiagonal one, and any matrix to a bidiagonal one, by Householder reflections that
cost a third of eigenvectors; then each penalty takes time linear in the number of features::

    Z Zᵀ = Q T Qᵀ:    Wᵀ = Q (T + α I)⁻¹ Qᵀ Z Yᵀ
    R = P B Qᵀ:       Wᵀ = Q V,    [√α I, B; Bᵀ, -√α I] [S; V] = [Pᵀ R_Y; 0]

The rows of the second system, put in turns, make it tridiagonal; its condition is that of R, not the square of it.

References
----------
Eldén (1977), Algorithms for the regularization of ill-conditioned least squares problems, BIT 17.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import lapack

from reservoir.readout.blas import bidiagonalise, rotate, rotate_side, tridiagonalise


class Reduced(Protocol):
    """Features reduced to diagonals, and what the targets look like there.

    Attributes
    ----------
    rounding : float >= 0
        Penalties up to it may be outweighed by rounding,
    is_full : bool
        unless every direction of the features stands above it.
    """

    rounding: float
    is_full: bool

    def coef(self, alphas: np.ndarray) -> np.ndarray:
        """(A, O, K) readouts at penalties (A,), which rounding does not outweigh."""


@dataclass(frozen=True)
class Tridiagonal:
    """Normal equations reduced: ``diagonal`` and ``below`` of T, ``right`` (O, K) the rows of (Qᵀ Z Yᵀ)ᵀ.

    ``reflectors`` and ``scales`` are those of :func:`reservoir.readout.blas.tridiagonalise`.
    """

    diagonal: np.ndarray
    below: np.ndarray
    reflectors: np.ndarray
    scales: np.ndarray
    right: np.ndarray
    rounding: float

    @classmethod
    def of(cls, gram: np.ndarray, cross: np.ndarray, rounding: float) -> Tridiagonal:
        """Of the lower triangle of ``gram`` (K, K), which is overwritten, and ``cross`` (K, O)."""
        diagonal, below, scales = tridiagonalise(gram)
        right = np.array(cross.T, order="C")
        rotate(right, gram, scales)
        return cls(diagonal, below, gram, scales, right, rounding)

    @property
    def is_full(self) -> bool:
        """Whether T - rounding I is positive: by Sylvester's law no eigenvalue of T is as small."""
        return lapack.dpttrf(self.diagonal - self.rounding, self.below)[-1] == 0

    def coef(self, alphas: np.ndarray) -> np.ndarray:
        """(A, O, K), see :class:`Reduced`."""
        solved = [lapack.dptsv(self.diagonal + alpha, self.below, self.right.T)[-2].T for alpha in alphas]
        found = np.ascontiguousarray(np.concatenate(solved))
        rotate(found, self.reflectors, self.scales, back=True)
        return found.reshape(len(alphas), *self.right.shape)


@dataclass(frozen=True)
class Bidiagonal:
    """A triangular factor reduced: ``diagonal`` and ``below`` of B, ``right`` (O, K) the rows of (Pᵀ R_Y)ᵀ.

    ``reflectors`` and ``scales``, those of Q, are from :func:`reservoir.readout.blas.bidiagonalise`.
    """

    diagonal: np.ndarray
    below: np.ndarray
    reflectors: np.ndarray
    scales: np.ndarray
    right: np.ndarray
    rounding: float
    is_full: bool

    @classmethod
    def of(cls, features: np.ndarray, targets: np.ndarray, rounding: float, *, is_full: bool) -> Bidiagonal:
        """Of the columns of R (K, K) that belong to features, and (K, O) to targets."""
        reflectors, right = np.array(features, order="C"), np.array(targets.T, order="C")
        diagonal, below, scales, of_p = bidiagonalise(reflectors)
        rotate_side(right, reflectors, of_p, back=False)
        return cls(diagonal, below, reflectors, scales, right, rounding, is_full)

    def coef(self, alphas: np.ndarray) -> np.ndarray:
        """(A, O, K), see :class:`Reduced`."""
        O, K = self.right.shape
        beside = np.empty(2 * K - 1)
        beside[::2], beside[1::2] = self.diagonal, self.below
        right = np.zeros((2 * K, O))
        right[::2] = self.right.T
        signs = np.tile([1.0, -1.0], K)
        solved = [lapack.dgtsv(beside, np.sqrt(alpha) * signs, beside, right)[-2][1::2].T for alpha in alphas]
        found = np.ascontiguousarray(np.concatenate(solved))
        rotate_side(found, self.reflectors, self.scales, back=True)
        return found.reshape(len(alphas), O, K)
