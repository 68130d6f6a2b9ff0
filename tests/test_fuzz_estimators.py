"""Any call of any estimator ends in finite numbers of the right shape, or in an error that names an argument."""

import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cells import CharRNN, RNNClassifier, RNNRegressor
from hostile import HOSTILE, Refused, examples, given_data, outcome, settings_of
from reservoir import ESNClassifier, ESNForecaster, ESNRegressor, ReservoirTransformer

pytestmark = [pytest.mark.compiled, pytest.mark.fuzz]
FUZZ = {"suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]}

RESERVOIR = {
    "n_units": [1, 2, 7, 20],
    "spectral_radius": [0.9, 1.5, 1e-3],
    "leak_rate": [1.0, 0.3],
    "input_scaling": [1.0, 0.0, 30.0],
    "input_weights": ["uniform", "signs"],
    "bias_scaling": [0.0, 0.5],
    "in_degree": [1, 10],
    "topology": ["sparse", "shifts", "ring", "orthogonal", "delay_line"],
    "activation": ["tanh", "relu", "identity", "logistic"],
    "sequence_column": [None, None, None, 0, -1, "c0"],
    "dtype": [None, np.float32, "float64"],
    "n_jobs": [None, 1, 2],
    "random_state": [0, 1],
}
READOUT = {
    "alpha": [1e-6, 1.0, 0.0, [1e-3, 1.0], "auto"],
    "alpha_selection": ["gcv", "loo", "blocked"],
    "solver": ["auto", "gram", "qr"],
    "include_input": [True, False],
    "fit_intercept": [True, False],
    "washout": [0, 0, 1],
}
LEARNT = {"feedback_scaling": [0.0, 0.0, 0.5], "state_noise": [0.0, 1e-3], "feedback_noise": [0.0, 1e-3]}
RECURRENT = {
    "n_units": [1, 3],
    "cell": ["elman", "gru", "lstm"],
    "n_layers": [1, 2],
    "bidirectional": [False, True],
    "solver": ["adam", "sgd", "nesterov", "hf"],
    "learning_rate": [None],
    "decay": ["cosine", None],
    "momentum": [0.9],
    "batch_size": [None, 1, 2],
    "max_epochs": [1, 2],
    "clip_norm": [1.0, None],
    "clip_signal": [None],
    "init": ["glorot"],
    "standardize": [True, False],
    "early_stopping": [False, True],
    "targets": [None, "all", "last"],
    "hf_options": [None],
    "sequence_column": [None, None, 0],
    "dtype": [None, np.float32],
    "n_jobs": [1, 2],
    "random_state": [0],
}
KINDS = {
    "regressor": (
        ESNRegressor,
        RESERVOIR | READOUT | LEARNT | {"standardize": [False, True]},
        "numbers",
        ("predict", "run"),
    ),
    "classifier": (
        ESNClassifier,
        RESERVOIR | READOUT | LEARNT | {"decision": ["mean", "last", "vote"]},
        "labels",
        ("predict_proba", "predict", "run"),
    ),
    "transformer": (ReservoirTransformer, RESERVOIR, "none", ("transform", "run")),
    "rnn regressor": (RNNRegressor, RECURRENT, "numbers", ("predict", "run")),
    "rnn classifier": (RNNClassifier, RECURRENT, "labels", ("predict_proba", "predict", "run")),
}


def arguments_of(kind):
    """Names that a message may blame: those of the constructor and of every public method."""
    methods = [method for name, method in inspect.getmembers(kind, callable) if not name.startswith("_")]
    signatures = [inspect.signature(method) for method in (kind, *methods)]
    return {name for signature in signatures for name in signature.parameters} - {"self", "params"}


def check_answer(answer, n_rows):
    """One finite row, or label, for every row of the data; a sequence's answer for sequences that have one."""
    parts = answer if isinstance(answer, list) else [answer]
    assert sum(len(part) for part in parts) <= n_rows
    for part in map(np.asarray, parts):
        assert part.dtype.kind in "fUO" and part.ndim <= 3
        if part.dtype.kind == "f":
            assert np.isfinite(part).all()


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=examples(280), **FUZZ)
@given(data=st.data())
def test_any_fit_and_answer(name, data):
    kind, good, target, methods = KINDS[name]
    blamed = arguments_of(kind)
    chosen, has_hostile = data.draw(settings_of(good))
    table = data.draw(given_data(target))
    made = outcome(
        lambda: kind(**chosen).fit(table.X, *([] if target == "none" else [table.y]), **table.sequences), blamed
    )
    if isinstance(made, Refused):
        assert has_hostile or table.is_spoilt or is_refused_for_good_reason(chosen, table), repr(made.error)
        return
    X = made.n_features_in_
    other = np.random.default_rng(1).standard_normal((5, X))
    if chosen["sequence_column"] is not None:
        other[:, 0 if isinstance(chosen["sequence_column"], str) else chosen["sequence_column"]] = 7
    if hasattr(made, "feature_names_in_"):
        other = pd.DataFrame(other, columns=made.feature_names_in_)
    for method in methods:
        answer = outcome(lambda method=method: getattr(made, method)(other), blamed)
        if not isinstance(answer, Refused):
            check_answer(answer, 5)


