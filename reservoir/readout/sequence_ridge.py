r"""A ridge readout of few rows with many features: standardised, its penalty chosen by stratified cross-validation.

For features z_i (K,) and targets y_i of sequences i, of which each counts w_i::

    minimise over W, b:   Σ_i w_i |y_i - W (z_i - m) / s - b|² + α |W|²

with the weighted means m and standard deviations s of the features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from optim.arguments import array
from optim.threads import single_blas_thread
from reservoir.memory import check_memory
from reservoir.readout.folds import held_out_outputs, stratified_folds
from reservoir.readout.gram import Gram
from reservoir.readout.ridge import Readout, solve
from reservoir.readout.rows import HeldRows
from reservoir.readout.tsqr import TriangularFactor

N_FOLDS = 5
# Rows that take part in the choice of a penalty; evenly spaced ones of more.
MOST_TO_CHOOSE_BY = 2_000
# What a feature must vary by, relative to its size, in units of its precision.
ROUNDING = 100


@dataclass(frozen=True, eq=False)
class SequenceRows:
    """What has been seen: a row a sequence, all of positive weight.

    Attributes
    ----------
    features : (n, K) float64
    targets : (n, O) float64
    weights : (n,) float64
    """

    features: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    @property
    def n_features(self) -> int:
        """K."""
        return self.features.shape[1]

    @property
    def n_outputs(self) -> int:
        """O."""
        return self.targets.shape[1]

    def with_more(self, more: SequenceRows) -> SequenceRows:
        """These rows and ``more``."""
        names = ("features", "targets", "weights")
        return SequenceRows(*(np.concatenate([getattr(self, name), getattr(more, name)]) for name in names))


def check_rows(rows: SequenceRows) -> SequenceRows:
    """The rows, if their parts fit one another: for those that come from a file."""
    n = len(array("weights", rows.weights, shape=(None,), dtype=np.float64, above=0))
    array("features", rows.features, shape=(n, None), dtype=np.float64)
    array("targets", rows.targets, shape=(n, None), dtype=np.float64)
    return rows


def learn(
    rows: SequenceRows,
    alphas: float | np.ndarray,
    *,
    are_classes: bool,
    precision: np.dtype,
    solver: str = "auto",
    fit_intercept: bool = True,
) -> Readout:
    """The readout of the features as they are.

    Parameters
    ----------
    rows : SequenceRows
    alphas : float, or (A,) candidates
        Of several the one with the least error on :data:`N_FOLDS` folds is taken.
    are_classes : bool
        Whether the error is the share of rows whose largest output is not their class's, and the squared error only
        decides between equals; else it is the squared error.
    precision : dtype
        Of what the features were made from.
    solver : {"auto", "gram", "qr"}
    fit_intercept : bool
    """
    n, K, O = len(rows.weights), rows.n_features, rows.n_outputs
    check_memory(8 * (K + 1 + O) * n, f"{K} features of {n} sequences")
    centre, scale = _centre_and_scale(rows, precision, fit_intercept)
    tile = np.empty((K + 1 + O, n))
    root = np.sqrt(rows.weights)
    tile[:K] = ((rows.features - centre) / scale).T
    if np.ndim(alphas):
        alphas = _best(tile[:K].T, rows, np.asarray(alphas), are_classes, fit_intercept)
    tile[:K] *= root
    tile[K], tile[K + 1 :] = root, rows.targets.T * root
    with single_blas_thread():
        sums = (TriangularFactor if solver == "qr" else HeldRows if n < K else Gram)(K, O)
        sums.add(tile)
        readout = solve(sums, alphas, fit_intercept=fit_intercept)
    coef = readout.coef / scale
    return replace(readout, coef=coef, intercept=readout.intercept - coef @ centre)


def _centre_and_scale(rows: SequenceRows, precision: np.dtype, fit_intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    """(K,) what features are reduced by and divided by; a feature that is constant but for rounding becomes 0."""
    share = rows.weights / rows.weights.sum()
    mean = share @ rows.features
    scale = np.sqrt(share @ (rows.features - mean) ** 2)
    is_constant = scale <= ROUNDING * np.finfo(precision).eps * np.abs(rows.features).max(axis=0)
    return mean if fit_intercept else np.zeros_like(mean), np.where(is_constant, np.inf, scale)


def _best(
    features: np.ndarray, rows: SequenceRows, alphas: np.ndarray, are_classes: bool, fit_intercept: bool
) -> float:
    """The penalty with the least error on rows left out, for a fit to all of them."""
    n = len(features)
    some = np.linspace(0, n - 1, min(n, MOST_TO_CHOOSE_BY)).round().astype(int)
    Y, weights = rows.targets[some], rows.weights[some]
    # The penalty grows with the sum that it is added to.
    smaller = alphas * (len(some) / n)
    outputs = held_out_outputs(
        features[some], Y, weights, stratified_folds(Y, min(N_FOLDS, len(some))), smaller, fit_intercept=fit_intercept
    )
    squared = np.sum(weights[:, None] * (outputs - Y) ** 2 / np.maximum(Y.var(axis=0), 1e-300), axis=(1, 2))
    wrong = (outputs.argmax(axis=2) != Y.argmax(axis=1)) @ weights if are_classes else np.zeros(len(alphas))
    return float(alphas[np.lexsort((squared, wrong))[0]])
