"""What the steps of cells are handed to become CUDA, and what writes it down: see :mod:`cells.device.step_text`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from cells.device.step_words import OtherWordsError

BARRIER = "__syncthreads();"
PADDING = 4  # rows of a copy begin at multiples of so many elements


class Access(NamedTuple):
    """Columns that threads read or write, at rows of one name."""

    what: tuple[str, str]
    first: int
    last: int
    writes: bool
    owner: tuple[int, int] | None  # column and width of a loop, thread j of a row has column + j; None: any thread

    def clashes(self, other: Access) -> bool:
        """Whether the order of the two matters, and no thread keeps it by itself."""
        is_common = self.what == other.what and self.first < other.last and other.first < self.last
        return is_common and (self.writes or other.writes) and (self.owner is None or self.owner != other.owner)


WEIGHTS = Access(("weights", ""), 0, 1, False, None)
COPIED = Access(("copied", ""), 0, 1, False, None)


# ------------------------------------------------------------------------------------------- what steps are handed


class Row:
    """First row of a step in arrays that have one for each row, or for each state."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        raise OtherWordsError("a step asks which one it is")

    __hash__ = None

    def __add__(self, row: int) -> Row:
        if row != 0:
            raise OtherWordsError(f"a step takes row {row} beside its own")
        return self


class Table:
    """An array of which a step sees its own rows."""

    def __init__(self, writer: Writer, name: str, n_columns: int) -> None:
        self.writer, self.name, self.shape, self.size = writer, name, (0, n_columns), n_columns

    def place(self, row: Row | int, column: int) -> str:
        """What stands in column ``column + j`` of the thread's row."""
        base = f"{row.name} + " if isinstance(row, Row) else ""
        return f"{self.name}({base}row, {_beside_j(column)})"

    def access(self, row: Row | int, columns: range, *, writes: bool, owner: tuple[int, int] | None) -> Access:
        """Access of these columns at this row."""
        where = row.name if isinstance(row, Row) else ""
        return Access((self.name, where), columns.start, columns.stop, writes, owner)


class Packed:
    """A parameter among those that a block holds; ``shape`` is that of its form."""

    def __init__(self, writer: Writer | None, name: str, form: str, shape: tuple[int, ...]) -> None:
        self.writer, self.name, self.form, self.shape = writer, name, form, shape
        self.size = int(np.prod(shape))

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.writer.packed_at(self)

    def place(self, row: int, column: int) -> str:
        """Element ``column + j`` of a vector."""
        return f"weights[{_beside_j(self.start + column)}]"

    def access(self, row: int, columns: range, *, writes: bool, owner: tuple[int, int] | None) -> Access:
        """Access of any of them."""
        return WEIGHTS


class Value:
    """A number of each thread, under its name in the text."""

    def __init__(self, writer: Writer, name: str, loop: int | None) -> None:
        self.writer, self.name, self.loop = writer, name, loop

    def __add__(self, other: Value) -> Value:
        return self.writer.value("{} + {}", self, other)

    def __sub__(self, other: Value) -> Value:
        return self.writer.value("{} - {}", self, other)

    def __mul__(self, other: Value) -> Value:
        return self.writer.value("{} * {}", self, other)

    def __bool__(self) -> bool:
        raise OtherWordsError("a step chooses by a number")


# ------------------------------------------------------------------------------------------------- what writes it


class Line(NamedTuple):
    """A statement within a loop, the value that it makes, and those that it needs."""

    text: str
    made: str
    needed: tuple[str, ...]


