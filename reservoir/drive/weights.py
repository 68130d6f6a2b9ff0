r"""A reservoir: its recurrent, input, feedback and bias weights, and the layouts its kernels read.

    x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in u(t) + W_fb y(t-1) + b)

W is drawn by a topology and scaled to a spectral radius; W_in, W_fb and b are dense and uniform on (-1, 1) times
their scale, W_in also signs alone, or as it is given. The parts are drawn from generators of their own, so that
changing one leaves the others' numbers alone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from optim.arguments import array, brief, choice, integer, number, precision, reals
from reservoir.drive.arguments import UNROLLED, Graph, Units
from reservoir.graph import topology as topologies
from reservoir.graph.matrix import MOST_WEIGHTS, Shifts, check_range, checked_csr, from_matrix
from reservoir.graph.spectrum import SpectralRadius, scale_and_report
from reservoir.memory import check_memory
from reservoir.simd.activations import CODES
from reservoir.simd.vectors import PACK_BYTES, aligned, pad

# Where in_degree does not count; None: all units
_WEIGHTS_PER_UNIT = {"ring": 1, "ring_jumps": 3, "delay_line": 1, "orthogonal": None}
_BYTES_PER_WEIGHT = 24  # while it is drawn: the number in float64, its rounded copy, an index of 64 bits


@dataclass(frozen=True, eq=False)
class Reservoir:
    """Weights of a reservoir of N units, I inputs and O fed-back outputs (0 without feedback), in one precision.

    Attributes
    ----------
    W : (N, N) CSR or Shifts
        Recurrent weights, scaled.
    input_weights : (N, I)
    feedback_weights : (N, O)
    bias : (N,)
    leak : (N,) in (0, 1]
    activation : str
    radius : SpectralRadius or None
        Of W before it was scaled; None where a given matrix is used as it is.
    """

    W: sp.csr_array | Shifts
    input_weights: np.ndarray
    feedback_weights: np.ndarray
    bias: np.ndarray
    leak: np.ndarray
    activation: str = "tanh"
    radius: SpectralRadius | None = None

    @property
    def n_units(self) -> int:
        """N."""
        return len(self.bias)

    @property
    def n_inputs(self) -> int:
        """I."""
        return self.input_weights.shape[1]

    @property
    def n_feedback(self) -> int:
        """O, or 0."""
        return self.feedback_weights.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Precision of weights and states."""
        return self.bias.dtype

    @functools.cached_property
    def degree(self) -> float:
        """Weights of a unit, those of inputs and feedback among them; the mean."""
        n_weights = self.W.weights.size if isinstance(self.W, Shifts) else self.W.nnz
        return n_weights / self.n_units + self.n_inputs + self.n_feedback

    @property
    def cost_of_step(self) -> int:
        """What one step costs, in units with 10 weights each."""
        return max(self.n_units, round(self.n_units * self.degree) // 10)

    @property
    def activation_code(self) -> tuple:
        """What the kernels know the activation by."""
        return CODES[self.activation]

    @functools.cached_property
    def units(self) -> Units:
        """Weights of inputs (feedback columns last), bias and leak, laid out for the kernels."""
        N, padded = self.n_units, pad(self.n_units, self.dtype)
        weights = aligned((self.n_inputs + self.n_feedback, padded), self.dtype)
        weights[:, :N] = np.concatenate([self.input_weights, self.feedback_weights], axis=1).T
        bias, leak = aligned(padded, self.dtype), aligned(padded, self.dtype)
        bias[:N], leak[:N], leak[N:] = self.bias, self.leak, 1
        return Units(weights, bias, leak, bool((self.leak < 1).any()))

    @functools.cached_property
    def lane_graph(self) -> Graph:
        """W for the kernel of many lanes."""
        W = self.W.to_csr() if isinstance(self.W, Shifts) else self.W
        return Graph(
            W.indptr.astype(np.int64),
            W.indices.astype(np.int32),
            _placed(W.data, self.dtype),
            np.empty(0, np.int64),
            _unrolled(np.diff(W.indptr)),
        )

    @functools.cached_property
    def sequence_graph(self) -> Graph:
        """W for the kernel of one sequence."""
        padded = pad(self.n_units, self.dtype)
        if isinstance(self.W, Shifts):
            K, width = len(self.W.shifts), 2 * PACK_BYTES // self.dtype.itemsize
            diagonals = np.zeros((K, padded), self.dtype)
            diagonals[:, : self.n_units] = self.W.weights
            blocks = diagonals.reshape(K, -1, width).transpose(1, 0, 2)
            return Graph(
                np.zeros(1, np.int64),
                np.empty(0, np.int32),
                _placed(blocks.reshape(-1), self.dtype),
                self.W.shifts.astype(np.int64),
                _unrolled(K),
            )
        return _sliced(self.W, padded, self.dtype)

    @property
    def sequence_stride(self) -> int:
        """Length of one state in the kernel of one sequence."""
        return pad(self.n_units, self.dtype) + 2 * PACK_BYTES // self.dtype.itemsize

    def __getstate__(self) -> dict:
        """The weights alone; layouts are made again where they are used."""
        kept = set(self.__dataclass_fields__)
        return {name: value for name, value in self.__dict__.items() if name in kept}


def check_reservoir(reservoir: Reservoir) -> Reservoir:
    """The reservoir, if it is one that kernels may be given: for those that come from a file.

    Raises
    ------
    TypeError, ValueError
        For parts that do not fit one another, indices out of range, numbers that are not finite.
    """
    W, bias = reservoir.W, reservoir.bias
    dtype = precision("bias", getattr(bias, "dtype", None))
    N = array("bias", bias, shape=(None,), dtype=dtype).size
    if isinstance(W, Shifts):
        W = from_matrix(W)
    elif not isinstance(W, sp.csr_array):
        raise TypeError(f"W must be CSR or Shifts, got {brief(W)}; build the reservoir anew.")
    else:
        checked_csr(W.data, W.indices, W.indptr, W.shape)
    if N == 0 or W.shape != (N, N) or W.dtype != dtype:
        raise ValueError(
            f"W must be {bias.dtype} of shape ({N}, {N}), got {W.dtype} of shape {W.shape}; build it anew."
        )
    array("input_weights", reservoir.input_weights, shape=(N, None), dtype=dtype)
    array("feedback_weights", reservoir.feedback_weights, shape=(N, None), dtype=dtype)
    array("leak", reservoir.leak, shape=(N,), dtype=dtype, above=0, most=1)
    choice("activation", reservoir.activation, CODES)
    if not isinstance(reservoir.radius, SpectralRadius | None):
        raise TypeError(f"radius must be a SpectralRadius or None, got {brief(reservoir.radius)}; build it anew.")
    return reservoir


def _placed(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    placed = aligned(len(values), dtype)
    placed[:] = values
    return placed


def _sliced(W: sp.csr_array, padded: int, dtype: np.dtype) -> Graph:
    """Rows of W in slices of one pack, each as long as its longest row, as :class:`Graph` describes."""
    P = PACK_BYTES // dtype.itemsize
    degree = np.zeros(padded, np.int64)
    degree[: W.shape[0]] = np.diff(W.indptr)
    unrolled = _unrolled(degree[: W.shape[0]])
    depth = degree.reshape(-1, P).max(axis=1, initial=len(unrolled))
    pointers = np.concatenate([[0], np.cumsum(depth * P)]).astype(np.int64)
    indices = aligned(pointers[-1], np.int32)
    indices[:] = padded
    weights = aligned(pointers[-1], dtype)
    row = np.repeat(np.arange(padded), degree)
    entry = np.arange(len(row)) - np.repeat(np.cumsum(degree) - degree, degree)
    place = pointers[row // P] + entry * P + row % P
    indices[place], weights[place] = W.indices, W.data
    return Graph(pointers, indices, weights, np.empty(0, np.int64), unrolled)


def _unrolled(entries: np.ndarray | int) -> tuple:
    """A 0 for each entry of a row if all rows have :data:`UNROLLED`, else nothing."""
    return (0,) * UNROLLED if np.all(entries == UNROLLED) else ()


def build_reservoir(
    *,
    n_units: int,
    n_inputs: int,
    n_outputs: int = 0,
    spectral_radius: float | None = 0.9,
    leak_rate: float | np.ndarray = 1.0,
    input_scaling: float | np.ndarray = 1.0,
    input_weights: Any = "uniform",
    bias_scaling: float = 0.0,
    feedback_scaling: float = 0.0,
    in_degree: int = 10,
    topology: Any = "sparse",
    activation: str = "tanh",
    dtype: np.dtype | type = np.float64,
    rng: np.random.Generator,
    n_jobs: int | None = None,
) -> Reservoir:
    """Draw a reservoir.

    Parameters
    ----------
    n_units, n_inputs, n_outputs : int
        N >= 1, I >= 0, O >= 0. Outputs matter only where ``feedback_scaling`` is not 0.
    spectral_radius : float > 0, or None
        Largest modulus of an eigenvalue of W; for the nilpotent delay line its weight. None, for a matrix given
        as ``topology`` only, leaves it as it is.
    leak_rate : float in (0, 1], or (N,)
    input_scaling : float, or (I,)
        What the input weights are multiplied by; may differ by input.
    input_weights : {"uniform", "signs"}, (N, I) array or sparse matrix
        Uniform on (-1, 1), signs drawn from {-1, 1}, or the weights themselves.
    bias_scaling, feedback_scaling : float >= 0
        Half-widths for bias and feedback weights.
    in_degree, topology
        See :mod:`reservoir.graph.topology`.
    activation : {"tanh", "relu", "logistic", "identity"}
    dtype : float64 or float32
    rng : numpy.random.Generator
    n_jobs : int or None
        Threads; None: all cores. The reservoir has the same bits for any number.

    Returns
    -------
    Reservoir

    Raises
    ------
    ValueError, TypeError
        For values out of range, naming the parameter, what came and what to do.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.drive.weights import build_reservoir
    >>> res = build_reservoir(n_units=20, n_inputs=1, topology="ring", rng=np.random.default_rng(0))
    >>> res.W.shape, res.input_weights.shape
    ((20, 20), (20, 1))
    """
    in_degree = integer("in_degree", in_degree, remedy="give the weights that a unit receives")
    N = integer("n_units", n_units, most=MOST_WEIGHTS, remedy="give a number of units")
    dtype = np.dtype(dtype)
    choice("activation", activation, CODES)
    per_unit = _WEIGHTS_PER_UNIT.get(topology, min(in_degree, N)) if isinstance(topology, str) else 0
    n_weights = N * ((N if per_unit is None else per_unit) + n_inputs + n_outputs)
    check_memory(_BYTES_PER_WEIGHT * n_weights, f"a reservoir of n_units={N}")
    leak = _per("leak_rate", leak_rate, N, "unit").astype(dtype)
    if not ((leak > 0) & (leak <= 1)).all():
        raise ValueError(
            f"leak_rate must be in (0, 1], got {brief(leak_rate)} in {dtype}; 1 keeps nothing of the old state."
        )
    scale = _per("input_scaling", input_scaling, n_inputs, "input feature")
    bias_scaling = number("bias_scaling", bias_scaling, least=0, remedy="0 turns it off")
    feedback_scaling = number("feedback_scaling", feedback_scaling, least=0, remedy="0 turns it off")
    if spectral_radius is not None:
        spectral_radius = number("spectral_radius", spectral_radius, above=0, remedy="try 0.9")
    elif isinstance(topology, str):
        raise ValueError(f"spectral_radius must be a number > 0 for topology={topology!r}, got None; try 0.9.")
    of_graph, of_radius, of_inputs, of_bias, of_feedback = rng.spawn(5)
    W = topologies.build(topology, N, in_degree=in_degree, rng=of_graph, dtype=dtype)
    radius = None
    if spectral_radius is not None:
        with np.errstate(over="ignore"):
            scaled = scale_and_report(W, spectral_radius, rng=of_radius, n_jobs=n_jobs)
        W, radius = scaled.W, scaled.before
        check_range("spectral_radius", W.weights if isinstance(W, Shifts) else W.data)
    if not isinstance(W, Shifts):
        W = sp.csr_array(W)
    n_feedback = n_outputs if feedback_scaling > 0 else 0
    return Reservoir(
        W=W,
        input_weights=_scaled("input_scaling", _of_inputs(input_weights, of_inputs, (N, n_inputs)), scale, dtype),
        feedback_weights=_scaled("feedback_scaling", _uniform(of_feedback, (N, n_feedback)), feedback_scaling, dtype),
        bias=_scaled("bias_scaling", _uniform(of_bias, (N,)), bias_scaling, dtype),
        leak=leak,
        activation=activation,
        radius=radius,
    )


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(-1, 1, shape)


def _of_inputs(weights: Any, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Weights from the inputs before they are scaled."""
    if isinstance(weights, str):
        is_of_signs = choice("input_weights", weights, ("uniform", "signs")) == "signs"
        return rng.choice([-1.0, 1.0], shape) if is_of_signs else _uniform(rng, shape)
    values = reals("input_weights", weights.toarray() if sp.issparse(weights) else weights)
    if values.shape != shape:
        raise ValueError(
            f"input_weights must be 'uniform', 'signs' or an array of shape (n_units, n_features) = {shape}, "
            f"got shape {values.shape}; give a row for each unit."
        )
    return values


def _scaled(name: str, weights: np.ndarray, scale: float | np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Weights times ``scale``, which the argument ``name`` gave."""
    with np.errstate(over="ignore"):
        weights = (weights * scale).astype(dtype)
    check_range(name, weights)
    return weights


def _per(name: str, value: float | np.ndarray, n: int, what: str) -> np.ndarray:
    """(n,) float64 from one number for all or one for each."""
    values = reals(name, value)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != n):
        raise ValueError(
            f"{name} must be a number or have one value for each {what}, {n} in all, got shape {values.shape}; "
            "give one number for all, or as many as there are."
        )
    return np.broadcast_to(values.astype(np.float64), (n,))
