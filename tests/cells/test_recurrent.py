"""Recurrent estimators keep what every estimator keeps: scikit-learn's checks, whole sequences, exact round trips."""

import copy
import io
import pickle

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from cells import LSTM, RNNClassifier, RNNRegressor, load
from contracts import RECURRENT, every
from estimator_data import LENGTHS, SAME_NUMBERS, flat, forms, parts, rows, spoilt, with_ids
from optim import Adam
from scikit_learn_checks import PIPELINES_FIT_THEIR_STEPS, NumberRows, clashes_with_sequences

pytestmark = pytest.mark.compiled  # trainings: minutes with the JIT switched off

# Twenty steps of Adam divide by the roots of squares, and amplify what summing in another order rounds.
STEPS = {"rtol": 1e-7, "atol": 1e-7}


@pytest.fixture(scope="module")
def models():
    """The estimators fitted to the same four sequences."""
    X = rows()
    return {contract: contract.make().fit(parts(X), parts(contract.targets(X))) for contract in RECURRENT.values()}


# -------------------------------------------------------------------------------------- scikit-learn's checks


@parametrize_with_checks(
    [RNNRegressor(8, random_state=0), RNNClassifier(8, random_state=0)], expected_failed_checks=clashes_with_sequences
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [
        make_pipeline(NumberRows(), RNNRegressor(8, cell="elman", random_state=0, sequence_column=0)),
        make_pipeline(NumberRows(), RNNClassifier(8, cell="elman", random_state=0, sequence_column=0)),
    ],
    expected_failed_checks=lambda pipeline: PIPELINES_FIT_THEIR_STEPS,
)
def test_scikit_learn_check_when_every_row_is_a_sequence(estimator, check):
    check(estimator)


@every(RECURRENT)
def test_a_weight_is_a_repetition_when_every_row_is_a_sequence(contract):
    X = rows(40)
    y = contract.targets(X)
    times = np.random.default_rng(1).integers(0, 3, len(X))
    weighted = contract.make(batch_size=200).fit(X, y, sample_weight=times, lengths=np.ones(len(X), int))
    repeated = contract.make(batch_size=200)
    repeated.fit(X.repeat(times, axis=0), y.repeat(times), lengths=np.ones(times.sum(), int))
    assert_allclose(contract.answer(weighted, X), contract.answer(repeated, X), **STEPS)


# --------------------------------------------------------------------------------------- sequences never leak


@every(RECURRENT)
def test_every_form_of_the_data_fits_the_same_model(contract, models):
    X = rows()
    for form, parameters, data, sequences in forms(contract, X, contract.targets(X), LENGTHS):
        model = contract.make(**parameters).fit(*data, **sequences)
        assert_array_equal(model.theta_, models[contract].theta_, err_msg=form)
        one = with_ids(X[-60:], (60,)) if parameters else X[-60:]
        assert_array_equal(contract.answer(model, one), contract.answer(models[contract], X[-60:]), err_msg=form)


@every(RECURRENT)
def test_every_form_of_the_data_gets_the_same_answer(contract, models):
    expected = np.concatenate([contract.answer(models[contract], part) for part in parts(rows())])
    for form, parameters, data, sequences in forms(contract, rows(), None, LENGTHS):
        if not parameters:
            assert_array_equal(flat(contract.answer(models[contract], *data, **sequences)), expected, err_msg=form)
    stack = rows(60).reshape(4, 15, 3)
    assert_array_equal(
        contract.answer(models[contract], stack), np.stack(contract.answer(models[contract], list(stack)))
    )


@every(RECURRENT)
@settings(max_examples=200)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 2**32 - 1))
def test_a_batch_is_a_loop_over_its_members_in_any_order(contract, models, lengths, seed):
    sequences = parts(rows(sum(lengths), seed=seed), lengths)
    order = np.random.default_rng(seed).permutation(len(lengths))
    batch = contract.answer(models[contract], sequences)
    permuted = contract.answer(models[contract], [sequences[i] for i in order])
    assert [len(answer) for answer in batch] == lengths
    for i, place in enumerate(np.argsort(order)):
        assert_array_equal(batch[i], contract.answer(models[contract], sequences[i]))
        assert_array_equal(permuted[place], batch[i])


@every(RECURRENT)
def test_the_answer_does_not_depend_on_rows_to_come(contract, models):
    whole = contract.answer(models[contract], rows())
    assert_array_equal(contract.answer(models[contract], rows()[:50]), whole[:50])
    both = contract.make(bidirectional=True).fit(*contract.arguments(rows()))
    assert not np.allclose(contract.answer(both, rows()[:50]), contract.answer(both, rows())[:50], rtol=1e-6)


