"""A share of a batch: a network over the sequences that one thread carries through time, and its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cells.network import Network
from cells.passes.calls import Calls, plainly
from cells.passes.layer import PassOptions
from cells.passes.losses import LOSSES, cotangents
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters
from cells.passes.time_loops import Tape
from cells.shares.portion import Portion
from cells.shares.run import Run, States, add_initial_gradient, initial_states, initial_tangents
from optim.arguments import number


@dataclass(frozen=True)
class ShareOptions:
    """What is asked of all shares alike: see the arguments of :class:`cells.SequenceObjective`."""

    dtype: Any
    limit: float = np.inf
    distance: str = "matching"
    is_mean_over_time: bool = False


class Share:
    """A network over one share of a batch, or over a stretch of its steps; after :meth:`forward` with its states.

    States ``before`` the first step are the network's initial ones unless they are handed over, and derivatives by
    the states ``after`` the last step are 0.

    Parameters
    ----------
    network : Network
    data : Portion
    options : ShareOptions
    """

    def __init__(self, network: Network, data: Portion, options: ShareOptions) -> None:
        self.network, self.data, self.options = network, data, options
        # By the memory they use: whichever thread takes the share has another one, and there are as many as threads.
        self._runs: dict[Memory, Run] = {}
        self._calls: dict[Memory, tuple[Parameters, Calls]] = {}  # those of value_and_grad

    def gauss_newton(
        self,
        product: np.ndarray,
        scratch: Memory,
        parameters: Parameters,
        direction: Parameters,
        structural: float,
        *,
        before: States | None = None,
        after: States | None = None,
    ) -> States:
        """Add Jᵀ H J v to ``product`` (P,): J of the outputs o and, if ``structural`` is not 0, of the planes a.

        Parameters
        ----------
        scratch : Memory
            Another one than that of :meth:`forward`, free for use.
        direction : Parameters
            v.
        structural : float
            λμ.
        before, after : States, optional
            Directional derivatives of the states before, derivatives by those after.

        Returns
        -------
        States
            Derivatives by the states before.
        """
        forth, back = PassOptions(scratch, keeps_planes=structural != 0.0), PassOptions(scratch, keeps_tape=True)
        Rbefore = initial_tangents(direction, self.data) if before is None else before
        Ro, Ra = self.run.rforward(parameters, direction, Rbefore, forth)  # J v
        HRo, HRa = self._times_curvature(Ro, Ra, structural)  # H J v
        return self._backward(product, parameters, HRo, HRa, back, after)  # Jᵀ H J v

    def value_and_grad(self, gradient: np.ndarray, memory: Memory, parameters: Parameters) -> float:
        """Sum of the losses; its gradient is added to ``gradient`` (P,)."""
        of, calls = self._calls.get(memory, (None, None))
        if of is parameters and calls is not None:
            return calls.again(gradient)
        calls = Calls(gradient) if self._repeats else None
        loss_sum = self.forward(parameters, memory, calls or plainly)
        self.add_gradient(gradient, parameters, PassOptions(do=calls or plainly, limit=self.options.limit))
        if calls is not None:  # a pass that is interrupted is not repeated
            self._calls[memory] = parameters, calls
        return loss_sum

    # ------------------------------------------------------------------------------------------------ passes

    def forward(
        self, parameters: Parameters, memory: Memory, do: Callable = plainly, *, before: States | None = None
    ) -> float:
        """Sum of the losses; ``memory`` keeps what the other passes need."""
        data, dtype = self.data, self.options.dtype
        if memory not in self._runs:
            self._runs[memory] = Run(self.network, data.rows, dtype, memory, data.n_continuing)
        self.run = self._runs[memory]
        initial = initial_states(parameters, data) if before is None else before
        outputs = self.run.forward(parameters, data.x, initial, data.clamp, PassOptions(do=do))
        self.predictions = memory.lend("predictions", outputs.shape, dtype)
        p = data.counted(self.predictions)
        return do(LOSSES[self.network.loss].evaluate, data.counted(outputs), *data.answers, p)

    def add_gradient(
        self, gradient: np.ndarray, parameters: Parameters, options: PassOptions, *, after: States | None = None
    ) -> States:
        """Add the gradient of the loss to ``gradient`` (P,); the derivatives by the states before.

        Those by the outputs are kept in ``doutputs``: in the place of the predictions, unless ``options.keeps_tape``.
        """
        self.doutputs = self.predictions
        if options.keeps_tape:
            self.doutputs = self.run.memory.lend("doutputs", self.predictions.shape, self.options.dtype)
        p, d = self.data.counted(self.predictions), self.data.counted(self.doutputs)
        options.do(cotangents, p, *self.data.answers, d)
        return self._backward(gradient, parameters, self.doutputs, None, options, after)

    def _times_curvature(
        self, Ro: np.ndarray, tapes: list[Tape], structural: float
    ) -> tuple[np.ndarray, list[np.ndarray] | None]:
        """Times the second derivatives of the loss and, for the planes, of the distance of structural damping."""
        data, options = self.data, self.options
        p, (_, _, weights) = data.counted(self.predictions), data.answers
        LOSSES[self.network.loss].apply_curvature(p, weights, data.counted(Ro))
        if structural == 0.0:  # exact: zero switches it off
            return Ro, None
        factors = np.full(data.rows.n_rows, structural, options.dtype)
        if options.is_mean_over_time:
            factors *= (1.0 / data.lengths[data.rows.sequence]).astype(options.dtype)
        damped = zip(self.run.layers, tapes, strict=True)
        return Ro, [layer.damp(tape, options.distance, factors) for layer, tape in damped]

    def _backward(
        self,
        gradient: np.ndarray,
        parameters: Parameters,
        doutputs: np.ndarray,
        dplanes: list[np.ndarray] | None,
        options: PassOptions,
        after: States | None,
    ) -> States:
        """Add what derivatives by the outputs and the planes make of the parameters; those by the states before."""
        initial = self.run.backward(parameters, doutputs, gradient, options, final=after, added=dplanes)
        if self.data.begins:
            options.do(add_initial_gradient, self.network, initial, gradient, self.data.given[0])
        return initial

    @property
    def _repeats(self) -> bool:
        """Whether a pass is a list of calls, the same at every theta: else NumPy makes new arrays on the way."""
        return not self.network.bidirectional and not self.data.given[0].size


def signal_bound(clip_signal: Any) -> float:
    """The bound on the back-propagated signal that a user gave, a number > 0 or infinity."""
    if isinstance(clip_signal, float | np.floating) and np.isposinf(clip_signal):
        return np.inf
    return number("clip_signal", clip_signal, above=0, remedy="infinity clips nothing")
