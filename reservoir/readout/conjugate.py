r"""Ridge regression by conjugate gradients on the data themselves, for more features than a Gram matrix has room for.

With Z (K, n) the centred, weighted features and Y (O, n) the targets, one product with the matrix of

    (Z Zᵀ + α I) Wᵀ = Z Yᵀ

is one look at all tiles, Z (Zᵀ V) + α V, for all outputs at once. What is held is some vectors of K numbers an output,
and r directions for the preconditioner. Those come from a sketch of Z Zᵀ on random directions Ω (Nyström)::

    Z Zᵀ ≈ (Z Zᵀ Ω) (Ωᵀ Z Zᵀ Ω)⁻¹ (Z Zᵀ Ω)ᵀ = U diag(λ) Uᵀ,    M = U diag(λ + α) Uᵀ + (λ_r + α) (I - U Uᵀ)

The spectrum of driven states falls fast: what r directions leave of it is near the penalty, and the matrix of
M^-1/2 (Z Zᵀ + α I) M^-1/2 near a multiple of the identity. In these coordinates the size of the residual is nearly the
error of the predictions relative to their size; the iteration stops where it is :data:`TOLERANCE`.

References
----------
Frangella, Tropp, Udell (2023), Randomized Nyström preconditioning, SIAM J. Matrix Anal. Appl. 44, equations 1.3 and
2.3; in place of the shift of their algorithm 2.1, directions that rounding has made are left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from optim.cg import CGSettings, conjugate_gradient
from optim.threads import run_all, single_blas_thread
from reservoir.alarms import IllConditionedWarning
from reservoir.readout.columns import TakesTiles, count_rows, cut_columns, on_host
from reservoir.readout.factorisations import eigenvectors, singular_vectors
from reservoir.readout.linear import Readout, readout_of, require_finite, require_rows
from reservoir.readout.penalty import check_folds, choose_alpha

# Size of the residual, in the coordinates above, relative to that of W = 0.
TOLERANCE = 1e-10
MAX_ITERATIONS = 2_000
# Directions of the sketch: one for so many features, and no more than cost little beside a look at the data.
FEATURES_A_DIRECTION, MOST_DIRECTIONS = 4, 256
_N_PIECES = 4

# Looks at all data: one of what it is told to make for each fold, to which all tiles of that fold have been added.
Read = Callable[[Callable[[], TakesTiles]], list]


class Moments(TakesTiles):
    """What the first look at the data leaves, nothing of it centred.

    Attributes
    ----------
    weight : Σ w_t
    products : (K, 1 + O + r) Z [√w, Yᵀ, Zᵀ Ω]
    target_sums, energy : (O,) Y √w and the squares of Y
    """

    def __init__(self, directions: np.ndarray, n_outputs: int) -> None:
        K, r = directions.shape
        self.directions = directions
        self.n_rows, self.weight = 0, 0.0
        self.target_sums, self.energy = np.zeros((2, n_outputs))
        self.products = np.zeros((K, 1 + n_outputs + r))

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Add one tile (D, n_columns)."""
        tile, K = on_host(tile), len(self.products)
        Z, root, Y = tile[:K], tile[K], tile[K + 1 :]
        self.n_rows += count_rows(tile, K)
        self.weight += float(root @ root)
        self.target_sums += Y @ root
        self.energy += np.sum(Y**2, axis=1)
        _add(Z, np.column_stack([root, Y.T, _projected(Z, self.directions, n_threads)]), self.products, n_threads)


class Products(TakesTiles):
    """Σ (Z - c √wᵀ) (Z - c √wᵀ)ᵀ v over all tiles, for each column v of ``vectors`` (K, M) and c of ``centres`` (K, M).

    Attributes
    ----------
    total : (K, M)
    """

    def __init__(self, vectors: np.ndarray, centres: np.ndarray) -> None:
        self.vectors, self.centres = vectors, centres
        self.of_centre = np.sum(vectors * centres, axis=0)
        self.total = np.zeros_like(vectors)

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Add one tile (D, n_columns)."""
        tile, K = on_host(tile), len(self.vectors)
        root = tile[K]
        P = _projected(tile[:K], self.vectors, n_threads) - root[:, None] * self.of_centre
        _add(tile[:K], P, self.total, n_threads)
        self.total -= self.centres * (root @ P)


def _projected(Z: np.ndarray, V: np.ndarray, n_threads: int) -> np.ndarray:
    """(n, M) Zᵀ V, pieces of columns of Z side by side."""
    pieces = [(piece.T, V) for piece in cut_columns(Z, _N_PIECES)]
    return np.concatenate(run_all(_product, pieces, n_threads))


def _add(Z: np.ndarray, P: np.ndarray, total: np.ndarray, n_threads: int) -> None:
    """total += Z P, blocks of rows side by side."""
    edges = [k * len(Z) // _N_PIECES for k in range(_N_PIECES + 1)]
    run_all(_add_block, [(Z[i:j], P, total[i:j]) for i, j in pairwise(edges)], n_threads)


def _add_block(Z: np.ndarray, P: np.ndarray, total: np.ndarray) -> None:
    total += _product(Z, P)


def _product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # of this thread; infinities are found at the end
        return A @ B


class Errors(TakesTiles):
    """Weighted squared errors under readouts ``coef`` (R, K) and ``offset`` (R,) for shifted data, R = R' O.

    Attributes
    ----------
    total : (R,), the outputs of a readout side by side
    """

    def __init__(self, coef: np.ndarray, offset: np.ndarray) -> None:
        self.coef, self.offset, self.total = coef, offset, np.zeros(len(offset))

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Add the errors of one tile (D, n_columns)."""
        tile, K = on_host(tile), self.coef.shape[1]
        targets = tile[K + 1 :]
        fitted = self.coef @ tile[:K] + self.offset[:, None] * tile[K]
        residual = fitted.reshape(-1, *targets.shape) - targets
        self.total += np.sum(residual**2, axis=2).ravel()


