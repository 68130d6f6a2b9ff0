"""ESNForecaster: what it learns, how it closes the loop, contexts, exogenous inputs, several series."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir import ESNForecaster

SMALL = {"n_units": 60, "in_degree": 5, "washout": 20, "alpha": 1e-6, "random_state": 0}
# A closed loop repeats rounding errors of the equations by hand over its steps.
CLOSED = {"rtol": 1e-7, "atol": 1e-8}


def circle(n=500, phase=0.0):
    t = 0.2 * np.arange(n) + phase
    return np.column_stack([np.sin(t), np.cos(t)])


def by_hand(model, X, n_steps, exog=None, given=None):
    """Synchronise with X from rest, then run freely; rows of ``given`` go with the steps."""
    r = model.reservoir_
    W, x, answers = r.W.toarray(), np.zeros(r.n_units), []

    def step(x, u):
        return (1 - r.leak) * x + r.leak * np.tanh(W @ x + r.input_weights @ u + r.bias)

    for t in range(len(X) - 1):
        x = step(x, X[t] if exog is None else np.concatenate([X[t], exog[t + 1]]))
    last = X[-1]
    for k in range(n_steps):
        u = last if given is None else np.concatenate([last, given[k]])
        x = step(x, u)
        last = model.coef_ @ np.concatenate([x, u]) + model.intercept_
        answers.append(last)
    return np.array(answers)


def test_the_loop_is_closed_as_the_equations_say():
    X = circle()
    model = ESNForecaster(**SMALL).fit(X)
    assert_allclose(model.forecast(50), by_hand(model, X, 50), **CLOSED)
    assert_allclose(model.forecast(50, context=X[:80]), by_hand(model, X[:80], 50), **CLOSED)
    assert_allclose(model.forecast(200), circle(700)[500:], atol=1e-2)


def test_a_forecast_goes_on_after_the_training_series():
    X = circle()
    model = ESNForecaster(**SMALL).fit(X)
    assert_allclose(model.forecast(30), model.forecast(30, context=X), **CLOSED)


def test_one_row_is_context_enough():
    model = ESNForecaster(**SMALL).fit(circle())
    assert_allclose(model.forecast(5, context=circle(1)), by_hand(model, circle(1), 5), **CLOSED)


def driven(n=600, seed=0):
    """A series that only its exogenous input explains."""
    e = np.random.default_rng(seed).uniform(-1, 1, (n, 1))
    X = np.zeros((n, 1))
    for t in range(1, n):
        X[t] = 0.5 * X[t - 1] + 0.4 * e[t]
    return X, e


def test_exogenous_inputs_go_with_the_step_they_predict():
    X, e = driven()
    model = ESNForecaster(**SMALL).fit(X[:500], exog=e[:500])
    free = model.forecast(100, exog=e[500:])
    assert_allclose(free, by_hand(model, X[:500], 100, e, e[500:]), **CLOSED)
    assert_allclose(free, X[500:], atol=1e-2)
    again = model.forecast(100, context=X[:500], context_exog=e[:500], exog=e[500:])
    assert_allclose(again, free, **CLOSED)


def test_several_series_are_learnt_and_continued_one_by_one():
    X = [circle(300), circle(400, 1.0), circle(350, 2.0)]
    model = ESNForecaster(**SMALL).fit(X)
    together = model.forecast(40)
    assert isinstance(together, list)
    for series, answer in zip(X, together, strict=True):
        assert_allclose(answer, model.forecast(40, context=series), **CLOSED)
    stacked = model.forecast(40, context=np.stack([s[:200] for s in X]))
    assert stacked.shape == (3, 40, 2)
    joined = np.concatenate(X)
    by_lengths = ESNForecaster(**SMALL).fit(joined, lengths=[300, 400, 350])
    assert_array_equal(by_lengths.coef_, model.coef_)
    assert by_lengths.forecast(40).shape == (3, 40, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, X, e: m.forecast(0), "n_steps must be an integer >= 1, got 0"),
        (lambda m, X, e: m.forecast(5), "exog must be finite numbers of shape"),
        (lambda m, X, e: m.forecast(5, exog=e[:4]), "exog must be finite numbers of shape"),
        (lambda m, X, e: m.forecast(5, exog=np.full((5, 1), np.nan)), "exog must be finite"),
        (lambda m, X, e: m.forecast(5, context=X, exog=e[:5]), "context_exog must be given"),
        (lambda m, X, e: ESNForecaster(**SMALL).fit(X).forecast(5, exog=e[:5]), "exog must be None"),
        (lambda m, X, e: ESNForecaster(**SMALL).fit(X[:1]), "at least 2 rows"),
        (lambda m, X, e: ESNForecaster(**SMALL).fit(X[:15]), "washout must be smaller"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, message):
    X, e = driven(200)
    model = ESNForecaster(**SMALL).fit(X, exog=e)
    with pytest.raises(ValueError, match=message):
        call(model, X, e)


def test_states_are_for_models_without_exogenous_inputs():
    X, e = driven(200)
    assert ESNForecaster(**SMALL).fit(X).run(X).shape == (200, 60)
    with pytest.raises(NotImplementedError, match="without exog"):
        ESNForecaster(**SMALL).fit(X, exog=e).run(X)
