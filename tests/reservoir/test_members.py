"""An ensemble: several forecasters that answer as one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir import ESNForecaster, load

SMALL = {"n_units": 20, "in_degree": 5, "random_state": 0}
T = np.arange(200.0)
X = np.column_stack([np.sin(0.2 * T), np.cos(0.31 * T)]) + 0.05 * np.random.default_rng(0).normal(size=(200, 2))
E = np.random.default_rng(1).normal(size=(200, 1))


@pytest.fixture(scope="module")
def model():
    return ESNForecaster(**SMALL, n_members=3).fit(X, exog=E)


@pytest.fixture(scope="module")
def members(model):
    """The same forecasters, each fitted alone."""
    others = [ESNForecaster(**SMALL | {"random_state": each.random_state}) for each in model.other_members_]
    return [each.fit(X, exog=E) for each in (ESNForecaster(**SMALL), *others)]


def test_members_differ_in_their_reservoirs(members):
    weights = {each.reservoir_.input_weights[0, 0] for each in members}
    graphs = {each.reservoir_.W.data[0] for each in members}
    assert len(weights) == len(graphs) == 3


def test_the_forecast_is_the_median_of_members_that_are_fitted_alone(model, members):
    for call in (
        lambda m: m.forecast(6, exog=E[:6]),
        lambda m: m.forecast(6, X[:90], E[90:96], context_exog=E[:90]),
        lambda m: m.predict(X, exog=E),
    ):
        assert_array_equal(call(model), np.median([call(each) for each in members], axis=0))


def test_bounds_know_the_errors_of_all_members(model, members):
    whole, *of_each = (each.forecast_interval(4, exog=E[:4]) for each in (model, *members))
    squares = [(each.upper - each.point) ** 2 for each in of_each]
    assert_allclose((whole.upper - whole.point) ** 2, np.mean(squares, axis=0))


def test_an_ensemble_comes_back_from_a_file(model, tmp_path):
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert_array_equal(loaded.forecast(6, exog=E[:6]), model.forecast(6, exog=E[:6]))
    one = load(tmp_path / "model.npz").other_members_
    assert [each.n_members for each in one] == [1, 1]


@pytest.mark.parametrize("n_members", [0, 1.5])
def test_a_number_of_members_is_asked_for(n_members):
    with pytest.raises((TypeError, ValueError), match="n_members must be an integer >= 1"):
        ESNForecaster(**SMALL, n_members=n_members).fit(X)
