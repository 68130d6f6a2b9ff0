"""The door for data in scikit-learn's hands: pipelines, searches and folds. Its checks are run on every estimator."""

import itertools

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from naive import sequences as naive
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences
from sequence_forms import in_form, read

# A product over 5 columns in another blocking: 5 roundings of 2.2e-16, times cancellation of up to 100.
RTOL = 1e-13


class Leaky(BaseEstimator):
    """A one-pole filter of every feature, started anew in each sequence: the least that has a memory."""

    def __init__(self, sequence_column=None, leak=0.5):
        self.sequence_column = sequence_column
        self.leak = leak

    def _read(self, X, y=None, *, reset=False, target="none", sample_weight=None):
        return read_sequences(
            self,
            X,
            y,
            sample_weight=sample_weight,
            sequence_column=self.sequence_column,
            reset=reset,
            target=target,
        )

    def _design(self, sequences: Sequences):
        states = sequences.rows.astype(np.float64)
        starts = set(sequences.offsets.tolist())
        for t in range(sequences.n_steps):
            if t not in starts:
                states[t] += self.leak * states[t - 1]
        return np.column_stack([states, sequences.rows, np.ones(len(states))])

    def _solve(self, sequences, targets):
        Z = self._design(sequences)
        w = np.ones(len(Z)) if sequences.weights is None else sequences.weights
        Zw = Z * w[:, None]
        self.coef_ = np.linalg.solve(Zw.T @ Z + 1e-6 * np.eye(Z.shape[1]), Zw.T @ targets)
        return self


class LeakyRegressor(RegressorMixin, Leaky):
    def fit(self, X, y, sample_weight=None):
        sequences = self._read(X, y, reset=True, target="rows", sample_weight=sample_weight)
        self.is_1d_ = sequences.targets_1d
        return self._solve(sequences, sequences.targets)

    def predict(self, X):
        check_is_fitted(self)
        sequences = self._read(X)
        out = self._design(sequences) @ self.coef_
        return sequences.like_input(out[:, 0] if self.is_1d_ else out)


class LeakyTransformer(TransformerMixin, Leaky):
    def fit(self, X, y=None):
        self._read(X, reset=True)
        self.fitted_ = True
        return self

    def transform(self, X):
        check_is_fitted(self)
        sequences = self._read(X)
        return sequences.like_input(self._design(sequences))


@pytest.fixture
def many():
    rng = np.random.default_rng(5)
    members = [rng.normal(size=(n, 2)) for n in (7, 4, 9, 5, 8, 6)]
    y = [member.cumsum(0) @ [1.0, -0.5] for member in members]
    return members, y, in_form("column", members, [4, 1, 9, 2, 3, 8], 1)["X"]


def test_a_column_of_ids_survives_pipelines_searches_and_cross_validation(many):
    members, y, X = many
    y = np.concatenate(y)
    pipeline = make_pipeline(StandardScaler(), LeakyRegressor(sequence_column=1))
    search = GridSearchCV(pipeline, {"leakyregressor__leak": [0.5, 0.9]}, scoring="r2", cv=KFold(3)).fit(X, y)
    assert search.best_params_ == {"leakyregressor__leak": 0.9}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    # A split between sequences: predictions equal those of a fit on the list of the other sequences.
    starts = naive.offsets(members)
    split = [
        (np.arange(starts[3], starts[6]), np.arange(starts[3])),
        (np.arange(starts[3]), np.arange(starts[3], starts[6])),
    ]
    got = cross_val_predict(LeakyRegressor(sequence_column=1), X, y, cv=split)
    parts = [y[a:b] for a, b in itertools.pairwise(starts)]
    first = LeakyRegressor().fit(members[3:], parts[3:]).predict(members[:3])
    second = LeakyRegressor().fit(members[:3], parts[:3]).predict(members[3:])
    np.testing.assert_array_equal(got, np.concatenate(first + second))


def test_group_splits_keep_sequences_whole(many):
    members, _, X = many
    ids = X[:, 1]
    for train, test in GroupKFold(3).split(X, groups=ids):
        for part in (train, test):
            got = read(X[part], sequence_column=1)
            assert set(got.lengths.tolist()) <= {len(member) for member in members}
            assert got.n_sequences == len(set(ids[part]))


def test_splits_that_shuffle_rows_are_refused(many):
    _, y, X = many
    with pytest.raises(ValueError, match=r"sort the rows.*ShuffleSplit.*use GroupKFold"):
        cross_val_score(
            LeakyRegressor(sequence_column=1),
            X,
            np.concatenate(y),
            error_score="raise",
            cv=ShuffleSplit(3, random_state=0),
        )


@pytest.mark.parametrize("estimator", [LeakyRegressor(sequence_column=0), LeakyTransformer(sequence_column=0)])
def test_rows_that_are_sequences_of_their_own_may_be_shuffled_and_cut(estimator):
    rng = np.random.default_rng(1)
    X = np.column_stack([np.arange(20.0), rng.normal(size=(20, 2))])
    fitted = estimator.fit(X, X[:, 1:].sum(1))
    method = fitted.predict if hasattr(fitted, "predict") else fitted.transform
    whole, order = method(X), rng.permutation(20)
    np.testing.assert_allclose(method(X[order]), whole[order], rtol=RTOL)
    np.testing.assert_allclose(np.concatenate([method(X[i : i + 1]) for i in range(20)]), whole, rtol=RTOL)
