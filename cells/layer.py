"""One cell over the rows of a batch: its memory, and the order in which products and passes follow one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cells.cell import Cell, layout
from cells.passes import Clamp, Cotangents, Tape, backward, forward, rforward
from cells.products import Spans, add_diagonal, add_gradients, add_map, fill_planes
from cells.rows import Rows, spans_within
from reservoir.tiles import DEPTH, PANEL_PACKS, panels
from reservoir.vectors import PACK_BYTES, aligned

# With fewer rows than this a matrix is read as it stands: copying it into panels would cost more than it saves.
ROWS_FOR_PANELS = 4


# Planes of a block, which are written, read and changed by turns: about half of a second-level cache.
_BLOCK_BYTES = 2**19
_NO_INDEX = np.empty(0, np.int64)


class Memory:
    """Arrays that are made once and lent again: fresh pages cost more than the numbers written to them."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}  # the memory of each name
        self._lent: dict[str, np.ndarray] = {}  # its latest view

    def lend(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Array of this shape with anything in it; the next one of the same name may be the same memory."""
        lent = self._lent.get(name)
        if lent is None or lent.shape != shape or lent.dtype != dtype:
            n = math.prod(shape)
            held = self._arrays.get(name)
            if held is None or held.size < n or held.dtype != dtype:
                held = self._arrays[name] = aligned((n,), dtype)
            lent = self._lent[name] = held[:n].reshape(shape)
        return lent

    def zeros(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Array of zeros, as :meth:`lend`."""
        array = self.lend(name, shape, dtype)
        array.fill(0)
        return array


class Matrices:
    """A cell's parameters at one theta, in the forms that kernels read; made when asked for, kept until :meth:`set`.

    ``copies`` are the forms that are no views of theta, as arguments of :func:`reservoir.tiles.fill_panels`, which
    brings them up to date when theta has changed.

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

    def set(self, theta: np.ndarray) -> Matrices:
        """Read the parameters from ``theta``, this cell's part of it; matrices read as they stand stay views of it."""
        self.theta = theta
        self._views = dict(self.cell.views(theta))
        self._forms = {}
        self.copies: list[tuple[np.ndarray, bool, np.ndarray]] = []
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
            form = panels(self._views[name], transpose=transpose, in_place=self.in_place)
            if transpose or not self.in_place:
                self.copies.append((self._views[name], transpose, form))
            self._forms[key] = form
        return self._forms[key]


class Input(NamedTuple):
    """What a layer reads: rows of an array from ``first`` on, or one-hot rows given by their ``index``."""

    array: np.ndarray  # (., I), or (0, I) if there is an index
    first: int = 0
    index: np.ndarray | None = None  # (R,) int64

    @property
    def numbers(self) -> np.ndarray:
        """The index, of size 0 if there is none."""
        return _NO_INDEX if self.index is None else self.index


class Block:
    """A stretch of steps whose planes stay in the cache from where they are made to where they are used.

    Parameters
    ----------
    begin, end : int
        Steps.
    first, last : int
        Rows.
    rows : Rows
    """

    def __init__(self, begin: int, end: int, first: int, last: int, rows: Rows) -> None:
        self.begin, self.end = begin, end
        self.rows = slice(first, last)
        spans = rows.span_now, rows.span_now, rows.span_after, rows.spans_before, rows.spans_step_before
        self._spans = Spans(*(spans_within(kind, first, last) for kind in spans))

    def spans(self, x: Input) -> Spans:
        """Spans of the sources of this block, its own rows counted from 0."""
        if x.first == 0:
            return self._spans
        return self._spans._replace(x=self._spans.x + np.array([x.first, 0, 0]))


class Layer:
    """A cell over a batch: holds the tape of its last forward pass.

    Parameters
    ----------
    cell : Cell
    rows : Rows
    dtype : numpy dtype
    memory : Memory
        Whose arrays called ``name`` hold this layer's tape. The attribute ``scratch``, the same memory unless it is
        set, lends all that no later pass reads.
    name : str
    """

    def __init__(self, cell: Cell, rows: Rows, dtype: Any, memory: Memory, name: str) -> None:
        self.cell, self.rows, self.dtype, self.memory, self.name = cell, rows, dtype, memory, name
        self.layout = layout(cell)
        self._input_maps = [map_ for map_ in self.layout.maps if map_.source == "x"]
        self._raw_column = cell.raw_input_column
        row_bytes = self.layout.n_columns * np.dtype(dtype).itemsize
        self._blocks = [
            Block(begin, end, int(rows.first[begin]), int(rows.first[end]), rows)
            for begin, end in rows.blocks(max(DEPTH, _BLOCK_BYTES // row_bytes))
        ]
        self._nothing = np.empty((0, 0), dtype)
        self.no_clamp = Clamp(np.empty(0, np.int64), np.empty((rows.n_rows, 0), dtype))
        self.scratch = memory
        self.tape = self._tape("", memory)

    def _tape(self, prefix: str, memory: Memory) -> Tape:
        places, R, B = self.layout, self.rows.n_rows, self.rows.n_sequences
        H = self.cell.n_units
        shapes = {
            "z": (R, places.n_columns),
            "h": (B + R, H),
            "c": (B + R, H if self.cell.has_second_state else 0),
            "e": (R, places.n_kept),
        }
        return Tape(**{key: self._lend(prefix + key, shape, memory) for key, shape in shapes.items()})

    def _lend(self, key: str, shape: tuple[int, ...], memory: Memory | None = None) -> np.ndarray:
        return (memory or self.scratch).lend(f"{self.name}.{key}", shape, self.dtype)

    def forward(
        self, matrices: Matrices, weights: Any, x: Input, initial: Sequence[np.ndarray], clamp: Clamp
    ) -> np.ndarray:
        """States h (B + R, H) of all steps; the first B are the initial ones.

        ``initial`` are h (B, H) or (H,) and c likewise, or scalars, to start from.
        """
        self._start(self.tape, initial)
        for block in self._blocks:
            z = self.tape.z[block.rows]
            self._fill(matrices, x, block, z, with_input=matrices.in_place, with_all=False)
            if not matrices.in_place:
                self._add_input(matrices, x, block, z)
            self._add_input_itself(x, block, z)
            forward(weights, self.tape, self.rows.first, clamp, block.begin, block.end)
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
        r = self._tape("r", self.scratch)
        self._start(r, initial)
        for block in self._blocks:
            z = r.z[block.rows]
            self._fill(direction, x, block, z, with_input=direction.in_place, with_all=direction.in_place)
            if not direction.in_place:
                self._add_sources(direction, x, block, z)
            if rx is not None:
                self._add_input(matrices, rx, block, z)
                self._add_input_itself(rx, block, z)
            rforward(weights, self.tape, r, self.rows.first, clamp, block.begin, block.end)
        return r

    def backward(
        self,
        weights: Any,
        outputs: np.ndarray,
        final: Sequence[np.ndarray],
        clamp: Clamp,
        *,
        gradient: np.ndarray | None = None,
        x: Input | None = None,
        added: np.ndarray | None = None,
        limit: float = np.inf,
        keeps_tape: bool = False,
    ) -> Cotangents:
        """Derivatives by the planes and by the initial states, from those by the outputs and the final states.

        Parameters
        ----------
        gradient : (P,), optional
            This cell's part of the gradient, to which sourceᵀ dz of every parameter is added; needs ``x``.
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
            self._lend("dg", (B, self.layout.n_fed_back)),
            self._lend("ds", (B, self.layout.n_kept)),
            self._nothing if added is None else added,
        )
        d.h[:], d.c[:], d.g[:] = *final, 0.0
        first, limit = self.rows.first, float(limit)
        for block in reversed(self._blocks):
            backward(weights, self.tape, d, outputs, first, clamp, limit, block.begin, block.end)
            if gradient is not None:
                self._add_gradient(d.z, x, gradient, block)
        return d

    def add_gradient(self, dz: np.ndarray, x: Input, gradient: np.ndarray) -> None:
        """Add sourceᵀ dz of every parameter to ``gradient``, this cell's part (P,)."""
        for block in reversed(self._blocks):
            self._add_gradient(dz, x, gradient, block)

    def _add_gradient(self, dz: np.ndarray, x: Input, gradient: np.ndarray, block: Block) -> None:
        index, spans = x.numbers[block.rows], block.spans(x)
        add_gradients(self.layout.table, x.array, index, self.tape, spans, dz[block.rows], gradient, self.panel)

    @property
    def panel(self) -> np.ndarray:
        """Scratch of the tiles."""
        width = PANEL_PACKS * PACK_BYTES // np.dtype(self.dtype).itemsize
        return self.scratch.lend("panel", (DEPTH, width), self.dtype)

    def input_cotangent(self, matrices: Matrices, dz: np.ndarray) -> np.ndarray:
        """Derivative (R, I) by the input."""
        dx = self.scratch.zeros(f"{self.name}.dx", (self.rows.n_rows, self.cell.n_in), self.dtype)
        for map_ in self._input_maps:
            add_map(dz, map_.column, self.rows.span_now, matrices.back(map_.name), dx, 0, self.cell.n_in)
        if self._raw_column >= 0:
            dx += dz[:, self._raw_column : self._raw_column + self.cell.n_in]
        return dx

    def _fill(
        self, matrices: Matrices, x: Input, block: Block, z: np.ndarray, *, with_input: bool, with_all: bool
    ) -> None:
        index, spans = x.numbers[block.rows], block.spans(x)
        fill_planes(self.layout.table, matrices.theta, x.array, index, self.tape, spans, z, with_input, with_all)

    def _add_input(self, matrices: Matrices, x: Input, block: Block, z: np.ndarray) -> None:
        """Add the input's maps, unless it is an index, whose rows are there already."""
        for map_ in self._input_maps if x.index is None else []:
            add_map(x.array, 0, block.spans(x).x, matrices[map_.name], z, map_.column, map_.width)

    def _add_sources(self, direction: Matrices, x: Input, block: Block, z: np.ndarray) -> None:
        """Add source V of all maps but biases."""
        self._add_input(direction, x, block, z)
        tape, spans = self.tape, block.spans(x)
        sources = {
            "h": (tape.h, spans.before),
            "c": (tape.c, spans.before),
            "c_now": (tape.c, spans.after),
            "e": (tape.e, spans.now),
            "e_before": (tape.e, spans.step_before),
        }
        for map_ in self.layout.maps:
            if map_.source not in sources:
                continue
            source, at = sources[map_.source]
            if map_.form == "dense":
                add_map(source, map_.source_column, at, direction[map_.name], z, map_.column, map_.width)
            else:
                add_diagonal(source, map_.source_column, at, direction.view(map_.name), z, map_.column)

    def _add_input_itself(self, x: Input, block: Block, z: np.ndarray) -> None:
        """Add the input to the columns of ``z`` that take it without a matrix, if the cell has such."""
        column = self._raw_column
        if column >= 0 and x.index is not None:
            z[np.arange(len(z)), column + x.index[block.rows]] += 1.0
        elif column >= 0:
            first = x.first + block.rows.start
            z[:, column : column + self.cell.n_in] += x.array[first : first + len(z)]

    def _start(self, tape: Tape, initial: Sequence[np.ndarray]) -> None:
        B = self.rows.n_sequences
        tape.h[:B] = initial[0]
        tape.c[:B] = initial[1]
