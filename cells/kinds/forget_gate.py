"""A cell that forgets and adds: the shortest gated recurrence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cells.passes.cell import Cell, Map, Plane
from cells.passes.pointwise import give, take, with_added
from cells.passes.time_loops import backward_step, forward_step, rforward_step, step
from reservoir.simd.activations import logistic, one_minus_square, tanh, times_one_minus
from reservoir.simd.tiles import add_product
from reservoir.simd.vectors import fma, pack_size


@dataclass(frozen=True)
class ForgetGate(Cell):
    """State that is kept in part and added to.

        f(t) = logistic(x(t) W_f + h(t-1) R_f + b_f)        forget gate
        g(t) = tanh(x(t) W_g + h(t-1) R_g + b_g)            candidate
        h(t) = f(t) * h(t-1) + g(t)

    Nothing bounds the state: where f stays near 1 it can grow by 1 a step. Gates that close, and the output gate that
    keeps such a state from the other units, make the long short-term memory of it.

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.
    forget_bias : float
        Initial bias of the forget gate, as of :class:`cells.kinds.lstm.LSTM`.

    Notes
    -----
    Parameters: ``input`` (I, 2H), ``recurrent`` (H, 2H), ``bias`` (2H,); columns f, g.

    References
    ----------
    Gers, Schmidhuber & Cummins (2000), Learning to forget, for the gate. The cell is a step of explanation on the way
    to theirs; no paper proposes it.

    Examples
    --------
    >>> from cells import ForgetGate
    >>> ForgetGate(3, 10).n_params
    280
    """

    forget_bias: float = 1.0

    @property
    def planes(self) -> tuple[Plane, ...]:
        return Plane("f", self.n_units, "logistic"), Plane("g", self.n_units, "tanh")

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H, Z = self.n_in, self.n_units, self.n_columns
        return (
            Map("input", "x", 0, Z, source_width=I),
            Map("recurrent", "h", 0, Z, source_width=H),
            Map("bias", "", 0, Z, form="bias"),
        )

    def weights(self, matrices: Any) -> Any:
        return Weights(matrices["recurrent"], matrices.back("recurrent"))


class Weights(NamedTuple):
    """What the steps read. Planes: f, g."""

    recurrent: np.ndarray  # panels of (H, 2H)
    recurrent_back: np.ndarray  # panels of its transpose


@step(forward_step, Weights)
def _forward(weights, tape, now, before, after, n):
    """z: gate and candidate after their nonlinearity."""
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    add_product(h, before, 0, weights.recurrent, z, now, 0, n, 2 * H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            f, g = logistic(take(z, t, 0, j, H)), tanh(take(z, t, H, j, H))
            give(z, t, 0, j, H, f)
            give(z, t, H, j, H, g)
            give(h, new, 0, j, H, fma(f, take(h, old, 0, j, H), g))


@step(backward_step, Weights)
def _backward(weights, tape, d, now, before, after, n):
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            dh, f, g = take(d.h, row, 0, j, H), take(z, t, 0, j, H), take(z, t, H, j, H)
            df, dg = dh * take(h, old, 0, j, H) * times_one_minus(f), dh * one_minus_square(g)
            give(d.z, t, 0, j, H, with_added(df, d, t, 0, j, H))
            give(d.z, t, H, j, H, with_added(dg, d, t, H, j, H))
            give(d.h, row, 0, j, H, dh * f)
    add_product(d.z, now, 0, weights.recurrent_back, d.h, 0, 0, n, H)


@step(rforward_step, Weights)
def _rforward(weights, tape, r, now, before, after, n):
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    add_product(r.h, before, 0, weights.recurrent, r.z, now, 0, n, 2 * H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            f, g = take(z, t, 0, j, H), take(z, t, H, j, H)
            Rf = take(r.z, t, 0, j, H) * times_one_minus(f)
            Rg = take(r.z, t, H, j, H) * one_minus_square(g)
            give(r.h, new, 0, j, H, fma(Rf, take(h, old, 0, j, H), fma(f, take(r.h, old, 0, j, H), Rg)))
