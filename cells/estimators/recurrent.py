"""Recurrent networks trained by back-propagation through time, as scikit-learn estimators."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from cells.estimators.supervised import SupervisedNetwork
from cells.estimators.targets import AmbiguousTargetsWarning, could_be_of_sequences, is_one_hot
from cells.predict import refuse_unless_finite
from reservoir.data.sequences import Sequences
from reservoir.data.standardise import restored, standard, standardised
from reservoir.estimators.estimator import all_or_nothing

PARAMETERS = """    n_units : int >= 1
        Units of a layer.
    cell : str or callable
        "lstm", "gru", "elman", "relu", "mut1", "mut2", "mut3", "forget_gate", "multiplicative", "multiplicative_lstm",
        or a function ``cell(n_in, n_units) -> Cell``.
    n_layers : int >= 1
    bidirectional : bool
        Whether every layer also reads each sequence from its end; what is predicted then depends on rows to come.
    targets : None, "all" or "last"
        What an entry of y belongs to: a row of X, or a sequence, whose target is read off the states after its last
        row. None reads it from the shape of y: n_sequences numbers or labels are one a sequence, everything in the form
        of X has one a row.
    solver : str, or a method of ``optim``
        "adam", "nesterov", "momentum", "rmsprop", "adagrad", "sgd", or "hf", Hessian-free.
    learning_rate : float or schedule of the step, optional
        By default what suits the solver.
    decay : None or "cosine"
        Whether a learning rate given as a number falls along half a cosine that ends with the last epoch.
    momentum : float or schedule
        Of "nesterov" and "momentum".
    batch_size : int >= 1, optional
        Sequences of a step; 64, or all where there are fewer. With "hf", sequences on which curvature is measured.
    max_epochs : int >= 1
        Passes over the sequences.
    clip_norm, clip_signal : float > 0, optional
        Bounds on the norm of the gradient of the mean loss, and on the signal propagated back.
    init : str or scheme
        See :func:`cells.initial_theta`.
    standardize : bool
        Whether inputs, and numeric targets, are learnt shifted to mean 0 and scaled to variance 1.
    early_stopping : bool
        Whether sequences are held out (of a single one, its last rows), looked at after each epoch, and the best
        parameters kept.
    validation_fraction : float in (0, 1)
        Share held out.
    patience : int >= 1
        Looks without improvement after which to stop.
    tol : float >= 0
        What counts as improvement.
    hf_options : dict, optional
        Settings of :class:`optim.HessianFree` for "hf".
    checkpoint : path, optional
        ``fit`` writes its state there after each epoch, and goes on from it where the file is there: delete it to
        begin anew, and give every model its own. One of other data or settings is refused.
    sequence_column : int or str, optional
        Column of X that holds a sequence's id: a new sequence starts where it changes.
    warm_start : bool
        Go on from the parameters of an earlier fit of the same network.
    dtype : None, float64 or float32
        Working precision; None: float32 for float32 data, else float64.
    device : None, "cpu" or "gpu"
        Where to compute. None computes where the arrays lie: CuPy's, on the GPU, with answers in CuPy's arrays.
    n_jobs : int, optional
        Threads; None: all cores. The result has the same bits for any number.
    random_state : int, Generator, RandomState or None
        None draws anew in every ``fit``; with ``checkpoint`` it draws as 0 does, or the next could not go on.
    verbose : int
        Above 0: show progress, if tqdm is installed.
