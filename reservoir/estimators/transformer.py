"""Reservoir states as features for other estimators."""

from __future__ import annotations

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from optim.arguments import precision
from reservoir.data.reading import read_sequences
from reservoir.data.stacking import SequenceList, SequenceRows
from reservoir.estimators.estimator import ReservoirEstimator, all_or_nothing


class ReservoirTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ReservoirEstimator):
    """Drive a random reservoir over sequences and return its states.

    ::

        x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in u(t) + b)

    The column of ids named by ``sequence_column`` is not among the states. An estimator of this package that follows at
    once, also behind a union of transformers, needs none: the states know where their sequences begin, until something
    else copies them (a scaler, a DataFrame). Lists of sequences pass through pipelines and unions as lists; a union
    refuses 3-D arrays.

    Parameters
    ----------
    n_units, spectral_radius, leak_rate, input_scaling, input_weights, bias_scaling, in_degree, topology, activation
        The reservoir; as in :class:`reservoir.ESNRegressor`, and so are the others.
    sequence_column, warm_start, dtype, device, n_jobs, random_state

    Attributes
    ----------
    reservoir_ : reservoir.drive.weights.Reservoir
    spectral_radius_error_ : float
    n_features_in_, feature_names_in_

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import ReservoirTransformer
    >>> ReservoirTransformer(n_units=30, random_state=0).fit_transform(np.ones((5, 2))).shape
    (5, 30)

    A deep reservoir, and two side by side:

    >>> from sklearn.pipeline import make_pipeline, make_union
    >>> first, second = ReservoirTransformer(30, random_state=0), ReservoirTransformer(20, random_state=1)
    >>> series = [np.ones((5, 2)), np.ones((8, 2))]
    >>> [states.shape for states in make_pipeline(first, second).fit_transform(series)]
    [(5, 20), (8, 20)]
    >>> [states.shape for states in make_union(first, second).fit_transform(series)]
    [(5, 50), (8, 50)]
    """

    def __init__(
        self,
        n_units=500,
        *,
        spectral_radius=0.9,
        leak_rate=1.0,
        input_scaling=1.0,
        input_weights="uniform",
        bias_scaling=0.0,
        in_degree=10,
        topology="sparse",
        activation="tanh",
        sequence_column=None,
        warm_start=False,
        dtype=None,
        device=None,
        n_jobs=None,
        random_state=None,
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
        self.sequence_column = sequence_column
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    @all_or_nothing
    def fit(self, X, y=None, *, groups=None, lengths=None):
        """Draw the reservoir for the number of features of X.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        y : any
            Here for pipelines, where a later step learns it; states do not depend on it.
        groups, lengths : as in :meth:`reservoir.ESNRegressor.fit`

        Returns
        -------
        self
        """
        sequences = read_sequences(
            self, X, groups=groups, lengths=lengths, sequence_column=self.sequence_column,
            dtype=precision("dtype", self.dtype), reset=True, target="none",
        )  # fmt: skip
        self._draw(sequences.rows.shape[1], 0, sequences.rows.dtype)
        return self

    def transform(self, X, *, groups=None, lengths=None):
        """States after every row of X, each sequence from rest.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``

        Returns
        -------
        (n_steps, n_units), or in the form of X

        Raises
        ------
        StateOverflowError
            If states are not finite.
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        states = self._states(sequences)
        if sequences.form == "list":
            return SequenceList(sequences.like_input(states))
        if sequences.form == "stack" or sequences.n_sequences == 1:
            return sequences.like_input(states)
        return SequenceRows.of(states, sequences.offsets)
