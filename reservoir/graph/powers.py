"""Powers of a sparse matrix times a vector, compiled: a call of SciPy takes as long as the product of 1,000 units."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numba import config

from reservoir.jit import njit


def multiply_by_power(A: sp.csr_array | np.ndarray, x: np.ndarray, p: int, scale: float) -> np.ndarray:
    """Compute ``(A / scale)^p x``, dividing after every product.

    Parameters
    ----------
    A : (N, N) float64, CSR or dense
    x : (N,) float64
    p : int >= 0
    scale : float != 0

    Returns
    -------
    (N,) float64, new

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.graph.powers import multiply_by_power
    >>> multiply_by_power(np.diag([2.0, 4.0]), np.ones(2), 3, 2.0)
    array([1., 8.])
    """
    # Uncompiled, the loops of a thousand units would take a minute.
    if sp.issparse(A) and not config.DISABLE_JIT:
        vectors = np.empty((2, len(x)))
        vectors[0] = x
        # Unsigned, so that no index is looked at for whether it counts from the end.
        sources, starts = (index.view(f"u{index.itemsize}") for index in (A.indices, A.indptr))
        multiply_in_turn(A.data, sources, starts, p, scale, vectors)
        return vectors[p % 2]
    for _ in range(p):
        x = (A @ x) / scale
    return np.array(x)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def multiply_in_turn(weights, sources, starts, p, scale, vectors):
    """``vectors[1 - s % 2] = A vectors[s % 2] / scale`` for s = 0 .. p - 1.

    Parameters
    ----------
    weights : (n_entries,) float64, in
    sources : (n_entries,) unsigned int, in
        The column of each entry of A, row after row.
    starts : (N + 1,) unsigned int, in
        The entries of row i are ``starts[i] .. starts[i + 1] - 1``.
    p : int >= 0
    scale : float
    vectors : (2, N) float64 C-contiguous, in and out, no alias
    """
    for s in range(p):
        old, new = vectors[s % 2], vectors[1 - s % 2]
        for i in range(len(new)):
            total = 0.0
            for edge in range(starts[i], starts[i + 1]):
                total += weights[edge] * old[sources[edge]]
            new[i] = total / scale
