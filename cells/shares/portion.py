"""A portion of the data: the sequences of a share, over all of their steps or a stretch of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cells.passes.layer import Input
from cells.passes.rows import Rows
from cells.passes.time_loops import Clamp


@dataclass(frozen=True)
class Portion:
    """Rows of some sequences in the order of ``Rows``; arrays of size 0 stand for what there is not.

    ``targets``, ``labels`` and ``weights`` have a row for every output: every row, or with ``is_last`` every sequence
    that ends here. ``begins`` says that the first of these steps is the sequences' own, ``n_continuing`` how many
    sequences, the first ones, go on after the last.
    """

    rows: Rows
    x: Input
    targets: np.ndarray  # (n, O)
    labels: np.ndarray  # (n,) int64
    weights: np.ndarray  # (n,), or (n, O) where single outputs have theirs
    given: tuple[np.ndarray, np.ndarray]  # units (k,) of the first cell whose initial state is given, values (., k)
    clamp: Clamp
    indices: np.ndarray  # (B,) the sequences of the objective
    lengths: np.ndarray  # (B,) all their steps
    is_last: bool
    begins: bool = True
    n_continuing: int = 0

    @property
    def n_steps(self) -> int:
        """Steps T of the longest sequence."""
        return self.rows.running.size

    @property
    def answers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Targets, labels and weights, as the losses read them beside :meth:`counted`."""
        return self.counted(self.targets), self.labels, self.weights.reshape(-1)

    def counted(self, rows: np.ndarray) -> np.ndarray:
        """``rows`` (n, O) as they are or, where single outputs have weights, each output as a row: a view (n O, 1).

        The losses take it for what it is, because no output of theirs sees another, except in a softmax.
        """
        return rows.reshape(-1, 1) if self.weights.ndim == 2 else rows

    def between(self, begin: int, end: int) -> Portion:
        """The steps from ``begin`` on and before ``end``."""
        if (begin, end) == (0, self.n_steps):
            return self
        rows, x = self.rows, self.x
        n, n_continuing = int(rows.running[begin]), int(rows.running[end]) if end < self.n_steps else 0
        here = slice(int(rows.first[begin]), int(rows.first[end]))
        outputs = slice(n_continuing, n) if self.is_last else here
        return Portion(
            Rows(np.minimum(rows.lengths[:n], end) - begin),
            Input(x.array[here]) if x.index is None else Input(x.array, 0, x.index[here]),
            *(self.targets[outputs], self.labels[outputs], self.weights[outputs]),
            self.given,
            Clamp(self.clamp.units, self.clamp.values[here]),
            *(self.indices[:n], self.lengths[:n], self.is_last, self.begins and begin == 0, n_continuing),
        )


def total_weight(weights: np.ndarray) -> float:
    """Sum of the weights of rows; one whose outputs have weights of their own weighs their mean."""
    return float(np.sum(weights, dtype=np.float64)) / (weights.shape[1] if weights.ndim == 2 else 1)
