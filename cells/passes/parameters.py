"""A network's parameters at one theta, in the forms that kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np

from cells.network import Network
from cells.passes.calls import Calls, plainly
from cells.passes.cell import Cell, layout
from cells.passes.feed import FEW, Feed, no_feed, room_for
from cells.passes.products import copies_to_feed
from optim.device import is_array
from optim.threads import run_all
from reservoir.simd.tiles import panel_parts, panels
from reservoir.simd.transpose import fill_transpose, transposed
from reservoir.simd.vectors import aligned

# With fewer rows than this a matrix is read as it stands: copying it into panels would cost more than it saves.
ROWS_FOR_PANELS = 4
_WORTH_THREADS = 50_000  # parameters: copying fewer into panels takes less time than waking a thread


def check_theta(network: Network, theta: Any, dtype: Any = None, *, name: str = "theta") -> None:
    """Raise unless ``theta`` is an array (P,) of this dtype, or of float32 or float64 where none is given."""
    kinds = (np.float64, np.float32) if dtype is None else (dtype,)
    if is_array(theta) and theta.shape == (network.n_params,) and theta.dtype in kinds:
        return
    wanted = " or ".join(np.dtype(kind).name for kind in kinds)
    came = f"{theta.dtype} of shape {theta.shape}" if is_array(theta) else type(theta).__name__
    remedy = "n_params of the network is its size" if dtype is None else "the objective's dtype= decides the precision"
    raise ValueError(f"{name} must be a {wanted} array of shape ({network.n_params},), got {came}; {remedy}.")


class Parameters:
    """Everything that is derived from theta and read by all rows of a batch: made once, shared by all threads.

    Parameters
    ----------
    network : Network
    theta : (P,)
        Copied.
    n_rows : int
        Smallest number of sequences that run side by side.
    is_direction : bool
        Whether theta is a direction V: then only products with sources are asked of it, and no step reads it.
    """

    def __init__(self, network: Network, theta: np.ndarray, n_rows: int, *, is_direction: bool = False) -> None:
        self.network = network
        self._theta = aligned(theta.shape, theta.dtype)
        np.copyto(self._theta, theta)
        self._forms = Forms(n_rows < ROWS_FOR_PANELS)
        self.matrices = [
            Matrices(
                *(part.cell, self._theta[part.parameters], self._forms),
                is_direction=is_direction,
                is_lowest=part.layer == 0,
            )
            for part in network.parts
        ]
        views = network.views(self._theta)
        self.readout = Readout(views["readout.weights"], views["readout.bias"], self._forms, is_direction)
        self.initial = [
            (views.get(f"{part.name}.initial_h", 0.0), views.get(f"{part.name}.initial_c", 0.0))
            for part in network.parts
        ]
        self._calls = Calls()
        for copy in self._forms.copies if self._forms.in_place else []:
            self._calls(*copy)

    def set(self, theta: np.ndarray, n_threads: int = 1) -> Parameters:
        """Read everything anew from ``theta`` (P,), which is copied."""
        np.copyto(self._theta, theta)
        if self._forms.in_place:
            self._calls.again()
        else:
            run_all(plainly, self._forms.copies, n_threads if theta.size > _WORTH_THREADS else 1)
        return self


class Forms:
    """Matrices in the forms that kernels read.

    Parameters
    ----------
    in_place : bool
        Whether the batch is so small that matrices are read as they stand.

    Attributes
    ----------
    copies : list of tuples
        The calls, function and arguments, that bring the forms that are no views up to date.
    """

    def __init__(self, in_place: bool) -> None:
        self.in_place = in_place
        self.copies: list[tuple] = []

    def straight(self, matrix: np.ndarray) -> np.ndarray:
        """What :func:`reservoir.simd.tiles.add_product` reads: panels, or a view."""
        form = panels(matrix, in_place=self.in_place)
        if not self.in_place:
            self._copy_panels(matrix, form)
        return form

    def back(self, matrix: np.ndarray) -> np.ndarray:
        """Panels of the transpose, or what :func:`reservoir.simd.transpose.transposed` makes of it."""
        if self.in_place:
            form = transposed(matrix)
            self.copies.append((fill_transpose, matrix, form[0]))
        else:
            form = panels(matrix, transpose=True)
            self._copy_panels(matrix.T, form)
        return form

    def _copy_panels(self, matrix: np.ndarray, form: np.ndarray) -> None:
        self.copies += [(np.copyto, *part) for part in panel_parts(matrix, form)]

    def fill(self, *copies: tuple) -> None:
        """Make these calls, which fill a form, now and whenever all are brought up to date."""
        self.copies += copies
        for function, *args in copies:
            function(*args)


class Matrices:
    """A cell's part of the parameters; a form is made when it is asked for, and kept.

    Parameters
    ----------
    cell : Cell
    theta : (p,)
        This cell's part of it, of which all that is read as it stands is a view.
    forms : Forms
    is_direction : bool
        As of :class:`Parameters`.
    is_lowest : bool
        Whether the cell reads the network's input, which has no derivatives.

    Attributes
    ----------
    weights : named tuple
        What the cell's steps read; of no direction.
    input_and_bias : (K, .) and (.,) arrays
        Matrix and bias of a feed; the matrix has no rows unless :func:`may_be_fed`.
    """

    def __init__(
        self, cell: Cell, theta: np.ndarray, forms: Forms, *, is_direction: bool = False, is_lowest: bool = True
    ) -> None:
        self.cell, self.theta, self.in_place = cell, theta, forms.in_place
        self._forms, self._views = forms, dict(cell.views(theta))
        self._made: dict[tuple[str, bool], np.ndarray] = {}
        places, K = layout(cell), cell.n_in if may_be_fed(cell) else 0
        self.input_and_bias = room_for(K, places.n_columns, theta.dtype)
        forms.fill(*copies_to_feed(places.table, theta, *self.input_and_bias))
        if not is_direction:
            self.weights = cell.weights(self)
        # All that passes will ask for: threads find it made, and all of it is brought up to date.
        reads_rx = not (is_direction or is_lowest)  # what the input's directional derivative adds is no feed
        for map_ in (map_ for map_ in places.maps if map_.form == "dense"):
            if is_direction if map_.source != "x" else reads_rx or not may_be_fed(cell):
                self._form(map_.name, is_back=False)
            if map_.source == "x" and reads_rx:
                self._form(map_.name, is_back=True)

    def view(self, name: str) -> np.ndarray:
        """The parameter itself."""
        return self._views[name]

    def __getitem__(self, name: str) -> np.ndarray:
        """Panels of a matrix; an array of size 0 if the cell has no parameter of that name."""
        return self._form(name, is_back=False)

    def back(self, name: str) -> np.ndarray:
        """Panels of the transpose, or what :func:`reservoir.simd.transpose.transposed` makes of it, likewise."""
        return self._form(name, is_back=True)

    def row(self, name: str) -> np.ndarray:
        """A vector as an array (n, width) of its equal parts, n = 1; of size 0 if the cell has none of that name."""
        return self._views[name].reshape(1, -1) if name in self._views else np.empty((0, 0), self.theta.dtype)

    def _form(self, name: str, *, is_back: bool) -> np.ndarray:
        if name not in self._views:
            return np.empty((0, 0, 0), self.theta.dtype)
        if (name, is_back) not in self._made:
            make = self._forms.back if is_back else self._forms.straight
            self._made[name, is_back] = make(self._views[name])
        return self._made[name, is_back]


class Readout:
    """The readout's matrix (F, O) and bias, in the forms that ``cells.passes.outputs`` reads."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray, forms: Forms, is_direction: bool) -> None:
        F, O = weights.shape
        self.bias = bias
        self.panels = self.back = np.empty((0, 0, 0), weights.dtype)
        self.columns, self._no_bias = room_for(O if O <= FEW else 0, F, weights.dtype)
        if O <= FEW:
            forms.fill((np.copyto, self.columns[:, :F], weights.T))
            return
        self.panels = forms.straight(weights)
        if not is_direction:
            self.back = forms.back(weights)

    def feed(self, doutputs: np.ndarray) -> Feed:
        """What gives the derivatives by the features row by row, an empty feed unless there are few outputs."""
        if doutputs.shape[1] > FEW:
            return no_feed(doutputs.dtype)
        return Feed(doutputs, 0, self.columns, self._no_bias)


def may_be_fed(cell: Cell) -> bool:
    """Whether the input's share of the planes can come from a feed: few inputs, all of whose maps are matrices."""
    is_dense = all(map_.form == "dense" for map_ in cell.maps if map_.source == "x")
    return cell.n_in <= FEW and is_dense and cell.raw_input_column < 0
