"""One cell over the rows of a batch: the order in which products and passes follow one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cells.passes.calls import plainly
from cells.passes.cell import Cell, layout
from cells.passes.feed import Feed
from cells.passes.matrices import Matrices
from cells.passes.memory import Memory
from cells.passes.products import Spans, add_diagonal, add_gradients, add_map, begin_planes, fill_planes
from cells.passes.rows import Rows, spans_within
from cells.passes.time_loops import Clamp, Cotangents, Tape, backward, forward, rforward
from reservoir.simd.tiles import DEPTH, PANEL_PACKS
from reservoir.simd.vectors import PACK_BYTES

# Planes of a block, which are written, read and changed by turns: about half of a second-level cache.
_BLOCK_BYTES = 2**19
_NO_INDEX = np.empty(0, np.int64)


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
        self.rows, self.n_rows = slice(first, last), last - first
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

    Notes
    -----
    All that forward and backward passes write to arrays goes through the attribute ``do``, which a caller may set to a
    :class:`cells.passes.calls.Calls`.
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
        # Rows of planes that a pass needs at a time: a block's, or all if a step reads what the one before has kept.
        self._n_least = rows.n_rows if self.layout.n_fed_back else max(block.n_rows for block in self._blocks)
        self._nothing = np.empty((0, 0), dtype)
        self.no_clamp = Clamp(np.empty(0, np.int64), np.empty((rows.n_rows, 0), dtype))
        self.scratch, self.do = memory, plainly
        self.tape = self._tape("", memory)

    def _tape(self, prefix: str, memory: Memory, keeps_planes: bool = True) -> Tape:
        places, R, B = self.layout, self.rows.n_rows, self.rows.n_sequences
        H, n_planes = self.cell.n_units, R if keeps_planes else self._n_least
        shapes = {
            "z": (n_planes, places.n_columns),
            "h": (B + R, H),
            "c": (B + R, H if self.cell.has_second_state else 0),
            "e": (n_planes, places.n_kept),
        }
        if prefix == "" and self.cell.planes_turn_into_states:
            del shapes["z"]
        arrays = {key: self._lend(prefix + key, shape, memory) for key, shape in shapes.items()}
        return Tape(**({"z": arrays["h"][B:]} | arrays))

    def _within(self, block: Block) -> Tape:
        """The tape, of its planes only those of the block."""
        return self.tape._replace(z=self.tape.z[block.rows], e=self.tape.e[block.rows])

    def _lend(self, key: str, shape: tuple[int, ...], memory: Memory | None = None) -> np.ndarray:
        return (memory or self.scratch).lend(f"{self.name}.{key}", shape, self.dtype)

    def forward(
        self,
        matrices: Matrices,
        weights: Any,
        x: Input,
        initial: Sequence[np.ndarray],
        clamp: Clamp,
        *,
        then: Callable[[slice, Input], None] | None = None,
    ) -> np.ndarray:
        """States h (B + R, H) of all steps; the first B are the initial ones.

        ``initial`` are h (B, H) or (H,) and c likewise, or scalars, to start from. ``then(rows, states)`` is called as
        soon as these rows of the states after each step are made.
        """
        self._start(self.tape, initial)
        feed = self._feed(matrices, x)
        for block in self._blocks:
            if feed.matrix.size == 0:
                z = self.tape.z[block.rows]
                self._fill(matrices, x, block, z)
                self._add_input_itself(x, block, z)
            forward(weights, self.tape, self.rows.first, clamp, block.begin, block.end, self.do, feed)
            if then is not None:
                then(block.rows, Input(self.tape.h, self.rows.n_sequences))
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
        *,
        keeps_planes: bool = True,
        then: Callable[[slice, Input], None] | None = None,
    ) -> Tape:
        """Directional derivatives of the tape, for parameters moving along ``direction``.

        ``rx`` is the directional derivative of the input, None if it has none; ``initial`` that of the
        initial states. Without ``keeps_planes`` z and e of what is returned hold one block's rows, of no further use.
        ``then`` as in :meth:`forward`.
        """
        r = self._tape("r", self.scratch, keeps_planes)
        is_whole = r.z.shape == self.tape.z.shape
        self._start(r, initial)
        for block in self._blocks:
            z = r.z[block.rows] if is_whole else r.z[: block.n_rows]
            self._fill(direction, x, block, z, with_all=direction.in_place)
            if not direction.in_place:
                self._add_other_sources(direction, x, block, z)
            if rx is not None:
                self._add_panels(matrices, rx, block, z)
                self._add_input_itself(rx, block, z)
            tape, start = (self.tape, 0) if is_whole else (self._within(block), block.rows.start)
            rforward(weights, tape, r, self.rows.first, clamp, block.begin, block.end, start)
            if then is not None:
                then(block.rows, Input(r.h, self.rows.n_sequences))
        return r

    def backward(
        self,
        weights: Any,
        outputs: np.ndarray | Callable[[slice], np.ndarray],
        final: Sequence[np.ndarray],
        clamp: Clamp,
        *,
        gradient: np.ndarray | None = None,
        first_parameter: int = 0,
        x: Input | None = None,
        feed: Feed | None = None,
        added: np.ndarray | None = None,
        limit: float = np.inf,
        keeps_tape: bool = False,
        keeps_planes: bool = True,
    ) -> Cotangents:
        """Derivatives by the planes and by the initial states, from those by the outputs and the final states.

        Parameters
        ----------
        gradient : (P,), optional
            To which sourceᵀ dz of every parameter is added; needs ``x``.
        first_parameter : int
            Where this cell's part of the gradient begins.
        outputs : (R, H), or of size 0, or callable
            ``outputs(rows)`` gives those of these rows; they are read before it is called again.
        feed : Feed, optional
            Gives derivatives by the outputs too, step by step.
        final : h (B, H) and c, or scalars
        added : (R, Z), optional
            Added to the derivatives by the planes where they are formed.
        limit : float > 0
            See :func:`cells.passes.time_loops.backward`.
        keeps_tape : bool
            Whether the tape is still needed afterwards; if not, its z may be overwritten.
        keeps_planes : bool
            Whether the derivatives by the planes are; if not, z of what is returned holds one block's rows.
        """
        B, H = self.rows.n_sequences, self.cell.n_units
        is_whole = keeps_planes or self._n_least == self.rows.n_rows
        n_planes = self.rows.n_rows if is_whole else self._n_least
        may_overwrite = is_whole and not keeps_tape and not self.cell.planes_turn_into_states
        d = Cotangents(
            self.tape.z if may_overwrite else self._lend("dz", (n_planes, self.layout.n_columns)),
            self._lend("dh", (B, H)),
            self._lend("dc", (B, self.tape.c.shape[1])),
            self._lend("dg", (B, self.layout.n_fed_back)),
            self._lend("ds", (B, self.layout.n_kept)),
            self._nothing if added is None else added,
        )
        for array, value in zip((d.h, d.c, d.g), (*final, 0.0), strict=True):
            if array.size:
                self.do(np.copyto, array, value)
        first, limit = self.rows.first, float(limit)
        for block in reversed(self._blocks):
            tape, of_block, start = self.tape, d, 0
            dz = d.z[block.rows] if is_whole else d.z[: block.n_rows]
            if not is_whole:
                tape, start = self._within(block), block.rows.start
                if added is not None:
                    of_block = d._replace(added=added[block.rows])
            mine = outputs(block.rows) if callable(outputs) else outputs[block.rows]
            backward(weights, tape, of_block, mine, first, clamp, limit, block.begin, block.end, start, self.do, feed)
            if gradient is not None:
                self._add_gradient(dz, x, gradient, first_parameter, block)
        return d

    def add_gradient(self, dz: np.ndarray, x: Input, gradient: np.ndarray) -> None:
        """Add sourceᵀ dz of every parameter to ``gradient``, this cell's part (P,)."""
        for block in reversed(self._blocks):
            self._add_gradient(dz[block.rows], x, gradient, 0, block)

    def _add_gradient(self, dz: np.ndarray, x: Input, gradient: np.ndarray, start: int, block: Block) -> None:
        index, spans = x.numbers[block.rows], block.spans(x)
        table, panel = self.layout.table, self.panel
        self.do(add_gradients, table, x.array, index, self.tape, spans, dz, gradient, start, panel)

    @property
    def panel(self) -> np.ndarray:
        """Scratch of the tiles."""
        width = PANEL_PACKS * PACK_BYTES // np.dtype(self.dtype).itemsize
        return self.scratch.lend("panel", (DEPTH, width), self.dtype)

    def input_cotangent(self, matrices: Matrices, dz: np.ndarray) -> np.ndarray:
        """Derivative (R, I) by the input."""
        dx = self._lend("dx", (self.rows.n_rows, self.cell.n_in))
        self.do(begin_planes, dx)
        for map_ in self._input_maps:
            back = matrices.back(map_.name)
            self.do(add_map, dz, map_.column, self.rows.span_now, back, dx, 0, self.cell.n_in)
        if self._raw_column >= 0:
            self.do(np.add, dx, dz[:, self._raw_column : self._raw_column + self.cell.n_in], dx)
        return dx

    def _feed(self, matrices: Matrices, x: Input) -> Feed:
        """The biases, and with few inputs their share of the planes, for rows from the first on."""
        matrix, bias = matrices.input_and_bias()
        return Feed(x.array, x.first, matrix if x.index is None else matrix[:0], bias)

    def _fill(self, matrices: Matrices, x: Input, block: Block, z: np.ndarray, *, with_all: bool = False) -> None:
        """Set the block's planes to the biases and the input's share, and ``with_all`` to that of the other sources."""
        index, spans, feed = x.numbers[block.rows], block.spans(x), self._feed(matrices, x)
        feed = feed._replace(first=x.first + block.rows.start)
        args = self.layout.table, matrices.theta, feed, x.array, index, self.tape, spans, z
        self.do(fill_planes, *args, matrices.in_place, with_all)
        if feed.matrix.size == 0 and not matrices.in_place:
            self._add_panels(matrices, x, block, z)

    def _add_panels(self, matrices: Matrices, x: Input, block: Block, z: np.ndarray) -> None:
        """Add the input's maps, unless it is an index, whose rows are there already."""
        for map_ in self._input_maps if x.index is None else []:
            self.do(add_map, x.array, 0, block.spans(x).x, matrices[map_.name], z, map_.column, map_.width)

    def _add_other_sources(self, direction: Matrices, x: Input, block: Block, z: np.ndarray) -> None:
        """Add source V of all maps but biases and those of the input."""
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
            self.do(_add_ones, z, np.arange(len(z)), column + x.index[block.rows])
        elif column >= 0:
            first = x.first + block.rows.start
            planes = z[:, column : column + self.cell.n_in]
            self.do(np.add, planes, x.array[first : first + len(z)], planes)

    def _start(self, tape: Tape, initial: Sequence[np.ndarray]) -> None:
        B = self.rows.n_sequences
        self.do(np.copyto, tape.h[:B], initial[0])
        if tape.c.size:
            self.do(np.copyto, tape.c[:B], initial[1])


def _add_ones(z: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    z[rows, columns] += 1.0
