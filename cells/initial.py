"""Initial parameters of a network, for every cell: a scheme draws block after block of its matrices.

A block is what one plane reads of one source: an LSTM's ``recurrent`` (H, 4H) is four blocks (H, H), so that a scheme
such as "orthogonal" means the same for a cell with gates as for one without. Biases are 0 unless a scheme draws them; a
cell's ``forget_bias`` is then added to its forget gate. Diagonal parameters (peepholes) and learnt initial
states are 0.

References
----------
Glorot & Bengio (2010), Understanding the difficulty of training deep feedforward neural networks, equation 16.
Le, Jaitly & Hinton (2015), A simple way to initialize recurrent networks of rectified linear units.
Martens (2010), Deep learning via Hessian-free optimization, section 5; Martens & Sutskever (2011), Learning recurrent
neural networks with Hessian-free optimization; Sutskever (2013), Training recurrent neural networks (thesis).
Sutskever, Martens, Dahl & Hinton (2013), On the importance of initialization and momentum in deep learning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from cells.network import Network
from cells.passes.cell import Cell, Map
from optim.arguments import brief, choice, integer, number, precision
from reservoir.graph.spectrum import scale_to_radius
from reservoir.memory import check_memory

Role = Literal["input", "recurrent", "readout"]


class Scheme(Protocol):
    """What draws the blocks and, where it wants any, the biases."""

    def block(self, role: Role, n_sources: int, n_targets: int, rng: np.random.Generator) -> np.ndarray:
        """Weights (n_sources, n_targets), float64; column j holds what target j reads."""
        ...

    def bias(self, size: int, rng: np.random.Generator) -> np.ndarray | float:
        """Biases (size,), or one number for all."""
        ...


class _NoBias:
    def bias(self, size: int, rng: np.random.Generator) -> np.ndarray | float:
        return 0.0


@dataclass(frozen=True)
class Glorot(_NoBias):
    """Uniform within +- gain √(6 / (sources + targets)): equal variance forward and back.

    Parameters
    ----------
    gain : float > 0

    Examples
    --------
    >>> import numpy as np
    >>> from cells.initial import Glorot
    >>> bool(abs(Glorot().block("input", 3, 3, np.random.default_rng(0))).max() < 1.0)
    True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        number("gain", self.gain, above=0)

    def block(self, role: Role, n_sources: int, n_targets: int, rng: np.random.Generator) -> np.ndarray:
        bound = self.gain * np.sqrt(6.0 / (n_sources + n_targets))
        return rng.uniform(-bound, bound, (n_sources, n_targets))


@dataclass(frozen=True)
class Orthogonal(Glorot):
    """Recurrent blocks are orthogonal matrices, uniform among them, times the gain; the others as in :class:`Glorot`.

    A block that is not square has orthonormal rows or columns, whichever are fewer.

    Parameters
    ----------
    gain : float > 0

    Examples
    --------
    >>> import numpy as np
    >>> from cells.initial import Orthogonal
    >>> W = Orthogonal().block("recurrent", 3, 3, np.random.default_rng(0))
    >>> np.allclose(W.T @ W, np.eye(3))
    True
    """

    def block(self, role: Role, n_sources: int, n_targets: int, rng: np.random.Generator) -> np.ndarray:
        if role != "recurrent":
            return Glorot().block(role, n_sources, n_targets, rng)
        Q, R = np.linalg.qr(rng.standard_normal((max(n_sources, n_targets), min(n_sources, n_targets))))
        Q *= np.where(np.diag(R) < 0, -1.0, 1.0)  # without it Q would not be uniform
        return self.gain * (Q if n_sources >= n_targets else Q.T)


@dataclass(frozen=True)
class Identity(_NoBias):
    """The IRNN: recurrent blocks are ``scale`` times the identity, everything else normal and small.

    Parameters
    ----------
    scale : float
        1 keeps everything that is not overwritten; smaller numbers forget.
    deviation : float >= 0
        Standard deviation of the other weights.

    Examples
    --------
    >>> from cells.initial import Identity
    >>> Identity(scale=0.5).block("recurrent", 2, 2, None).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """

    scale: float = 1.0
    deviation: float = 0.001

    def __post_init__(self) -> None:
        number("scale", self.scale)
        number("deviation", self.deviation, least=0)

    def block(self, role: Role, n_sources: int, n_targets: int, rng: np.random.Generator) -> np.ndarray:
        if role == "recurrent":
            return self.scale * np.eye(n_sources, n_targets)
        return self.deviation * rng.standard_normal((n_sources, n_targets))


