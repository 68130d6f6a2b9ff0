"""A cell's parameters at one theta, in the forms that kernels read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cells.passes.cell import Cell, layout
from cells.passes.feed import FEW, room_for
from cells.passes.products import fill_feed
from reservoir.simd.tiles import fill_panels, panels
from reservoir.simd.transpose import fill_transpose, transposed

# With fewer rows than this a matrix is read as it stands: copying it into panels would cost more than it saves.
ROWS_FOR_PANELS = 4


def may_be_fed(cell: Cell) -> bool:
    """Whether the input's share of the planes can come from a feed: few inputs, all of whose maps are matrices."""
    is_dense = all(map_.form == "dense" for map_ in cell.maps if map_.source == "x")
    return cell.n_in <= FEW and is_dense and cell.raw_input_column < 0


class Matrices:
    """A cell's parameters at one theta, in the forms that kernels read; made when asked for, kept until :meth:`set`.

    ``copies`` are the calls, function and arguments, that bring the forms that are no views of theta up to date when
    theta has changed.

    Parameters
    ----------
    cell : Cell
    in_place : bool
        Whether the batch is so small that matrices are read as they stand.
    """

    def __init__(self, cell: Cell, in_place: bool) -> None:
        self.cell, self.in_place = cell, in_place
        self._views: dict[str, np.ndarray] = {}
        self._input: tuple[np.ndarray, np.ndarray] | None = None
        self.copies: list[tuple[Callable, tuple]] = []
        self._forms: dict[tuple[str, bool], np.ndarray] = {}

    def set(self, theta: np.ndarray) -> Matrices:
        """Read the parameters from ``theta``, this cell's part of it; matrices read as they stand stay views of it."""
        self.theta = theta
        self._views = dict(self.cell.views(theta))
        self._forms, self._input, self.copies = {}, None, []
        return self

    def view(self, name: str) -> np.ndarray:
        """The parameter itself."""
        return self._views[name]

    def __getitem__(self, name: str) -> np.ndarray:
        """Panels of a matrix; an array of size 0 if the cell has no parameter of that name."""
        return self._form(name, False)

    def back(self, name: str) -> np.ndarray:
        """Panels of the transpose, or what :func:`reservoir.simd.transpose.transposed` makes of it, likewise."""
        return self._form(name, True)

    def input_and_bias(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrix and bias of a feed; the matrix has no rows unless :func:`may_be_fed`."""
        if self._input is None:
            places, K = layout(self.cell), self.cell.n_in if may_be_fed(self.cell) else 0
            self._input = room_for(K, places.n_columns, self.theta.dtype)
            self.copies.append((fill_feed, (places.table, self.theta, *self._input)))
            fill_feed(places.table, self.theta, *self._input)
        return self._input

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
            matrix = self._views[name]
            if self.in_place and transpose:
                form = transposed(matrix)
                self.copies.append((fill_transpose, (matrix, form[0])))
            else:
                form = panels(matrix, transpose=transpose, in_place=self.in_place)
                if not self.in_place:
                    self.copies.append((fill_panels, (matrix, transpose, form)))
            self._forms[key] = form
        return self._forms[key]
