"""Carried states: streams learnt piece by piece, signals classified row by row, nets primed with true outputs."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import r2_score

from estimator_data import BATCH, BLOCKS
from reservoir import ColdStartWarning, ESNClassifier, ESNForecaster, ESNRegressor, ReservoirTransformer
from reservoir.datasets import mackey_glass
from reservoir.metrics import nrmse

SMALL = {"n_units": 30, "in_degree": 5, "random_state": 0}
HELD = {**SMALL, "alpha": 1.0, "solver": "gram"}  # a penalty that makes the sums well-conditioned
FEEDBACK = pytest.mark.parametrize("feedback_scaling", [0.0, 0.5])


def stream(n=300, seed=0):
    u = np.random.default_rng(seed).uniform(-1, 1, (n, 1))
    return u, np.roll(u[:, 0], 3)


def labelled(n=300):
    u, y = stream(n)
    return u, np.where(y > 0, "beat", "rest")


def pieces(n, size, first=None):
    edges = [0, *range(size if first is None else first, n, size), n]
    return [slice(begin, end) for begin, end in pairwise(edges)]


# --------------------------------------------------------------------------------------------- learning a stream


@FEEDBACK
@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_stream_in_pieces_gives_the_model_of_one_fit(size, feedback_scaling):
    u, y = stream()
    whole = ESNRegressor(**HELD, feedback_scaling=feedback_scaling).fit(u, y)
    model = ESNRegressor(**HELD, feedback_scaling=feedback_scaling)
    for piece in pieces(300, size):
        model.partial_fit(u[piece], y[piece], initial_state="last")
    assert_allclose(model.coef_, whole.coef_, **BLOCKS)
    assert_allclose(model.intercept_, whole.intercept_, **BLOCKS)


@pytest.mark.parametrize("solver", ["gram", "qr"])
def test_the_washout_is_paid_once(solver):
    u, y = stream()
    settings = {**HELD, "solver": solver, "washout": 40}
    whole, model = ESNRegressor(**settings).fit(u, y), ESNRegressor(**settings)
    for piece in pieces(300, 11, first=50):
        model.partial_fit(u[piece], y[piece], initial_state="last")
    assert model.sums_.n_rows == 260
    assert_allclose(model.coef_, whole.coef_, **BLOCKS)


def test_a_first_piece_within_the_washout_is_refused():
    u, y = stream()
    with pytest.raises(ValueError, match="washout"):
        ESNRegressor(**HELD, washout=40).partial_fit(u[:30], y[:30], initial_state="last")


@FEEDBACK
def test_several_streams_go_on_side_by_side(feedback_scaling):
    U, Y = zip(*[stream(120, seed) for seed in range(3)], strict=True)
    whole = ESNRegressor(**HELD, feedback_scaling=feedback_scaling).fit(list(U), list(Y))
    model = ESNRegressor(**HELD, feedback_scaling=feedback_scaling)
    for piece in pieces(120, 25):
        model.partial_fit([u[piece] for u in U], [y[piece] for y in Y], initial_state="last")
    assert_allclose(model.coef_, whole.coef_, **BLOCKS)
    assert model.state_.shape == (3, 30 + (feedback_scaling > 0))


def test_a_state_given_as_an_array_is_that_of_the_last_rows():
    u, y = stream()
    one, other = ESNRegressor(**HELD, feedback_scaling=0.5), ESNRegressor(**HELD, feedback_scaling=0.5)
    state = None
    for piece in pieces(300, 60):
        one.partial_fit(u[piece], y[piece], initial_state="last")
        other.partial_fit(u[piece], y[piece], initial_state=state)
        state = other.state_
    assert_array_equal(one.coef_, other.coef_)


def test_a_stream_in_pieces_that_is_not_carried_on_is_told():
    u, y = stream()
    for solver in ("gram", "qr"):
        model = ESNRegressor(**HELD | {"solver": solver}).partial_fit(u[:200], y[:200])
        with pytest.warns(ColdStartWarning, match=r"^X must go on from a state .* got 5 rows .*initial_state='last'"):
            model.partial_fit(u[200:205], y[200:205])
        # None of these can be a piece whose beginning is forgotten.
        model.partial_fit(u[205:210], y[205:210], initial_state="last")
        model.partial_fit(u[205:210], y[205:210], lengths=[5])
        model.partial_fit([u[205:210]], [y[205:210]])
        model.partial_fit(u[:100], y[:100])


def test_without_a_state_every_call_starts_from_rest():
    u, y = stream()
    model = ESNRegressor(**HELD)
    for piece in pieces(300, 100):
        model.partial_fit(u[piece], y[piece])
    assert_allclose(model.coef_, ESNRegressor(**HELD).fit(u, y, lengths=[100] * 3).coef_, **BLOCKS)


@FEEDBACK
def test_predictions_go_on_from_the_last_state(feedback_scaling):
    u, y = stream()
    model = ESNRegressor(**HELD, feedback_scaling=feedback_scaling).partial_fit(u[:200], y[:200])
    teacher = {"teacher": y[:200]} if feedback_scaling > 0 else {}
    _, state = model.predict(u[:200], return_state=True, **teacher)
    assert_allclose(model.state_, state, **BATCH)
    ahead = model.predict(u[200:], initial_state=state)
    assert_allclose(model.predict(u[200:], initial_state="last"), ahead, **BATCH)
    assert_allclose(model.run(u[200:], initial_state="last"), model.run(u[200:], initial_state=state), **BATCH)


@FEEDBACK
@pytest.mark.parametrize("alpha", [1.0, [0.1, 1.0]])
@pytest.mark.parametrize("word", ["fitted", "last"])
def test_predictions_go_on_from_where_a_fit_ended(word, alpha, feedback_scaling):
    u, y = stream()
    model = ESNRegressor(**HELD, feedback_scaling=feedback_scaling).partial_fit(u[:9], y[:9])
    model.set_params(alpha=alpha).fit(u[:200], y[:200])
    teacher = {"teacher": y[:200]} if feedback_scaling > 0 else {}
    _, state = model.predict(u[:200], return_state=True, **teacher)
    assert_allclose(model.state_, state, **BATCH)
    assert_array_equal(model.predict(u[200:], initial_state=word), model.predict(u[200:], initial_state=model.state_))
    assert_array_equal(model.run(u[200:], initial_state=word), model.run(u[200:], initial_state=model.state_))


def test_an_estimator_without_states_says_so():
    u, _ = stream()
    for word in ("fitted", "last"):
        with pytest.raises(ValueError, match=rf"initial_state='{word}'.*ReservoirTransformer that keeps none"):
            ReservoirTransformer(**SMALL).fit(u).run(u, initial_state=word)
    with pytest.raises(ValueError, match=r"initial_state must be one of 'fitted', 'last', or an array"):
        ESNRegressor(**HELD).fit(u, u).predict(u, initial_state="first")


# ------------------------------------------------------------------------------------------------- cold scores


@pytest.fixture(scope="module")
def chaos():
    """A model of Mackey-Glass, and the 200 rows that go on from what it has learnt."""
    z = mackey_glass(2201, random_state=np.random.default_rng(0))
    model = ESNRegressor(300, leak_rate=0.3, washout=100, alpha=1e-10, random_state=0).fit(z[:2000], z[1:2001, 0])
    return model, z[2000:-1], z[2001:, 0]


def test_going_on_from_the_fit_saves_the_start_of_a_prediction(chaos):
    model, u, y = chaos
    assert nrmse(y, model.predict(u, initial_state="fitted")) < 1e-3
    assert nrmse(y, model.predict(u)) > 1.0


def test_a_score_is_that_of_the_predictions(chaos):
    model, u, y = chaos
    for start in ("fitted", model.state_):
        assert model.score(u, y, initial_state=start) == r2_score(y, model.predict(u, initial_state=start))
    w = np.arange(200.0)
    assert model.score([u], [y], [w]) == r2_score(y, model.predict(u), sample_weight=w)


@pytest.mark.parametrize("n", [60, 200])
def test_a_score_of_cold_rows_is_told(chaos, n):
    model, u, y = chaos
    u, y = u[:n], y[:n]
    with pytest.warns(ColdStartWarning, match=rf"^X must be long .* got {n} rows.*initial_state='fitted'"):
        cold = model.score(u, y)
    assert cold == r2_score(y, model.predict(u))
    assert model.score(u, y, initial_state="fitted") > 0.99 > 0.0 > cold
    # None of these can be rows that go on from others.
    assert model.score([u], [y]) == model.score(u, y, lengths=[n]) == cold


def test_a_score_that_hardly_depends_on_its_start_is_not_told():
    u, y = stream(2000)
    model = ESNRegressor(**HELD, bias_scaling=0.5).fit(u[:1000], y[:1000])
    model.score(u[1000:], y[1000:])
    model.score(u[1000:1030], y[1000:1030], sample_weight=np.r_[np.zeros(20), np.ones(10)])


def test_a_classifier_learns_a_stream_in_pieces():
    u, labels = labelled()
    whole, model = ESNClassifier(**HELD).fit(u, labels), ESNClassifier(**HELD)
    for piece in pieces(300, 20):
        model.partial_fit(u[piece], labels[piece], classes=["beat", "rest"], initial_state="last")
    assert_allclose(model.coef_, whole.coef_, **BLOCKS)


# ------------------------------------------------------------------------------------------------ row by row


@FEEDBACK
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_a_signal_is_classified_row_by_row(method, feedback_scaling):
    u, labels = labelled()
    model = ESNClassifier(**HELD, spectral_radius=0.5, feedback_scaling=feedback_scaling).fit(u, labels)
    answer, state, found = getattr(model, method), None, []
    for row in u:
        value, state = answer(row[None], initial_state=state, return_state=True)
        found.append(value[0])
    whole, final = answer(u, return_state=True)
    if method == "predict":
        assert_array_equal(found, whole)
    else:
        assert_allclose(found, whole, **BATCH)
    assert_allclose(state, final, **BATCH)


def test_scores_go_on_from_a_state():
    u, labels = labelled()
    model = ESNClassifier(**HELD).fit(u, labels)
    _, state = model.predict(u[:150], return_state=True)
    right = np.mean(model.predict(u)[150:] == labels[150:])
    assert model.score(u[150:], labels[150:], initial_state=state) == right
    u, y = stream()
    model = ESNRegressor(**HELD).fit(u, y)
    _, state = model.predict(u[:150], return_state=True)
    errors = (model.predict(u)[150:] - y[150:]) ** 2
    found = model.score(u[150:], y[150:], initial_state=state)
    assert_allclose(found, 1 - errors.sum() / ((y[150:] - y[150:].mean()) ** 2).sum(), **BATCH)


def test_whole_sequences_are_decided_from_a_state():
    u, labels = labelled()
    X, y = list(u.reshape(10, 30, 1)), labels[::30]
    model = ESNClassifier(**HELD, pooling=None).fit(X, y)
    scores, state = model.decision_function(X, return_state=True)
    again = model.decision_function(X, initial_state=np.zeros((10, 30)))
    assert_allclose(scores, again, **BATCH)
    assert state.shape == (10, 30)


# ------------------------------------------------------------------------------------------------ true outputs


def wave(n=400):
    return np.sin(0.3 * np.arange(n)) + 0.5 * np.sin(0.52 * np.arange(n))


def generator_of_a_wave(n_learnt=300):
    y, nothing = wave(), np.ones((400, 1))
    model = ESNRegressor(
        100, feedback_scaling=0.5, bias_scaling=0.3, input_scaling=0.2, leak_rate=0.7, washout=50, alpha=1e-8,
        feedback_noise=1e-4, include_input=False, random_state=0,
    )  # fmt: skip
    return model.fit(nothing[:n_learnt], y[:n_learnt]), nothing, y


def test_a_net_primed_with_true_outputs_goes_on_with_the_series():
    model, nothing, y = generator_of_a_wave()
    _, state = model.predict(nothing[:300], teacher=y[:300], return_state=True)
    assert np.abs(model.predict(nothing[300:350], initial_state=state) - y[300:350]).max() < 0.05


def test_true_outputs_are_fed_back_in_the_place_of_the_nets_own():
    model, nothing, y = generator_of_a_wave()
    r, x, last, states = model.reservoir_, np.zeros(100), 0.0, []
    for value in y:
        z = r.W @ x + r.input_weights[:, 0] + r.feedback_weights[:, 0] * last + r.bias
        x, last = (1 - r.leak) * x + r.leak * np.tanh(z), value
        states.append(x)
    outputs, state = model.predict(nothing, teacher=y, return_state=True)
    assert_allclose(model.run(nothing, teacher=y), states, **BATCH)
    # A readout with coefficients of some thousands.
    assert_allclose(outputs, np.array(states) @ model.coef_ + model.intercept_, rtol=1e-8, atol=1e-8)
    assert_allclose(state[0], np.append(states[-1], y[-1]), **BATCH)


def test_priming_in_pieces_is_priming_at_once():
    model, nothing, y = generator_of_a_wave()
    _, whole = model.predict(nothing, teacher=y, return_state=True)
    _, half = model.predict(nothing[:130], teacher=y[:130], return_state=True)
    _, state = model.predict(nothing[130:], teacher=y[130:], initial_state=half, return_state=True)
    assert_allclose(state, whole, **BATCH)


def test_a_teacher_comes_in_the_form_of_the_targets():
    U, Y = zip(*[stream(60, seed) for seed in range(4)], strict=True)
    model = ESNRegressor(**HELD, feedback_scaling=0.5).fit(list(U), list(Y))
    by_list, state = model.predict(list(U), teacher=list(Y), return_state=True)
    by_lengths = model.predict(np.concatenate(U), teacher=np.concatenate(Y), lengths=[60] * 4)
    assert_allclose(np.concatenate(by_list), by_lengths, **BATCH)
    assert_array_equal(state[:, 30], [y[-1] for y in Y])
    u, labels = labelled()
    classifier = ESNClassifier(**HELD, feedback_scaling=0.5).fit(u, labels)
    _, state = classifier.predict(u, teacher=labels, return_state=True)
    assert_array_equal(state[0, 30:], classifier.classes_ == labels[-1])


def test_a_teacher_that_cannot_be_meant_is_refused():
    u, y = stream()
    model = ESNRegressor(**HELD, feedback_scaling=0.5).fit(u, y)
    with pytest.raises(ValueError, match=r"teacher.*300.*299"):
        model.predict(u, teacher=y[1:])
    with pytest.raises(ValueError, match=r"teacher must have the 1 outputs of y, got 2"):
        model.predict(u, teacher=np.column_stack([y, y]))
    with pytest.raises(ValueError, match="teacher"):
        model.run(u, teacher=np.full(300, np.nan))
    with pytest.raises(ValueError, match=r"teacher must be None.*feedback_scaling"):
        ESNRegressor(**HELD).fit(u, y).predict(u, teacher=y)
    classifier = ESNClassifier(**HELD, feedback_scaling=0.5).fit(*labelled())
    with pytest.raises(ValueError, match=r"teacher must hold labels out of classes.*'flat'"):
        classifier.predict(u, teacher=["flat"] * 300)


# ---------------------------------------------------------------------------------------- states that are refused

HOSTILE = {
    "narrow": np.zeros(29),
    "wide": np.zeros(31),
    "two-for-one": np.zeros((2, 30)),
    "none-for-one": np.zeros((0, 30)),
    "three axes": np.zeros((1, 1, 30)),
    "a number": 0.5,
    "nan": np.full(30, np.nan),
    "infinity": np.full((1, 30), np.inf),
    "complex": np.zeros(30, complex),
    "objects": np.array([None] * 30),
    "ragged": [[1.0], [1.0, 2.0]],
    "masked": np.ma.masked_equal(np.zeros(30), 0.0),
    "text": "first",
    "texts": ["a"] * 30,
}


def callers():
    u, y = stream(50)
    regressor, classifier = ESNRegressor(**HELD).fit(u, y), ESNClassifier(**HELD).fit(*labelled(50))
    yield "predict", lambda state: regressor.predict(u, initial_state=state)
    yield "score", lambda state: regressor.score(u, y, initial_state=state)
    yield "run", lambda state: regressor.run(u, initial_state=state)
    yield "partial_fit", lambda state: ESNRegressor(**HELD).partial_fit(u, y, initial_state=state)
    yield "predict_proba", lambda state: classifier.predict_proba(u, initial_state=state)
    yield "transformer", lambda state: ReservoirTransformer(**SMALL).fit(u).run(u, initial_state=state)
    yield "forecaster", lambda state: ESNForecaster(**SMALL, washout=5).fit(u).run(u, initial_state=state)


@pytest.mark.parametrize("state", HOSTILE.values(), ids=list(HOSTILE))
def test_states_that_cannot_be_meant_are_refused(state):
    for name, call in callers():
        with pytest.raises((ValueError, TypeError), match="initial_state must"):
            call(state)
            pytest.fail(f"{name} took it")


def test_a_state_beyond_the_precision_of_the_reservoir_is_refused():
    u, y = stream(50)
    model = ESNRegressor(**HELD, dtype=np.float32).fit(u, y)
    with pytest.raises(ValueError, match=r"initial_state must hold finite numbers of float32, got 30"):
        model.predict(u, initial_state=np.full(30, 1e300))


def test_a_refused_piece_leaves_the_stream_where_it_was():
    u, y = stream()
    model = ESNRegressor(**HELD).partial_fit(u[:100], y[:100])
    before = dict(vars(model))
    for wrong in ({"initial_state": np.zeros((2, 30))}, {"sample_weight": np.zeros(100)}):
        with pytest.raises(ValueError):
            model.partial_fit(u[100:200], y[100:200], **wrong)
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())
