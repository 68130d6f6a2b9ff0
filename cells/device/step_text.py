"""The steps of cells as CUDA, made from the very functions that the processor's kernels are compiled from.

A step is gone through once, its words writing down what they are asked for: element-wise work becomes a loop over the
rows of a block and the columns of a plane, whose threads own elements of their own; for a product its rows are copied
where all threads read them. A barrier stands where, and only where, a thread would meet what another has read or
written.

Sizes and choices of the cell are numbers of the text. What stands around it is in ``scan_words.cuh`` and ``scan.cu``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cells.device.step_words import WIDEST, OtherWordsError, Vocabulary, in_words
from cells.device.step_writer import WEIGHTS, Access, Packed, Row, Table, Value, Writer
from cells.passes import pointwise
from cells.passes.cell import Cell, layout
from cells.passes.time_loops import STEPS, Cotangents, Tape, backward_step, forward_step, rforward_step
from reservoir.simd import activations, tiles, vectors


@dataclass(frozen=True)
class StepText:
    """One step in CUDA.

    Attributes
    ----------
    text : str
        Statements.
    matrices : tuple of (name, form)
        Parameters that it reads, one behind the other; the form is "", "back" or "row" as of
        :class:`cells.passes.parameters.Matrices`.
    n_weights : int
        Their elements.
    n_copied : int
        Elements that the copy of one row needs.
    """

    text: str
    matrices: tuple[tuple[str, str], ...]
    n_weights: int
    n_copied: int


@dataclass(frozen=True)
class ScanText:
    """The steps of one cell and the constants that go with them.

    Attributes
    ----------
    text : str
        What ``scan.cu`` needs to stand before it.
    steps : dict of StepText
        By the name of the step.
    n_carried : int
        Elements of a sequence that a backward pass carries.
    """

    text: str
    steps: dict[str, StepText]
    n_carried: int


@functools.lru_cache(maxsize=256)
def scan_text(cell: Cell) -> ScanText | None:
    """The cell's steps in CUDA; None if they use words that have no meaning there."""
    of, sizes = type(cell.weights(_Matrices(cell, None))), layout(cell)
    H, C = cell.n_units, cell.n_units if cell.has_second_state else 0
    widths = Tape(sizes.n_columns, H, C, sizes.n_kept)
    carried = Cotangents(sizes.n_columns, H, C, sizes.n_fed_back, sizes.n_kept, 0)
    kinds = {
        "forward_step": (forward_step, None, _hold_states),
        "backward_step": (backward_step, ("d", carried), None),
        "damped_backward_step": (backward_step, ("d", carried._replace(added=sizes.n_columns)), None),
        "rforward_step": (rforward_step, ("r", widths), _hold_tangents),
    }
    try:
        steps = {
            name: _written(cell, STEPS[kind, of], widths, beside, last) for name, (kind, beside, last) in kinds.items()
        }
    except (OtherWordsError, TypeError, ValueError, IndexError, AttributeError):
        return None
    constants = {
        "UNITS": H,
        "COLUMNS": sizes.n_columns,
        "SECOND": C,
        "KEPT": sizes.n_kept,
        "FED_BACK": sizes.n_fed_back,
    }
    for name, step in steps.items():
        pass_ = name.removesuffix("_step").upper()
        constants |= {f"{pass_}_WEIGHTS": step.n_weights, f"{pass_}_COPIED": step.n_copied}
    lines = [f"constexpr int {name} = {value};" for name, value in constants.items()]
    lines.append('#include "scan_words.cuh"')
    for name, step in steps.items():
        lines += ["", f"{name.upper()} {{", *(f"    {line}" for line in step.text.splitlines()), "}"]
    return ScanText("\n".join([*lines, ""]), steps, sum(carried[1:5]))


