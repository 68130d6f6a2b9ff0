"""The Gram matrix of a readout: all that ridge regression asks of the data, summed tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from optim.arguments import array, brief, integer
from optim.device import namespace, to_host
from optim.threads import run_all, single_blas_thread
from reservoir.readout.blas import add_product, add_self_product
from reservoir.readout.columns import TakesTiles, check_tile, count_rows, cut_columns
from reservoir.readout.lower import add_lower, strips
from reservoir.readout.normal_equations import NormalEquations

# Column pieces a tile is cut into, each summed in a matrix of its own: a function of the tile's shape only,
# so that the sums have the same bits for any number of threads. Above _ONE_SUM_FROM rows the extra matrices
# would cost too much memory, and the blocks of one matrix are spread over the threads instead.
_N_PIECES = 4
_ONE_SUM_FROM = 2048
# Rows up to which register tiles are faster than BLAS, which packs its arguments first.
_TILES_TO = 256
_BLOCK = 1024
# Products of a tile's numbers that take less time than waking another thread may.
_WORTH_A_THREAD = 20_000_000
_STRIP = 64


class Gram(TakesTiles):
    """Sum of Z Zᵀ over tiles Z, in float64: streamed, mergeable, and the same for any number of threads.

    The D = n_features + 1 + n_outputs rows of a tile are the features, the constant row, and the targets.
    Each column is one time step times the square root of its weight w_t, so the constant row holds √w_t::

        matrix = Σ_t w_t v_t v_tᵀ,    v_t = (z_t - shift_z, 1, y_t - shift_y)

    A shift close to the mean keeps data that are far from zero from cancelling; the readout undoes it.

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
    >>> from reservoir.readout.gram import Gram
    >>> tile = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [2.0, 4.0, 6.0]])
    >>> gram = Gram(1, 1)
    >>> gram.add(tile)
    >>> gram.matrix
    array([[14.,  6., 28.],
           [ 6.,  3., 12.],
           [28., 12., 56.]])
    """

    remedy = " or solver='qr'"  # where rounding outweighs the penalty

    def __init__(self, n_features: int, n_outputs: int, shift: np.ndarray | None = None) -> None:
        self.n_features = n_features
        self.n_outputs = n_outputs
        self.shift = as_shift(shift, n_features, n_outputs)
        self.n_rows = 0
        self._sums: list = []  # lower triangles, summed at the end; one full matrix if not NumPy
        self._parts: dict = {}  # part -> its sum and the rows of each of its tiles

    @staticmethod
    def n_bytes(size: int, n_rows: int) -> int:
        """Bytes that sums of tiles of ``size`` rows hold, and work with at the end."""
        return 8 * ((1 if size > _ONE_SUM_FROM else _N_PIECES) + 2) * size**2

    @property
    def size(self) -> int:
        """D, the number of rows of a tile."""
        return self.n_features + 1 + self.n_outputs

    @property
    def matrix(self):
        """(D, D) float64, symmetric: the sum of Z Zᵀ; a fresh array."""
        lower = self.lower()
        return _mirrored(lower) if namespace(lower) is np else lower

    def lower(self, *, keep: bool = True, n_threads: int = 1):
        """(D, D) float64 whose lower triangle is that of :attr:`matrix`; what is above the diagonal is anything.

        ``keep=False`` gives away the memory of the sums instead of a fresh array, and leaves none behind.
        """
        if not self._sums:
            return np.zeros((self.size, self.size))
        first, others = self._sums[0], self._sums[1:]
        if keep:
            first = first + 0.0
        else:
            self.empty()
        _add_all(first, *others, n_threads=n_threads)
        return first

    def empty(self) -> None:
        """Forget all that was added."""
        self._sums, self.n_rows = [], 0

    @property
    def weight(self) -> float:
        """Sum of the weights."""
        return float(self.matrix[self.n_features, self.n_features])

    @property
    def means(self):
        """(n_features + n_outputs,) weighted means of features and targets, the shift added back."""
        row = to_host(self.matrix[self.n_features, :])
        return self.shift + np.delete(row, self.n_features) / row[self.n_features]

    def add(self, tile, n_threads: int = 1) -> None:
        """Add Z Zᵀ of one tile.

        Parameters
        ----------
        tile : (D, n_columns) float64
            Last axis contiguous if it is a NumPy array. Read only.
        n_threads : int >= 1
        """
        xp = namespace(tile)
        if xp is np:
            check_tile(tile, self.size)
            self._add_on_threads(tile, n_threads)
        else:
            product = tile @ tile.T
            self._sums = [product if not self._sums else self._sums[0] + product]
        self.n_rows += count_rows(tile, self.n_features)

    @property
    def n_parts(self) -> int:
        """Sums that :meth:`add_part` may add to side by side."""
        return 1 if self.size > _ONE_SUM_FROM else _N_PIECES

    def add_part(self, part: int, tile: np.ndarray) -> None:
        """Add Z Zᵀ of one tile to sum ``part`` < :attr:`n_parts`; threads may do so side by side to different ones."""
        check_tile(tile, self.size)
        with single_blas_thread():
            add_self_product(tile, self.sum_of_part(part))
        self.count_in_part(part, count_rows(tile, self.n_features))

    @property
    def is_summed_in_tiles(self) -> bool:
        """Whether kernels should add to :meth:`sum_of_part` themselves: rows are few enough for register tiles."""
        return self.size <= _TILES_TO

    def sum_of_part(self, part: int) -> np.ndarray:
        """(D, D) lower triangle of sum ``part`` < :attr:`n_parts`, to be added to; tell :meth:`count_in_part`."""
        if part not in self._parts:
            self._parts[part] = touched_zeros(self.size, self.size), []
        return self._parts[part][0]

    def count_in_part(self, part: int, n_rows: int) -> None:
        """Count ``n_rows`` columns of nonzero weight that were added to sum ``part``."""
        self._parts[part][1].append(n_rows)

    def finish(self, n_threads: int = 1) -> None:
        """Bring together what was added in parts, by threads or on a GPU; call it once no more tiles come."""
        for part in sorted(self._parts):
            total, counts = self._parts[part]
            self._sums.append(total)
            self.n_rows += sum(counts)
        self._parts = {}
        if self._sums and namespace(self._sums[0]) is not np:
            self._sums = [np.tril(to_host(total)) for total in self._sums]
        if len(self._sums) > 1:
            _add_all(*self._sums, n_threads=n_threads)
            del self._sums[1:]

    def merge(self, other: Gram) -> None:
        """Add what ``other`` has seen; ``other`` is unchanged. Shifts may differ: this one's is kept."""
        check_same_kind(self, other)
        if not other._sums:
            return
        theirs = other.recentred(self.shift).lower()
        self._sums[:1] = [theirs if not self._sums else self._sums[0] + theirs]
        self.n_rows += other.n_rows

    def without(self, part: Gram) -> Gram:
        """Gram of the rows seen here but not in ``part``, which must have been merged in: a subtraction."""
        check_same_kind(self, part)
        return self._like(self.lower() - part.recentred(self.shift).lower(), self.n_rows - part.n_rows)

    @staticmethod
    def each_left_out(folds: Sequence[Gram]) -> list[Gram]:
        """Gram of all ``folds`` but one, for each of them."""
        total = Gram(folds[0].n_features, folds[0].n_outputs, folds[0].shift)
        for fold in folds:
            total.merge(fold)
        return [total.without(fold) for fold in folds]

    def recentred(self, shift: np.ndarray) -> Gram:
        """The same data minus another shift. With δ = old shift - new shift, 0 in the constant row c::

        M' = M + δ M_c + M_cᵀ δᵀ + M_cc δ δᵀ
        """
        if np.array_equal(shift, self.shift):
            return self
        matrix = self.matrix
        xp = namespace(matrix)
        delta = xp.asarray(np.insert(self.shift - shift, self.n_features, 0.0))
        row = matrix[self.n_features, :]
        cross = delta[:, None] * row[None, :]
        square = row[self.n_features] * delta[:, None] * delta[None, :]
        result = self._like(matrix + cross + cross.T + square, self.n_rows)
        result.shift = as_shift(shift, self.n_features, self.n_outputs)
        return result

    def centred(self, *, fit_intercept: bool = True, keep: bool = True, n_threads: int = 1) -> NormalEquations:
        """Sums about the means or, without intercept, about the original data's zero.

        ``keep=False`` takes the memory of the sums, which are empty afterwards.
        """
        used, n_rows = self if fit_intercept else self.recentred(np.zeros_like(self.shift)), self.n_rows
        if used is not self and not keep:
            self.empty()
        matrix = used.lower(keep=keep and used is self, n_threads=n_threads)
        sizes = self.n_features, self.shift, n_rows
        return NormalEquations.of(matrix, *sizes, fit_intercept=fit_intercept, n_threads=n_threads)

    def held_out_error(self, coef, offset) -> np.ndarray:
        """(..., O) errors of the rows seen here: vᵀ M v with v = (-W, -b, 1), b the intercept for shifted data."""
        xp, v = namespace(coef), error_vectors(coef, offset)
        product = xp.reshape(xp.reshape(v, (-1, self.size)) @ self.matrix, v.shape)
        return np.maximum(to_host(xp.sum(product * v, axis=-1)), 0.0)

    def kept(self) -> dict:
        """What a file holds of it, for :meth:`restored`."""
        return {
            "n_features": self.n_features,
            "n_outputs": self.n_outputs,
            "shift": self.shift,
            "n_rows": self.n_rows,
            "sums": [to_host(total) for total in self._sums],
        }

    @classmethod
    def restored(cls, *, n_features: int, n_outputs: int, shift: np.ndarray, n_rows: int, sums: list) -> Gram:
        """The sums that :meth:`kept` took apart, checked."""
        result = cls(*check_sizes(n_features, n_outputs, shift), shift)
        result.n_rows = integer("n_rows", n_rows, least=0)
        if not isinstance(sums, list) or len(sums) > _N_PIECES:
            raise ValueError(f"sums must be at most {_N_PIECES} matrices, got {brief(sums)}; save them again.")
        size = result.size
        result._sums = [array("sums", total, shape=(size, size), dtype=np.float64) for total in sums]
        return result

    def _like(self, matrix, n_rows: int) -> Gram:
        result = Gram(self.n_features, self.n_outputs, self.shift)
        result.n_rows = n_rows
        result._sums = [np.tril(matrix) if namespace(matrix) is np else matrix]
        return result

    def _add_on_threads(self, tile: np.ndarray, n_threads: int) -> None:
        pieces = cut_columns(tile, self.n_parts)
        missing = [(self.size, self.size)] * (len(pieces) - len(self._sums))
        self._sums += run_all(touched_zeros, missing, n_threads)
        if self.size > _ONE_SUM_FROM:
            tasks = _block_tasks(tile, self._sums[0]) if pieces else []
        else:
            tasks = [(piece, None, total) for piece, total in zip(pieces, self._sums, strict=False)]
        is_short = tile.shape[1] * self.size**2 < _WORTH_A_THREAD
        with single_blas_thread():
            run_all(_accumulate, tasks, 1 if is_short else n_threads)


