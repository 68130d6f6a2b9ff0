"""Echo state networks as scikit-learn estimators; the equations are in :mod:`reservoir.echo_state`.

References
----------
Jaeger (2001), The "echo state" approach to analysing and training recurrent neural networks, GMD Report 148.
Lukoševičius (2012), A practical guide to applying echo state networks: the leak as used here is its equation 3.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from reservoir.echo_state import PARAMETERS, EchoStateNetwork
from reservoir.estimator import all_or_nothing
from reservoir.sequences import Sequences, read_sequences
from reservoir.training import check_choice


class ESNRegressor(MultiOutputMixin, RegressorMixin, EchoStateNetwork):
    __doc__ = f"""Echo state network for regression on sequences: one target, or several, a time step.

    ::

        x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in u(t) + W_fb y(t-1) + b)
        y(t) = coef_ @ [x(t); u(t)] + intercept_

    Parameters
    ----------
{PARAMETERS}
    Attributes
    ----------
    coef_ : (n_units + n_features,) or (n_outputs, n_units + n_features)
        States first.
    intercept_ : float or (n_outputs,)
    alpha_ : float
        The penalty used.
    condition_ : float
        Estimated condition number of the centred normal equations with the penalty.
    reservoir_ : reservoir.weights.Reservoir
    spectral_radius_error_ : float
        Relative error of the spectral radius; rounding up to 2,000 units, an estimate above.
    sums_ : reservoir.gram.Gram
        After ``partial_fit``: what has been seen.
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

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Draw the reservoir and learn the readout.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        y : (n_steps,) or (n_steps, n_outputs), or in the form of X; one target a sequence is repeated on its rows
        sample_weight : (n_steps,), optional
        groups : (n_steps,), optional
            A new sequence starts where the value changes.
        lengths : (n_sequences,) int, optional
            Rows of each sequence, summing to n_steps.

        Returns
        -------
        self
        """
        sequences = self._read_for_fit(X, y, sample_weight, groups, lengths, reset=True, target="rows")
        self._fit_readout(sequences, sequences.targets)
        return self._shape_like(sequences)

    @all_or_nothing
    def partial_fit(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Add more sequences to what has been learnt; the order of the calls does not matter.

        The first call draws the reservoir, also after ``fit``, unless ``warm_start``. Parameters as in ``fit``;
        ``alpha`` must be one number; "auto" uses the normal equations.

        Returns
        -------
        self
        """
        is_first = not hasattr(self, "sums_")
        sequences = self._read_for_fit(X, y, sample_weight, groups, lengths, reset=is_first, target="rows")
        if not is_first and sequences.targets.shape[1] != np.size(self.intercept_):
            raise ValueError(
                f"y must have {np.size(self.intercept_)} outputs as before, got {sequences.targets.shape[1]}; "
                "fit a new model."
            )
        self._add_to_sums(sequences, sequences.targets, is_first)
        return self._shape_like(sequences)

    def _shape_like(self, sequences: Sequences):
        self._is_1d = sequences.targets_1d
        if self._is_1d:
            self.coef_, self.intercept_ = self.coef_[0], float(self.intercept_[0])
        return self

    def predict(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False):
        """Outputs for every row of X.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state : (n_units,) or (n_sequences, n_units), optional
            Start from here instead of from rest; with feedback the last outputs follow the states.
        return_state : bool
            Whether to return the states after the last rows too.

        Returns
        -------
        y : (n_steps,) or (n_steps, n_outputs), or in the form of X
        state : (n_sequences, n_units), or with feedback (n_sequences, n_units + n_outputs)
            Only if ``return_state``.
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        outputs, final = self._outputs(sequences, initial_state, return_state)
        outputs = sequences.like_input(outputs[:, 0] if self._is_1d else outputs)
        return (outputs, final) if return_state else outputs

    def score(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Coefficient of determination R² over all rows of all sequences.

        Parameters
        ----------
        X, y, sample_weight, groups, lengths : as in ``fit``

        Returns
        -------
        float
        """
        from sklearn.metrics import r2_score  # here, for it takes long to import

        check_is_fitted(self)
        sequences = read_sequences(
            self, X, y, sample_weight=sample_weight, groups=groups, lengths=lengths,
            sequence_column=self.sequence_column, dtype=self.reservoir_.dtype, reset=False, target="rows",
        )  # fmt: skip
        return r2_score(sequences.targets, self._outputs(sequences)[0], sample_weight=sequences.weights)


