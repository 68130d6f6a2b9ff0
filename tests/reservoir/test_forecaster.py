"""ESNForecaster: what it learns, how it closes the loop, contexts, exogenous inputs, several series."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from reservoir import ColdStartWarning, ESNForecaster, LayoutWarning
from reservoir.data.states import steps_of_memory

SMALL = {"n_units": 60, "in_degree": 5, "washout": 20, "alpha": 1e-6, "random_state": 0}
# A closed loop repeats rounding errors of the equations by hand over its steps.
CLOSED = {"rtol": 1e-7, "atol": 1e-8}


def circle(n=500, phase=0.0):
    t = 0.2 * np.arange(n) + phase
    return np.column_stack([np.sin(t), np.cos(t)])


def by_hand(model, X, n_steps, exog=None, given=None):
    """Synchronise with X from rest, then run freely; rows of ``given`` go with the steps."""
    r, seen = model.reservoir_, model.transform_
    W, x, answers = r.W.toarray(), np.zeros(r.n_units), []
    X = (X - seen.mean) / seen.scale
    if exog is not None:
        exog, given = ((e - model.exog_transform_.mean) / model.exog_transform_.scale for e in (exog, given))

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
    return np.array(answers) * seen.scale + seen.mean


@pytest.mark.parametrize("standardize", [True, False])
def test_the_loop_is_closed_as_the_equations_say(standardize):
    X = 3.0 * circle() + 1.0
    model = ESNForecaster(**SMALL, standardize=standardize).fit(X)
    assert_allclose(model.forecast(50), by_hand(model, X, 50), **CLOSED)
    assert_allclose(model.forecast(50, context=X[:80]), by_hand(model, X[:80], 50), **CLOSED)
    assert_allclose(model.forecast(200), 3.0 * circle(700)[500:] + 1.0, atol=3e-2)


@pytest.mark.parametrize(("factor", "offset"), [(1e-6, 0.0), (1.0, 1000.0), (1e3, -1e6)])
@pytest.mark.parametrize("difference", [None, 1])
def test_units_do_not_matter(factor, offset, difference):
    X, e = driven(300)
    fit = lambda X: ESNForecaster(**SMALL, difference=difference).fit(X, exog=e)  # noqa: E731
    right, found = fit(X).forecast(20, exog=e[:20]), fit(factor * X + offset).forecast(20, exog=e[:20])
    # Of the sum with the offset as many digits are left, and the loop repeats what is lost.
    digits = np.finfo(float).eps * (1 + abs(offset) / factor)
    assert_allclose((found - offset) / factor, right, atol=max(1e-9, 1e4 * digits))


def test_the_units_of_exogenous_inputs_do_not_matter():
    X, e = driven(300)
    right = ESNForecaster(**SMALL).fit(X, exog=e).forecast(20, exog=e[:20])
    found = ESNForecaster(**SMALL).fit(X, exog=1e4 * e + 5).forecast(20, exog=1e4 * e[:20] + 5)
    assert_allclose(found, right, atol=1e-9)


@pytest.mark.filterwarnings("ignore::reservoir.FreeRunDivergedWarning")
@pytest.mark.parametrize("n", [2, 3, 12])
def test_short_series_are_not_refused(n):
    X = circle(n)
    values = ESNForecaster(20, random_state=0, alpha=1e-2).fit(X).forecast(3)
    assert values.shape == (3, 2) and np.isfinite(values).all()


def test_the_washout_is_a_tenth_of_the_shortest_series_but_at_most_100():
    for n, washout in ((300, 29), (1500, 100)):
        auto, given = (
            ESNForecaster(**SMALL | {"washout": w}).fit([circle(n), circle(n + 40)]) for w in ("auto", washout)
        )
        assert_array_equal(auto.coef_, given.coef_)


def seasonal_growth(n):
    t = np.arange(float(n))
    return (0.5 * t + 3 * np.sin(2 * np.pi * t / 12))[:, None]


@pytest.mark.parametrize("difference", [1, 12])
def test_differences_let_growth_go_on_for_two_training_lengths(difference):
    X = seasonal_growth(600)
    model = ESNForecaster(**SMALL, difference=difference).fit(X[:200])
    assert_allclose(model.forecast(400), X[200:], atol=0.5)
    assert_allclose(model.forecast(10, context=X[300:400]), X[400:410], atol=0.1)
    assert model.last_.shape == (1, difference + 1, 1)


def test_differences_agree_with_a_fit_to_the_differences():
    X, _ = driven(300)
    model = ESNForecaster(**SMALL, difference=2).fit(X)
    steps = ESNForecaster(**SMALL).fit(X[2:] - X[:-2]).forecast(5)
    right = X[-2:].tolist()
    for step in steps:
        right.append(right[-2] + step)
    assert_allclose(model.forecast(5), right[2:], **CLOSED)


def test_a_forecast_goes_on_after_the_training_series():
    X = circle()
    model = ESNForecaster(**SMALL).fit(X)
    assert_allclose(model.forecast(30), model.forecast(30, context=X), **CLOSED)


@pytest.mark.parametrize("leak_rate", [0.7, (0.5, 1.0)])
def test_a_context_shorter_than_what_is_remembered_is_warned_of(leak_rate):
    X = circle()
    model = ESNForecaster(**SMALL, leak_rate=leak_rate, difference=1).fit(X)
    n = steps_of_memory(0.9, model.reservoir_.leak) + 1
    model.forecast(5, context=X[:n])
    with pytest.warns(ColdStartWarning, match=f"context must have the {n} rows.*got {n - 1}") as met:
        model.forecast(5, context=X[: n - 1])
    assert len(met) == 1 and met[0].filename == __file__


def test_a_context_as_long_as_the_series_of_the_fit_is_long_enough():
    model = ESNForecaster(**SMALL).fit([circle(30), circle(22)])
    assert model.forecast(2, context=circle(30)).shape == (2, 2)


def test_one_row_is_context_enough():
    model = ESNForecaster(**SMALL).fit(circle())
    with pytest.warns(ColdStartWarning):
        found = model.forecast(5, context=circle(1))
    assert_allclose(found, by_hand(model, circle(1), 5), **CLOSED)


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


def test_series_in_rows_are_warned_of():
    model, waves = ESNForecaster(10, alpha=1.0, guard=None, random_state=0), circle(100).T
    with pytest.warns(LayoutWarning, match=r"read as 2 steps of 100 features.*give X\.T") as met:
        model.fit([waves[0], waves[1]])
    assert met[0].filename == __file__
    front = np.exp(-0.05 * (np.arange(40) - np.arange(20.0)[:, None]) ** 2)
    model.fit(front)


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
        (
            lambda m, X, e: ESNForecaster(20, washout="all").fit(X),
            "washout must be one of 'auto', or a number",
        ),
        (lambda m, X, e: ESNForecaster(**SMALL, difference=199).fit(X), "difference must leave 2 rows"),
        (lambda m, X, e: ESNForecaster(**SMALL, difference=0).fit(X), "difference must be an integer >= 1"),
        (lambda m, X, e: ESNForecaster(**SMALL, guard=-1.0).fit(X), "guard must be a finite number >= 0"),
        (lambda m, X, e: ESNForecaster(**SMALL, difference=9).fit(X).forecast(5, X[:9]), "context must have 10 rows"),
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