def _add_all(first: np.ndarray, *others: np.ndarray, n_threads: int) -> None:
    """Add lower triangles to the first."""
    for other in others:
        run_all(add_lower, [(first, other, *rows) for rows in strips(len(first))], n_threads)


def _mirrored(lower: np.ndarray) -> np.ndarray:
    """``lower`` with its upper triangle filled in, in place; by strips, which keep to the cache."""
    for start in range(0, len(lower), _STRIP):
        stop = min(start + _STRIP, len(lower))
        lower[:start, start:stop] = lower[start:stop, :start].T
        corner = lower[start:stop, start:stop]
        corner += np.tril(corner, -1).T
    return lower


def _block_tasks(tile: np.ndarray, total: np.ndarray) -> list[tuple]:
    """Blocks on and below the diagonal, the expensive ones first."""
    edges = [*range(0, len(tile), _BLOCK), len(tile)]
    blocks = [slice(start, stop) for start, stop in pairwise(edges)]
    below = [(tile[i], tile[j], total[i, j]) for n, i in enumerate(blocks) for j in blocks[:n]]
    return below + [(tile[i], None, total[i, i]) for i in blocks]


def _accumulate(left: np.ndarray, right: np.ndarray | None, total: np.ndarray) -> None:
    if right is None:
        add_self_product(left, total)
    else:
        add_product(left, right, total)