ANSWERS = {"numbers": ("predict",), "labels": ("predict", "predict_proba", "decision_function")}


@every(RECURRENT)
def test_a_state_handed_over_continues_the_sequence(contract, models):
    X, y = rows(), contract.targets(rows())
    for name in ANSWERS[contract.target]:
        answer = getattr(models[contract], name)
        head, state = answer(X[:70], return_state=True)
        tail, last = answer(X[70:], initial_state=state, return_state=True)
        assert_array_equal(np.concatenate([head, tail]), answer(X))
        assert_array_equal(last, answer(X, return_state=True)[1])
        assert not np.array_equal(answer(X[70:72]), answer(X)[70:72]) or name == "predict"
    assert models[contract].score(X[70:], y[70:], initial_state=state) != models[contract].score(X[70:], y[70:])
    assert_array_equal(models[contract].run(X[70:], initial_state=state), models[contract].run(X)[70:])


@every(RECURRENT)
def test_states_of_several_sequences_are_handed_over_in_every_form(contract, models):
    model, stack = models[contract], rows(60).reshape(4, 15, 3)
    whole = contract.answer(model, stack)
    _, state = contract.answer(model, stack[:, :9], return_state=True)
    assert_array_equal(contract.answer(model, stack[:, 9:], initial_state=state), whole[:, 9:])
    ends, expected = list(stack[:, 9:]), np.concatenate(list(whole[:, 9:]))
    assert_array_equal(flat(contract.answer(model, ends, initial_state=state)), expected)
    assert_array_equal(contract.answer(model, flat(ends), lengths=[6] * 4, initial_state=state), expected)


@every(RECURRENT)
def test_one_answer_a_sequence_in_every_form(contract):
    X = rows()
    numbers = np.array([part[-1, 0] for part in parts(X)])
    y = numbers if contract.target == "numbers" else np.where(numbers > 0, "up", "down")
    model = contract.make().fit(parts(X), y)
    assert model.network_.targets == "last"
    assert model.predict(parts(X)).shape == (4,)
    by_lengths = contract.make().fit(X, y, lengths=LENGTHS)
    assert_array_equal(by_lengths.predict(X, lengths=LENGTHS), model.predict(parts(X)))
    assert_array_equal(model.predict(parts(X)[0]), np.repeat(model.predict(parts(X)[:1]), LENGTHS[0]))
    assert model.score(parts(X), y) == model.score(X, y, lengths=LENGTHS)
    if contract.target == "labels":
        by_column = contract.make(sequence_column=0).fit(with_ids(X), np.repeat(y, LENGTHS))
        assert by_column.decides_sequences_
        assert_array_equal(by_column.theta_, model.theta_)
        with pytest.raises(ValueError, match="one entry a sequence"):
            model.score(parts(X), [np.where(part[:, 0] > 0, "up", "down") for part in parts(X)])


# --------------------------------------------------------------------------------------- scikit-learn's tools


@every(RECURRENT)
def test_cross_validation_sees_the_sequences(contract):
    lengths = (20,) * 6
    X = with_ids(rows(120), lengths)
    y = contract.targets(rows(120))
    folds = list(GroupKFold(3).split(X, groups=X[:, 0]))
    found = cross_val_predict(contract.make(sequence_column=0), X, y, cv=folds)
    for train, test in folds:
        model = contract.make(targets="all").fit(parts(X[train, 1:], (20,) * 4), parts(y[train], (20,) * 4))
        assert_array_equal(found[test], np.concatenate(model.predict(parts(X[test, 1:], (20,) * 2))))
    search = GridSearchCV(contract.make(sequence_column=0), {"n_units": [2, 4]}, cv=folds).fit(X, y)
    assert search.best_params_["n_units"] in (2, 4)


@every(RECURRENT)
def test_a_scaler_and_column_names_fit_in(contract):
    X = rows()
    frame = pd.DataFrame(with_ids(X), columns=["id", "a", "b", "c"])
    y = contract.targets(X)
    named = contract.make(sequence_column="id").fit(frame, y)
    by_list = contract.make().fit(parts(X), parts(y))
    assert_array_equal(contract.answer(named, frame), flat(contract.answer(by_list, parts(X))))
    assert list(named.feature_names_in_) == ["id", "a", "b", "c"]
    pipeline = make_pipeline(StandardScaler(), contract.make(sequence_column=0)).fit(with_ids(X), y)
    assert contract.answer(pipeline, with_ids(X)).shape == contract.answer(named, frame).shape


# ------------------------------------------------------------------------------------------------ round trips


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(io.BytesIO(file.getvalue()))


