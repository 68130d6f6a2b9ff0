"""A network's loss on a set of sequences, as the optimisers see it: sums, gradients, Gauss-Newton products."""

from __future__ import annotations

import functools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from cells.device.device_layer import has_array_code
from cells.device.device_objective import DeviceLinearization, DeviceObjective
from cells.network import Network
from cells.passes.memory import Memory, MemoryPool
from cells.passes.parameters import ROWS_FOR_PANELS, Parameters, check_theta
from cells.passes.structural import DISTANCES
from cells.shares.data import SequenceData
from cells.shares.portion import total_weight
from cells.shares.share import Share, ShareOptions, signal_bound
from cells.shares.sharing import cut_into_shares
from cells.shares.squares import add_squared_gradients
from cells.shares.stretches import Stretches
from optim.arguments import brief, choice, number
from optim.device import Place, all_to_host, beside, to_host
from optim.problem import Evaluation
from optim.threads import n_threads, run_all

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
        Weights >= 0 of the output rows; booleans for targets that count or do not. 1 by default. With one more axis
        (O,), unless ``loss="softmax"``, weights of single outputs; a row then weighs their mean. Targets of weight 0
        may be anything, NaN too.
    initial_state : (units, values), optional
        Units (k,) of the first cell whose initial state is given, and their values (n, k) or (k,). The other
        units start from the learnt state, or 0.
    clamped : (units, values), optional
        Units (k,) of the first cell whose state is given at every step, with values like X: (T_i, k) or (n, T, k).
    clip_signal : float > 0
        Bound on the back-propagated signal, by unit and step. It changes the gradient, which then is no longer
        that of the loss; products are not affected.
    structural_distance : "matching", "matching_quarter", "squared_values" or "squared_activations"
        The distance between hidden states of structural damping, see ``cells.passes.structural``.
    structural_mean : "sum_time" or "mean_time"
        Whether the distance is summed over a sequence's steps or averaged.
    recompute : bool
        Whether states are computed again on the way back, in stretches: memory grows with the root of T.
    dtype : float64 or float32, optional
        Working precision; that of X if it is one of them, else float64.
    n_jobs : int, optional
        Threads, see :func:`optim.threads.n_threads`. Results have the same bits for any number.
    device : None, "cpu" or "gpu"
        Where to compute. None computes where the arrays lie: CuPy's, on the GPU. On a GPU ``theta`` and directions may
        be NumPy's or CuPy's, and what is returned is of the same kind; ``recompute`` saves nothing there.

    Attributes
    ----------
    counted : (k,) integers
        The sequences of which something counts.

    Raises
    ------
    ValueError, TypeError
        If the data do not fit one another or the network, naming what came.

    Notes
    -----
    What is returned belongs to the caller. Threads may share an objective and its linearisations: they wait for one
    another, because every call uses all ``n_jobs`` threads itself.

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
        device: str | None = None,
    ) -> None:
        limit = signal_bound(clip_signal)
        if not isinstance(recompute, bool | np.bool_):
            raise TypeError(
                f"recompute must be True or False, got {brief(recompute)}; True saves memory for long sequences."
            )
        choice("structural_distance", structural_distance, DISTANCES)
        choice("structural_mean", structural_mean, ("sum_time", "mean_time"))
        if network.bidirectional and (recompute or clamped is not None):
            raise NotImplementedError(
                "recompute and clamped need a network in one direction, got bidirectional=True; "
                "the backward direction begins at the end, so stretches of time cannot follow one another."
            )
        if recompute and any(cell.n_fed_back for cell in network.layers):
            raise NotImplementedError(
                "recompute needs cells that read h and c alone of the step before, got one that reads its gates too "
                "(has_full_gate_recurrence); choose recompute=False."
            )
        self.network = network
        given = X, y, lengths, mask, initial_state, clamped
        self._place = Place(device, *given)
        X, y, lengths, mask, initial_state, clamped = map(all_to_host, given)
        self.data = SequenceData(
            network, X, y, lengths=lengths, mask=mask, initial_state=initial_state, clamped=clamped, dtype=dtype
        )
        self.dtype = self.data.dtype
        self.n_params = network.n_params
        self.n_sequences, self.counted = self.data.n_sequences, self.data.counted
        self.n_threads = n_threads(n_jobs)
        self._options = ShareOptions(self.dtype, limit, structural_distance, structural_mean == "mean_time")
        self._kind = Stretches if recompute else Share
        # Cells of other packages may have steps that only the processor can run.
        is_there = self._place.is_on_device and all(map(has_array_code, network.layers))
        self._there = DeviceObjective(network, self.data, self._options) if is_there else None
        self._memories = MemoryPool()  # for passes whose states are soon forgotten
        self._kept_memories = MemoryPool()  # for linearisations
        self._parameters: dict[bool, Parameters] = {}
        self._batches: OrderedDict[bytes | None, _Batch] = OrderedDict()
        self._slots = Memory()
        self._lock = threading.RLock()

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss and weight of the batch, ``batch`` an array of sequence numbers or None for all."""
        self._check_theta(theta)
        with self._lock:
            if self._there is not None:
                return self._there.value(theta, self._checked(batch))
            shares, parameters = self._prepare(theta, batch)

            def run(share: Share | Stretches) -> float:
                with self._memories.borrow() as memory:
                    return share.forward(parameters, memory)

            losses = run_all(run, [(share,) for share in shares.shares], self.n_threads)
            return Evaluation(sum(losses), shares.weight)

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss, weight and gradient of the batch."""
        self._check_theta(theta)
        with self._lock:
            if self._there is not None:
                return self._there.value_and_grad(theta, self._checked(batch))
            shares, parameters = self._prepare(theta, batch)
            losses, gradient = self._summed([share.value_and_grad for share in shares.shares], parameters)
            return Evaluation(sum(losses), shares.weight, beside(theta, gradient))

    def linearize(
        self, theta: np.ndarray, batch: np.ndarray | None = None
    ) -> SequenceLinearization | DeviceLinearization:
        """The network linearised at ``theta`` on the batch: states are kept, products need no forward pass."""
        self._check_theta(theta)
        with self._lock:
            if self._there is not None:
                return self._there.linearize(theta, self._checked(batch))
            return SequenceLinearization(self, theta, self._batch(batch).again())

    def digests(self) -> dict[str, str]:
        """What tells this loss from others, see :class:`optim.Objective`: the network, the data, what the loss is."""
        options = self._options
        return {
            "network": str(self.network),
            **self.data.digests(),
            "clip_signal": repr(options.limit),
            "structural": f"{options.distance}, {'mean' if options.is_mean_over_time else 'sum'}_time",
        }

    def _prepare(self, theta: np.ndarray, batch: np.ndarray | None) -> tuple[_Batch, Parameters]:
        shares = self._batch(batch)
        in_place = shares.n_least < ROWS_FOR_PANELS
        if in_place not in self._parameters:
            self._parameters[in_place] = Parameters(self.network, to_host(theta), shares.n_least)
        return shares, self._parameters[in_place].set(to_host(theta), self.n_threads)

    def _summed(self, functions: list[Callable[..., Any]], *args: Any) -> tuple[list, np.ndarray]:
        """Results of every ``function(slot, memory, *args)``, which adds to its slot (P,); and their sum, in order.

        Each has a memory of its own.
        """
        total = np.zeros(self.n_params, self.dtype)

        def run(function: Callable[..., Any], slot: np.ndarray) -> Any:
            if slot is not total:
                slot.fill(0)
            with self._memories.borrow() as memory:
                return function(slot, memory, *args)

        if len(functions) == 1:
            return [run(functions[0], total)], total
        others = self._slots.lend("slots", (len(functions) - 1, self.n_params), self.dtype)
        results = run_all(run, list(zip(functions, [total, *others], strict=True)), self.n_threads)
        for slot in others:
            total += slot
        return results, total

    def _check_theta(self, theta: np.ndarray, name: str = "theta") -> None:
        check_theta(self.network, theta, self.dtype, name=name)
        self._place.check(name, theta)

    def _checked(self, batch: np.ndarray | None) -> np.ndarray | None:
        return None if batch is None else self.data.check_batch(all_to_host(batch))

    def _batch(self, batch: np.ndarray | None) -> _Batch:
        """The shares of a batch; those of the last few are kept, because line searches ask for them again."""
        batch = self._checked(batch)
        key = None if batch is None else batch.tobytes()
        if key in self._batches:
            self._batches.move_to_end(key)
            return self._batches[key]
        indices = np.arange(self.n_sequences) if batch is None else batch
        longest_first = indices[np.argsort(-self.data.lengths[indices], kind="stable")]
        n_rows, keeps_states = int(self.data.lengths[indices].sum()), self._kind is Share
        parts = cut_into_shares(self.network, self.dtype, longest_first, n_rows, keeps_states=keeps_states)
        shares = [self._kind(self.network, self.data.portion(part), self._options) for part in parts]
        made = self._batches[key] = _Batch(shares)
        while len(self._batches) > _BATCHES_KEPT:
            self._batches.popitem(last=False)
        return made


