"""One answer a sequence: what pooled estimators learn and say, what belongs to rows alone, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cuda_host import standin
from naive.pooling import pooled, standardised_ridge
from reservoir import ESNClassifier, ESNRegressor, load
from reservoir.readout.pooling import POOLINGS

SMALL = {"n_units": 20, "in_degree": 4, "random_state": 0}
# Products of rows or features lose half the digits of what they are made of.
SOLVED = {"rtol": 1e-7, "atol": 1e-9}


def oscillations(n=48, n_classes=3, n_channels=2, noise=0.1, seed=0):
    """Ragged noisy sequences whose class is their speed, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = []
    for k in y:
        t = np.arange(rng.integers(30, 50))[:, None]
        wave = np.sin((0.15 + 0.3 * k) * t + rng.uniform(0, 6, n_channels))
        X.append(wave + noise * rng.standard_normal(wave.shape))
    return X, np.array(["slow", "middle", "swift", "fast"])[y]


def speeds(n=60, n_steps=40):
    rng = np.random.default_rng(1)
    w = rng.uniform(0.2, 0.6, n)
    return np.sin(w[:, None, None] * np.arange(n_steps)[:, None] + rng.uniform(0, 6, (n, 1, 1))), w


def features_by_hand(model, X):
    parts = [pooled(model.run(X), model.poolings_)]
    if model.bidirectional:
        parts.append(pooled(model.run([x[::-1] for x in X]), model.poolings_))
    return np.concatenate([*parts, pooled(X, model.poolings_)], axis=1)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["auto", ("std", "last")])
def test_a_classifier_is_a_ridge_on_pooled_states(pooling, bidirectional):
    X, y = oscillations()
    model = ESNClassifier(**SMALL, pooling=pooling, bidirectional=bidirectional, alpha=0.5).fit(X, y)
    Z = features_by_hand(model, X)
    W, b = standardised_ridge(Z, (y[:, None] == model.classes_) * 1.0, np.ones(len(y)), 0.5)
    assert_allclose(model.coef_, W, **SOLVED)
    assert_allclose(model.decision_function(X), Z @ W.T + b, **SOLVED)
    assert_array_equal(model.predict(X), model.classes_[(Z @ W.T + b).argmax(axis=1)])
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)


def test_what_rows_tell_at_chance_is_told_by_pooled_states():
    X, y = oscillations(n=160, n_classes=4, n_channels=3, noise=0.3)
    of_rows = ESNClassifier(n_units=100, random_state=0, pooling=None).fit(X[:80], y[:80])
    model = ESNClassifier(n_units=100, random_state=0).fit(X[:80], y[:80])
    assert model.score(X[80:], y[80:]) > 0.6 > 0.4 > of_rows.score(X[80:], y[80:])


@pytest.mark.parametrize("weights", [None, "by sequence"])
def test_a_regressor_answers_once_a_sequence(weights):
    X, w = speeds()
    weights = None if weights is None else np.linspace(0.5, 2, 40)
    model = ESNRegressor(**SMALL, alpha=1e-3).fit(X[:40], w[:40], sample_weight=weights)
    answers = model.predict(X[40:])
    assert answers.shape == (20,) and model.poolings_ == POOLINGS
    W, b = standardised_ridge(
        features_by_hand(model, list(X[:40])), w[:40, None], np.ones(40) if weights is None else weights, 1e-3
    )
    assert_allclose(answers, (features_by_hand(model, list(X[40:])) @ W.T + b)[:, 0], rtol=1e-6)
    assert model.score(X[40:], w[40:]) > 0.9
    both = ESNRegressor(**SMALL, alpha=1e-3).fit(X[:40], np.column_stack([w, -w])[:40])
    assert both.predict(X[40:]).shape == (20, 2) and both.coef_.shape == (2, 6 * 21)


def test_named_poolings_say_that_y_belongs_to_sequences():
    X, y = speeds(30, 12)[0], np.random.default_rng(2).normal(size=(30, 12))
    assert ESNRegressor(**SMALL, pooling=("mean", "std")).fit(X, y).predict(X).shape == (30, 12)
    assert ESNRegressor(**SMALL).fit(X, y).predict(X).shape == (30, 12)
    assert ESNRegressor(**SMALL).fit(X, y).poolings_ is None


