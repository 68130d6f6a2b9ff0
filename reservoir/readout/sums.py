"""What a solver must give: sums of data that come in tiles, and readouts from them.

A solver that sums is one file with a class of each kind, and a line in :mod:`reservoir.estimators.training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from reservoir.readout.decomposition import Decomposition
from reservoir.readout.linear import Readout


class Centred(Protocol):
    """Data about their means, or about zero where no intercept is fitted."""

    def solve(self, alpha: float, n_threads: int = 1) -> Readout | None:
        """Ridge readout; None where rounding outweighs the penalty. May use up what is here."""

    def decompose(self) -> Decomposition:
        """What serves every penalty."""


class Sums(Protocol):
    """What a fit keeps of its data, streamed and mergeable, the same for any number of threads.

    Attributes
    ----------
    n_features, n_outputs : int
    shift : (n_features + n_outputs,)
        What was subtracted from features and targets before they came here.
    n_rows : int
        Columns seen whose weight is not zero.
    remedy : str
        What else than more penalty helps where rounding outweighs it, as the end of a sentence.
    """

    n_features: int
    n_outputs: int
    shift: np.ndarray
    n_rows: int
    remedy: str

    @staticmethod
    def n_bytes(size: int, n_rows: int) -> int:
        """Bytes that are held for ``n_rows`` columns of tiles of ``size`` rows, and worked with at the end."""

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Add one tile, see :class:`reservoir.readout.columns.TakesTiles`."""

    def finish(self) -> None:
        """Called once no more tiles come."""

    def merge(self, other: Sums) -> None:
        """Add what another of this kind has seen; ``other`` is unchanged, and shifts may differ."""

    def left_out_of(self, folds: Sequence[Sums]) -> Sums:
        """Sums of all ``folds`` but this one of them."""

    def recentred(self, shift: np.ndarray) -> Sums:
        """The same data minus another shift."""

    def centred(self, *, fit_intercept: bool = True, keep: bool = True, n_threads: int = 1) -> Centred:
        """Centred data; ``keep=False`` gives the memory away and leaves this empty."""

    def held_out_error(self, coef: Any, offset: Any) -> list[float]:
        """(O,) weighted squared errors of the rows seen here; ``offset`` is the intercept for shifted data."""


def total_of(folds: Sequence[Sums]) -> Sums:
    """Sums of all folds; the only one itself."""
    if len(folds) == 1:
        return folds[0]
    total = type(folds[0])(folds[0].n_features, folds[0].n_outputs, folds[0].shift)
    for fold in folds:
        total.merge(fold)
    return total
