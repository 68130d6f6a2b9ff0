"""The rows of a batch of sequences, step by step, longest sequence first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Where each step of each sequence stands in the time-major arrays of ``cells.passes.time_loops``.

    Parameters
    ----------
    lengths : (B,) int64, never growing
        Steps of each sequence, at least 1 each.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.passes.rows import Rows
    >>> rows = Rows(np.array([3, 1]))
    >>> rows.first.tolist(), rows.step.tolist(), rows.sequence.tolist()
    ([0, 2, 3, 4], [0, 0, 1, 2], [0, 1, 0, 0])
    """

    lengths: np.ndarray

    @cached_property
    def n_sequences(self) -> int:
        return self.lengths.size

    @cached_property
    def n_rows(self) -> int:
        return int(self.first[-1])

    @cached_property
    def running(self) -> np.ndarray:
        """(T,) number of sequences that reach each step."""
        return np.searchsorted(-self.lengths, -np.arange(int(self.lengths[0])), side="left")

    @cached_property
    def first(self) -> np.ndarray:
        """(T + 1,) int64: first row of each step."""
        return np.concatenate([[0], np.cumsum(self.running)]).astype(np.int64)

    @cached_property
    def sequence(self) -> np.ndarray:
        """(R,) the sequence each row belongs to."""
        return np.arange(self.n_rows) - np.repeat(self.first[:-1], self.running)

    @cached_property
    def step(self) -> np.ndarray:
        """(R,) the step each row belongs to."""
        return np.repeat(np.arange(self.running.size), self.running)

    @cached_property
    def last(self) -> np.ndarray:
        """(B,) last row of each sequence."""
        return self.first[self.lengths - 1] + np.arange(self.n_sequences)

    @cached_property
    def reversed(self) -> np.ndarray:
        """(R,) the row of the same sequence as far from its end as this one is from its beginning."""
        return self.first[self.lengths[self.sequence] - 1 - self.step] + self.sequence

    def blocks(self, n_rows: int) -> list[tuple[int, int]]:
        """Stretches of steps (begin, end) of at least ``n_rows`` rows each, the last one excepted.

        Examples
        --------
        >>> import numpy as np
        >>> from cells.passes.rows import Rows
        >>> Rows(np.array([5, 5])).blocks(4)
        [(0, 2), (2, 4), (4, 5)]
        """
        begin, T, blocks = 0, self.running.size, []
        while begin < T:
            end = int(np.searchsorted(self.first, self.first[begin] + n_rows))
            blocks.append((begin, min(end, T)))
            begin = end
        return blocks

    # Spans, (n_spans, 3): first row of the source, first row of z, number of rows.

    @cached_property
    def span_now(self) -> np.ndarray:
        """Sources with a row for every row of z."""
        return np.array([[0, 0, self.n_rows]])

    @cached_property
    def span_after(self) -> np.ndarray:
        """States after the step."""
        return np.array([[self.n_sequences, 0, self.n_rows]])

    @cached_property
    def spans_before(self) -> np.ndarray:
        """States before the step."""
        B, n_before = self.n_sequences, np.concatenate([[self.n_sequences], self.running[:-1]])
        begins = np.flatnonzero(np.diff(n_before, prepend=-1))
        z_rows = self.first[:-1][begins]
        ends = np.append(z_rows[1:], self.n_rows)
        return np.column_stack([z_rows + B - n_before[begins], z_rows, ends - z_rows])

    @cached_property
    def spans_step_before(self) -> np.ndarray:
        """Rows of z of the step before; the first step has none."""
        spans = self.spans_before - [self.n_sequences, 0, 0]
        spans[0, :] += [self.n_sequences, self.n_sequences, -self.n_sequences]
        return spans


def spans_within(spans: np.ndarray, begin: int, end: int) -> np.ndarray:
    """The part of ``spans`` that belongs to rows ``begin`` to ``end`` of z, those rows counted from ``begin``."""
    low = np.maximum(spans[:, 1], begin)
    high = np.minimum(spans[:, 1] + spans[:, 2], end)
    inside = high > low
    return np.column_stack([spans[:, 0] + low - spans[:, 1], low - begin, high - low])[inside]
