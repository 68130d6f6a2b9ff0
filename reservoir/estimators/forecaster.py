r"""Forecasting a multivariate series by an echo state network that runs on its own output.

x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in [z(t); e(t+1)] + b)
z(t+1) = C [x(t); z(t); e(t+1)] + c

z is the series, differenced if wanted and standardised, and e what is known in advance, standardised.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from optim.arguments import brief, choice, flag, integer, number, precision
from reservoir.alarms import IgnoredTargetWarning
from reservoir.data.containers import as_table, containers_of, in_containers
from reservoir.data.exog import names_of, read_exog, read_future
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences, check_washout
from reservoir.drive.closed_loop import Lanes
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.estimators.estimator import all_or_nothing, progress
from reservoir.estimators.forecast_paths import ForecastsPaths
from reservoir.estimators.free_run import Start, guarded_run, range_of, warn_if_often_held, watched
from reservoir.estimators.free_run_penalty import Judge
from reservoir.estimators.series_transform import SeriesTransform
from reservoir.estimators.training import SOLVERS, is_auto, train
from reservoir.memory import check_memory
from reservoir.readout.linear import Readout

# Rows at the start of a series that teach nothing by default, if it is long.
LONGEST_WASHOUT = 100


class ESNForecaster(ForecastsPaths):
    """Echo state network that learns to predict the next row and then runs freely.

    Fitted on rows 0 .. n-1 it forecasts rows n, n+1, ..., each from the one before, in the units and the container of
    the series. The reservoir's defaults are those of the study ``forecaster_defaults``, the penalty is chosen from the
    data; the study ``ordinary_series`` shows both beside simple rules.

    Parameters
    ----------
    n_units, spectral_radius, leak_rate, input_scaling, bias_scaling, in_degree, topology, activation
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
    residuals_ : (n, n_features) or None
        Errors of single steps on rows held out, of the standardised series; None for an ``alpha`` that was given.
    transform_, exog_transform_ : SeriesTransform
        How the series and exog are standardised and differenced, and the bounds of the guard; the second None without
        exog.
    container_ : object or None
        How the index of a pandas object goes on.
    state_ : (n_sequences, n_units)
        States at the end of the training series, from which a forecast without context goes on.
    last_ : (n_sequences, difference + 1, n_features)
        Their last rows, as many as a forecast needs.
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
        X : (n_steps, n_features), a pandas Series, or any form of several series
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
        sequences = read_sequences(
            self, as_table(X), groups=groups, lengths=lengths, sequence_column=self.sequence_column,
            dtype=precision("dtype", self.dtype), reset=True, target="none",
        )  # fmt: skip
        if y is not None:
            warnings.warn(
                f"y must be left out, for a forecaster learns the next row of X, got {brief(y)}, which is not used; "
                "put all columns to forecast into X, and what is known in advance into exog=.",
                IgnoredTargetWarning,
                stacklevel=3,
            )
        lag = self._lag(sequences)
        self.n_exog_, self.exog_names_, self.exog_transform_ = 0, None, None
        if exog is not None:
            self.exog_names_ = names_of(exog, "exog")
            beside = read_exog(sequences, exog, self.exog_names_, "exog")
            self.n_exog_ = beside.shape[1]
            of_exog = Sequences(beside, sequences.offsets)
            self.exog_transform_ = SeriesTransform.learnt(of_exog, standardize=self.standardize)
        self.transform_ = SeriesTransform.learnt(sequences, lag=lag, standardize=self.standardize)
        series, pairs = self._pairs(sequences, self._beside(sequences, exog))
        targets = np.delete(series.rows, series.offsets[:-1], axis=0)
        self._draw(pairs.rows.shape[1], 0, sequences.rows.dtype)
        n_read = pairs.rows.shape[1] if self.include_input else 0
        shift = np.concatenate([pairs.rows.mean(axis=0, dtype=float)[:n_read], targets.mean(axis=0, dtype=float)])
        task = self._task(
            pairs, pairs.rows, targets=targets, weights=pairs.weights_after(self._washout_of(pairs)), shift=shift,
            noise=number("state_noise", self.state_noise, least=0, remedy="0 turns it off"),
            noise_seed=self.noise_seed_,
            watch=progress("ESNForecaster", self.verbose),
        )  # fmt: skip
        self.state_ = np.empty((sequences.n_sequences, self.n_units), sequences.rows.dtype)
        readout = self._trained(task, self.state_)
        task.tell(1.0)
        self.coef_, self.intercept_ = readout.coef, readout.intercept
        self.alpha_, self.condition_ = readout.alpha, readout.condition
        self._refuse_overflow(self.state_, "states")
        self.last_ = self._ends(sequences)
        self.range_ = range_of(sequences.rows)
        self._form, self.container_ = sequences.form, containers_of(X, sequences.form)
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
            A list of these for a list, (n_sequences, n_steps, n_features) for a 3-D array or several series. A
            DataFrame or Series goes on as one, its index by its frequency: the one given to ``fit``, or the context.

        Warns
        -----
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
        lanes = self._lanes(start, self._given(exog, S, n_steps))
        z, is_held = guarded_run(self.reservoir_, self._task, lanes)
        series = self.transform_.backward(z, start.last).astype(start.last.dtype)
        if self.guard is not None:
            warn_if_often_held(is_held)
        seen = self.range_ if self.guard is None else np.array([[-np.inf], [np.inf]])
        series = watched(series.reshape(S * n_steps, O), n_steps * np.arange(S + 1), seen).reshape(S, n_steps, O)
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
        return Start(self.state_, self.last_, self._form), self.container_

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

    def _lag(self, sequences: Sequences) -> int:
        """Steps between the rows of a difference, 0 for none; every series is long enough to learn from."""
        lag = 0 if self.difference is None else integer("difference", self.difference, remedy="1, a season, or None")
        flag("standardize", self.standardize)
        if self.guard is not None:
            number("guard", self.guard, least=0, remedy="0.25 lets a quarter of the range pass, None everything")
        shortest = int(sequences.lengths.min())
        if shortest < 2:
            raise ValueError(
                "X must have at least 2 rows in every sequence, got one of 1 sample (n_samples=1); "
                "a forecast learns from a row and the next."
            )
        if lag > 0 and shortest < lag + 2:
            raise ValueError(
                f"difference must leave 2 rows of every sequence, got difference={lag} and one of {shortest} rows; "
                "use a shorter season, or None."
            )
        return lag

    def _washout_of(self, pairs: Sequences) -> int:
        """Rows of every series that teach nothing: by default a tenth of the shortest, at most 100."""
        if isinstance(self.washout, str):
            choice("washout", self.washout, ("auto",), or_else="a number of steps")
            return min(LONGEST_WASHOUT, int(pairs.lengths.min()) // 10)
        return check_washout(pairs, self.washout)

    def _ends(self, sequences: Sequences) -> np.ndarray:
        """(n_sequences, lag + 1, n_features) last rows of every series."""
        ends = sequences.offsets[1:, None] + np.arange(-self.transform_.lag - 1, 0)
        return sequences.rows[ends]

    def _beside(self, sequences: Sequences, exog: Any, name: str = "exog") -> np.ndarray | None:
        """(n_steps, n_exog) what was given beside the rows of ``sequences``."""
        if (exog is None) != (self.n_exog_ == 0):
            came, todo = ("None", "pass it") if exog is None else ("an array", "leave it out, or fit with exog")
            raise ValueError(f"{name} must be given exactly if the model was fitted with exog, got {came}; {todo}.")
        if exog is None:
            return None
        beside = read_exog(sequences, exog, self.exog_names_, name)
        if beside.shape[1] != self.n_exog_:
            raise ValueError(
                f"{name} must have {self.n_exog_} columns, got {beside.shape[1]}; pass the same ones as in fit."
            )
        return beside

    def _pairs(self, sequences: Sequences, beside: np.ndarray | None) -> tuple[Sequences, Sequences]:
        """The series as the reservoir sees them, and inputs [X(t); exog(t+1)] of every step that has a next one."""
        series = self.transform_.forward(sequences)
        rows = np.delete(series.rows, series.offsets[1:] - 1, axis=0)
        if beside is not None:
            beside = self.exog_transform_.forward(Sequences(beside, sequences.offsets)).rows
            beside = beside[self.transform_.is_kept(sequences)]
            rows = np.concatenate([rows, np.delete(beside, series.offsets[:-1], axis=0)], axis=1)
        return series, Sequences(rows, series.offsets - np.arange(len(series.offsets)))

    def _read_long_enough(self, X: Any, groups: Any, lengths: Any, name: str = "X") -> Sequences:
        """X for a fitted model, of which every series has the rows of a difference."""
        sequences = self._read(as_table(X), groups=groups, lengths=lengths)
        needed, shortest = self.transform_.lag + 1, int(sequences.lengths.min())
        if shortest < needed:
            raise ValueError(
                f"{name} must have {needed} rows or more for difference={self.difference}, got {shortest}; give more."
            )
        return sequences

    def _synchronise(self, context: Any, exog: Any, groups: Any, lengths: Any) -> Start:
        """States and last rows after ``context``."""
        sequences = self._read_long_enough(context, groups, lengths, "context")
        series, pairs = self._pairs(sequences, self._beside(sequences, exog, "context_exog"))
        state = np.zeros((sequences.n_sequences, self.n_units), series.rows.dtype)
        longer = np.flatnonzero(pairs.lengths > 0)
        if len(longer) > 0:
            filled = Sequences(pairs.rows, np.concatenate([[0], np.cumsum(pairs.lengths[longer])]))
            state[longer] = drive(self.reservoir_, self._task(filled, filled.rows), wants_final=True).final
            self._refuse_overflow(state, "states")
        return Start(state, self._ends(sequences), sequences.form, series)

    def _lanes(self, start: Start, exog: np.ndarray) -> Lanes:
        """Free runs from ``start`` with ``exog`` (S, n_steps, n_exog), a lane a series."""
        low, high = -np.inf, np.inf
        if self.guard is not None:
            low, high = self.transform_.bounds(exog.shape[1], self.guard, start.context)
        last = self.transform_.latest(start.last)
        return Lanes(start.state, last, self.coef_, self.intercept_, exog, low, high)

    def _given(self, exog: Any, n_series: int, n_steps: int) -> np.ndarray:
        """(n_series, n_steps, n_exog), as the reservoir sees it, from what the user gave."""
        if self.n_exog_ == 0:
            if exog is not None:
                raise ValueError("exog must be None for a model fitted without it, got an array; fit with exog.")
            return np.zeros((n_series, n_steps, 0))
        given = read_future(exog, self.exog_names_, n_series, n_steps, self.n_exog_)
        return (given - self.exog_transform_.mean) / self.exog_transform_.scale
