"""One cell over the rows of a batch: its memory, and the order in which products and passes follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cells.cell import Cell, Map
from cells.passes import Clamp, Cotangents, Tape, backward, forward, rforward
from cells.products import (
    add_bias,
    add_bias_gradient,
    add_chosen_rows,
    add_chosen_rows_gradient,
    add_diagonal,
    add_diagonal_gradient,
    add_map,
    add_map_gradient,
    begin_planes,
)
from cells.rows import Rows
from reservoir.tiles import DEPTH, PANEL_PACKS, panels
from reservoir.vectors import PACK_BYTES, aligned

# With fewer rows than this a matrix is read as it stands: copying it into panels would cost more than it saves.
ROWS_FOR_PANELS = 4


class Memory:
    """Arrays that are made once and lent again: fresh pages cost more than the numbers written to them."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}

    def lend(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Array of this shape with anything in it; the next one of the same name may be the same memory."""
        n = int(np.prod(shape))
        held = self._arrays.get(name)
        if held is None or held.size < n or held.dtype != dtype:
            held = self._arrays[name] = aligned((n,), dtype)
        return held[:n].reshape(shape)

    def zeros(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Array of zeros, as :meth:`lend`."""
        array = self.lend(name, shape, dtype)
        array.fill(0)
        return array


class Matrices:
    """A cell's parameters at one theta, in the forms that kernels read; made when asked for, kept until :meth:`set`.

    Parameters
    ----------
    cell : Cell
    in_place : bool
        Whether the batch is so small that matrices are read as they stand.
    """

    def __init__(self, cell: Cell, in_place: bool) -> None:
        self.cell, self.in_place = cell, in_place
        self._views: dict[str, np.ndarray] = {}
        self._forms: dict[tuple[str, bool], np.ndarray] = {}
        self._buffers: dict[tuple[str, bool], np.ndarray] = {}

    def set(self, theta: np.ndarray) -> Matrices:
        """Read the parameters anew from ``theta``, this cell's part of it."""
        self._views = dict(self.cell.views(theta))
        self._forms = {}
        return self

    def view(self, name: str) -> np.ndarray:
        """The parameter itself."""
        return self._views[name]

    def __getitem__(self, name: str) -> np.ndarray:
        """Panels of a matrix; an array of size 0 if the cell has no parameter of that name."""
        return self._form(name, False)

    def back(self, name: str) -> np.ndarray:
        """Panels of the transpose, likewise."""
        return self._form(name, True)

    def row(self, name: str) -> np.ndarray:
        """A vector as an array (n, width) of its equal parts, n = 1; of size 0 if the cell has none of that name."""
        return self._views[name].reshape(1, -1) if name in self._views else self._nothing(2)

    def _nothing(self, n_dimensions: int) -> np.ndarray:
        return np.empty((0,) * n_dimensions, next(iter(self._views.values())).dtype)

    def _form(self, name: str, transpose: bool) -> np.ndarray:
        if name not in self._views:
            return self._nothing(3)
        key = name, transpose
        if key not in self._forms:
            form = panels(self._views[name], transpose=transpose, in_place=self.in_place, out=self._buffers.get(key))
            if transpose or not self.in_place:
                self._buffers[key] = form
            self._forms[key] = form
        return self._forms[key]


class Input(NamedTuple):
    """What a layer reads: rows of an array from ``first`` on, or one-hot rows given by their ``index``."""

    array: np.ndarray  # (., I), or (0, I) if there is an index
    first: int = 0
    index: np.ndarray | None = None  # (R,) int64


@dataclass
class Layer:
    """A cell over a batch: holds the tape of its last forward pass.

    Parameters
    ----------
    cell : Cell
    rows : Rows
    dtype : numpy dtype
    memory : Memory
        Whose arrays called ``name`` are this layer's.
    name : str
    """

    cell: Cell
    rows: Rows
    dtype: Any
    memory: Memory
    name: str

    def __post_init__(self) -> None:
        self.tape = self._tape("")

    def _tape(self, prefix: str) -> Tape:
        cell, R, B = self.cell, self.rows.n_rows, self.rows.n_sequences
        widths = {"h": cell.n_units, "c": cell.n_units if cell.has_second_state else 0}
        states = {key: self._lend(prefix + key, (B + R, width)) for key, width in widths.items()}
        planes = {"z": cell.n_columns, "e": cell.n_kept}
        return Tape(**states, **{key: self._lend(prefix + key, (R, width)) for key, width in planes.items()})

    def _lend(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        return self.memory.lend(f"{self.name}.{key}", shape, self.dtype)

    @property
    def no_clamp(self) -> Clamp:
        return Clamp(np.empty(0, np.int64), np.empty((self.rows.n_rows, 0), self.dtype))

    def forward(
        self, matrices: Matrices, weights: Any, x: Input, initial: Sequence[np.ndarray], clamp: Clamp
    ) -> np.ndarray:
        """States h (B + R, H) of all steps; the first B are the initial ones.

        ``initial`` are h (B, H) or (H,) and c likewise, or scalars, to start from.
        """
        self._begin(self.tape.z, matrices)
        for map_ in self._maps_of("x"):
            self._add_input(matrices, x, map_, self.tape.z)
        self._start(self.tape, initial)
        forward(weights, self.tape, self.rows.first, clamp)
        return self.tape.h

    def rforward(
        self,
        matrices: Matrices,
        weights: Any,
        direction: Matrices,
        x: Input,
        rx: Input | None,
        initial: Sequence[np.ndarray],
        clamp: Clamp,
    ) -> Tape:
        """Directional derivatives of the tape, for parameters moving along ``direction``.

        ``rx`` is the directional derivative of the input, None if it has none; ``initial`` that of the
        initial states.
        """
        r = self._tape("r")
        self._begin(r.z, direction)
        for map_ in self.cell.maps:
            if map_.source == "x":
                self._add_input(direction, x, map_, r.z)
                if rx is not None:
                    self._add_input(matrices, rx, map_, r.z)
            elif map_.form == "dense":
                source, spans = self._source(map_)
                add_map(source, map_.source_column, spans, direction[map_.name], r.z, map_.column, map_.width)
            elif map_.form == "diagonal":
                source, spans = self._source(map_)
                add_diagonal(source, map_.source_column, spans, direction.view(map_.name), r.z, map_.column)
        self._start(r, initial)
        rforward(weights, self.tape, r, self.rows.first, clamp)
        return r

    def backward(
        self,
        weights: Any,
        outputs: np.ndarray,
        final: Sequence[np.ndarray],
        clamp: Clamp,
        *,
        added: np.ndarray | None = None,
        limit: float = np.inf,
        keeps_tape: bool = False,
    ) -> Cotangents:
        """Derivatives by the planes and by the initial states, from those by the outputs and the final states.

        Parameters
        ----------
        outputs : (R, H), or of size 0
        final : h (B, H) and c, or scalars
        added : (R, Z), optional
            Added to the derivatives by the planes where they are formed.
        limit : float > 0
            See :func:`cells.passes.backward`.
        keeps_tape : bool
            Whether the tape is still needed afterwards; if not, its z is overwritten.
        """
        B, H = self.rows.n_sequences, self.cell.n_units
        d = Cotangents(
            self._lend("dz", self.tape.z.shape) if keeps_tape else self.tape.z,
            self._lend("dh", (B, H)),
            self._lend("dc", (B, self.tape.c.shape[1])),
            self.memory.zeros(f"{self.name}.dg", (B, self.cell.n_fed_back), self.dtype),
            self._lend("ds", (B, self.cell.n_kept)),
            np.empty((0, 0), self.dtype) if added is None else added,
        )
        d.h[:], d.c[:] = final
        backward(weights, self.tape, d, outputs, self.rows.first, clamp, float(limit))
        return d

    def add_gradient(self, dz: np.ndarray, x: Input, gradient: np.ndarray) -> None:
        """Add sourceᵀ dz of every parameter to ``gradient``, this cell's part (P,)."""
        width = PANEL_PACKS * PACK_BYTES // np.dtype(self.dtype).itemsize
        panel = self._lend("panel", (DEPTH, width))
        start = 0
        for map_ in self.cell.maps:
            column, width = map_.column, map_.width
            if map_.form == "bias":
                add_bias_gradient(dz, column, width, gradient, start)
            elif map_.source == "x" and x.index is not None:
                add_chosen_rows_gradient(x.index, dz, column, width, gradient, start)
            else:
                source, spans = self._input(x) if map_.source == "x" else self._source(map_)
                if map_.form == "dense":
                    K = map_.source_width
                    add_map_gradient(source, map_.source_column, spans, dz, column, width, gradient, start, K, panel)
                else:
                    add_diagonal_gradient(source, map_.source_column, spans, dz, column, gradient, start, width)
            start += map_.size

    def input_cotangent(self, matrices: Matrices, dz: np.ndarray) -> np.ndarray:
        """Derivative (R, I) by the input."""
        dx = self.memory.zeros(f"{self.name}.dx", (self.rows.n_rows, self.cell.n_in), self.dtype)
        for map_ in self._maps_of("x"):
            add_map(dz, map_.column, self.rows.span_now, matrices.back(map_.name), dx, 0, self.cell.n_in)
        return dx

    def _begin(self, z: np.ndarray, matrices: Matrices) -> None:
        """Biases in ``z``, zeros where there are none."""
        begin_planes(z)
        for map_ in self._maps_of(""):
            add_bias(matrices.view(map_.name), z, map_.column)

    def _maps_of(self, source: str) -> list[Map]:
        return [map_ for map_ in self.cell.maps if map_.source == source]

    def _add_input(self, matrices: Matrices, x: Input, map_: Map, z: np.ndarray) -> None:
        if x.index is not None:
            add_chosen_rows(x.index, matrices.view(map_.name), z, map_.column)
        else:
            source, spans = self._input(x)
            add_map(source, 0, spans, matrices[map_.name], z, map_.column, map_.width)

    def _input(self, x: Input) -> tuple[np.ndarray, np.ndarray]:
        return x.array, self.rows.span_now if x.first == 0 else self.rows.span_now + [x.first, 0, 0]

    def _source(self, map_: Map) -> tuple[np.ndarray, np.ndarray]:
        """The array a map reads, and its spans."""
        tape, rows = self.tape, self.rows
        return {
            "h": (tape.h, rows.spans_before),
            "c": (tape.c, rows.spans_before),
            "c_now": (tape.c, rows.span_after),
            "e": (tape.e, rows.span_now),
            "e_before": (tape.e, rows.spans_step_before),
        }[map_.source]

    def _start(self, tape: Tape, initial: Sequence[np.ndarray]) -> None:
        B = self.rows.n_sequences
        tape.h[:B] = initial[0]
        tape.c[:B] = initial[1]
