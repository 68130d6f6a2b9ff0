"""One cell over the rows of a batch in array code: what :mod:`cells.passes.layer` does with kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cells.device.step_words import Table, in_arrays, speaks_in_words, step_in_arrays
from cells.passes.cell import Cell, Map, layout
from cells.passes.rows import Rows
from cells.passes.structural import DISTANCES, apply_distance
from cells.passes.time_loops import Cotangents, Tape, backward_step, forward_step, rforward_step
from reservoir.simd.activations import CODES


class Places:
    """A batch's :class:`Rows` as indices on the device.

    Parameters
    ----------
    rows : Rows
    xp : module

    Attributes
    ----------
    before : (R,)
        Row of the states before each row's step.
    last : (B,)
        Last row of each sequence.
    reversed : (R,)
        The row as far from its sequence's end.
    steps : list of (now, n, before, after)
        Of every step the number n of rows and the first ones, as :mod:`cells.passes.time_loops` names them.
    """

    def __init__(self, rows: Rows, xp: ModuleType) -> None:
        self.rows, self.xp = rows, xp
        first, B = rows.first, rows.n_sequences
        begins = np.concatenate([[0], B + first[:-2]])
        self.before = xp.asarray(begins[rows.step] + rows.sequence)
        self.last, self.reversed = xp.asarray(rows.last), xp.asarray(rows.reversed)
        sizes = first[:-1], rows.running, begins, B + first[:-1]
        self.steps = list(zip(*(part.tolist() for part in sizes), strict=True))


class Held(NamedTuple):
    """Units whose state is given at every step, and the values (R, k)."""

    units: Sequence[int]
    values: Any


class DeviceMatrices:
    """A cell's parameters in the forms that its steps read: plain matrices, their transposes, tables of one row.

    Parameters
    ----------
    cell : Cell
    theta : (p,) array
        This cell's part.
    """

    def __init__(self, cell: Cell, theta: Any) -> None:
        self.cell, self.views = cell, dict(cell.views(theta))
        self.nothing = theta[:0].reshape(0, 0)

    def __getitem__(self, name: str) -> Any:
        return self.views.get(name, self.nothing)

    def back(self, name: str) -> Any:
        """The transpose."""
        return self[name].T

    def row(self, name: str) -> Table:
        """A vector as a table of one row."""
        vector = self.views.get(name)
        return Table(self.nothing if vector is None else vector.reshape(1, -1), 1)

    @property
    def weights(self) -> Any:
        """What the steps read."""
        return self.cell.weights(self)


@functools.lru_cache(maxsize=256)
def has_array_code(cell: Cell) -> bool:
    """Whether the cell's steps can be read as array code, as those of this package can: known by trying."""
    of = DeviceMatrices(cell, np.zeros(cell.n_params))
    if not speaks_in_words(type(of.weights)):
        return False
    rows, nobody = Rows(np.array([2, 1])), Held((), None)
    layer = DeviceLayer(cell, Places(rows, np), np.float64)
    try:
        layer.forward(of, np.zeros((rows.n_rows, cell.n_in)), (0.0, 0.0), nobody)
        layer.rforward(of, None, (0.0, 0.0))
        layer.backward(None, (0.0, 0.0))
    except (TypeError, ValueError, IndexError, AttributeError):  # it asks more of its arrays than a table has
        return False
    return True


