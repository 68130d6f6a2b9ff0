"""The echo state network for classification; the equations are in :mod:`reservoir.estimators.echo_state`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from optim.arguments import brief, choice, number
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences
from reservoir.data.targets import check_weights, read_y
from reservoir.estimators.echo_state import PARAMETERS
from reservoir.estimators.estimator import all_or_nothing
from reservoir.estimators.pooled_network import PooledNetwork


class ESNClassifier(ClassifierMixin, PooledNetwork):
    __doc__ = f"""Echo state network for classifying sequences, or every step of them.

    The readout is a ridge regression on targets 1 for the label's class and 0 for the others. With one label a
    sequence it reads statistics of the states over the sequence (``pooling``); with one label a row, every row is
    decided by itself. States are pooled as they come and never all held; the pooled ones are.

    Parameters
    ----------
{PARAMETERS}    decision : None, "mean", "last" or "vote"
        For one label a sequence where every row is read, which it asks for: by the mean of all rows' outputs, by the
        last row (the only one learnt then), or by the rows' majority. None: "mean".
    class_weight : None, "balanced" or dict
        What weights of sequences, or of rows where these are decided, are multiplied by: a number for each label, all
        1 if left out; "balanced": n / (n_classes * n of the class).

    Attributes
    ----------
    classes_ : (n_classes,)
    coef_ : (n_classes, n_units + n_features), or one a pooled feature
        Of pooled states first, those over the reversed sequence next, and of pooled inputs last, each in the order
        of ``poolings_``.
    intercept_ : (n_classes,)
    decides_sequences_ : bool
        Whether whole sequences are decided.
    poolings_ : tuple of str, or None
        How states are pooled; None where every row is read.
    alpha_, condition_, reservoir_, spectral_radius_error_, sums_, forgetting_time_, n_features_in_, feature_names_in_
        As in :class:`reservoir.ESNRegressor`, and so are the forms of X.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import ESNClassifier
    >>> rng = np.random.default_rng(0)
    >>> t = np.arange(40)
    >>> X = [np.sin(w * t + rng.uniform(0, 6))[:, None] for w in [0.3, 0.5] * 20]
    >>> y = ["slow", "fast"] * 20
    >>> model = ESNClassifier(n_units=50, random_state=0).fit(X[:20], y[:20])
    >>> model.score(X[20:], y[20:])
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
        decision=None,
        class_weight=None,
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
        self.decision = decision
        self.class_weight = class_weight

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Draw the reservoir and learn the readout.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        y : (n_sequences,) or (n_steps,) labels
            With ``sequence_column`` and one label a sequence, repeat it on every row.
        sample_weight : (n_steps,) or (n_sequences,), optional
        groups, lengths : as in :meth:`reservoir.ESNRegressor.fit`

        Returns
        -------
        self
        """
        sequences = self._read_for_fit(X, y, sample_weight, groups, lengths, reset=True, target="labels")
        check_classification_targets(sequences.labels)
        self.classes_ = np.unique(sequences.labels)
        self._check_decision(sequences)
        sequences = self._weighted(sequences)
        targets = self._one_hot(sequences.labels, sequences)
        if self.poolings_ is None:
            self._fit_readout(self._decisive(sequences), targets)
        else:
            self._fit_pooled(sequences, targets)
        return self

    @all_or_nothing
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, groups=None, lengths=None, initial_state=None):
        """Add more sequences, each from rest; ``initial_state="last"`` goes on where X ended.

        As :meth:`reservoir.ESNRegressor.partial_fit`. With ``decision="last"`` the last row of every call is learnt.
        The first call decides whether sequences are pooled.

        Parameters
        ----------
        classes : (n_classes,), optional
            All labels that will ever come, at the first call; None: those that come then.

        Returns
        -------
        self
        """
        is_first = not hasattr(self, "sums_")
        initial_state = self._going_on(initial_state)
        sequences = self._read_for_fit(
            X, y, sample_weight, groups, lengths, reset=is_first, target="labels", goes_on=initial_state is not None
        )
        if is_first:
            self.classes_ = np.unique(sequences.labels if classes is None else classes)
            self._check_decision(sequences)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be {self.classes_.tolist()} as at the first call, got {np.unique(classes).tolist()}; "
                "fit a new model."
            )
        self._refuse_unknown(sequences.labels, "y")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight must be None or a dict of weights for partial_fit, got 'balanced', which all labels must "
                "be known for; give a number for each label."
            )
        sequences = self._weighted(sequences)
        targets = self._one_hot(sequences.labels, sequences)
        if self.poolings_ is None:
            self._add_to_sums(self._decisive(sequences), targets, initial_state)
        else:
            self._refuse_several_labels(sequences)
            self._add_pooled(sequences, targets, initial_state)
        return self

    def _refuse_unknown(self, labels: np.ndarray, name: str) -> None:
        unknown = np.setdiff1d(labels, self.classes_)
        if len(unknown) > 0:
            raise ValueError(
                f"{name} must hold labels out of classes={self.classes_.tolist()}, got {unknown.tolist()}; name them "
                "all at the first call."
            )

    def _read_targets(self, sequences: Sequences, teacher) -> np.ndarray:
        labels = read_y(sequences, teacher, "labels")["labels"]
        self._refuse_unknown(labels, "teacher")
        return self._one_hot(labels, sequences)

    def _check_decision(self, sequences: Sequences) -> None:
        if self.decision is not None:
            choice("decision", self.decision, ("mean", "last", "vote"), or_else="None")
        by_column = sequences.form == "column" and sequences.labels_are_constant
        self.decides_sequences_ = bool(sequences.one_per_sequence or by_column)
        self.poolings_ = self._poolings_for(sequences, self.decides_sequences_)

    def _weighted(self, sequences: Sequences) -> Sequences:
        """Sequences with weights that are multiplied by those of the classes."""
        if self.class_weight is None:
            return sequences
        first = sequences.offsets[:-1] if self.decides_sequences_ else slice(None)
        of_classes = weights_of_classes(self.class_weight, self.classes_, sequences.labels[first])
        weights = of_classes[np.searchsorted(self.classes_, sequences.labels)]
        return replace(
            sequences, weights=check_weights(weights if sequences.weights is None else weights * sequences.weights)
        )

    def _refuse_too_few(self, targets: np.ndarray) -> None:
        n_of_class = targets.sum(axis=0)
        rare = self.classes_[n_of_class == 1]
        if len(rare) > 0:
            raise ValueError(
                f"y must hold at least 2 sequences of each class for alpha to be chosen by cross-validation, got 1 of "
                f"{brief(rare.tolist())}; give more, leave the class out, or give alpha as one number."
            )
        super()._refuse_too_few(targets)

    def _refuse_several_labels(self, sequences: Sequences) -> None:
        if not sequences.labels_are_constant:
            raise ValueError(
                "y must hold one label a sequence, as in fit, got several in one sequence; score rows of a model "
                "that was fitted with one label a row."
            )

    def _decisive(self, sequences: Sequences) -> Sequences:
        """Sequences with the weight on the rows that decide."""
        if not (self.decides_sequences_ and self.decision == "last"):
            return sequences
        weights = np.zeros(sequences.n_steps)
        ends = sequences.offsets[1:] - 1
        weights[ends] = 1.0 if sequences.weights is None else sequences.weights[ends]
        return replace(sequences, weights=weights)

    def _one_hot(self, labels: np.ndarray, sequences: Sequences) -> np.ndarray:
        return (labels[:, None] == self.classes_[None, :]).astype(sequences.rows.dtype)

    def _scores(self, sequences: Sequences, rows: np.ndarray) -> np.ndarray:
        """(n_sequences, n_classes) if sequences are decided, else (n_steps, n_classes), from outputs on ``rows``."""
        if not self.decides_sequences_:
            return rows
        if self.decision == "last":
            return rows[sequences.offsets[1:] - 1]
        if self.decision == "vote":
            rows = (rows == rows.max(axis=1, keepdims=True)).astype(rows.dtype)
        return np.add.reduceat(rows, sequences.offsets[:-1], axis=0) / sequences.lengths[:, None]

    def _decide(self, X, groups, lengths, initial_state, teacher, return_state, answer):
        """``answer`` of the scores in the form of X, and with ``return_state`` the states after the last rows."""
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        if self.poolings_ is not None:
            self._refuse_in_pooling(initial_state=initial_state, teacher=teacher, return_state=return_state)
            return sequences.per_sequence(answer(self._pooled_outputs(sequences)))
        outputs, final = self._outputs(sequences, initial_state, teacher, return_state)
        values = answer(self._scores(sequences, outputs))
        values = sequences.per_sequence(values) if self.decides_sequences_ else sequences.like_input(values)
        return (values, sequences.placed(final)) if return_state else values

    def decision_function(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False, teacher=None):
        """Outputs of the readout, one a class (for two classes: of the second minus the first).

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state, return_state, teacher : as in ``predict``

        Returns
        -------
        (n, n_classes), or (n,) for two classes
            n sequences or rows, whichever are decided.
        state : (n_sequences, n_units)
            Only if ``return_state``.
        """

        def differences(scores: np.ndarray) -> np.ndarray:
            return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

        return self._decide(X, groups, lengths, initial_state, teacher, return_state, differences)

    def predict_proba(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False, teacher=None):
        """Least-squares estimates of the classes' probabilities: outputs below 0 set to 0, then scaled to sum to 1.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state, return_state, teacher : as in ``predict``

        Returns
        -------
        (n, n_classes)
        state : (n_sequences, n_units)
            Only if ``return_state``.
        """
        return self._decide(X, groups, lengths, initial_state, teacher, return_state, probabilities)

    def predict(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False, teacher=None):
        """Label of every sequence, or of every row, whichever ``fit`` was given.

        A live signal is classified row by row, or piece by piece, by ``predict(piece, initial_state=state,
        return_state=True)``; where whole sequences are decided, by the rows of the piece alone. Pooled sequences begin
        at rest and come whole.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state : (n_units,) or (n_sequences, n_units), or "last", optional
            Start from here instead of from rest; with feedback the last outputs follow the states. "last": where
            ``partial_fit`` ended.
        return_state : bool
            Whether to return the states after the last rows too.
        teacher : labels in the form of y, optional
            With feedback: the true labels, which are fed back in the place of the net's own outputs.

        Returns
        -------
        (n_sequences,) or (n_steps,) labels
            With ``sequence_column``, or one 2-D sequence, always one a row.
        state : (n_sequences, n_units), or with feedback (n_sequences, n_units + n_classes)
            Only if ``return_state``.
        """

        def labels(scores: np.ndarray) -> np.ndarray:
            return self.classes_[scores.argmax(axis=1)]

        return self._decide(X, groups, lengths, initial_state, teacher, return_state, labels)

    def score(self, X, y, sample_weight=None, *, groups=None, lengths=None, initial_state=None):
        """Share of right labels, of sequences or of rows, whichever ``fit`` was given.

        Parameters
        ----------
        X, y, sample_weight, groups, lengths : as in ``fit``
        initial_state : as in ``predict``

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
        if self.decides_sequences_:
            self._refuse_several_labels(sequences)
        if self.poolings_ is not None:
            self._refuse_in_pooling(initial_state=initial_state)
            scores = self._pooled_outputs(sequences)
        else:
            scores = self._scores(sequences, self._outputs(sequences, initial_state)[0])
        first = sequences.offsets[:-1] if self.decides_sequences_ else slice(None)
        weights = None if sequences.weights is None else sequences.weights[first]
        return accuracy_score(sequences.labels[first], self.classes_[scores.argmax(axis=1)], sample_weight=weights)


