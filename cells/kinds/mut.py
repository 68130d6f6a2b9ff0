"""Three gated cells that a search over ten thousand architectures found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from cells.passes.cell import Cell, Map, Plane
from cells.passes.pointwise import give, take, with_added
from cells.passes.time_loops import backward_step, forward_step, rforward_step, step
from reservoir.simd.activations import logistic, one_minus_square, tanh, times_one_minus
from reservoir.simd.tiles import add_product
from reservoir.simd.vectors import fma, like, pack_size


class _Mutant(Cell):
    """What the three have in common: planes g, u, r from left to right, and the two stages of a step."""

    reads_tanh: ClassVar[bool] = False  # whether u sees tanh(h) instead of h

    @property
    def planes(self) -> tuple[Plane, ...]:
        H = self.n_units
        return Plane("g", H, "tanh"), Plane("u", H, "logistic"), Plane("r", H, "logistic")

    @property
    def n_kept(self) -> int:
        return self.n_units * (2 if self.reads_tanh else 1)

    def weights(self, matrices: Any) -> Any:
        (first,) = (map_.column for map_ in self.maps if map_.name == "recurrent")
        names = ("recurrent", "candidate", "update")
        forms = (form for name in names for form in (matrices[name], matrices.back(name)))
        return Weights(*forms, first, self.column_of("p"))

    def _project(self, project_input: bool | None) -> bool:
        """Whether the input is projected, checked."""
        I, H = self.n_in, self.n_units
        if project_input is None:
            return I != H
        if not project_input and I != H:
            raise ValueError(
                f"project_input=False needs n_in = n_units, got n_in={I}, n_units={H}; the input is added to the units "
                "one by one. Leave project_input=None to have it mapped to that width."
            )
        return bool(project_input)


@dataclass(frozen=True)
class MUT1(_Mutant):
    """First cell of the search: the update gate sees the input only.

        u(t) = logistic(x(t) W_u + b_u)                                    update gate
        r(t) = logistic(x(t) W_r + h(t-1) R_r + b_r)                       reset gate
        g(t) = tanh((r(t) * h(t-1)) R_g + tanh(p(t)) + b_g)                candidate
        h(t) = u(t) * g(t) + (1 - u(t)) * h(t-1)

    with p(t) = x(t), or x(t) P if the input is projected. u (z in the paper) is the share of the *new*, where in
    :class:`cells.kinds.gru.GRU` it is that of the old.

    A trap in the paper: it adds tanh(x), I numbers wide, to H numbers. This has a meaning only if I = H, as where the
    input is an embedding of the cell's width. For other widths the input is mapped to H numbers before that tanh.

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.
    project_input : bool or None
        Whether p = x P, P a parameter; by default if I is not H.

    Notes
    -----
    Parameters: ``input`` (I, 2H), columns u, r, and P if the input is projected, (I, 3H) then; ``recurrent`` (H, H),
    which is R_r; ``candidate`` (H, H), which is R_g; ``bias`` (3H,), g, u, r.

    References
    ----------
    Jozefowicz, Zaremba & Sutskever (2015), An empirical exploration of recurrent network architectures.

    Examples
    --------
    >>> from cells import MUT1
    >>> MUT1(10, 10).n_params, MUT1(3, 10).n_params
    (430, 320)
    """

    project_input: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._project(self.project_input)

    @property
    def planes(self) -> tuple[Plane, ...]:
        return (*super().planes, Plane("p", self.n_units, "tanh"))

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H = self.n_in, self.n_units
        return (
            Map("input", "x", H, 3 * H if self._project(self.project_input) else 2 * H, source_width=I),
            Map("recurrent", "h", 2 * H, H, source_width=H),
            Map("candidate", "e", 0, H, source_width=H),
            Map("bias", "", 0, 3 * H, form="bias"),
        )

    @property
    def raw_input_column(self) -> int:
        return -1 if self._project(self.project_input) else 3 * self.n_units


@dataclass(frozen=True)
class MUT2(_Mutant):
    """Second cell of the search: the input goes to the reset gate without a matrix.

        u(t) = logistic(x(t) W_u + h(t-1) R_u + b_u)                       update gate
        r(t) = logistic(p(t) + h(t-1) R_r + b_r)                           reset gate
        g(t) = tanh(x(t) W_g + (r(t) * h(t-1)) R_g + b_g)                  candidate
        h(t) = u(t) * g(t) + (1 - u(t)) * h(t-1)

    with p(t) = x(t), or x(t) P if the input is projected; about that trap, and u, see :class:`MUT1`. With P this is the
    gated recurrent unit, the roles of u and 1 - u exchanged.

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.
    project_input : bool or None
        Whether p = x P, P a parameter; by default if I is not H.

    Notes
    -----
    Parameters: ``input`` (I, 2H), columns g, u, and P if the input is projected, (I, 3H) then; ``recurrent`` (H, 2H),
    columns u, r; ``candidate`` (H, H), which is R_g; ``bias`` (3H,), g, u, r.

    References
    ----------
    Jozefowicz, Zaremba & Sutskever (2015), An empirical exploration of recurrent network architectures.

    Examples
    --------
    >>> from cells import MUT2
    >>> MUT2(10, 10).n_params, MUT2(3, 10).n_params
    (530, 420)
    """

    project_input: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._project(self.project_input)

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H = self.n_in, self.n_units
        return (
            Map("input", "x", 0, 3 * H if self._project(self.project_input) else 2 * H, source_width=I),
            Map("recurrent", "h", H, 2 * H, source_width=H),
            Map("candidate", "e", 0, H, source_width=H),
            Map("bias", "", 0, 3 * H, form="bias"),
        )

    @property
    def raw_input_column(self) -> int:
        return -1 if self._project(self.project_input) else 2 * self.n_units


@dataclass(frozen=True)
class MUT3(_Mutant):
    """Third cell of the search: the update gate sees tanh(h).

        u(t) = logistic(x(t) W_u + tanh(h(t-1)) R_u + b_u)                 update gate
        r(t) = logistic(x(t) W_r + h(t-1) R_r + b_r)                       reset gate
        g(t) = tanh(x(t) W_g + (r(t) * h(t-1)) R_g + b_g)                  candidate
        h(t) = u(t) * g(t) + (1 - u(t)) * h(t-1)

    u is the share of the new, as in :class:`MUT1`; the input may have any width.

    Parameters
    ----------
    n_in, n_units : int >= 1
        Numbers I of inputs and H of units.

    Notes
    -----
    Parameters: ``input`` (I, 3H) and ``bias`` (3H,), columns g, u, r; ``recurrent`` (H, H), which is R_r;
    ``candidate`` (H, H), R_g; ``update`` (H, H), R_u.

    References
    ----------
    Jozefowicz, Zaremba & Sutskever (2015), An empirical exploration of recurrent network architectures.

    Examples
    --------
    >>> from cells import MUT3
    >>> MUT3(3, 10).n_params
    420
    """

    reads_tanh: ClassVar[bool] = True

    @property
    def maps(self) -> tuple[Map, ...]:
        I, H = self.n_in, self.n_units
        return (
            Map("input", "x", 0, 3 * H, source_width=I),
            Map("recurrent", "h", 2 * H, H, source_width=H),
            Map("candidate", "e", 0, H, source_width=H),
            Map("update", "e", H, H, source_column=H, source_width=H),
            Map("bias", "", 0, 3 * H, form="bias"),
        )


class Weights(NamedTuple):
    """What the steps read. Planes: g, u, r, and p in MUT1."""

    recurrent: np.ndarray  # panels of (H, H), or (H, 2H) in MUT2
    recurrent_back: np.ndarray  # panels of its transpose
    candidate: np.ndarray  # panels of (H, H)
    candidate_back: np.ndarray
    update: np.ndarray  # panels of (H, H) in MUT3, else of size 0
    update_back: np.ndarray
    first: int  # column of z where the recurrent matrix begins
    p: int  # column of p, -1 if there is none


@step(forward_step, Weights)
def _forward(weights, tape, now, before, after, n):
    """z: candidate, gates and p after their nonlinearity; e: r * h, then tanh(h) if a matrix reads it."""
    z, h, _, e = tape
    H, P, first = h.shape[1], pack_size(h), weights.first
    add_product(h, before, 0, weights.recurrent, z, now, first, n, 3 * H - first)
    if weights.update.size > 0:
        for row in range(n):
            for j in range(0, H, P):
                give(e, now + row, H, j, H, tanh(take(h, before + row, 0, j, H)))
        add_product(e, now, H, weights.update, z, now, H, n, H)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            u, r = logistic(take(z, t, H, j, H)), logistic(take(z, t, 2 * H, j, H))
            give(z, t, H, j, H, u)
            give(z, t, 2 * H, j, H, r)
            give(e, t, 0, j, H, r * take(h, old, 0, j, H))
    add_product(e, now, 0, weights.candidate, z, now, 0, n, H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            g = take(z, t, 0, j, H)
            if weights.p >= 0:
                p = tanh(take(z, t, weights.p, j, H))
                give(z, t, weights.p, j, H, p)
                g = g + p
            g = tanh(g)
            give(z, t, 0, j, H, g)
            h_old = take(h, old, 0, j, H)
            give(h, new, 0, j, H, fma(take(z, t, H, j, H), g - h_old, h_old))


@step(backward_step, Weights)
def _backward(weights, tape, d, now, before, after, n):
    """d.s: derivatives by r * h, and by tanh(h)."""
    z, h, _, e = tape
    H, P, first = h.shape[1], pack_size(h), weights.first
    has_update = weights.update.size > 0
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            dh, h_old = take(d.h, row, 0, j, H), take(h, old, 0, j, H)
            g, u = take(z, t, 0, j, H), take(z, t, H, j, H)
            new = dh * u
            dg, du = with_added(new * one_minus_square(g), d, t, 0, j, H), dh * (g - h_old) * times_one_minus(u)
            if weights.p >= 0:
                dp = dg * one_minus_square(take(z, t, weights.p, j, H))
                give(d.z, t, weights.p, j, H, with_added(dp, d, t, weights.p, j, H))
            give(d.z, t, 0, j, H, dg)
            give(d.z, t, H, j, H, with_added(du, d, t, H, j, H))
            give(d.h, row, 0, j, H, dh - new)
            give(d.s, row, 0, j, H, like(dh, 0.0))
            if has_update:
                give(d.s, row, H, j, H, like(dh, 0.0))
    add_product(d.z, now, 0, weights.candidate_back, d.s, 0, 0, n, H)
    if has_update:
        add_product(d.z, now, H, weights.update_back, d.s, 0, H, n, H)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            ds, r = take(d.s, row, 0, j, H), take(z, t, 2 * H, j, H)
            dr = ds * take(h, old, 0, j, H) * times_one_minus(r)
            give(d.z, t, 2 * H, j, H, with_added(dr, d, t, 2 * H, j, H))
            dh = fma(ds, r, take(d.h, row, 0, j, H))
            if has_update:
                dh = fma(take(d.s, row, H, j, H), one_minus_square(take(e, t, H, j, H)), dh)
            give(d.h, row, 0, j, H, dh)
    add_product(d.z, now, first, weights.recurrent_back, d.h, 0, 0, n, H)


@step(rforward_step, Weights)
def _rforward(weights, tape, r, now, before, after, n):
    z, h, _, e = tape
    H, P, first = h.shape[1], pack_size(h), weights.first
    add_product(r.h, before, 0, weights.recurrent, r.z, now, first, n, 3 * H - first)
    if weights.update.size > 0:
        for row in range(n):
            for j in range(0, H, P):
                Rh = take(r.h, before + row, 0, j, H)
                give(r.e, now + row, H, j, H, Rh * one_minus_square(take(e, now + row, H, j, H)))
        add_product(r.e, now, H, weights.update, r.z, now, H, n, H)
    for row in range(n):
        t, old = now + row, before + row
        for j in range(0, H, P):
            reset = take(z, t, 2 * H, j, H)
            Rreset = take(r.z, t, 2 * H, j, H) * times_one_minus(reset)
            give(r.e, t, 0, j, H, fma(Rreset, take(h, old, 0, j, H), reset * take(r.h, old, 0, j, H)))
    add_product(r.e, now, 0, weights.candidate, r.z, now, 0, n, H)
    for row in range(n):
        t, old, new = now + row, before + row, after + row
        for j in range(0, H, P):
            g, u = take(z, t, 0, j, H), take(z, t, H, j, H)
            h_old, Rh_old = take(h, old, 0, j, H), take(r.h, old, 0, j, H)
            Rg = take(r.z, t, 0, j, H)
            if weights.p >= 0:
                Rg = fma(take(r.z, t, weights.p, j, H), one_minus_square(take(z, t, weights.p, j, H)), Rg)
                give(r.z, t, 0, j, H, Rg)
            Rg, Ru = Rg * one_minus_square(g), take(r.z, t, H, j, H) * times_one_minus(u)
            give(r.h, new, 0, j, H, fma(Ru, g - h_old, fma(u, Rg - Rh_old, Rh_old)))
