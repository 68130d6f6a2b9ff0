"""The readout of pooled sequences: the naive twin, features that do not vary, and the penalty that is chosen."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive.pooling import fold_errors, standardised_ridge
from reservoir.readout.folds import stratified_folds
from reservoir.readout.sequence_ridge import N_FOLDS, SequenceRows, check_rows, learn

# Products of rows or features lose half the digits of what they are made of.
SOLVED = {"rtol": 1e-7, "atol": 1e-9}
DOUBLE = np.dtype(np.float64)


def rows_of(n, K, seed=0, n_classes=3):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    Z = rng.normal(size=(n, K)) * rng.uniform(0.1, 30, K) + rng.normal(size=K)
    Z[:, 0] += 2 * labels
    return SequenceRows(Z, (labels[:, None] == np.arange(n_classes)) * 1.0, rng.uniform(0.5, 2, n))


@pytest.mark.parametrize("solver", ["auto", "gram", "qr"])
@pytest.mark.parametrize("shape", [(30, 6), (12, 40)])
def test_the_readout_is_that_of_the_naive_twin(shape, solver):
    rows = rows_of(*shape)
    found = learn(rows, 0.3, are_classes=True, precision=DOUBLE, solver=solver)
    W, b = standardised_ridge(rows.features, rows.targets, rows.weights, 0.3)
    assert_allclose(found.coef, W, **SOLVED)
    assert_allclose(found.intercept, b, **SOLVED)


@pytest.mark.parametrize("are_classes", [True, False])
def test_the_penalty_is_the_best_on_folds(are_classes):
    rows, alphas = rows_of(24, 30, seed=3), np.array([1e-2, 1.0, 30.0, 1e4])
    share = rows.weights / rows.weights.sum()
    centred = rows.features - share @ rows.features
    scaled = centred / np.sqrt(share @ centred**2)
    folds = stratified_folds(rows.targets, N_FOLDS)
    errors = [fold_errors(scaled, rows.targets, rows.weights, list(folds), alpha) for alpha in alphas]
    best = min(range(4), key=lambda k: errors[k] if are_classes else errors[k][1])
    assert learn(rows, alphas, are_classes=are_classes, precision=DOUBLE).alpha == alphas[best]


def test_features_that_do_not_vary_have_no_weight():
    rows = rows_of(20, 5)
    Z = rows.features.copy()
    Z[:, 2], Z[:, 3] = 7.0, 0.0
    Z[:, 4] = 1e6 + 1e-11 * np.arange(20)
    found = learn(SequenceRows(Z, rows.targets, rows.weights), 1.0, are_classes=True, precision=DOUBLE)
    assert_array_equal(found.coef[:, 2:], 0.0)
    assert np.isfinite(found.coef).all() and np.isfinite(found.intercept).all()


def test_many_rows_choose_the_penalty_by_some_of_them(monkeypatch):
    some, alphas = rows_of(50, 60, seed=5), np.array([1e-3, 1.0, 30.0, 1e3])
    many = SequenceRows(*(np.repeat(part, 4, axis=0) for part in (some.features, some.targets, some.weights)))
    of_some = learn(some, alphas, are_classes=False, precision=DOUBLE)
    monkeypatch.setattr("reservoir.readout.sequence_ridge.MOST_TO_CHOOSE_BY", 50)
    of_many = learn(many, 4 * alphas, are_classes=False, precision=DOUBLE)
    assert of_many.alpha == 4 * of_some.alpha
    assert_allclose(of_many.coef, of_some.coef, **SOLVED)


def test_rows_that_do_not_fit_one_another_are_refused():
    rows = rows_of(10, 3)
    assert check_rows(rows) is rows
    with pytest.raises(ValueError, match="targets"):
        check_rows(SequenceRows(rows.features, rows.targets[:5], rows.weights))
    with pytest.raises(ValueError, match="weights"):
        check_rows(SequenceRows(rows.features, rows.targets, rows.weights * 0))
