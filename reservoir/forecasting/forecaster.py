r"""Forecasting a multivariate series by an echo state network that runs on its own output.

x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in [z(t); e(t+1)] + b)
z(t+1) = C [x(t); z(t); e(t+1)] + c

z is the series, differenced if wanted and standardised, and e what is known in advance, standardised.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from optim.arguments import choice, integer
from optim.threads import n_threads, run_all
from reservoir.data.cold_start import warn_of_a_short_context
from reservoir.data.containers import containers_of, in_containers
from reservoir.data.sequences import Sequences
from reservoir.data.states import steps_of_memory
from reservoir.drive.closed_loop import Lanes
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.estimators.estimator import all_or_nothing
from reservoir.estimators.free_run import Start, guarded_run, range_of, warn_if_often_held, watched
from reservoir.estimators.training import SOLVERS, is_auto, train
from reservoir.forecasting.forecast_paths import ForecastsPaths
from reservoir.forecasting.free_run_penalty import Judge
from reservoir.memory import check_memory
from reservoir.readout.linear import Readout


class ESNForecaster(ForecastsPaths):
    """Echo state network that learns to predict the next row and then runs freely.

    Fitted on rows 0 .. n-1 it forecasts rows n, n+1, ..., each from the one before, in the units and the container of
    the series. The reservoir's defaults are those of the study ``forecaster_defaults``, the penalty is chosen from the
    data; the study ``ordinary_series`` shows both beside simple rules.

    Parameters
    ----------
    n_units, spectral_radius, leak_rate, input_scaling, input_weights, bias_scaling, in_degree, topology, activation
        The reservoir; as in :class:`reservoir.ESNRegressor`, and so are the others.
    standardize : bool
        Whether every column of the series and of exog is taken minus its mean and over its deviation, which ``fit``
        learns and a forecast undoes: units then do not matter.
    difference : int >= 1 or None
        Learn X(t) - X(t - difference) instead of X(t): 1 for a series that wanders or grows, or a season.
    guard : float >= 0 or None
        What is fed back is held to the range of the training series, widened by this share of it on both sides; on the
        side to which its linear trend leads the bound follows for two training lengths. None: not held.
    washout : int >= 0 or "auto"
        First rows of every series that teach nothing; "auto": a tenth of the shortest series, at most 100.
    alpha : "auto", float >= 0, or (A,) candidates
        "auto" chooses from 1e-11, 1e-10, ..., 100 by errors of single steps and of free runs on blocks of the series
        that are held out: five in turn, or the last third where there are more than two rows for each feature of the
        readout. It keeps errors of rows held out, which ``forecast_interval`` needs.
    n_members : int >= 1
        Forecasters with reservoirs of their own, of which the median is the forecast; ``forecast_paths`` mix the errors
        of all.
    state_noise, include_input, fit_intercept, alpha_selection, solver
        How the readout is learnt; as in :class:`reservoir.ESNRegressor`. ``alpha_selection`` acts on an array of
        candidates alone.
    sequence_column, warm_start, dtype, device, n_jobs, random_state, verbose

    Attributes
    ----------
    coef_ : (n_features, n_units + n_features + n_exog)
        States first; of the standardised series, as ``intercept_`` is.
    intercept_ : (n_features,)
    alpha_, condition_ : float
    residuals_ : (n_runs, n_run, n_features) or None
        Errors of at most 12 free runs of 100 steps over rows held out, which ``forecast_paths`` mixes; None for an
        ``alpha`` that was given, and of series too short to hold rows out.
    transform_, exog_transform_ : SeriesTransform
        How the series and exog are standardised and differenced, and the bounds of the guard; the second None without
        exog.
    container_ : object or None
        How the index of a pandas object goes on.
    seen_ : Sequences
        Rows of the training series, columns of exog last, and what ``update`` has added.
    state_ : (n_sequences, n_units)
        States at the end of the training series, from which a forecast without context goes on.
    last_ : (n_sequences, difference + 1, n_features)
        Their last rows, as many as a forecast needs.
    other_members_ : tuple of ESNForecaster
        Those after the first, which is this one: all other attributes are its own.
    n_exog_ : int
    exog_names_ : (n_exog,) or None
        Names of the columns of ``exog``, if it had any.
    range_ : (2, n_features)
        Least and largest values of the series.
    reservoir_ : reservoir.drive.weights.Reservoir
    n_features_in_, feature_names_in_

    References
    ----------
    Jaeger and Haas (2004), Harnessing nonlinearity, Science 304; Pathak et al. (2017), Chaos 27, 121102.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import ESNForecaster
    >>> t = np.arange(1200) * 0.1
    >>> X = np.column_stack([np.sin(t), np.cos(t)])
    >>> model = ESNForecaster(n_units=100, random_state=0).fit(X[:1000])
    >>> bool(np.abs(model.forecast(200) - X[1000:]).max() < 1e-3)
    True

    A pandas object is continued as one:

    >>> import pandas as pd
    >>> months = pd.date_range("2015-01-01", periods=96, freq="MS")
    >>> sales = pd.Series(100 + 10 * np.sin(np.pi / 6 * np.arange(96)), months, name="sales")
    >>> ESNForecaster(n_units=50, random_state=0).fit(sales).forecast(3).round(1)
    2023-01-01    100.0
    2023-02-01    105.0
    2023-03-01    108.7
    Freq: MS, Name: sales, dtype: float64
    """

    def __init__(
        self,
        n_units=500,
        *,
        spectral_radius=0.9,
        leak_rate=0.7,
        input_scaling=0.2,
        input_weights="uniform",
        bias_scaling=0.5,
        in_degree=10,
        topology="sparse",
        activation="tanh",
        state_noise=0.0,
        standardize=True,
        difference=None,
        guard=0.25,
        washout="auto",
        include_input=True,
        fit_intercept=True,
        alpha="auto",
        alpha_selection="gcv",
        solver="qr",
        sequence_column=None,
        n_members=1,
        warm_start=False,
        dtype=None,
        device=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_units = n_units
        self.spectral_radius = spectral_radius
        self.leak_rate = leak_rate
        self.input_scaling = input_scaling
        self.input_weights = input_weights
        self.bias_scaling = bias_scaling
        self.in_degree = in_degree
        self.topology = topology
        self.activation = activation
        self.state_noise = state_noise
        self.standardize = standardize
        self.difference = difference
        self.guard = guard
        self.washout = washout
        self.include_input = include_input
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.alpha_selection = alpha_selection
        self.solver = solver
        self.sequence_column = sequence_column
        self.n_members = n_members
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X, y=None, *, exog=None, groups=None, lengths=None):
        """Learn to predict the next row.

        Parameters
        ----------
        X : (n_steps, n_features), (n_steps,), a pandas Series, or any form of several series
            At least 2 rows each, ``difference`` + 2 where there is one, and more than a ``washout`` that is a number.
        y : None
            Here for scikit-learn's tools; what is given is not used, and warned of.
        exog : (n_steps, n_exog), or in the form of X, optional
            What is known in advance: ``exog[t+1]`` goes with ``X[t]`` to predict ``X[t+1]``; ``exog[0]`` is not used.
            Columns of a DataFrame are found by their names later on.
        groups, lengths : as in :meth:`reservoir.ESNRegressor.fit`

        Returns
        -------
        self
        """
        sequences, beside = self._read_series(X, y, exog, groups, lengths)
        self._learn(sequences, beside)
        self.container_ = containers_of(X, sequences.form)
        return self

    def run(self, X, *, groups=None, lengths=None, initial_state=None):
        """Reservoir states after every row of X; see :meth:`reservoir.ESNRegressor.run`."""
        check_is_fitted(self)
        if self.n_exog_ > 0:
            raise NotImplementedError(
                "run is for forecasters fitted without exog, got one with exog, whose last row lacks the next exog; "
                "join both in X and use ReservoirTransformer."
            )
        series = self.transform_.forward(self._read_long_enough(X, groups, lengths))
        return series.like_input(self._states(series, initial_state))

    def forecast(self, n_steps, context=None, exog=None, *, context_exog=None, groups=None, lengths=None):
        """Run freely for ``n_steps`` steps.

        Parameters
        ----------
        n_steps : int >= 1
        context : (n_context, n_features), or any form of several series, optional
            Rows to synchronise with, from rest; the forecast goes on after the last of them. Without it the
            forecast goes on after the training series.
        exog : (n_steps, n_exog), or (n_sequences, n_steps, n_exog), needed if the model was fitted with it
            Row k goes with the prediction of step k. Columns are matched by name if they had names in ``fit`` and have
            here, by position otherwise.
        context_exog : (n_context, n_exog), or in the form of ``context``
            Likewise needed with a context.
        groups, lengths : boundaries in ``context``, as in ``fit``

        Returns
        -------
        (n_steps, n_features) for one series
            A list of these for a list, (n_sequences, n_steps, n_features) for a 3-D array or several series. A 1-D
            array goes on as one, (n_steps,), and so does a DataFrame or Series, its index by its frequency: the one
            given to ``fit``, or the context.

        Warns
        -----
        ColdStartWarning
            If a context is shorter than what the reservoir remembers.
        FreeRunDivergedWarning
            If the guard had to act on more than 1 % of the steps of a series, or values are not finite: the last finite
            row is then repeated. Without a guard, if values leave the range of the training series by more than its
            width.
        """
        check_is_fitted(self)
        n_steps = integer("n_steps", n_steps, remedy="give the steps to forecast")
        start, container = self._start(context, context_exog, groups, lengths)
        S, O = len(start.last), self.last_.shape[2]
        check_memory(8 * S * n_steps * (4 * O + self.n_exog_), f"{n_steps} steps of {S} series")
        series = self._free_run(start, self._given(exog, S, n_steps))
        series = series if start.context is None else start.context.placed(series)
        return in_containers(series, start.form, container)

    def _start(self, context: Any, exog: Any, groups: Any, lengths: Any) -> tuple[Start, Any]:
        """Where a forecast begins, and what it comes in."""
        if context is not None:
            start = self._synchronise(context, exog, groups, lengths)
            return start, containers_of(context, start.form)
        if not (exog is None and groups is None and lengths is None):
            raise ValueError(
                "context must be given with context_exog, groups or lengths, got None; pass it, or leave these out."
            )
        return self._at_the_end(), self.container_

    def _at_the_end(self) -> Start:
        """Where a forecast without a context begins."""
        others = tuple(other._at_the_end() for other in self.other_members_)
        return Start(self.state_, self.last_, self.seen_.form, others=others)

    def _learn(self, sequences: Sequences, beside: np.ndarray | None, *, draws: bool = True) -> None:
        """Fit to series and what goes beside them; ``draws`` reservoirs, or keeps those that are there."""
        n_others = integer("n_members", self.n_members, remedy="1 is a forecaster alone") - 1
        task = self._fitting_task(sequences, beside, draws=draws)
        self.state_ = np.empty((sequences.n_sequences, self.n_units), sequences.rows.dtype)
        readout = self._trained(task, self.state_)
        task.tell(1.0)
        self.coef_, self.intercept_ = readout.coef, readout.intercept
        self.alpha_, self.condition_ = readout.alpha, readout.condition
        self._refuse_overflow(self.state_, "states")
        self.last_ = self._ends(sequences)
        self.range_ = range_of(sequences.rows)
        rows = sequences.rows.copy() if beside is None else np.concatenate([sequences.rows, beside], axis=1)
        self.seen_ = Sequences(rows, sequences.offsets, sequences.form)
        others = [self._another(k) for k in range(n_others)] if draws else [copy(each) for each in self.other_members_]
        run_all(
            partial(ESNForecaster._learn, draws=draws),
            [(each, sequences, beside) for each in others],
            n_threads(self.n_jobs),
        )
        for other in others:
            other.seen_ = self.seen_
        self.other_members_ = tuple(others)

    def _another(self, k: int) -> ESNForecaster:
        """Member k after the first, not fitted."""
        seed = int(np.random.default_rng([self.noise_seed_, 2, k]).integers(2**32))
        other = clone(self).set_params(n_members=1, random_state=seed, warm_start=False, n_jobs=1, verbose=0)
        for name in ("n_features_in_", "feature_names_in_", "n_exog_", "exog_names_"):
            if hasattr(self, name):
                setattr(other, name, getattr(self, name))
        other.container_ = None
        return other

    def _trained(self, task: Task, final: np.ndarray) -> Readout:
        self.residuals_ = None
        if self.solver == "cg" or not is_auto(self.alpha):
            return train(
                self.reservoir_, task, alpha=self.alpha, alpha_selection=self.alpha_selection, solver=self.solver,
                fit_intercept=self.fit_intercept, final=final,
            )  # fmt: skip
        choice("solver", self.solver, SOLVERS)
        judge = Judge(self.reservoir_, task, self.transform_, self.guard, self.fit_intercept)
        readout, self.residuals_ = judge.train(self.solver, final)
        return readout

    def _synchronise(self, context: Any, exog: Any, groups: Any, lengths: Any) -> Start:
        """States and last rows after ``context``."""
        sequences = self._read_long_enough(context, groups, lengths, "context")
        remedy = "give more rows, or go on from the training series by update"
        warn_of_a_short_context(sequences, self._n_remembered(), "context", remedy, depth=3)
        return self._after(sequences, self._beside(sequences, exog, "context_exog"))

    def _n_remembered(self) -> int:
        """Rows that a context should have: what the reservoir remembers, if a series of the fit was as long."""
        remembered = steps_of_memory(self.spectral_radius, self.reservoir_.leak) + self.transform_.lag
        return min(remembered, int(self.seen_.lengths.max()))

    def _after(self, sequences: Sequences, beside: np.ndarray | None) -> Start:
        """States and last rows after series that begin at rest."""
        series, pairs = self._pairs(sequences, beside)
        state = np.zeros((sequences.n_sequences, self.n_units), series.rows.dtype)
        longer = np.flatnonzero(pairs.lengths > 0)
        if len(longer) > 0:
            filled = replace(pairs, offsets=np.concatenate([[0], np.cumsum(pairs.lengths[longer])]))
            state[longer] = drive(self.reservoir_, self._task(filled, filled.rows), wants_final=True).final
            self._refuse_overflow(state, "states")
        others = tuple(other._after(sequences, beside) for other in self.other_members_)
        return Start(state, self._ends(sequences), sequences.form, series, others)

    def _free_run(self, start: Start, exog: np.ndarray) -> np.ndarray:
        """(S, n_steps, n_features) rows that follow ``start``, with ``exog`` (S, n_steps, n_exog) as given."""
        S, n_steps, O = *exog.shape[:2], self.last_.shape[2]
        z, is_held = guarded_run(self.reservoir_, self._task, self._lanes(start, exog))
        series = self.transform_.backward(z, start.last).astype(start.last.dtype)
        if self.guard is not None:
            warn_if_often_held(is_held)
        seen = self.range_ if self.guard is None else np.array([[-np.inf], [np.inf]])
        series = watched(series.reshape(S * n_steps, O), n_steps * np.arange(S + 1), seen).reshape(S, n_steps, O)
        if not self.other_members_:
            return series
        pairs = zip(self.other_members_, start.others, strict=True)
        return np.median([series, *(other._free_run(its, exog) for other, its in pairs)], axis=0)

    def _lanes(self, start: Start, exog: np.ndarray) -> Lanes:
        """Free runs from ``start`` with ``exog`` (S, n_steps, n_exog), a lane a series."""
        low, high = -np.inf, np.inf
        if self.guard is not None:
            low, high = self.transform_.bounds(exog.shape[1], self.guard, start.context)
        last = self.transform_.latest(start.last)
        return Lanes(start.state, last, self.coef_, self.intercept_, exog, low, high)