@dataclass(frozen=True)
class System:
    """The normal equations of all rows but those of fold ``left_out``; None: of all rows.

    Attributes
    ----------
    centre, target_centre, shift : as in :class:`reservoir.readout.linear.Decomposition`
    cross, energy : (K, O) Z Yᵀ and (O,) squares of Y, centred
    """

    left_out: int | None
    centre: np.ndarray
    target_centre: np.ndarray
    shift: np.ndarray
    cross: np.ndarray
    energy: np.ndarray

    @classmethod
    def of(
        cls, moments: Sequence[Moments], shift: np.ndarray, *, left_out: int | None = None, fit_intercept: bool = True
    ) -> System:
        """From the moments of the folds, about their means or about the original data's zero."""
        kept = [one for fold, one in enumerate(moments) if fold != left_out]
        total, O = sum(one.weight for one in kept), len(kept[0].energy)
        require_rows(total)
        products = sum(one.products[:, : O + 1] for one in kept)
        y, energy = sum(one.target_sums for one in kept), sum(one.energy for one in kept)
        require_finite(float(np.sum(products) + np.sum(energy)))
        z, cross = products[:, 0], products[:, 1:]
        c, d = (z / total, y / total) if fit_intercept else (-shift[: len(z)], -shift[len(z) :])
        cross = cross - np.outer(c, y) - np.outer(z - total * c, d)
        return cls(left_out, c, d, shift, cross, energy - 2.0 * d * y + total * d**2)


@dataclass(frozen=True)
class Nystrom:
    """U diag(values) Uᵀ, near Z Zᵀ: ``vectors`` U (K, r), ``values`` (r,) >= 0 and falling."""

    vectors: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, moments: Sequence[Moments], centre: np.ndarray) -> Nystrom:
        """From the moments of all folds, about ``centre``."""
        directions, O = moments[0].directions, len(moments[0].energy)
        z, total = sum(one.products[:, 0] for one in moments), sum(one.weight for one in moments)
        sketch = sum(one.products[:, O + 1 :] for one in moments)
        sketch -= np.outer(centre, z @ directions)
        sketch -= np.outer(z - total * centre, centre @ directions)
        require_finite(float(np.sum(sketch)))
        core = directions.T @ sketch
        values, vectors = eigenvectors((core + core.T) / 2.0)
        is_known = values > len(sketch) * np.finfo(float).eps * max(float(values[-1]), np.finfo(float).tiny)
        left, singular, _ = singular_vectors(sketch @ (vectors[:, is_known] / np.sqrt(values[is_known])))
        return cls(left, singular**2)

    def factors(self, alpha: float) -> np.ndarray:
        """(r,) eigenvalues of M^-1/2, times the root of λ_r + α, which makes the others 1."""
        if not len(self.values):
            return np.ones(0)
        least = max(float(self.values[-1]) + alpha, np.finfo(float).eps * float(self.values[0]))
        return np.sqrt(least / np.maximum(self.values + alpha, least))

    def times(self, factors: np.ndarray, V: np.ndarray) -> np.ndarray:
        """(U diag(factors) Uᵀ + I - U Uᵀ) V."""
        return V + self.vectors @ ((factors - 1.0)[:, None] * (self.vectors.T @ V))


