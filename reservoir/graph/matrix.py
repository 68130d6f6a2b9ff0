"""The two forms of a recurrent matrix, CSR and cyclic shifts, and the door for a user's own.

Rows receive: a step reads ``W @ x``, so ``W[i, j]`` is the weight from unit ``j`` to unit ``i``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, DTypeLike

from optim.arguments import array, as_array, brief, integer, precision

MOST_WEIGHTS = 2**31 - 1  # entries of a row pointer, int32 in SciPy's CSR as in the kernels


@dataclass(frozen=True)
class Shifts:
    """A recurrent matrix made of K cyclic diagonals, so that every load of a step is contiguous.

    ``(W x)[i] = sum_k weights[k, i] * x[(i + shifts[k]) mod N]``

    Parameters
    ----------
    shifts : (K,) int64, distinct, in [0, N)
    weights : (K, N) float64 or float32

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.graph.matrix import Shifts
    >>> W = Shifts(shifts=np.array([1]), weights=np.array([[1.0, 2.0, 3.0]]))
    >>> W.to_csr() @ np.array([10.0, 20.0, 30.0])
    array([20., 60., 30.])
    """

    shifts: np.ndarray
    weights: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, N)``."""
        return self.weights.shape[1], self.weights.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Precision of the weights."""
        return self.weights.dtype

    def to_csr(self) -> sp.csr_array:
        """The same matrix, (N, N) CSR; each row keeps its entries in the order of k (indices unsorted)."""
        _, N = self.weights.shape
        columns = (np.arange(N)[:, None] + self.shifts) % N
        return fixed_in_degree(columns, np.ascontiguousarray(self.weights.T))


def from_matrix(matrix: ArrayLike | sp.sparray | Shifts, *, dtype: DTypeLike | None = None) -> sp.csr_array | Shifts:
    """A user's own recurrent matrix, checked, as CSR (a :class:`Shifts` stays one).

    Parameters
    ----------
    matrix : (N, N) array-like, SciPy sparse of any format, or Shifts
        Finite and real. Never written to.
    dtype : float64, float32 or None
        ``None``: float32 stays float32, everything else becomes float64.

    Returns
    -------
    W : (N, N) CSR with sorted indices and no stored zeros, or Shifts

    Raises
    ------
    TypeError
        If the entries are not float64, float32, integers or booleans.
    ValueError
        If the matrix is empty, not square, or not finite.

    Examples
    --------
    >>> from reservoir.graph.matrix import from_matrix
    >>> from_matrix([[0, 1], [2, 0]]).data
    array([1., 2.])
    """
    if isinstance(matrix, Shifts):
        return _checked_shifts(matrix, dtype)
    W = _intact(matrix) if sp.issparse(matrix) else as_array("topology", matrix)
    if len(W.shape) != 2 or W.shape[0] != W.shape[1] or W.shape[0] == 0:
        raise ValueError(
            f"topology must be a square matrix with at least one unit, got shape {tuple(W.shape)}; "
            "pass one row and one column for each unit."
        )
    _check_entries(W.data if sp.issparse(W) else W)
    check_size(W.shape[0], W.nnz if sp.issparse(W) else W.size)
    with np.errstate(over="ignore"):
        W = canonical(sp.coo_array(W).astype(_float_type(W.dtype, dtype)))
    check_range("topology", W.data)
    return W


def check_size(n_units: int, n_weights: int) -> None:
    """Raise unless a matrix of so many weights can be indexed by the integers of the kernels."""
    if max(n_units, n_weights) > MOST_WEIGHTS:
        raise ValueError(
            f"n_units and in_degree must ask for at most {MOST_WEIGHTS} weights, got {n_weights} between {n_units} "
            "units; take fewer of one."
        )


def check_range(name: str, weights: np.ndarray) -> None:
    """Raise unless the weights that come of ``name`` are still finite in their precision."""
    if not np.isfinite(weights).all():
        raise ValueError(
            f"{name} must give weights in the range of {weights.dtype}, got some beyond it; give smaller numbers."
        )


def checked_csr(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]) -> sp.csr_array:
    """CSR of parts that come from a file: every index is looked at before SciPy or a kernel follows it.

    Raises
    ------
    TypeError, ValueError
    """
    n_rows, n_columns = (integer("shape", n, least=0, most=2**31 - 1) for n in shape)
    kind = np.int64 if getattr(indptr, "dtype", None) == np.int64 else np.int32
    array("indptr", indptr, shape=(n_rows + 1,), dtype=kind, least=0)
    array("indices", indices, shape=(int(indptr[-1]),), dtype=kind, least=0, most=n_columns - 1)
    if indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError(f"indptr must rise from 0, got {brief(indptr.tolist())}; give where each row begins.")
    array("data", data, shape=indices.shape, dtype=getattr(data, "dtype", None))
    return sp.csr_array((data, indices, indptr), shape=(n_rows, n_columns))


def fixed_in_degree(columns: np.ndarray, weights: np.ndarray) -> sp.csr_array:
    """CSR from (N, in_degree) columns and weights, entries in the given order."""
    N, in_degree = columns.shape
    indptr = np.arange(0, N * in_degree + 1, in_degree, dtype=np.int32)
    return sp.csr_array((weights.ravel(), columns.astype(np.int32).ravel(), indptr), shape=(N, N))


def canonical(W: sp.coo_array) -> sp.csr_array:
    """CSR with duplicates summed, indices sorted and int32, and no stored zeros; a new array."""
    W = sp.csr_array(W, copy=True)
    W.sum_duplicates()
    W.eliminate_zeros()
    W.indices, W.indptr = W.indices.astype(np.int32), W.indptr.astype(np.int32)
    return W


def _intact(matrix: sp.sparray) -> sp.coo_array:
    """A copy in COO; row pointers and indices that lead outside are refused before SciPy's kernels follow them."""
    try:
        matrix = matrix.copy()
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)
        return sp.coo_array(matrix)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"topology must be a sparse matrix whose indices lie inside it, got {error}; build it by "
            "scipy.sparse.coo_array."
        ) from error


