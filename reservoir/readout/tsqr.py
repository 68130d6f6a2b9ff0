"""The triangular factor of all data seen: the Gram matrix without squaring the condition number."""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr

from optim.arguments import array, brief, integer
from optim.threads import run_all, single_blas_thread
from reservoir.readout.blas import fold_in
from reservoir.readout.gram import (
    as_shift,
    check_same_kind,
    check_sizes,
    check_tile,
    count_rows,
    cut_columns,
    on_host,
    touched_zeros,
)

# Independent factors, as in gram.py; half as many where one of them is large.
_N_PIECES = 4
_FEWER_FROM = 2048


class TriangularFactor:
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

    n_parts = 1  # sums that threads may add to side by side

    def __init__(self, n_features: int, n_outputs: int, shift: np.ndarray | None = None) -> None:
        self.n_features = n_features
        self.n_outputs = n_outputs
        self.shift = as_shift(shift, n_features, n_outputs)
        self.n_rows = 0
        n_pieces = _N_PIECES if self.size <= _FEWER_FROM else _N_PIECES // 2
        # Kept transposed, lower triangular: LAPACK reads them by columns.
        self._lower = touched_zeros(n_pieces, self.size, self.size)
        self._is_used = [False] * n_pieces

    @staticmethod
    def n_matrices(size: int) -> int:
        """Matrices of ``size`` squared that a factor holds, and works with at the end."""
        return (_N_PIECES if size <= _FEWER_FROM else _N_PIECES // 2) + 2

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
        pieces = cut_columns(tile, len(self._lower))
        with single_blas_thread():
            run_all(self._fold, list(enumerate(pieces)), n_threads)
        for k in range(len(pieces)):
            self._is_used[k] = True
        self.n_rows += count_rows(tile, self.n_features)

    def finish(self) -> None:
        """Nothing is left to be done once no more tiles come."""

    def merge(self, other: TriangularFactor) -> None:
        """Fold in what ``other`` has seen; ``other`` is unchanged. Shifts may differ: this one's is kept."""
        check_same_kind(self, other)
        theirs = other.recentred(self.shift)
        with single_blas_thread():
            for k, lower in enumerate(theirs._lower):
                if theirs._is_used[k]:
                    fold_in(lower.copy(), self._lower[k], triangular=True)
                    self._is_used[k] = True
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
        n_pieces = cls.n_matrices(size) - 2
        array("lower", lower, shape=(n_pieces, size, size), dtype=np.float64)
        result = cls(n_features, n_outputs, shift)
        result.n_rows = integer("n_rows", n_rows, least=0)
        if not (isinstance(is_used, list) and len(is_used) == n_pieces and {type(used) for used in is_used} == {bool}):
            raise ValueError(f"is_used must be {n_pieces} times True or False, got {brief(is_used)}; save it again.")
        result._lower, result._is_used = lower, is_used
        return result

    def _fold(self, k: int, piece: np.ndarray) -> None:
        fold_in(np.array(piece, order="C"), self._lower[k])


def triangle(a: np.ndarray) -> np.ndarray:
    """R (n, n) of the QR factorisation of ``a`` (m, n), m >= n, on one BLAS thread."""
    with single_blas_thread():
        (R,) = qr(a, mode="r", check_finite=False)
    return R[: a.shape[1]]
