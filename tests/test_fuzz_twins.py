"""Random models on random sequences equal their naive twins: states, readouts, losses, gradients, predictions."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from cells import predict
from hostile import examples
from naive import networks as plain
from naive.drive import echo_states
from naive.readout import ridge
from network_problems import TWINS, pair
from reservoir import ESNForecaster, ESNRegressor, ReservoirTransformer

# Loops of a readout that has learnt a few rows of noise go where they like.
pytestmark = [
    pytest.mark.compiled,
    pytest.mark.fuzz,
    pytest.mark.filterwarnings("ignore::reservoir.FreeRunDivergedWarning"),
]
FUZZ = {"suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
LENGTHS = st.lists(st.integers(3, 9), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**16)
# Twelve units of radius below 1.2 over at most nine steps: some hundred roundings of numbers of order 1.
STATES = {"rtol": 1e-11, "atol": 1e-11}
# A penalty of 0.01 beside sums of at most 36 rows of order 1: the condition is at most some 1e4.
READOUTS = {"rtol": 1e-8, "atol": 1e-8}
RESERVOIRS = st.fixed_dictionaries(
    {
        "n_units": st.integers(1, 12),
        "spectral_radius": st.sampled_from([0.5, 0.9, 1.2]),
        "leak_rate": st.sampled_from([1.0, 0.6, 0.1]),
        "input_scaling": st.sampled_from([0.3, 1.0]),
        "bias_scaling": st.sampled_from([0.0, 0.4]),
        "in_degree": st.sampled_from([2, 10]),
        "topology": st.sampled_from(["sparse", "shifts", "ring", "small_world", "orthogonal"]),
        "activation": st.sampled_from(["tanh", "relu", "logistic", "identity"]),
        "random_state": st.integers(0, 2**16),
    }
)


def dense(reservoir):
    """W, input weights, bias, leak as arrays; with the activation, what the twin takes."""
    W = reservoir.W
    W = W.toarray() if hasattr(W, "toarray") else W.to_csr().toarray()
    return W, reservoir.input_weights, reservoir.bias, reservoir.leak


def sequences(lengths, n_columns, seed):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, (T, n_columns)) for T in lengths]


@settings(max_examples=examples(300), **FUZZ)
@given(chosen=RESERVOIRS, lengths=LENGTHS, n_columns=st.integers(1, 3), seed=SEEDS)
def test_states_equal_the_twin(chosen, lengths, n_columns, seed):
    X = sequences(lengths, n_columns, seed)
    model = ReservoirTransformer(**chosen).fit(X)
    for states, rows in zip(model.transform(X), X, strict=True):
        twin, _ = echo_states(*dense(model.reservoir_), rows, activation=chosen["activation"])
        assert_allclose(states, twin, **STATES)


@settings(max_examples=examples(300), **FUZZ)
@given(
    chosen=RESERVOIRS,
    lengths=LENGTHS,
    n_columns=st.integers(1, 2),
    n_outputs=st.integers(1, 2),
    washout=st.integers(0, 2),
    include_input=st.booleans(),
    fit_intercept=st.booleans(),
    solver=st.sampled_from(["auto", "gram", "qr"]),
    feedback=st.sampled_from([0.0, 0.0, 0.5]),
    seed=SEEDS,
)
def test_fit_and_predict_equal_the_twin(
    chosen, lengths, n_columns, n_outputs, washout, include_input, fit_intercept, solver, feedback, seed
):
    X, Y = sequences(lengths, n_columns, seed), sequences(lengths, n_outputs, seed + 1)
    weights = [np.random.default_rng(seed).uniform(0.5, 2.0, T) for T in lengths]
    model = ESNRegressor(
        **chosen, washout=washout, include_input=include_input, fit_intercept=fit_intercept, solver=solver, alpha=0.01,
        feedback_scaling=feedback,
    ).fit(X, Y, sample_weight=weights)  # fmt: skip
    parts = dense(model.reservoir_)
    how = {"activation": chosen["activation"]}
    fed = model.reservoir_.feedback_weights if feedback else None
    features = []
    for rows, targets in zip(X, Y, strict=True):
        teacher = np.vstack([np.zeros(n_outputs), targets[:-1]]) if feedback else None
        states, _ = echo_states(*parts, rows, **how, feedback_weights=fed, teacher=teacher)
        features.append(np.hstack([states, rows]) if include_input else states)
    kept = [np.vstack([part[washout:] for part in features]), np.vstack([part[washout:] for part in Y])]
    W, b = ridge(*kept, np.concatenate([part[washout:] for part in weights]), 0.01, fit_intercept)
    assert_allclose(model.coef_, W, **READOUTS)
    assert_allclose(model.intercept_, b, **READOUTS)
    if not include_input:
        W = np.hstack([W, np.zeros((n_outputs, n_columns))])
    for outputs, rows in zip(model.predict(X), X, strict=True):
        _, twin = echo_states(*parts, rows, **how, feedback_weights=fed, coef=W, offset=b)
        # The free-running loop multiplies a readout's rounding by at most its gain of some 10 a step.
        assert_allclose(outputs, twin, rtol=1e-6, atol=1e-6 if feedback else 1e-7)


@settings(max_examples=examples(100), **FUZZ)
@given(chosen=RESERVOIRS, n=st.integers(8, 20), n_columns=st.integers(1, 2), n_steps=st.integers(1, 6), seed=SEEDS)
def test_a_forecast_equals_the_twin_that_feeds_back_its_own_outputs(chosen, n, n_columns, n_steps, seed):
    X = sequences([n], n_columns, seed)[0]
    chosen = {**chosen, "activation": "tanh"}  # bounded states, whatever is fed back
    model = ESNForecaster(**chosen, washout=1, alpha=0.1, standardize=False, guard=None).fit(X)
    parts = dense(model.reservoir_)
    states, outputs = echo_states(*parts, X, coef=np.atleast_2d(model.coef_), offset=np.atleast_1d(model.intercept_))
    state, row = states[-1], outputs[-1]
    for step in model.forecast(n_steps, context=X):
        assert_allclose(np.ravel(step), row, rtol=1e-6, atol=1e-6)
        after, out = echo_states(
            *parts, row[None], start=state, coef=np.atleast_2d(model.coef_), offset=np.atleast_1d(model.intercept_)
        )
        state, row = after[-1], out[-1]


@settings(max_examples=examples(250), **FUZZ)
@given(
    names=st.lists(st.sampled_from(list(TWINS)), min_size=1, max_size=2),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    loss=st.sampled_from(["squared", "logistic", "softmax"]),
    targets=st.sampled_from(["all", "last"]),
    bidirectional=st.booleans(),
    masked=st.booleans(),
    seed=SEEDS,
)
def test_losses_and_predictions_of_networks_equal_the_twin(names, lengths, loss, targets, bidirectional, masked, seed):
    made, net, plain_sequences = pair(
        names, lengths=tuple(lengths), loss=loss, targets=targets, bidirectional=bidirectional,
        options={"seed": seed, "masked": masked},
    )  # fmt: skip
    assert_allclose(
        made.objective().value(made.theta).loss_sum, plain.loss(net, made.theta, plain_sequences), rtol=1e-11
    )
    answers = predict(made.network, made.theta, made.X)
    for answer, sequence in zip(answers, plain_sequences, strict=True):
        outputs = np.real(plain.forward(net, made.theta, sequence)[0])
        twin = np.array([plain.predictions(loss, o) for o in outputs])
        assert_allclose(np.atleast_2d(answer), np.real(twin), **STATES)


@settings(max_examples=examples(60), **FUZZ)
@given(names=st.lists(st.sampled_from(list(TWINS)), min_size=1, max_size=2), seed=SEEDS, masked=st.booleans())
def test_gradients_of_networks_equal_the_twin(names, seed, masked):
    made, net, plain_sequences = pair(names, lengths=(3, 1), options={"seed": seed, "masked": masked})
    gradient = made.objective().value_and_grad(made.theta).grad
    # Relu at exactly 0 apart, both are derivatives to rounding of sums over at most four steps.
    assert_allclose(gradient, plain.gradient(net, made.theta, plain_sequences), rtol=1e-9, atol=1e-10)
