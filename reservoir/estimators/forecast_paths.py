r"""How far a forecast may be off: free runs to which errors of single steps are added, drawn from rows held out.

    z(k) = held(C [x(k); z(k-1); exog(k)] + c + e(k))

e(k) is a row of ``residuals_``, the features of a row together, drawn anew for every step of every path.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from optim.arguments import fraction, generator, integer
from reservoir.data.containers import in_containers
from reservoir.drive.closed_loop import run_closed
from reservoir.estimators.following import FollowsRows
from reservoir.memory import check_memory

PATHS_OF_AN_INTERVAL = 500


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
    """Paths and intervals of a forecaster whose fit has kept errors of rows held out."""

    def forecast_paths(
        self, n_steps, n_paths=100, context=None, exog=None, *, context_exog=None, groups=None, lengths=None,
        random_state=None,
    ):  # fmt: skip
        """Futures that may be: free runs with the errors of single steps added.

        Parameters
        ----------
        n_steps, context, exog, context_exog, groups, lengths
            As in ``forecast``.
        n_paths : int >= 1
        random_state : int, Generator or None
            None: the same paths at every call.

        Returns
        -------
        (n_paths, n_steps, n_features) for one series
            A list of these for a list, (n_sequences, n_paths, n_steps, n_features) for others.

        Raises
        ------
        ValueError
            If the model was fitted with another penalty than ``alpha="auto"``, which holds no rows out.
        """
        check_is_fitted(self)
        n_steps = integer("n_steps", n_steps, remedy="give the steps to forecast")
        n_paths = integer("n_paths", n_paths, remedy="give a number of paths")
        if self.residuals_ is None:
            raise ValueError(
                f"alpha must be 'auto' for paths and intervals, got {self.alpha!r} in fit; errors of rows held out are "
                "then kept."
            )
        start, _ = self._start(context, context_exog, groups, lengths)
        S = len(start.last)
        check_memory(8 * S * n_paths * (4 * self.n_units + n_steps * self.last_.shape[2]), f"{n_paths} paths")
        lanes = self._lanes(start, self._given(exog, S, n_steps))
        low, high = (np.broadcast_to(bound, (S, n_steps, self.last_.shape[2])) for bound in (lanes.low, lanes.high))
        several = {"state": lanes.state, "last": lanes.last, "exog": lanes.exog, "low": low, "high": high}
        lanes = replace(lanes, **{name: np.repeat(values, n_paths, axis=0) for name, values in several.items()})
        rng = np.random.default_rng([self.noise_seed_, 1]) if random_state is None else generator(random_state)
        drawn = rng.integers(len(self.residuals_), size=(S * n_paths, n_steps))
        z, _ = run_closed(self.reservoir_, lanes, self.residuals_[drawn])
        paths = self.transform_.backward(z, np.repeat(start.last, n_paths, axis=0)).astype(start.last.dtype)
        paths = paths.reshape(S, n_paths, n_steps, -1)
        return in_containers(paths, start.form, None)

    def forecast_interval(
        self, n_steps, coverage=0.9, context=None, exog=None, *, context_exog=None, groups=None, lengths=None
    ):
        """The forecast, and bounds between which the truth is expected.

        The bounds know errors of single steps, not that a trend is missed: of a series that grows or wanders they are
        to be trusted with ``difference=1`` only. On the development half of the study ``ordinary_series``, 24 steps
        ahead, bounds of 90 % held 93 % with it, and 56 % without.

        Parameters
        ----------
        n_steps, context, exog, context_exog, groups, lengths
            As in ``forecast``.
        coverage : float in (0, 1)
            Share of the paths of ``forecast_paths`` between the bounds, at every step.

        Returns
        -------
        ForecastInterval
            ``point``, ``lower`` and ``upper``, each as ``forecast`` returns.

        Raises
        ------
        ValueError
            As ``forecast_paths``.
        """
        coverage = fraction("coverage", coverage, remedy="0.9 holds nine in ten")
        following = {"context_exog": context_exog, "groups": groups, "lengths": lengths}
        paths = self.forecast_paths(n_steps, PATHS_OF_AN_INTERVAL, context, exog, **following)
        point = self.forecast(n_steps, context, exog, **following)
        start, container = self._start(context, context_exog, groups, lengths)
        paths = np.asarray(paths).reshape(len(start.last), PATHS_OF_AN_INTERVAL, n_steps, -1)
        bounds = np.quantile(paths, [(1 - coverage) / 2, (1 + coverage) / 2], axis=1)
        lower, upper = (in_containers(bound, start.form, container) for bound in bounds)
        return ForecastInterval(point, lower, upper, coverage)
