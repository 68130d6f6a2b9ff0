r"""How far a forecast may be off: as far as free runs over rows held out were.

    path = forecast + Σ_l g(l) E(l) / √L,    g(l) ~ N(0, 1)

E(l) of the L runs in ``residuals_`` is truth minus free run at every step, so that what is drawn has the deviation that
they had at each step, and hangs together as they did over steps and features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.utils.validation import check_is_fitted

from optim.arguments import fraction, generator, integer
from reservoir.data.containers import Container, in_containers
from reservoir.forecasting.following import FollowsRows
from reservoir.memory import check_memory


@dataclass(frozen=True, eq=False)
class ForecastInterval:
    """A forecast and where the truth is expected.

    Attributes
    ----------
    point, lower, upper : as ``forecast`` returns
        The forecast, and the bounds between which the truth of every single step and feature is expected to be.
    coverage : float
        With this probability.
    """

    point: Any
    lower: Any
    upper: Any
    coverage: float


class ForecastsPaths(FollowsRows):
    """Paths and intervals of a forecaster whose fit has kept errors of free runs over rows held out."""

    def forecast_paths(
        self, n_steps, n_paths=100, context=None, exog=None, *, context_exog=None, groups=None, lengths=None,
        random_state=None,
    ):  # fmt: skip
        """Futures that may be: the forecast with errors added, mixed from those of free runs over rows held out.

        Parameters
        ----------
        n_steps, context, exog, context_exog, groups, lengths
            As in ``forecast``.
        n_paths : int >= 1
        random_state : int, Generator or None
            None: the same paths at every call.

        Returns
        -------
        (n_paths, n_steps, n_features) for one series, (n_paths, n_steps) for a Series or a 1-D array
            A list of these for a list, (n_sequences, n_paths, n_steps, n_features) for others.

        Raises
        ------
        ValueError
            If the model was fitted with another penalty than ``alpha="auto"``, or to a handful of rows: none are held
            out then.
        """
        check_is_fitted(self)
        n_paths = integer("n_paths", n_paths, remedy="give a number of paths")
        residuals = self._errors_of_runs(integer("n_steps", n_steps, remedy="give the steps to forecast"))
        start, container = self._start(context, context_exog, groups, lengths)
        point = self._free_run(start, self._given(exog, len(start.last), n_steps))
        check_memory(16 * n_paths * point.size, f"{n_paths} paths")
        rng = np.random.default_rng([self.noise_seed_, 1]) if random_state is None else generator(random_state)
        shares = rng.standard_normal((len(point), n_paths, len(residuals))) / np.sqrt(len(residuals))
        paths = (point[:, None] + np.tensordot(shares, residuals, axes=1)).astype(point.dtype)
        if isinstance(container, Container) and container.is_series:
            return paths[0, :, :, 0]
        return in_containers(paths, start.form, None)

    def forecast_interval(
        self, n_steps, coverage=0.9, context=None, exog=None, *, context_exog=None, groups=None, lengths=None
    ):
        """The forecast, and bounds between which the truth is expected.

        Errors are taken to be normal, with mean zero and the mean squares of ``residuals_``. On the reported half of
        the study ``ordinary_series``, bounds of 90 % held 94 % of the 24 rows ahead, and 87 % with ``difference=1``.

        Parameters
        ----------
        n_steps, context, exog, context_exog, groups, lengths
            As in ``forecast``.
        coverage : float in (0, 1)
            Probability with which a path of ``forecast_paths`` is between the bounds at a step.

        Returns
        -------
        ForecastInterval
            ``point``, ``lower`` and ``upper``, each as ``forecast`` returns.

        Raises
        ------
        ValueError
            As ``forecast_paths``.
        """
        check_is_fitted(self)
        coverage = fraction("coverage", coverage, remedy="0.9 holds nine in ten")
        residuals = self._errors_of_runs(integer("n_steps", n_steps, remedy="give the steps to forecast"))
        start, container = self._start(context, context_exog, groups, lengths)
        point = self._free_run(start, self._given(exog, len(start.last), n_steps))
        margin = ndtri((1 + coverage) / 2) * np.sqrt(np.mean(residuals**2, axis=0))
        found = (point, (point - margin).astype(point.dtype), (point + margin).astype(point.dtype))
        return ForecastInterval(*(in_containers(rows, start.form, container) for rows in found), coverage)

    def _errors_of_runs(self, n_steps: int) -> np.ndarray:
        """(n_runs, n_steps, n_features) of all members; after the last known step they stay, or grow as of a walk."""
        if self.residuals_ is None:
            raise ValueError(
                f"alpha must be 'auto' for paths and intervals, got {self.alpha!r} in fit, and X more than a few rows; "
                "errors of rows held out are then kept."
            )
        residuals = np.concatenate([self.residuals_, *(member.residuals_ for member in self.other_members_)])
        last, step = residuals.shape[1], np.arange(n_steps)
        spread = np.sqrt(np.maximum(1.0, (step + 1) / last)) if self.transform_.lag > 0 else np.ones(n_steps)
        return residuals[:, np.minimum(step, last - 1)] * spread[:, None]
