"""Long short-term memory, and the variants of its gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from cells.passes.cell import Cell, Map, Plane
from cells.passes.pointwise import clear, give, take, with_added
from cells.passes.time_loops import backward_step, forward_step, rforward_step, step
from reservoir.jit import njit
from reservoir.simd.activations import logistic, one_minus_square, tanh, times_one_minus
from reservoir.simd.tiles import add_product
from reservoir.simd.vectors import fma, like, pack_size


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory.

        i(t) = logistic(x(t) W_i + h(t-1) R_i + p_i * c(t-1) + b_i)         input gate
        f(t) = logistic(x(t) W_f + h(t-1) R_f + p_f * c(t-1) + b_f)         forget gate
        g(t) = tanh(x(t) W_g + h(t-1) R_g + b_g)                            candidate
        c(t) = f(t) * c(t-1) + i(t) * g(t)
        o(t) = logistic(x(t) W_o + h(t-1) R_o + p_o * c(t) + b_o)           output gate
        h(t) = o(t) * tanh(c(t))

    The peepholes p are absent unless asked for. The variants carry the names of Greff et al. (2017).

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.
    has_input_gate, has_forget_gate, has_output_gate : bool
        An absent gate is 1 (NIG, NFG, NOG). Without forget gate this is the cell of 1997.
    is_coupled : bool
        f = 1 - i, without parameters of its own (CIFG).
    has_input_activation, has_output_activation : bool
        Whether the first tanh (NIAF), the second (NOAF) are there; else the identity.
    has_peepholes : bool
        Whether the gates see c (the vanilla LSTM of the reference has them; without: NP, the default).
    has_full_gate_recurrence : bool
        Whether the gates also see the gates of the step before (FGR).
    forget_bias : float
        Initial bias of the forget gate; 1 as Jozefowicz et al. (2015) advise. Initial, not added to the parameter.

    Notes
    -----
    Parameters: ``input`` (I, Z), ``recurrent`` (H, Z), ``bias`` (Z,); ``peephole_i``, ``peephole_f``, ``peephole_o``
    (H,); ``gates`` (n_gates H, n_gates H). Columns are the gates that have parameters in the order i, f, o, then g,
    H each.

    References
    ----------
    Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000), forget gate; Gers & Schmidhuber (2000),
    peepholes; Greff, Srivastava, Koutník, Steunebrink & Schmidhuber (2017), LSTM: a search space odyssey, section III.

    Examples
    --------
    >>> from cells import LSTM
    >>> cell = LSTM(3, 10)
    >>> [(map_.name, map_.shape) for map_ in cell.maps]
    [('input', (3, 40)), ('recurrent', (10, 40)), ('bias', (40,))]
    """

    has_input_gate: bool = True
    has_forget_gate: bool = True
    has_output_gate: bool = True
    is_coupled: bool = False
    has_input_activation: bool = True
    has_output_activation: bool = True
    has_peepholes: bool = False
    has_full_gate_recurrence: bool = False
    forget_bias: float = 1.0

    has_second_state: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_coupled and not self.has_input_gate:
            raise ValueError("is_coupled=True needs the input gate, got has_input_gate=False; f = 1 - i has no i then.")

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates that have parameters."""
        present = {
            "i": self.has_input_gate,
            "f": self.has_forget_gate and not self.is_coupled,
            "o": self.has_output_gate,
        }
        return tuple(name for name, is_present in present.items() if is_present)

    @property
    def planes(self) -> tuple[Plane, ...]:
        H = self.n_units
        gates = tuple(Plane(name, H, "logistic") for name in self.gates)
        return (*gates, Plane("g", H, "tanh" if self.has_input_activation else "identity"))

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H, Z = self.n_in, self.n_units, self.n_columns
        n_gates = len(self.gates)
        maps = [
            Map("input", "x", 0, Z, source_width=I),
            Map("recurrent", "h", 0, Z, source_width=H),
            Map("bias", "", 0, Z, form="bias"),
        ]
        if self.has_peepholes:
            maps += [
                Map(f"peephole_{name}", "c_now" if name == "o" else "c", k * H, H, form="diagonal")
                for k, name in enumerate(self.gates)
            ]
        if self.has_full_gate_recurrence and n_gates:
            maps.append(Map("gates", "e_before", 0, n_gates * H, source_column=H, source_width=n_gates * H))
        return tuple(maps)

    @property
    def n_kept(self) -> int:
        return self.n_units * (1 + (len(self.gates) if self.has_full_gate_recurrence else 0))

    @property
    def n_fed_back(self) -> int:
        return self.n_kept - self.n_units

    def weights(self, matrices: Any) -> Any:
        return Weights(
            *(matrices["recurrent"], matrices.back("recurrent"), matrices["gates"], matrices.back("gates")),
            *(matrices.row(f"peephole_{name}") for name in "ifo"),
            *(self.column_of(name) for name in "ifog"),
            *(self.is_coupled, self.has_input_activation, self.has_output_activation),
        )


class Weights(NamedTuple):
    """What the steps read; a gate that is absent has column -1."""

    recurrent: np.ndarray  # panels of (H, Z)
    recurrent_back: np.ndarray  # panels of its transpose
    gates: np.ndarray  # panels of (n_gates H, n_gates H), or of size 0
    gates_back: np.ndarray
    peephole_i: np.ndarray  # (1, H), or of size 0
    peephole_f: np.ndarray
    peephole_o: np.ndarray
    i: int
    f: int
    o: int
    g: int
    is_coupled: bool
    has_input_activation: bool
    has_output_activation: bool


@njit(nogil=True, error_model="numpy")
def _peep(a, peephole, c, j, H):
    """a + p * c; a if there is no peephole."""
    if peephole.size > 0:
        return fma(take(peephole, 0, 0, j, H), c, a)
    return a


@njit(nogil=True, error_model="numpy")
def _gate_cotangent(dgate, gate, d, t, row, column, j, H):
    """From the derivative by a gate to that by its plane, which is written."""
    if d.g.size > 0:
        dgate = dgate + take(d.g, row, column, j, H)
    dz = with_added(dgate * times_one_minus(gate), d, t, column, j, H)
    give(d.z, t, column, j, H, dz)
    return dz


@step(forward_step, Weights)
def _forward(weights, tape, now, before, after, n):
    """z: gates and candidate after their nonlinearity; e: tanh(c), then the gates if the next step reads them."""
    z, h, c, e = tape
    H, P = h.shape[1], pack_size(h)
    add_product(h, before, 0, weights.recurrent, z, now, 0, n, z.shape[1])
    feeds_back = weights.gates.size > 0
    if feeds_back and now > 0:
        add_product(e, before - (h.shape[0] - z.shape[0]), H, weights.gates, z, now, 0, n, e.shape[1] - H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            c_old = take(c, old, 0, j, H)
            i = f = o = like(c_old, 1.0)
            if weights.i >= 0:
                i = logistic(_peep(take(z, t, weights.i, j, H), weights.peephole_i, c_old, j, H))
                give(z, t, weights.i, j, H, i)
            if weights.is_coupled:
                f = like(c_old, 1.0) - i
            if weights.f >= 0:
                f = logistic(_peep(take(z, t, weights.f, j, H), weights.peephole_f, c_old, j, H))
                give(z, t, weights.f, j, H, f)
            g = take(z, t, weights.g, j, H)
            if weights.has_input_activation:
                g = tanh(g)
                give(z, t, weights.g, j, H, g)
            c_new = fma(f, c_old, i * g)
            give(c, new, 0, j, H, c_new)
            if weights.o >= 0:
                o = logistic(_peep(take(z, t, weights.o, j, H), weights.peephole_o, c_new, j, H))
                give(z, t, weights.o, j, H, o)
            s = c_new
            if weights.has_output_activation:
                s = tanh(c_new)
            give(e, t, 0, j, H, s)
            give(h, new, 0, j, H, o * s)
        if feeds_back:
            for j in range(e.shape[1] - H):
                e[t, H + j] = z[t, j]


@step(backward_step, Weights)
def _backward(weights, tape, d, now, before, after, n):
    z, h, c, e = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            dh, dc, c_old = take(d.h, row, 0, j, H), take(d.c, row, 0, j, H), take(c, old, 0, j, H)
            s, g = take(e, t, 0, j, H), take(z, t, weights.g, j, H)
            i = f = like(dh, 1.0)
            if weights.i >= 0:
                i = take(z, t, weights.i, j, H)
            if weights.is_coupled:
                f = like(dh, 1.0) - i
            if weights.f >= 0:
                f = take(z, t, weights.f, j, H)
            ds = dh
            if weights.o >= 0:
                o = take(z, t, weights.o, j, H)
                dz_o = _gate_cotangent(dh * s, o, d, t, row, weights.o, j, H)
                ds = dh * o
                dc = _peep(dc, weights.peephole_o, dz_o, j, H)
            if weights.has_output_activation:
                ds = ds * one_minus_square(s)
            dc = dc + ds
            dc_old = dc * f
            if weights.f >= 0:
                dz_f = _gate_cotangent(dc * c_old, f, d, t, row, weights.f, j, H)
                dc_old = _peep(dc_old, weights.peephole_f, dz_f, j, H)
            if weights.i >= 0:
                di = dc * g
                if weights.is_coupled:
                    di = di - dc * c_old
                dz_i = _gate_cotangent(di, i, d, t, row, weights.i, j, H)
                dc_old = _peep(dc_old, weights.peephole_i, dz_i, j, H)
            dg = dc * i
            if weights.has_input_activation:
                dg = dg * one_minus_square(g)
            give(d.z, t, weights.g, j, H, with_added(dg, d, t, weights.g, j, H))
            give(d.c, row, 0, j, H, dc_old)
    clear(d.h, n)
    add_product(d.z, now, 0, weights.recurrent_back, d.h, 0, 0, n, H)
    if weights.gates.size > 0:
        clear(d.g, n)
        add_product(d.z, now, 0, weights.gates_back, d.g, 0, 0, n, d.g.shape[1])


@step(rforward_step, Weights)
def _rforward(weights, tape, r, now, before, after, n):
    z, h, c, e = tape
    rz, re = r.z, r.e
    H, P = h.shape[1], pack_size(h)
    add_product(r.h, before, 0, weights.recurrent, r.z, now, 0, n, z.shape[1])
    feeds_back = weights.gates.size > 0
    if feeds_back and now > 0:
        add_product(r.e, before - (h.shape[0] - z.shape[0]), H, weights.gates, r.z, now, 0, n, e.shape[1] - H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            c_old, Rc_old = take(c, old, 0, j, H), take(r.c, old, 0, j, H)
            s, g, Rg = take(e, t, 0, j, H), take(z, t, weights.g, j, H), take(r.z, t, weights.g, j, H)
            if weights.has_input_activation:
                Rg = Rg * one_minus_square(g)
            i = f = like(g, 1.0)
            Ri = Rf = like(g, 0.0)
            if weights.i >= 0:
                i = take(z, t, weights.i, j, H)
                Ri = _peep(take(rz, t, weights.i, j, H), weights.peephole_i, Rc_old, j, H)
                give(rz, t, weights.i, j, H, Ri)
                Ri = Ri * times_one_minus(i)
            if weights.is_coupled:
                f, Rf = like(g, 1.0) - i, like(g, 0.0) - Ri
            if weights.f >= 0:
                f = take(z, t, weights.f, j, H)
                Rf = _peep(take(rz, t, weights.f, j, H), weights.peephole_f, Rc_old, j, H)
                give(rz, t, weights.f, j, H, Rf)
                Rf = Rf * times_one_minus(f)
            Rc = fma(f, Rc_old, fma(Rf, c_old, fma(Ri, g, i * Rg)))
            give(r.c, new, 0, j, H, Rc)
            Rs = Rc
            if weights.has_output_activation:
                Rs = Rc * one_minus_square(s)
            Rh = Rs
            if weights.o >= 0:
                o = take(z, t, weights.o, j, H)
                Ro = _peep(take(rz, t, weights.o, j, H), weights.peephole_o, Rc, j, H)
                give(rz, t, weights.o, j, H, Ro)
                Ro = Ro * times_one_minus(o)
                Rh = fma(Ro, s, o * Rs)
            give(r.h, new, 0, j, H, Rh)
        if feeds_back:
            for j in range(e.shape[1] - H):
                re[t, H + j] = rz[t, j] * (z[t, j] - z[t, j] * z[t, j])