def is_refused_for_good_reason(chosen, table):
    """Whether good values clash: ids that are no ids, sequences marked twice or washed out, too little to hold out."""
    return bool(
        chosen["sequence_column"] is not None
        or chosen.get("washout")
        or chosen.get("early_stopping")
        or np.ndim(chosen.get("alpha", 0.0))
        or chosen.get("targets")
        or (chosen.get("topology"), chosen["n_units"]) == ("delay_line", 1)
        or len(np.unique(np.concatenate([np.ravel(table.y)]))) < 2
    )


FORECASTER = RESERVOIR | READOUT | {"state_noise": [0.0], "sequence_column": [None], "washout": [0, 2]}


@settings(max_examples=examples(250), **FUZZ)
@given(data=st.data())
def test_any_forecast(data):
    blamed = arguments_of(ESNForecaster)
    chosen, _ = data.draw(settings_of(FORECASTER))
    table = data.draw(given_data("none"))
    made = outcome(lambda: ESNForecaster(**chosen).fit(table.X, **table.sequences), blamed)
    if isinstance(made, Refused):
        return
    n_steps = data.draw(st.one_of(st.just(4), HOSTILE))
    context = data.draw(st.sampled_from([None, table.X, [], np.nan, "text"]))
    answer = outcome(lambda: made.forecast(n_steps, context=context), blamed)
    if not isinstance(answer, Refused):
        check_answer(answer, sum(map(np.size, answer)) if isinstance(answer, list) else np.size(answer))


TEXT = {
    "n_units": [2, 5],
    "cell": ["gru", "lstm"],
    "n_layers": [1],
    "n_steps": [4, 16],
    "n_back": [None],
    "n_streams": [1, 2],
    "restart_every": [50],
    "solver": ["adam"],
    "learning_rate": [None],
    "clip_norm": [1.0],
    "max_epochs": [1],
    "validation_fraction": [0.0, 0.3],
    "alphabet": [None, "abc "],
    "unknown": ["error", "a"],
    "dtype": [np.float32, np.float64],
    "random_state": [0],
}
WORDS = st.one_of(st.text(max_size=6), st.sampled_from(["", "a", None, 3, b"abc", ["abc"], "\ud800", "abc" * 30]))


@settings(max_examples=examples(150), **FUZZ)
@given(data=st.data())
def test_any_text(data):
    blamed = arguments_of(CharRNN)
    chosen, _ = data.draw(settings_of(TEXT))
    text = data.draw(st.one_of(st.just("abc cab " * 12), WORDS))
    made = outcome(lambda: CharRNN(**chosen).fit(text), blamed)
    if isinstance(made, Refused):
        return
    n = data.draw(st.one_of(st.just(3), HOSTILE.filter(lambda n: not isinstance(n, int) or n < 10**9)))
    temperature = data.draw(st.one_of(st.just(1.0), HOSTILE))
    prime = data.draw(st.one_of(st.just("abc"), WORDS))
    sampled = outcome(lambda: made.sample(prime, n, temperature=temperature, random_state=0), blamed)
    assert isinstance(sampled, str | Refused)
    score = outcome(lambda: made.score(prime), blamed)
    assert isinstance(score, Refused) or (np.isfinite(score) and score >= 0)
    completions = outcome(lambda: made.complete(prime, n if type(n) is int and n < 5 else 2, n_characters=3), blamed)
    assert isinstance(completions, Refused) or all(np.isfinite(found.bits) for found in completions)
