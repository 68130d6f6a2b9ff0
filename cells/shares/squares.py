"""Squared gradients of single sequences, which the preconditioner of Martens (2010) is made from.

A sequence's gradient sums over its steps before it is squared, because its steps share the weights: squares of the
steps' gradients would be something else. One backward pass gives the cotangents of all planes; the products with the
sources are then made for each sequence apart.

References
----------
Martens (2010), Deep learning via Hessian-free optimization, section 4.7.
"""

from __future__ import annotations

import numpy as np

from cells.passes.layer import Input, Layer, PassOptions
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters
from cells.passes.rows import Rows
from cells.shares.share import Share


def add_squared_gradients(share: Share, squares: np.ndarray, scratch: Memory, parameters: Parameters) -> None:
    """Add the squared gradient of every sequence of a share that has run forward to ``squares`` (P,).

    ``scratch`` is another memory than that of the forward pass, free for use.
    """
    network, run = share.network, share.run
    gradient = np.zeros_like(squares)
    options = PassOptions(scratch, limit=share.options.limit, keeps_tape=True, keeps_planes=True)
    initial = share.add_gradient(gradient, parameters, options)
    views = network.views(gradient)
    alone = Memory()
    for i, length in enumerate(run.rows.lengths):
        gradient.fill(0)
        steps = run.rows.first[:length] + i
        rows = Rows(np.array([length]))
        for k, part in enumerate(network.parts):
            layer = Layer(part.cell, rows, share.options.dtype, alone)
            _copy_sequence(run.layers[k], layer, i, steps)
            layer.add_gradient(np.ascontiguousarray(run.planes[k][steps]), gradient[part.parameters])
            if network.learn_initial_state:
                views[f"{part.name}.initial_h"][:] = initial[k][0][i]
                if part.cell.has_second_state:
                    views[f"{part.name}.initial_c"][:] = initial[k][1][i]
        outputs = steps if network.targets == "all" else np.array([i])
        features = Input(run.features.array[run.features.first + outputs])
        run.add_readout_gradient(parameters.readout, features, share.doutputs[outputs], gradient, options)
        squares += gradient * gradient


def _copy_sequence(layer: Layer, alone: Layer, i: int, steps: np.ndarray) -> None:
    """What ``layer`` has read and kept of sequence i, into ``alone``."""
    states, x = np.concatenate([[i], layer.rows.n_sequences + steps]), layer.x
    for name, rows in (("h", states), ("c", states), ("e", steps)):
        getattr(alone.tape, name)[:] = getattr(layer.tape, name)[rows]
    alone.x = Input(x.array[x.first + steps]) if x.index is None else Input(x.array, 0, x.index[steps])
