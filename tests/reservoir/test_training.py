"""Training a readout on a driven reservoir: solvers agree, penalties are the best ones, weights count."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from naive import drive as naive_drive
from naive import readout as naive
from reservoir.drive.task import Task
from reservoir.drive.weights import build_reservoir
from reservoir.estimators.training import N_FOLDS, SOLVERS, take_sums, train
from reservoir.readout.gram import Gram
from reservoir.readout.ridge import IllConditionedWarning
from reservoir.readout.tsqr import TriangularFactor

# RELIABILITY 12. The data are well conditioned: with these penalties the condition is below 1e5.
SOLVERS_RTOL = {"rtol": 1e-8, "atol": 1e-8}
N_UNITS, N_READ, N_OUTPUTS = 10, 2, 2
ALPHAS = np.array([1e-3, 1e-1, 1.0, 10.0, 1e3])


@cache
def example(lengths=(90, 60), noisy=True, washout=0):
    """(reservoir, task, features, targets, weights): what the readout sees, from the equations."""
    reservoir = build_reservoir(
        n_units=N_UNITS, n_inputs=N_READ, spectral_radius=0.6, in_degree=3, bias_scaling=0.4,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    rng = np.random.default_rng(1)
    n = sum(lengths)
    rows = rng.standard_normal((n, N_READ))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    parts = (reservoir.W.toarray(), reservoir.input_weights, reservoir.bias, reservoir.leak)
    states = np.concatenate([naive_drive.echo_states(*parts, rows[a:b])[0] for a, b in pairwise(offsets)])
    features = np.concatenate([states, rows], axis=1)
    targets = features @ rng.standard_normal((features.shape[1], N_OUTPUTS)) + 3.0
    if noisy:
        targets = targets + rng.standard_normal((n, N_OUTPUTS)) * [1.0, 5.0]
    weights = rng.uniform(0.5, 2.0, n)
    for begin in offsets[:-1]:
        weights[begin : begin + washout] = 0
    shift = np.concatenate([rows.mean(axis=0), targets.mean(axis=0)])
    task = Task(rows, offsets, targets=targets, weights=weights, shift=shift, n_read=N_READ, n_threads=2)
    return reservoir, task, features, targets, weights


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 1e-2, 3.0])
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_finds_the_ridge_readout(solver, alpha, fit_intercept):
    reservoir, task, features, targets, weights = example(washout=10)
    readout = train(reservoir, task, alpha=alpha, solver=solver, fit_intercept=fit_intercept)
    W, b = naive.ridge(features, targets, weights, alpha, fit_intercept)
    assert_allclose(readout.coef, W, **SOLVERS_RTOL)
    assert_allclose(readout.intercept, b, **SOLVERS_RTOL)
    assert readout.method == {"auto": "cholesky", "gram": "cholesky", "qr": "qr", "cg": "cg"}[solver]


def test_readout_is_that_of_scikit_learn():
    reservoir, task, features, targets, weights = example()
    readout = train(reservoir, task, alpha=0.7)
    ridge = Ridge(alpha=0.7, solver="cholesky").fit(features, targets, sample_weight=weights)
    assert_allclose(readout.coef, ridge.coef_, **SOLVERS_RTOL)
    assert_allclose(readout.intercept, ridge.intercept_, **SOLVERS_RTOL)


@pytest.mark.parametrize("solver", ["auto", "gram", "qr"])
@pytest.mark.parametrize("lengths", [(8,), (3, 5), (1,), (2,) * 5], ids=str)
def test_fewer_rows_than_features_are_solved_in_their_dual(lengths, solver):
    reservoir, task, features, targets, weights = example(lengths)
    readout = train(reservoir, task, alpha=0.1, solver=solver)
    W, b = naive.ridge(features, targets, weights, 0.1)
    assert_allclose(readout.coef, W, **SOLVERS_RTOL)
    assert_allclose(readout.intercept, b, **SOLVERS_RTOL)
    assert readout.method == ("qr" if solver == "qr" else "dual")


def test_rows_of_a_washout_change_nothing_but_the_states_after_them():
    reservoir, task, *_ = example(washout=10)
    spoilt = task.targets.copy()
    for begin in task.offsets[:-1]:
        spoilt[begin : begin + 10] = 1e6
    changed = Task(**{**vars(task), "targets": spoilt})
    for solver in ("gram", "qr"):
        one, other = (train(reservoir, t, alpha=0.1, solver=solver) for t in (task, changed))
        assert_array_equal(one.coef, other.coef)
        assert_array_equal(one.intercept, other.intercept)


def test_a_weight_of_two_is_a_row_taken_twice():
    reservoir, task, features, targets, _ = example()
    weights = np.where(np.arange(150) % 3 == 0, 2.0, 1.0)
    readout = train(reservoir, Task(**{**vars(task), "weights": weights}), alpha=0.5)
    twice = np.repeat(np.arange(150), weights.astype(int))
    W, b = naive.ridge(features[twice], targets[twice], np.ones(len(twice)), 0.5)
    assert_allclose(readout.coef, W, **SOLVERS_RTOL)
    assert_allclose(readout.intercept, b, **SOLVERS_RTOL)


def test_without_weights_all_rows_count_the_same():
    reservoir, task, features, targets, _ = example()
    readout = train(reservoir, Task(**{**vars(task), "weights": None}), alpha=0.5)
    W, _ = naive.ridge(features, targets, np.ones(150), 0.5)
    assert_allclose(readout.coef, W, **SOLVERS_RTOL)


@pytest.mark.parametrize("alpha", [0.5, ALPHAS])
@pytest.mark.parametrize("lengths", [(8,), (90, 60)])
def test_final_states_are_left_behind(lengths, alpha):
    reservoir, task, features, *_ = example(lengths)
    final = np.zeros((len(lengths), N_UNITS))
    train(reservoir, task, alpha=alpha, final=final)
    assert_allclose(final, features[task.offsets[1:] - 1, :N_UNITS], rtol=0, atol=1e-13)


# ------------------------------------------------------------------------------------------- many penalties


def scores(selection, features, targets, weights, alphas):
    """(A, O) by the book: refits without each row or fold, or the dense hat matrix."""
    n = len(features)
    if selection == "gcv":
        one = naive.generalised_error
    elif selection == "loo":
        groups = [np.array([t]) for t in np.flatnonzero(weights > 0)]
        one = lambda *args: naive.left_out_errors(groups, *args)  # noqa: E731
    else:
        breaks = n * np.arange(N_FOLDS + 1) // N_FOLDS
        groups = [np.arange(a, b) for a, b in pairwise(breaks)]
        one = lambda *args: naive.left_out_errors(groups, *args)  # noqa: E731
    return np.array([one(features, targets, weights, alpha) for alpha in alphas])


@pytest.mark.parametrize("solver", ["auto", "gram", "qr"])
@pytest.mark.parametrize("selection", ["gcv", "loo", "blocked"])
def test_the_penalty_chosen_is_the_best_by_brute_force(selection, solver):
    reservoir, task, features, targets, weights = example((40, 30))
    readout = train(reservoir, task, alpha=ALPHAS, alpha_selection=selection, solver=solver)
    mean = weights @ targets / weights.sum()
    energy = weights @ (targets - mean) ** 2
    expected = ALPHAS[np.argmin((scores(selection, features, targets, weights, ALPHAS) / energy).sum(axis=1))]
    assert expected not in (ALPHAS[0], ALPHAS[-1])  # there is something to choose
    assert readout.alpha == expected
    W, b = naive.ridge(features, targets, weights, expected)
    assert_allclose(readout.coef, W, **SOLVERS_RTOL)
    assert_allclose(readout.intercept, b, **SOLVERS_RTOL)


@pytest.mark.parametrize("selection", ["gcv", "loo", "blocked"])
def test_one_candidate_is_taken(selection):
    reservoir, task, features, targets, weights = example((40, 30))
    readout = train(reservoir, task, alpha=[0.3], alpha_selection=selection)
    assert readout.alpha == 0.3
    assert_allclose(readout.coef, naive.ridge(features, targets, weights, 0.3)[0], **SOLVERS_RTOL)


@pytest.mark.parametrize("kind", [Gram, TriangularFactor])
def test_sums_of_folds_merge_to_those_of_the_whole(kind):
    reservoir, task, *_ = example()
    folds = take_sums(reservoir, task, kind, N_FOLDS)
    (whole,) = take_sums(reservoir, task, kind)
    merged = folds[0]
    for fold in folds[1:]:
        merged.merge(fold)
    assert merged.n_rows == whole.n_rows == 150
    one, other = ((m.matrix if kind is Gram else m.factor.T @ m.factor) for m in (merged, whole))
    assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.compiled
@pytest.mark.parametrize("kind", [Gram, TriangularFactor])
def test_number_of_threads_changes_no_bit(kind):
    reservoir, task, *_ = example((3000, 600))
    results = []
    for n in (1, 2, 3):
        (moments,) = take_sums(reservoir, Task(**{**vars(task), "n_threads": n}), kind)
        results.append(moments.matrix if kind is Gram else moments.factor)
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])


# ------------------------------------------------------------------------------------------ hard data


def nearly_dependent():
    """A linear reservoir of many more units than its two inputs and their short past can fill."""
    reservoir = build_reservoir(
        n_units=40, n_inputs=1, spectral_radius=0.2, activation="identity", in_degree=4, rng=np.random.default_rng(0)
    )
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, 1))
    targets = np.roll(rows, 1) + 0.5 * rows
    shift = np.zeros(2)
    return reservoir, Task(rows, np.array([0, 200]), targets=targets, shift=shift, n_read=1)


def test_auto_goes_over_to_qr_where_the_gram_matrix_is_not_good_enough():
    reservoir, task = nearly_dependent()
    readout = train(reservoir, task, alpha=1e-16, solver="auto")
    assert readout.method == "qr"
    assert np.isfinite(readout.coef).all()


def test_gram_warns_where_it_is_not_good_enough_and_stays_finite():
    reservoir, task = nearly_dependent()
    with pytest.warns(IllConditionedWarning, match="or solver='qr'"):
        readout = train(reservoir, task, alpha=1e-16, solver="gram")
    assert np.isfinite(readout.coef).all()
    assert np.isfinite(readout.intercept).all()


def test_without_a_penalty_lost_directions_are_left_out_with_a_warning():
    reservoir, task = nearly_dependent()
    with pytest.warns(IllConditionedWarning, match="least-norm"):
        readout = train(reservoir, task, alpha=0.0)
    assert not readout.is_full_rank
    states = naive_drive.echo_states(
        reservoir.W.toarray(), reservoir.input_weights, reservoir.bias, reservoir.leak, task.rows, activation="identity"
    )[0]
    features = np.concatenate([states, task.rows], axis=1)
    exact, intercept = naive.ridge(features, task.targets, np.ones(200), 0.0)
    # A direction left out is one that the features reach by some 1e-8 of the largest at most: both fit alike.
    assert_allclose(
        naive.squared_error(readout.coef, readout.intercept, features, task.targets, np.ones(200)),
        naive.squared_error(exact, intercept, features, task.targets, np.ones(200)),
        rtol=1e-3, atol=1e-6,
    )  # fmt: skip


WRONG = {
    "solver": ({"solver": "svd"}, "solver must be one of 'auto', 'gram', 'qr', 'cg', got 'svd'"),
    "solver type": ({"solver": None}, "solver must be one of"),
    "selection": ({"alpha_selection": "cv"}, "alpha_selection must be one of 'gcv', 'loo', 'blocked', got 'cv'"),
    "negative alpha": ({"alpha": -1.0}, r"alpha must be 0 or a number >= 2\.2e-308.* got -1\.0"),
    "no alphas": ({"alpha": []}, r"alpha must be .* got shape \(0,\)"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_wrong_values_name_the_parameter_and_what_came(settings, message):
    reservoir, task, *_ = example((8,))
    with pytest.raises((ValueError, TypeError), match=message):
        train(reservoir, task, **{"alpha": 1.0, **settings})
