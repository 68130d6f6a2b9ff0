"""A share of a batch: the sequences that one thread carries through the network, whole or in stretches of time.

Kept whole, a share's tape grows with T. In k stretches only the states between them are kept and each stretch runs
again when its turn comes on the way back: memory T / k + k, least at k = √T, for one more forward pass (and, in a
Gauss-Newton product, one more R-forward pass).

References
----------
Martens & Sutskever (2012), Training deep and recurrent networks with Hessian-free optimization, section 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cells.network import Network
from cells.passes.calls import Calls, plainly
from cells.passes.layer import Input
from cells.passes.losses import LOSSES, apply_curvature, cotangents, evaluate
from cells.passes.memory import Memory
from cells.passes.rows import Rows
from cells.passes.structural import damp
from cells.passes.time_loops import Clamp
from cells.shares.parameters import Parameters
from cells.shares.run import Run, States
from optim.arguments import number


@dataclass(frozen=True)
class Data:
    """Rows of a share in the order of ``Rows``; arrays of size 0 stand for what there is not.

    ``targets``, ``labels`` and ``weights`` have a row for every output: every row, or every sequence.
    """

    rows: Rows
    x: Input
    targets: np.ndarray  # (n, O)
    labels: np.ndarray  # (n,) int64
    weights: np.ndarray  # (n,), or (n, O) where single outputs have theirs
    given: tuple[np.ndarray, np.ndarray]  # units (k,) of the first cell whose initial state is given, values (B, k)
    clamp: Clamp
    indices: np.ndarray  # (B,) the sequences of the objective


@dataclass(frozen=True)
class Options:
    """How the passes are made, for all shares alike."""

    dtype: Any
    limit: float = np.inf
    distance: str = "matching"
    is_mean_over_time: bool = False
    recomputes: bool = False


def signal_bound(clip_signal: Any) -> float:
    """The bound on the back-propagated signal that a user gave, a number > 0 or infinity."""
    if isinstance(clip_signal, float | np.floating) and np.isposinf(clip_signal):
        return np.inf
    return number("clip_signal", clip_signal, above=0, remedy="infinity clips nothing")


def total_weight(weights: np.ndarray) -> float:
    """Sum of the weights of rows; one whose outputs have weights of their own weighs their mean."""
    return float(np.sum(weights, dtype=np.float64)) / (weights.shape[1] if weights.ndim == 2 else 1)


def outputs_alone(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``rows`` (n, O) as they are or, where single outputs have weights, each output as a row: a view (n O, 1).

    The losses take it for what it is, because no output of theirs sees another, except in a softmax.
    """
    return rows.reshape(-1, 1) if weights.ndim == 2 else rows


