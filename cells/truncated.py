"""Back-propagation through time, truncated: long sequences in windows, the state carried on, the gradient cut.

Window w brings the steps [w k1, (w + 1) k1). Its losses are back-propagated through the last k2 >= k1 steps: the run
begins k2 steps before the window's end, at a state that an earlier run has left and that counts as a constant. With
k2 = k1, the custom for text, windows follow one another without overlap; with k2 = T, the length of the sequences, and
k1 = T there is one window, and its gradient is the whole one. Every loss counts in one window, so the sum
over the windows of one pass, at one theta, is the loss itself, whatever k1 and k2.

References
----------
Williams & Peng (1990), An efficient gradient-based algorithm for on-line training of recurrent network trajectories:
BPTT(h; h') with h = k2, h' = k1. Sutskever (2013), Training recurrent neural networks (thesis), section 2.8.6.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from cells.device.device_layer import has_array_code
from cells.device.device_run import DeviceParameters, DeviceRun
from cells.network import Network
from cells.passes.layer import PassOptions
from cells.passes.losses import LOSSES, cotangents
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters, check_theta
from cells.passes.rows import Rows
from cells.shares.carried import check_rows, initial_rows, parted, refuse_unless_carried, rows_after
from cells.shares.data import SequenceData
from cells.shares.portion import Portion, total_weight
from cells.shares.run import Run, add_initial_gradient
from cells.shares.share import ShareOptions, signal_bound
from cells.shares.sharing import cut_into_shares
from optim.arguments import brief, choice, integer
from optim.device import Place, all_to_host, beside, namespace, to_device, to_host
from optim.digests import digest_of
from optim.problem import Evaluation
from optim.threads import n_threads, run_all

_RUNS_KEPT = 4
_MOST_WINDOWS = 2**31 - 1  # of which as many times the number of sequences still is an int64


class Window(NamedTuple):
    """What :meth:`TruncatedObjective.window` found: loss and gradient, and the states that are carried on.

    ``carried`` (n_sequences, S) are those at which the next window's run begins and, after the last window, those at
    the end; see :mod:`cells.shares.carried`.
    """

    evaluation: Evaluation
    carried: np.ndarray


class TruncatedObjective:
    """The loss of a network on long sequences, window by window.

    Training asks :meth:`window` for one window after the other and hands the carried states back; ``value`` and
    ``value_and_grad`` go through all windows of one pass at one theta.

    Parameters
    ----------
    network : Network
        In one direction, with targets at all steps.
    X, y, lengths, mask, dtype, n_jobs, device : as in :class:`cells.SequenceObjective`
        Sequences run side by side, all from their beginnings. A window in which no row counts has weight 0, and
        training passes it over.
    k1 : int >= 1
        Steps of a window.
    k2 : int >= k1, optional
        Steps that its losses are propagated back; k1 by default.
    reduction : "mean" or "sum"
        Whether the weight of a window is that of its rows, or 1, which makes its loss and gradient sums.
    clip_signal : float > 0
        Bound on the back-propagated signal, by unit and step.
    restart_every : int >= 1, optional
        Windows after which a sequence's state is set back to its start, each sequence in its turn, so that among enough
        of them some always begin anew. Where states are only ever carried, a network can forget how to begin: it
        comes to need numbers that have gathered in its cells over thousands of steps.
    initial_state : (S,) or (n_sequences, S), optional
        States before the first step, as an earlier pass has left them; by default those learnt, or 0.

    Attributes
    ----------
    n_windows : int
        Windows of one pass over the sequences.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import Elman, Network, TruncatedObjective
    >>> objective = TruncatedObjective(Network(Elman(1, 4), n_out=1), np.ones((2, 50, 1)), np.zeros((2, 50, 1)), k1=20)
    >>> found = objective.window(np.zeros(objective.n_params), 0, None)
    >>> objective.n_windows, found.evaluation.weight, found.carried.shape
    (3, 40.0, (2, 4))
    """

    def __init__(
        self,
        network: Network,
        X: Any,
        y: Any,
        *,
        k1: int,
        k2: int | None = None,
        lengths: Any = None,
        mask: Any = None,
        reduction: Literal["mean", "sum"] = "mean",
        clip_signal: float = np.inf,
        restart_every: int | None = None,
        initial_state: Any = None,
        dtype: Any = None,
        n_jobs: int | None = None,
        device: str | None = None,
    ) -> None:
        _check_network(network)
        propagated = "losses of k1 steps are propagated back k2 >= k1"
        self.network, self.k1 = network, integer("k1", k1, remedy=propagated)
        self.k2 = self.k1 if k2 is None else integer("k2", k2, least=self.k1, remedy=propagated)
        choice("reduction", reduction, ("mean", "sum"))
        limit = signal_bound(clip_signal)
        if restart_every is not None:
            restart_every = integer("restart_every", restart_every, most=_MOST_WINDOWS, remedy="it counts windows")
        given = X, y, lengths, mask, initial_state
        self._place = Place(device, *given)
        X, y, lengths, mask, initial_state = map(all_to_host, given)
        self.data = SequenceData(network, X, y, lengths=lengths, mask=mask, dtype=dtype)
        self.dtype, self.n_params, self.n_sequences = self.data.dtype, network.n_params, self.data.n_sequences
        self.n_windows = -(-int(self.data.lengths.max()) // self.k1)
        self.n_threads = n_threads(n_jobs)
        self.restart_every = restart_every
        self._initial = None
        if initial_state is not None:
            self._initial = check_rows(network, initial_state, self.n_sequences, self.dtype)
        parts = cut_into_shares(network, self.dtype, self.data.by_length, self.n_sequences * self.k2)
        self._is_there = self._place.is_on_device and all(map(has_array_code, network.layers))
        parts = [self.data.by_length] if self._is_there else parts
        kind = _DeviceShare if self._is_there else _Share
        self._shares = [kind(network, self.data.portion(part), self.dtype, limit) for part in parts]
        nowhere = np.zeros(self.n_params, self.dtype)
        self._parameters = Parameters(network, nowhere, min(part.size for part in parts))
        self._slots = np.empty((len(parts), self.n_params), self.dtype)
        sums = [sum(share.weight(self._span(w)) for share in self._shares) for w in range(self.n_windows)]
        self._reduction = reduction
        self._weights = sums if reduction == "mean" else [float(found > 0.0) for found in sums]

    def window(self, theta: np.ndarray, number: int, carried: np.ndarray | None, *, wants_grad: bool = True) -> Window:
        """Loss and gradient of one window.

        Parameters
        ----------
        theta : (P,) array of the objective's dtype
        number : int in [0, n_windows)
        carried : (n_sequences, S)
            What the window before has returned, not written to. Not looked at while windows reach back to the beginning
            of the sequences, as window 0 does.
        wants_grad : bool
            Whether ``evaluation.grad`` is wanted; it is overwritten by the next call.

        Returns
        -------
        Window
        """
        check_theta(self.network, theta, self.dtype)
        self._place.check("theta", theta)
        given, theta = theta, to_host(theta)
        number = integer("number", number, least=0, most=self.n_windows - 1, remedy="n_windows make a pass")
        span = self._span(number)
        carried, is_learnt = self._starts(theta, number, span, carried)
        parameters = DeviceParameters(self.network, to_device(given)) if self._is_there else self._parameters.set(theta)
        after = carried.copy()

        def run(share: _Share, slot: np.ndarray) -> float:
            return share.run(parameters, span, carried, is_learnt, after, slot if wants_grad else None)

        losses = run_all(run, list(zip(self._shares, self._slots, strict=True)), self.n_threads)
        grad = None
        if wants_grad:
            grad = self._slots[0]
            for slot in self._slots[1:]:
                grad += slot
            grad = beside(given, grad)
        return Window(Evaluation(sum(losses), self._weights[number], grad), after)

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss and weight of all windows."""
        return self._pass(theta, batch, wants_grad=False)

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss, weight and truncated gradient of all windows, summed."""
        return self._pass(theta, batch, wants_grad=True)

    def digests(self) -> dict[str, str]:
        """What tells this loss from others, see :class:`optim.Objective`: the network, the data, the windows."""
        found = {"network": str(self.network), **self.data.digests(), "k1": str(self.k1), "k2": str(self.k2)}
        found |= {"reduction": self._reduction, "restart_every": str(self.restart_every)}
        found["clip_signal"] = repr(self._shares[0].limit)
        if self._initial is not None:
            found["initial_state"] = digest_of(self._initial)
        return found

    def _pass(self, theta: np.ndarray, batch: np.ndarray | None, *, wants_grad: bool) -> Evaluation:
        if batch is not None:
            raise ValueError(
                f"batch must be None, all sequences, got {batch!r}; windows follow one another, use window() for one."
            )
        loss_sum, grad, carried = 0.0, None, None
        for number in range(self.n_windows):
            found = self.window(theta, number, carried, wants_grad=wants_grad)
            carried = found.carried
            loss_sum += found.evaluation.loss_sum
            if wants_grad:
                grad = found.evaluation.grad.copy() if grad is None else grad + found.evaluation.grad
        return Evaluation(loss_sum, sum(self._weights), grad)

    def _starts(
        self, theta: np.ndarray, number: int, span: Span, carried: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """States (n_sequences, S) in which a window's run begins, and for which of them they are those learnt."""
        n, R = self.n_sequences, self.restart_every
        learnt = initial_rows(self.network, theta, n)
        if span.begin == 0:
            return (learnt, np.ones(n, bool)) if self._initial is None else (self._initial, np.zeros(n, bool))
        if not isinstance(carried, np.ndarray) or carried.shape != learnt.shape or carried.dtype != self.dtype:
            raise ValueError(
                f"carried must be a {np.dtype(self.dtype).name} array of shape {learnt.shape}, got {brief(carried)}; "
                "hand over what the window before has returned."
            )
        if R is None:
            return carried, np.zeros(n, bool)
        restarts = (number + np.arange(n) * R // n) % R == 0
        return np.where(restarts[:, None], learnt, carried), restarts

    def _span(self, number: int) -> Span:
        T = int(self.data.lengths.max())
        end, next_end = min((number + 1) * self.k1, T), min((number + 2) * self.k1, T)
        begin, next_begin = max(0, end - self.k2), max(0, next_end - self.k2)
        n_until_next = next_begin - begin if end < T else end - begin
        return Span(begin, number * self.k1, end, n_until_next)


class Span(NamedTuple):
    """Steps of a window's run."""

    begin: int
    scored: int  # the first step whose loss counts
    end: int
    n_until_next: int  # steps of this run after which the next one begins; all of the last


class _Share:
    """Sequences that one thread carries through a window, and the memory in which it does."""

    def __init__(self, network: Network, data: Portion, dtype: Any, limit: float) -> None:
        self.network, self.data, self.dtype, self.limit = network, data, dtype, limit
        self.memory = Memory()
        self._runs: dict[bytes, Run] = {}

    def weight(self, span: Span) -> float:
        """Sum of the weights of the rows that count in a window."""
        first = self.data.rows.first
        last = first.size - 1
        here = slice(first[min(span.scored, last)], first[min(span.end, last)])
        return total_weight(self.data.weights[here])

    def run(
        self,
        parameters: Parameters,
        span: Span,
        carried: np.ndarray,
        is_learnt: np.ndarray,
        after: np.ndarray,
        gradient: np.ndarray | None,
    ) -> float:
        """Loss of a window; its gradient is written to ``gradient``, the states for the next to rows of ``after``."""
        if gradient is not None:
            gradient.fill(0)
        data = self._within(span)
        if data is None:
            return 0.0
        run = self._run_of(data.rows)
        outputs = run.forward(parameters, data.x, parted(self.network, carried[data.indices]))
        targets, labels, weights = data.answers
        p = self.memory.lend("predictions", outputs.shape, self.dtype)
        counted = data.counted(p)
        loss_sum = LOSSES[self.network.loss].evaluate(data.counted(outputs), targets, labels, weights, counted)
        after[data.indices] = rows_after(run, span.n_until_next)
        if gradient is not None:
            cotangents(counted, targets, labels, weights, counted)
            initial = run.backward(parameters, p, gradient, PassOptions(limit=self.limit))
            learnt = is_learnt[data.indices]
            of_learnt = [(dh[learnt], dc[learnt]) for dh, dc in initial]
            add_initial_gradient(self.network, of_learnt, gradient, self.data.given[0])
        return loss_sum

    def _within(self, span: Span) -> Portion | None:
        """The steps of a window's run, of which only those that are scored have weight; None if none is."""
        end = min(span.end, self.data.n_steps)
        if span.scored >= end:
            return None
        data = self.data.between(span.begin, end)
        if span.scored == span.begin:
            return data
        weights = data.weights.copy()
        weights[: data.rows.first[span.scored - span.begin]] = 0.0
        return replace(data, weights=weights)

    def _run_of(self, rows: Rows) -> Run:
        """A run over such rows: that of an earlier window, as a rule."""
        key = rows.lengths.tobytes()
        if key not in self._runs:
            if len(self._runs) == _RUNS_KEPT:
                self._runs.clear()
            self._runs[key] = Run(self.network, rows, self.dtype, self.memory)
        return self._runs[key]


class _DeviceShare(_Share):
    """All sequences, carried through a window on a GPU."""

    def run(
        self,
        parameters: DeviceParameters,
        span: Span,
        carried: np.ndarray,
        is_learnt: np.ndarray,
        after: np.ndarray,
        gradient: np.ndarray | None,
    ) -> float:
        """As of a :class:`_Share`; what is given and written is NumPy's."""
        if gradient is not None:
            gradient.fill(0)
        data = self._within(span)
        if data is None:
            return 0.0
        states = to_device(carried[data.indices])
        run = DeviceRun(self.network, data, ShareOptions(self.dtype, self.limit), namespace(states))
        loss_sum = run.loss(parameters, parted(self.network, states))
        after[data.indices] = to_host(run.final(span.n_until_next))
        if gradient is not None:
            gradient[:] = to_host(run.gradient(parameters, is_learnt[data.indices]))
        return loss_sum


def _check_network(network: Network) -> None:
    refuse_unless_carried(network, "truncated back-propagation")
    if network.targets != "all":
        raise NotImplementedError(
            "truncated back-propagation needs a network with targets='all', got targets='last'; use SequenceObjective."
        )
