"""Where the rows of a batch stand on the device, and the units whose state is given there."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cells.passes.rows import Rows


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
    first : (T + 1,) int32
        First row of each step.
    steps : list of (now, n, before, after)
        Of every step the number n of rows and the first ones, as :mod:`cells.passes.time_loops` names them.
    """

    def __init__(self, rows: Rows, xp: ModuleType) -> None:
        self.rows, self.xp = rows, xp
        first, B = rows.first, rows.n_sequences
        begins = np.concatenate([[0], B + first[:-2]])
        self.before = xp.asarray(begins[rows.step] + rows.sequence)
        self.last, self.reversed = xp.asarray(rows.last), xp.asarray(rows.reversed)
        self.first = xp.asarray(first.astype(np.int32))
        sizes = first[:-1], rows.running, begins, B + first[:-1]
        self.steps = list(zip(*(part.tolist() for part in sizes), strict=True))


class Held(NamedTuple):
    """Units whose state is given at every step, and the values (R, k)."""

    units: Sequence[int]
    values: Any

    def numbers(self, n_units: int) -> np.ndarray:
        """(n_units,) int32: the number of each unit among them, -1 for the others; of size 0 if there are none."""
        numbers = np.full(n_units if len(self.units) else 0, -1, np.int32)
        numbers[list(self.units)] = np.arange(len(self.units))
        return numbers