def as_shift(shift: np.ndarray | None, n_features: int, n_outputs: int) -> np.ndarray:
    """``shift`` as a fresh (n_features + n_outputs,) float64 array, zeros for None."""
    if shift is None:
        return np.zeros(n_features + n_outputs)
    shift = np.array(shift, dtype=np.float64)
    if shift.shape != (n_features + n_outputs,):
        raise ValueError(
            f"shift must have shape ({n_features + n_outputs},), one value a feature and a target, "
            f"got {shift.shape}; leave it out for no shift."
        )
    return shift


def check_sizes(n_features: int, n_outputs: int, shift: np.ndarray) -> tuple[int, int]:
    """Sizes of sums that come from a file, bounded by an array that is there before anything is allocated."""
    most = np.size(shift)
    sizes = integer("n_features", n_features, most=most), integer("n_outputs", n_outputs, most=most)
    array("shift", shift, shape=(sum(sizes),), dtype=np.float64)
    return sizes


def error_vectors(coef, offset):
    """(..., O, D) v = (-W, -b, 1): what a tile's rows are multiplied by to give the errors of readouts (..., O, K)."""
    xp = namespace(coef)
    of_targets = xp.broadcast_to(xp.eye(coef.shape[-2]), (*coef.shape[:-1], coef.shape[-2]))
    return xp.concat([-coef, -offset[..., None], of_targets], axis=-1)


def check_same_kind(one, other) -> None:
    """Raise unless two accumulators have seen the same features and targets."""
    sizes, others = (one.n_features, one.n_outputs), (other.n_features, other.n_outputs)
    if type(one) is not type(other) or sizes != others:
        raise ValueError(
            f"expected a {type(one).__name__} of {sizes} features and outputs, got a {type(other).__name__} "
            f"of {others}; merge only what was made for the same readout."
        )


def touched_zeros(*shape: int) -> np.ndarray:
    """Zeros written at once: pages that ``np.zeros`` leaves to be touched one by one cost many times as much."""
    array = np.empty(shape)
    array.fill(0.0)
    return array
