"""A cell through time in array code: a few calls a step, for whatever no kernel takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cells.device.device_matrices import DeviceMatrices
from cells.device.device_places import Held, Places
from cells.device.step_words import Table, step_in_arrays
from cells.passes.time_loops import Cotangents, Tape, backward_step, forward_step, rforward_step


class StepByStep:
    """The three passes of :mod:`cells.passes.time_loops` over arrays of any namespace.

    Parameters
    ----------
    places : Places
    """

    def __init__(self, places: Places) -> None:
        self.places, self.xp = places, places.xp

    def forward(self, of: DeviceMatrices, tape: Tape, held: Held) -> None:
        """Fill the tape, whose z holds what the maps of the input and the biases give."""
        step = step_in_arrays(forward_step, of.weights, self.xp)
        for now, n, before, after in self.places.steps:
            step(of.weights, _tables(tape, n), now, before, after, 1)
            for k, unit in enumerate(held.units):
                tape.h[after : after + n, unit] = held.values[now : now + n, k]

    def rforward(self, of: DeviceMatrices, tape: Tape, r: Tape, held: Held) -> None:
        """Fill the directional derivative of the tape, whose z holds all that the direction adds."""
        step = step_in_arrays(rforward_step, of.weights, self.xp)
        for now, n, before, after in self.places.steps:
            step(of.weights, _tables(tape, n), _tables(r, n), now, before, after, 1)
            for unit in held.units:
                r.h[after : after + n, unit] = 0.0

    def backward(
        self, of: DeviceMatrices, tape: Tape, d: Cotangents, outputs: Any | None, limit: float, held: Held
    ) -> None:
        """Fill d.z; d.h and d.c turn from the final states to the initial ones."""
        step = step_in_arrays(backward_step, of.weights, self.xp)
        for now, n, before, after in reversed(self.places.steps):
            if outputs is not None:
                d.h[:n] += outputs[now : now + n]
            if limit < np.inf:
                d.h[:n] = self.xp.clip(d.h[:n], -limit, limit)
            for unit in held.units:
                d.h[:n, unit] = 0.0
            step(of.weights, _tables(tape, n), _tables(d, n), now, before, after, 1)


def _tables(arrays: Iterator[Any], n: int) -> Any:
    """A tape, or cotangents, of which a row stands for n."""
    return type(arrays)(*(Table(array, n) for array in arrays))