@pytest.fixture
def through_a_file_without_code(tmp_path):
    def trip(model):
        path = tmp_path / "model.npz"
        model.save(path)
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype.kind != "O" for name in arrays.files)
        return load(path)

    return trip


@every(RECURRENT)
def test_a_round_trip_answers_the_same_bits(contract, models, through_a_file_without_code):
    model = models[contract]
    trips = (
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: pickle.loads(cloudpickle.dumps(model)),
        *(through_joblib, through_a_file_without_code),
        lambda model: clone(model).fit(parts(rows()), parts(contract.targets(rows()))),
    )
    for trip in trips:
        returned = trip(model)
        assert type(returned) is type(model)
        assert_array_equal(contract.answer(returned, rows(seed=1)), contract.answer(model, rows(seed=1)))
        assert repr(returned.get_params()) == repr(model.get_params())
    again = through_a_file_without_code(model).fit(parts(rows()), parts(contract.targets(rows())))
    assert_array_equal(again.theta_, model.theta_)


@every(RECURRENT)
def test_an_unfitted_model_neither_answers_nor_is_saved(contract, tmp_path):
    for refused in (
        lambda model: contract.answer(model, rows()),
        lambda model: model.run(rows()),
        lambda model: model.save(tmp_path / "model.npz"),
    ):
        with pytest.raises(NotFittedError):
            refused(contract.make())


def test_a_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="path must be"):
        load(tmp_path / "other.npz")


# ----------------------------------------------------------------------------------------------- inputs, threads


@every(RECURRENT)
@pytest.mark.parametrize("kind", SAME_NUMBERS.values(), ids=list(SAME_NUMBERS))
def test_the_layout_of_an_array_does_not_matter(contract, kind):
    arguments = [array if array.dtype.kind == "U" else kind(array.copy()) for array in contract.arguments(rows())]
    expected = contract.make().fit(*contract.arguments(rows()))
    assert_array_equal(contract.make().fit(*arguments).theta_, expected.theta_)


@every(RECURRENT)
def test_the_callers_arrays_are_not_written_to(contract):
    X = rows()
    arguments = contract.arguments(X)
    before = copy.deepcopy(arguments)
    model = contract.make().fit(*arguments)
    contract.answer(model, X)
    for one, other in zip(arguments, before, strict=True):
        assert_array_equal(one, other)


@every(RECURRENT)
def test_single_precision_stays_and_is_near_double(contract):
    X, y = rows().astype(np.float32), contract.targets(rows())
    single, double = contract.make().fit(X, y), contract.make().fit(X.astype(np.float64), y)
    assert single.theta_.dtype == np.float32
    assert contract.make(dtype=np.float64).fit(X, y).theta_.dtype == np.float64
    # 20 steps of Adam, each of which may double what rounding made: 1e-7 becomes at most some 1e-2
    assert_allclose(contract.answer(single, X), contract.answer(double, X.astype(np.float64)), rtol=0.02, atol=0.02)


@every(RECURRENT)
def test_threads_do_not_change_a_bit(contract):
    X = rows(400)
    y = contract.targets(X)
    one, two = (contract.make(n_jobs=n_jobs).fit(X, y, lengths=(5,) * 80) for n_jobs in (1, 2))
    assert_array_equal(one.theta_, two.theta_)


# ------------------------------------------------------------------------------------------------------ training


def test_a_delayed_product_is_learnt():
    u = np.random.default_rng(0).uniform(-1, 1, (2000, 1))
    y = np.roll(u[:, 0], 2) * np.roll(u[:, 0], 1)
    model = RNNRegressor(16, random_state=0).fit(u[:1500], y[:1500], lengths=[50] * 30)
    assert model.score(u[1500:], y[1500:]) > 0.8


@pytest.mark.parametrize("solver", ["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "hf", Adam(0.01)])
def test_every_solver_lowers_the_loss(solver):
    X = rows()
    y = np.roll(X[:, 0], 1)
    model = RNNRegressor(6, cell="elman", solver=solver, max_epochs=15, random_state=0).fit(X, y)
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]
    assert len(model.trace_["loss"]) == len(model.loss_curve_) == model.n_iter_


def test_settings_of_the_hessian_free_optimiser_arrive():
    X = rows(60).reshape(6, 10, 3)
    y = np.roll(X[:, :, :1], 1, axis=1)
    options = {"damping": 7.0, "cg": 2}
    model = RNNRegressor(4, cell="elman", solver="hf", hf_options=options, batch_size=3, max_epochs=1, random_state=0)
    model.fit(X, y)
    assert model.trace_["damping"][0] == 7.0


@pytest.mark.parametrize("cell", ["gru", "multiplicative", lambda n_in, n_units: LSTM(n_in, n_units, is_coupled=True)])
def test_other_cells_and_deep_networks_learn(cell):
    X = rows()
    model = RNNClassifier(6, cell=cell, n_layers=2, bidirectional=True, max_epochs=30, random_state=0)
    assert model.fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0) > 0.8


