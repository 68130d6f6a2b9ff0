"""Linear readouts: ridge regression with a free intercept from the sums of a fit.

For weights w_t, features z_t and targets y_t::

    minimise over W, b:   Σ_t w_t |y_t - W z_t - b|² + α |W|²

This is scikit-learn's Ridge: α adds to the sum, not to the mean, and b is not penalised.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack, solve_triangular

from optim.arguments import brief, reals
from optim.device import namespace
from optim.threads import run_all, single_blas_thread
from reservoir.alarms import IllConditionedWarning, StateOverflowError
from reservoir.readout.blas import fold_in, inverse_condition, one_norm, solve_factored
from reservoir.readout.centring import (
    CentredFactor,
    centred_factor,
    centred_rows,
    normal_equations,
    require_finite,
    rounding_of_products,
)
from reservoir.readout.cholesky import factorise
from reservoir.readout.decomposition import Decomposition, decompose, decompose_equations, decompose_rows
from reservoir.readout.gram import Gram
from reservoir.readout.tsqr import TriangularFactor

# A smaller penalty has lost its digits, and its inverse is infinite.
SMALLEST_ALPHA = float(np.finfo(np.float64).tiny)
# Rows from which handing work to another thread is worth it.
_SIDE_BY_SIDE_FROM = 256


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
    method : "cholesky", "qr", "decomposition" or "dual"
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


def check_alpha(alpha: Any) -> float | np.ndarray:
    """``alpha`` as a float, or as a float64 array of candidates to choose from.

    Raises
    ------
    TypeError, ValueError
        Unless it is a finite number >= 0, or a one-dimensional array of at least one such number.

    Examples
    --------
    >>> from reservoir.readout.ridge import check_alpha
    >>> check_alpha(1)
    1.0
    >>> check_alpha([0.1, 10])
    array([ 0.1, 10. ])
    """
    wanted = f"alpha must be 0 or a number >= {SMALLEST_ALPHA:.1e}, or a 1-D array of such numbers to choose from"
    remedy = "give for example alpha=1e-6"
    values = reals("alpha", alpha, remedy=remedy).astype(np.float64)
    if values.ndim > 1 or values.size == 0:
        raise ValueError(f"{wanted}, got shape {values.shape}; give at least one value in one dimension.")
    if not ((values >= SMALLEST_ALPHA) | (values == 0)).all():
        raise ValueError(f"{wanted}, got {brief(alpha)}; {remedy}.")
    return np.abs(values) if values.ndim else abs(float(values))  # for the sign of -0.0


def solve(moments: Gram | TriangularFactor, alpha: float, *, fit_intercept: bool = True, n_threads: int = 1) -> Readout:
    """Ridge readout of the sums in ``moments``; always finite.

    One penalty goes by Cholesky (Gram) or QR (factor). Where that is not trustworthy (see
    :func:`solve_if_reliable`) the directions of the features that rounding cannot tell from zero are left
    out, which gives the answer of least norm, and the user is warned.

    Parameters
    ----------
    moments : Gram or TriangularFactor of at least one row
    alpha : float >= 0
    fit_intercept : bool
    n_threads : int >= 1

    Returns
    -------
    Readout

    Warns
    -----
    IllConditionedWarning

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.gram import Gram
    >>> from reservoir.readout.ridge import solve
    >>> gram = Gram(1, 1)
    >>> gram.add(np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 3.0, 5.0]]))
    >>> readout = solve(gram, alpha=0.0)
    >>> round(float(readout.coef[0, 0]), 9), round(float(readout.intercept[0]), 9)
    (2.0, 1.0)
    """
    readout = solve_if_reliable(moments, alpha, fit_intercept=fit_intercept, n_threads=n_threads)
    if readout is not None:
        return readout
    decomposition = decompose(moments, fit_intercept=fit_intercept)
    warn_unless_reliable(decomposition, alpha, " or solver='qr'" if isinstance(moments, Gram) else "")
    return solve_decomposed(decomposition, alpha)


def solve_if_reliable(
    moments: Gram | TriangularFactor,
    alpha: float,
    *,
    fit_intercept: bool = True,
    n_threads: int = 1,
    keep: bool = True,
) -> Readout | None:
    """As :func:`solve`, but None where rounding of ``moments`` outweighs the penalty.

    This is how ``solver="auto"`` decides: None from a Gram means that the fit is repeated with a
    TriangularFactor, or, where the data cannot be had again, that :func:`solve` is called and warns.
    ``keep=False`` lets a Gram be worked on in place and left empty.
    """
    if isinstance(moments, TriangularFactor):
        return _by_qr(centred_factor(moments, fit_intercept=fit_intercept), alpha, moments.shift)
    n_rows = moments.n_rows
    equations = normal_equations(moments, fit_intercept=fit_intercept, keep=keep, n_threads=n_threads)
    if namespace(equations.gram) is np:
        solved = _solve_positive(equations.gram, equations.cross, alpha, equations.rounding, n_threads)
        if solved is None:
            return None
        coef, condition = solved
        rank = coef.shape[0]
        return _readout(coef.T, equations, moments.shift, alpha, condition, rank, "cholesky")
    decomposition = decompose_equations(equations, moments.shift, n_rows)
    return solve_decomposed(decomposition, alpha) if decomposition.is_reliable(alpha) else None


def solve_decomposed(decomposition: Decomposition, alpha: float) -> Readout:
    """Ridge readout at one penalty from a decomposition, which serves any number of them. Does not warn."""
    d = decomposition
    xp = namespace(d.values)
    coef = (d.vectors @ d.coefficients(alpha)).T
    rank = d.rank(alpha)
    largest = float(xp.max(d.values)) + alpha
    smallest = max(float(xp.min(d.values)) if d.values.shape[0] == coef.shape[1] else 0.0, 0.0) + alpha
    condition = largest / smallest if smallest > 0.0 else np.inf
    return _readout(coef, d, d.shift, alpha, condition, rank, "decomposition")


def solve_dual(
    tile, alpha: float, n_features: int, shift: np.ndarray | None = None, *, fit_intercept: bool = True
) -> Readout:
    """The same readout from rows held in memory, fewer than features: Wᵀ = Z (Zᵀ Z + α I)⁻¹ Yᵀ.

    Where rounding of the (n, n) products outweighs the penalty, singular values of the centred Z (K, n) are
    used instead. At α = 0 this is the answer of least norm.

    Parameters
    ----------
    tile : (D, n_columns) all the data, laid out as for :class:`reservoir.readout.gram.Gram`
    alpha : float >= 0
    n_features : int
    shift : (n_features + n_outputs,) what was subtracted from the data before, zeros if not given
    fit_intercept : bool

    Warns
    -----
    IllConditionedWarning
    """
    shift = np.zeros(tile.shape[0] - 1) if shift is None else shift
    rows = centred_rows(tile, n_features, shift, fit_intercept=fit_intercept)
    if namespace(tile) is np:
        with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            kernel = rows.features.T @ rows.features
        require_finite(float(np.trace(kernel)))
        rounding = rounding_of_products(kernel)
        solved = _solve_positive(kernel, rows.targets.T, alpha, rounding)
        if solved is not None:
            dual, condition = solved
            with single_blas_thread():
                coef = (rows.features @ dual).T
            return _readout(coef, rows, shift, alpha, condition, len(kernel), "dual")
    decomposition = decompose_rows(tile, n_features, shift, fit_intercept=fit_intercept)
    warn_unless_reliable(decomposition, alpha, "")
    return solve_decomposed(decomposition, alpha)


def rounding_outweighs(smallest: float, rounding: float) -> bool:
    """Whether the smallest eigenvalue, penalty included, does not exceed what rounding may have added.

    Examples
    --------
    >>> from reservoir.readout.ridge import rounding_outweighs
    >>> rounding_outweighs(1e-12, rounding=1e-10), rounding_outweighs(1e-6, rounding=1e-10)
    (True, False)
    """
    return not smallest > rounding


def _solve_positive(matrix: np.ndarray, right: np.ndarray, alpha: float, rounding: float, n_threads: int = 1):
    """(matrix + α I)⁻¹ right and the condition number, by Cholesky; None where rounding outweighs α.

    ``matrix`` is overwritten.
    """
    diagonal = np.einsum("ii->i", matrix)  # a view
    diagonal += alpha
    norm = one_norm(matrix)
    if not factorise(matrix, n_threads):
        return None
    with single_blas_thread():
        # Side by side; that the condition forbids the solution is seldom.
        inverse, solution = run_all(
            lambda function, argument: function(matrix, argument),
            [(inverse_condition, norm), (solve_factored, right)],
            n_threads if len(matrix) >= _SIDE_BY_SIDE_FROM else 1,
        )
    if rounding_outweighs(inverse * norm, rounding):
        return None
    return solution, 1.0 / inverse


def _by_qr(centred: CentredFactor, alpha: float, shift: np.ndarray) -> Readout | None:
    """QR of the centred rows with √α I appended: the penalty is never added to a square."""
    K = centred.n_features
    lower = np.array(centred.R.T, order="C")
    with single_blas_thread():
        if alpha > 0.0:
            penalty = np.zeros((len(lower), K))
            penalty[np.diag_indices(K)] = np.sqrt(alpha)
            fold_in(penalty, lower, triangular=True)
        features = lower[:K, :K]
        inverse_condition, _ = lapack.dtrcon(features.T, uplo="U")
        if rounding_outweighs(inverse_condition, K * np.finfo(float).eps):
            return None
        coef = solve_triangular(features, lower[K:, :K].T, lower=True, trans="T", check_finite=False).T
    return _readout(coef, centred, shift, alpha, inverse_condition**-2.0, K, "qr")


def _readout(coef, centred, shift, alpha, condition, rank, method) -> Readout:
    """Undo the shift and the centring: b = mean_y - W mean_z; exactly zero where none was fitted."""
    xp = namespace(coef)
    K = coef.shape[1]
    means = xp.asarray(shift[:K]) + centred.centre
    target_means = xp.asarray(shift[K:]) + centred.target_centre
    intercept = target_means - coef @ means
    if not (bool(xp.all(xp.isfinite(intercept))) and bool(xp.all(xp.isfinite(coef)))):
        raise StateOverflowError(
            "X and y must leave sums of products within the range of float64, got a readout that is not finite; scale "
            "the data, choose a smaller spectral_radius or a bounded activation, or give a larger alpha."
        )
    return Readout(coef, intercept, alpha, max(1.0, condition), rank, method)


def warn_unless_reliable(decomposition: Decomposition, alpha: float, advice: str) -> None:
    """Warn if rounding left out a direction of the features at this penalty; ``advice`` ends the message."""
    if decomposition.is_reliable(alpha):
        return
    K = decomposition.vectors.shape[0]
    warnings.warn(
        "expected features independent to working precision, or a penalty that decides; got "
        f"{K - decomposition.rank(alpha)} of {K} directions lost to rounding at alpha={alpha:g}. They were "
        f"left out (least-norm answer); give alpha above {decomposition.cutoff:.1e}{advice}.",
        IllConditionedWarning,
        stacklevel=3,
    )
