"""The gated recurrent unit, with its reset gate before or after the recurrent matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cells.passes.cell import Cell, Map, Plane
from cells.passes.pointwise import give, take, with_added
from cells.passes.time_loops import backward_step, forward_step, rforward_step, step
from reservoir.jit import njit
from reservoir.simd.activations import logistic, one_minus_square, tanh, times_one_minus
from reservoir.simd.tiles import add_product
from reservoir.simd.vectors import fma, like, pack_size


@dataclass(frozen=True)
class GRU(Cell):
    """Gated recurrent unit.

        r(t) = logistic(x(t) W_r + h(t-1) R_r + b_r)                reset gate
        u(t) = logistic(x(t) W_u + h(t-1) R_u + b_u)                update gate
        g(t) = tanh(x(t) W_g + (r(t) * h(t-1)) R_g + b_g)           candidate
        h(t) = u(t) * h(t-1) + (1 - u(t)) * g(t)

    or, with ``reset_after``, the form of cuDNN, PyTorch and Keras, which needs one product less in sequence:

        g(t) = tanh(x(t) W_g + b_g + r(t) * (h(t-1) R_g + b_q))

    u is the share that is *kept*, as in the paper of 2014 and in PyTorch, where it is called z; others exchange u
    and 1 - u, which is a change of the signs of W_u, R_u and b_u.

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.
    reset_after : bool
        Whether the reset gate scales what the recurrent matrix gives, bias included, instead of what it reads.

    Notes
    -----
    Parameters: ``input`` (I, 3H), columns g, r, u; ``recurrent`` (H, 2H), columns r, u; ``candidate`` (H, H), which is
    R_g; ``bias`` (3H,). With ``reset_after``: ``input`` (I, 3H), ``recurrent`` (H, 3H), columns r, u, then R_g;
    ``bias`` (4H,), g, r, u, then b_q.

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, equations 5 to 8; the first version of
    the preprint has the reset gate after the matrix.

    Examples
    --------
    >>> from cells import GRU
    >>> [(map_.name, map_.shape) for map_ in GRU(3, 10).maps]
    [('input', (3, 30)), ('recurrent', (10, 20)), ('candidate', (10, 10)), ('bias', (30,))]
    """

    reset_after: bool = False

    @property
    def planes(self) -> tuple[Plane, ...]:
        H = self.n_units
        planes = (Plane("g", H, "tanh"), Plane("r", H, "logistic"), Plane("u", H, "logistic"))
        return (*planes, Plane("q", H, "identity", is_damped=False)) if self.reset_after else planes

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H, Z = self.n_in, self.n_units, self.n_columns
        maps = [Map("input", "x", 0, 3 * H, source_width=I), Map("recurrent", "h", H, Z - H, source_width=H)]
        if not self.reset_after:
            maps.append(Map("candidate", "e", 0, H, source_width=H))
        return (*maps, Map("bias", "", 0, Z, form="bias"))

    @property
    def n_kept(self) -> int:
        return 0 if self.reset_after else self.n_units

    def weights(self, matrices: Any) -> Any:
        recurrent = matrices["recurrent"], matrices.back("recurrent")
        if self.reset_after:
            return AfterWeights(*recurrent)
        return Weights(*recurrent, matrices["candidate"], matrices.back("candidate"))


class Weights(NamedTuple):
    """What the steps read. Planes: g, r, u."""

    recurrent: np.ndarray  # panels of (H, 2H)
    recurrent_back: np.ndarray  # panels of its transpose
    candidate: np.ndarray  # panels of (H, H)
    candidate_back: np.ndarray


class AfterWeights(NamedTuple):
    """The same, for the reset gate after the matrix. Planes: g, r, u, q."""

    recurrent: np.ndarray  # panels of (H, 3H)
    recurrent_back: np.ndarray


@step(forward_step, Weights)
def _forward(weights, tape, now, before, after, n):
    """z: candidate and gates after their nonlinearity; e: r * h, which the candidate's matrix reads."""
    z, h, _, e = tape
    H, P = h.shape[1], pack_size(h)
    add_product(h, before, 0, weights.recurrent, z, now, H, n, 2 * H)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            r, u = logistic(take(z, t, H, j, H)), logistic(take(z, t, 2 * H, j, H))
            give(z, t, H, j, H, r)
            give(z, t, 2 * H, j, H, u)
            give(e, t, 0, j, H, r * take(h, old, 0, j, H))
    add_product(e, now, 0, weights.candidate, z, now, 0, n, H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            g = tanh(take(z, t, 0, j, H))
            give(z, t, 0, j, H, g)
            h_old = take(h, old, 0, j, H)
            give(h, new, 0, j, H, fma(like(g, 1.0) - take(z, t, 2 * H, j, H), g - h_old, h_old))


@step(backward_step, Weights)
def _backward(weights, tape, d, now, before, after, n):
    """d.s: derivative by r * h."""
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            dh, h_old = take(d.h, row, 0, j, H), take(h, old, 0, j, H)
            g, u = take(z, t, 0, j, H), take(z, t, 2 * H, j, H)
            kept = dh * u
            dg, du = (dh - kept) * one_minus_square(g), dh * (h_old - g) * times_one_minus(u)
            give(d.z, t, 0, j, H, with_added(dg, d, t, 0, j, H))
            give(d.z, t, 2 * H, j, H, with_added(du, d, t, 2 * H, j, H))
            give(d.h, row, 0, j, H, kept)
            give(d.s, row, 0, j, H, like(dh, 0.0))
    add_product(d.z, now, 0, weights.candidate_back, d.s, 0, 0, n, H)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            ds, r = take(d.s, row, 0, j, H), take(z, t, H, j, H)
            dr = ds * take(h, old, 0, j, H) * times_one_minus(r)
            give(d.z, t, H, j, H, with_added(dr, d, t, H, j, H))
            give(d.h, row, 0, j, H, fma(ds, r, take(d.h, row, 0, j, H)))
    add_product(d.z, now, H, weights.recurrent_back, d.h, 0, 0, n, H)


@step(rforward_step, Weights)
def _rforward(weights, tape, r, now, before, after, n):
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    add_product(r.h, before, 0, weights.recurrent, r.z, now, H, n, 2 * H)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            reset = take(z, t, H, j, H)
            Rreset = take(r.z, t, H, j, H) * times_one_minus(reset)
            give(r.e, t, 0, j, H, fma(Rreset, take(h, old, 0, j, H), reset * take(r.h, old, 0, j, H)))
    add_product(r.e, now, 0, weights.candidate, r.z, now, 0, n, H)
    for row in range(n):
        _rstate(tape, r, now + row, before + row, after + row)


@step(forward_step, AfterWeights)
def _forward_after(weights, tape, now, before, after, n):
    """z: candidate and gates after their nonlinearity, and q, which r scales."""
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    add_product(h, before, 0, weights.recurrent, z, now, H, n, 3 * H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            r, u = logistic(take(z, t, H, j, H)), logistic(take(z, t, 2 * H, j, H))
            g = tanh(fma(r, take(z, t, 3 * H, j, H), take(z, t, 0, j, H)))
            give(z, t, 0, j, H, g)
            give(z, t, H, j, H, r)
            give(z, t, 2 * H, j, H, u)
            h_old = take(h, old, 0, j, H)
            give(h, new, 0, j, H, fma(like(g, 1.0) - u, g - h_old, h_old))


@step(backward_step, AfterWeights)
def _backward_after(weights, tape, d, now, before, after, n):
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            dh, h_old = take(d.h, row, 0, j, H), take(h, old, 0, j, H)
            g, r, u = take(z, t, 0, j, H), take(z, t, H, j, H), take(z, t, 2 * H, j, H)
            q = take(z, t, 3 * H, j, H)
            kept = dh * u
            dg = with_added((dh - kept) * one_minus_square(g), d, t, 0, j, H)
            dr, du = dg * q * times_one_minus(r), dh * (h_old - g) * times_one_minus(u)
            give(d.z, t, 0, j, H, dg)
            give(d.z, t, H, j, H, with_added(dr, d, t, H, j, H))
            give(d.z, t, 2 * H, j, H, with_added(du, d, t, 2 * H, j, H))
            give(d.z, t, 3 * H, j, H, dg * r)
            give(d.h, row, 0, j, H, kept)
    add_product(d.z, now, H, weights.recurrent_back, d.h, 0, 0, n, H)


@step(rforward_step, AfterWeights)
def _rforward_after(weights, tape, r, now, before, after, n):
    z, h, _, _ = tape
    H, P = h.shape[1], pack_size(h)
    add_product(r.h, before, 0, weights.recurrent, r.z, now, H, n, 3 * H)
    for row in range(n):
        t = now + row
        for j in range(0, H, P):
            reset, q, Rq = take(z, t, H, j, H), take(z, t, 3 * H, j, H), take(r.z, t, 3 * H, j, H)
            Rreset = take(r.z, t, H, j, H) * times_one_minus(reset)
            give(r.z, t, 0, j, H, fma(Rreset, q, fma(reset, Rq, take(r.z, t, 0, j, H))))
        _rstate(tape, r, t, before + row, after + row)


@njit(nogil=True, error_model="numpy")
def _rstate(tape, r, t, old, new):
    """R of the state of one row, from R of the planes of the candidate and of the update gate."""
    z, h, _, _ = tape
    H = h.shape[1]
    for j in range(0, H, pack_size(h)):
        g, u = take(z, t, 0, j, H), take(z, t, 2 * H, j, H)
        h_old, Rh_old = take(h, old, 0, j, H), take(r.h, old, 0, j, H)
        Rg = take(r.z, t, 0, j, H) * one_minus_square(g)
        Ru = take(r.z, t, 2 * H, j, H) * times_one_minus(u)
        give(r.h, new, 0, j, H, fma(Ru, h_old - g, fma(u, Rh_old - Rg, Rg)))
