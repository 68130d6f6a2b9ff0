"""A network's parameters at one theta, in the forms that kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np

from cells.layer import ROWS_FOR_PANELS, Matrices
from cells.network import Network
from reservoir.tiles import panels


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
        self._buffers: dict[bool, Any] = {}

    def set(self, theta: np.ndarray) -> Parameters:
        """Read everything anew from ``theta`` (P,), which is copied nowhere and must not change meanwhile."""
        self.theta = theta
        for part, matrices in zip(self.parts, self.matrices, strict=True):
            matrices.set(theta[part.parameters])
        views = self.network.views(theta)
        self.initial = [
            tuple(views.get(name, 0.0) for name in names) if names else (0.0, 0.0) for names in self._names
        ]
        weights = views["readout.weights"]
        self.readout_bias = views["readout.bias"]
        self.readout = self._panels(weights, False)
        if not self.is_direction:
            self.readout_back = self._panels(weights, True)
            self.weights = [
                part.cell.weights(matrices) for part, matrices in zip(self.parts, self.matrices, strict=True)
            ]
        for part, matrices in zip(self.parts, self.matrices, strict=True):
            for map_ in part.cell.maps:
                if map_.form == "dense" and (self.is_direction or map_.source == "x"):
                    matrices[map_.name]
                if map_.source == "x" and part.layer > 0 and not self.is_direction:
                    matrices.back(map_.name)
        return self

    def _panels(self, matrix: np.ndarray, transpose: bool) -> np.ndarray:
        form = panels(matrix, transpose=transpose, in_place=self.in_place, out=self._buffers.get(transpose))
        if transpose or not self.in_place:
            self._buffers[transpose] = form
        return form