def _written(
    cell: Cell, step: Callable, widths: Tape, beside: tuple[str, Any] | None, last: Callable[[Writer, int], None] | None
) -> StepText:
    """One step; ``beside`` are name and widths of the arrays that stand beside the tape."""
    sizes = beside[1]._asdict() if beside is not None else {}
    begun = [WEIGHTS._replace(writes=True)]  # what the threads have written before the first step
    begun += [Access((f"d.{name}", ""), 0, width, True, (0, width)) for name, width in sizes.items()]
    writer = Writer([])
    for _ in range(2):  # the second time it is known what the step before leaves behind
        writer = Writer([*begun, *writer.left_behind()])
        tables = [Tape(*(Table(writer, f"tape.{name}", width) for name, width in widths._asdict().items()))]
        if beside is not None:
            name, kind = beside[0], type(beside[1])
            tables.append(kind(*(Table(writer, f"{name}.{field}", width) for field, width in sizes.items())))
        if isinstance(tables[-1], Cotangents):
            _receive(writer, cell.n_units)
        rows = Row("now"), Row("before"), Row("after")
        in_words(step, VOCABULARY)(cell.weights(_Matrices(cell, writer)), *tables, *rows, 1)
        if last is not None:
            last(writer, cell.n_units)
        writer.close()
    return StepText("\n".join(writer.text), tuple(writer.packed), writer.n_packed, writer.n_copied)


class _Matrices:
    """The forms of a cell's parameters as :meth:`cells.passes.cell.Cell.weights` asks for them."""

    def __init__(self, cell: Cell, writer: Writer | None) -> None:
        self.shapes, self.writer = {map_.name: map_.shape for map_ in cell.maps}, writer

    def __getitem__(self, name: str) -> Packed:
        return Packed(self.writer, name, "", self.shapes.get(name, (0, 0)))

    def back(self, name: str) -> Packed:
        return Packed(self.writer, name, "back", self.shapes.get(name, (0, 0))[::-1])

    def row(self, name: str) -> Packed:
        return Packed(self.writer, name, "row", (1, *self.shapes.get(name, (0,))))


# ----------------------------------------------------------------------- what every cell does at the ends of a step


def _receive(writer: Writer, H: int) -> None:
    """What comes from above is added to the derivatives by the states, which are cut, and 0 where these are given."""
    dh = Table(writer, "d.h", H)
    value = writer.take(dh, 0, 0, H)
    received = writer.value("held.has(j) ? real(0) : above.added_to({}, now + row, j)", value)
    writer.give(dh, 0, 0, H, received)


def _hold_states(writer: Writer, H: int) -> None:
    """Units whose state is given get it."""
    given = Value(writer, "held.value(now + row, j)", None)
    writer.give(Table(writer, "tape.h", H), Row("after"), 0, H, given, "if (held.has(j)) ")


def _hold_tangents(writer: Writer, H: int) -> None:
    """Units whose state is given do not change."""
    writer.give(Table(writer, "r.h", H), Row("after"), 0, H, Value(writer, "real(0)", None), "if (held.has(j)) ")


# ------------------------------------------------------------------------------------------------------- the words


def _take(a: Table | Packed, row: Row | int, column: int, j: int, H: int) -> Value:
    return a.writer.take(a, row, column + j, H - j)


def _give(a: Table, row: Row | int, column: int, j: int, H: int, v: Value) -> None:
    a.writer.give(a, row, column + j, H - j, v)


def _clear(a: Table, n: int) -> None:
    if a.size:
        a.writer.give(a, 0, 0, a.size, Value(a.writer, "real(0)", None))


def _add_product(
    a: Table, a_row: Row | int, a_column: int, b: Packed, c: Table, c_row: Row | int, c_column: int, n_rows: int,
    n_columns: int,
) -> None:  # fmt: skip
    if n_columns != b.shape[1]:
        raise OtherWordsError(f"a product takes {n_columns} columns of {b.shape[1]}")
    c.writer.add_product(a, (a_row, a_column), b, c, (c_row, c_column))


def _called(text: str) -> Callable[..., Value]:
    """The word that stands as ``text``, with the names of its arguments."""
    return lambda v, *others: v.writer.value(text, v, *others)


VOCABULARY = Vocabulary(
    {
        pointwise.take: _take,
        pointwise.give: _give,
        pointwise.clear: _clear,
        tiles.add_product: _add_product,
        vectors.pack_size: lambda array: WIDEST,
        vectors.like: lambda v, value: Value(v.writer, f"real({float(value)!r})", None),
        vectors.fma: _called("multiply_add({}, {}, {})"),
        vectors.magnitude: _called("magnitude({})"),
        vectors.at_least: _called("at_least({}, {})"),
        vectors.where_negative: _called("{} < 0 ? {} : {}"),
        activations.tanh: _called("hyperbolic_tangent({})"),
        activations.logistic: _called("logistic({})"),
    }
)
