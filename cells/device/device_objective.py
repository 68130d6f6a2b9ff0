"""The loss of a network on sequences, on a GPU: what a :class:`cells.SequenceObjective` asks of the device."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from cells.device.device_run import DeviceParameters, DeviceRun
from cells.network import Network
from cells.passes.parameters import check_theta
from cells.shares.data import SequenceData
from cells.shares.portion import total_weight
from cells.shares.share import ShareOptions
from optim.arguments import number
from optim.device import beside, namespace, to_device
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
        self._runs: OrderedDict[bytes | None, DeviceRun] = OrderedDict()

    def value(self, theta: Any, batch: np.ndarray | None) -> Evaluation:
        """Loss and weight."""
        run = self._run(batch)
        return Evaluation(run.loss(self._parameters(theta)), total_weight(run.data.weights))

    def value_and_grad(self, theta: Any, batch: np.ndarray | None) -> Evaluation:
        """Loss, weight and gradient."""
        run, parameters = self._run(batch), self._parameters(theta)
        loss_sum = run.loss(parameters)
        return Evaluation(loss_sum, total_weight(run.data.weights), beside(theta, run.gradient(parameters)))

    def linearize(self, theta: Any, batch: np.ndarray | None) -> DeviceLinearization:
        """The network linearised at ``theta``, with states of its own."""
        return DeviceLinearization(self._made(batch), self._parameters(theta.copy()), theta)

    def _parameters(self, theta: Any) -> DeviceParameters:
        return DeviceParameters(self.network, to_device(theta))

    def _run(self, batch: np.ndarray | None) -> DeviceRun:
        """The data of a batch on the device; those of the last few are kept."""
        key = None if batch is None else batch.tobytes()
        if key not in self._runs:
            self._runs[key] = self._made(batch)
        self._runs.move_to_end(key)
        while len(self._runs) > _BATCHES_KEPT:
            self._runs.popitem(last=False)
        return self._runs[key]

    def _made(self, batch: np.ndarray | None) -> DeviceRun:
        indices = np.arange(self.data.n_sequences) if batch is None else batch
        longest_first = indices[np.argsort(-self.data.lengths[indices], kind="stable")]
        xp = namespace(to_device(np.empty(0)))
        return DeviceRun(self.network, self.data.portion(longest_first), self.options, xp)


class DeviceLinearization:
    """A network linearised at one theta; its products are of the namespace of their direction.

    Parameters
    ----------
    run : DeviceRun
    parameters : DeviceParameters
    """

    def __init__(self, run: DeviceRun, parameters: DeviceParameters, theta: Any) -> None:
        self._run, self._parameters, self._theta = run, parameters, theta
        self.weight = total_weight(run.data.weights)
        self.loss_sum = run.loss(parameters)

    def gauss_newton(self, v: Any, *, structural: float = 0.0) -> Any:
        """Σ Jᵀ H_ℓ J v + structural Σ J_aᵀ D'' J_a v, where v lies."""
        check_theta(self._run.network, v, self._run.dtype, name="v")
        structural = number("structural", structural, least=0, remedy="it weighs structural damping, 0 for none")
        direction = DeviceParameters(self._run.network, to_device(v))
        return beside(v, self._run.gauss_newton(self._parameters, direction, structural))

    def squared_gradients(self) -> Any:
        """(P,) sum over the sequences of squared gradients."""
        return beside(self._theta, self._run.squared_gradients(self._parameters))
