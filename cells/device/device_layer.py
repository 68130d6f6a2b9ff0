"""One cell over the rows of a batch on a device: what :mod:`cells.passes.layer` does on the processor.

Products over all of time are array code; what depends on the step before is a kernel's work, or array code too.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from cells.device.device_matrices import DeviceMatrices
from cells.device.device_places import Held, Places
from cells.device.device_scan import scan_of
from cells.device.one_hot import OneHot
from cells.device.step_words import Table, in_arrays, speaks_in_words
from cells.passes.cell import Cell, Map, layout
from cells.passes.rows import Rows
from cells.passes.structural import DISTANCES, apply_distance
from cells.passes.time_loops import Cotangents, Tape
from reservoir.simd.activations import CODES


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
        self.layout, self.scan = layout(cell), scan_of(cell, places, dtype)

    def forward(self, of: DeviceMatrices, x: Any, initial: Sequence[Any], held: Held) -> Any:
        """States h (B + R, H) of all steps; the first B are the initial ones."""
        self.of, self.x, self.held = of, x, held
        self.tape = tape = self._tape(initial)
        self._add_maps(tape.z, of, x, lambda map_: map_.source in ("", "x"))
        self._add_input_itself(tape.z, x)
        self.scan.forward(of, tape, held)
        return tape.h

    def rforward(self, direction: DeviceMatrices, rx: Any | None, initial: Sequence[Any]) -> Tape:
        """Directional derivatives of the tape; ``rx`` (R, I) is that of the input, None if it has none."""
        r = self._tape(initial)
        self._add_maps(r.z, direction, self.x, lambda map_: True)
        if rx is not None:
            self._add_maps(r.z, self.of, rx, lambda map_: map_.source == "x")
            self._add_input_itself(r.z, rx)
        self.scan.rforward(self.of, self.tape, r, self.held)
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
        self.scan.backward(self.of, self.tape, d, outputs, limit, self.held)
        return d

    def add_gradient(self, dz: Any, gradient: Any, rows: Any = slice(None)) -> None:
        """Add sourceᵀ dz of every parameter, over these rows, to ``gradient``, this cell's part (p,)."""
        for map_, start in zip(self.layout.maps, self.layout.starts, strict=False):
            mine = dz[rows][:, map_.column : map_.column + map_.width]
            if map_.form == "bias":
                found = mine.sum(axis=0)
            else:
                source = self._source(map_, self.x)[rows]
                if isinstance(source, OneHot):
                    found = source.transposed_times(mine)
                else:
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
            z[:, raw : raw + self.cell.n_in] += x.dense() if isinstance(x, OneHot) else x

    def _source(self, map_: Map, x: Any) -> Any:
        """(R, K) what the map reads at every row."""
        tape, places = self.tape, self.places
        B, n_begin = places.rows.n_sequences, int(places.rows.running[0])
        if map_.source == "x" and isinstance(x, OneHot):
            return x if map_.form == "dense" else x.dense()
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
