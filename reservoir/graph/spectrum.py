"""Spectral radius: the largest absolute value of an eigenvalue, exact where the graph allows it.

A matrix is first cut into the strongly connected parts of its graph, because the eigenvalues of W are
those of its parts. Each part takes the first way that fits:

========== =======================================================================================
acyclic    no cycle at all: the radius is 0
loop       one unit: its own weight
cycle      one in-edge a unit: the geometric mean of the absolute weights
isometry   WᵀW = c² I (an orthogonal matrix, scaled): c
perron     no negative weight: bracketed by min and max of (W x)_i / x_i over x > 0
dense      LAPACK, for small parts and full ones
arnoldi    ARPACK on a power of W, twice, from two starts and with two powers, which must agree
growth     the rate at which W^m x grows, when ARPACK does not converge on a large part
========== =======================================================================================
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from optim.threads import n_threads, single_blas_thread
from reservoir.alarms import SpectralRadiusWarning
from reservoir.graph.arnoldi import radius_by_arnoldi
from reservoir.graph.matrix import Shifts, canonical

_SEED = 20_011  # of the start vectors when no rng is given: the same bits on every call
_EXACT_UNITS = 2000  # up to here the radius is exact, whatever it costs
_DENSE_UNITS = 200  # below, LAPACK is about as fast as two Arnoldi runs (3.5 and 5 ms at 100 units, 18 and 12 at 200)
_DENSE_FLOPS_PER_EDGE = 6000  # N^3 of LAPACK against the products of two Arnoldi runs, timed at N = 1,000
_AGREEMENT = 1e-10  # relative; two Arnoldi runs that differ by more have not both found the radius
_ISOMETRY = {"d": 1e-10, "f": 1e-6}  # relative departure of WᵀW from c² I, by precision of the weights
_PERRON_WIDTH = 1e-12  # relative width of the bracket
_SUSPICIOUS = 1e-5  # a radius so far below the size of the entries may be rounding
_ROUNDING = 1e-7  # and this much of the size of the entries surely may be
_MISLEADING = 1e-3  # a relative error above this is worth a warning


@dataclass(frozen=True)
class SpectralRadius:
    """A spectral radius and how far to trust it.

    Attributes
    ----------
    value : float >= 0
    error : float >= 0
        Estimated relative error. Of Arnoldi runs: the larger of their disagreement and the residual
        of the eigenvector, not multiplied by the condition of the eigenvalue.
    method : str
        Which way of the table above gave the value.
    """

    value: float
    error: float
    method: str


def spectral_radius(
    W: np.ndarray | sp.sparray | Shifts, *, rng: np.random.Generator | None = None, n_jobs: int | None = None
) -> SpectralRadius:
    """The largest absolute value of an eigenvalue of ``W``, computed in float64.

    Up to 2,000 units the value agrees with dense eigenvalues to 1e-8. Above, the error is estimated.

    Parameters
    ----------
    W : (N, N) dense, SciPy sparse, or Shifts
    rng : numpy.random.Generator or None
        Draws the start vectors. ``None``: a fixed seed, hence the same bits on every call.
    n_jobs : int or None
        Threads; None: all cores. The value has the same bits for any number.

    Returns
    -------
    SpectralRadius

    Warns
    -----
    SpectralRadiusWarning
        If the estimated relative error is above 1e-3.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.graph.spectrum import spectral_radius
    >>> spectral_radius(np.array([[0.0, 2.0], [8.0, 0.0]])).value
    4.0
    """
    A = canonical(W.to_csr() if isinstance(W, Shifts) else sp.coo_array(W))
    kind = "f" if A.dtype == np.float32 else "d"
    generator = np.random.default_rng(_SEED) if rng is None else rng
    with single_blas_thread():
        radius = _largest_part(A.astype(np.float64), _ISOMETRY[kind], generator, n_threads(n_jobs))
    if radius.error > _MISLEADING:
        warnings.warn(
            f"the spectral radius of {A.shape[0]} units is known to a relative error of about "
            f"{radius.error:.1e} only ({radius.method}); leave a margin, or scale the matrix yourself and "
            "pass spectral_radius=None.",
            SpectralRadiusWarning,
            stacklevel=2,
        )
    return radius


@dataclass(frozen=True)
class Scaled:
    """A matrix scaled to a spectral radius, and the radius it had before."""

    W: np.ndarray | sp.csr_array | Shifts
    before: SpectralRadius


def scale_to_radius(
    W: np.ndarray | sp.sparray | Shifts,
    rho: float,
    *,
    rng: np.random.Generator | None = None,
    n_jobs: int | None = None,
) -> np.ndarray | sp.sparray | Shifts:
    """``W`` times one number, such that its spectral radius is ``rho``.

    A delay line (one weight, below the diagonal, nothing else) has radius 0 at any weight and takes
    ``rho`` as its weight.

    Parameters
    ----------
    W : (N, N) dense, SciPy sparse, or Shifts
        Never written to.
    rho : float >= 0
    rng : numpy.random.Generator or None
    n_jobs : int or None
        See :func:`spectral_radius`.

    Returns
    -------
    W : (N, N), same kind and precision

    Raises
    ------
    ValueError
        If ``rho`` is negative or not finite, if ``W`` has spectral radius 0 and ``rho`` has not, or if
        the radius drowns in rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.graph.spectrum import scale_to_radius
    >>> scale_to_radius(np.array([[0.0, 2.0], [8.0, 0.0]]), 0.5)
    array([[0.  , 0.25],
           [1.  , 0.  ]])
    """
    return scale_and_report(W, rho, rng=rng, n_jobs=n_jobs).W


def scale_and_report(
    W: np.ndarray | sp.sparray | Shifts,
    rho: float,
    *,
    rng: np.random.Generator | None = None,
    n_jobs: int | None = None,
) -> Scaled:
    """As :func:`scale_to_radius`, together with the :class:`SpectralRadius` that was divided by.

    Returns
    -------
    Scaled
        ``W`` and ``before``, the radius of the matrix that came in. Its relative error is also that of
        the new radius.
    """
    if not (np.isfinite(rho) and rho >= 0):
        raise ValueError(f"spectral_radius must be a finite number >= 0, got {rho!r}; 0.9 is usual.")
    before = spectral_radius(W, rng=rng, n_jobs=n_jobs)
    if before.error > 0.5:
        raise ValueError(
            f"topology must be a matrix whose spectral radius can be computed, got {before.value:.3g} with a "
            f"relative error of {before.error:.1e} ({before.method}); scale it yourself and pass "
            "spectral_radius=None."
        )
    if before.value > 0:
        return Scaled(_times(W, rho, before.value), before)
    if rho == 0:
        return Scaled(W, before)
    weight = _delay_line_weight(W)
    if weight is None:
        raise ValueError(
            "topology must be a matrix with a cycle of nonzero weights to be scaled to "
            f"spectral_radius={rho}, got one whose spectral radius is 0 (nilpotent) at any scale; "
            "pass spectral_radius=None to use it as it is, or add a cycle."
        )
    return Scaled(_times(W, rho, weight), before)


def _times(W: np.ndarray | sp.sparray | Shifts, rho: float, radius: float) -> np.ndarray | sp.sparray | Shifts:
    """``rho / radius * W`` in W's own kind and precision, the entries of a sparse row in their order."""
    if isinstance(W, Shifts):
        return Shifts(W.shifts, _rounded(W.weights, rho, radius))
    if not sp.issparse(W):
        return _rounded(np.asarray(W), rho, radius)
    scaled = W.copy()
    scaled.data = _rounded(W.data, rho, radius)
    return scaled