def weights_of_classes(class_weight, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n_classes,) weights that ``class_weight`` gives to ``classes``, of which ``labels`` are members.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.estimators.classifier import weights_of_classes
    >>> weights_of_classes("balanced", np.array(["a", "b"]), np.array(["a", "a", "b", "a"]))
    array([0.66666667, 2.        ])
    >>> weights_of_classes({"b": 3}, np.array(["a", "b"]), np.array(["a", "b"]))
    array([1., 3.])
    """
    if isinstance(class_weight, Mapping):
        given = {label: number("class_weight", weight, least=0) for label, weight in class_weight.items()}
        unknown = given.keys() - set(classes.tolist())
        if unknown:
            raise ValueError(
                f"class_weight must name labels out of {brief(classes.tolist())}, got "
                f"{brief(sorted(unknown, key=str))}; leave them out."
            )
        return np.array([given.get(label, 1.0) for label in classes.tolist()])
    choice("class_weight", class_weight, ("balanced",), or_else="None or a dict of weights")
    n_of_class = np.array([np.count_nonzero(labels == label) for label in classes])
    return len(labels) / (len(classes) * n_of_class)


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Rows that sum to 1 from ``scores`` (n, n_classes); distances from the largest decide where none is positive.

    Scores sum to 1 but for the penalty and rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.estimators.classifier import probabilities
    >>> probabilities(np.array([[3.0, 1.0, -1.0]]))
    array([[0.75, 0.25, 0.  ]])
    """
    scores = scores.astype(float)
    positive = np.maximum(scores, 0.0)
    none = ~(positive.sum(axis=1) > 0)
    positive[none] = np.exp(scores[none] - scores[none].max(axis=1, keepdims=True))
    return positive / positive.sum(axis=1, keepdims=True)
