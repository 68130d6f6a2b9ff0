"""Singular value and eigenvalue decompositions that are tried on a random vector before they are trusted.

Divide and conquer is the fastest way to both. Where the values span more than the precision, as those of a triangular
factor whose last rows are rounding, LAPACK's may not converge, or may return vectors that are not orthogonal without a
word. QR iteration (Golub and Reinsch 1970) then takes its place, at four times the cost.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from optim.device import namespace

# Of a product of orthogonal factors, in roundings a row. Sound ones stay below 1, spoilt ones were off by 1e5 and more.
_TOLERANCE = 100.0


def singular_vectors(matrix):
    """U (m, r), s (r,) and Vᵀ (r, n) with U diag(s) Vᵀ = ``matrix`` (m, n), r = min(m, n); s falls.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.factorisations import singular_vectors
    >>> singular_vectors(np.diag([1.0, 2.0]))[1]
    array([2., 1.])
    """
    xp = namespace(matrix)
    if xp is not np:
        return xp.linalg.svd(matrix, full_matrices=False)
    try:
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        left = values = right = None
    if left is None or not _is_sound(lambda x: matrix @ x, left, values, right):
        return scipy.linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    return left, values, right


def eigenvectors(lower):
    """Eigenvalues (n,), rising, and orthonormal columns (n, n) of the symmetric matrix whose lower triangle is given.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.factorisations import eigenvectors
    >>> eigenvectors(np.array([[1.0, 0.0], [1.0, 1.0]]))[0].round(12)
    array([0., 2.])
    """
    xp = namespace(lower)
    if xp is not np:
        return xp.linalg.eigh(lower)
    try:
        values, vectors = np.linalg.eigh(lower)
    except np.linalg.LinAlgError:
        values = vectors = None
    if values is None or not _is_sound(lambda x: _symmetric_product(lower, x), vectors, values, vectors.T):
        return scipy.linalg.eigh(lower, check_finite=False, driver="ev")
    return values, vectors


def _symmetric_product(lower: np.ndarray, x: np.ndarray) -> np.ndarray:
    triangle = np.tril(lower)
    return triangle @ x + x @ triangle - np.diagonal(lower) * x


def _is_sound(product, left: np.ndarray, values: np.ndarray, right: np.ndarray) -> bool:
    """Whether left diag(values) right is the matrix of ``product``, and its factors orthogonal, on a random vector."""
    rng = np.random.default_rng(0)
    tolerance = _TOLERANCE * max(left.shape[0], right.shape[1]) * np.finfo(float).eps
    x, z = rng.standard_normal(right.shape[1]), rng.standard_normal(len(values))
    largest = np.max(np.abs(values), initial=0.0)
    errors = (
        (product(x) - left @ (values * (right @ x)), largest * np.linalg.norm(x)),
        (left.T @ (left @ z) - z, np.linalg.norm(z)),
        (right @ (z @ right) - z, np.linalg.norm(z)),
    )
    return all(bool(np.linalg.norm(error) <= tolerance * size) for error, size in errors)
