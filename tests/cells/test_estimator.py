"""Trainings that end badly, interrupted, failed or not finite: they leave what was there, and say what happened."""

import copy
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import r2_score

from cells import CharRNN, RNNClassifier, RNNRegressor
from cells.estimators.estimator import NotFiniteWarning, WrongCurvatureWarning
from cells.train import train
from contracts import RECURRENT, every
from estimator_data import parts, rows
from optim import StopReason
from reservoir.estimators.estimator import all_or_nothing

pytestmark = pytest.mark.compiled  # trainings

TEXT = "the cat sat on the mat. " * 12
X, Y = rows(seed=3), rows(seed=3)[:, 0]
SEQUENCES = {"n_units": 4, "cell": "elman", "max_epochs": 6, "batch_size": 2, "random_state": 0}
FITS = {
    "regressor": (partial(RNNRegressor, **SEQUENCES), (parts(X), parts(Y))),
    "classifier": (partial(RNNClassifier, **SEQUENCES, early_stopping=True), (parts(X), parts(Y > 0))),
    "hessian-free": (partial(RNNRegressor, 3, cell="elman", solver="hf", max_epochs=4, random_state=0), (X, Y)),
    "language model": (
        partial(CharRNN, 4, n_steps=8, n_streams=4, max_epochs=3, validation_fraction=0.2, random_state=0),
        (TEXT,),
    ),
}
EVALUATIONS = [
    f"cells.objective.SequenceObjective.{name}" for name in ("value_and_grad", "value", "linearize")
] + [f"cells.truncated.TruncatedObjective.{name}" for name in ("window", "value")]  # fmt: skip


def at_evaluation(monkeypatch, number, act):
    """Call ``act`` inside the evaluation of this number, gradients, losses and linearisations counted alike."""
    n_made = [0]

    def counted(evaluate):
        def counting(self, *args, **kwargs):
            n_made[0] += 1
            if n_made[0] == number:
                act()
            return evaluate(self, *args, **kwargs)

        return counting

    for place in EVALUATIONS:
        owner, name = place.rsplit(".", 1)
        kind = getattr(sys.modules[owner.rsplit(".", 1)[0]], owner.rsplit(".", 1)[1])
        monkeypatch.setattr(kind, name, counted(getattr(kind, name)))
    return n_made


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def failure():
    raise ZeroDivisionError("on purpose")


def is_same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return is_same(vars(one), vars(other)) if hasattr(one, "method") else one == other


# --------------------------------------------------------------------------------------------------- left as it was


@every(FITS)
@pytest.mark.parametrize(("act", "kind"), [(ctrl_c, KeyboardInterrupt), (failure, ZeroDivisionError)])
def test_a_fit_that_does_not_end_leaves_all_as_it_was(case, act, kind, monkeypatch):
    make, data = case
    fitted, unfitted = make().fit(*data), make()
    if isinstance(fitted, CharRNN):
        data = ("the dog. " + TEXT,)
    else:
        fitted.set_params(warm_start=True)
        data = ([2.0 * part[:, :2] for part in parts(X)], parts(Y > 0.3))
    before = copy.deepcopy(vars(fitted))
    for number in (1, 2, 5, 8):
        for model, left in ((fitted, before), (unfitted, vars(make()))):
            with monkeypatch.context() as patch, pytest.raises(kind):
                at_evaluation(patch, number, act)
                model.fit(*data)
            assert is_same(vars(model), left)


def test_a_callback_that_fails_leaves_all_as_it_was():
    model = CharRNN(4, n_steps=8, n_streams=4, max_epochs=2, random_state=0).fit(TEXT)
    before = copy.deepcopy(vars(model))

    def fails(progress):
        if progress.iteration == 3:
            failure()

    with pytest.raises(ZeroDivisionError):
        model.fit("the dog. " + TEXT, callback=fails)
    assert is_same(vars(model), before)


@pytest.mark.parametrize(("act", "kind"), [(ctrl_c, KeyboardInterrupt), (failure, ZeroDivisionError)])
def test_a_piece_of_text_that_is_not_learnt_leaves_all_as_it_was(act, kind, monkeypatch):
    model = CharRNN(4, n_steps=8, n_streams=1, random_state=0).partial_fit(TEXT)
    before = copy.deepcopy(vars(model))
    with monkeypatch.context() as patch, pytest.raises(kind):
        at_evaluation(patch, 4, act)
        model.partial_fit(TEXT)
    assert is_same(vars(model), before)


