r"""How a forecaster sees a series: differenced, standardised, and held to the range it has learnt from.

    d(t) = X(t) - X(t - lag),    z(t) = (d(t) - mean) / scale

and back again, z first. Bounds are those of z, where growth that the differences or the linear trend explain is no
departure from the range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optim.arguments import array, integer

if TYPE_CHECKING:
    from reservoir.data.sequences import Sequences

# Training lengths for which the bounds follow the trend.
TREND_GOES_ON = 2
LARGEST = 1e150


@dataclass(frozen=True, eq=False)
class SeriesTransform:
    """Differences, mean and scale of every feature, and the range of what they leave.

    Attributes
    ----------
    lag : int >= 0
        Steps between the two rows of a difference; 0: no differences.
    mean, scale : (O,)
        Of the differenced series; 0 and 1 where it is not standardised, 1 where it is constant.
    width : (O,)
        Of the range of z; where it is constant its size, at least 1.
    low, high : (O,)
        Range of z, its linear trend brought forward to the last row.
    slope : (O,)
        Of that trend, a step.
    n_trend : int >= 1
        Steps for which it goes on.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.sequences import Sequences
    >>> from reservoir.data.series_transform import SeriesTransform
    >>> X = Sequences(np.array([[1.0], [2.0], [4.0], [5.0]]), np.array([0, 4]))
    >>> transform = SeriesTransform.learnt(X, lag=1, standardize=False)
    >>> z = transform.forward(X)
    >>> z.rows.ravel().tolist()
    [1.0, 2.0, 1.0]
    >>> transform.backward(np.ones((1, 3, 1)), X.rows[None, -2:]).ravel().tolist()
    [6.0, 7.0, 8.0]
    """

    lag: int
    mean: np.ndarray
    scale: np.ndarray
    width: np.ndarray
    low: np.ndarray
    high: np.ndarray
    slope: np.ndarray
    n_trend: int

    @classmethod
    def learnt(cls, sequences: Sequences, *, lag: int = 0, standardize: bool = True) -> SeriesTransform:
        """The transform of series that have more than ``lag`` rows each.

        Raises
        ------
        ValueError
            For numbers above :data:`LARGEST`.
        """
        largest = float(np.abs(sequences.rows).max())
        if largest > LARGEST:
            raise ValueError(
                f"X and exog must hold numbers of at most {LARGEST:g}, whose deviations have squares, got {largest:g}; "
                "give them in other units."
            )
        nothing = np.zeros(sequences.rows.shape[1])
        n_trend = TREND_GOES_ON * int(sequences.lengths.max())
        plain = cls(lag, nothing, nothing + 1, nothing + 1, nothing, nothing, nothing, n_trend)
        d = plain.forward(sequences).rows
        if standardize:
            mean, scale = d.mean(axis=0, dtype=float), d.std(axis=0, dtype=float)
            # A constant column leaves rounding errors of its mean, constant differences those of the rows, not zeros.
            varies = scale > 4 * np.finfo(d.dtype).eps * np.abs(sequences.rows).max(axis=0)
            plain = replace(plain, mean=mean, scale=np.where(varies, scale, 1.0))
        z = plain.forward(sequences)
        slope = _slope(z)
        low, high = _range_at_the_end(z, slope)
        width = np.ptp(z.rows, axis=0).astype(float)
        width = np.where(width > 0, width, np.maximum(1.0, np.abs(high)))
        return replace(plain, width=width, low=low, high=high, slope=slope)

    def __post_init__(self):
        integer("lag", self.lag, least=0)
        integer("n_trend", self.n_trend)
        O = len(array("mean", self.mean, shape=(None,), dtype=np.float64))
        for name in ("scale", "width"):
            array(name, getattr(self, name), shape=(O,), dtype=np.float64, above=0)
        for name in ("low", "high", "slope"):
            array(name, getattr(self, name), shape=(O,), dtype=np.float64)

    def forward(self, sequences: Sequences) -> Sequences:
        """z of every series, in its precision: its first ``lag`` rows are gone."""
        rows, offsets = sequences.rows, sequences.offsets
        d = rows.astype(float)
        if self.lag > 0:
            d[self.lag :] -= rows[: -self.lag]
            d = d[self.is_kept(sequences)]
            offsets = offsets - self.lag * np.arange(len(offsets))
        return replace(sequences, rows=((d - self.mean) / self.scale).astype(rows.dtype), offsets=offsets)

    def is_kept(self, sequences: Sequences, more: int = 0) -> np.ndarray:
        """(n_steps,) bool: whether a row has one to be subtracted from it, and ``more`` rows between."""
        return np.arange(sequences.n_steps) - sequences.on_rows(sequences.offsets[:-1]) >= self.lag + more

    def one_step_back(self, z: np.ndarray, sequences: Sequences) -> np.ndarray:
        """Rows from z of all that have one before them to be predicted from, the rows ``lag`` before being true."""
        X = z * self.scale + self.mean
        if self.lag > 0:
            X += sequences.rows[np.flatnonzero(self.is_kept(sequences, 1)) - self.lag]
        return X

    def latest(self, recent: np.ndarray) -> np.ndarray:
        """(S, O) z of the last of the rows ``recent`` (S, lag + 1, O)."""
        d = recent[:, -1].astype(float) - (recent[:, 0] if self.lag > 0 else 0.0)
        return ((d - self.mean) / self.scale).astype(recent.dtype)

    def backward(self, z: np.ndarray, recent: np.ndarray) -> np.ndarray:
        """Rows (S, n_steps, O) that follow ``recent`` (S, > lag, O), from their z."""
        X = z * self.scale + self.mean
        for begin in range(0, X.shape[1] if self.lag > 0 else 0, self.lag or 1):
            before = recent[:, recent.shape[1] - self.lag :] if begin == 0 else X[:, begin - self.lag : begin]
            X[:, begin : begin + self.lag] += before[:, : X.shape[1] - begin]
        return X

    def bounds(self, n_steps: int, margin: float, context: Sequences | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(S, n_steps, O) least and largest z that a free run may feed back.

        The range at the end of the series, and that of each series of ``context`` (its z), widened on both sides by
        ``margin`` times the width of the training series; the side to which the trend leads moves with it.
        """
        low, high = self.low[None], self.high[None]
        if context is not None:
            its = np.stack([_range_at_the_end(context, self.slope, i) for i in range(context.n_sequences)], axis=1)
            low, high = np.minimum(low, its[0]), np.maximum(high, its[1])
        step = np.minimum(np.arange(1, n_steps + 1), self.n_trend)[:, None]
        low, high = low - margin * self.width, high + margin * self.width
        return low[:, None] + step * np.minimum(self.slope, 0), high[:, None] + step * np.maximum(self.slope, 0)


def _slope(z: Sequences) -> np.ndarray:
    """(O,) slope of the straight lines through all series, one for all, by least squares."""
    middle = (z.lengths - 1) / 2
    t = np.arange(z.n_steps) - z.on_rows(z.offsets[:-1] + middle)
    return t @ z.rows.astype(float) / max(t @ t, 1.0)


def _range_at_the_end(z: Sequences, slope: np.ndarray, i: int | None = None) -> np.ndarray:
    """(2, O) range of all series, or of series ``i``, each row moved along the trend to the end of its series."""
    part = slice(None) if i is None else slice(z.offsets[i], z.offsets[i + 1])
    left = (z.on_rows(z.offsets[1:] - 1) - np.arange(z.n_steps))[part, None]
    at_the_end = z.rows[part] + slope * left
    return np.stack([at_the_end.min(axis=0), at_the_end.max(axis=0)])
