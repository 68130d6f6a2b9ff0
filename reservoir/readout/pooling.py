r"""Statistics of a sequence's values over its steps: one row of features a sequence, from pieces as they come.

For the values v_1 .. v_T of one unit over the T steps of a sequence::

    mean             m = Σ v_t / T
    std              sqrt(Σ (v_t - m)² / T)
    last             v_T
    max, min         the largest and the smallest
    share_positive   the number of v_t > 0, divided by T

References
----------
Dempster, Petitjean, Webb (2020), ROCKET: max and the share of positive values as features of a series.
Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance: how two pieces become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.arguments import brief, choice

POOLINGS = ("mean", "std", "last", "max", "min", "share_positive")


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of K columns over some steps; every array is (K,) float64.

    Attributes
    ----------
    n_steps : int
    mean, last, max, min
    squares
        Σ (v_t - mean)².
    n_positive

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.pooling import Statistics
    >>> first, second = Statistics.of(np.array([[1.0], [-2.0]])), Statistics.of(np.array([[4.0]]))
    >>> first.followed_by(second).features(("mean", "max", "last"))
    array([1., 4., 4.])
    """

    n_steps: int
    mean: np.ndarray
    squares: np.ndarray
    last: np.ndarray
    max: np.ndarray
    min: np.ndarray
    n_positive: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Statistics:
        """Of ``values`` (T, K), at least one step."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = values.mean(axis=0, dtype=np.float64)
            deviations = values - mean
            squares = np.einsum("tk,tk->k", deviations, deviations)
        return cls(
            n_steps=len(values),
            mean=mean,
            squares=squares,
            last=values[-1].astype(np.float64),
            max=values.max(axis=0).astype(np.float64),
            min=values.min(axis=0).astype(np.float64),
            n_positive=np.count_nonzero(values > 0, axis=0).astype(np.float64),
        )

    def followed_by(self, later: Statistics) -> Statistics:
        """Of these steps and the ``later`` ones together."""
        n_steps, apart = self.n_steps + later.n_steps, later.mean - self.mean
        return Statistics(
            n_steps=n_steps,
            mean=self.mean + apart * (later.n_steps / n_steps),
            squares=self.squares + later.squares + apart**2 * (self.n_steps * later.n_steps / n_steps),
            last=later.last,
            max=np.maximum(self.max, later.max),
            min=np.minimum(self.min, later.min),
            n_positive=self.n_positive + later.n_positive,
        )

    def features(self, poolings: Sequence[str]) -> np.ndarray:
        """(len(poolings) * K,) the statistics of all columns, one pooling after the other."""
        found = {
            "mean": self.mean,
            "std": np.sqrt(self.squares / self.n_steps),
            "last": self.last,
            "max": self.max,
            "min": self.min,
            "share_positive": self.n_positive / self.n_steps,
        }
        return np.concatenate([found[name] for name in poolings])


def check_poolings(pooling: Any) -> tuple[str, ...]:
    """The names in ``pooling``, a tuple or list of different ones out of :data:`POOLINGS`.

    Raises
    ------
    TypeError, ValueError

    Examples
    --------
    >>> from reservoir.readout.pooling import check_poolings
    >>> check_poolings(["mean", "last"])
    ('mean', 'last')
    """
    wanted = f"pooling must be 'auto', None or a tuple of names out of {', '.join(POOLINGS)}"
    if not isinstance(pooling, tuple | list):
        kind = ValueError if isinstance(pooling, str) else TypeError
        raise kind(f"{wanted}, got {brief(pooling)}; give for example ('mean', 'std').")
    names = tuple(choice("pooling", name, POOLINGS) for name in pooling)
    if len(names) == 0 or len(set(names)) < len(names):
        raise ValueError(f"{wanted}, each once, got {brief(pooling)}; give for example ('mean', 'std').")
    return names
