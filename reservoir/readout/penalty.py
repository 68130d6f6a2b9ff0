"""Choosing the ridge penalty: generalised cross-validation, exact leave-one-out, blocked cross-validation.

All three score every penalty and every output at once. Scores are weighted sums of squared errors, (A, O) for
A penalties; :func:`choose_alpha` picks one penalty for all outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optim.device import namespace
from optim.threads import run_all, single_blas_thread
from reservoir.readout.columns import TakesTiles, on_host
from reservoir.readout.linear import Decomposition
from reservoir.readout.reductions import Reduced
from reservoir.readout.ridge import Centred, Sums

# A row whose leverage is this close to one fits itself: what it would be without it is not determined.
_OWN_FIT = 1e-10
_COLUMNS_AT_ONCE = 2048
# Features from which folds are worth a thread each.
_SIDE_BY_SIDE_FROM = 150


def gcv_errors(decomposition: Decomposition, alphas: np.ndarray) -> np.ndarray:
    """Generalised cross-validation from the sums alone::

        GCV(α) = RSS(α) / (1 - tr H(α) / n)²,    tr H = Σ_k λ_k / (λ_k + α), plus 1 for the intercept

    Parameters
    ----------
    decomposition : Decomposition
    alphas : (A,) >= 0

    Returns
    -------
    (A, O) host array; infinity where tr H reaches n.

    References
    ----------
    Golub, Heath, Wahba (1979), Generalized cross-validation as a method for choosing a good ridge parameter.
    """
    d = decomposition
    scores = [_gcv(d, float(alpha)) for alpha in alphas]
    return np.array(scores).reshape(len(scores), -1)


def _gcv(d: Decomposition, alpha: float) -> list[float]:
    xp = namespace(d.values)
    inverse = d.inverse(alpha)
    free = 1.0 - (float(xp.sum(d.values * inverse)) + (d.weight > 0.0)) / d.n_rows
    n_outputs = d.projected.shape[1]
    if free <= _OWN_FIT:
        return [np.inf] * n_outputs
    # What the penalty costs in a known direction, (α / (λ + α))² p² / λ, is a sum of positive terms; only the
    # directions below the cut-off, where p² / λ means nothing, are subtracted from what is unexplained.
    is_known = d.values > d.cutoff
    safe = xp.where(is_known, d.values, xp.ones_like(d.values))
    cost = xp.where(is_known, (alpha * inverse) ** 2 / safe, -(d.values + 2.0 * alpha) * inverse**2)
    rss = d.unexplained + xp.sum(cost[:, None] * d.projected**2, axis=0)
    return [max(float(rss[k]), 0.0) / free**2 for k in range(n_outputs)]


class LeftOutErrors(TakesTiles):
    """Exact leave-one-out: weighted squared error of every row, predicted by the fit to all others::

        e_t / (1 - h_t),    h_t = w_t / Σw + w_t (z_t - mean)ᵀ (S + α I)⁻¹ (z_t - mean)

    Tiles are those that ``decomposition`` was made from, in any cut, the same shift.

    Parameters
    ----------
    decomposition : Decomposition
    alphas : (A,) >= 0

    Attributes
    ----------
    errors : (A, O) host array; infinity for a penalty at which some row fits itself exactly.
    """

    def __init__(self, decomposition: Decomposition, alphas: np.ndarray) -> None:
        self.decomposition, self.alphas = decomposition, alphas
        self.errors = np.zeros((len(alphas), decomposition.projected.shape[1]))

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Add the errors of one tile (D, n_columns)."""
        if namespace(self.decomposition.values) is np:
            tile = on_host(tile)
        n_columns = tile.shape[1]
        for start in range(0, n_columns, _COLUMNS_AT_ONCE):
            stop = min(start + _COLUMNS_AT_ONCE, n_columns)
            with single_blas_thread():
                self.errors += _loo(tile[:, start:stop], self.decomposition, self.alphas)