class Writer:
    """The text of one step, as far as it is written.

    Parameters
    ----------
    since : list of Access
        What was done since the last barrier of the step before.
    """

    def __init__(self, since: list[Access]) -> None:
        self.text: list[str] = []
        self.packed: dict[tuple[str, str], int] = {}
        self.n_packed = self.n_copied = self.n_loops = self.n_values = self.width = 0
        self._since = since  # the last barrier, before the loop that is being written
        self._lines: list[Line] = []
        self._own: list[Access] = []  # of that loop

    def value(self, text: str, *operands: Value) -> Value:
        """The value of ``text`` with the names of the operands, which are of the loop that is being written."""
        self._check(*operands)
        names = tuple(operand.name for operand in operands)
        self.n_values += 1
        made = f"v{self.n_values}"
        self._lines.append(Line(f"const real {made} = {text.format(*names)};", made, names))
        return Value(self, made, self.n_loops)

    def take(self, a: Table | Packed, row: Row | int, column: int, width: int) -> Value:
        """The element of each thread of a loop over ``width`` columns."""
        self._enter(width, a, row, column, writes=False)
        return self.value(a.place(row, column))

    def give(self, a: Table, row: Row | int, column: int, width: int, value: Value, condition: str = "") -> None:
        """Write the thread's value to its element, under a condition if there is one."""
        self._enter(width, a, row, column, writes=True)
        self._check(value)
        self._lines.append(Line(f"{condition}{a.place(row, column)} = {value.name};", "", (value.name,)))

    def add_product(self, a: Table, a_place: tuple, matrix: Packed, c: Table, c_place: tuple) -> None:
        """c += a matrix, from these rows and columns on."""
        (depth, width), (a_row, a_column), (c_row, c_column) = matrix.shape, a_place, c_place
        self.close()
        columns = range(a_column, a_column + depth)
        source = a.access(a_row, columns, writes=False, owner=(a_column, depth))
        target = c.access(c_row, range(c_column, c_column + width), writes=True, owner=None)
        start = matrix.start
        for text, accesses in (
            (f"copy<{depth}>(copied, {_corner(a, a_row, a_column)}, n);", (source, COPIED._replace(writes=True))),
            (
                f"add_product<{depth}, {width}>(copied, weights + {start}, {_corner(c, c_row, c_column)}, n);",
                (COPIED, WEIGHTS, target),
            ),
        ):
            self._follow(*accesses)
            self._since += accesses
            self.text.append(text)
        self.n_copied = max(self.n_copied, -(-depth // PADDING) * PADDING)

    def packed_at(self, parameter: Packed) -> int:
        """First element of a parameter, which from now on is one of those that are held."""
        key = parameter.name, parameter.form
        if key not in self.packed:
            self.packed[key] = self.n_packed
            self.n_packed += parameter.size
        return self.packed[key]

    def close(self) -> None:
        """End the loop that is being written; what nobody needs is left out."""
        needed, lines = set(), []
        for line in reversed(self._lines):
            if not line.made or line.made in needed:
                needed.update(line.needed)
                lines.append(f"    {line.text}")
        if lines:
            W = self.width
            self.text += [
                f"for (int place = threadIdx.x; place < n * {W}; place += blockDim.x) {{",
                f"    const int row = place / {W}, j = place % {W};",
                *reversed(lines),
                "}",
            ]
        self._since += self._own
        self._lines, self._own, self.width = [], [], 0
        self.n_loops += 1

    def left_behind(self) -> list[Access]:
        """What was done since the last barrier, as the next step sees it: its rows before are those after this one."""
        rows = {"after": "before", "": ""}
        return [
            access._replace(what=(access.what[0], rows[access.what[1]]))
            for access in self._since
            if access.what[1] in rows
        ]

    def _check(self, *values: Value) -> None:
        if any(value.loop not in (None, self.n_loops) for value in values):
            raise OtherWordsError("a value of one loop is used in another")

    def _enter(self, width: int, a: Table | Packed, row: Row | int, column: int, *, writes: bool) -> None:
        """Be in a loop over ``width`` columns in which this access may follow."""
        columns = range(column, column + width)
        own = a.access(row, columns, writes=writes, owner=(column, width))
        if width != self.width or _clash([own], self._own):
            self.close()
            self.width = width
        self._follow(own)
        self._own.append(own)

    def _follow(self, *accesses: Access) -> None:
        """A barrier, before the loop that is being written, if the accesses clash with what was done before it."""
        if _clash(accesses, self._since):
            self.text.append(BARRIER)
            self._since = []


def _clash(new: Iterable[Access], old: Iterable[Access]) -> bool:
    return any(one.clashes(other) for one in new for other in old)


def _beside_j(column: int) -> str:
    return f"{column} + j" if column else "j"


def _corner(a: Table, row: Row | int, column: int) -> str:
    return f"{a.name}, {row.name if isinstance(row, Row) else row}, {column}"
