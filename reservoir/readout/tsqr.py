"""The triangular factor of all data seen: the Gram matrix without squaring the condition number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular

from optim.arguments import array, brief, integer
from optim.threads import run_all, single_blas_thread
from reservoir.readout.blas import fold_in
from reservoir.readout.columns import TakesTiles, check_tile, count_rows, cut_columns, on_host
from reservoir.readout.factorisations import singular_vectors
from reservoir.readout.gram import as_shift, check_same_kind, check_sizes, error_vectors
from reservoir.readout.linear import (
    Decomposition,
    Readout,
    readout_of,
    require_finite,
    require_rows,
    rounding_outweighs,
    singular_cutoff,
)
from reservoir.readout.reductions import Bidiagonal

# Independent factors, as in gram.py; half as many where one of them is large.
_N_PIECES = 4
_FEWER_FROM = 2048
# Columns for each row from which on a further factor is worth its merging at the end.
_COLUMNS_A_PIECE = 2


class TriangularFactor(TakesTiles):
    """R with Rᵀ R = Σ Z Zᵀ over tiles Z, from Householder transformations: streamed and mergeable (TSQR).

    The sums of :class:`reservoir.readout.gram.Gram` lose directions whose singular value is below √eps of the
    largest; here only those below eps of it are lost. It takes about three times as long.

    Parameters
    ----------
    n_features : int >= 1
    n_outputs : int >= 1
    shift : (n_features + n_outputs,) array, optional
        What was subtracted from the features and the targets before they came here. Zeros if not given.

    Attributes
    ----------
    n_rows : int
        Columns seen whose weight is not zero.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.tsqr import TriangularFactor
    >>> tile = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [2.0, 4.0, 6.0]])
    >>> factor = TriangularFactor(1, 1)
    >>> factor.add(tile)
    >>> R = factor.factor
    >>> bool(np.allclose(R.T @ R, tile @ tile.T))
    True

    References
    ----------
    Demmel, Grigori, Hoemmen, Langou (2012), Communication-optimal parallel and sequential QR, section 3.
    """

    remedy = ""  # where rounding outweighs the penalty

    def __init__(self, n_features: int, n_outputs: int, shift: np.ndarray | None = None) -> None:
        self.n_features = n_features
        self.n_outputs = n_outputs
        self.shift = as_shift(shift, n_features, n_outputs)
        self.n_rows = 0
        # Kept transposed, lower triangular: LAPACK reads them by columns.
        self._lower = np.zeros((_n_pieces(self.size), self.size, self.size))
        self._is_used = [False] * len(self._lower)

    @staticmethod
    def n_bytes(size: int, n_rows: int) -> int:
        """Bytes that a factor of tiles of ``size`` rows holds, and works with at the end."""
        return 8 * (_n_pieces(size) + 2) * size**2

    @property
    def size(self) -> int:
        """D, the number of rows of a tile."""
        return self.n_features + 1 + self.n_outputs

    @property
    def factor(self) -> np.ndarray:
        """(D, D) float64, upper triangular; rows of zeros where fewer columns than D came; a fresh array."""
        used = [lower for lower, is_used in zip(self._lower, self._is_used, strict=True) if is_used]
        if not used:
            return np.zeros((self.size, self.size))
        total = used[0].copy()
        with single_blas_thread():
            for lower in used[1:]:
                fold_in(lower.copy(), total, triangular=True)
        return np.triu(total.T)

    def finish(self, n_threads: int = 1) -> None:
        """Fold the factors that threads have added to into one."""
        if sum(self._is_used) > 1:
            self._lower[0] = self.factor.T
            self._is_used[1:] = [False] * (len(self._lower) - 1)

    def add(self, tile: np.ndarray, n_threads: int = 1) -> None:
        """Fold the columns of one tile into the factor.

        Parameters
        ----------
        tile : (D, n_columns) float64
            Last axis contiguous if it is a NumPy array. Read only.
        n_threads : int >= 1
        """
        tile = on_host(tile)
        check_tile(tile, self.size)
        n_pieces = (self.n_rows + tile.shape[1]) // (_COLUMNS_A_PIECE * self.size)
        pieces = cut_columns(tile, max(1, min(n_pieces, len(self._lower))))
        with single_blas_thread():
            run_all(self._fold, list(enumerate(pieces)), n_threads)
        for k in range(len(pieces)):
            self._is_used[k] = True
        self.n_rows += count_rows(tile, self.n_features)

    def merge(self, other: TriangularFactor) -> None:
        """Fold in what ``other`` has seen; ``other`` is unchanged. Shifts may differ: this one's is kept."""
        check_same_kind(self, other)
        theirs = other.recentred(self.shift)
        with single_blas_thread():
            for k, lower in enumerate(theirs._lower):
                if theirs._is_used[k] and self._is_used[k]:
                    fold_in(lower.copy(), self._lower[k], triangular=True)
                elif theirs._is_used[k]:
                    self._lower[k], self._is_used[k] = lower, True
        self.n_rows += other.n_rows

    def recentred(self, shift: np.ndarray) -> TriangularFactor:
        """The same data minus another shift: a multiple of R's constant column is added to every other."""
        if np.array_equal(shift, self.shift):
            return self
        R = self.factor
        delta = np.insert(self.shift - shift, self.n_features, 0.0)
        result = TriangularFactor(self.n_features, self.n_outputs, shift)
        result._lower[0] = triangle(R + R[:, self.n_features, None] * delta).T
        result._is_used[0] = True
        result.n_rows = self.n_rows
        return result

    @staticmethod
    def each_left_out(folds: Sequence[TriangularFactor]) -> list[TriangularFactor]:
        """Factor of all ``folds`` but one, for each of them: of those before and after, for none can be subtracted."""
        nothing = TriangularFactor(folds[0].n_features, folds[0].n_outputs, folds[0].shift)
        before = accumulate(folds[:-1], _joined, initial=nothing)
        after = [*accumulate(folds[:0:-1], _joined, initial=nothing)][::-1]
        return [_joined(*both) for both in zip(before, after, strict=True)]

    def centred(self, *, fit_intercept: bool = True, keep: bool = True, n_threads: int = 1) -> CentredFactor:
        """Triangular factor of the centred data. With the constant column put first, the rest of R is centred::

        Q [c, Z, Y] = [[R_cc, R_cZ, R_cY], [0, R_ZZ, R_ZY], [0, 0, R_YY]],   means = R_c. / R_cc
        """
        K = self.n_features
        R = (self if fit_intercept else self.recentred(np.zeros_like(self.shift))).factor
        require_finite(float(np.vdot(R, R)))
        constant, others = R[:, K : K + 1], np.delete(R, K, axis=1)
        total = float(np.sum(constant**2))
        require_rows(total)
        if fit_intercept:
            R = triangle(np.hstack([constant, others]))
            centre, target_centre = R[0, 1 : K + 1] / R[0, 0], R[0, K + 1 :] / R[0, 0]
            R = R[1:, 1:]
        else:
            R = triangle(others)
            centre, target_centre, total = -self.shift[:K], -self.shift[K:], 0.0
        return CentredFactor(R, K, centre, target_centre, self.shift, total, self.n_rows)

    def held_out_error(self, coef: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """(..., O) errors of the rows seen here: |R v|² with v = (-W, -b, 1), b the intercept for shifted data."""
        v = error_vectors(coef, offset)
        return np.sum((v.reshape(-1, self.size) @ self.factor.T) ** 2, axis=-1).reshape(v.shape[:-1])

    def kept(self) -> dict:
        """What a file holds of it, for :meth:`restored`."""
        return {
            "n_features": self.n_features,
            "n_outputs": self.n_outputs,
            "shift": self.shift,
            "n_rows": self.n_rows,
            "lower": self._lower,
            "is_used": list(self._is_used),
        }

    @classmethod
    def restored(
        cls, *, n_features: int, n_outputs: int, shift: np.ndarray, n_rows: int, lower: np.ndarray, is_used: list
    ) -> TriangularFactor:
        """The factor that :meth:`kept` took apart, checked."""
        n_features, n_outputs = check_sizes(n_features, n_outputs, shift)
        size = n_features + 1 + n_outputs
        n_pieces = _n_pieces(size)
        array("lower", lower, shape=(n_pieces, size, size), dtype=np.float64)
        result = cls(n_features, n_outputs, shift)
        result.n_rows = integer("n_rows", n_rows, least=0)
        if not (isinstance(is_used, list) and len(is_used) == n_pieces and {type(used) for used in is_used} == {bool}):
            raise ValueError(f"is_used must be {n_pieces} times True or False, got {brief(is_used)}; save it again.")
        result._lower, result._is_used = lower, is_used
        return result

    def _fold(self, k: int, piece: np.ndarray) -> None:
        fold_in(np.array(piece, order="C"), self._lower[k])


def _joined(one: TriangularFactor, other: TriangularFactor) -> TriangularFactor:
    """Factor of what both have seen."""
    result = TriangularFactor(one.n_features, one.n_outputs, one.shift)
    result.merge(one)
    result.merge(other)
    return result


def _n_pieces(size: int) -> int:
    return _N_PIECES if size <= _FEWER_FROM else _N_PIECES // 2


@dataclass(frozen=True)
class CentredFactor:
    """Triangular factor R (K + O, K + O) of the centred data: min |R [Wᵀ; -I]|² + α |W|² is ridge regression.

    ``centre``, ``target_centre``, ``shift``, ``weight`` and ``n_rows`` as in
    :class:`reservoir.readout.linear.Decomposition`.
    """

    R: np.ndarray
    n_features: int
    centre: np.ndarray
    target_centre: np.ndarray
    shift: np.ndarray
    weight: float
    n_rows: int

    def solve(self, alpha: float, n_threads: int = 1) -> Readout | None:
        """QR of the centred rows with √α I appended: the penalty is never added to a square."""
        K = self.n_features
        lower = np.array(self.R.T, order="C")
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
        return readout_of(coef, self, alpha, condition=inverse_condition**-2.0, rank=K, method="qr")

    @property
    def target_energy(self) -> np.ndarray:
        """(O,) as in :class:`reservoir.readout.linear.Decomposition`."""
        return np.sum(self.R[:, self.n_features :] ** 2, axis=0)

    def reduce(self) -> Bidiagonal:
        """The features' part of R by two-sided reflections; its norm bounds the largest singular value."""
        K = self.n_features
        features = self.R[:K, :K]
        rounding = singular_cutoff(np.atleast_1d(np.linalg.norm(features)), K)
        inverse_condition, _ = lapack.dtrcon(features, uplo="U")
        is_full = not rounding_outweighs(inverse_condition, K * np.finfo(float).eps)
        return Bidiagonal.of(features, self.R[:K, K:], rounding, is_full=is_full)

    def decompose(self) -> Decomposition:
        """Singular vectors of the features' part of R."""
        K = self.n_features
        with single_blas_thread():
            left, singular, right = singular_vectors(self.R[:K, :K])
        targets = left.T @ self.R[:K, K:]
        residual = np.sum(self.R[K:, K:] ** 2, axis=0)
        cutoff = singular_cutoff(singular, len(singular))
        lost = np.where((singular**2 <= cutoff)[:, None], targets, 0.0)
        return Decomposition(
            values=singular**2,
            vectors=right.T,
            projected=singular[:, None] * targets,
            target_energy=np.sum(targets**2, axis=0) + residual,
            unexplained=residual + np.sum(lost**2, axis=0),
            centre=self.centre,
            target_centre=self.target_centre,
            shift=self.shift,
            weight=self.weight,
            n_rows=self.n_rows,
            cutoff=cutoff,
        )


def triangle(a: np.ndarray) -> np.ndarray:
    """R (n, n) of the QR factorisation of ``a`` (m, n), m >= n, on one BLAS thread."""
    with single_blas_thread():
        (R,) = qr(a, mode="r", check_finite=False)
    return R[: a.shape[1]]
