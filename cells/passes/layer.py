"""One cell over the rows of a batch: the order in which products and passes follow one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cells.passes.calls import plainly
from cells.passes.cell import Cell, layout
from cells.passes.feed import Feed
from cells.passes.memory import Memory
from cells.passes.parameters import Matrices
from cells.passes.products import Spans, add_diagonal, add_gradients, add_map, begin_planes, fill_planes
from cells.passes.rows import Rows, spans_within
from cells.passes.structural import DISTANCES, apply_distance
from cells.passes.time_loops import Clamp, Cotangents, Tape, backward, forward, rforward
from reservoir.simd.activations import CODES
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


@dataclass(frozen=True)
class PassOptions:
    """How one pass is made, the same for all layers.

    Parameters
    ----------
    scratch : Memory, optional
        Lends what no later pass reads; by default the memory that holds the tape.
    do : callable
        ``do(function, *args)`` makes the calls by which forward and backward passes write to arrays: a
        :class:`cells.passes.calls.Calls` notes them.
    limit : float > 0
        Bound on the back-propagated signal, by unit and step: see :func:`cells.passes.time_loops.backward`.
    keeps_tape : bool
        Whether the tape is still needed after a backward pass; if not, its z may be overwritten.
    keeps_planes : bool
        Whether the derivatives of the planes at all steps are needed, directional ones after an R-forward pass, those
        of the loss after a backward pass; if not, z of what is returned holds one block's rows, of no further use.
    """

    scratch: Memory | None = None
    do: Callable = plainly
    limit: float = np.inf
    keeps_tape: bool = False
    keeps_planes: bool = False


PLAIN = PassOptions()


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
    """A cell over a batch: holds the tape of its last forward pass, and what that pass has read.

    Parameters
    ----------
    cell : Cell
    rows : Rows
    dtype : numpy dtype
    memory : Memory
        Whose arrays called ``name`` hold this layer's tape.
    name : str
    first_parameter : int
        Where this cell's part of a gradient begins.
    """

    def __init__(
        self, cell: Cell, rows: Rows, dtype: Any, memory: Memory, name: str = "layer", first_parameter: int = 0
    ) -> None:
        self.cell, self.rows, self.dtype, self.memory, self.name = cell, rows, dtype, memory, name
        self.layout, self.first_parameter = layout(cell), first_parameter
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
        self.tape = self._tape("", PassOptions(keeps_planes=True))

    def forward(
        self,
        matrices: Matrices,
        x: Input,
        initial: Sequence[np.ndarray],
        clamp: Clamp,
        options: PassOptions = PLAIN,
        *,
        then: Callable[[slice, Input], None] | None = None,
    ) -> np.ndarray:
        """States h (B + R, H) of all steps; the first B are the initial ones.

        ``initial`` are h (B, H) or (H,) and c likewise, or scalars, to start from. ``then(rows, states)`` is called as
        soon as these rows of the states after each step are made.
        """
        self.x, self.clamp, do = x, clamp, options.do
        self._start(do, self.tape, initial)
        feed = self._feed(matrices)
        for block in self._blocks:
            if feed.matrix.size == 0:
                z = self.tape.z[block.rows]
                self._fill(do, matrices, block, z)
                self._add_input_itself(do, x, block, z)
            forward(matrices.weights, self.tape, self.rows.first, clamp, block.begin, block.end, do, feed)
            if then is not None:
                then(block.rows, Input(self.tape.h, self.rows.n_sequences))
        return self.tape.h

    def rforward(
        self,
        matrices: Matrices,
        direction: Matrices,
        rx: Input | None,
        initial: Sequence[np.ndarray],
        options: PassOptions = PLAIN,
        *,
        then: Callable[[slice, Input], None] | None = None,
    ) -> Tape:
        """Directional derivatives of the tape, for parameters moving along ``direction``.

        ``rx`` is the directional derivative of the input, None if it has none; ``initial`` that of the
        initial states. ``then`` as in :meth:`forward`.
        """
        r, do = self._tape("r", options), options.do
        is_whole = r.z.shape == self.tape.z.shape
        self._start(do, r, initial)
        for block in self._blocks:
            z = r.z[block.rows] if is_whole else r.z[: block.n_rows]
            self._fill(do, direction, block, z, with_all=direction.in_place)
            if not direction.in_place:
                self._add_other_sources(direction, block, z)
            if rx is not None:
                self._add_panels(do, matrices, rx, block, z)
                self._add_input_itself(do, rx, block, z)
            tape, start = (self.tape, 0) if is_whole else (self._within(block), block.rows.start)
            rforward(matrices.weights, tape, r, self.rows.first, self.clamp, block.begin, block.end, start)
            if then is not None:
                then(block.rows, Input(r.h, self.rows.n_sequences))
        return r

    def backward(
        self,
        matrices: Matrices,
        outputs: np.ndarray | Callable[[slice], np.ndarray],
        final: Sequence[np.ndarray],
        options: PassOptions = PLAIN,
        *,
        gradient: np.ndarray | None = None,
        feed: Feed | None = None,
        added: np.ndarray | None = None,
    ) -> Cotangents:
        """Derivatives by the planes and by the initial states, from those by the outputs and the final states.

        Parameters
        ----------
        outputs : (R, H), or of size 0, or callable
            ``outputs(rows)`` gives those of these rows; they are read before it is called again.
        final : h (B, H) and c, or scalars
        gradient : (P,), optional
            To which sourceᵀ dz of every parameter is added, from ``first_parameter`` on.
        feed : Feed, optional
            Gives derivatives by the outputs too, step by step.
        added : (R, Z), optional
            Added to the derivatives by the planes where they are formed.
        """
        is_whole = options.keeps_planes or self._n_least == self.rows.n_rows
        d = self._cotangents(is_whole, options, added)
        for array, value in zip((d.h, d.c, d.g), (*final, 0.0), strict=True):
            if array.size:
                options.do(np.copyto, array, value)
        first, limit = self.rows.first, float(options.limit)
        for block in reversed(self._blocks):
            tape, of_block, start = self.tape, d, 0
            dz = d.z[block.rows] if is_whole else d.z[: block.n_rows]
            if not is_whole:
                tape, start = self._within(block), block.rows.start
                if added is not None:
                    of_block = d._replace(added=added[block.rows])
            mine = outputs(block.rows) if callable(outputs) else outputs[block.rows]
            steps = block.begin, block.end, start
            backward(matrices.weights, tape, of_block, mine, first, self.clamp, limit, *steps, options.do, feed)
            if gradient is not None:
                self._add_gradient(dz, gradient, self.first_parameter, block, options)
        return d

    def add_gradient(self, dz: np.ndarray, gradient: np.ndarray) -> None:
        """Add sourceᵀ dz of every parameter to ``gradient``, this cell's part (p,)."""
        for block in reversed(self._blocks):
            self._add_gradient(dz[block.rows], gradient, 0, block, PLAIN)

    def input_cotangent(self, matrices: Matrices, dz: np.ndarray, options: PassOptions = PLAIN) -> np.ndarray:
        """Derivative (R, I) by the input."""
        dx, do = self._lend("dx", (self.rows.n_rows, self.cell.n_in), options), options.do
        do(begin_planes, dx)
        for map_ in self._input_maps:
            back = matrices.back(map_.name)
            do(add_map, dz, map_.column, self.rows.span_now, back, dx, 0, self.cell.n_in)
        if self._raw_column >= 0:
            do(np.add, dx, dz[:, self._raw_column : self._raw_column + self.cell.n_in], dx)
        return dx

    def damp(self, r: Tape, distance: str, factors: np.ndarray) -> np.ndarray:
        """D'' R a of structural damping, written over the R a of ``r``; each row (R,) has its factor.

        Where a plane is the state itself, units whose state is given are left out: it has no distance from itself.
        """
        column = 0
        for plane in self.cell.planes:
            values, first, at = (self.tape.h, self.rows.n_sequences, 0) if plane.is_state else (self.tape.z, 0, column)
            kinds = DISTANCES[distance], CODES[plane.activation]
            if plane.is_damped:
                apply_distance(*kinds, values, first, at, factors, r.z, column, plane.width)
                if plane.is_state:
                    r.z[:, column + self.clamp.units] = 0.0
            else:
                r.z[:, column : column + plane.width] = 0.0
            column += plane.width
        return r.z

    def panel(self, options: PassOptions) -> np.ndarray:
        """Scratch of the tiles."""
        size = DEPTH * PANEL_PACKS * PACK_BYTES // np.dtype(self.dtype).itemsize
        return (options.scratch or self.memory).lend("panel", (size,), self.dtype)

    # ------------------------------------------------------------------------------------------------ arrays

    def _lend(self, key: str, shape: tuple[int, ...], options: PassOptions) -> np.ndarray:
        return (options.scratch or self.memory).lend(f"{self.name}.{key}", shape, self.dtype)

    def _tape(self, prefix: str, options: PassOptions) -> Tape:
        places, R, B = self.layout, self.rows.n_rows, self.rows.n_sequences
        H, n_planes = self.cell.n_units, R if options.keeps_planes else self._n_least
        shapes = {
            "z": (n_planes, places.n_columns),
            "h": (B + R, H),
            "c": (B + R, H if self.cell.has_second_state else 0),
            "e": (n_planes, places.n_kept),
        }
        if prefix == "" and self.cell.planes_turn_into_states:
            del shapes["z"]
        arrays = {key: self._lend(prefix + key, shape, options) for key, shape in shapes.items()}
        return Tape(**({"z": arrays["h"][B:]} | arrays))

    def _within(self, block: Block) -> Tape:
        """The tape, of its planes only those of the block."""
        return self.tape._replace(z=self.tape.z[block.rows], e=self.tape.e[block.rows])

    def _cotangents(self, is_whole: bool, options: PassOptions, added: np.ndarray | None) -> Cotangents:
        B, n_planes = self.rows.n_sequences, self.rows.n_rows if is_whole else self._n_least
        may_overwrite = is_whole and not options.keeps_tape and not self.cell.planes_turn_into_states
        return Cotangents(
            self.tape.z if may_overwrite else self._lend("dz", (n_planes, self.layout.n_columns), options),
            self._lend("dh", (B, self.cell.n_units), options),
            self._lend("dc", (B, self.tape.c.shape[1]), options),
            self._lend("dg", (B, self.layout.n_fed_back), options),
            self._lend("ds", (B, self.layout.n_kept), options),
            self._nothing if added is None else added,
        )

    # ------------------------------------------------------------------------------------------------ products

    def _add_gradient(
        self, dz: np.ndarray, gradient: np.ndarray, start: int, block: Block, options: PassOptions
    ) -> None:
        x, table, panel = self.x, self.layout.table, self.panel(options)
        index, spans = x.numbers[block.rows], block.spans(x)
        options.do(add_gradients, table, x.array, index, self.tape, spans, dz, gradient, start, panel)

    def _feed(self, matrices: Matrices) -> Feed:
        """The biases, and with few inputs their share of the planes, for rows from the first on."""
        x, (matrix, bias) = self.x, matrices.input_and_bias
        return Feed(x.array, x.first, matrix if x.index is None else matrix[:0], bias)

    def _fill(self, do: Callable, matrices: Matrices, block: Block, z: np.ndarray, *, with_all: bool = False) -> None:
        """Set the block's planes to the biases and the input's share, and ``with_all`` to that of the other sources."""
        x, feed = self.x, self._feed(matrices)
        index, spans = x.numbers[block.rows], block.spans(x)
        feed = feed._replace(first=x.first + block.rows.start)
        args = self.layout.table, matrices.theta, feed, x.array, index, self.tape, spans, z
        do(fill_planes, *args, matrices.in_place, with_all)
        if feed.matrix.size == 0 and not matrices.in_place:
            self._add_panels(do, matrices, x, block, z)

    def _add_panels(self, do: Callable, matrices: Matrices, x: Input, block: Block, z: np.ndarray) -> None:
        """Add the input's maps, unless it is an index, whose rows are there already."""
        for map_ in self._input_maps if x.index is None else []:
            do(add_map, x.array, 0, block.spans(x).x, matrices[map_.name], z, map_.column, map_.width)

    def _add_other_sources(self, direction: Matrices, block: Block, z: np.ndarray) -> None:
        """Add source V of all maps but biases and those of the input."""
        tape, spans = self.tape, block.spans(self.x)
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

    def _add_input_itself(self, do: Callable, x: Input, block: Block, z: np.ndarray) -> None:
        """Add the input to the columns of ``z`` that take it without a matrix, if the cell has such."""
        column = self._raw_column
        if column >= 0 and x.index is not None:
            do(_add_ones, z, np.arange(len(z)), column + x.index[block.rows])
        elif column >= 0:
            first = x.first + block.rows.start
            planes = z[:, column : column + self.cell.n_in]
            do(np.add, planes, x.array[first : first + len(z)], planes)

    def _start(self, do: Callable, tape: Tape, initial: Sequence[np.ndarray]) -> None:
        B = self.rows.n_sequences
        do(np.copyto, tape.h[:B], initial[0])
        if tape.c.size:
            do(np.copyto, tape.c[:B], initial[1])


def _add_ones(z: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    z[rows, columns] += 1.0
