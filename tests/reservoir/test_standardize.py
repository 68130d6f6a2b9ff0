"""standardize=True of the regressor: the model of scaled data, answers in the units of y."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from estimator_data import BATCH
from reservoir import ESNRegressor, load

SMALL = {"n_units": 30, "in_degree": 5, "random_state": 0, "alpha": 1.0}
FEEDBACK = pytest.mark.parametrize("feedback_scaling", [0.0, 0.5])
# Rounding of data that are a thousand deviations from zero.
UNITS = {"rtol": 1e-9, "atol": 1e-9}


def unlike(n=400):
    """Inputs of very unlike sizes, and two targets."""
    u = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    return u * [1e-3, 50.0] + [0.0, 300.0], np.stack([np.roll(u[:, 0], 2), 70.0 * np.roll(u[:, 1], 1) + 9.0], axis=1)


def scaled(rows, of):
    return (rows - of.mean(axis=0)) / of.std(axis=0)


@FEEDBACK
def test_it_is_the_model_of_scaled_data(feedback_scaling):
    X, Y = unlike()
    settings = {**SMALL, "feedback_scaling": feedback_scaling}
    model = ESNRegressor(**settings, standardize=True).fit(X[:300], Y[:300])
    twin = ESNRegressor(**settings).fit(scaled(X[:300], X[:300]), scaled(Y[:300], Y[:300]))
    assert_allclose(model.coef_, twin.coef_, **BATCH)
    Z = scaled(X[300:], X[:300])
    assert_allclose(model.run(X[300:], initial_state="fitted"), twin.run(Z, initial_state="fitted"), **BATCH)
    expected = twin.predict(Z, initial_state="fitted") * Y[:300].std(axis=0) + Y[:300].mean(axis=0)
    assert_allclose(model.predict(X[300:], initial_state="fitted"), expected, **BATCH)
    assert model.score(X[300:], Y[300:], initial_state="fitted") > 0.5
    if feedback_scaling > 0:
        taught = twin.predict(Z, teacher=scaled(Y[300:], Y[:300])) * Y[:300].std(axis=0) + Y[:300].mean(axis=0)
        assert_allclose(model.predict(X[300:], teacher=Y[300:]), taught, **BATCH)


@pytest.mark.parametrize(("factor", "offset"), [(1e-6, 0.0), (1e6, 0.0), (1.0, 1000.0)])
def test_units_do_not_matter(factor, offset):
    X, Y = unlike()
    one = ESNRegressor(**SMALL, standardize=True).fit(X[:300], Y[:300]).predict(X)
    other = ESNRegressor(**SMALL, standardize=True).fit(factor * X[:300] + offset, factor * Y[:300] + offset)
    assert_allclose((other.predict(factor * X + offset) - offset) / factor, one, rtol=1e-6)


def test_pieces_are_scaled_as_the_first():
    X, Y = unlike()
    model = ESNRegressor(**SMALL, standardize=True).partial_fit(X[:200], Y[:200])
    shift = model.input_shift_.copy()
    model.partial_fit(X[200:], Y[200:], initial_state="last")
    assert_array_equal(model.input_shift_, shift)
    twin = ESNRegressor(**SMALL).fit(scaled(X, X[:200]), scaled(Y, Y[:200]))
    assert_allclose(model.coef_, twin.coef_, **UNITS)


def test_nothing_is_scaled_by_default():
    X, Y = unlike()
    model = ESNRegressor(**SMALL).fit(X, Y)
    assert not model.input_shift_.any() and (model.target_scale_ == 1.0).all()
    assert ESNRegressor().standardize is False


def test_scales_are_saved_and_kept_when_the_parameter_changes(tmp_path):
    X, Y = unlike()
    model = ESNRegressor(**SMALL, standardize=True).fit(X, Y)
    answer = model.predict(X)
    model.save(tmp_path / "model.npz")
    assert_array_equal(load(tmp_path / "model.npz").predict(X), answer)
    assert_array_equal(model.set_params(standardize=False).predict(X), answer)


def test_standardize_is_a_flag():
    X, Y = unlike()
    with pytest.raises(TypeError, match="standardize must be True or False, got 'yes'"):
        ESNRegressor(**SMALL, standardize="yes").fit(X, Y)