def answers_of(data: Data, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, labels and weights of these output rows, as the losses read them."""
    return outputs_alone(data.targets[part], data.weights), data.labels[part], data.weights[part].reshape(-1)


class Share:
    """One share of a batch, and after :meth:`linearize` its states.

    Parameters
    ----------
    network : Network
    data : Data
    options : Options
    """

    def __init__(self, network: Network, data: Data, options: Options) -> None:
        self.network, self.data, self.options = network, data, options
        # By the memory they use: whichever thread takes the share has another one, and there are as many as threads.
        self._runs: dict[tuple[Memory, int], Run] = {}
        self._calls: dict[Memory, tuple[Parameters, Calls]] = {}  # those of value_and_grad
        T = data.rows.running.size
        n_stretches = int(np.ceil(np.sqrt(T))) if options.recomputes else 1
        cuts = np.linspace(0, T, n_stretches + 1).round().astype(int)
        self.stretches = [(int(a), int(b)) for a, b in pairwise(cuts) if b > a]

    # ------------------------------------------------------------------------------------------------ passes

    def value(self, parameters: Parameters, memory: Memory) -> float:
        """Sum of the losses."""
        return self._forward(parameters, memory)

    def value_and_grad(self, parameters: Parameters, memory: Memory, gradient: np.ndarray) -> float:
        """Sum of the losses; its gradient is added to ``gradient`` (P,)."""
        of, calls = self._calls.get(memory, (None, None))
        if of is parameters and calls is not None:
            return calls.again(gradient)
        calls = Calls(gradient) if self._repeats else None
        loss_sum = self._forward(parameters, memory, calls)
        self._backward(parameters, memory, gradient, calls)
        if calls is not None:  # a pass that is interrupted is not repeated
            self._held.note_in(None)
            self._calls[memory] = parameters, calls
        return loss_sum

    @property
    def _repeats(self) -> bool:
        """Whether a pass is a list of calls, the same at every theta: else NumPy makes new arrays on the way."""
        return len(self.stretches) == 1 and not self.network.bidirectional and not self.data.given[0].size

    def linearize(self, parameters: Parameters, memory: Memory) -> float:
        """Run forward and keep in ``memory`` what :meth:`gauss_newton` needs; the sum of the losses."""
        return self._forward(parameters, memory)

    def gauss_newton(
        self,
        parameters: Parameters,
        direction: Parameters,
        memory: Memory,
        scratch: Memory,
        structural: float,
        product: np.ndarray,
    ) -> None:
        """Add the Gauss-Newton product with the direction to ``product`` (P,).

        ``memory`` is that of :meth:`linearize`; ``scratch`` is another one, free for use.
        """
        if len(self.stretches) == 1:
            self._held.borrow_from(scratch)
        states = self._initial_tangents(direction)
        entries = []
        for k in range(len(self.stretches)):
            entries.append(states)
            if k < len(self.stretches) - 1:
                run = self._again(parameters, memory, k)
                _, tapes = run.rforward(parameters, direction, states, keeps_planes=False)
                states = _continuing(run, [(tape.h, tape.c) for tape in tapes])
        later: States | None = None
        for k in range(len(self.stretches) - 1, -1, -1):
            run = self._again(parameters, memory, k)
            u, tapes = run.rforward(parameters, direction, entries[k], keeps_planes=structural != 0.0)
            _, _, weights = self._answers(k)
            apply_curvature(LOSSES[self.network.loss], self._counted(self.predictions), weights, self._counted(u))
            added = None
            if structural != 0.0:  # exact: zero switches it off
                planes = damp(run, tapes, structural, self.options.distance, self._row_factors(k))
                added = planes.__getitem__
            later = run.backward(
                parameters, u, product, final=_final(run, later), added=added, keeps_tape=len(self.stretches) == 1
            )
        self._add_initial_gradient(later, product)

    def planes_cotangents(
        self, parameters: Parameters, memory: Memory, scratch: Memory, gradient: np.ndarray
    ) -> tuple[Run, States]:
        """Back-propagate the loss, keep the tape; the run, with its ``planes``, and the initial states' cotangents.

        Memories as in :meth:`gauss_newton`; what is returned lies in both of them.
        """
        run = self._again(parameters, memory, 0)
        run.borrow_from(scratch)
        targets, labels, weights = self._answers(0)
        d = memory.lend("doutputs", self.predictions.shape, self.options.dtype)
        cotangents(self._counted(self.predictions), targets, labels, weights, self._counted(d))
        self.doutputs = d
        return run, run.backward(parameters, d, gradient, limit=self.options.limit, keeps_tape=True, keeps_planes=True)

    def _forward(self, parameters: Parameters, memory: Memory, calls: Calls | None = None) -> float:
        states, self.entries, loss_sum = self._initial(parameters), [], 0.0
        for k in range(len(self.stretches)):
            self.entries.append(states)
            run, loss = self._run(parameters, memory, k, calls)
            loss_sum += loss
            if k < len(self.stretches) - 1:
                states = _continuing(run, [(layer.tape.h, layer.tape.c) for layer in run.layers])
        self._held = run
        return loss_sum

    def _backward(
        self, parameters: Parameters, memory: Memory, gradient: np.ndarray, calls: Calls | None = None
    ) -> None:
        later, do = None, calls or plainly
        for k in range(len(self.stretches) - 1, -1, -1):
            run = self._held if k == len(self.stretches) - 1 else self._run(parameters, memory, k)[0]
            targets, labels, weights = self._answers(k)
            p = self._counted(self.predictions)
            do(cotangents, p, targets, labels, weights, p)
            later = run.backward(
                parameters, self.predictions, gradient, final=_final(run, later), limit=self.options.limit
            )
        do(self._add_initial_gradient, later, gradient)

    def _again(self, parameters: Parameters, memory: Memory, k: int) -> Run:
        """The run of stretch k with its tape: the one at hand if the share is whole."""
        return self._held if len(self.stretches) == 1 else self._run(parameters, memory, k)[0]

    def _run(self, parameters: Parameters, memory: Memory, k: int, calls: Calls | None = None) -> tuple[Run, float]:
        """Run stretch k forward; its predictions are kept, its loss returned."""
        rows, x, clamp, n_continuing = self._stretch(k)
        run = self._runs.get((memory, k))
        if run is None:
            run = self._runs[memory, k] = Run(self.network, rows, self.options.dtype, memory, n_continuing)
        run.note_in(calls)
        outputs = run.forward(parameters, x, self.entries[k], clamp)
        self.predictions = memory.lend("predictions", outputs.shape, self.options.dtype)
        targets, labels, weights = self._answers(k)
        loss, do = LOSSES[self.network.loss], calls or plainly
        p = self._counted(self.predictions)
        return run, do(evaluate, loss, self._counted(outputs), targets, labels, weights, p)

    # ------------------------------------------------------------------------------------------------ parts of the data

    def _stretch(self, k: int) -> tuple[Rows, Input, Clamp, int]:
        rows, x, clamp = self.data.rows, self.data.x, self.data.clamp
        if len(self.stretches) == 1:
            return rows, x, clamp, 0
        begin, end = self.stretches[k]
        n = int(rows.running[begin])
        n_continuing = int(rows.running[end]) if end < rows.running.size else 0
        a, b = rows.first[begin], rows.first[end]
        lengths = np.minimum(rows.lengths[:n] - begin, end - begin)
        part = Input(x.array[a:b]) if x.index is None else Input(x.array, 0, x.index[a:b])
        return Rows(lengths), part, Clamp(clamp.units, clamp.values[a:b]), n_continuing

    def _answers(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Targets, labels and weights of the outputs of stretch k, as the losses read them."""
        rows, (begin, end) = self.data.rows, self.stretches[k]
        if len(self.stretches) == 1:
            part = slice(None)
        elif self.network.targets == "all":
            part = slice(rows.first[begin], rows.first[end])
        else:
            part = slice(int(rows.running[end]) if end < rows.running.size else 0, int(rows.running[begin]))
        return answers_of(self.data, part)

    def _counted(self, rows: np.ndarray) -> np.ndarray:
        return outputs_alone(rows, self.data.weights)

    def _row_factors(self, k: int) -> np.ndarray | None:
        """1 over the length of each row's sequence, if structural damping is a mean over time."""
        if not self.options.is_mean_over_time:
            return None
        rows, (begin, end) = self.data.rows, self.stretches[k]
        part = slice(rows.first[begin], rows.first[end])
        return (1.0 / rows.lengths[rows.sequence[part]]).astype(self.options.dtype)

    def _initial(self, parameters: Parameters) -> States:
        states = list(parameters.initial)
        units, values = self.data.given
        if units.size:
            h = np.zeros((self.data.rows.n_sequences, self.network.layers[0].n_units), self.options.dtype)
            h += states[0][0]
            h[:, units] = values
            states[0] = (h, states[0][1])
        return states

    def _initial_tangents(self, direction: Parameters) -> States:
        states = list(direction.initial)
        units, _ = self.data.given
        if units.size and np.ndim(states[0][0]):
            h = states[0][0].copy()
            h[units] = 0.0
            states[0] = (h, states[0][1])
        return states

    def _add_initial_gradient(self, initial: States, gradient: np.ndarray) -> None:
        if not self.network.learn_initial_state:
            return
        views = self.network.views(gradient)
        for k, (part, (dh, dc)) in enumerate(zip(self.network.parts, initial, strict=True)):
            if k == 0:
                dh[:, self.data.given[0]] = 0.0
            views[f"{part.name}.initial_h"] += dh.sum(axis=0)
            if part.cell.has_second_state:
                views[f"{part.name}.initial_c"] += dc.sum(axis=0)


def _continuing(run: Run, tapes: list[tuple[np.ndarray, np.ndarray]]) -> States:
    """States after the last step of the sequences that go on, copied."""
    rows, m = run.rows, run.n_continuing
    last = (rows.n_sequences + rows.last)[:m]
    return [(h[last], c[last] if c.size else 0.0) for h, c in tapes]


def _final(run: Run, later: States | None) -> States | None:
    """Cotangents of the final states: those of the next stretch where there is one, 0 for sequences that end here."""
    if later is None:
        return None
    final: States = []
    for layer, (dh, dc) in zip(run.layers, later, strict=True):
        states = []
        for array, part in ((layer.tape.h, dh), (layer.tape.c, dc)):
            full = np.zeros((run.rows.n_sequences, array.shape[1]), run.dtype)
            full[: run.n_continuing] = part
            states.append(full)
        final.append((states[0], states[1]))
    return final