def _rounded(weights: np.ndarray, rho: float, radius: float) -> np.ndarray:
    precision = np.float32 if weights.dtype == np.float32 else np.float64
    weights = weights.astype(np.float64)
    if radius < np.finfo(float).tiny * max(rho, 1.0):  # the quotient may not be a float; that of the weights is
        return (weights / radius * rho).astype(precision)
    return (weights * (rho / radius)).astype(precision)


def _delay_line_weight(W: np.ndarray | sp.sparray | Shifts) -> float | None:
    """|w| if W is w on the whole first subdiagonal and 0 elsewhere; otherwise ``None``."""
    A = canonical(W.to_csr() if isinstance(W, Shifts) else sp.coo_array(W))
    N = A.shape[0]
    if N < 2 or A.nnz != N - 1 or np.any(A.diagonal(-1) != A.data[0]):
        return None
    return float(abs(A.data[0]))


def _largest_part(A: sp.csr_array, isometry: float, rng: np.random.Generator, n_threads: int) -> SpectralRadius:
    """Maximum over the strongly connected parts, loops and cycles all at once, the rest one by one."""
    n_parts, label = connected_components(A, directed=True, connection="strong")
    row = np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))
    inside = label[row] == label[A.indices]
    size = np.bincount(label, minlength=n_parts)
    n_edges = np.bincount(label[row[inside]], minlength=n_parts)
    log_weight = np.bincount(label[row[inside]], np.log(np.abs(A.data[inside])), minlength=n_parts)
    radius = SpectralRadius(0.0, 0.0, "acyclic")
    simple = np.flatnonzero((n_edges == size) & (n_edges > 0))
    if len(simple):
        means = np.exp(log_weight[simple] / size[simple])
        best = int(means.argmax())
        method = "loop" if size[simple[best]] == 1 else "cycle"
        radius = SpectralRadius(float(means[best]), 0.0, method)
    for part in np.flatnonzero(n_edges > size):
        if size[part] == A.shape[0]:
            return _connected(A, isometry, rng, n_threads)
        units = np.flatnonzero(label == part)
        found = _connected(A[units][:, units], isometry, rng, n_threads)
        radius = max(radius, found, key=lambda found: found.value)
    return radius


def _connected(A: sp.csr_array, isometry: float, rng: np.random.Generator, n_threads: int) -> SpectralRadius:
    """Radius of one strongly connected part that is more than a cycle."""
    unit = float(np.abs(A.data).max())
    A = A.copy()
    A.data /= unit  # no power of it then leaves the range of floats, as 1 / unit may
    found = _connected_unit(A, isometry, rng, n_threads)
    return replace(found, value=found.value * unit)