def test_a_second_ctrl_c_does_not_keep_what_was_there_from_coming_back():
    class Estimator:
        theta_ = None

        @all_or_nothing
        def fit(self):
            self.theta_ = "half"
            failure()

    def at_update(frame, event, function):
        if event == "c_call" and function.__name__ == "update" and frame.f_code.co_name == "careful_fit":
            ctrl_c()

    model = Estimator()
    model.theta_ = "whole"
    sys.setprofile(at_update)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit()
    finally:
        sys.setprofile(None)
    assert model.theta_ == "whole"


# ------------------------------------------------------------------------------------------------------- going on


@every(FITS)
def test_after_ctrl_c_the_next_fit_goes_on_from_the_checkpoint(case, monkeypatch, tmp_path):
    make, data = case
    path = tmp_path / "fit.npz"
    whole = make().fit(*data)
    for number in (2, 5, 3):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match=r"next fit .*fit\.npz' goes on"):
            at_evaluation(patch, number, ctrl_c)
            make(checkpoint=path).fit(*data)
    went_on = make(checkpoint=path).fit(*data)
    assert_array_equal(went_on.theta_, whole.theta_)
    assert_array_equal(went_on.loss_curve_, whole.loss_curve_)
    assert is_same(went_on.validation_curve_, whole.validation_curve_)


@every(FITS)
def test_without_a_checkpoint_ctrl_c_says_how_to_have_one(case, monkeypatch):
    make, data = case
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match=r"as it was before; with checkpoint="):
        at_evaluation(patch, 2, ctrl_c)
        make().fit(*data)


@every(RECURRENT)
def test_a_checkpoint_is_gone_on_from_without_a_random_state(contract, tmp_path):
    path, data = tmp_path / "fit.npz", (parts(rows()), parts(contract.targets(rows())))
    choices = {"decay": None, "batch_size": 2, "early_stopping": True, "validation_fraction": 0.5}
    whole = contract.make(**choices).fit(*data)
    contract.make(**choices, random_state=None, checkpoint=path, max_epochs=7).fit(*data)
    went_on = contract.make(**choices, random_state=None, checkpoint=path).fit(*data)
    assert_array_equal(went_on.theta_, whole.theta_)
    assert_array_equal(went_on.loss_curve_, whole.loss_curve_)


CHILD = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
sys.path[:0] = sys.argv[1:3]
from test_estimator import FITS, TEXT, is_same

signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
make, data = FITS[sys.argv[3]]
path = Path(sys.argv[4])
whole = make().fit(*data)
started = time.perf_counter()
make().fit(*data)
span = time.perf_counter() - started
n_interrupts = n_told = 0
for moment in range(1, 13):
    path.unlink(missing_ok=True)
    model, is_done = make(checkpoint=path), False
    for attempt in range(200):
        unfitted = dict(vars(model))
        try:
            signal.setitimer(signal.ITIMER_REAL, span * moment * (1 + attempt / 5) / 12)
            model.fit(*data)
            signal.setitimer(signal.ITIMER_REAL, 0)
            is_done = True
            break
        except KeyboardInterrupt as interrupt:
            n_interrupts += 1
            n_told += "goes on from there" in str(interrupt)
            assert is_same(vars(model), unfitted) or hasattr(model, "theta_")
    assert is_done
    assert np.array_equal(model.theta_, whole.theta_) and np.array_equal(model.loss_curve_, whole.loss_curve_)
    assert is_same(model.validation_curve_, whole.validation_curve_)