@dataclass(frozen=True)
class Sparse:
    """Every unit reads ``in_degree`` others, with normal weights whose scale depends on the convention.

    Parameters
    ----------
    in_degree : int >= 1
        Non-zero incoming weights of a unit from each source; all where the source has fewer numbers.
    convention : "thesis" or "release"
        "thesis": variance 1 for input weights, 1 / in_degree for the other weights and for biases. "release", the
        program published with the paper of 2011: standard deviation 1 / √in_degree for all weights, a quarter of that
        for the input's, biases 0.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.initial import Sparse
    >>> np.count_nonzero(Sparse(in_degree=4).block("recurrent", 10, 10, np.random.default_rng(0)), axis=0).tolist()
    [4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    """

    in_degree: int = 15
    convention: Literal["thesis", "release"] = "thesis"

    def __post_init__(self) -> None:
        integer("in_degree", self.in_degree)
        choice("convention", self.convention, ("thesis", "release"))

    def block(self, role: Role, n_sources: int, n_targets: int, rng: np.random.Generator) -> np.ndarray:
        deviation = self.in_degree**-0.5
        if role == "input":
            deviation = 1.0 if self.convention == "thesis" else 0.25 * deviation
        return deviation * _sparse_normal(n_sources, n_targets, self.in_degree, rng)

    def bias(self, size: int, rng: np.random.Generator) -> np.ndarray | float:
        return self.in_degree**-0.5 * rng.standard_normal(size) if self.convention == "thesis" else 0.0


@dataclass(frozen=True)
class EchoState(_NoBias):
    """As an echo state network begins: sparse recurrent blocks of a given spectral radius, dense small other weights.

    Square blocks are scaled by :func:`reservoir.graph.spectrum.scale_to_radius`. Others have no eigenvalues, and get
    the deviation at which a large square block would have that radius.

    Parameters
    ----------
    in_degree : int >= 1
    spectral_radius : float >= 0
        1.1, just beyond where states die out, is the choice of the 2013 paper for tanh units.
    input_scale : float >= 0
        Standard deviation of the input weights. What is best depends on the task: where noise enters beside the
        numbers that count, as in addition, a hundredth of this.
    output_scale : float >= 0
        Standard deviation of the readout's weights.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.initial import EchoState
    >>> W = EchoState().block("recurrent", 50, 50, np.random.default_rng(0))
    >>> round(float(abs(np.linalg.eigvals(W)).max()), 6)
    1.1
    """

    in_degree: int = 15
    spectral_radius: float = 1.1
    input_scale: float = 0.1
    output_scale: float = 0.1

    def __post_init__(self) -> None:
        integer("in_degree", self.in_degree)
        for name in ("spectral_radius", "input_scale", "output_scale"):
            number(name, getattr(self, name), least=0)

    def block(self, role: Role, n_sources: int, n_targets: int, rng: np.random.Generator) -> np.ndarray:
        if role != "recurrent":
            scale = self.input_scale if role == "input" else self.output_scale
            return scale * rng.standard_normal((n_sources, n_targets))
        weights = _sparse_normal(n_sources, n_targets, self.in_degree, rng)
        if n_sources == n_targets:
            return np.asarray(scale_to_radius(weights, self.spectral_radius))
        return weights * (self.spectral_radius * min(self.in_degree, n_sources) ** -0.5)


@dataclass(frozen=True)
class Normal(_NoBias):
    """All weights normal with one standard deviation, as min-char-rnn begins.

    Parameters
    ----------
    deviation : float >= 0

    Examples
    --------
    >>> import numpy as np
    >>> from cells.initial import Normal
    >>> Normal(0.01).block("input", 2, 3, np.random.default_rng(0)).shape
    (2, 3)
    """

    deviation: float = 0.01

    def __post_init__(self) -> None:
        number("deviation", self.deviation, least=0)

    def block(self, role: Role, n_sources: int, n_targets: int, rng: np.random.Generator) -> np.ndarray:
        return self.deviation * rng.standard_normal((n_sources, n_targets))


