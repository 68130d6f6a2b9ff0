"""Ridge regression by conjugate gradients on the data: the dense answer, in little memory, for all that fits ask."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive import readout as naive
from reservoir import ESNClassifier, ESNForecaster, ESNRegressor
from reservoir.alarms import IllConditionedWarning
from reservoir.drive.task import Task
from reservoir.drive.weights import build_reservoir
from reservoir.estimators.training import train
from reservoir.readout import conjugate
from reservoir.readout.conjugate import TOLERANCE, ridge_by_cg
from reservoir.readout.gram import Gram

# The condition is below 1e5 in these examples, and what is left of the residual is multiplied by its root at most.
NEAR = {"rtol": 1e-7, "atol": 1e-7}
K, O = 24, 2


class Looks:
    """Data in tiles, and how often they were looked at."""

    def __init__(self, n=120, n_folds=1, seed=0, scale=1.0, offset=0.0, n_threads=1):
        rng = np.random.default_rng(seed)
        self.features = rng.standard_normal((n, K)) * np.geomspace(3.0, 0.03, K) + offset
        self.targets = self.features @ rng.standard_normal((K, O)) + rng.standard_normal((n, O))
        self.targets *= [1.0, scale]
        self.weights = rng.uniform(0.2, 2.0, n)
        self.shift = np.concatenate([np.zeros(K), self.targets.mean(axis=0)])
        self.breaks = n * np.arange(n_folds + 1) // n_folds
        self.n_looks, self.n_threads = 0, n_threads

    @property
    def data(self):
        return self.features, self.targets, self.weights

    def tile(self, rows):
        columns = np.insert(np.hstack([self.features, self.targets]) - self.shift, K, 1.0, axis=1)[rows]
        return np.ascontiguousarray((columns * np.sqrt(self.weights[rows, None])).T)

    def read(self, make):
        self.n_looks += 1
        takers = []
        for begin, end in zip(self.breaks[:-1], self.breaks[1:], strict=True):
            takers.append(make())
            for first in range(begin, end, 37):
                takers[-1].add(self.tile(slice(first, min(first + 37, end))), self.n_threads)
            takers[-1].finish()
        return takers

    def ridge(self, alpha, **how):
        return ridge_by_cg(self.read, K, O, self.shift, alpha, **how)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_readout_is_that_of_dense_least_squares(alpha, fit_intercept, offset):
    looks = Looks(offset=offset)
    readout = looks.ridge(alpha, fit_intercept=fit_intercept)
    W, b = naive.ridge(*looks.data, alpha, fit_intercept)
    assert_allclose(readout.coef, W, **NEAR)
    assert_allclose(readout.intercept, b, rtol=1e-6, atol=1e-6 * (1.0 + offset))
    assert readout.method == "cg"


@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_iterations_are_those_of_the_dense_twin(monkeypatch, alpha):
    looks, counts, directions = Looks(), [], []
    solve, sketch = conjugate.conjugate_gradient, conjugate.Moments

    def counted(*args, **kwargs):
        found = solve(*args, **kwargs)
        counts.append(found)
        return found

    def watched(Ω, n_outputs):
        directions.append(Ω)
        return sketch(Ω, n_outputs)

    monkeypatch.setattr(conjugate, "conjugate_gradient", counted)
    monkeypatch.setattr(conjugate, "Moments", watched)
    readout = looks.ridge(alpha)
    W, b, n_iterations = naive.ridge_by_cg(*looks.data, alpha, directions[0], TOLERANCE)
    assert_allclose(readout.coef, W, **NEAR)
    assert_allclose(readout.intercept, b, **NEAR)
    assert abs(counts[0].n_iterations - n_iterations) <= 1
    assert looks.n_looks == 1 + counts[0].n_products <= n_iterations + 4


def test_the_sketch_saves_looks(monkeypatch):
    n_looks = []
    for n_directions in (1, K // 2):
        monkeypatch.setattr(conjugate, "MOST_DIRECTIONS", n_directions)
        monkeypatch.setattr(conjugate, "FEATURES_A_DIRECTION", 1)
        looks = Looks()
        looks.features *= np.geomspace(10.0, 1e-2, K)  # by now they fall by 1e5, their squares by 1e10
        looks.ridge(1e-4)
        n_looks.append(looks.n_looks)
    assert n_looks[1] < 0.7 * n_looks[0]


def test_outputs_of_any_scale_are_known_equally_well():
    looks = Looks(scale=1e-9)
    readout = looks.ridge(1e-2)
    W, _ = naive.ridge(*looks.data, 1e-2)
    assert_allclose(readout.coef[1], W[1], rtol=1e-7, atol=1e-7 * np.abs(W[1]).max())


def test_a_constant_target_has_no_coefficients():
    looks = Looks()
    looks.targets[:, 1] = 5.0
    readout = looks.ridge(1e-2)
    assert_allclose(readout.coef[1], 0.0, atol=1e-12)
    assert_allclose(readout.intercept[1], 5.0)


def test_features_that_are_all_zero_leave_the_mean():
    looks = Looks()
    looks.features[:] = 0.0
    readout = looks.ridge(1e-2)
    assert not readout.coef.any()
    assert_allclose(readout.intercept, looks.weights @ looks.targets / looks.weights.sum())


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_penalty_chosen_over_blocks_is_the_best_by_brute_force(fit_intercept):
    looks, alphas = Looks(40, n_folds=4), np.array([1e-2, 10.0, 1e3])
    readout = looks.ridge(alphas, fit_intercept=fit_intercept)
    groups = [np.arange(a, b) for a, b in zip(looks.breaks[:-1], looks.breaks[1:], strict=True)]
    errors = np.array([naive.left_out_errors(groups, *looks.data, alpha, fit_intercept) for alpha in alphas])
    mean = looks.weights @ looks.targets / looks.weights.sum() if fit_intercept else 0.0
    energy = looks.weights @ (looks.targets - mean) ** 2
    expected = alphas[np.argmin((errors / energy).sum(axis=1))]
    assert alphas.min() < expected < alphas.max()
    assert readout.alpha == expected
    assert_allclose(readout.coef, naive.ridge(*looks.data, expected, fit_intercept)[0], **NEAR)


def test_errors_of_left_out_blocks_meet_refits(monkeypatch):
    looks, alphas, seen = Looks(60, n_folds=4), np.array([10.0, 0.1]), []
    choose = conjugate.choose_alpha
    monkeypatch.setattr(
        conjugate, "choose_alpha", lambda errors, *rest: (seen.append(errors), choose(errors, *rest))[1]
    )
    looks.weights[15:30] = 0.0  # a fold without a row that counts
    looks.ridge(alphas)
    groups = [np.arange(a, b) for a, b in zip(looks.breaks[:-1], looks.breaks[1:], strict=True)]
    expected = [naive.left_out_errors(groups, *looks.data, alpha) for alpha in alphas]
    assert_allclose(seen[0], expected, rtol=1e-6)


def test_too_few_iterations_are_told(monkeypatch):
    monkeypatch.setattr(conjugate, "MAX_ITERATIONS", 2)
    with pytest.warns(
        IllConditionedWarning, match=r"residual of 1e-10, got .* after 2 iterations.*give a larger alpha"
    ):
        readout = Looks().ridge(1e-3)
    assert np.isfinite(readout.coef).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_states_that_are_not_finite_are_an_error(bad):
    looks = Looks()
    looks.features[3, 2] = bad
    with pytest.raises(ValueError, match="sums of products finite"):
        looks.ridge(1.0)


def test_no_rows_is_an_error():
    looks = Looks()
    looks.weights[:] = 0.0
    with pytest.raises(ValueError, match="positive weight"):
        looks.ridge(1.0)


def test_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr("reservoir.readout.columns._SHORTEST_PIECE", 8)
    one, three = (Looks(n_threads=n).ridge(1e-2) for n in (1, 3))
    assert_array_equal(one.coef, three.coef)
    assert_array_equal(one.intercept, three.intercept)


# ---------------------------------------------------------------------------------------------- driven states

SMALL = {"n_units": 40, "spectral_radius": 0.7, "random_state": 0, "alpha": 1e-2}
CASES = {
    "defaults": {},
    "several series": {"lengths": (150, 40, 90), "washout": 5},
    "feedback and noise": {"feedback_scaling": 0.3, "state_noise": 1e-3, "feedback_noise": 1e-3},
    "single precision": {"dtype": np.float32},
    "without intercept and input": {"fit_intercept": False, "include_input": False},
    "fewer rows than units": {"lengths": (20,)},
    "blocked": {"alpha": [1e-3, 0.1, 10.0], "alpha_selection": "blocked"},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_regressor_predicts_as_by_qr(case):
    lengths = case.get("lengths", (280,))
    settings = {**SMALL, **{name: value for name, value in case.items() if name != "lengths"}}
    rng = np.random.default_rng(1)
    X = rng.standard_normal((sum(lengths), 2))
    y = np.column_stack([np.roll(X[:, 0], 2), X[:, 1] ** 2]) + 0.1 * rng.standard_normal((len(X), 2))
    weights = rng.uniform(0.0, 2.0, len(X))
    by_cg, by_qr = (
        ESNRegressor(**settings, solver=solver).fit(X, y, sample_weight=weights, lengths=lengths)
        for solver in ("cg", "qr")
    )
    assert by_cg.alpha_ == by_qr.alpha_
    # float32 predictions round to 1e-7 of the largest
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if "dtype" in case else NEAR
    assert_allclose(by_cg.coef_, by_qr.coef_, **NEAR)
    assert_allclose(by_cg.predict(X, lengths=lengths), by_qr.predict(X, lengths=lengths), **tolerance)


@pytest.mark.compiled  # thousands of steps
def test_a_long_series_cut_in_time_has_the_same_readout():
    X = np.random.default_rng(2).standard_normal((4_000, 1))
    y = np.roll(X[:, 0], 3)
    by_cg, by_qr = (ESNRegressor(**SMALL, solver=solver).fit(X, y) for solver in ("cg", "qr"))
    assert_allclose(by_cg.coef_, by_qr.coef_, **NEAR)


def test_classifier_and_forecaster_take_it():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((200, 1))
    by_cg, by_qr = (ESNClassifier(**SMALL, solver=solver).fit(X, X[:, 0] > 0) for solver in ("cg", "qr"))
    assert_allclose(by_cg.coef_, by_qr.coef_, **NEAR)
    series = np.sin(0.3 * np.arange(300))[:, None] + 0.05 * rng.standard_normal((300, 1))
    by_cg, by_qr = (ESNForecaster(**SMALL, solver=solver).fit(series) for solver in ("cg", "qr"))
    assert_allclose(by_cg.coef_, by_qr.coef_, **NEAR)
    assert_allclose(by_cg.state_, by_qr.state_, rtol=0, atol=1e-12)


@pytest.mark.parametrize("selection", ["gcv", "loo"])
def test_what_needs_eigenvectors_of_all_features_is_refused(selection):
    X = np.zeros((30, 1))
    model = ESNRegressor(n_units=5, solver="cg", alpha=[1e-3, 1.0], alpha_selection=selection)
    with pytest.raises(NotImplementedError, match=f"alpha_selection must be 'blocked' .* got '{selection}'"):
        model.fit(X, X[:, 0])


def test_partial_fit_is_refused():
    X = np.zeros((30, 1))
    with pytest.raises(
        NotImplementedError, match="solver must be one of 'auto', 'gram', 'qr' for partial_fit, got 'cg'"
    ):
        ESNRegressor(n_units=5, solver="cg").partial_fit(X, X[:, 0])


@pytest.mark.slow
@pytest.mark.compiled
def test_memory_stays_far_below_that_of_a_gram_matrix():
    N, n = 6_000, 400
    reservoir = build_reservoir(n_units=N, n_inputs=1, spectral_radius=0.5, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    rows, targets = rng.standard_normal((2, n, 1))
    task = Task(rows, np.array([0, n]), targets=targets, shift=np.zeros(2), n_read=1)
    solve = partial(train, reservoir, task, alpha=10.0, solver="cg")
    solve()
    tracemalloc.start()
    readout = solve()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert readout.coef.shape == (1, N + 1)
    assert peak < 0.4 * 8 * N**2
    assert peak < 0.15 * Gram.n_bytes(N + 3, n)
