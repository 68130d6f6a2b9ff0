"""Rows that are held: ridge regression of fewer rows than features, in its dual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.threads import single_blas_thread
from reservoir.readout.columns import TakesTiles, on_host
from reservoir.readout.factorisations import singular_vectors
from reservoir.readout.gram import as_shift
from reservoir.readout.linear import Decomposition, Readout, readout_of, require_finite, require_rows, singular_cutoff
from reservoir.readout.normal_equations import rounding_of_products, solve_positive


class HeldRows(TakesTiles):
    """The columns of all tiles whose weight is not zero, side by side in one.

    Parameters
    ----------
    n_features, n_outputs, shift
        As in :class:`reservoir.readout.gram.Gram`.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.rows import HeldRows
    >>> rows = HeldRows(1, 1)
    >>> rows.add(np.array([[1.0, 2.0, 0.0], [1.0, 1.0, 0.0], [2.0, 4.0, 0.0]]))
    >>> rows.tile
    array([[1., 2.],
           [1., 1.],
           [2., 4.]])
    """

    remedy = ""

    def __init__(self, n_features: int, n_outputs: int, shift: np.ndarray | None = None) -> None:
        self.n_features, self.n_outputs = n_features, n_outputs
        self.shift = as_shift(shift, n_features, n_outputs)
        self._tiles: list[np.ndarray] = []

    @staticmethod
    def n_bytes(size: int, n_rows: int) -> int:
        """Bytes that rows of tiles of ``size`` rows hold, and work with at the end."""
        return 8 * 3 * size * n_rows

    @property
    def tile(self) -> np.ndarray:
        """(D, n_rows) all that was added."""
        return np.concatenate(self._tiles, axis=1)

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Keep what counts of one tile (D, n_columns) float64."""
        tile = on_host(tile)
        self._tiles.append(tile[:, tile[self.n_features] > 0])

    def centred(self, *, fit_intercept: bool = True, keep: bool = True, n_threads: int = 1) -> CentredRows:
        """Features and targets minus their weighted means or, without intercept, with the shift undone."""
        tile, K = self.tile, self.n_features
        root_weight = tile[K, :]
        weight = float(np.sum(root_weight**2))
        require_rows(weight)
        require_finite(float(np.sum(tile)))
        if fit_intercept:
            centre, target_centre = tile[:K, :] @ root_weight / weight, tile[K + 1 :, :] @ root_weight / weight
        else:
            centre, target_centre, weight = -self.shift[:K], -self.shift[K:], 0.0
        features = tile[:K, :] - centre[:, None] * root_weight[None, :]
        targets = tile[K + 1 :, :] - target_centre[:, None] * root_weight[None, :]
        return CentredRows(features, targets, centre, target_centre, self.shift, weight)


@dataclass(frozen=True)
class CentredRows:
    """Centred ``features`` Z (K, n) and ``targets`` Y (O, n); the rest as in NormalEquations."""

    features: np.ndarray
    targets: np.ndarray
    centre: np.ndarray
    target_centre: np.ndarray
    shift: np.ndarray
    weight: float

    def solve(self, alpha: float, n_threads: int = 1) -> Readout | None:
        """Wᵀ = Z (Zᵀ Z + α I)⁻¹ Yᵀ; None where rounding of the (n, n) products outweighs the penalty."""
        with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            kernel = self.features.T @ self.features
        require_finite(float(np.trace(kernel)))
        solved = solve_positive(kernel, self.targets.T, alpha, rounding_of_products(kernel))
        if solved is None:
            return None
        dual, condition = solved
        with single_blas_thread():
            coef = (self.features @ dual).T
        return readout_of(coef, self, alpha, condition=condition, rank=len(kernel), method="dual")

    def decompose(self) -> Decomposition:
        """Singular vectors of Z: at α = 0 the answer of least norm."""
        Z, Y = self.features, self.targets
        with single_blas_thread():
            vectors, singular, rows = singular_vectors(Z)
            targets = rows @ Y.T
        return Decomposition(
            values=singular**2,
            vectors=vectors,
            projected=singular[:, None] * targets,
            target_energy=np.sum(Y**2, axis=1),
            unexplained=np.sum((Y - targets.T @ rows) ** 2, axis=1),
            centre=self.centre,
            target_centre=self.target_centre,
            shift=self.shift,
            weight=self.weight,
            n_rows=Z.shape[1],
            cutoff=singular_cutoff(singular, max(Z.shape)),
        )
