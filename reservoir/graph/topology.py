"""Which unit hears which: recurrent weight matrices, drawn but not yet scaled to a spectral radius.

Rows receive: a step reads ``W @ x``, so ``W[i, j]`` is the weight from unit ``j`` to unit ``i``. Every
topology is a function ``(n_units, *, in_degree, rng, dtype, ...) -> W`` listed in :data:`NAMES`, and
``W`` is a ``scipy.sparse.csr_array`` with int32 indices or a :class:`reservoir.graph.matrix.Shifts`. Random
weights are drawn in float64 and rounded afterwards, so a float32 reservoir is the rounded float64 one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, DTypeLike

from optim.arguments import brief, choice, integer, number, precision
from optim.threads import single_blas_thread
from reservoir.graph.matrix import MOST_WEIGHTS, Shifts, canonical, check_size, fixed_in_degree, from_matrix

# Random keys held at once when columns are drawn by sorting: 32 MB, whatever n_units is.
_KEYS_AT_ONCE = 4_000_000


def sparse(
    n_units: int, *, in_degree: int = 10, rng: np.random.Generator, dtype: DTypeLike = np.float64
) -> sp.csr_array:
    """Every unit hears ``in_degree`` distinct units, drawn uniformly (itself may be one of them).

    Weights are uniform(-1, 1). A fixed in-degree, instead of independent edges, lets the kernels
    unroll their inner loop and leaves no unit without input.

    Parameters
    ----------
    n_units : int >= 1
    in_degree : int >= 1
        Clipped to ``n_units``.
    rng : numpy.random.Generator
    dtype : float64 or float32

    Returns
    -------
    W : (N, N) CSR, sorted indices

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import topology
    >>> topology.sparse(100, in_degree=4, rng=np.random.default_rng(0)).nnz
    400
    """
    n_units, in_degree = _sizes(n_units, in_degree)
    check_size(n_units, n_units * in_degree)
    columns = np.sort(_distinct_columns(n_units, in_degree, rng), axis=1)
    return fixed_in_degree(columns, _uniform(columns.shape, rng, dtype))


def shifts(n_units: int, *, in_degree: int = 10, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> Shifts:
    """``in_degree`` cyclic diagonals at random distinct offsets, with uniform(-1, 1) weights of their own.

    Offset 0, a self-loop on every unit, is left out unless ``in_degree >= n_units`` asks for all. Offsets
    that share a factor with ``n_units`` would split the reservoir into parts that never meet, so they
    are drawn again.

    Parameters
    ----------
    n_units : int >= 1
    in_degree : int >= 1
        Number of diagonals K, clipped to ``n_units``.
    rng : numpy.random.Generator
    dtype : float64 or float32

    Returns
    -------
    Shifts
        ``shifts`` ascending (K,) int64, ``weights`` (K, N).

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import topology
    >>> topology.shifts(100, in_degree=4, rng=np.random.default_rng(0)).weights.shape
    (4, 100)
    """
    n_units, in_degree = _sizes(n_units, in_degree)
    check_size(n_units, n_units * in_degree)
    if in_degree == n_units:
        offsets = np.arange(n_units)
    else:
        offsets = 1 + rng.choice(n_units - 1, size=in_degree, replace=False)
        while math.gcd(n_units, *offsets.tolist()) > 1:
            offsets = 1 + rng.choice(n_units - 1, size=in_degree, replace=False)
    weights = _uniform((in_degree, n_units), rng, dtype)
    return Shifts(np.sort(offsets).astype(np.int64), weights)


def ring(
    n_units: int,
    *,
    in_degree: int = 1,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float64,
) -> sp.csr_array:
    """A simple cycle: unit i hears unit i - 1 with weight 1, and unit 0 hears the last.

    The signs that the paper draws belong to its input weights; the cycle itself is one number.

    Parameters
    ----------
    n_units : int >= 1
    in_degree, rng
        Accepted and not used: a ring has in-degree 1 and nothing random.
    dtype : float64 or float32

    Returns
    -------
    W : (N, N) CSR

    References
    ----------
    Rodan and Tino (2011), "Minimum complexity echo state network", section III (SCR).
    """
    n_units, _ = _sizes(n_units, in_degree)
    columns = (np.arange(n_units)[:, None] - 1) % n_units
    return fixed_in_degree(columns, np.ones((n_units, 1), dtype))


def ring_jumps(
    n_units: int,
    *,
    in_degree: int = 1,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float64,
    jump_length: int | None = None,
    jump_weight: float = 0.5,
) -> sp.csr_array:
    """A cycle of weight 1 with two-way jumps of one length and one weight.

    With 0-based units and l = ``jump_length``, floor(N / l) jumps join 0, l, 2l, ...; the last one closes
    at unit 0 when l divides N. Where a jump falls on an edge of the ring the ring's weight stays, and a
    jump from a unit to itself is left out.

    Parameters
    ----------
    n_units : int >= 1
    in_degree, rng
        Accepted and not used.
    dtype : float64 or float32
    jump_length : int >= 2 or None
        ``None``: the integer square root of ``n_units``, at least 2.
    jump_weight : float
        Relative to the ring's. The paper tunes the two weights apart; here scaling to a spectral radius
        sets the ring's and keeps this ratio.

    Returns
    -------
    W : (N, N) CSR, sorted indices

    References
    ----------
    Rodan and Tino (2012), "Simple deterministically constructed cycle reservoirs with regular jumps",
    section 2 (CRJ).
    """
    n_units, _ = _sizes(n_units, in_degree)
    step = max(2, math.isqrt(n_units)) if jump_length is None else integer("jump_length", jump_length, least=2)
    jump_weight = number("jump_weight", jump_weight)
    unit = np.arange(n_units)
    start = np.arange(n_units // step) * step
    end = (start + step) % n_units
    receiver = np.concatenate([unit, end, start])
    sender = np.concatenate([(unit - 1) % n_units, start, end])
    weight = np.concatenate([np.ones(n_units), np.full(2 * len(start), jump_weight)])
    _, first = np.unique(receiver * n_units + sender, return_index=True)
    first = first[(receiver[first] != sender[first]) | (first < n_units)]
    edges = (receiver[first], sender[first])
    return canonical(sp.coo_array((weight[first].astype(dtype), edges), shape=(n_units, n_units)))


def delay_line(
    n_units: int,
    *,
    in_degree: int = 1,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float64,
) -> sp.csr_array:
    """A chain: unit i hears unit i - 1 with weight 1, and unit 0 hears none.

    The matrix is nilpotent, so its spectral radius is 0 at any weight;
    :func:`reservoir.graph.spectrum.scale_to_radius` takes the wanted radius as the weight instead.

    Parameters
    ----------
    n_units : int >= 1
    in_degree, rng
        Accepted and not used.
    dtype : float64 or float32

    Returns
    -------
    W : (N, N) CSR, row 0 empty

    References
    ----------
    Rodan and Tino (2011), "Minimum complexity echo state network", section III (DLR).
    """
    n_units, _ = _sizes(n_units, in_degree)
    columns = np.arange(n_units - 1, dtype=np.int32)
    indptr = np.maximum(np.arange(n_units + 1, dtype=np.int32) - 1, 0)
    return sp.csr_array((np.ones(n_units - 1, dtype), columns, indptr), shape=(n_units, n_units))


def orthogonal(
    n_units: int,
    *,
    in_degree: int = 1,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float64,
) -> sp.csr_array:
    """A random orthogonal matrix, uniform (Haar), stored dense inside CSR: every unit hears every unit.

    ``Q R = G`` with G Gaussian; the columns of Q take the signs of diag(R), without which Q would not be
    uniform.

    Parameters
    ----------
    n_units : int >= 1
        Memory grows with its square: 12 bytes x N^2 in float64.
    in_degree
        Accepted and not used.
    rng : numpy.random.Generator
    dtype : float64 or float32

    Returns
    -------
    W : (N, N) CSR with N^2 entries

    References
    ----------
    Mezzadri (2007), "How to generate random matrices from the classical compact groups", section 5.
    """
    n_units, _ = _sizes(n_units, in_degree)
    check_size(n_units, n_units**2)
    with single_blas_thread():
        Q, R = np.linalg.qr(rng.standard_normal((n_units, n_units)))
    Q *= np.where(np.diag(R) < 0, -1.0, 1.0)
    columns = np.broadcast_to(np.arange(n_units), Q.shape)
    return fixed_in_degree(columns, Q.astype(dtype))


def small_world(
    n_units: int,
    *,
    in_degree: int = 10,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float64,
    rewiring: float = 0.1,
) -> sp.csr_array:
    """A ring lattice whose edges are moved to a random sender with probability ``rewiring``.

    Unit i first hears its ``in_degree`` nearest neighbours (i - 1, i + 1, i - 2, ...). Each edge in turn is
    then rewired to a sender that the unit does not hear yet and that is not itself. Edges are directed,
    unlike the original's, and it is the sender that moves, so the in-degree stays fixed. Weights are
    uniform(-1, 1).

    Parameters
    ----------
    n_units : int >= 1
    in_degree : int >= 1
        Clipped to ``n_units``; from ``n_units - 1`` on nothing is left to rewire to.
    rng : numpy.random.Generator
    dtype : float64 or float32
    rewiring : float in [0, 1]

    Returns
    -------
    W : (N, N) CSR, sorted indices

    References
    ----------
    Watts and Strogatz (1998), "Collective dynamics of 'small-world' networks", figure 1.
    """
    n_units, in_degree = _sizes(n_units, in_degree)
    check_size(n_units, n_units * in_degree)
    rewiring = number("rewiring", rewiring, least=0, most=1, remedy="give a probability, such as 0.1")
    neighbour = np.arange(1, in_degree + 1)
    offset = np.where(neighbour % 2 == 1, -1, 1) * ((neighbour + 1) // 2)
    if in_degree == n_units:
        offset[-1] = 0
    columns = (np.arange(n_units)[:, None] + offset) % n_units
    if in_degree < n_units - 1:
        _rewire(columns, rewiring, rng)
    columns = np.sort(columns, axis=1)
    return fixed_in_degree(columns, _uniform(columns.shape, rng, dtype))


NAMES: Mapping[str, Callable[..., sp.csr_array | Shifts]] = MappingProxyType(
    {
        function.__name__: function
        for function in (sparse, shifts, ring, ring_jumps, delay_line, orthogonal, small_world)
    }
)


def build(
    topology: str | ArrayLike | sp.sparray | Shifts,
    n_units: int | None = None,
    *,
    in_degree: int = 10,
    rng: np.random.Generator,
    dtype: DTypeLike | None = np.float64,
) -> sp.csr_array | Shifts:
    """The recurrent matrix called by a name of :data:`NAMES`, or the user's own, checked.

    Parameters
    ----------
    topology : str or (N, N) matrix
    n_units : int >= 1 or None
        ``None`` only with a matrix: its size then counts.
    in_degree : int >= 1
        Not used with a matrix.
    rng : numpy.random.Generator
    dtype : float64, float32 or None
        ``None``: float64 for a name; for a matrix see :func:`reservoir.graph.matrix.from_matrix`.

    Returns
    -------
    W : (N, N) CSR or Shifts

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.graph.topology import build
    >>> build("ring", 3, rng=np.random.default_rng(0)).toarray()
    array([[0., 0., 1.],
           [1., 0., 0.],
           [0., 1., 0.]])
    """
    is_matrix = isinstance(topology, (Shifts, list, tuple)) or hasattr(topology, "shape")
    if isinstance(topology, str) or not is_matrix:
        choice("topology", topology, NAMES, or_else="a square matrix")
        _sizes(n_units, in_degree)
        return NAMES[topology](n_units, in_degree=in_degree, rng=rng, dtype=precision("dtype", dtype) or np.float64)
    W = from_matrix(topology, dtype=dtype)
    if n_units is not None and W.shape[0] != n_units:
        raise ValueError(
            f"topology must be a matrix of n_units={brief(n_units)} rows and columns, got shape {W.shape}; "
            f"set n_units={W.shape[0]}."
        )
    return W


def _sizes(n_units: int, in_degree: int) -> tuple[int, int]:
    n_units = integer("n_units", n_units, most=MOST_WEIGHTS, remedy="give a number of units")
    return n_units, min(integer("in_degree", in_degree, remedy="give the weights that a unit receives"), n_units)


def _uniform(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> np.ndarray:
    """Weights uniform on (-1, 1) without 0, which would be a missing edge."""
    weights = rng.uniform(-1.0, 1.0, shape)
    weights[weights == 0] = 0.5  # an exact sentinel: one draw in 2^53
    return weights.astype(precision("dtype", dtype), copy=False)


def _distinct_columns(N: int, in_degree: int, rng: np.random.Generator) -> np.ndarray:
    """(N, in_degree) int64: in every row a uniform draw of distinct columns.

    Few of many: draw with replacement and redo the rows that repeat themselves (at least a third of the
    rows pass each round). Otherwise: the columns of the smallest random keys, a block of rows at a time.
    """
    if in_degree * (in_degree - 1) <= 2 * N:
        columns = rng.integers(0, N, (N, in_degree))
        redo = np.arange(N)
        while len(redo):
            ordered = np.sort(columns[redo], axis=1)
            redo = redo[(ordered[:, 1:] == ordered[:, :-1]).any(axis=1)]
            columns[redo] = rng.integers(0, N, (len(redo), in_degree))
        return columns
    columns = np.empty((N, in_degree), np.int64)
    block = max(1, _KEYS_AT_ONCE // N)
    for start in range(0, N, block):
        keys = rng.random((min(block, N - start), N))
        columns[start : start + block] = np.argpartition(keys, in_degree - 1, axis=1)[:, :in_degree]
    return columns


def _rewire(columns: np.ndarray, probability: float, rng: np.random.Generator) -> None:
    """Moves edges of ``columns`` (N, in_degree), in place, to senders that their row does not hold."""
    N, in_degree = columns.shape
    for k in range(in_degree):
        rows = np.flatnonzero(rng.random(N) < probability)
        while len(rows):
            sender = rng.integers(0, N, len(rows))
            taken = (sender == rows) | (columns[rows] == sender[:, None]).any(axis=1)
            columns[rows[~taken], k] = sender[~taken]
            rows = rows[taken]
