"""The multiplicative LSTM: an LSTM whose recurrent input is first scaled, factor by factor, by the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from cells.passes.cell import Cell, Map, Plane
from cells.passes.pointwise import clear, give, take, with_added
from cells.passes.time_loops import backward_step, forward_step, rforward_step, step
from reservoir.simd.activations import logistic, one_minus_square, tanh, times_one_minus
from reservoir.simd.tiles import add_product
from reservoir.simd.vectors import fma, pack_size


@dataclass(frozen=True)
class MultiplicativeLSTM(Cell):
    """Multiplicative long short-term memory.

        m(t) = (x(t) W_mx) * (h(t-1) W_mh)
        i(t) = logistic(x(t) W_i + m(t) R_i + b_i)          input gate
        f(t) = logistic(x(t) W_f + m(t) R_f + b_f)          forget gate
        o(t) = logistic(x(t) W_o + m(t) R_o + b_o)          output gate
        g(t) = tanh(x(t) W_g + m(t) R_g + b_g)              candidate
        c(t) = f(t) * c(t-1) + i(t) * g(t)
        h(t) = o(t) * tanh(c(t))

    In place of h(t-1) the gates see m, which has H factors: the input chooses, as in
    :class:`cells.kinds.multiplicative.MultiplicativeRNN`, what they read of the state.

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.
    forget_bias : float
        Initial bias of the forget gate, as of :class:`cells.kinds.lstm.LSTM`.

    Notes
    -----
    Parameters: ``input`` (I, 4H), ``recurrent`` (H, 4H), which is R, and ``bias`` (4H,), columns i, f, o, g;
    ``input_factors`` (I, H), ``recurrent_factors`` (H, H).

    The two factors of m are no pre-activations: structural damping leaves them alone.

    References
    ----------
    Krause, Lu, Murray & Renals (2016), Multiplicative LSTM for sequence modelling.

    Examples
    --------
    >>> from cells import MultiplicativeLSTM
    >>> MultiplicativeLSTM(3, 10).n_params
    690
    """

    forget_bias: float = 1.0

    has_second_state: ClassVar[bool] = True

    @property
    def planes(self) -> tuple[Plane, ...]:
        H = self.n_units
        gates = (Plane(name, H, "logistic") for name in "ifo")
        factors = (Plane(name, H, "identity", is_damped=False) for name in ("input_factors", "recurrent_factors"))
        return (*gates, Plane("g", H, "tanh"), *factors)

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H = self.n_in, self.n_units
        return (
            Map("input", "x", 0, 4 * H, source_width=I),
            Map("recurrent", "e", 0, 4 * H, source_column=H, source_width=H),
            Map("bias", "", 0, 4 * H, form="bias"),
            Map("input_factors", "x", 4 * H, H, source_width=I),
            Map("recurrent_factors", "h", 5 * H, H, source_width=H),
        )

    @property
    def n_kept(self) -> int:
        return 2 * self.n_units

    def weights(self, matrices: Any) -> Any:
        names = ("recurrent", "recurrent_factors")
        return Weights(*(form for name in names for form in (matrices[name], matrices.back(name))))


class Weights(NamedTuple):
    """What the steps read. Planes: i, f, o, g, and the factors of m, that of the input first."""

    recurrent: np.ndarray  # panels of (H, 4H)
    recurrent_back: np.ndarray  # panels of its transpose
    recurrent_factors: np.ndarray  # panels of (H, H)
    recurrent_factors_back: np.ndarray


@step(forward_step, Weights)
def _forward(weights, tape, now, before, after, n):
    """z: gates and candidate after their nonlinearity, and the factors; e: tanh(c), then m, which the gates read."""
    z, h, c, e = tape
    H, P = h.shape[1], pack_size(h)
    add_product(h, before, 0, weights.recurrent_factors, z, now, 5 * H, n, H)
    for row in range(n):
        t = now + row
        for j in range(0, H, P):
            give(e, t, H, j, H, take(z, t, 4 * H, j, H) * take(z, t, 5 * H, j, H))
    add_product(e, now, H, weights.recurrent, z, now, 0, n, 4 * H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            i, f = logistic(take(z, t, 0, j, H)), logistic(take(z, t, H, j, H))
            o, g = logistic(take(z, t, 2 * H, j, H)), tanh(take(z, t, 3 * H, j, H))
            give(z, t, 0, j, H, i)
            give(z, t, H, j, H, f)
            give(z, t, 2 * H, j, H, o)
            give(z, t, 3 * H, j, H, g)
            c_new = fma(f, take(c, old, 0, j, H), i * g)
            s = tanh(c_new)
            give(c, new, 0, j, H, c_new)
            give(e, t, 0, j, H, s)
            give(h, new, 0, j, H, o * s)


@step(backward_step, Weights)
def _backward(weights, tape, d, now, before, after, n):
    """d.s: derivative by m, in its last H columns."""
    z, h, c, e = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            dh, s, c_old = take(d.h, row, 0, j, H), take(e, t, 0, j, H), take(c, old, 0, j, H)
            i, f, o = take(z, t, 0, j, H), take(z, t, H, j, H), take(z, t, 2 * H, j, H)
            g = take(z, t, 3 * H, j, H)
            dc = fma(dh * o, one_minus_square(s), take(d.c, row, 0, j, H))
            give(d.z, t, 0, j, H, with_added(dc * g * times_one_minus(i), d, t, 0, j, H))
            give(d.z, t, H, j, H, with_added(dc * c_old * times_one_minus(f), d, t, H, j, H))
            give(d.z, t, 2 * H, j, H, with_added(dh * s * times_one_minus(o), d, t, 2 * H, j, H))
            give(d.z, t, 3 * H, j, H, with_added(dc * i * one_minus_square(g), d, t, 3 * H, j, H))
            give(d.c, row, 0, j, H, dc * f)
    clear(d.s, n)
    clear(d.h, n)
    add_product(d.z, now, 0, weights.recurrent_back, d.s, 0, H, n, H)
    for row in range(n):
        t = now + row
        for j in range(0, H, P):
            dm, m_x, m_h = take(d.s, row, H, j, H), take(z, t, 4 * H, j, H), take(z, t, 5 * H, j, H)
            give(d.z, t, 4 * H, j, H, dm * m_h)
            give(d.z, t, 5 * H, j, H, dm * m_x)
    add_product(d.z, now, 5 * H, weights.recurrent_factors_back, d.h, 0, 0, n, H)


@step(rforward_step, Weights)
def _rforward(weights, tape, r, now, before, after, n):
    z, h, c, e = tape
    H, P = h.shape[1], pack_size(h)
    add_product(r.h, before, 0, weights.recurrent_factors, r.z, now, 5 * H, n, H)
    for row in range(n):
        t = now + row
        for j in range(0, H, P):
            m_x, m_h = take(z, t, 4 * H, j, H), take(z, t, 5 * H, j, H)
            give(r.e, t, H, j, H, fma(take(r.z, t, 4 * H, j, H), m_h, m_x * take(r.z, t, 5 * H, j, H)))
    add_product(r.e, now, H, weights.recurrent, r.z, now, 0, n, 4 * H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            i, f, o = take(z, t, 0, j, H), take(z, t, H, j, H), take(z, t, 2 * H, j, H)
            g, s = take(z, t, 3 * H, j, H), take(e, t, 0, j, H)
            Ri = take(r.z, t, 0, j, H) * times_one_minus(i)
            Rf = take(r.z, t, H, j, H) * times_one_minus(f)
            Ro = take(r.z, t, 2 * H, j, H) * times_one_minus(o)
            Rg = take(r.z, t, 3 * H, j, H) * one_minus_square(g)
            Rc = fma(f, take(r.c, old, 0, j, H), fma(Rf, take(c, old, 0, j, H), fma(Ri, g, i * Rg)))
            give(r.c, new, 0, j, H, Rc)
            give(r.h, new, 0, j, H, fma(Ro, s, o * (Rc * one_minus_square(s))))
