"""The penalty chosen by free runs: against loops by hand, and what it must choose."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive.free_runs import errors_of_free_runs
from reservoir import ESNForecaster, FreeRunDivergedWarning, IllConditionedWarning
from reservoir.drive.routes import drive
from reservoir.estimators.training import take_sums
from reservoir.forecasting import free_run_penalty
from reservoir.forecasting.free_run_penalty import CANDIDATES, HORIZON, N_THIRDS, Judge, starts
from reservoir.readout.ridge import total_of
from reservoir.readout.tsqr import TriangularFactor

SMALL = {"n_units": 25, "in_degree": 5, "random_state": 0}


def noisy(n, noise, seed=0):
    return np.sin(0.3 * np.arange(n))[:, None] + noise * np.random.default_rng(seed).normal(size=(n, 1))


@pytest.fixture
def judge(monkeypatch):
    """The judge of a fit to two series with exog, of one with 120 rows and one with ``n``."""

    def of(n, **settings):
        kept = []
        train = Judge.train
        monkeypatch.setattr(Judge, "train", lambda self, *args: kept.append(self) or train(self, *args))
        e = np.random.default_rng(1).normal(size=(n + 120, 1))
        X = noisy(n + 120, 0.1) + 0.2 * e
        ESNForecaster(**SMALL, **settings).fit([X[:n], X[n:]], exog=[e[:n], e[n:]])
        return kept[0]

    return of


@pytest.mark.parametrize("n", [20, 300])
def test_places_are_within_a_series_and_their_states_those_of_the_whole_run(judge, n):
    j = judge(n)
    n_rows = len(j.task.rows)
    places, horizons = starts(j.task.offsets, 5, n_rows, 7, HORIZON)
    ends = j.task.offsets[np.searchsorted(j.task.offsets, places, side="right")]
    assert len(places) > 3 and (places + horizons <= ends).all() and (horizons > 0).all()
    states = drive(j.reservoir, replace(j.task, watch=None), wants_states=True).states
    assert_allclose(j._states_before(places), states[places - 1], atol=1e-12)


def test_errors_of_free_runs_are_those_by_hand(judge):
    j = judge(60, guard=None)
    rng = np.random.default_rng(0)
    coef, intercept = 0.1 * rng.normal(size=(3, 1, 27)), rng.normal(size=(3, 1))
    places, horizons = np.array([10, 50]), np.array([5, 3])
    found = j._free_errors(coef, intercept, j._states_before(places), places, horizons)
    for a in range(3):
        for i, (place, horizon) in enumerate(zip(places, horizons, strict=True)):
            rows = j.task.rows[place : place + horizon].copy()
            rows[:, 0] = 0
            start = np.concatenate([j._states_before(places)[i], j.task.rows[place, :1]])[None]
            task = replace(
                j.task, rows=rows, offsets=np.array([0, horizon]), initial=start, targets=None, weights=None, watch=None
            )
            outputs = drive(j.reservoir, task, coef=coef[a], intercept=intercept[a], fed=0).outputs
            right = np.mean((outputs - j.task.targets[place : place + horizon]) ** 2)
            assert_allclose(found[a, i], right, rtol=1e-8)


def test_step_errors_from_sums_are_those_of_the_rows(judge):
    j = judge(300)
    kept, best = [], free_run_penalty._best
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(free_run_penalty, "_best", lambda single, free: kept.append(single) or best(single, free))
        j.train("qr", np.empty((2, 25)))
    *rest, _ = take_sums(j.reservoir, replace(j.task, watch=None), TriangularFactor, N_THIRDS)
    centred = total_of(rest).centred()
    right = []
    for readout in (centred.solve(float(alpha)) for alpha in CANDIDATES[::2]):
        rows = slice(len(j.task.rows) * 2 // 3, None)
        outputs = drive(
            j.reservoir, replace(j.task, watch=None), coef=readout.coef, intercept=readout.intercept
        ).outputs
        right.append(np.sum((j.task.weights[:, None] * (outputs - j.task.targets) ** 2)[rows]))
    assert_allclose(kept[0], right, rtol=1e-6)


def test_states_that_outweigh_every_penalty_are_warned_of():
    with pytest.warns(IllConditionedWarning):
        model = ESNForecaster(**SMALL, activation="identity", spectral_radius=2.0).fit(noisy(300, 0.1))
    assert model.alpha_ == CANDIDATES[-2] and model.residuals_ is None
    with pytest.warns(FreeRunDivergedWarning):
        assert np.isfinite(model.forecast(5)).all()


@pytest.mark.parametrize("n", [60, 600])
def test_noise_asks_for_a_penalty_and_its_absence_for_none(n):
    alphas = [ESNForecaster(**SMALL).fit(noisy(n, noise)).alpha_ for noise in (0.0, 0.01, 0.5)]
    assert set(alphas) <= set(CANDIDATES.tolist())
    assert alphas[0] <= 1e-7 and alphas[0] < alphas[2]


@pytest.mark.parametrize("solver", ["auto", "gram", "qr"])
@pytest.mark.parametrize("n", [60, 600])
def test_the_readout_is_that_of_the_chosen_penalty(solver, n):
    X = noisy(n, 0.3)
    chosen = ESNForecaster(**SMALL, solver=solver).fit(X)
    given = ESNForecaster(**SMALL, solver=solver, alpha=chosen.alpha_).fit(X)
    assert_allclose(chosen.coef_, given.coef_, rtol=1e-6, atol=1e-9)
    assert_array_equal(chosen.state_, given.state_)
    assert given.residuals_ is None


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("n", [50, 600])
def test_residuals_are_errors_of_free_runs_over_rows_that_were_not_learnt(n, lag):
    X = np.column_stack([noisy(n, 0.3), noisy(n, 0.2, 1)])
    model = ESNForecaster(**SMALL, guard=None, difference=lag or None).fit(X)
    z = (X[lag:] - (X[:-lag] if lag else 0) - model.transform_.mean) / model.transform_.scale
    rows = np.arange(min(100, (len(z) - 1) // 10), len(z) - 1)  # without those of the washout
    if n == 50:
        places = np.unique(np.linspace(rows[len(rows) // 2], rows[-1], 12).astype(int))
        known = [rows[rows < places[3 * (i // 3)]] for i in range(len(places))]
    else:
        begin = (len(z) - 1) * 2 // 3
        places = np.unique(np.linspace(begin, rows[-1], 12).astype(int))
        known = [rows[rows < begin]] * len(places)
    net = model.reservoir_
    W = net.W.to_csr() if hasattr(net.W, "to_csr") else net.W
    runs = errors_of_free_runs(
        z, places, known, 100, model.alpha_, lag, W, net.input_weights, net.bias, model.leak_rate
    )  # fmt: skip
    for k in range(model.residuals_.shape[1]):
        reach = [i for i, run in enumerate(runs) if len(run) > k]
        right = np.zeros((len(runs), 2))
        right[reach] = [model.transform_.scale * runs[i][k] * np.sqrt(len(runs) / len(reach)) for i in reach]
        assert_allclose(model.residuals_[:, k], right, rtol=1e-5, atol=1e-7)
    assert model.residuals_.shape[1] == sorted(map(len, runs))[-3]  # three still run at the last step


@pytest.mark.parametrize("alpha", ["best", "gcv"])
def test_another_word_is_refused(alpha):
    with pytest.raises((TypeError, ValueError), match="alpha"):
        ESNForecaster(**SMALL, alpha=alpha).fit(noisy(50, 0.1))


def test_free_runs_that_nothing_holds_are_judged_without_a_word():
    x = np.cumsum(np.random.default_rng(0).normal(size=(150, 1)), axis=0)
    assert ESNForecaster(300, activation="relu", guard=None, random_state=0).fit(x).alpha_ > 1e-11


def test_sequences_of_a_single_pair_are_enough():
    X = [noisy(2, 0.1), noisy(2, 0.1, 1)]
    assert np.isfinite(ESNForecaster(**SMALL).fit(X).forecast(2)[1]).all()
