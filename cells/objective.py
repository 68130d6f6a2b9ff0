"""A network's loss on a set of sequences, as the optimisers see it: sums, gradients, Gauss-Newton products."""

from __future__ import annotations

import queue
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from cells.structural import DISTANCES
from cells.data import SequenceData
from cells.layer import Memory
from cells.network import Network
from cells.parameters import Parameters
from cells.share import Options, Share
from cells.squares import add_squared_gradients
from optim.problem import Evaluation
from optim.threads import n_threads, run_all

# Sequences of a share: enough that a matrix read from the cache meets many rows, few enough that states stay in it.
MIN_SHARE, MAX_SHARE, MAX_SHARES = 16, 64, 16
_LARGE_MATRIX = 2**20  # bytes: beyond that a matrix shares the second-level cache with nothing, so more rows must meet it
_BATCHES_KEPT = 4


class SequenceObjective:
    """The loss of a network on sequences; implements :class:`optim.Objective`.

        loss_sum = sum over output rows of weight * loss(output, target)         weight = sum of the weights

    Parameters
    ----------
    network : Network
    X : sequence of (T_i, I) arrays, or (n, T, I) array
        Inputs. Integers, (T_i,) or (n, T), are class numbers 0 .. I - 1 that stand for one-hot rows.
    y : sequence of (T_i, O) arrays or (n, T, O) array; with ``targets="last"`` (n, O)
        Targets. With ``loss="softmax"`` integers, (T_i,) or (n, T), or (n,), are class numbers 0 .. O - 1.
    lengths : (n,) integers, optional
        Steps of each sequence where X is padded; what is beyond them is not read.
    mask : (T_i,) arrays or (n, T) array, or (n,) with ``targets="last"``, optional
        Weights >= 0 of the output rows; booleans for targets that count or do not. 1 by default.
    initial_state : (units, values), optional
        Units (k,) of the first cell whose initial state is given, and their values (n, k) or (k,). The other
        units start from the learnt state, or 0.
    clamped : (units, values), optional
        Units (k,) of the first cell whose state is given at every step, with values like X: (T_i, k) or (n, T, k).
    clip_signal : float > 0
        Bound on the back-propagated signal, by unit and step. It changes the gradient, which then is no longer
        that of the loss; products are not affected.
    structural_distance : "matching", "matching_quarter", "squared_values" or "squared_activations"
        The distance between hidden states of structural damping, see ``cells.structural``.
    structural_mean : "sum_time" or "mean_time"
        Whether the distance is summed over a sequence's steps or averaged.
    recompute : bool
        Whether states are computed again on the way back, in stretches: memory grows with the root of T.
    dtype : float64 or float32, optional
        Working precision; that of X if it is one of them, else float64.
    n_jobs : int, optional
        Threads, see :func:`optim.threads.n_threads`. Results have the same bits for any number.

    Raises
    ------
    ValueError, TypeError
        If the data do not fit one another or the network, naming what came.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import Elman, Network, SequenceObjective
    >>> network = Network(Elman(1, 4), n_out=1, targets="last")
    >>> objective = SequenceObjective(network, np.ones((2, 5, 1)), np.zeros((2, 1)))
    >>> objective.value(np.zeros(network.n_params)).weight
    2.0
    """

    def __init__(
        self,
        network: Network,
        X: Any,
        y: Any,
        *,
        lengths: Any = None,
        mask: Any = None,
        initial_state: tuple[Any, Any] | None = None,
        clamped: tuple[Any, Any] | None = None,
        clip_signal: float = np.inf,
        structural_distance: Literal[
            "matching", "matching_quarter", "squared_values", "squared_activations"
        ] = "matching",
        structural_mean: Literal["sum_time", "mean_time"] = "sum_time",
        recompute: bool = False,
        dtype: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        if not clip_signal > 0:
            raise ValueError(f"clip_signal must be a number > 0, got {clip_signal!r}; infinity clips nothing.")
        if structural_distance not in DISTANCES:
            raise ValueError(
                f"structural_distance must be one of {', '.join(DISTANCES)}, got {structural_distance!r}."
            )
        if structural_mean not in ("sum_time", "mean_time"):
            raise ValueError(f"structural_mean must be 'sum_time' or 'mean_time', got {structural_mean!r}.")
        if network.bidirectional and (recompute or clamped is not None):
            raise NotImplementedError(
                "recompute and clamped need a network in one direction, got bidirectional=True; "
                "the backward direction begins at the end, so stretches of time cannot follow one another."
            )
        self.network = network
        self.data = SequenceData(
            network, X, y, lengths=lengths, mask=mask, initial_state=initial_state, clamped=clamped, dtype=dtype
        )
        self.dtype = self.data.dtype
        self.n_params = network.n_params
        self.n_sequences = self.data.n_sequences
        self.n_threads = n_threads(n_jobs)
        self._options = Options(
            self.dtype, float(clip_signal), structural_distance, structural_mean == "mean_time", recompute
        )
        self._memories: queue.SimpleQueue[Memory] = queue.SimpleQueue()  # for passes whose states are soon forgotten
        self._kept_memories: queue.SimpleQueue[Memory] = queue.SimpleQueue()  # for linearisations
        self._parameters: dict[bool, Parameters] = {}
        self._batches: OrderedDict[bytes | None, _Batch] = OrderedDict()

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss and weight of the batch, ``batch`` an array of sequence numbers or None for all."""
        shares, parameters = self._prepare(theta, batch)

        def run(share: Share) -> float:
            with _Lent(self._memories) as memory:
                return share.value(parameters, memory)

        losses = self._run_all(run, [(share,) for share in shares.shares])
        return Evaluation(sum(losses), shares.weight)

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss, weight and gradient of the batch."""
        shares, parameters = self._prepare(theta, batch)
        slots = shares.slots(self.n_params, self.dtype)

        def run(share: Share, slot: np.ndarray) -> float:
            slot.fill(0)
            with _Lent(self._memories) as memory:
                return share.value_and_grad(parameters, memory, slot)

        losses = self._run_all(run, list(zip(shares.shares, slots, strict=True)))
        return Evaluation(sum(losses), shares.weight, _sum_of(slots))

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> SequenceLinearization:
        """The network linearised at ``theta`` on the batch: states are kept, products need no forward pass."""
        self._check_theta(theta)
        return SequenceLinearization(self, theta, self._batch(batch, keeps=False))

    def _prepare(self, theta: np.ndarray, batch: np.ndarray | None) -> tuple[_Batch, Parameters]:
        self._check_theta(theta)
        shares = self._batch(batch)
        in_place = shares.n_least < 4
        if in_place not in self._parameters:
            self._parameters[in_place] = Parameters(self.network, shares.n_least)
        return shares, self._parameters[in_place].set(theta, self.n_threads)

    def _check_theta(self, theta: np.ndarray) -> None:
        if not isinstance(theta, np.ndarray) or theta.shape != (self.n_params,) or theta.dtype != self.dtype:
            came = (
                f"{theta.dtype} of shape {theta.shape}" if isinstance(theta, np.ndarray) else type(theta).__name__
            )
            raise ValueError(
                f"theta must be a {np.dtype(self.dtype).name} array of shape ({self.n_params},), got {came}; "
                "the objective's dtype= decides the precision."
            )

    def _batch(self, batch: np.ndarray | None, keeps: bool = True) -> _Batch:
        """The shares of a batch; those of the last few are kept, because line searches ask for them again."""
        if batch is not None:
            batch = self.data.check_batch(batch)
        key = None if batch is None else batch.tobytes()
        if keeps and key in self._batches:
            self._batches.move_to_end(key)
            return self._batches[key]
        made = _Batch(self, batch)
        if keeps:
            self._batches[key] = made
            while len(self._batches) > _BATCHES_KEPT:
                self._batches.popitem(last=False)
        return made

    def _run_all(self, function: Callable, arguments: list[tuple]) -> list:
        return run_all(function, arguments, self.n_threads)


class _Batch:
    """Shares of a batch, and the memory of their gradients."""

    def __init__(self, objective: SequenceObjective, batch: np.ndarray | None) -> None:
        data, network = objective.data, objective.network
        indices = data.by_length if batch is None else batch[np.argsort(-data.lengths[batch], kind="stable")]
        B = indices.size
        largest = max(cell.n_units * cell.n_columns for cell in network.layers) * np.dtype(objective.dtype).itemsize
        least = MIN_SHARE * (2 if largest > _LARGE_MATRIX else 1)
        size = int(np.clip(-(-B // MAX_SHARES), least, MAX_SHARE))
        n_shares = max(1, -(-B // size))
        parts = np.array_split(indices, n_shares)
        self.n_least = min(part.size for part in parts)
        self.shares = [Share(network, data.share(part), objective._options) for part in parts]
        self.weight = float(sum(float(np.sum(share.data.weights, dtype=np.float64)) for share in self.shares))
        self._slots: np.ndarray | None = None

    def slots(self, n_params: int, dtype: Any) -> np.ndarray:
        """(n_shares, P): a gradient for each share."""
        if self._slots is None:
            self._slots = np.empty((len(self.shares), n_params), dtype)
        return self._slots


def _sum_of(slots: np.ndarray) -> np.ndarray:
    """Sum of the rows, in their order."""
    total = slots[0]
    for slot in slots[1:]:
        total += slot
    return total


class SequenceLinearization:
    """A network linearised at one theta on one batch; made by :meth:`SequenceObjective.linearize`.

    Attributes
    ----------
    weight : float
        Sum of the weights of the batch's output rows.
    loss_sum : float
        Sum of its losses at theta.
    """

    def __init__(self, objective: SequenceObjective, theta: np.ndarray, batch: _Batch) -> None:
        self._objective, self._batch = objective, batch
        self.weight = batch.weight
        self._parameters = Parameters(objective.network, batch.n_least).set(theta, objective.n_threads)
        self._direction = Parameters(objective.network, batch.n_least, is_direction=True)
        self._memories = [_taken(objective._kept_memories) for _ in batch.shares]
        weakref.finalize(self, _give_back, objective._kept_memories, self._memories)
        pairs = list(zip(batch.shares, self._memories, strict=True))
        losses = objective._run_all(lambda share, memory: share.linearize(self._parameters, memory), pairs)
        self.loss_sum = sum(losses)

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """Σ Jᵀ H_ℓ J v + structural Σ J_aᵀ D'' J_a v, a (P,) array that the next call overwrites.

        Parameters
        ----------
        v : (P,) array of the objective's dtype
        structural : float >= 0
            λμ: the weight of structural damping.
        """
        objective = self._objective
        objective._check_theta(v)
        self._direction.set(v, objective.n_threads)
        slots = self._batch.slots(objective.n_params, objective.dtype)

        def run(share: Share, memory: Memory, slot: np.ndarray) -> None:
            slot.fill(0)
            with _Lent(objective._memories) as scratch:
                share.gauss_newton(self._parameters, self._direction, memory, scratch, float(structural), slot)

        objective._run_all(run, list(zip(self._batch.shares, self._memories, slots, strict=True)))
        return _sum_of(slots)

    def squared_gradients(self) -> np.ndarray:
        """(P,) sum over the sequences of the squares of each one's gradient, exact under weight sharing."""
        objective = self._objective
        if objective._options.recomputes:
            raise NotImplementedError("squared_gradients needs the states of all steps, got recompute=True.")
        squares = np.zeros((len(self._batch.shares), objective.n_params), objective.dtype)
        arguments = list(zip(self._batch.shares, self._memories, squares, strict=True))
        objective._run_all(lambda *args: add_squared_gradients(self._parameters, *args), arguments)
        return _sum_of(squares)


class _Lent:
    """Context: a memory of the pool for one share's passes."""

    def __init__(self, pool: queue.SimpleQueue[Memory]) -> None:
        self.pool = pool

    def __enter__(self) -> Memory:
        self.memory = _taken(self.pool)
        return self.memory

    def __exit__(self, *_: object) -> None:
        self.pool.put(self.memory)


def _taken(pool: queue.SimpleQueue[Memory]) -> Memory:
    try:
        return pool.get_nowait()
    except queue.Empty:
        return Memory()


def _give_back(pool: queue.SimpleQueue[Memory], memories: list[Memory]) -> None:
    for memory in memories:
        pool.put(memory)
