"""Results that are not finite, or leave the data: an error or a warning that names the cause, never numbers alone."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from reservoir import (
    ESNClassifier,
    ESNForecaster,
    ESNRegressor,
    FreeRunDivergedWarning,
    ReservoirTransformer,
    StateOverflowError,
)
from reservoir.estimators.free_run import watched
from reservoir.readout.ridge import SMALLEST_ALPHA

SMALL = {"n_units": 20, "in_degree": 5, "random_state": 0}
GROWS = {**SMALL, "activation": "relu", "spectral_radius": 5.0}
UNBOUNDED = pytest.mark.parametrize("activation", ["relu", "identity"])
SEEN = np.array([[0.0, 5.0], [1.0, 5.0]])


def test_what_stays_near_the_data_is_handed_back_as_it_is():
    rows = np.array([[-0.9, 5.0], [1.9, 9.0]])
    assert watched(rows, np.array([0, 2]), SEEN) is rows


@pytest.mark.parametrize("value", [[2.1, 5.0], [-1.1, 5.0], [0.5, 10.1]])
def test_more_than_a_width_outside_is_warned_of(value):
    rows = np.array([[0.5, 5.0], value])
    with pytest.warns(FreeRunDivergedWarning, match="at step 1"):
        found = watched(rows, np.array([0, 2]), SEEN)
    assert_array_equal(found, rows)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_last_finite_row_is_repeated_in_each_run(value):
    rows = np.array([[0.1, 5.0], [0.2, value], [0.3, 5.0], [0.4, 5.0], [value, 5.0]])
    with pytest.warns(FreeRunDivergedWarning, match="output 1 was in .* at step 1; the last finite"):
        found = watched(rows, np.array([0, 3, 5]), SEEN)
    assert_array_equal(found[:, 0], [0.1, 0.1, 0.1, 0.4, 0.4])


def test_a_run_without_a_finite_row_is_an_error():
    with pytest.raises(StateOverflowError, match="first output"):
        watched(np.array([[np.nan, 5.0]]), np.array([0, 1]), SEEN)


def diverging():
    """A series that grows by a tenth each step: the free run leaves every range."""
    return 1.1 ** np.arange(60.0)[:, None]


@pytest.mark.compiled  # infinities: plain Python warns of them
def test_a_forecast_that_diverges_is_finite_and_warned_of():
    settings = {"activation": "identity", "washout": 5, "alpha": 1e-6, "standardize": False, "guard": None}
    model = ESNForecaster(**SMALL, **settings).fit(diverging())
    with pytest.warns(FreeRunDivergedWarning):
        values = model.forecast(20_000)
    assert values.shape == (20_000, 1)
    assert np.isfinite(values).all()
    assert values[-1] == values[-2] > 1e300


def test_a_forecast_near_the_data_is_not_warned_of():
    X = np.sin(0.2 * np.arange(300))[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ESNForecaster(**SMALL, washout=20, alpha=1e-6).fit(X).forecast(50)


@pytest.mark.compiled  # infinities: plain Python warns of them
def test_feedback_that_diverges_is_warned_of_and_a_teacher_holds_it():
    y, nothing = diverging()[:, 0], np.ones((60, 1))
    model = ESNRegressor(**SMALL, activation="identity", feedback_scaling=1.0, alpha=1e-6).fit(nothing, y)
    with pytest.warns(FreeRunDivergedWarning):
        values = model.predict(np.ones((20_000, 1)))
    assert np.isfinite(values).all()
    with pytest.raises(StateOverflowError, match="finite"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FreeRunDivergedWarning)
        model.predict(np.ones((20_000, 1)), return_state=True)


def test_the_range_of_a_stream_grows_with_it():
    u, y = np.random.default_rng(0).uniform(-1, 1, (40, 1)), np.arange(40.0)
    model = ESNRegressor(**SMALL, feedback_scaling=0.1).partial_fit(u[:20], y[:20]).partial_fit([u[20:]], [y[20:]])
    assert_array_equal(model.target_range_, [[0.0], [39.0]])
    assert_array_equal(model.fit(u[:10], y[:10]).target_range_, [[0.0], [9.0]])


# ------------------------------------------------------------------------------------------------------- overflow


@pytest.mark.compiled  # infinities: plain Python warns of them
@UNBOUNDED
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_states_that_overflow_are_an_error(activation, dtype):
    X = np.random.default_rng(0).uniform(0, 1, (2000, 1))
    model = ReservoirTransformer(**GROWS | {"activation": activation}, dtype=dtype).fit(X)
    with pytest.raises(StateOverflowError, match=r"X must keep the states finite.*spectral_radius=5.0.*activation="):
        model.transform(X)
    with pytest.raises(StateOverflowError, match="states"):
        model.run(list(X.reshape(2, 1000, 1)))
    assert np.isfinite(model.transform(X[:20])).all()


@pytest.mark.compiled  # infinities: plain Python warns of them
@UNBOUNDED
def test_a_longer_series_than_the_states_stand_is_an_error(activation):
    X = np.random.default_rng(0).uniform(0, 1, (2000, 1))
    settings = GROWS | {"activation": activation}
    regressor = ESNRegressor(**settings, alpha=1.0).fit(X[:20], X[:20, 0])
    classifier = ESNClassifier(**settings, alpha=1.0).fit(X[:20], X[:20, 0] > 0.5)
    for call in (regressor.predict, regressor.run, classifier.predict, classifier.predict_proba):
        with pytest.raises(StateOverflowError, match=r"X must keep the states.*spectral_radius"):
            call(X)


@pytest.mark.compiled  # infinities: plain Python warns of them
@pytest.mark.parametrize("solver", ["auto", "gram", "qr"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_states_that_overflow_in_a_fit_are_an_error(solver, dtype):
    X = np.random.default_rng(0).uniform(0, 1, (2000, 1))
    with pytest.raises(StateOverflowError, match="finite"):
        ESNRegressor(**GROWS, solver=solver, dtype=dtype).fit(X, X[:, 0])
    with pytest.raises(StateOverflowError, match="finite"):
        ESNForecaster(**GROWS, solver=solver, dtype=dtype).fit(X)
    partly = {"sample_weight": (np.arange(2000) < 20) * 1.0}  # the sums stay finite, the state does not
    with pytest.raises(StateOverflowError, match="states"):
        ESNRegressor(**GROWS, solver=solver, dtype=dtype).partial_fit(X, X[:, 0], **partly)


@pytest.mark.parametrize("solver", ["auto", "gram", "qr"])
@pytest.mark.parametrize("n_rows", [10, 60])
@pytest.mark.parametrize("alpha", [SMALLEST_ALPHA, 1e-300, [SMALLEST_ALPHA, 1e-3]])
@pytest.mark.parametrize("size", [0.0, 1e-310, 1e-160, 1.0])
@pytest.mark.filterwarnings("ignore::reservoir.IllConditionedWarning")
def test_the_least_penalty_gives_a_finite_model(solver, n_rows, alpha, size):
    X = size * np.random.default_rng(0).standard_normal((n_rows, 1))
    model = ESNRegressor(**SMALL, solver=solver, alpha=alpha).fit(X, np.arange(float(n_rows)))
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_)
    assert np.isfinite(model.predict(X)).all()
