"""Rows that are held: for fits of fewer rows than features."""

from __future__ import annotations

from typing import Any

import numpy as np

from reservoir.readout.gram import as_shift, on_host


class HeldRows:
    """The columns of all tiles whose weight is not zero, side by side in one.

    Parameters
    ----------
    n_features, n_outputs, shift
        As in :class:`reservoir.readout.gram.Gram`.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.rows import HeldRows
    >>> rows = HeldRows(1, 1)
    >>> rows.add(np.array([[1.0, 2.0, 0.0], [1.0, 1.0, 0.0], [2.0, 4.0, 0.0]]))
    >>> rows.tile
    array([[1., 2.],
           [1., 1.],
           [2., 4.]])
    """

    n_parts = 1

    def __init__(self, n_features: int, n_outputs: int, shift: np.ndarray | None = None) -> None:
        self.n_features, self.n_outputs = n_features, n_outputs
        self.shift = as_shift(shift, n_features, n_outputs)
        self._tiles: list[np.ndarray] = []

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Keep what counts of one tile (D, n_columns) float64."""
        tile = on_host(tile)
        self._tiles.append(tile[:, tile[self.n_features] > 0])

    def finish(self) -> None:
        """Nothing is left to be done once no more tiles come."""

    @property
    def tile(self) -> np.ndarray:
        """(D, n_rows) all that was added."""
        return np.concatenate(self._tiles, axis=1)