assert n_told > 0, n_interrupts
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", FITS)
def test_ctrl_c_at_any_moment_costs_no_bit(name, tmp_path):
    here = Path(__file__).parent
    command = [sys.executable, "-c", CHILD, str(here), str(here.parent), name, str(tmp_path / "fit.npz")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr


# ----------------------------------------------------------------------------------------------- no longer finite


def test_a_loss_that_is_no_longer_finite_is_warned_of_and_the_parameters_stay_finite():
    model = RNNRegressor(4, cell="relu", solver="sgd", learning_rate=1e200, clip_norm=None, decay=None, random_state=0)
    with pytest.warns(NotFiniteWarning, match="infinite or NaN"):
        model.fit(X, Y)
    assert model.stop_reason_ == "not_finite"
    assert np.isfinite(model.theta_).all()


def test_parameters_that_the_last_step_makes_infinite_are_not_kept():
    model = RNNRegressor(
        4, solver="sgd", learning_rate=lambda t: 1e-9 if t < 3 else 1e308, clip_norm=None, standardize=False,
        batch_size=2, max_epochs=2, random_state=0,
    )  # fmt: skip
    with pytest.warns(NotFiniteWarning, match="infinite or NaN"):
        model.fit(parts(X), [1e3 * part for part in parts(Y)])
    assert model.n_iter_ == 4
    assert np.isfinite(model.theta_).all()
    assert np.isfinite(model.predict(X)).all()


def test_parameters_that_are_not_finite_are_named():
    model = RNNRegressor(4, max_epochs=1, random_state=0).fit(X, Y)
    model.theta_[3] = np.nan
    with pytest.raises(ValueError, match="theta must be finite"):
        model.predict(X)


@pytest.mark.parametrize(("of_X", "of_y"), [(1e300, 1.0), (1.0, 1e300), (1e-300, 1e-300)])
def test_numbers_near_the_ends_of_float64_are_learnt(of_X, of_y):
    model, like = RNNRegressor(4, max_epochs=5, random_state=0), RNNRegressor(4, max_epochs=5, random_state=0)
    found = model.fit(of_X * X, of_y * Y).predict(of_X * X)
    assert_allclose(found / of_y, like.fit(X, Y).predict(X), rtol=1e-6, atol=1e-9)


def test_a_first_step_that_is_not_finite_is_an_error():
    model = RNNRegressor(4, standardize=False, random_state=0)
    with pytest.raises(ValueError, match="X and y must keep the first step of training finite"):
        model.fit(X, 1e300 * Y)
    assert not hasattr(model, "theta_")


@every(RECURRENT)
@pytest.mark.parametrize("ask", ["predict", "run", "predict_proba", "decision_function", "score"])
def test_answers_that_are_not_finite_are_refused(contract, ask):
    model = contract.make(cell="relu").fit(X, contract.targets(X))
    if not hasattr(model, ask):
        return
    model.theta_ = 1e3 * np.abs(model.theta_)
    long = np.tile(np.abs(X), (3, 1))
    data = (long, contract.targets(long)) if ask == "score" else (long,)
    with pytest.raises(ValueError, match=r"X must keep .* finite in float64, got (inf|nan) in row"):
        getattr(model, ask)(*data)


def test_a_score_is_finite_or_refused():
    model = RNNRegressor(4, max_epochs=1, random_state=0).fit(X, Y)
    assert model.score(X, Y) == pytest.approx(r2_score(Y, model.predict(X)), rel=1e-12)
    with pytest.raises(ValueError, match=r"y must be of the size that it had in fit, got numbers up to .*e\+300"):
        model.score(X, 1e300 * Y)


def test_outputs_too_large_for_their_units_are_refused():
    model = RNNRegressor(4, max_epochs=1, random_state=0, dtype=np.float32).fit(X, 1e37 * Y)
    model.theta_ = 1e3 * model.theta_
    with pytest.raises(ValueError, match="X must keep the outputs in the units of y finite in float32"):
        model.predict(X)


@pytest.mark.parametrize("reason", ["NEGATIVE_CURVATURE", "NOT_SYMMETRIC", "NOT_DETERMINISTIC"])
def test_products_that_are_wrong_are_warned_of(reason, monkeypatch):
    reason = StopReason[reason]

    def stopped(*args, **choices):
        return replace(train(*args, **choices), reason=reason, message=reason.advice)

    monkeypatch.setattr("cells.estimators.supervised.train", stopped)
    with pytest.warns(WrongCurvatureWarning, match=r"training stopped after 2 steps: The "):
        RNNRegressor(3, cell="elman", solver="hf", max_epochs=2, random_state=0).fit(X, Y)


def test_new_targets_get_new_scales_where_a_warm_start_begins_anew():
    model = RNNRegressor(4, warm_start=True, random_state=0).fit(X, Y)
    kept = model.target_scale_
    model.fit(X, 1e6 * Y)
    assert_array_equal(model.target_scale_, kept)
    model.set_params(n_units=5).fit(X, 1e6 * Y)
    assert_array_equal(model.predict(X), RNNRegressor(5, random_state=0).fit(X, 1e6 * Y).predict(X))
