"""Tiles of data: what takes them, on which side they lie, and how they are cut into pieces.

A tile (D, n_columns) holds a time step a column: features, the square root of its weight, targets.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from optim.device import namespace, to_host

_SHORTEST_PIECE = 256


class TakesTiles:
    """Base of what tiles are added to.

    Attributes
    ----------
    n_parts : int
        Sums that threads may add to side by side. More than 1 promises ``is_summed_in_tiles``, ``sum_of_part``,
        ``count_in_part`` and ``add_part`` as in :class:`reservoir.readout.gram.Gram`.
    """

    n_parts: int = 1

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Add one tile (D, n_columns) float64, NumPy's with its last axis contiguous; it will be overwritten."""
        raise NotImplementedError

    def finish(self, n_threads: int = 1) -> None:
        """Called once no more tiles come."""


def on_host(tile: Any) -> np.ndarray:
    """A tile as NumPy array; one from a GPU with its last axis contiguous."""
    return tile if namespace(tile) is np else np.ascontiguousarray(to_host(tile))


def cut_columns(tile: np.ndarray, n_pieces: int) -> list[np.ndarray]:
    """At most ``n_pieces`` views of consecutive columns, none empty; the cut depends on the shape only."""
    n_columns = tile.shape[1]
    n_pieces = min(n_pieces, -(-n_columns // _SHORTEST_PIECE))
    edges = [k * n_columns // n_pieces for k in range(n_pieces + 1)] if n_pieces else [0]
    return [tile[:, start:stop] for start, stop in pairwise(edges)]


def check_tile(tile: np.ndarray, size: int) -> None:
    """Raise unless BLAS may read ``tile``: a wrong layout would be read as other numbers, in silence."""
    is_fit = tile.ndim == 2 and tile.shape[0] == size and tile.dtype == np.float64
    if not is_fit or (tile.size and (tile.strides[1] != 8 or tile.strides[0] < 8 * tile.shape[1])):
        raise ValueError(
            f"tile must be ({size}, n_columns) float64 with a contiguous last axis, got shape {tile.shape}, "
            f"{tile.dtype}, strides {tile.strides}; use numpy.ascontiguousarray(tile, dtype=float)."
        )


def count_rows(tile, n_features: int) -> int:
    """Columns of ``tile`` whose weight is not zero; a weight of zero is an exact sentinel."""
    xp = namespace(tile)
    return int(xp.count_nonzero(tile[n_features, :]))
