"""Error measures against plain loops, their conventions, and their use as scores of scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import cross_val_score

from naive.metrics import nmse_of_output, valid_steps
from reservoir.metrics import nmse, nrmse, valid_prediction_time

RTOL = 1e-12  # two orders of summation of under 100 terms of like size: about 100 times 2.2e-16, and a margin


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    y_true = rng.normal(size=(40, 3)) * [1.0, 5.0, 0.1] + [0.0, 10.0, -2.0]
    return y_true, y_true + rng.normal(size=(40, 3)) * [0.5, 1.0, 0.2]


@pytest.mark.parametrize("weighted", [False, True])
def test_nmse_and_nrmse_agree_with_plain_loops(pair, weighted):
    y_true, y_pred = pair
    weights = np.random.default_rng(4).uniform(0, 2, 40) if weighted else None
    naive = [
        nmse_of_output(a, b, np.ones(40) if weights is None else weights)
        for a, b in zip(y_true.T, y_pred.T, strict=True)
    ]
    raw = nmse(y_true, y_pred, sample_weight=weights, multioutput="raw_values")
    np.testing.assert_allclose(raw, naive, rtol=RTOL)
    np.testing.assert_allclose(nmse(y_true, y_pred, sample_weight=weights), np.mean(naive), rtol=RTOL)
    mean_of_roots = np.mean(np.sqrt(naive))
    np.testing.assert_allclose(nrmse(y_true, y_pred, sample_weight=weights), mean_of_roots, rtol=RTOL)


def test_pooled_sums_errors_and_variances_over_outputs(pair):
    y_true, y_pred = pair
    expected = ((y_true - y_pred) ** 2).sum() / ((y_true - y_true.mean(0)) ** 2).sum()
    np.testing.assert_allclose(nmse(y_true, y_pred, multioutput="pooled"), expected, rtol=RTOL)
    np.testing.assert_allclose(nrmse(y_true, y_pred, multioutput="pooled"), math.sqrt(expected), rtol=RTOL)


def test_nmse_is_one_minus_r2(pair):
    np.testing.assert_allclose(nmse(*pair), 1 - r2_score(*pair), rtol=RTOL)


def test_normaliser_replaces_the_deviation(pair):
    y_true, y_pred = pair
    rmse = np.sqrt(((y_true - y_pred) ** 2).mean(0))
    raw = nrmse(y_true, y_pred, normaliser=[1.0, 2.0, 4.0], multioutput="raw_values")
    np.testing.assert_allclose(raw, rmse / [1, 2, 4], rtol=RTOL)
    np.testing.assert_allclose(nrmse(y_true, y_pred, normaliser=2.0), rmse.mean() / 2, rtol=RTOL)
    assert nrmse([1.0, 1.0], [1.0, 1.0], normaliser=1.0) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("multioutput", ["uniform_average", "pooled"])
def test_a_prediction_that_left_the_numbers_has_infinite_error(pair, bad, multioutput):
    y_true, y_pred = pair
    y_pred[7, 1] = bad
    assert nmse(y_true, y_pred, multioutput=multioutput) == np.inf
    assert nrmse(y_true, y_pred, multioutput=multioutput) == np.inf


@pytest.mark.parametrize("normaliser", ["std", "rms", 2.0, [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.4, 1.0, 100.0])
def test_valid_prediction_time_agrees_with_a_plain_loop(normaliser, threshold):
    rng = np.random.default_rng(8)
    y_true = rng.normal(size=(60, 3)) + 1
    y_pred = y_true + 1e-3 * np.exp(0.15 * np.arange(60))[:, None] * rng.normal(size=(60, 3))
    if normaliser == "std":
        scales = [math.sqrt(sum((y - c.mean()) ** 2 for y in c) / 60) for c in y_true.T]
    elif normaliser == "rms":
        # ||d|| / sqrt(mean ||y||^2) = sqrt(mean_f (d_f / s)^2) with s^2 = mean ||y||^2 / F
        scales = [math.sqrt(sum(v @ v for v in y_true) / 60 / 3)] * 3
    else:
        scales = np.broadcast_to(normaliser, 3)
    n_valid = valid_steps(y_true, y_pred, threshold, scales)
    got = valid_prediction_time(y_true, y_pred, dt=0.02, threshold=threshold, lyapunov_time=1.1, normaliser=normaliser)
    assert 0 < n_valid <= 60
    assert got == n_valid * 0.02 / 1.1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_valid_time_ends_where_the_forecast_is_not_finite(bad):
    y_true = np.sin(np.arange(20.0))
    y_pred = y_true.copy()
    assert valid_prediction_time(y_true, y_pred, dt=1.0) == 20
    y_pred[6] = bad
    assert valid_prediction_time(y_true, y_pred, dt=1.0) == 6
    y_pred[0] = bad
    assert valid_prediction_time(y_true, y_pred, dt=1.0) == 0


def test_an_error_equal_to_the_threshold_is_still_valid():
    assert valid_prediction_time([0.0, 0.0], [0.5, 0.75], dt=1.0, threshold=0.5, normaliser=1.0) == 1.0


def test_measures_serve_as_scores_of_scikit_learn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = X @ [1.0, 2.0] + 0.1 * rng.normal(size=60)
    score = cross_val_score(LinearRegression(), X, y, scoring=make_scorer(nmse, greater_is_better=False))
    np.testing.assert_allclose(score, cross_val_score(LinearRegression(), X, y, scoring="r2") - 1, rtol=1e-9)
    scorer = make_scorer(valid_prediction_time, dt=0.5)
    assert (cross_val_score(LinearRegression(), X, y, scoring=scorer) == 6.0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nmse([1.0, 2.0], [1.0]), r"y_true and y_pred .*\(2, 1\) and \(1, 1\)"),
        (lambda: nmse([0.1] * 7, [0.1] * 7), "y_true must vary.*output 0.*normaliser="),
        (lambda: nmse([1.0, np.nan], [1.0, 2.0]), "y_true must hold finite numbers, got NaN on row 1"),
        (lambda: nrmse([1.0, 2.0], [1.0, 2.0], normaliser=0.0), "normaliser must be.*got 0.0.*give"),
        (lambda: nrmse([1.0, 2.0], [1.0, 2.0], normaliser=[1.0, 2.0]), "normaliser must be a number"),
        (lambda: nrmse([1.0, 2.0], [1.0, 2.0], multioutput="mean"), "multioutput must be.*got 'mean'; choose"),
        (lambda: nrmse([1.0, 2.0], [1.0, 2.0], sample_weight=[1.0, -1.0]), "sample_weight must not be neg"),
        (lambda: nrmse([1.0, 2.0], [1.0, 2.0], sample_weight=[0.0, 0.0]), "sample_weight must be positive"),
        (
            lambda: nrmse([1.0, 2.0], [1.0, 2.0], sample_weight=[1.0]),
            "sample_weight must .* got 1; check",
        ),
        (lambda: valid_prediction_time([1.0, 2.0], [1.0, 2.0], dt=0.0), "dt must be.*> 0, got 0.0; give"),
        (lambda: valid_prediction_time([1.0, 2.0], [1.0, 2.0], dt=1.0, threshold=-1), "threshold must be"),
        (lambda: valid_prediction_time([1.0, 2.0], [1.0, 2.0], dt=1.0, lyapunov_time=np.inf), "lyapunov"),
        (lambda: valid_prediction_time([1.0, 2.0], [1.0, 2.0], dt=1.0, normaliser="max"), "got 'max'; choose"),
        (
            lambda: valid_prediction_time([0.0, 0.0], [1.0, 2.0], dt=1.0, normaliser="rms"),
            "not be zero every",
        ),
    ],
)
def test_unusable_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
