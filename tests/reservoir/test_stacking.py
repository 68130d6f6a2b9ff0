"""States handed from step to step: chains and unions of reservoirs keep the sequences apart."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline, make_union

from estimator_data import BATCH, BLOCKS
from reservoir import ESNClassifier, ESNRegressor, ReservoirTransformer
from reservoir.data.stacking import SequenceList, SequenceRows

N, T = 6, 40


def layer(seed, column=None):
    return ReservoirTransformer(20, in_degree=5, leak_rate=0.5, sequence_column=column, random_state=seed)


def readout(column=None):
    return ESNRegressor(20, in_degree=5, alpha=1.0, sequence_column=column, random_state=9)


def series():
    u = np.random.default_rng(0).uniform(-1, 1, (N * T, 1))
    y = np.roll(u[:, 0], 5)
    ids = np.repeat(np.arange(float(N)), T)
    return np.column_stack([ids, u]), y, list(u.reshape(N, T, 1)), list(y.reshape(N, T))


def test_a_chain_behind_a_column_of_ids_is_that_of_the_list():
    X, y, U, Y = series()
    right = make_pipeline(layer(1), layer(2), readout()).fit(U, Y)
    model = make_pipeline(layer(1, 0), layer(2), readout()).fit(X, y)
    assert model[-1].reservoir_.n_inputs == 20
    assert_allclose(model.predict(X), np.concatenate(right.predict(U)), **BLOCKS)


def test_a_state_is_not_taken_for_an_id():
    X, y, U, _ = series()
    with pytest.raises(ValueError, match=r"sequence_column must be None.*leave it out"):
        make_pipeline(layer(1, 0), readout(0)).fit(X, y)
    states = np.array(layer(1, 0).fit_transform(X))  # which no longer know their sequences
    with pytest.raises(ValueError, match=r"sequence_column=0 must be a column of ids.*240 rows"):
        readout(0).fit(states, y)
    with pytest.raises(ValueError, match="sequence_column"):
        layer(1, 0).fit(np.concatenate(U) @ np.ones((1, 3)))


def test_labels_of_sequences_reach_the_end_of_a_chain():
    X, _, U, _ = series()
    labels = np.arange(N) % 2
    right = make_pipeline(layer(1), ESNClassifier(20, alpha=1.0, random_state=3)).fit(U, labels)
    model = make_pipeline(layer(1, 0), ESNClassifier(20, alpha=1.0, random_state=3)).fit(X, labels.repeat(T))
    assert model[-1].decides_sequences_
    assert_allclose(model.predict_proba(X)[::T], right.predict_proba(U), **BLOCKS)


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_union_joins_lists_by_features(n_jobs):
    _, _, U, Y = series()
    union = make_union(layer(1), layer(2), n_jobs=n_jobs)
    joined = union.fit_transform(U)
    assert [rows.shape for rows in joined] == [(T, 40)] * N
    for rows, one, two in zip(joined, layer(1).fit_transform(U), layer(2).fit_transform(U), strict=True):
        assert_array_equal(rows, np.concatenate([one, two], axis=1))
    model = make_pipeline(union, readout()).fit(U, Y)
    assert model[-1].reservoir_.n_inputs == 40


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_union_behind_a_column_of_ids_keeps_the_sequences(n_jobs):
    X, y, U, Y = series()
    right = make_pipeline(make_union(layer(1), layer(2)), readout()).fit(U, Y)
    model = make_pipeline(make_union(layer(1, 0), layer(2, 0), n_jobs=n_jobs), readout()).fit(X, y)
    assert_allclose(model.predict(X), np.concatenate(right.predict(U)), **BLOCKS)


def test_series_of_unequal_length_are_joined():
    _, _, U, _ = series()
    U[1] = U[1][:7]
    assert [rows.shape for rows in make_union(layer(1), layer(2)).fit_transform(U)][:3] == [(T, 40), (7, 40), (T, 40)]


def test_lists_of_other_sequences_are_not_joined():
    one, two = SequenceList([np.zeros((5, 2))]), SequenceList([np.zeros((4, 2))])
    with pytest.raises(ValueError, match="same sequences"):
        np.concatenate([one, two], axis=1)


def test_numpy_takes_a_list_of_states_as_it_takes_lists():
    _, _, U, _ = series()
    states = layer(1).fit_transform(U)
    assert isinstance(states, list)
    assert np.asarray(states).shape == (N, T, 20)
    assert np.concatenate([states, states], axis=2).shape == (N, T, 40)
    assert np.concatenate(states).shape == (N * T, 20)
    assert np.stack(states).mean() == np.mean(states)


def test_a_readout_without_memory_takes_the_states_as_they_are():
    X, y, U, _ = series()
    states = np.concatenate(layer(1).fit_transform(U))
    model = make_pipeline(layer(1, 0), Ridge()).fit(X, y)
    assert_allclose(model.predict(X), Ridge().fit(states, y).predict(states), **BATCH)


def test_what_is_made_of_marked_rows_no_longer_claims_their_sequences():
    rows = SequenceRows.of(np.arange(10.0).reshape(5, 2), np.array([0, 2, 5]))
    for derived in (rows[1:], rows.copy(), rows + 1, np.sqrt(rows), rows.T, np.concatenate([rows, rows]), rows[0]):
        assert getattr(derived, "sequence_offsets", None) is None
    assert_array_equal(pickle.loads(pickle.dumps(rows)).sequence_offsets, [0, 2, 5])
    assert rows.sum() == 45.0