@every(RECURRENT)
@pytest.mark.parametrize("lengths", [LENGTHS, (200,)])
def test_early_stopping_keeps_the_best_on_what_is_held_out(contract, lengths):
    X = rows()
    model = contract.make(early_stopping=True, patience=3, max_epochs=400, learning_rate=0.05, validation_fraction=0.3)
    model.fit(parts(X, lengths), parts(contract.targets(X), lengths))
    losses = model.validation_curve_["loss"]
    assert len(losses) < 400 and len(losses) - 1 - losses.argmin() == 3
    assert model.stop_reason_ == "early_stopping"


@every(RECURRENT)
def test_a_warm_start_goes_on(contract):
    X = rows()
    model = contract.make(warm_start=True).fit(*contract.arguments(X))
    first = model.loss_curve_[-1]
    model.fit(*contract.arguments(X))
    assert model.loss_curve_[0] <= first * 1.001
    cold = contract.make().fit(*contract.arguments(X)).fit(*contract.arguments(X))
    assert_array_equal(cold.theta_, contract.make().fit(*contract.arguments(X)).theta_)


@every(RECURRENT)
def test_units_of_the_data_do_not_matter(contract):
    X = rows()
    y = contract.targets(X)
    other = 1000.0 * y + 5e5 if contract.target == "numbers" else y
    one, two = contract.make().fit(X, y), contract.make().fit(1e4 * X - 3e5, other)
    expected = contract.answer(one, X)
    expected = 1000.0 * expected + 5e5 if contract.target == "numbers" else expected
    assert_allclose(contract.answer(two, 1e4 * X - 3e5), expected, rtol=1e-5)


@every(RECURRENT)
def test_fit_goes_on_from_its_checkpoint(contract, tmp_path):
    path = tmp_path / "fit.npz"
    arguments = contract.arguments(rows())
    whole = contract.make(decay=None).fit(*arguments)
    contract.make(decay=None, max_epochs=7, checkpoint=path).fit(*arguments)
    assert_array_equal(contract.make(decay=None, checkpoint=path).fit(*arguments).theta_, whole.theta_)


@every(RECURRENT)
def test_a_checkpoint_of_other_data_or_settings_is_refused_by_name(contract, tmp_path):
    settings = {"checkpoint": tmp_path / "fit.npz", "max_epochs": 3, "random_state": None}
    contract.make(**settings).fit(*contract.arguments(rows()))
    contract.make(**settings).fit(*contract.arguments(rows()))
    for changes, X, name in (
        ({}, rows(seed=1), "objective.inputs was"),
        ({"learning_rate": 0.3}, rows(), "method.learning_rate"),
        ({"n_units": 9}, rows(), "with .* parameters"),
    ):
        with pytest.raises(ValueError, match=rf"fit\.npz.*{name}|{name}.*fit\.npz"):
            contract.make(**settings | changes).fit(*contract.arguments(X))


# ---------------------------------------------------------------------------------------------------- bad input


@every(RECURRENT)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_and_leaves_no_trace(contract, value):
    model = contract.make()
    with pytest.raises(ValueError, match="X"):
        model.fit(spoilt(value), *contract.arguments(rows())[1:])
    assert not hasattr(model, "theta_") and not hasattr(model, "n_features_in_")


@every(RECURRENT)
def test_lengths_and_weights_that_cannot_be_meant_are_refused(contract):
    X, y = contract.arguments(rows())
    refusals = {
        "lengths": ({}, {"lengths": [100, 101]}),
        "sample_weight": ({}, {"sample_weight": np.zeros(200)}),
    }
    for message, (parameters, sequences) in refusals.items():
        with pytest.raises(ValueError, match=message):
            contract.make(**parameters).fit(X, y, **sequences)
    with pytest.raises(ValueError, match="hold out"):
        contract.make(early_stopping=True).fit(X[:1], y[:1])


@every(RECURRENT)
def test_a_state_that_does_not_fit_is_refused(contract, models):
    with pytest.raises(ValueError, match="initial_state"):
        contract.answer(models[contract], rows(), initial_state=np.zeros(3))
    both = contract.make(bidirectional=True).fit(*contract.arguments(rows()))
    with pytest.raises(NotImplementedError, match="initial_state"):
        contract.answer(both, rows(), initial_state=np.zeros(16))
    with pytest.raises(NotImplementedError, match="return_state"):
        contract.answer(both, rows(), return_state=True)
