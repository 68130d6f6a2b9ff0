"""The multiplicative recurrent network: every input has a transition of its own, made of shared factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cells.passes.cell import Cell, Map, Plane
from cells.passes.pointwise import clear, give, take, with_added
from cells.passes.time_loops import backward_step, forward_step, rforward_step, step
from reservoir.simd.activations import one_minus_square, tanh
from reservoir.simd.tiles import add_product
from reservoir.simd.vectors import fma, pack_size


@dataclass(frozen=True)
class MultiplicativeRNN(Cell):
    """Recurrent network with three-way factors.

        m(t) = x(t) W_fx                                        gains of the factors
        q(t) = h(t-1) W_fh                                      what the factors see of the state
        h(t) = tanh((m(t) * q(t)) W_hf + x(t) W_hx + b)

    The input chooses the transition matrix, W_fh diag(m) W_hf: a sum over factors of matrices of rank one. A matrix of
    its own for each of I inputs would take I H² parameters, where this takes (I + 2H) F.

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.
    n_factors : int >= 1, optional
        Number F of factors; by default H, as in the reference.

    Notes
    -----
    Parameters: ``input`` (I, H), ``input_factors`` (I, F), ``recurrent_factors`` (H, F), ``factors`` (F, H), which is
    W_hf, ``bias`` (H,). As in the paper's equations the factors have no biases and m has no nonlinearity.

    m and q are no pre-activations: structural damping leaves them alone.

    References
    ----------
    Sutskever, Martens & Hinton (2011), Generating text with recurrent neural networks.

    Examples
    --------
    >>> from cells import MultiplicativeRNN
    >>> MultiplicativeRNN(3, 10, n_factors=5).n_params
    155
    """

    n_factors: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        F = self.n_factors
        if F is not None and (isinstance(F, bool) or not isinstance(F, int | np.integer) or F < 1):
            raise ValueError(f"n_factors must be an integer >= 1 or None, got {F!r}; None stands for n_units.")

    @property
    def _F(self) -> int:
        return self.n_units if self.n_factors is None else self.n_factors

    @property
    def planes(self) -> tuple[Plane, ...]:
        return (
            Plane("a", self.n_units, "tanh", is_state=True),
            Plane("input_factors", self._F, "identity", is_damped=False),
            Plane("recurrent_factors", self._F, "identity", is_damped=False),
        )

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H, F = self.n_in, self.n_units, self._F
        return (
            Map("input", "x", 0, H, source_width=I),
            Map("input_factors", "x", H, F, source_width=I),
            Map("recurrent_factors", "h", H + F, F, source_width=H),
            Map("factors", "e", 0, H, source_width=F),
            Map("bias", "", 0, H, form="bias"),
        )

    @property
    def n_kept(self) -> int:
        return self._F

    def weights(self, matrices: Any) -> Any:
        names = ("recurrent_factors", "factors")
        return Weights(*(form for name in names for form in (matrices[name], matrices.back(name))))


class Weights(NamedTuple):
    """What the steps read. Planes: a, m, q."""

    recurrent_factors: np.ndarray  # panels of (H, F)
    recurrent_factors_back: np.ndarray  # panels of its transpose
    factors: np.ndarray  # panels of (F, H)
    factors_back: np.ndarray


@step(forward_step, Weights)
def _forward(weights, tape, now, before, after, n):
    """z stays a, m, q; e: m * q, which the matrix of the factors reads."""
    z, h, _, e = tape
    H, F, P = h.shape[1], e.shape[1], pack_size(h)
    add_product(h, before, 0, weights.recurrent_factors, z, now, H + F, n, F)
    for row in range(n):
        t = now + row
        for j in range(0, F, P):
            give(e, t, 0, j, F, take(z, t, H, j, F) * take(z, t, H + F, j, F))
    add_product(e, now, 0, weights.factors, z, now, 0, n, H)
    for row in range(n):
        for j in range(0, H, P):
            give(h, after + row, 0, j, H, tanh(take(z, now + row, 0, j, H)))


@step(backward_step, Weights)
def _backward(weights, tape, d, now, before, after, n):
    """d.s: derivative by m * q."""
    z, h, _, e = tape
    H, F, P = h.shape[1], e.shape[1], pack_size(h)
    for row in range(n):
        t = now + row
        for j in range(0, H, P):
            da = take(d.h, row, 0, j, H) * one_minus_square(take(h, after + row, 0, j, H))
            give(d.z, t, 0, j, H, with_added(da, d, t, 0, j, H))
    clear(d.s, n)
    add_product(d.z, now, 0, weights.factors_back, d.s, 0, 0, n, F)
    for row in range(n):
        t = now + row
        for j in range(0, F, P):
            ds, m, q = take(d.s, row, 0, j, F), take(z, t, H, j, F), take(z, t, H + F, j, F)
            give(d.z, t, H, j, F, ds * q)
            give(d.z, t, H + F, j, F, ds * m)
    clear(d.h, n)
    add_product(d.z, now, H + F, weights.recurrent_factors_back, d.h, 0, 0, n, H)


@step(rforward_step, Weights)
def _rforward(weights, tape, r, now, before, after, n):
    z, h, _, e = tape
    H, F, P = h.shape[1], e.shape[1], pack_size(h)
    add_product(r.h, before, 0, weights.recurrent_factors, r.z, now, H + F, n, F)
    for row in range(n):
        t = now + row
        for j in range(0, F, P):
            m, q = take(z, t, H, j, F), take(z, t, H + F, j, F)
            give(r.e, t, 0, j, F, fma(take(r.z, t, H, j, F), q, m * take(r.z, t, H + F, j, F)))
    add_product(r.e, now, 0, weights.factors, r.z, now, 0, n, H)
    for row in range(n):
        for j in range(0, H, P):
            slope = one_minus_square(take(h, after + row, 0, j, H))
            give(r.h, after + row, 0, j, H, take(r.z, now + row, 0, j, H) * slope)