SCHEMES = {
    "glorot": Glorot(),
    "orthogonal": Orthogonal(),
    "identity": Identity(),
    "sparse": Sparse(),
    "esn": EchoState(),
    "normal": Normal(),
}


def initial_theta(
    network: Network, scheme: str | Scheme = "glorot", *, rng: np.random.Generator, dtype: Any = np.float64
) -> np.ndarray:
    """Parameters to begin with.

    Parameters
    ----------
    network : Network
    scheme : "glorot", "orthogonal", "identity", "sparse", "esn", "normal", or a scheme
        One of this module's classes with settings, or anything that is a :class:`Scheme`.
    rng : numpy.random.Generator
        Every parameter is drawn from a child of its own, in float64, and rounded afterwards.
    dtype : float64 or float32

    Returns
    -------
    theta : (P,)

    Examples
    --------
    >>> import numpy as np
    >>> from cells import LSTM, Network, initial_theta
    >>> network = Network(LSTM(2, 3), n_out=1)
    >>> theta = initial_theta(network, "orthogonal", rng=np.random.default_rng(0))
    >>> network.views(theta)["layer0.bias"].tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    scheme = resolve_scheme(scheme)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {brief(rng)}; use numpy.random.default_rng(seed).")
    dtype = precision("dtype", dtype) or np.float64
    check_memory(2 * 8 * network.n_params, f"{network.n_params} parameters as they are drawn")
    theta = np.zeros(network.n_params)
    views = network.views(theta)
    places = [(part.name, part.cell, map_) for part in network.parts for map_ in part.cell.maps]
    *children, of_readout = rng.spawn(len(places) + 1)
    for (name, cell, map_), child in zip(places, children, strict=True):
        view = views[f"{name}.{map_.name}"]
        if map_.form == "dense":
            role = "input" if map_.source == "x" else "recurrent"
            for columns in _blocks(cell, map_):
                n_targets = columns.stop - columns.start
                view[:, columns] = scheme.block(role, map_.source_width, n_targets, child)
        elif map_.form == "bias":
            view[:] = scheme.bias(view.size, child)
            _add_forget_bias(cell, map_, view)
    weights = views["readout.weights"]
    weights[:] = scheme.block("readout", *weights.shape, of_readout)
    views["readout.bias"][:] = scheme.bias(network.n_out, of_readout)
    return theta.astype(dtype)


def resolve_scheme(scheme: str | Scheme, *, name: str = "scheme") -> Scheme:
    """The scheme of this name, or ``scheme`` itself if it is one; ``name`` is that of the argument."""
    if not isinstance(scheme, str | type) and hasattr(scheme, "block") and hasattr(scheme, "bias"):
        return scheme
    return SCHEMES[choice(name, scheme, SCHEMES, or_else="a scheme such as cells.initial.Sparse(in_degree=10)")]


def _blocks(cell: Cell, map_: Map) -> Iterator[slice]:
    """Columns of the map's matrix that belong to one plane each."""
    begin = 0
    for plane in cell.planes:
        first, last = max(begin, map_.column), min(begin + plane.width, map_.column + map_.width)
        if first < last:
            yield slice(first - map_.column, last - map_.column)
        begin += plane.width


def _add_forget_bias(cell: Cell, map_: Map, bias: np.ndarray) -> None:
    column = cell.column_of("f")
    if hasattr(cell, "forget_bias") and column >= 0:
        bias[column - map_.column : column - map_.column + cell.n_units] += cell.forget_bias


def _sparse_normal(n_sources: int, n_targets: int, in_degree: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal weights (n_sources, n_targets), ``in_degree`` in every column and zeros elsewhere."""
    weights = rng.standard_normal((n_sources, n_targets))
    rank = rng.random((n_sources, n_targets)).argsort(axis=0).argsort(axis=0)
    return np.where(rank < in_degree, weights, 0.0)
