"""The simple recurrent network of Elman."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from cells.passes.cell import Cell, Map, Plane
from cells.passes.pointwise import clear, give, take, with_added
from cells.passes.time_loops import backward_step, forward_step, rforward_step, step
from reservoir.simd.activations import CODES, activate, times_slope
from reservoir.simd.tiles import add_product
from reservoir.simd.vectors import pack_size


@dataclass(frozen=True)
class Elman(Cell):
    """Simple recurrent network.

        a(t) = x(t) W + h(t-1) R + b
        h(t) = activation(a(t))

    or, with ``activates_first``, the form in which gradients are often analysed,

        h(t) = x(t) W + activation(h(t-1)) R + b

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.
    activation : "tanh", "relu", "logistic" or "identity"
    activates_first : bool
        Whether the nonlinearity stands before the recurrent matrix.

    Notes
    -----
    Parameters: ``input`` (I, H), ``recurrent`` (H, H), ``bias`` (H,).

    References
    ----------
    Elman (1990), Finding structure in time. Pascanu, Mikolov & Bengio (2013), equation 2, for the second form.

    Examples
    --------
    >>> from cells import Elman
    >>> Elman(3, 10).n_params
    140
    """

    activation: Literal["tanh", "relu", "logistic", "identity"] = "tanh"
    activates_first: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in CODES:
            raise ValueError(f"activation must be one of {', '.join(CODES)}, got {self.activation!r}.")

    @property
    def planes(self) -> tuple[Plane, ...]:
        return (Plane("a", self.n_units, self.activation, is_state=not self.activates_first),)

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H = self.n_in, self.n_units
        return (
            Map("input", "x", 0, H, source_width=I),
            Map("recurrent", "e" if self.activates_first else "h", 0, H, source_width=H),
            Map("bias", "", 0, H, form="bias"),
        )

    @property
    def n_kept(self) -> int:
        return self.n_units if self.activates_first else 0

    def weights(self, matrices: Any) -> Any:
        kind = FirstWeights if self.activates_first else Weights
        return kind(matrices["recurrent"], matrices.back("recurrent"), CODES[self.activation])


class Weights(NamedTuple):
    """What the steps read."""

    recurrent: np.ndarray  # panels of (H, H)
    recurrent_back: np.ndarray  # panels of its transpose
    activation: tuple


class FirstWeights(NamedTuple):
    """The same, for the form that has the nonlinearity first."""

    recurrent: np.ndarray
    recurrent_back: np.ndarray
    activation: tuple


@step(forward_step, Weights)
def _forward(weights, tape, now, before, after, n):
    """z, which is the same memory as the states after the step, turns from a into h."""
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    add_product(h, before, 0, weights.recurrent, z, now, 0, n, H)
    for row in range(n):
        for j in range(0, H, P):
            give(h, after + row, 0, j, H, activate(weights.activation, take(z, now + row, 0, j, H)))


@step(backward_step, Weights)
def _backward(weights, tape, d, now, before, after, n):
    _, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        for j in range(0, H, P):
            da = times_slope(take(d.h, row, 0, j, H), weights.activation, take(h, after + row, 0, j, H))
            give(d.z, now + row, 0, j, H, with_added(da, d, now + row, 0, j, H))
    clear(d.h, n)
    add_product(d.z, now, 0, weights.recurrent_back, d.h, 0, 0, n, H)


@step(rforward_step, Weights)
def _rforward(weights, tape, r, now, before, after, n):
    _, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    add_product(r.h, before, 0, weights.recurrent, r.z, now, 0, n, H)
    for row in range(n):
        for j in range(0, H, P):
            Ra = take(r.z, now + row, 0, j, H)
            give(r.h, after + row, 0, j, H, times_slope(Ra, weights.activation, take(h, after + row, 0, j, H)))


@step(forward_step, FirstWeights)
def _forward_first(weights, tape, now, before, after, n):
    """z becomes the activation of the state it makes; e is that of the state before, which the matrix reads."""
    z, h, _, e = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        for j in range(0, H, P):
            give(e, now + row, 0, j, H, activate(weights.activation, take(h, before + row, 0, j, H)))
    add_product(e, now, 0, weights.recurrent, z, now, 0, n, H)
    for row in range(n):
        for j in range(0, H, P):
            a = take(z, now + row, 0, j, H)
            give(h, after + row, 0, j, H, a)
            give(z, now + row, 0, j, H, activate(weights.activation, a))


@step(backward_step, FirstWeights)
def _backward_first(weights, tape, d, now, before, after, n):
    _, h, _, e = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        for j in range(0, H, P):
            give(d.z, now + row, 0, j, H, with_added(take(d.h, row, 0, j, H), d, now + row, 0, j, H))
    clear(d.h, n)
    add_product(d.z, now, 0, weights.recurrent_back, d.h, 0, 0, n, H)
    for row in range(n):
        for j in range(0, H, P):
            s = take(e, now + row, 0, j, H)
            give(d.h, row, 0, j, H, times_slope(take(d.h, row, 0, j, H), weights.activation, s))


@step(rforward_step, FirstWeights)
def _rforward_first(weights, tape, r, now, before, after, n):
    _, h, _, e = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        for j in range(0, H, P):
            s = take(e, now + row, 0, j, H)
            give(r.e, now + row, 0, j, H, times_slope(take(r.h, before + row, 0, j, H), weights.activation, s))
    add_product(r.e, now, 0, weights.recurrent, r.z, now, 0, n, H)
    for row in range(n):
        for j in range(0, H, P):
            give(r.h, after + row, 0, j, H, take(r.z, now + row, 0, j, H))
