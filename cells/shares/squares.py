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

from cells.passes.layer import Input, Layer
from cells.passes.memory import Memory
from cells.passes.rows import Rows
from cells.shares.parameters import Parameters
from cells.shares.share import Share


def add_squared_gradients(
    parameters: Parameters, share: Share, memory: Memory, scratch: Memory, squares: np.ndarray
) -> None:
    """Add the squared gradient of every sequence of a linearised share to ``squares`` (P,).

    ``memory`` is that of ``share.linearize``; ``scratch`` is another one, free for use.
    """
    network, dtype = share.network, share.options.dtype
    gradient = np.zeros_like(squares)
    run, initial = share.planes_cotangents(parameters, memory, scratch, gradient)
    views = network.views(gradient)
    alone = Memory()
    for i, length in enumerate(run.rows.lengths):
        gradient.fill(0)
        steps = run.rows.first[:length] + i
        rows = Rows(np.array([length]))
        for k, part in enumerate(network.parts):
            layer = Layer(part.cell, rows, dtype, alone, "alone")
            _copy_sequence(run.layers[k], layer, i, steps)
            x = run.inputs[k]
            x = Input(x.array, 0, x.index[steps]) if x.index is not None else Input(x.array[x.first + steps])
            layer.add_gradient(np.ascontiguousarray(run.planes[k][steps]), x, gradient[part.parameters])
            if network.learn_initial_state:
                given = share.data.given[0] if k == 0 else []
                views[f"{part.name}.initial_h"][:] = initial[k][0][i]
                views[f"{part.name}.initial_h"][given] = 0.0
                if part.cell.has_second_state:
                    views[f"{part.name}.initial_c"][:] = initial[k][1][i]
        outputs = steps if network.targets == "all" else np.array([i])
        dout = share.doutputs[outputs]
        views["readout.weights"][:] = run.features.array[run.features.first + outputs].T @ dout
        views["readout.bias"][:] = dout.sum(axis=0)
        squares += gradient * gradient


def _copy_sequence(run: Layer, alone: Layer, i: int, steps: np.ndarray) -> None:
    """Rows of sequence i of the tape of ``run`` into that of ``alone``."""
    states = np.concatenate([[i], run.rows.n_sequences + steps])
    for name, rows in (("h", states), ("c", states), ("e", steps)):
        getattr(alone.tape, name)[:] = getattr(run.tape, name)[rows]
