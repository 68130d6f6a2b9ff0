"""How a pass is made: where it takes arrays from, what it leaves behind, and what bounds the signal on its way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cells.passes.calls import plainly
from cells.passes.memory import Memory


@dataclass(frozen=True)
class PassOptions:
    """How one pass is made, the same for all layers.

    Parameters
    ----------
    scratch : Memory, optional
        Lends what no later pass reads; by default the memory that holds the tape.
    do : callable
        ``do(function, *args)`` makes the calls by which forward and backward passes write to arrays: a
        :class:`cells.passes.calls.Calls` notes them.
    limit : float > 0
        Bound on the back-propagated signal, by unit and step: see :func:`cells.passes.time_loops.backward`.
    keeps_tape : bool
        Whether the tape is still needed after a backward pass; if not, its z may be overwritten.
    keeps_planes : bool
        Whether the derivatives of the planes at all steps are needed, directional ones after an R-forward pass, those
        of the loss after a backward pass; if not, z of what is returned holds one block's rows, of no further use.
    """

    scratch: Memory | None = None
    do: Callable = plainly
    limit: float = np.inf
    keeps_tape: bool = False
    keeps_planes: bool = False


PLAIN = PassOptions()
