"""A network's parameters at one theta, in the forms that kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np

from cells.network import Network, Part
from cells.passes.calls import Calls, plainly
from cells.passes.cell import Map, layout
from cells.passes.feed import FEW, Feed, no_feed, room_for
from cells.passes.matrices import ROWS_FOR_PANELS, Matrices, may_be_fed
from optim.threads import run_all
from reservoir.simd.tiles import fill_panels, panels
from reservoir.simd.transpose import fill_transpose, transposed
from reservoir.simd.vectors import aligned

_WORTH_THREADS = 50_000  # parameters: copying fewer into panels takes less time than waking a thread


def check_theta(network: Network, theta: Any, dtype: Any = None, *, name: str = "theta") -> None:
    """Raise unless ``theta`` is an array (P,) of this dtype, or of float32 or float64 where none is given."""
    kinds = (np.float64, np.float32) if dtype is None else (dtype,)
    if isinstance(theta, np.ndarray) and theta.shape == (network.n_params,) and theta.dtype in kinds:
        return
    wanted = " or ".join(np.dtype(kind).name for kind in kinds)
    came = f"{theta.dtype} of shape {theta.shape}" if isinstance(theta, np.ndarray) else type(theta).__name__
    remedy = "n_params of the network is its size" if dtype is None else "the objective's dtype= decides the precision"
    raise ValueError(f"{name} must be a {wanted} array of shape ({network.n_params},), got {came}; {remedy}.")


class Parameters:
    """Everything that is derived from theta and read by all rows of a batch: made once, shared by all threads.

    Parameters
    ----------
    network : Network
    n_rows : int
        Smallest number of sequences that run side by side.
    is_direction : bool
        Whether theta is a direction V: then only products with sources are asked of it, and no step reads it.
    """

    def __init__(self, network: Network, n_rows: int, is_direction: bool = False) -> None:
        self.network, self.is_direction = network, is_direction
        self.in_place = n_rows < ROWS_FOR_PANELS
        self.parts = network.parts
        self.matrices = [Matrices(part.cell, self.in_place) for part in self.parts]
        self._names = [
            (f"{part.name}.initial_h", f"{part.name}.initial_c") if network.learn_initial_state else ()
            for part in self.parts
        ]
        self._needed = [
            (matrices, map_.name, is_back)
            for part, matrices in zip(self.parts, self.matrices, strict=True)
            for map_ in layout(part.cell).maps
            if map_.form == "dense"
            for is_back in (False, True)
            if self._needs(part, map_, is_back)
        ]
        self._is_built = False

    def _needs(self, part: Part, map_: Map, is_back: bool) -> bool:
        """Whether something is multiplied by this matrix, or by its transpose, other than in a cell's own step."""
        if map_.source != "x":
            return self.is_direction and not is_back
        if is_back:
            return not self.is_direction and part.layer > 0
        # From the second layer on, what the input's directional derivative adds is no feed.
        return not may_be_fed(part.cell) or (not self.is_direction and part.layer > 0)

    def set(self, theta: np.ndarray, n_threads: int = 1) -> Parameters:
        """Read everything anew from ``theta`` (P,), which is copied."""
        if not self._is_built:
            self._theta = aligned(theta.shape, theta.dtype)
            np.copyto(self._theta, theta)
            self._build()
            self._is_built = True
            return self
        np.copyto(self._theta, theta)
        if self.in_place:
            self._calls.again()
        else:
            run_all(plainly, self._copies, n_threads if theta.size > _WORTH_THREADS else 1)
        return self

    def _build(self) -> None:
        """Make views, panels and the cells' weights, which stay the same memory from now on."""
        for part, matrices in zip(self.parts, self.matrices, strict=True):
            matrices.set(self._theta[part.parameters])
        views = self.network.views(self._theta)
        self.initial = [tuple(views.get(name, 0.0) for name in names) if names else (0.0, 0.0) for names in self._names]
        self.readout_bias = views["readout.bias"]
        copies = self._build_readout(views["readout.weights"])
        if not self.is_direction:
            self.weights = [
                part.cell.weights(matrices) for part, matrices in zip(self.parts, self.matrices, strict=True)
            ]
        for matrices, name, is_back in self._needed:
            matrices.back(name) if is_back else matrices[name]
        for matrices in self.matrices:
            matrices.input_and_bias()
        self._copies = [(function, *args) for matrices in self.matrices for function, args in matrices.copies]
        self._copies += copies
        self._calls = Calls()
        for copy in self._copies if self.in_place else []:
            self._calls(*copy)

    def _build_readout(self, weights: np.ndarray) -> list[tuple]:
        """The readout's matrix (F, O) in the forms that kernels read; the calls that bring them up to date."""
        F, O = weights.shape
        self.readout = self.readout_back = np.empty((0, 0, 0), weights.dtype)
        self.readout_columns, self._no_bias = room_for(O if O <= FEW else 0, F, weights.dtype)
        if O <= FEW:
            fill_transpose(weights, self.readout_columns)
            return [(fill_transpose, weights, self.readout_columns)]
        copies = []
        self.readout = panels(weights, in_place=self.in_place)
        if not self.in_place:
            copies.append((fill_panels, weights, False, self.readout))
        if not self.is_direction and self.in_place:
            self.readout_back = transposed(weights)
            copies.append((fill_transpose, weights, self.readout_back[0]))
        elif not self.is_direction:
            self.readout_back = panels(weights, transpose=True)
            copies.append((fill_panels, weights, True, self.readout_back))
        return copies

    def readout_feed(self, doutputs: np.ndarray) -> Feed:
        """What gives the derivatives by the features row by row, an empty feed unless there are few outputs."""
        if doutputs.shape[1] > FEW:
            return no_feed(doutputs.dtype)
        return Feed(doutputs, 0, self.readout_columns, self._no_bias)