def test_all_forms_of_sequences_have_one_model():
    X, y = oscillations()
    lengths = [len(x) for x in X]
    rows, ids = np.concatenate(X), np.repeat(np.arange(len(X)), lengths)
    wanted = ESNClassifier(**SMALL).fit(X, y).predict_proba(X)
    for more in ({"lengths": lengths}, {"groups": ids}):
        assert_allclose(ESNClassifier(**SMALL).fit(rows, y, **more).predict_proba(rows, **more), wanted, **SOLVED)
    table = np.column_stack([ids, rows])
    by_column = ESNClassifier(**SMALL, sequence_column=0).fit(table, y[ids])
    assert by_column.poolings_ == POOLINGS
    assert_allclose(by_column.predict_proba(table), wanted[ids], **SOLVED)
    order = np.random.default_rng(0).permutation(len(X))
    fixed = ESNClassifier(**SMALL, alpha=1.0).fit(X, y)
    assert_allclose(fixed.predict_proba([X[i] for i in order]), fixed.predict_proba(X)[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("estimator", [ESNClassifier, ESNRegressor])
def test_blocks_in_any_order_are_one_fit(estimator):
    X, y = oscillations()
    y = y if estimator is ESNClassifier else np.array([len(x) for x in X], float)
    whole = estimator(**SMALL, alpha=0.1).fit(X, y)
    model = estimator(**SMALL, alpha=0.1).partial_fit(X[30:], y[30:]).partial_fit(X[:30], y[:30])
    assert_allclose(model.coef_, whole.coef_, **SOLVED)
    assert len(model.sums_.weights) == 48 and not hasattr(whole, "sums_")
    with pytest.raises(ValueError, match="initial_state must not be given"):
        model.partial_fit(X, y, initial_state="last")


def test_a_weight_is_a_repetition_and_none_leaves_a_sequence_out():
    X, y = oscillations(24)
    times = np.random.default_rng(3).integers(0, 3, 24)
    weighted = ESNClassifier(**SMALL, alpha=1.0).fit(X, y, sample_weight=times)
    repeated = ESNClassifier(**SMALL, alpha=1.0).fit([x for x, k in zip(X, times, strict=True) for _ in range(k)],
                                                     y.repeat(times))  # fmt: skip
    assert_allclose(weighted.coef_, repeated.coef_, **SOLVED)


def test_weights_of_classes_multiply_those_of_sequences():
    X, y = oscillations(24)
    X, y = X[:-8:2] + X[-8:], np.concatenate([y[:-8:2], y[-8:]])
    given = ESNClassifier(**SMALL, alpha=1.0, class_weight={"slow": 3.0, "swift": 0.5}).fit(X, y)
    weights = np.select([y == "slow", y == "swift"], [3.0, 0.5], 1.0)
    assert_allclose(given.coef_, ESNClassifier(**SMALL, alpha=1.0).fit(X, y, sample_weight=weights).coef_, **SOLVED)
    balanced = ESNClassifier(**SMALL, alpha=1.0, class_weight="balanced").fit(X, y)
    share = {label: len(y) / (3 * np.sum(y == label)) for label in balanced.classes_}
    by_hand = ESNClassifier(**SMALL, alpha=1.0, class_weight=share).fit(X, y)
    assert_allclose(balanced.coef_, by_hand.coef_, **SOLVED)
    of_rows = ESNClassifier(**SMALL, pooling=None, class_weight={"slow": 3.0, "swift": 0.5}).fit(X, y)
    same = ESNClassifier(**SMALL, pooling=None).fit(X, y, sample_weight=weights)
    assert_allclose(of_rows.coef_, same.coef_, **SOLVED)


@pytest.mark.parametrize(
    "settings", [{"decision": "vote"}, {"feedback_scaling": 0.1, "alpha": 1.0}, {"pooling": None}], ids=str
)
def test_what_acts_on_rows_alone_keeps_the_readout_of_rows(settings):
    X, y = oscillations(12)
    model = ESNClassifier(**SMALL, **settings).fit(X, y)
    assert model.poolings_ is None and model.coef_.shape == (3, 22)
    assert_array_equal(model.reservoir_.leak, 1.0)
    assert_array_equal(model.reservoir_.bias, 0.0)


def test_weights_that_change_within_a_sequence_keep_the_readout_of_rows():
    X, w = speeds(12)
    last = np.zeros((12, 40))
    last[:, -1] = 1
    model = ESNRegressor(**SMALL).fit(X, w, sample_weight=last)
    assert model.poolings_ is None and model.predict(X).shape == (12, 40)


def test_several_leaks_are_dealt_to_the_units_in_turn():
    X, y = oscillations(12)
    assert_array_equal(ESNClassifier(**SMALL).fit(X, y).reservoir_.leak[:5], [1.0, 0.3, 0.1, 0.03, 1.0])
    two = ESNRegressor(**SMALL, leak_rate=(0.5, 0.2)).fit(X[0], X[0])
    assert_array_equal(two.reservoir_.leak, np.tile([0.5, 0.2], 10))
    with pytest.raises(ValueError, match=r"leak_rate .* 20 in all, got shape \(21,\)"):
        ESNRegressor(**SMALL, leak_rate=(0.5,) * 21).fit(X[0], X[0])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("estimator", [ESNClassifier, ESNRegressor])
def test_a_saved_model_answers_with_the_same_bits(tmp_path, estimator, method):
    X, y = oscillations(24)
    y = y if estimator is ESNClassifier else np.array([len(x) for x in X], float)
    model = getattr(estimator(**SMALL, bidirectional=True), method)(X, y)
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.poolings_ == POOLINGS
    if method == "partial_fit":
        assert_array_equal(loaded.partial_fit(X, y).coef_, model.partial_fit(X, y).coef_)


def test_a_device_pools_as_the_cpu_does():
    X, y = oscillations(12)
    on_cpu = ESNClassifier(**SMALL, alpha=1.0, bidirectional=True).fit(X, y)
    with standin.installed():
        there = ESNClassifier(**SMALL, alpha=1.0, bidirectional=True, device="gpu", dtype=np.float64).fit(X, y)
        assert_allclose(there.predict_proba(X), on_cpu.predict_proba(X), rtol=1e-6, atol=1e-8)


def test_single_precision_is_near_double():
    X, y = oscillations(24)
    single = ESNClassifier(**SMALL, alpha=1.0, dtype=np.float32).fit(X, y)
    assert_allclose(single.predict_proba(X), ESNClassifier(**SMALL, alpha=1.0).fit(X, y).predict_proba(X), atol=1e-3)


def test_a_washout_leaves_out_the_first_steps_of_every_sequence():
    X, y = oscillations(12)
    model = ESNClassifier(**SMALL, alpha=1.0, washout=7).fit(X, y)
    states = [s[7:] for s in model.run(X)]
    Z = np.concatenate([pooled(states, POOLINGS), pooled([x[7:] for x in X], POOLINGS)], axis=1)
    W, b = standardised_ridge(Z, (y[:, None] == model.classes_) * 1.0, np.ones(12), 1.0)
    assert_allclose(model.decision_function(X), Z @ W.T + b, **SOLVED)
    with pytest.raises(ValueError, match="washout must be smaller than the length of every sequence"):
        model.predict([X[0][:7]])


SHORT = [np.ones((1, 2)), *oscillations(11)[0]]
REFUSED = {
    "an unknown pooling": ({"pooling": ("mean", "medium")}, None, "pooling must be .* got 'medium'"),
    "a decision beside": ({"pooling": ("mean",), "decision": "last"}, None, r"pooling must be None beside decision="),
    "feedback beside": ({"pooling": ("mean",), "feedback_scaling": 1.0}, None, "None beside feedback_scaling=1.0"),
    "a class of one": ({}, ["rare", *oscillations(12)[1][1:]], r"y must hold at least 2 .* got 1 of \['rare'\]"),
    "both ways over rows": ({"pooling": None, "bidirectional": True}, None, "bidirectional must be False where"),
    "no truth value": ({"bidirectional": 2}, None, "bidirectional must be"),
    "a class that is none": ({"class_weight": {"lame": 2.0}}, None, r"class_weight must name .* got \['lame'\]"),
    "a weight below 0": ({"class_weight": {"slow": -2.0}}, None, "class_weight must be .* got -2.0"),
    "a word that is none": ({"class_weight": "even"}, None, "class_weight must be .* got 'even'"),
    "an alpha that is none": ({"alpha": "best"}, None, "alpha must .* got 'best'"),
}


@pytest.mark.parametrize(("settings", "labels", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_is_refused_before_any_work(monkeypatch, settings, labels, message):
    X, y = oscillations(12)
    monkeypatch.setattr("reservoir.estimators.estimator.build_reservoir", None)
    with pytest.raises((ValueError, TypeError), match=message):
        ESNClassifier(**SMALL | settings).fit(X, y if labels is None else labels)


def test_sequences_of_one_row_are_not_pooled(monkeypatch):
    y = oscillations(12)[1]
    rows = np.random.default_rng(0).normal(size=(12, 2))
    assert ESNClassifier(**SMALL).fit(rows, y, lengths=[1] * 12).poolings_ is None
    monkeypatch.setattr("reservoir.estimators.estimator.build_reservoir", None)
    with pytest.raises(ValueError, match=r"X must hold sequences of at least 2 rows .* in sequence 0 \(1 such"):
        ESNClassifier(**SMALL).fit(SHORT, y)
    with pytest.raises(ValueError, match="at least 2 rows"):
        ESNClassifier(**SMALL, pooling=("last",)).fit(SHORT, y)


def test_labels_of_rows_cannot_be_pooled():
    X, _ = oscillations(4)
    of_rows = [np.arange(len(x)) % 2 for x in X]
    assert ESNClassifier(**SMALL).fit(X, of_rows).poolings_ is None
    with pytest.raises(ValueError, match=r"y must have one entry a sequence for pooling=\('mean',\)"):
        ESNClassifier(**SMALL, pooling=("mean",)).fit(X, of_rows)


@pytest.mark.parametrize("estimator", [ESNClassifier, ESNRegressor])
@pytest.mark.parametrize("more", [{"initial_state": np.zeros(20)}, {"return_state": True}, {"teacher": [0.0] * 12}])
def test_states_are_not_carried_into_or_out_of_pooled_sequences(estimator, more):
    X, y = oscillations(12)
    y = y if estimator is ESNClassifier else np.arange(12.0)
    model = estimator(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match=f"{next(iter(more))} must not be given where whole sequences are pooled"):
        model.predict(X, **more)
    if "initial_state" in more:
        with pytest.raises(ValueError, match="initial_state must not be given"):
            model.score(X, y, **more)


def test_balanced_weights_need_all_labels_at_once():
    X, y = oscillations(12)
    with pytest.raises(ValueError, match=r"class_weight must be None or a dict .* for partial_fit, got 'balanced'"):
        ESNClassifier(**SMALL, class_weight="balanced").partial_fit(X, y)
