"""Powers of a sparse matrix times a vector, compiled: a call of SciPy takes as long as the product of 1,000 units."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numba import config, njit


def power_product(A: sp.csr_array | np.ndarray, x: np.ndarray, p: int, scale: float) -> np.ndarray:
    """``(A / scale)^p x``, divided after every product.

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
    >>> from reservoir.powers import power_product
    >>> power_product(np.diag([2.0, 4.0]), np.ones(2), 3, 2.0)
    array([1., 8.])
    """
    if sp.issparse(A) and not config.DISABLE_JIT:
        # Unsigned, so that no index is looked at for whether it counts from the end.
        sources, starts = (index.view(f"u{index.itemsize}") for index in (A.indices, A.indptr))
        return _power_product(A.data, sources, starts, np.ascontiguousarray(x), p, scale)
    for _ in range(p):
        x = (A @ x) / scale
    return np.array(x)


@njit(cache=True, nogil=True, error_model="numpy")
def _power_product(weights, sources, starts, x, p, scale):
    """:func:`power_product` of ``weights`` (n_entries,) from the units ``sources``; row i has ``starts[i : i + 2]``."""
    old, new = np.empty(len(x)), x.copy()
    for _ in range(p):
        old, new = new, old
        for i in range(len(x)):
            total = 0.0
            for edge in range(starts[i], starts[i + 1]):
                total += weights[edge] * old[sources[edge]]
            new[i] = total / scale
    return new