def _connected_unit(A: sp.csr_array, isometry: float, rng: np.random.Generator, n_threads: int) -> SpectralRadius:
    """Radius of one strongly connected part with entries of at most 1."""
    N = A.shape[0]
    found = _of_isometry(A, isometry, rng) or _of_nonnegative(A)
    if found is not None:
        return found
    if N <= _DENSE_UNITS or (N <= _EXACT_UNITS and N**3 <= _DENSE_FLOPS_PER_EDGE * A.nnz):
        return _dense(A)
    # A full CSR product costs 4 times the dense one.
    found = SpectralRadius(*radius_by_arnoldi(A.toarray() if A.nnz > N * N // 4 else A, rng, n_threads))
    if N <= _EXACT_UNITS and not found.error <= _AGREEMENT:
        return _dense(A)
    return found


def _of_isometry(A: sp.csr_array, tolerance: float, rng: np.random.Generator) -> SpectralRadius | None:
    """c, if WᵀW = c² I + E with a small symmetric E; every eigenvalue is then within |E| / 2c of c.

    For Gaussian x, |E x| is about the Frobenius norm of E, so a few products see any E there is.
    """
    x = rng.standard_normal((A.shape[0], 3))
    image = A.T @ (A @ x)
    square = float((x * image).sum() / (x * x).sum())
    departure = float(np.abs(image - square * x).max() / square) if square > 0 else np.inf
    if departure > tolerance:
        return None
    return SpectralRadius(float(np.sqrt(square)), departure / 2, "isometry")


def _of_nonnegative(A: sp.csr_array) -> SpectralRadius | None:
    """The Perron root of an irreducible W >= 0, bracketed; ``None`` if an entry is negative.

    Collatz and Wielandt: min_i (W x)_i / x_i <= rho <= max_i (W x)_i / x_i for every x > 0. Powers of
    W + I come first; they contract fast on graphs that mix. Where they do not (rings, lattices), Noda's
    inverse iteration (sigma I - W) y = x with sigma the upper bound converges quadratically, and a
    narrow graph keeps its factors sparse.

    References
    ----------
    Noda (1971), "Note on the computation of the maximal eigenvalue of a non-negative irreducible matrix".
    """
    if A.data.min() < 0:
        return None
    x = np.ones(A.shape[0])
    low, high = 0.0, np.inf
    for _ in range(300):
        y = A @ x
        low, high = float((y / x).min()), float((y / x).max())
        if high - low <= _PERRON_WIDTH * high:
            break
        x = y + high * x
        x /= x.max()
    identity = sp.eye_array(A.shape[0], format="csc")
    for _ in range(30 if _stays_narrow(A) else 0):
        if high - low <= _PERRON_WIDTH * high:
            break
        # A hair above the bound, so that the matrix stays regular when the bound is the root itself.
        try:
            y = splu((high * (1 + 1e-14)) * identity - A.tocsc()).solve(x)
        except RuntimeError:  # singular all the same: leave it to the other ways
            break
        if not (np.isfinite(y).all() and y.min() > 0):
            break
        x = y / y.max()
        ratio = (A @ x) / x
        low, high = float(ratio.min()), float(ratio.max())
    if high - low > 1e-9 * high:
        return None
    return SpectralRadius((low + high) / 2, (high - low) / (2 * high), "perron")


def _stays_narrow(A: sp.csr_array) -> bool:
    """Whether most edges are short around the ring of units, so that elimination fills in little."""
    N = A.shape[0]
    distance = np.abs(np.repeat(np.arange(N), np.diff(A.indptr)) - A.indices)
    return N <= _EXACT_UNITS or float(np.minimum(distance, N - distance).mean()) <= 2 * np.sqrt(N)


def _dense(A: sp.csr_array) -> SpectralRadius:
    """LAPACK on one thread; the error is that of a backward-stable method, without the conditioning.

    A radius far below the size of the entries may be rounding alone (weights that cancel in every cycle:
    the eigenvalue 0 of a defective matrix comes out near eps^(1/m)). Then the transpose, rounded
    otherwise, tells how much of the value is real; about sqrt(eps), the case m = 2, is always in doubt.
    """
    value = _largest_eigenvalue(A.toarray())
    error = A.shape[0] * np.finfo(float).eps
    typical = float(np.linalg.norm(A.data)) / np.sqrt(A.shape[0])
    if value < _SUSPICIOUS * typical:
        other = _largest_eigenvalue(A.toarray().T)
        doubt = max(abs(value - other), _ROUNDING * typical)
        error = doubt / value if value > 0 else np.inf
    return SpectralRadius(value, float(error), "dense")


def _largest_eigenvalue(A: np.ndarray) -> float:
    """Largest modulus; should the QR iteration stall, as it may on one matrix of very many, that of the transpose."""
    try:
        values = scipy.linalg.eigvals(A, check_finite=False)
    except np.linalg.LinAlgError:
        values = scipy.linalg.eigvals(A.T, check_finite=False)
    return float(np.abs(values).max())
