"""alpha="auto": the penalty that blocks of time choose, in one fit and in pieces."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from estimator_data import BLOCKS
from reservoir import ESNClassifier, ESNRegressor, load
from reservoir.estimators.training import AUTO_ALPHAS, N_FOLDS

SMALL = {"n_units": 30, "in_degree": 5, "random_state": 0}
SOLVERS = pytest.mark.parametrize("solver", ["gram", "qr"])


def noisy(n=600, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    u = rng.uniform(-1, 1, (n, 1))
    return u, np.roll(u[:, 0], 3) + noise * rng.standard_normal(n)


def best_by_hand(Z, y):
    """The penalty with the least squared error over five blocks, each predicted by scikit-learn's ridge of the rest."""
    edges = len(Z) * np.arange(6) // 5
    errors = []
    for alpha in AUTO_ALPHAS:
        total = 0.0
        for begin, end in pairwise(edges):
            rest = np.r_[:begin, end : len(Z)]
            ridge = Ridge(alpha, solver="svd").fit(Z[rest], y[rest])
            total += np.sum((y[begin:end] - ridge.predict(Z[begin:end])) ** 2)
        errors.append(total)
    return AUTO_ALPHAS[int(np.argmin(errors))]


def test_it_is_the_default_and_for_labels_of_rows_that_of_their_indicators():
    assert ESNRegressor().alpha == ESNClassifier().alpha == "auto"
    u, y = noisy(noise=0.3)
    high = y > np.median(y)
    model = ESNClassifier(**SMALL).fit(u, high)
    assert model.alpha_ == best_by_hand(np.concatenate([model.run(u), u], axis=1), high.astype(float))


@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("solver", ["auto", "gram", "qr"])
def test_a_fit_takes_the_penalty_that_blocks_of_time_choose(solver, noise):
    u, y = noisy(noise=noise)
    model = ESNRegressor(**SMALL, solver=solver).fit(u, y)
    Z = np.concatenate([model.run(u), u], axis=1)
    assert model.alpha_ == best_by_hand(Z, y)
    chosen = ESNRegressor(**SMALL, solver=solver, alpha=model.alpha_).fit(u, y)
    assert_allclose(model.coef_, chosen.coef_, rtol=1e-6, atol=1e-8)


@SOLVERS
def test_one_long_piece_chooses_as_a_fit_does(solver):
    u, y = noisy()
    whole, piece = (ESNRegressor(**SMALL, solver=solver) for _ in range(2))
    whole.fit(u, y)
    piece.partial_fit(u, y)
    assert piece.alpha_ == whole.alpha_
    assert_allclose(piece.coef_, whole.coef_, **BLOCKS)


@SOLVERS
@pytest.mark.parametrize("size", [7, 150, 500])
def test_pieces_give_the_readout_of_all_rows_at_the_penalty_they_choose(solver, size):
    u, y = noisy(1000)
    model = ESNRegressor(**SMALL, solver=solver)
    for begin in range(0, 1000, size):
        model.partial_fit(u[begin : begin + size], y[begin : begin + size], initial_state="last")
    whole = ESNRegressor(**SMALL, solver=solver, alpha=model.alpha_).fit(u, y)
    assert_allclose(model.coef_, whole.coef_, **BLOCKS)
    assert sum(fold.n_rows for fold in model.fold_sums_) == model.sums_.n_rows == 1000
    assert len(model.fold_sums_) == N_FOLDS and min(fold.n_rows for fold in model.fold_sums_) >= 50
    assert model.alpha_ in (0.1, 1.0, 10.0)


def test_a_choice_needs_no_more_than_one_row():
    u, y = noisy()
    model = ESNRegressor(**SMALL)
    for begin in range(3):
        model.partial_fit(u[begin : begin + 1], y[begin : begin + 1], initial_state="last")
        assert model.alpha_ in AUTO_ALPHAS and np.isfinite(model.predict(u)).all()
    assert ESNRegressor(**SMALL).fit(u[:1], y[:1]).alpha_ in AUTO_ALPHAS
    assert ESNRegressor(**SMALL, washout=590).fit(u, y).alpha_ in AUTO_ALPHAS


def test_an_interrupted_piece_leaves_the_folds_as_they_were(monkeypatch):
    u, y = noisy()
    model = ESNRegressor(**SMALL).partial_fit(u, y)
    before = [fold.matrix.copy() for fold in model.fold_sums_]
    folds = model.fold_sums_
    with pytest.raises(ValueError, match="outputs as before"):
        model.partial_fit(u, np.stack([y, y], axis=1), initial_state="last")
    model.partial_fit(u, y, initial_state="last")
    for fold, matrix in zip(folds, before, strict=True):
        assert_array_equal(fold.matrix, matrix)


def test_a_number_after_a_choice_and_no_choice_after_a_number():
    u, y = noisy()
    model = ESNRegressor(**SMALL).partial_fit(u[:300], y[:300])
    model.set_params(alpha=1.0).partial_fit(u[300:], y[300:], initial_state="last")
    assert_allclose(model.coef_, ESNRegressor(**SMALL, alpha=1.0).fit(u, y).coef_, **BLOCKS)
    with pytest.raises(ValueError, match="alpha must stay a number"):
        model.set_params(alpha="auto").partial_fit(u, y, initial_state="last")
    assert not hasattr(model.fit(u, y), "fold_sums_")
    model.partial_fit(u, y)


@SOLVERS
def test_a_saved_stream_goes_on(solver, tmp_path):
    u, y = noisy()
    model = ESNRegressor(**SMALL, solver=solver).partial_fit(u[:300], y[:300])
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    for each in (model, loaded):
        each.partial_fit(u[300:], y[300:], initial_state="last")
    assert_array_equal(loaded.coef_, model.coef_)


def test_other_words_are_refused():
    u, y = noisy()
    for fit in (ESNRegressor(**SMALL, alpha="best").fit, ESNRegressor(**SMALL, alpha="best").partial_fit):
        with pytest.raises(TypeError, match="alpha must"):
            fit(u, y)
    with pytest.raises(NotImplementedError, match="alpha must be 'auto' or one number for partial_fit, got 2"):
        ESNRegressor(**SMALL, alpha=[0.1, 1.0]).partial_fit(u, y)