class _Batch:
    """Shares of a batch."""

    def __init__(self, shares: list[Share] | list[Stretches]) -> None:
        self.shares = shares
        self.n_least = min(share.data.rows.n_sequences for share in shares)
        self.weight = sum(total_weight(share.data.weights) for share in shares)

    def again(self) -> _Batch:
        """The same data, with nothing of any pass."""
        return _Batch([type(share)(share.network, share.data, share.options) for share in self.shares])


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
        self._objective, self._shares, self._given = objective, batch.shares, theta
        theta = to_host(theta)
        self.weight = batch.weight
        self._parameters = Parameters(objective.network, theta, batch.n_least)
        self._direction = Parameters(objective.network, theta, batch.n_least, is_direction=True)
        memories = [objective._kept_memories.take() for _ in batch.shares]
        weakref.finalize(self, objective._kept_memories.give_back, memories)
        pairs = list(zip(batch.shares, memories, strict=True))
        losses = run_all(lambda share, memory: share.forward(self._parameters, memory), pairs, objective.n_threads)
        self.loss_sum = sum(losses)

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """Σ Jᵀ H_ℓ J v + structural Σ J_aᵀ D'' J_a v.

        Parameters
        ----------
        v : (P,) array of the objective's dtype
        structural : float >= 0
            λμ: the weight of structural damping.

        Returns
        -------
        (P,) array
        """
        objective = self._objective
        objective._check_theta(v, "v")
        structural = number("structural", structural, least=0, remedy="it weighs structural damping, 0 for none")

        of = self._parameters, self._direction, structural
        with objective._lock:
            self._direction.set(to_host(v), objective.n_threads)
            return beside(v, objective._summed([share.gauss_newton for share in self._shares], *of)[1])

    def squared_gradients(self) -> np.ndarray:
        """(P,) sum over the sequences of the squares of each one's gradient, exact under weight sharing."""
        objective = self._objective
        if objective._kind is not Share:
            raise NotImplementedError(
                "squared_gradients needs the states of all steps, got an objective with recompute=True; "
                "make one without it."
            )
        functions = [functools.partial(add_squared_gradients, share) for share in self._shares]
        with objective._lock:
            return beside(self._given, objective._summed(functions, self._parameters)[1])
