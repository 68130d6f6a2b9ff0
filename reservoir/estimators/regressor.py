"""The echo state network for regression; the equations are in :mod:`reservoir.estimators.echo_state`.

References
----------
Jaeger (2001), The "echo state" approach to analysing and training recurrent neural networks, GMD Report 148.
Lukoševičius (2012), A practical guide to applying echo state networks: the leak as used here is its equation 3.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from optim.arguments import flag
from reservoir.data.cold_start import warn_of_cold_rows
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences
from reservoir.data.standardise import restored, standard, standardised
from reservoir.data.targets import read_numbers
from reservoir.estimators.echo_state import PARAMETERS
from reservoir.estimators.estimator import all_or_nothing
from reservoir.estimators.pooled_network import PooledNetwork
from reservoir.estimators.training import is_auto


class ESNRegressor(MultiOutputMixin, RegressorMixin, PooledNetwork):
    __doc__ = f"""Echo state network for regression on sequences: one target, or several, a time step.

    The penalty is chosen from the data, and inputs drive the reservoir as they come: defaults chosen by the study
    ``regressor_defaults``. ``standardize=True`` is for inputs of very unlike sizes without a trend.

    ::

        x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in u(t) + W_fb y(t-1) + b)
        y(t) = coef_ @ [x(t); u(t)] + intercept_

    Where y has one entry a sequence, statistics of x and u over the sequence take their place (``pooling``), and there
    is one answer a sequence.

    Parameters
    ----------
{PARAMETERS}    standardize : bool
        Scale inputs and targets to mean 0 and deviation 1 over the rows of the first call, as they are weighted;
        answers are in the units of y. ``coef_``, ``intercept_``, states and what is fed back are of the scaled data.

    Attributes
    ----------
    coef_ : (n_units + n_features,) or (n_outputs, n_units + n_features)
        States first. Where sequences are pooled, one a pooled feature: of states, of those over the reversed sequence,
        and of inputs, each in the order of ``poolings_``.
    intercept_ : float or (n_outputs,)
    alpha_ : float
        The penalty used.
    poolings_ : tuple of str, or None
        How states are pooled; None where every row is read.
    condition_ : float
        Estimated condition number of the centred normal equations with the penalty.
    reservoir_ : reservoir.drive.weights.Reservoir
    spectral_radius_error_ : float
        Relative error of the spectral radius; rounding up to 2,000 units, an estimate above.
    sums_ : reservoir.readout.gram.Gram
        After ``partial_fit``: what has been seen; of pooled sequences their features, targets and weights.
    fold_sums_ : list of 5, or None
        After ``partial_fit`` with ``alpha="auto"``: the blocks of it that choose the penalty.
    state_ : (n_sequences, n_units), or with feedback (n_sequences, n_units + n_outputs)
        States after the last rows learnt, with feedback followed by the last targets.
    forgetting_time_ : int or None
        Steps within which states forget where they started, as the rows of the fit let expect it; None: too few rows to
        say. Long series are cut in time by it.
    target_range_ : (2, n_outputs)
        Least and largest of the targets, against which a free run is held.
    input_shift_, input_scale_ : (n_features,)
    target_shift_, target_scale_ : (n_outputs,)
        What is taken off and divided by; 0 and 1 unless ``standardize``.
    n_features_in_, feature_names_in_

    Notes
    -----
    X may be a 2-D array (one sequence), a list of 2-D arrays or a 3-D array (several), or a 2-D array with ``groups=``,
    ``lengths=`` or the parameter ``sequence_column``, the one form that every scikit-learn tool passes on. Every
    sequence starts from rest unless ``initial_state`` is given.

    References
    ----------
    Jaeger (2001), GMD Report 148; Lukoševičius (2012), A practical guide to applying echo state networks, eq. 3.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import ESNRegressor
    >>> u = np.random.default_rng(0).uniform(-1, 1, (2000, 1))
    >>> y = np.convolve(u[:, 0], [0, 0.3, 0.2, 0.1])[:2000]
    >>> model = ESNRegressor(n_units=100, washout=50, random_state=0).fit(u[:1500], y[:1500])
    >>> round(model.score(u[1500:], y[1500:]), 1)
    1.0
    """

    def __init__(
        self,
        n_units=500,
        *,
        spectral_radius=0.9,
        leak_rate="auto",
        input_scaling=1.0,
        input_weights="uniform",
        bias_scaling="auto",
        feedback_scaling=0.0,
        in_degree=10,
        topology="sparse",
        activation="tanh",
        state_noise=0.0,
        feedback_noise=0.0,
        washout=0,
        include_input=True,
        fit_intercept=True,
        alpha="auto",
        alpha_selection="gcv",
        solver="auto",
        pooling="auto",
        bidirectional=False,
        sequence_column=None,
        warm_start=False,
        dtype=None,
        device=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
        standardize=False,
    ):
        super().__init__(
            n_units, spectral_radius=spectral_radius, leak_rate=leak_rate, input_scaling=input_scaling,
            input_weights=input_weights, bias_scaling=bias_scaling, feedback_scaling=feedback_scaling,
            in_degree=in_degree, topology=topology, activation=activation, state_noise=state_noise,
            feedback_noise=feedback_noise, washout=washout, include_input=include_input, fit_intercept=fit_intercept,
            alpha=alpha, alpha_selection=alpha_selection, solver=solver, pooling=pooling, bidirectional=bidirectional,
            sequence_column=sequence_column, warm_start=warm_start, dtype=dtype, device=device, n_jobs=n_jobs,
            random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.standardize = standardize

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Draw the reservoir and learn the readout.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        y : (n_steps,) or (n_steps, n_outputs), or in the form of X; (n_sequences,) or (n_sequences, n_outputs)
            Numbers for every row, or for every sequence. With ``sequence_column`` those of a sequence stand on all its
            rows. Where an array could be both, it is of rows, unless ``pooling`` names poolings.
        sample_weight : (n_steps,), optional
        groups : (n_steps,), optional
            A new sequence starts where the value changes.
        lengths : (n_sequences,) int, optional
            Rows of each sequence, summing to n_steps.

        Returns
        -------
        self
        """
        sequences = self._read_for_fit(
            X, y, sample_weight, groups, lengths, reset=True, target="rows", y_of=self._y_of()
        )
        self.poolings_ = self._poolings_for(sequences, has_one_answer(sequences))
        if self.poolings_ is None:
            self._fit_readout(sequences, sequences.targets)
        else:
            self._fit_pooled(sequences, sequences.targets)
        return self._shape_like(sequences)

    def _y_of(self) -> str | None:
        """Poolings that are named say what an entry of y belongs to."""
        return None if self.pooling is None or is_auto(self.pooling) else "sequences"

    @all_or_nothing
    def partial_fit(self, X, y, sample_weight=None, *, groups=None, lengths=None, initial_state=None):
        """Add more sequences to what has been learnt, each from rest; ``initial_state="last"`` goes on where X ended.

        For one long stream that comes in pieces say ``partial_fit(X, y, initial_state="last")`` at every call: the
        model is then that of one ``fit`` on all of it, as long as the first piece is longer than the washout. Without
        ``initial_state`` every call is made of new sequences, and the order of the calls does not matter.

        Parameters
        ----------
        X, y, sample_weight, groups, lengths : as in ``fit``
            ``alpha`` must be "auto" or one number; solver "auto" uses the normal equations.
        initial_state : "last", (n_units,) or (n_sequences, n_units), optional
            Start from here instead of from rest, without a washout; with feedback the last targets follow the states.
            "last": ``state_``, or rest at the first call.

        Returns
        -------
        self
            ``state_`` holds the states after the last rows, with feedback followed by the targets there. The first
            call draws the reservoir, also after ``fit``, unless ``warm_start``.

        Warns
        -----
        ColdStartWarning
            If a later call gives fewer rows from rest than the reservoir remembers, and nothing says that they are a
            sequence.
        """
        is_first = not hasattr(self, "sums_")
        initial_state = self._going_on(initial_state)
        sequences = self._read_for_fit(
            X, y, sample_weight, groups, lengths, reset=is_first, target="rows", goes_on=initial_state is not None,
            y_of=self._y_of(),
        )  # fmt: skip
        if is_first:
            self.poolings_ = self._poolings_for(sequences, has_one_answer(sequences))
        if not is_first and sequences.targets.shape[1] != np.size(self.intercept_):
            raise ValueError(
                f"y must have {np.size(self.intercept_)} outputs as before, got {sequences.targets.shape[1]}; "
                "fit a new model."
            )
        if self.poolings_ is None:
            self._add_to_sums(sequences, sequences.targets, initial_state)
        else:
            _refuse_several_targets(sequences)
            self._add_pooled(sequences, sequences.targets, initial_state)
        return self._shape_like(sequences)

    def _shape_like(self, sequences: Sequences):
        self._is_1d = sequences.targets_1d
        if self._is_1d:
            self.coef_, self.intercept_ = self.coef_[0], float(self.intercept_[0])
        return self

    def _read_for_fit(self, *data, reset: bool, **options) -> Sequences:
        sequences = super()._read_for_fit(*data, reset=reset, **options)
        if reset:
            on = flag("standardize", self.standardize)
            self.input_shift_, self.input_scale_ = standard(sequences.rows, sequences.weights, on=on)
            self.target_shift_, self.target_scale_ = standard(sequences.targets, sequences.weights, on=on)
        return replace(self._scaled(sequences), targets=self._scaled_targets(sequences.targets))

    def _read(self, X, **boundaries) -> Sequences:
        return self._scaled(super()._read(X, **boundaries))

    def _scaled(self, sequences: Sequences) -> Sequences:
        """The sequences as the reservoir is driven by them."""
        if _is_neutral(self.input_shift_, self.input_scale_):
            return sequences
        return replace(sequences, rows=standardised(sequences.rows, self.input_shift_, self.input_scale_))

    def _scaled_targets(self, targets: np.ndarray) -> np.ndarray:
        """Targets (n_steps, O) as the readout learns them."""
        if _is_neutral(self.target_shift_, self.target_scale_):
            return targets
        return standardised(targets, self.target_shift_, self.target_scale_)

    def _restored(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs of the readout in the units of y."""
        if _is_neutral(self.target_shift_, self.target_scale_):
            return outputs
        return restored(outputs, self.target_shift_, self.target_scale_)

    def _outputs(self, *data, **options):
        outputs, final = super()._outputs(*data, **options)
        return self._restored(outputs), final

    def _pooled_outputs(self, sequences: Sequences) -> np.ndarray:
        return self._restored(super()._pooled_outputs(sequences))

    def _read_targets(self, sequences: Sequences, teacher) -> np.ndarray:
        values = read_numbers(sequences, teacher, "teacher", sequences.rows.dtype)[0].reshape(sequences.n_steps, -1)
        if values.shape[1] != np.size(self.intercept_):
            raise ValueError(
                f"teacher must have the {np.size(self.intercept_)} outputs of y, got {values.shape[1]}; give what fit "
                "was given as y, for these rows."
            )
        return self._scaled_targets(values)

    def predict(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False, teacher=None):
        """Outputs for every row of X, or for every sequence where these are pooled.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state : "fitted", (n_units,) or (n_sequences, n_units), optional
            Start from here instead of from rest; with feedback the last outputs follow the states. "fitted": from
            ``state_``, where training ended ("last", as in ``partial_fit``, is the same).
        return_state : bool
            Whether to return the states after the last rows too.
        teacher : (n_steps,) or (n_steps, n_outputs), or in the form of X, optional
            With feedback: the true outputs, which are fed back in the place of the net's own. The states returned go
            on from them. So a net is primed: ``_, state = predict(X, teacher=y, return_state=True)``.

        Returns
        -------
        y : (n_steps,) or (n_steps, n_outputs), or in the form of X; pooled (n_sequences,) or (n_sequences, n_outputs)
            Of pooled sequences with ``sequence_column``, or one 2-D sequence, always one a row.
        state : (n_sequences, n_units), or with feedback (n_sequences, n_units + n_outputs)
            Only if ``return_state``.

        Raises
        ------
        StateOverflowError
            If states or outputs are not finite.

        Warns
        -----
        FreeRunDivergedWarning
            With feedback and no ``teacher``: if outputs are far from the range of the targets in ``fit``.
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        if self.poolings_ is not None:
            self._refuse_in_pooling(initial_state=initial_state, teacher=teacher, return_state=return_state)
            answers = self._pooled_outputs(sequences).astype(self.reservoir_.dtype)
            return sequences.per_sequence(answers[:, 0] if self._is_1d else answers)
        outputs, final = self._outputs(sequences, initial_state, teacher, return_state)
        outputs = sequences.like_input(outputs[:, 0] if self._is_1d else outputs)
        return (outputs, sequences.placed(final)) if return_state else outputs

    def score(self, X, y, sample_weight=None, *, groups=None, lengths=None, initial_state=None):
        """Coefficient of determination R², ``r2_score(y, predict(X))``: over rows, or over sequences that are pooled.

        Parameters
        ----------
        X, y, sample_weight, groups, lengths : as in ``fit``
        initial_state : as in ``predict``

        Returns
        -------
        float

        Warns
        -----
        ColdStartWarning
            If X came as one series, from rest, and the score depends on that: another start moves the outputs by more
            than a twentieth of the targets' variance, as a mean over the rows. See :mod:`reservoir.model_selection`.
        """
        from sklearn.metrics import r2_score  # here, for it takes long to import

        check_is_fitted(self)
        sequences = read_sequences(
            self, X, y, sample_weight=sample_weight, groups=groups, lengths=lengths,
            sequence_column=self.sequence_column, dtype=self.reservoir_.dtype, reset=False, target="rows",
            y_of=self._y_of(),
        )  # fmt: skip
        sequences = self._scaled(sequences)
        if self.poolings_ is not None:
            self._refuse_in_pooling(initial_state=initial_state)
            _refuse_several_targets(sequences)
            first = sequences.offsets[:-1]
            weights = None if sequences.weights is None else sequences.weights[first]
            return r2_score(sequences.targets[first], self._pooled_outputs(sequences), sample_weight=weights)
        outputs = self._outputs(sequences, initial_state)[0].astype(np.float64)
        if initial_state is None and sequences.form == "rows" and self.reservoir_.n_feedback == 0:
            warn_of_cold_rows(sequences, outputs, lambda first: self._outputs(first, self.state_[-1])[0])
        return r2_score(sequences.targets.astype(np.float64), outputs, sample_weight=sequences.weights)


def _is_neutral(shift: np.ndarray, scale: np.ndarray) -> bool:
    return not shift.any() and bool((scale == 1.0).all())


def has_one_answer(sequences: Sequences) -> bool:
    """Whether y had one entry a sequence, or with a column of ids the same on all rows of each."""
    return sequences.one_per_sequence or (sequences.form == "column" and _is_constant(sequences))


def _is_constant(sequences: Sequences) -> bool:
    first = sequences.targets[sequences.offsets[:-1]]
    return bool((sequences.targets == sequences.on_rows(first)).all())


def _refuse_several_targets(sequences: Sequences) -> None:
    if not _is_constant(sequences):
        raise ValueError(
            "y must hold one target a sequence, as in fit, got several in one sequence; fit with pooling=None to learn "
            "every row."
        )