"""


class RNNRegressor(MultiOutputMixin, RegressorMixin, SupervisedNetwork):
    __doc__ = f"""Recurrent network for regression on sequences: targets at every time step, or one a sequence.

    Trained on squared errors by full back-propagation through time. One target a sequence is read off the states
    after its last step.

    Parameters
    ----------
{PARAMETERS}
    Attributes
    ----------
    network_ : cells.Network
    theta_ : (P,)
        All parameters; ``network_.views(theta_)`` names them.
    input_shift_, input_scale_, target_shift_, target_scale_ : arrays
    loss_curve_ : (n_iter_,)
        Mean loss of each step's batch, in standardised units, before the step.
    validation_curve_ : dict
        Columns ``iteration`` and ``loss`` of the looks at what is held out.
    trace_ : dict
        Columns of what the optimiser tells, a row a step.
    n_iter_ : int
        Steps taken.
    stop_reason_ : str
    n_features_in_, feature_names_in_

    Notes
    -----
    X may be a 2-D array (one sequence), a list of 2-D arrays or a 3-D array (several), or a 2-D array with ``groups=``,
    ``lengths=`` or the parameter ``sequence_column``, the one form that every scikit-learn tool passes on. Every
    sequence starts from rest unless ``initial_state`` is given.

    A parameter that another one keeps from acting is refused where it is given: ``momentum`` beside "adam",
    ``patience`` without ``early_stopping``.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import RNNRegressor
    >>> u = np.random.default_rng(0).uniform(-1, 1, (1000, 1))
    >>> y = np.roll(u[:, 0], 2) * np.roll(u[:, 0], 1)
    >>> model = RNNRegressor(16, targets="all", random_state=0).fit(u.reshape(20, 50, 1), y.reshape(20, 50))
    >>> model.score(u[:500], y[:500]) > 0.8
    True
    """

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Draw initial parameters and train.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        y : (n_steps,) or (n_steps, n_outputs), or in the form of X; or one target a sequence
        sample_weight : (n_steps,) or (n_sequences,), optional
            Where it is 0, y may be NaN.
        groups : (n_steps,), optional
            A new sequence starts where the value changes.
        lengths : (n_sequences,) int, optional
            Rows of each sequence, summing to n_steps.

        Returns
        -------
        self

        Warns
        -----
        AmbiguousTargetsWarning
            Where sequences of T rows have T numbers each, which may be one a row or all of them one target.
        """
        sequences = self._read_for_fit(X, y, sample_weight, groups, lengths, target="rows")
        if self.targets is None and could_be_of_sequences(sequences, y):
            T = int(sequences.lengths[0])
            warnings.warn(
                f"y has {T} numbers for each sequence of {T} rows and is taken to hold one a row; say targets='all' if "
                "so, or targets='last' if all of them are one sequence's target.",
                AmbiguousTargetsWarning,
                stacklevel=3,
            )
        per_sequence = sequences.one_per_sequence
        targets = sequences.targets[sequences.offsets[:-1]] if per_sequence else sequences.targets
        weights = self._weights_of_targets(sequences, per_sequence)
        self._is_1d = sequences.targets_1d
        self._learn(sequences, targets, weights, loss="squared", n_out=targets.shape[1], per_sequence=per_sequence)
        return self

    def predict(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False):
        """Outputs for every row of X, or for every sequence, whichever ``fit`` was given.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state : (n_state,) or (n_sequences, n_state), optional
            Start from here instead of from rest: what ``return_state`` gave, see :mod:`cells.shares.carried`.
        return_state : bool
            Whether to return the states after the last rows too.

        Returns
        -------
        y : (n_steps,) or (n_steps, n_outputs), or in the form of X; one a sequence if so fitted
        state : (n_sequences, n_state)
            Only if ``return_state``.
        """
        return self._answers(X, groups, lengths, initial_state, return_state, make=self._in_units)

    def score(self, X, y, sample_weight=None, *, groups=None, lengths=None, initial_state=None):
        """Coefficient of determination R² over all rows, or all sequences, whichever ``fit`` was given.

        Parameters
        ----------
        X, y, sample_weight, groups, lengths : as in ``fit``
        initial_state : as in :meth:`predict`

        Returns
        -------
        float
        """
        check_is_fitted(self)
        sequences = self._read_for_score(X, y, sample_weight, groups, lengths, target="rows")
        per_sequence = self.network_.targets == "last"
        targets = sequences.targets[sequences.offsets[:-1]] if per_sequence else sequences.targets
        weights = self._weights_of_targets(sequences, per_sequence)
        outputs = self._answer_of(sequences, "outputs", initial_state).rows.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            found = r2_score(self._answers_of(targets.astype(np.float64)), outputs, sample_weight=weights)
        if len(targets) > 1 and not np.isfinite(found):
            raise ValueError(
                f"y must be of the size that it had in fit, got numbers up to {np.abs(targets).max():.3g} beside a "
                f"deviation of {self.target_scale_.max():.3g}; their squares are more than float64 holds."
            )
        return found

    def _set_scales(self, sequences: Sequences, targets: np.ndarray, weights: np.ndarray | None) -> None:
        super()._set_scales(sequences, targets, weights)
        self.target_shift_, self.target_scale_ = standard(targets, weights, on=self.standardize)

    def _answers_of(self, targets: np.ndarray) -> np.ndarray:
        return standardised(targets, self.target_shift_, self.target_scale_)

    def _in_units(self, rows: np.ndarray) -> np.ndarray:
        """Outputs in the units of the targets, (n,) where those were 1-D."""
        with np.errstate(over="ignore"):
            outputs = restored(rows, self.target_shift_, self.target_scale_)
        refuse_unless_finite(outputs, "the outputs in the units of y", outputs.dtype)
        return outputs[:, 0] if self._is_1d else outputs


