r"""Forecasting a multivariate series by an echo state network that runs on its own output.

x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in [X(t); exog(t+1)] + b)
X(t+1) = C [x(t); X(t); exog(t+1)] + c
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from optim.arguments import brief, integer, number, precision
from reservoir.alarms import IgnoredTargetWarning
from reservoir.data.exog import names_of, read_exog, read_future
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences, check_washout
from reservoir.drive.routes import drive
from reservoir.estimators.estimator import ReservoirEstimator, all_or_nothing, progress
from reservoir.estimators.free_run import range_of, watched
from reservoir.estimators.training import train
from reservoir.memory import check_memory


class ESNForecaster(ReservoirEstimator):
    """Echo state network that learns to predict the next row and then runs freely.

    Fitted on rows 0 .. n-1 it forecasts rows n, n+1, ..., each from the one before. The defaults are chosen for
    standardised, nearly noiseless series by the study ``forecaster_defaults``.

    Parameters
    ----------
    n_units, spectral_radius, leak_rate, input_scaling, bias_scaling, in_degree, topology, activation
        The reservoir; as in :class:`reservoir.ESNRegressor`, and so are the others.
    state_noise, washout, include_input, fit_intercept, alpha, alpha_selection, solver
        How the readout is learnt.
    sequence_column, warm_start, dtype, device, n_jobs, random_state, verbose

    Attributes
    ----------
    coef_ : (n_features, n_units + n_features + n_exog)
        States first.
    intercept_ : (n_features,)
    alpha_, condition_ : float
    state_ : (n_sequences, n_units)
        States at the end of the training series, from which a forecast without context goes on.
    last_ : (n_sequences, n_features)
        Their last rows.
    n_exog_ : int
    exog_names_ : (n_exog,) or None
        Names of the columns of ``exog``, if it had any.
    range_ : (2, n_features)
        Least and largest values of the series, against which a forecast is held.
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
        washout=100,
        include_input=True,
        fit_intercept=True,
        alpha=1e-11,
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
        X : (n_steps, n_features), or any form of several series
            At least 2 rows each, and more than ``washout`` + 1.
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
            self, X, groups=groups, lengths=lengths, sequence_column=self.sequence_column,
            dtype=precision("dtype", self.dtype), reset=True, target="none",
        )  # fmt: skip
        if y is not None:
            warnings.warn(
                f"y must be left out, for a forecaster learns the next row of X, got {brief(y)}, which is not used; "
                "put all columns to forecast into X, and what is known in advance into exog=.",
                IgnoredTargetWarning,
                stacklevel=3,
            )
        if sequences.lengths.min() < 2:
            raise ValueError(
                "X must have at least 2 rows in every sequence, got one of 1 sample (n_samples=1); "
                "a forecast learns from a row and the next."
            )
        self.n_exog_, self.exog_names_ = 0, None
        if exog is not None:
            self.exog_names_ = names_of(exog, "exog")
            self.n_exog_ = read_exog(sequences, exog, self.exog_names_, "exog").shape[1]
        pairs = self._pairs(sequences, exog)
        check_washout(pairs, self.washout)
        targets = np.delete(sequences.rows, sequences.offsets[:-1], axis=0)
        self._draw(pairs.rows.shape[1], 0, sequences.rows.dtype)
        n_read = pairs.rows.shape[1] if self.include_input else 0
        shift = np.concatenate([pairs.rows.mean(axis=0, dtype=float)[:n_read], targets.mean(axis=0, dtype=float)])
        task = self._task(
            pairs, pairs.rows, targets=targets, weights=pairs.weights_after(self.washout), shift=shift,
            noise=number("state_noise", self.state_noise, least=0, remedy="0 turns it off"),
            noise_seed=self.noise_seed_,
            watch=progress("ESNForecaster", self.verbose),
        )  # fmt: skip
        self.state_ = np.empty((sequences.n_sequences, self.n_units), sequences.rows.dtype)
        readout = train(
            self.reservoir_, task, alpha=self.alpha, alpha_selection=self.alpha_selection, solver=self.solver,
            fit_intercept=self.fit_intercept, final=self.state_,
        )  # fmt: skip
        task.tell(1.0)
        self.coef_, self.intercept_ = readout.coef, readout.intercept
        self.alpha_, self.condition_ = readout.alpha, readout.condition
        self._refuse_overflow(self.state_, "states")
        self.last_ = sequences.rows[sequences.offsets[1:] - 1]
        self.range_ = range_of(sequences.rows)
        self._form = sequences.form
        return self

    def run(self, X, *, groups=None, lengths=None, initial_state=None):
        """Reservoir states after every row of X; see :meth:`reservoir.ESNRegressor.run`."""
        check_is_fitted(self)
        if self.n_exog_ > 0:
            raise NotImplementedError(
                "run is for forecasters fitted without exog, got one with exog, whose last row lacks the next exog; "
                "join both in X and use ReservoirTransformer."
            )
        return super().run(X, groups=groups, lengths=lengths, initial_state=initial_state)

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
            A list of these for a list, (n_sequences, n_steps, n_features) for a 3-D array or several series.

        Warns
        -----
        FreeRunDivergedWarning
            If values leave the range of the training series by more than its width, or are not finite: the last finite
            row is then repeated.
        """
        check_is_fitted(self)
        n_steps = integer("n_steps", n_steps, remedy="give the steps to forecast")
        state, last, form = self.state_, self.last_, self._form
        if context is None and not (context_exog is None and groups is None and lengths is None):
            raise ValueError(
                "context must be given with context_exog, groups or lengths, got None; pass it, or leave these out."
            )
        if context is not None:
            state, last, form = self._synchronise(context, context_exog, groups, lengths)
        n_series, n_features = last.shape
        check_memory(8 * n_series * n_steps * (2 * n_features + self.n_exog_), f"{n_steps} steps of {n_series} series")
        rows = np.zeros((n_series, n_steps, n_features + self.n_exog_), last.dtype)
        rows[:, :, n_features:] = self._given(exog, n_series, n_steps)
        offsets = n_steps * np.arange(n_series + 1)
        sequences = Sequences(rows.reshape(n_series * n_steps, -1), offsets)
        # The loop starts from the last row seen, which stands in for the output of the step before.
        task = self._task(sequences, sequences.rows, initial=np.concatenate([state, last], axis=1))
        outputs = drive(self.reservoir_, task, coef=self.coef_, intercept=self.intercept_, fed=0).outputs
        outputs = watched(outputs, offsets, self.range_)
        series = outputs.reshape(n_series, n_steps, n_features)
        if form == "list":
            return list(series)
        return series[0] if n_series == 1 and form != "stack" else series

    def _pairs(self, sequences: Sequences, exog: Any, name: str = "exog") -> Sequences:
        """Inputs [X(t); exog(t+1)] of every step that has a next one."""
        if (exog is None) != (self.n_exog_ == 0):
            came, todo = ("None", "pass it") if exog is None else ("an array", "leave it out, or fit with exog")
            raise ValueError(f"{name} must be given exactly if the model was fitted with exog, got {came}; {todo}.")
        rows = np.delete(sequences.rows, sequences.offsets[1:] - 1, axis=0)
        if self.n_exog_ > 0:
            beside = read_exog(sequences, exog, self.exog_names_, name)
            if beside.shape[1] != self.n_exog_:
                raise ValueError(
                    f"{name} must have {self.n_exog_} columns, got {beside.shape[1]}; pass the same ones as in fit."
                )
            rows = np.concatenate([rows, np.delete(beside, sequences.offsets[:-1], axis=0)], axis=1)
        return Sequences(rows, sequences.offsets - np.arange(len(sequences.offsets)))

    def _synchronise(self, context: Any, exog: Any, groups: Any, lengths: Any) -> tuple[np.ndarray, np.ndarray, str]:
        """States and last rows after ``context``."""
        sequences = self._read(context, groups=groups, lengths=lengths)
        last = sequences.rows[sequences.offsets[1:] - 1]
        if self.n_exog_ > 0 and exog is None:
            self._pairs(sequences, exog, "context_exog")
        state = np.zeros((sequences.n_sequences, self.n_units), last.dtype)
        longer = np.flatnonzero(sequences.lengths > 1)
        if len(longer) > 0:
            pairs = self._pairs(sequences, exog, "context_exog")
            filled = Sequences(pairs.rows, np.concatenate([[0], np.cumsum(pairs.lengths[longer])]))
            state[longer] = drive(self.reservoir_, self._task(filled, filled.rows), wants_final=True).final
            self._refuse_overflow(state, "states")
        return state, last, sequences.form

    def _given(self, exog: Any, n_series: int, n_steps: int) -> np.ndarray:
        """(n_series, n_steps, n_exog) from what the user gave."""
        if self.n_exog_ == 0:
            if exog is not None:
                raise ValueError("exog must be None for a model fitted without it, got an array; fit with exog.")
            return np.zeros((n_series, n_steps, 0))
        return read_future(exog, self.exog_names_, n_series, n_steps, self.n_exog_)