def _float_type(came: np.dtype, asked: DTypeLike | None) -> np.dtype:
    if asked is not None:
        return np.dtype(precision("dtype", asked))
    return np.dtype(np.float32 if came == np.float32 else np.float64)


def _check_entries(entries: np.ndarray) -> None:
    if entries.dtype.kind not in "biu" and entries.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"topology must hold real numbers (float64, float32 or integers), got dtype {entries.dtype}; "
            "convert the matrix first."
        )
    n_bad = entries.size - int(np.isfinite(entries).sum())
    if n_bad:
        raise ValueError(
            f"topology must hold finite numbers, got {n_bad} that are NaN or infinite; "
            "replace them, by 0 for no connection."
        )


def _checked_shifts(W: Shifts, dtype: DTypeLike | None) -> Shifts:
    offsets, weights = as_array("topology.shifts", W.shifts), as_array("topology.weights", W.weights)
    _check_entries(weights)
    if weights.ndim != 2 or 0 in weights.shape or offsets.shape != weights.shape[:1]:
        raise ValueError(
            "topology must have shifts of shape (K,) and weights of shape (K, N), "
            f"got {offsets.shape} and {weights.shape}; pass one row of weights for each shift."
        )
    N = weights.shape[1]
    in_range = offsets.dtype.kind in "iu" and offsets.min() >= 0 and offsets.max() < N
    if not in_range or len(np.unique(offsets)) < len(offsets):
        raise ValueError(
            f"topology must have distinct integer shifts in [0, {N}), got {brief(offsets.tolist())}; "
            "take them modulo n_units and merge equal ones."
        )
    check_size(N, weights.size)
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(weights, _float_type(weights.dtype, dtype))
    check_range("topology", weights)
    return Shifts(offsets.astype(np.int64), weights)
