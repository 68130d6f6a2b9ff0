"""What an entry of y belongs to: said by ``targets`` or told by its shape; and which entries may be missing."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import AmbiguousTargetsWarning, RNNClassifier, RNNRegressor
from reservoir import ESNRegressor

pytestmark = pytest.mark.compiled  # trainings


def regressor(**choices):
    return RNNRegressor(4, cell="elman", max_epochs=choices.pop("max_epochs", 3), random_state=0, **choices)


def classifier(**choices):
    return RNNClassifier(4, cell="elman", max_epochs=choices.pop("max_epochs", 3), random_state=0, **choices)


def windows(n=300, T=5):
    """Windows of T rows, and T numbers a window that its last row tells."""
    X = np.random.default_rng(0).standard_normal((n, T, 1))
    return X, X[:, -1] * np.arange(1, T + 1)


# ------------------------------------------------------------------------------------------ windows and vectors


def test_a_vector_as_long_as_its_window_is_one_target_if_that_is_said():
    X, y = windows()
    model = regressor(targets="last", max_epochs=30).fit(X[:200], y[:200])
    assert (model.network_.targets, model.network_.n_out) == ("last", 5)
    assert model.predict(X[200:]).shape == (100, 5)
    assert model.score(X[200:], y[200:]) > 0.9


def test_what_shape_cannot_tell_is_warned_of_and_read_as_one_a_row():
    X, y = windows()
    with pytest.warns(AmbiguousTargetsWarning, match="5 numbers for each sequence of 5 rows.*targets='all'.*'last'"):
        model = regressor().fit(X, y)
    assert model.network_.targets == "all"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = regressor(targets="all").fit(X, y)
    assert_array_equal(said.theta_, model.theta_)


@pytest.mark.parametrize(
    "form", ["other length", "flat", "column", "one sequence", "lengths", "unequal", "one a sequence"]
)
def test_what_shape_tells_is_not_warned_of(form):
    X, y = windows()
    by_form = {
        "other length": (X, y[:, :4], {}),
        "flat": (X, y.ravel(), {}),
        "column": (X, y[..., None], {}),
        "one sequence": (X[:1], y[:1], {}),
        "lengths": (X.reshape(-1, 1), y.ravel(), {"lengths": [5] * 300}),
        "unequal": ([X[0], X[1, :3]], [y[0], y[1, :3]], {}),
        "one a sequence": (X, y[:, 0], {}),
    }
    X, y, sequences = by_form[form]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regressor().fit(X, y, **sequences)


def test_targets_of_sequences_may_stand_on_every_row():
    X, y = windows(20)
    flat, ids = X.reshape(-1, 1), np.repeat(np.arange(20.0), 5)
    model = regressor(targets="last").fit(X, y)
    by_column = regressor(targets="last", sequence_column=0).fit(np.column_stack([ids, flat]), np.repeat(y, 5, axis=0))
    assert_array_equal(by_column.theta_, model.theta_)
    with pytest.raises(ValueError, match=r"y must have one entry a sequence .*got different ones"):
        regressor(targets="last").fit(flat, flat[:, 0], lengths=[5] * 20)


def test_targets_of_rows_are_not_one_a_sequence():
    X, y = windows(20)
    for model, entries in ((regressor, y[:, 0]), (regressor, y[:, :4]), (classifier, np.arange(20) % 2)):
        with pytest.raises(ValueError, match=r"y must have one entry a row of X \(100\), got one a sequence \(20\)"):
            model(targets="all").fit(X, entries)


# -------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("T", [3, 6])
def test_one_hot_rows_are_refused_with_what_to_give_instead(T):
    X = np.random.default_rng(0).standard_normal((40, T, 3))
    number = X[:, -1].argmax(axis=1)
    for one_hot in (np.eye(3, dtype=int)[number], np.eye(3)[number]):
        with pytest.raises(ValueError, match=r"y must hold .*y.argmax"):
            classifier().fit(X, one_hot)
        with pytest.raises(ValueError, match="y must h"):
            classifier(targets="last").fit(X, one_hot)
    assert classifier().fit(X, number).decides_sequences_


def test_one_event_a_sequence_is_a_label_a_row_if_that_is_said():
    X = np.random.default_rng(0).standard_normal((40, 3, 3))
    model = classifier(targets="all").fit(X, np.eye(3, dtype=int)[X[:, -1].argmax(axis=1)])
    assert not model.decides_sequences_ and model.classes_.tolist() == [0, 1]


def test_labels_that_repeat_on_every_row_are_one_a_row_if_that_is_said():
    X = np.column_stack([np.repeat([0.0, 1.0], 5), np.arange(10.0)])
    y = np.repeat(["a", "b"], 5)
    assert classifier(sequence_column=0).fit(X, y).decides_sequences_
    assert not classifier(sequence_column=0, targets="all").fit(X, y).decides_sequences_
    assert classifier(targets="last").fit([X[:5], X[5:]], [y[:5], y[5:]]).decides_sequences_


# ------------------------------------------------------------------------------------------------ what is missing


def holes(*shape):
    return np.random.default_rng(1).random(shape) < 0.3


@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e300, -1.0])
def test_targets_without_weight_may_be_anything(filler):
    X, missing = np.random.default_rng(0).standard_normal((20, 10, 2)), holes(20, 10)
    weights = (~missing).astype(float)
    y = np.cumsum(X, axis=1)
    expected = regressor().fit(X, np.where(missing[..., None], 0.5, y), weights)
    found = regressor().fit(X, np.where(missing[..., None], filler, y), weights)
    assert_array_equal(found.predict(X), expected.predict(X))
    assert_allclose(found.score(X, np.where(missing[..., None], filler, y), weights), expected.score(X, y, weights))


def test_sequences_without_weight_need_no_target():
    X, y = windows(20)
    y = y[:, 0].copy()
    weights = np.arange(20) % 3 > 0
    expected = regressor().fit(X, y, weights.astype(float))
    y[~weights] = np.nan
    assert_array_equal(regressor().fit(X, y, weights.astype(float)).theta_, expected.theta_)


def test_labels_without_weight_may_be_missing_and_are_no_class():
    X, missing = np.random.default_rng(0).standard_normal((20, 10, 2)), holes(20, 10)
    y = np.where(missing, np.nan, (X[..., 0] > 0).astype(float))
    assert classifier().fit(X, y, (~missing).astype(float)).classes_.tolist() == [0.0, 1.0]


def test_a_reservoir_may_be_fed_targets_without_weight_and_needs_them():
    X, y = np.random.default_rng(0).standard_normal((2, 50, 1))
    weights = np.ones(50)
    weights[20], unlike, missing = 0.0, y.copy(), y.copy()
    unlike[20], missing[20] = 5.0, np.nan
    one, other = (ESNRegressor(20, feedback_scaling=0.5, random_state=0).fit(X, t, weights).coef_ for t in (y, unlike))
    assert not np.allclose(one, other)
    with pytest.raises(ValueError, match="y"):
        ESNRegressor(20, feedback_scaling=0.5, random_state=0).fit(X, missing, weights)


def test_targets_that_count_must_be_there():
    X, y = windows(20)
    y = y[..., None].copy()
    weights = np.ones((20, 5))
    weights[3, 2], y[3, 2], y[4, 2] = 0.0, np.nan, np.nan
    with pytest.raises(ValueError, match="y"):
        regressor().fit(X, y, weights)


# ---------------------------------------------------------------------------------------------------- precision


@pytest.mark.slow
def test_many_rows_far_from_zero_are_learnt_in_single_precision_too():
    rng = np.random.default_rng(0)
    a = rng.normal(size=500_000)
    X, y = np.column_stack([1000 + a, rng.normal(size=a.size)]), a * np.roll(a, 1)
    scores = []
    for dtype in (np.float64, np.float32):
        data, targets = X.astype(dtype).reshape(-1, 500, 2), y.astype(dtype).reshape(-1, 500)
        model = RNNRegressor(8, cell="gru", max_epochs=3, random_state=0, targets="all").fit(data, targets)
        assert_allclose(model.input_shift_[0], 1000, atol=0.01)
        scores.append(model.score(data[:200], targets[:200]))
    assert scores[0] > 0.35 and abs(scores[1] - scores[0]) < 0.05


def test_a_score_is_summed_in_double_precision():
    X = np.zeros((200_000, 1), np.float32)
    y = (1000 + np.random.default_rng(0).standard_normal(len(X))).astype(np.float32)
    model = regressor(max_epochs=1).fit(X[:1000], y[:1000], lengths=[10] * 100)
    p = model.predict(X).astype(float)
    exact = 1 - ((y - p) ** 2).sum() / ((y - y.mean(dtype=float)) ** 2).sum()
    # Predictions of 1000 are rounded to 24 bits, an error of some 1e-5 of the deviation each, of either sign.
    assert_allclose(model.score(X, y), exact, atol=1e-7)
