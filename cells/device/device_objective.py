"""The loss of a network on sequences, on a GPU: what a :class:`cells.SequenceObjective` asks of the device."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from cells.device.device_run import DeviceParameters, DeviceRun, bytes_of_a_step
from cells.network import Network
from cells.passes.parameters import check_theta
from cells.shares.data import SequenceData
from cells.shares.portion import total_weight
from cells.shares.share import ShareOptions
from optim.arguments import number
from optim.device import beside, free_bytes, namespace, to_device
from optim.problem import Evaluation

_BATCHES_KEPT = 4


class DeviceObjective:
    """Sums, gradients and products, in the namespace of the theta that is given.

    Parameters
    ----------
    network : Network
    data : SequenceData
    options : ShareOptions
    """

    def __init__(self, network: Network, data: SequenceData, options: ShareOptions) -> None:
        self.network, self.data, self.options = network, data, options
        self._kept: OrderedDict[bytes | None, Portions] = OrderedDict()

    def value(self, theta: Any, batch: np.ndarray | None) -> Evaluation:
        """Loss and weight."""
        return Evaluation(*self._portions(batch).sums(self._parameters(theta), _loss_and_weight))

    def value_and_grad(self, theta: Any, batch: np.ndarray | None) -> Evaluation:
        """Loss, weight and gradient."""
        parameters = self._parameters(theta)
        found = self._portions(batch).sums(parameters, lambda run: (*_loss_and_weight(run), run.gradient(parameters)))
        return Evaluation(found[0], found[1], beside(theta, found[2]))

    def linearize(self, theta: Any, batch: np.ndarray | None) -> DeviceLinearization:
        """The network linearised at ``theta``, with states of its own where all of them have room."""
        return DeviceLinearization(self._made(batch), self._parameters(theta.copy()), theta)

    def _parameters(self, theta: Any) -> DeviceParameters:
        return DeviceParameters(self.network, to_device(theta))

    def _portions(self, batch: np.ndarray | None) -> Portions:
        """A batch on the device; the last few are kept."""
        key = None if batch is None else batch.tobytes()
        if key not in self._kept:
            self._kept[key] = self._made(batch)
        self._kept.move_to_end(key)
        while len(self._kept) > _BATCHES_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _made(self, batch: np.ndarray | None) -> Portions:
        """The batch, longest sequences first, in as few portions as have room one after the other."""
        indices = np.arange(self.data.n_sequences) if batch is None else batch
        indices = indices[np.argsort(-self.data.lengths[indices], kind="stable")]
        of_a_step = bytes_of_a_step(self.network, self.options.dtype, by_index=self.data.index is not None)
        ends = np.cumsum(self.data.lengths[indices])
        if ends[-1] * of_a_step > free_bytes():
            self._kept.clear()
        n_steps, cuts = free_bytes() // of_a_step, [0]
        while cuts[-1] < len(indices):
            done = ends[cuts[-1] - 1] if cuts[-1] else 0
            cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, done + n_steps, side="right"))))
        return Portions(self._run_of, np.split(indices, cuts[1:-1]))

    def _run_of(self, indices: np.ndarray) -> DeviceRun:
        xp = namespace(to_device(np.empty(0)))
        return DeviceRun(self.network, self.data.portion(indices), self.options, xp)


class Portions:
    """Sequences on the device. Data and states of one portion stay there, of several each is made anew when asked.

    Parameters
    ----------
    make : callable
        ``make(indices)`` brings sequences to the device.
    indices : list of arrays
        Of the sequences of each portion.
    """

    def __init__(self, make: Callable[[np.ndarray], DeviceRun], indices: list[np.ndarray]) -> None:
        self._make, self._indices = make, indices
        self._run = make(indices[0]) if len(indices) == 1 else None
        self._passed: DeviceParameters | None = None

    def sums(self, parameters: DeviceParameters, ask: Callable[[DeviceRun], tuple]) -> tuple:
        """The sums of what ``ask`` answers about each portion after a forward pass with these parameters."""
        total, *others = (self._answer(indices, parameters, ask) for indices in self._indices)
        for found in others:
            total = tuple(one + other for one, other in zip(total, found, strict=True))
        return total

    def _answer(self, indices: np.ndarray, parameters: DeviceParameters, ask: Callable[[DeviceRun], tuple]) -> tuple:
        run = self._make(indices) if self._run is None else self._run
        if self._run is None or self._passed is not parameters:
            run.loss(parameters)
        self._passed = parameters
        return ask(run)


def _loss_and_weight(run: DeviceRun) -> tuple[float, float]:
    return run.loss_sum, total_weight(run.data.weights)


class DeviceLinearization:
    """A network linearised at one theta; its products are of the namespace of their direction.

    Parameters
    ----------
    portions : Portions
    parameters : DeviceParameters
    theta : (P,) array
        Beside which sums of squares are put.
    """

    def __init__(self, portions: Portions, parameters: DeviceParameters, theta: Any) -> None:
        self._portions, self._parameters, self._theta = portions, parameters, theta
        self.loss_sum, self.weight = portions.sums(parameters, _loss_and_weight)

    def gauss_newton(self, v: Any, *, structural: float = 0.0) -> Any:
        """Σ Jᵀ H_ℓ J v + structural Σ J_aᵀ D'' J_a v, where v lies."""
        network, parameters = self._parameters.network, self._parameters
        check_theta(network, v, parameters.dtype, name="v")
        structural = number("structural", structural, least=0, remedy="it weighs structural damping, 0 for none")
        direction = DeviceParameters(network, to_device(v))
        (product,) = self._portions.sums(parameters, lambda run: (run.gauss_newton(parameters, direction, structural),))
        return beside(v, product)

    def squared_gradients(self) -> Any:
        """(P,) sum over the sequences of squared gradients."""
        (squares,) = self._portions.sums(self._parameters, lambda run: (run.squared_gradients(self._parameters),))
        return beside(self._theta, squares)