class RNNClassifier(ClassifierMixin, SupervisedNetwork):
    __doc__ = f"""Recurrent network for classifying sequences, or every step of them.

    Trained on the cross-entropy of a softmax by full back-propagation through time. With one label a sequence, the
    states after its last step decide (bidirectional: those of both directions at the ends they arrive at).

    Parameters
    ----------
{PARAMETERS}
    Attributes
    ----------
    classes_ : (n_classes,)
    decides_sequences_ : bool
        Whether whole sequences are decided.
    network_, theta_, input_shift_, input_scale_, loss_curve_, validation_curve_, trace_, n_iter_, stop_reason_,
    n_features_in_, feature_names_in_
        As in :class:`RNNRegressor`, and so are the forms of X.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import RNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> t = np.arange(40)
    >>> X = [np.sin(w * t + rng.uniform(0, 6))[:, None] for w in [0.3, 0.5] * 20]
    >>> y = ["slow", "fast"] * 20
    >>> model = RNNClassifier(16, random_state=0).fit(X[:20], y[:20])
    >>> model.score(X[20:], y[20:])
    1.0
    """

    @all_or_nothing
    def fit(self, X, y, sample_weight=None, *, groups=None, lengths=None):
        """Draw initial parameters and train.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        y : (n_sequences,) or (n_steps,) labels
            With ``sequence_column`` and one label a sequence, repeat it on every row. One-hot rows are refused.
        sample_weight : (n_steps,) or (n_sequences,), optional
        groups, lengths : as in :meth:`RNNRegressor.fit`

        Returns
        -------
        self
        """
        sequences = self._read_for_fit(X, y, sample_weight, groups, lengths, target="labels")
        if self.targets is None and could_be_of_sequences(sequences, y) and is_one_hot(y):
            raise ValueError(
                "y must hold labels, got rows with a single 1 and as many entries as a sequence has rows; give "
                "y.argmax(axis=1) for one label a sequence, or say targets='all' for one a row."
            )
        check_classification_targets(sequences.labels)
        self.classes_, numbers = np.unique(sequences.labels, return_inverse=True)
        by_column = self.targets is None and sequences.form == "column" and sequences.labels_are_constant
        self.decides_sequences_ = bool(sequences.one_per_sequence or by_column)
        answers = numbers[sequences.offsets[:-1]] if self.decides_sequences_ else numbers
        weights = self._weights_of_targets(sequences, self.decides_sequences_)
        self._learn(
            *(sequences, answers, weights),
            loss="softmax",
            n_out=len(self.classes_),
            per_sequence=self.decides_sequences_,
        )
        return self

    def decision_function(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False):
        """Outputs before the softmax, one a class (for two classes: of the second minus the first).

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state, return_state : as in :meth:`predict`

        Returns
        -------
        scores : (n, n_classes), or (n,) for two classes
            n sequences or rows, whichever are decided.
        state : (n_sequences, n_state)
            Only if ``return_state``.
        """
        return self._answers(X, groups, lengths, initial_state, return_state, make=self._scores)

    def predict_proba(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False):
        """Probabilities of the classes.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state, return_state : as in :meth:`predict`

        Returns
        -------
        p : (n, n_classes)
        state : (n_sequences, n_state)
            Only if ``return_state``.
        """
        return self._answers(X, groups, lengths, initial_state, return_state, "predictions", make=_summing_to_one)

    def predict(self, X, *, groups=None, lengths=None, initial_state=None, return_state=False):
        """Label of every sequence, or of every row, whichever ``fit`` was given.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state : (n_state,) or (n_sequences, n_state), optional
            Start from here instead of from rest: what ``return_state`` gave, see :mod:`cells.shares.carried`.
        return_state : bool
            Whether to return the states after the last rows too.

        Returns
        -------
        labels : (n_sequences,) or (n_steps,)
            With ``sequence_column``, or one 2-D sequence, always one a row.
        state : (n_sequences, n_state)
            Only if ``return_state``.
        """
        return self._answers(X, groups, lengths, initial_state, return_state, make=self._labels)

    def score(self, X, y, sample_weight=None, *, groups=None, lengths=None, initial_state=None):
        """Share of right labels, of sequences or of rows, whichever ``fit`` was given.

        Parameters
        ----------
        X, y, sample_weight, groups, lengths : as in ``fit``
        initial_state : as in :meth:`predict`

        Returns
        -------
        float
        """
        check_is_fitted(self)
        sequences = self._read_for_score(X, y, sample_weight, groups, lengths, target="labels")
        first = sequences.offsets[:-1] if self.decides_sequences_ else slice(None)
        weights = self._weights_of_targets(sequences, self.decides_sequences_)
        outputs = self._answer_of(sequences, "outputs", initial_state).rows
        return accuracy_score(sequences.labels[first], self._labels(outputs), sample_weight=weights)

    def _labels(self, outputs: np.ndarray) -> np.ndarray:
        return self.classes_[outputs.argmax(axis=1)]

    def _scores(self, outputs: np.ndarray) -> np.ndarray:
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs


def _summing_to_one(p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    return p / p.sum(axis=1, keepdims=True)