class ESNClassifier(ClassifierMixin, EchoStateNetwork):
    __doc__ = f"""Echo state network for classifying sequences, or every step of them.

    The readout is a ridge regression on targets 1 for the label's class and 0 for the others. With one label a
    sequence, ``decision`` says how its rows decide; with one label a row, every row is decided by itself.

    Parameters
    ----------
{PARAMETERS}    decision : {{"mean", "last", "vote"}}
        For one label a sequence: by the mean of all rows' outputs, by the last row (the only one learnt then), or
        by the rows' majority.

    Attributes
    ----------
    classes_ : (n_classes,)
    coef_ : (n_classes, n_units + n_features)
    intercept_ : (n_classes,)
    decides_sequences_ : bool
        Whether whole sequences are decided.
    alpha_, condition_, reservoir_, spectral_radius_error_, sums_, n_features_in_, feature_names_in_
        As in :class:`ESNRegressor`, and so are the forms of X.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import ESNClassifier
    >>> rng = np.random.default_rng(0)
    >>> t = np.arange(40)
    >>> X = [np.sin(w * t + rng.uniform(0, 6))[:, None] for w in [0.3, 0.5] * 20]
    >>> y = ["slow", "fast"] * 20
    >>> model = ESNClassifier(n_units=50, bias_scaling=0.5, random_state=0).fit(X[:20], y[:20])
    >>> model.score(X[20:], y[20:])
    1.0
    """

    def __init__(
        self,
        n_units=500,
        *,
        spectral_radius=0.9,
        leak_rate=1.0,
        input_scaling=1.0,
        bias_scaling=0.0,
        feedback_scaling=0.0,
        in_degree=10,
        topology="sparse",
        activation="tanh",
        state_noise=0.0,
        feedback_noise=0.0,
        washout=0,
        include_input=True,
        fit_intercept=True,
        alpha=1e-6,
        alpha_selection="gcv",
        solver="auto",
        sequence_column=None,
        warm_start=False,
        dtype=None,
        device=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
        decision="mean",
    ):
        super().__init__(
            n_units, spectral_radius=spectral_radius, leak_rate=leak_rate, input_scaling=input_scaling,
            bias_scaling=bias_scaling, feedback_scaling=feedback_scaling, in_degree=in_degree, topology=topology,
            activation=activation, state_noise=state_noise, feedback_noise=feedback_noise, washout=washout,
            include_input=include_input, fit_intercept=fit_intercept, alpha=alpha, alpha_selection=alpha_selection,
            solver=solver, sequence_column=sequence_column, warm_start=warm_start, dtype=dtype, device=device,
            n_jobs=n_jobs, random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.decision = decision

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Draw the reservoir and learn the readout.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        y : (n_sequences,) or (n_steps,) labels
            With ``sequence_column`` and one label a sequence, repeat it on every row.
        sample_weight : (n_steps,) or (n_sequences,), optional
        groups, lengths : as in :meth:`ESNRegressor.fit`

        Returns
        -------
        self
        """
        sequences = self._read_for_fit(X, y, sample_weight, groups, lengths, reset=True, target="labels")
        check_classification_targets(sequences.labels)
        self.classes_ = np.unique(sequences.labels)
        self._check_decision(sequences)
        self._fit_readout(self._decisive(sequences), self._one_hot(sequences))
        return self

    @all_or_nothing
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, groups=None, lengths=None):
        """Add more sequences; as :meth:`ESNRegressor.partial_fit`.

        Parameters
        ----------
        classes : (n_classes,), optional
            All labels that will ever come, at the first call; None: those that come then.

        Returns
        -------
        self
        """
        is_first = not hasattr(self, "sums_")
        sequences = self._read_for_fit(X, y, sample_weight, groups, lengths, reset=is_first, target="labels")
        if is_first:
            self.classes_ = np.unique(sequences.labels if classes is None else classes)
            self._check_decision(sequences)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be {self.classes_.tolist()} as at the first call, got {np.unique(classes).tolist()}; "
                "fit a new model."
            )
        unknown = np.setdiff1d(sequences.labels, self.classes_)
        if len(unknown) > 0:
            raise ValueError(
                f"y must hold labels out of classes={self.classes_.tolist()}, got {unknown.tolist()}; name them all."
            )
        self._add_to_sums(self._decisive(sequences), self._one_hot(sequences), is_first)
        return self

    def _check_decision(self, sequences: Sequences) -> None:
        check_choice("decision", self.decision, ("mean", "last", "vote"))
        by_column = sequences.form == "column" and sequences.labels_are_constant
        self.decides_sequences_ = bool(sequences.one_per_sequence or by_column)

    def _decisive(self, sequences: Sequences) -> Sequences:
        """Sequences with the weight on the rows that decide."""
        if not (self.decides_sequences_ and self.decision == "last"):
            return sequences
        weights = np.zeros(sequences.n_steps)
        ends = sequences.offsets[1:] - 1
        weights[ends] = 1.0 if sequences.weights is None else sequences.weights[ends]
        return replace(sequences, weights=weights)

    def _one_hot(self, sequences: Sequences) -> np.ndarray:
        targets = sequences.labels[:, None] == self.classes_[None, :]
        return targets.astype(sequences.rows.dtype)

    def _scores(self, sequences: Sequences) -> np.ndarray:
        """(n_sequences, n_classes) if sequences are decided, else (n_steps, n_classes)."""
        rows = self._outputs(sequences)[0]
        if not self.decides_sequences_:
            return rows
        if self.decision == "last":
            return rows[sequences.offsets[1:] - 1]
        if self.decision == "vote":
            rows = (rows == rows.max(axis=1, keepdims=True)).astype(rows.dtype)
        return np.add.reduceat(rows, sequences.offsets[:-1], axis=0) / sequences.lengths[:, None]

    def _answer(self, sequences: Sequences, values: np.ndarray):
        return sequences.per_sequence(values) if self.decides_sequences_ else sequences.like_input(values)

    def decision_function(self, X, *, groups=None, lengths=None):
        """Outputs of the readout, one a class (for two classes: of the second minus the first).

        Parameters
        ----------
        X, groups, lengths : as in ``fit``

        Returns
        -------
        (n, n_classes), or (n,) for two classes
            n sequences or rows, whichever are decided.
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        scores = self._scores(sequences)
        return self._answer(sequences, scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores)

    def predict_proba(self, X, *, groups=None, lengths=None):
        """Least-squares estimates of the classes' probabilities: outputs below 0 set to 0, then scaled to sum to 1.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``

        Returns
        -------
        (n, n_classes)
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        scores = self._scores(sequences).astype(float)
        positive = np.maximum(scores, 0.0)
        # Scores sum to 1 but for the penalty and rounding; if none is positive, take distances from the largest.
        none = ~(positive.sum(axis=1) > 0)
        positive[none] = np.exp(scores[none] - scores[none].max(axis=1, keepdims=True))
        return self._answer(sequences, positive / positive.sum(axis=1, keepdims=True))

    def predict(self, X, *, groups=None, lengths=None):
        """Label of every sequence, or of every row, whichever ``fit`` was given.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``

        Returns
        -------
        (n_sequences,) or (n_steps,) labels
            With ``sequence_column``, or one 2-D sequence, always one a row.
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        return self._answer(sequences, self.classes_[self._scores(sequences).argmax(axis=1)])

    def score(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Share of right labels, of sequences or of rows, whichever ``fit`` was given.

        Parameters
        ----------
        X, y, sample_weight, groups, lengths : as in ``fit``

        Returns
        -------
        float
        """
        from sklearn.metrics import accuracy_score

        check_is_fitted(self)
        sequences = read_sequences(
            self, X, y, sample_weight=sample_weight, groups=groups, lengths=lengths,
            sequence_column=self.sequence_column, dtype=self.reservoir_.dtype, reset=False, target="labels",
        )  # fmt: skip
        if self.decides_sequences_ and not sequences.labels_are_constant:
            raise ValueError(
                "y must hold one label a sequence, as in fit, got several in one sequence; score rows of a model "
                "that was fitted with one label a row."
            )
        labels = self.classes_[self._scores(sequences).argmax(axis=1)]
        first = sequences.offsets[:-1] if self.decides_sequences_ else slice(None)
        weights = None if sequences.weights is None else sequences.weights[first]
        return accuracy_score(sequences.labels[first], labels, sample_weight=weights)
