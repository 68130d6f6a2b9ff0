"""ESNRegressor and ESNClassifier: feedback, carried states, decisions, penalties, and what warm_start keeps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from reservoir import ESNClassifier, ESNRegressor

SMALL = {"n_units": 40, "in_degree": 4, "random_state": 0}
# Sums of a thousand products of float64 numbers, through a condition number of a few thousand.
SOLVED = {"rtol": 1e-8, "atol": 1e-9}


def echo_task(n=600, n_inputs=1, seed=0):
    u = np.random.default_rng(seed).uniform(-1, 1, (n, n_inputs))
    return u, 0.5 * np.roll(u[:, 0], 1) - 0.2 * np.roll(u[:, 0], 2)


def states_by_hand(model, rows):
    """States of the fitted reservoir, from the equations, in dense float64; feedback columns last."""
    r = model.reservoir_
    W = (r.W.to_csr() if hasattr(r.W, "to_csr") else r.W).toarray()
    weights = np.concatenate([r.input_weights, r.feedback_weights], axis=1)
    x, states = np.zeros(r.n_units), []
    for u in rows:
        x = (1 - r.leak) * x + r.leak * np.tanh(W @ x + weights @ u + r.bias)
        states.append(x)
    return np.array(states)


@pytest.mark.parametrize("topology", ["sparse", "shifts"])
@pytest.mark.parametrize("include_input", [True, False])
def test_the_readout_is_scikit_learns_ridge_on_the_states(topology, include_input):
    u, y = echo_task()
    model = ESNRegressor(
        **SMALL, topology=topology, leak_rate=0.7, bias_scaling=0.3, washout=50, alpha=1e-2, include_input=include_input
    ).fit(u, y)
    Z = states_by_hand(model, u)
    Z = np.concatenate([Z, u], axis=1) if include_input else Z
    ridge = Ridge(alpha=1e-2).fit(Z[50:], y[50:])
    assert_allclose(model.coef_, ridge.coef_, **SOLVED)
    assert_allclose(model.intercept_, ridge.intercept_, **SOLVED)
    assert_allclose(model.predict(u), ridge.predict(Z), **SOLVED)


def test_feedback_is_teacher_forced_in_fit_and_closed_in_predict():
    u, y = echo_task()
    model = ESNRegressor(**SMALL, feedback_scaling=0.5, spectral_radius=0.5, alpha=1e-2).fit(u, y)
    taught = np.concatenate([u, np.concatenate([[0.0], y[:-1]])[:, None]], axis=1)
    Z = np.concatenate([states_by_hand(model, taught), u], axis=1)
    assert_allclose(model.coef_, Ridge(alpha=1e-2).fit(Z, y).coef_, **SOLVED)

    r, x, last, answers = model.reservoir_, np.zeros(40), 0.0, []
    for row in u:
        x = np.tanh(r.W @ x + r.input_weights @ row + r.feedback_weights[:, 0] * last + r.bias)
        last = model.coef_ @ np.concatenate([x, row]) + model.intercept_
        answers.append(last)
    assert_allclose(model.predict(u), answers, **SOLVED)


def test_noise_on_the_teacher_changes_the_fit_reproducibly():
    u, y = echo_task()
    make = {**SMALL, "feedback_scaling": 0.5}
    clean = ESNRegressor(**make).fit(u, y).coef_
    noisy = [ESNRegressor(**make, feedback_noise=0.1).fit(u, y).coef_ for _ in range(2)]
    assert_array_equal(noisy[0], noisy[1])
    assert np.abs(noisy[0] - clean).max() > 1e-3


def test_state_noise_acts_in_fit_only():
    u, y = echo_task()
    model = ESNRegressor(**SMALL, state_noise=0.05).fit(u, y)
    assert np.abs(model.coef_ - ESNRegressor(**SMALL).fit(u, y).coef_).max() > 1e-3
    assert_allclose(model.run(u), states_by_hand(model, u), **SOLVED)


@pytest.mark.parametrize("feedback_scaling", [0.0, 0.5])
def test_a_carried_state_continues_a_series_exactly(feedback_scaling):
    u, y = echo_task()
    model = ESNRegressor(**SMALL, feedback_scaling=feedback_scaling, spectral_radius=0.5).fit(u, y)
    whole = model.predict(u)
    first, state = model.predict(u[:250], return_state=True)
    rest = model.predict(u[250:], initial_state=state)
    assert_array_equal(np.concatenate([first, rest]), whole)
    assert state.shape == (1, 40 + (feedback_scaling > 0))


@pytest.mark.compiled
def test_a_long_series_continues_to_the_tolerance_of_its_seams():
    u, y = echo_task(8000)
    model = ESNRegressor(**SMALL).fit(u, y)
    first, state = model.predict(u[:5000], return_state=True)
    rest = model.predict(u[5000:], initial_state=state)
    assert_allclose(np.concatenate([first, rest]), model.predict(u), rtol=0, atol=1e-11)


def test_warm_start_keeps_the_reservoir_and_learns_the_readout():
    u, y = echo_task()
    model = ESNRegressor(**SMALL | {"random_state": None}, warm_start=True).fit(u, y)
    kept = model.reservoir_
    model.fit(u, -y)
    assert model.reservoir_ is kept
    model.set_params(warm_start=False).fit(u, y)
    assert model.reservoir_ is not kept


@pytest.mark.parametrize("selection", ["gcv", "loo", "blocked"])
@pytest.mark.parametrize("solver", ["auto", "gram", "qr"])
def test_a_chosen_penalty_gives_the_model_of_that_penalty(selection, solver):
    u, y = echo_task()
    y = y + 0.3 * np.random.default_rng(1).standard_normal(len(y))
    candidates = np.logspace(-4, 2, 7)
    chosen = ESNRegressor(**SMALL, alpha=candidates, alpha_selection=selection, solver=solver).fit(u, y)
    assert candidates[0] < chosen.alpha_ < candidates[-1] or chosen.alpha_ in candidates[1:]
    again = ESNRegressor(**SMALL, alpha=chosen.alpha_, solver=solver).fit(u, y)
    assert_allclose(chosen.coef_, again.coef_, rtol=1e-6, atol=1e-8)


def test_several_targets_equal_one_at_a_time():
    u, y = echo_task()
    Y = np.column_stack([y, np.roll(y, 1)])
    both = ESNRegressor(**SMALL, alpha=1e-6).fit(u, Y)
    assert both.predict(u).shape == Y.shape
    for k in range(2):
        assert_allclose(both.coef_[k], ESNRegressor(**SMALL, alpha=1e-6).fit(u, Y[:, k]).coef_, rtol=1e-9, atol=1e-12)


def waves(n=40, length=30, seed=0):
    rng = np.random.default_rng(seed)
    speeds = np.where(np.arange(n) % 2 == 0, 0.3, 0.5)
    X = [np.sin(w * np.arange(length + k % 5) + rng.uniform(0, 6))[:, None] for k, w in enumerate(speeds)]
    return X, np.where(speeds < 0.4, "slow", "fast")


@pytest.mark.parametrize("decision", ["mean", "last", "vote"])
def test_sequences_are_decided_as_their_rows_are(decision):
    X, y = waves()
    model = ESNClassifier(**SMALL, bias_scaling=0.5, washout=3, decision=decision).fit(X[:30], y[:30])
    answers = model.predict(X[30:])
    assert answers.shape == (10,)
    for sequence, answer in zip(X[30:], answers, strict=True):
        rows = np.concatenate([states_by_hand(model, sequence), sequence], axis=1) @ model.coef_.T + model.intercept_
        if decision == "vote":
            rows = rows == rows.max(axis=1, keepdims=True)
        score = rows[-1] if decision == "last" else rows.mean(axis=0)
        assert answer == model.classes_[score.argmax()]
    assert model.score(X[30:], y[30:]) >= 0.8
    assert_allclose(model.predict_proba(X[30:]).sum(axis=1), 1.0, rtol=1e-12)


def test_last_learns_from_last_rows_only():
    X, y = waves()
    model = ESNClassifier(**SMALL, decision="last", alpha=1e-2).fit(X, y)
    ends = np.array([np.concatenate([states_by_hand(model, s)[-1], s[-1]]) for s in X])
    targets = (y[:, None] == model.classes_).astype(float)
    assert_allclose(model.coef_, Ridge(alpha=1e-2).fit(ends, targets).coef_, **SOLVED)


def test_a_column_of_ids_decides_whole_sequences_on_every_row():
    X, y = waves()
    ids = np.repeat(np.arange(len(X)), [len(s) for s in X])
    rows = np.column_stack([ids, np.concatenate(X)])
    model = ESNClassifier(**SMALL, bias_scaling=0.5, sequence_column=0).fit(rows, y[ids])
    assert model.decides_sequences_
    of_rows = model.predict(rows)
    of_lists = ESNClassifier(**SMALL, bias_scaling=0.5).fit(X, y).predict(X)
    assert_array_equal(of_rows, of_lists[ids])


def test_states_of_a_model_with_feedback_are_those_of_its_predictions():
    u, y = echo_task()
    model = ESNRegressor(**SMALL, feedback_scaling=0.5, spectral_radius=0.5).fit(u, y)
    states = model.run(u)
    state = model.predict(u, return_state=True)[1]
    assert_array_equal(states[-1], state[0, :40])
    assert_array_equal(model.run(u[300:], initial_state=model.predict(u[:300], return_state=True)[1]), states[300:])


def test_noise_is_new_in_every_partial_fit():
    u, y = echo_task()
    twice = ESNRegressor(**SMALL, state_noise=0.1).partial_fit(u, y).partial_fit(u, y)
    once = ESNRegressor(**SMALL, state_noise=0.1).partial_fit(u, y)
    # The same noise twice would only double the sums, which leaves the readout but for its penalty.
    assert np.abs(twice.coef_ - once.coef_).max() > 1e-3


def test_score_wants_one_label_a_sequence_where_sequences_are_decided():
    X, y = waves()
    model = ESNClassifier(**SMALL, bias_scaling=0.5).fit(X, y)
    with pytest.raises(ValueError, match="one label a sequence"):
        model.score(X[0], ["slow"] * 10 + ["fast"] * (len(X[0]) - 10))


def test_a_model_with_sums_and_pandas_output_is_saved(tmp_path):
    from reservoir import ReservoirTransformer, load

    u, y = echo_task()
    model = ESNRegressor(**SMALL).partial_fit(u[:300], y[:300])
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz").partial_fit(u[300:], y[300:])
    assert_array_equal(loaded.coef_, model.partial_fit(u[300:], y[300:]).coef_)
    transformer = ReservoirTransformer(**SMALL).set_output(transform="pandas").fit(u)
    transformer.save(tmp_path / "transformer.npz")
    assert load(tmp_path / "transformer.npz").transform(u).columns[0] == "reservoirtransformer0"
