"""A share in stretches of time: states are computed again on the way back, so that few of them are kept.

Kept whole, a share's tape grows with T. In k stretches only the states between them are kept and each stretch runs
again when its turn comes on the way back: memory T / k + k, least at k = √T, for one more forward pass (and, in a
Gauss-Newton product, one more R-forward pass).

References
----------
Martens & Sutskever (2012), Training deep and recurrent networks with Hessian-free optimization, section 6.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cells.network import Network
from cells.passes.layer import PassOptions
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters
from cells.passes.time_loops import Tape
from cells.shares.portion import Portion
from cells.shares.run import States, initial_tangents
from cells.shares.share import Share, ShareOptions


class Stretches:
    """What a :class:`Share` is, made of one for each stretch of time; arguments as there.

    What is carried from one to the next, forward, are the states and their directional derivatives; backward, the
    derivatives by the states. The first stretch begins with None, the network's initial states.
    """

    def __init__(self, network: Network, data: Portion, options: ShareOptions) -> None:
        self.network, self.data, self.options = network, data, options
        T = data.n_steps
        cuts = np.linspace(0, T, int(np.ceil(np.sqrt(T))) + 1).round().astype(int).tolist()
        self.shares = [Share(network, data.between(a, b), options) for a, b in pairwise(cuts) if b > a]

    def forward(self, parameters: Parameters, memory: Memory) -> float:
        """Sum of the losses; the states between stretches are kept, and in ``memory`` the last one's tape."""
        self._memory, self.before, loss_sum = memory, [], 0.0
        before: States | None = None
        for share in self.shares:
            self.before.append(before)
            loss_sum += share.forward(parameters, memory, before=before)
            before = _continuing(share, [layer.tape for layer in share.run.layers])
        return loss_sum

    def value_and_grad(self, gradient: np.ndarray, memory: Memory, parameters: Parameters) -> float:
        """Sum of the losses; its gradient is added to ``gradient`` (P,)."""
        loss_sum, after, options = self.forward(parameters, memory), None, PassOptions(limit=self.options.limit)
        for share, before in zip(self.shares[::-1], self.before[::-1], strict=True):
            if share is not self.shares[-1]:
                share.forward(parameters, memory, before=before)
            after = share.add_gradient(gradient, parameters, options, after=_after(share, after))
        return loss_sum

    def gauss_newton(
        self, product: np.ndarray, scratch: Memory, parameters: Parameters, direction: Parameters, structural: float
    ) -> None:
        """Add the Gauss-Newton product with the direction to ``product`` (P,)."""
        tangents = [initial_tangents(direction, self.data)]
        for share, before in zip(self.shares[:-1], self.before, strict=False):
            share.forward(parameters, self._memory, before=before)
            _, tapes = share.run.rforward(parameters, direction, tangents[-1], PassOptions(scratch))
            tangents.append(_continuing(share, tapes))
        after, of = None, (parameters, direction, structural)
        for share, before, Rbefore in zip(self.shares[::-1], self.before[::-1], tangents[::-1], strict=True):
            share.forward(parameters, self._memory, before=before)
            after = share.gauss_newton(product, scratch, *of, before=Rbefore, after=_after(share, after))


def _continuing(share: Share, tapes: Sequence[Tape]) -> States:
    """States, or their directional derivatives, after the last step of the sequences that go on, copied."""
    last = (share.data.rows.n_sequences + share.data.rows.last)[: share.data.n_continuing]
    return [(tape.h[last], tape.c[last] if tape.c.size else 0.0) for tape in tapes]


def _after(share: Share, next_before: States | None) -> States | None:
    """Derivatives by the states after a stretch: those of the next one, and 0 for sequences that end here."""
    if next_before is None:
        return None
    final: States = []
    for layer, ours in zip(share.run.layers, next_before, strict=True):
        padded = []
        for array, part in zip((layer.tape.h, layer.tape.c), ours, strict=True):
            full = np.zeros((share.data.rows.n_sequences, array.shape[1]), array.dtype)
            full[: share.data.n_continuing] = part
            padded.append(full)
        final.append((padded[0], padded[1]))
    return final