class DeviceLayer:
    """A cell over a batch: holds the tape of its last forward pass, and what that pass has read.

    Parameters
    ----------
    cell : Cell
    places : Places
    dtype : numpy dtype
    """

    def __init__(self, cell: Cell, places: Places, dtype: Any) -> None:
        self.cell, self.places, self.xp, self.dtype = cell, places, places.xp, dtype
        self.layout = layout(cell)

    def forward(self, of: DeviceMatrices, x: Any, initial: Sequence[Any], held: Held) -> Any:
        """States h (B + R, H) of all steps; the first B are the initial ones."""
        self.of, self.x, self.held = of, x, held
        self.tape = tape = self._tape(initial)
        self._add_maps(tape.z, of, x, lambda map_: map_.source in ("", "x"))
        self._add_input_itself(tape.z, x)
        step = step_in_arrays(forward_step, of.weights, self.xp)
        for now, n, before, after in self.places.steps:
            step(of.weights, _tables(tape, n), now, before, after, 1)
            for k, unit in enumerate(held.units):
                tape.h[after : after + n, unit] = held.values[now : now + n, k]
        return tape.h

    def rforward(self, direction: DeviceMatrices, rx: Any | None, initial: Sequence[Any]) -> Tape:
        """Directional derivatives of the tape; ``rx`` (R, I) is that of the input, None if it has none."""
        r = self._tape(initial)
        self._add_maps(r.z, direction, self.x, lambda map_: True)
        if rx is not None:
            self._add_maps(r.z, self.of, rx, lambda map_: map_.source == "x")
            self._add_input_itself(r.z, rx)
        step = step_in_arrays(rforward_step, self.of.weights, self.xp)
        for now, n, before, after in self.places.steps:
            step(self.of.weights, _tables(self.tape, n), _tables(r, n), now, before, after, 1)
            for unit in self.held.units:
                r.h[after : after + n, unit] = 0.0
        return r

    def backward(
        self, outputs: Any | None, final: Sequence[Any], *, limit: float = np.inf, added: Any | None = None
    ) -> Cotangents:
        """Derivatives by planes and initial states, from those by the outputs (R, H) and the final states."""
        B, places, zeros = self.places.rows.n_sequences, self.layout, self._zeros
        H, C = self.cell.n_units, self.tape.c.shape[1]
        d = Cotangents(
            zeros(self.places.rows.n_rows, places.n_columns), zeros(B, H), zeros(B, C), zeros(B, places.n_fed_back),
            zeros(B, places.n_kept), zeros(0, 0) if added is None else added,
        )  # fmt: skip
        d.h[...] = final[0]
        d.c[...] = final[1]
        step = step_in_arrays(backward_step, self.of.weights, self.xp)
        for now, n, before, after in reversed(self.places.steps):
            if outputs is not None:
                d.h[:n] += outputs[now : now + n]
            if limit < np.inf:
                d.h[:n] = self.xp.clip(d.h[:n], -limit, limit)
            for unit in self.held.units:
                d.h[:n, unit] = 0.0
            step(self.of.weights, _tables(self.tape, n), _tables(d, n), now, before, after, 1)
        return d

    def add_gradient(self, dz: Any, gradient: Any, rows: Any = slice(None)) -> None:
        """Add sourceᵀ dz of every parameter, over these rows, to ``gradient``, this cell's part (p,)."""
        for map_, start in zip(self.layout.maps, self.layout.starts, strict=False):
            mine = dz[rows][:, map_.column : map_.column + map_.width]
            if map_.form == "bias":
                found = mine.sum(axis=0)
            else:
                source = self._source(map_, self.x)[rows]
                found = source.T @ mine if map_.form == "dense" else (source * mine).sum(axis=0)
            gradient[start : start + map_.size] += found.reshape(-1)

    def input_cotangent(self, dz: Any) -> Any:
        """Derivative (R, I) by the input."""
        dx = self._zeros(len(dz), self.cell.n_in)
        for map_ in self.layout.maps:
            if map_.source == "x":
                mine, value = dz[:, map_.column : map_.column + map_.width], self.of[map_.name]
                dx += mine @ value.T if map_.form == "dense" else mine * value
        raw = self.cell.raw_input_column
        return dx + dz[:, raw : raw + self.cell.n_in] if raw >= 0 else dx

    def damp(self, r: Tape, distance: str, factors: Any) -> Any:
        """D'' R a of structural damping, written over the R a of ``r``, as :meth:`cells.passes.layer.Layer.damp`."""
        column, n, apply = 0, len(r.z), in_arrays(apply_distance, self.xp)
        for plane in self.cell.planes:
            values, at = (self.tape.h[self.places.rows.n_sequences :], 0) if plane.is_state else (self.tape.z, column)
            if plane.is_damped:
                kinds, Ra = (DISTANCES[distance], CODES[plane.activation]), _AllRows(r.z, n)
                apply(*kinds, Table(values, n), 0, at, [factors[:, None]], Ra, column, plane.width)
                for unit in self.held.units if plane.is_state else ():
                    r.z[:, column + unit] = 0.0
            else:
                r.z[:, column : column + plane.width] = 0.0
            column += plane.width
        return r.z

    # ------------------------------------------------------------------------------------------------ arrays

    def _zeros(self, *shape: int) -> Any:
        return self.xp.zeros(shape, self.dtype)

    def _tape(self, initial: Sequence[Any]) -> Tape:
        rows, places = self.places.rows, self.layout
        B, R, H = rows.n_sequences, rows.n_rows, self.cell.n_units
        C = H if self.cell.has_second_state else 0
        shapes = (R, places.n_columns), (B + R, H), (B + R, C), (R, places.n_kept)
        tape = Tape(*(self._zeros(*shape) for shape in shapes))
        tape.h[:B] = initial[0]
        if C:
            tape.c[:B] = initial[1]
        return tape

    # ------------------------------------------------------------------------------------------------ products

    def _add_maps(self, z: Any, of: DeviceMatrices, x: Any, is_wanted: Any) -> None:
        for map_ in filter(is_wanted, self.layout.maps):
            planes, value = z[:, map_.column : map_.column + map_.width], of[map_.name]
            if map_.form == "bias":
                planes += value
            else:
                source = self._source(map_, x)
                planes += source @ value if map_.form == "dense" else source * value

    def _add_input_itself(self, z: Any, x: Any) -> None:
        raw = self.cell.raw_input_column
        if raw >= 0:
            z[:, raw : raw + self.cell.n_in] += x

    def _source(self, map_: Map, x: Any) -> Any:
        """(R, K) what the map reads at every row."""
        tape, places = self.tape, self.places
        B, n_begin = places.rows.n_sequences, int(places.rows.running[0])
        if map_.source == "x":
            array = x
        elif map_.source in ("h", "c"):
            array = getattr(tape, map_.source)[places.before]
        elif map_.source == "c_now":
            array = tape.c[B:]
        elif map_.source == "e":
            array = tape.e
        else:
            array = self.xp.zeros_like(tape.e)
            array[n_begin:] = tape.e[places.before[n_begin:] - B]
        width = map_.source_width if map_.form == "dense" else map_.width
        return array[:, map_.source_column : map_.source_column + width]


class _AllRows(Table):
    """A table of which one row stands for all: loops over its rows are gone through once."""

    def __init__(self, array: Any, n: int) -> None:
        super().__init__(array, n)
        self.shape = (1, array.shape[1])


def _tables(arrays: Iterator[Any], n: int) -> Any:
    """A tape, or cotangents, of which a row stands for n."""
    return type(arrays)(*(Table(array, n) for array in arrays))