def n_directions(n_features: int) -> int:
    """r, the number of directions of the sketch."""
    return min(MOST_DIRECTIONS, -(-n_features // FEATURES_A_DIRECTION))


def n_bytes(n_features: int, n_folds: int = 1) -> int:
    """Bytes that are held at most, tiles apart: Ω, a sketch of each fold, and six copies where they become U."""
    return 8 * (n_folds + 7) * n_features * n_directions(n_features)


def ridge_by_cg(
    read: Read,
    n_features: int,
    n_outputs: int,
    shift: np.ndarray,
    alphas: float | np.ndarray,
    *,
    fit_intercept: bool = True,
) -> Readout:
    """Ridge readout, or that of the best of several penalties by cross-validation over the folds of ``read``.

    The data are read once for the moments, once an iteration, and once for the errors of all penalties.

    Parameters
    ----------
    read : callable
        ``read(make)`` looks at all data and returns a ``make()`` for each fold, with all tiles of the fold added.
    n_features, n_outputs, shift
        As in :class:`reservoir.readout.gram.Gram`.
    alphas : float >= 0, or (A,) candidates
        Without a penalty, and with dependent features, the answer is one of many, not that of least norm.
    fit_intercept : bool

    Returns
    -------
    Readout
        Its ``condition`` is what that of the penalised Gram is at most.

    Warns
    -----
    IllConditionedWarning
        Where :data:`TOLERANCE` is not reached, in :data:`MAX_ITERATIONS` iterations or at all.
    """
    with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        r = n_directions(n_features)
        directions = np.linalg.qr(np.random.default_rng(0).standard_normal((n_features, r)))[0]
        moments = read(partial(Moments, directions, n_outputs))
        whole = System.of(moments, shift, fit_intercept=fit_intercept)
        nystrom = Nystrom.of(moments, whole.centre)
        systems = []
        if not isinstance(alphas, float):
            check_folds(moments)
            folds = [fold for fold, one in enumerate(moments) if one.n_rows > 0]
            systems = [System.of(moments, shift, left_out=fold, fit_intercept=fit_intercept) for fold in folds]
        del moments, directions  # room for the iteration
        alpha = alphas
        if systems:
            alpha = choose_alpha(_blocked_errors(read, systems, nystrom, alphas), alphas, whole.energy)
        coef = _solve(read, [whole], nystrom, alpha).T
        largest = float(nystrom.values[0]) if len(nystrom.values) else 0.0
        condition = (largest + alpha) / alpha if alpha > 0.0 else np.inf
        return readout_of(coef, whole, alpha, condition=condition, rank=n_features, method="cg")


def _blocked_errors(read: Read, systems: list[System], nystrom: Nystrom, alphas: np.ndarray) -> np.ndarray:
    """(A, O) errors of each fold under the readout of all others; the largest penalty is solved first."""
    S, O = len(systems), systems[0].cross.shape[1]
    coefs, V = {}, None
    for alpha in sorted(alphas.tolist(), reverse=True):
        V = coefs[alpha] = _solve(read, systems, nystrom, alpha, V)
    coef = np.concatenate([coefs[alpha].T for alpha in alphas.tolist()])
    centres = np.tile(np.repeat([s.centre for s in systems], O, axis=0), (len(alphas), 1))
    targets = np.tile(np.concatenate([s.target_centre for s in systems]), len(alphas))
    folds = read(partial(Errors, coef, targets - np.sum(coef * centres, axis=1)))
    errors = np.array([folds[s.left_out].total.reshape(len(alphas), S, O)[:, k] for k, s in enumerate(systems)])
    return errors.sum(axis=0)


def _solve(
    read: Read, systems: list[System], nystrom: Nystrom, alpha: float, start: np.ndarray | None = None
) -> np.ndarray:
    """Wᵀ (K, S O) of all systems side by side, from those of ``start``; one look at the data an iteration."""
    K, O = systems[0].cross.shape
    centres = np.repeat(np.column_stack([s.centre for s in systems]), O, axis=1)
    factors = nystrom.factors(alpha)
    right = nystrom.times(factors, np.concatenate([s.cross for s in systems], axis=1))
    sizes = np.linalg.norm(right, axis=0)
    sizes[sizes == 0.0] = 1.0  # a target that is constant

    def product(x: np.ndarray) -> np.ndarray:
        V = nystrom.times(factors, x.reshape(K, -1))
        folds = read(partial(Products, V, centres))
        AV = alpha * V
        for k, system in enumerate(systems):
            its = slice(k * O, (k + 1) * O)
            AV[:, its] += sum(one.total[:, its] for fold, one in enumerate(folds) if fold != system.left_out)
        return nystrom.times(factors, AV).ravel()

    x0 = None if start is None else (nystrom.times(1.0 / factors, start) / sizes).ravel()
    settings = CGSettings(max_iterations=MAX_ITERATIONS, progress=0.0, residual=TOLERANCE, spacing=MAX_ITERATIONS)
    found = conjugate_gradient(product, (right / sizes).ravel(), x0=x0, settings=settings)
    require_finite(found.residual)
    if found.residual > TOLERANCE:
        warnings.warn(
            f"expected conjugate gradients to leave a residual of {TOLERANCE:g}, got {found.residual:.1e} after "
            f"{found.n_iterations} iterations at alpha={alpha:g} ({found.reason.value}); give a larger alpha, or "
            "solver='qr'.",
            IllConditionedWarning,
            stacklevel=3,
        )
    return nystrom.times(factors, found.x.reshape(K, -1) * sizes)