def _loo(tile, d: Decomposition, alphas: np.ndarray) -> np.ndarray:
    xp = namespace(tile, d.values)
    K = d.vectors.shape[0]
    root_weight = tile[K, :]
    Z = tile[:K, :] - d.centre[:, None] * root_weight[None, :]
    Y = tile[K + 1 :, :] - d.target_centre[:, None] * root_weight[None, :]
    P = d.vectors.T @ Z
    squares = P**2
    own = root_weight**2 / d.weight if d.weight > 0.0 else xp.zeros_like(root_weight)
    errors = np.zeros((len(alphas), Y.shape[0]))
    for a, alpha in enumerate(alphas):
        free = 1.0 - own - d.inverse(float(alpha)) @ squares
        if float(xp.min(free)) <= _OWN_FIT:
            errors[a] = np.inf
            continue
        residual = (Y - d.coefficients(float(alpha)).T @ P) / free[None, :]
        sums = xp.sum(residual**2, axis=1)
        errors[a] = [float(sums[k]) for k in range(len(errors[a]))]
    return errors


def blocked_errors(
    folds: Sequence[Sums], alphas: np.ndarray, *, fit_intercept: bool = True, n_threads: int = 1
) -> np.ndarray:
    """Cross-validation over blocks of time: squared error of each fold under the readout of all others.

    No row is read again, and folds are worked on side by side.

    Parameters
    ----------
    folds : sums of disjoint rows, at least two with any
    alphas : (A,) >= 0
    fit_intercept : bool
    n_threads : int >= 1

    Returns
    -------
    (A, O) host array; infinity for a penalty that rounding may outweigh.
    """
    check_folds(folds)
    folds = [fold for fold in folds if fold.n_rows > 0]
    errors = np.full((len(alphas), folds[0].n_outputs), np.inf)
    n_threads = n_threads if folds[0].n_features >= _SIDE_BY_SIDE_FROM else 1
    with single_blas_thread():
        rests = [rest.centred(fit_intercept=fit_intercept, keep=False) for rest in folds[0].each_left_out(folds)]
        reduced = run_all(lambda rest: rest.reduce(), [(rest,) for rest in rests], n_threads)
        # Every row is in all sums but one: this is no less than what rounding does to the sums of all.
        rounding = sum(each.rounding for each in reduced) / (len(folds) - 1)
        is_known = (alphas > rounding) | all(each.is_full for each in reduced)
        if is_known.any():
            arguments = [(*each, alphas[is_known]) for each in zip(folds, rests, reduced, strict=True)]
            errors[is_known] = sum(run_all(_held_out_errors, arguments, n_threads))
    return errors


def _held_out_errors(fold: Sums, rest: Centred, reduced: Reduced, alphas: np.ndarray) -> np.ndarray:
    """(A, O) errors of ``fold`` under the readouts of ``rest``."""
    coef = reduced.coef(alphas)
    return fold.recentred(rest.shift).held_out_error(coef, rest.target_centre - coef @ rest.centre)


def check_folds(folds: Sequence) -> None:
    """Raise unless two of the folds have seen rows."""
    n_folds = sum(fold.n_rows > 0 for fold in folds)
    if n_folds < 2:
        raise ValueError(
            f"blocked cross-validation needs rows of positive weight in at least 2 blocks of time, got {n_folds}; "
            "use alpha_selection='gcv'."
        )


def choose_alpha(errors: np.ndarray, alphas: np.ndarray, target_energy) -> float:
    """One penalty for all outputs: least sum of the outputs' errors, each relative to its target's variance.

    Parameters
    ----------
    errors : (A, O) scores of one of the functions above
    alphas : (A,)
    target_energy : (O,) as in :class:`reservoir.readout.linear.Decomposition`

    Returns
    -------
    float
        An element of ``alphas``; the largest where no penalty has a finite score.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.penalty import choose_alpha
    >>> choose_alpha(np.array([[3.0], [1.0], [2.0]]), np.array([0.1, 1.0, 10.0]), np.ones(1))
    1.0
    """
    energy = np.array([float(target_energy[k]) for k in range(errors.shape[1])])
    scale = np.where(energy > 0.0, energy, 1.0)
    totals = np.sum(errors / scale, axis=1)
    if not np.any(np.isfinite(totals)):
        return float(np.max(alphas))
    return float(alphas[np.nanargmin(np.where(np.isfinite(totals), totals, np.inf))])
