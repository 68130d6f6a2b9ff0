"""The penalty of a readout with few rows and many features, by cross-validation over folds that are alike.

Everything is done with the products of rows with rows, whose number does not grow with that of the features::

    K = Z Zᵀ,    outputs on the fold = K_fold,rest (K_rest,rest + α I)⁻¹ Y_rest

centred and weighted, with one decomposition a fold for all penalties.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from optim.threads import single_blas_thread


def stratified_folds(targets: np.ndarray, n_folds: int) -> np.ndarray:
    """(n,) fold of each row: rows in the order of their targets are dealt to the folds in turn.

    So every fold gets its share of each class, or of small and large numbers.

    Parameters
    ----------
    targets : (n, O)
        Rows are ordered by the first column, then by the next ones.
    n_folds : int >= 2

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.folds import stratified_folds
    >>> stratified_folds(np.array([[1.0], [1.0], [0.0], [1.0], [0.0], [1.0]]), 2)
    array([0, 1, 0, 0, 1, 1])
    """
    folds = np.empty(len(targets), int)
    folds[np.lexsort(targets.T[::-1])] = np.arange(len(targets)) % n_folds
    return folds


def held_out_outputs(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    folds: np.ndarray,
    alphas: np.ndarray,
    *,
    fit_intercept: bool = True,
) -> np.ndarray:
    """(A, n, O) outputs of each row under the ridge readout of all rows of the other folds.

    Parameters
    ----------
    features : (n, K)
    targets : (n, O)
    weights : (n,) > 0
    folds : (n,) int, at least two different ones
    alphas : (A,) > 0
    """
    outputs = np.empty((len(alphas), *targets.shape))
    with single_blas_thread():
        products = features @ features.T
        for fold in np.unique(folds):
            out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            share = weights[rest] / weights[rest].sum() if fit_intercept else np.zeros(len(rest))
            outputs[:, out] = _of_fold(products, out, rest, targets[rest], np.sqrt(weights[rest]), share, alphas)
    return outputs


def _of_fold(
    products: np.ndarray,
    out: np.ndarray,
    rest: np.ndarray,
    targets: np.ndarray,
    root: np.ndarray,
    share: np.ndarray,
    alphas: np.ndarray,
) -> np.ndarray:
    """(A, len(out), O) outputs; features and targets are reduced by their means with the weights ``share``."""
    mean = share @ targets
    between, across = products[np.ix_(rest, rest)], products[np.ix_(out, rest)]
    with_mean = between @ share
    offset = share @ with_mean - with_mean
    between = between + offset - with_mean[:, None]
    across = across + offset - (across @ share)[:, None]
    values, vectors = eigh(root[:, None] * between * root, check_finite=False, driver="evd")
    values = np.maximum(values, 0.0)
    left, right = (across * root) @ vectors, vectors.T @ (root[:, None] * (targets - mean))
    return np.stack([(left / (values + alpha)) @ right + mean for alpha in alphas])
