"""States of a network before the first step: given, learnt or 0; how they move, and what they add to a gradient."""

from __future__ import annotations

import numpy as np

from cells.network import Network
from cells.passes.parameters import Parameters
from cells.shares.portion import Portion
from cells.shares.run import States


def initial_states(parameters: Parameters, data: Portion) -> States:
    """Those learnt, or 0, and of the first cell's units those given."""
    states, (units, values) = list(parameters.initial), data.given
    if units.size:
        learnt, c = states[0]
        h = np.zeros((data.rows.n_sequences, parameters.network.layers[0].n_units), values.dtype)
        h += learnt
        h[:, units] = values
        states[0] = (h, c)
    return states


def initial_tangents(direction: Parameters, data: Portion) -> States:
    """Their derivatives along a direction: of units that are given, 0."""
    states, (units, _) = list(direction.initial), data.given
    if units.size and np.ndim(states[0][0]):
        h = states[0][0].copy()
        h[units] = 0.0
        states[0] = (h, states[0][1])
    return states


def add_initial_gradient(network: Network, initial: States, gradient: np.ndarray, units: np.ndarray) -> None:
    """Add to ``gradient`` (P,) what the derivatives by the initial states give those learnt.

    ``initial`` holds h and c of every part, a row for each sequence that begins with them; h is overwritten at the
    first cell's ``units``, whose states are given.
    """
    if not network.learn_initial_state:
        return
    views = network.views(gradient)
    for k, (part, (dh, dc)) in enumerate(zip(network.parts, initial, strict=True)):
        if k == 0:
            dh[:, units] = 0.0
        views[f"{part.name}.initial_h"] += dh.sum(axis=0)
        if part.cell.has_second_state:
            views[f"{part.name}.initial_c"] += dc.sum(axis=0)
