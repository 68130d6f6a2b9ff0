"""Ridge readouts from streamed sums, factors and rows."""

import array_api_strict
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from naive import readout as naive
from optim.device import to_host
from reservoir.readout.gram import Gram
from reservoir.readout.linear import rounding_outweighs
from reservoir.readout.ridge import IllConditionedWarning, check_alpha, solve
from reservoir.readout.rows import HeldRows
from reservoir.readout.tsqr import TriangularFactor

# RELIABILITY 12: agreement with scikit-learn's Ridge.
RIDGE_TOL = 1e-8
KINDS = [Gram, TriangularFactor]


class Data:
    """Features (n, K), targets (n, 2) and weights, with the tile and the sums made from them."""

    def __init__(self, n_rows=80, n_features=7, seed=0, offset=0.0, weighted=True):
        rng = np.random.default_rng(seed)
        self.features = rng.standard_normal((n_rows, n_features)) + offset
        mixing = rng.standard_normal((n_features, 2))
        self.targets = self.features @ mixing + 0.3 * rng.standard_normal((n_rows, 2)) - offset
        self.weights = rng.uniform(0.2, 3.0, n_rows) if weighted else np.ones(n_rows)

    def tile(self, shift=None):
        rows = np.hstack([self.features, self.targets])
        rows = rows if shift is None else rows - shift
        return np.ascontiguousarray(np.insert(rows, self.features.shape[1], 1.0, axis=1).T * np.sqrt(self.weights))

    def moments(self, kind, shift=None):
        moments = kind(self.features.shape[1], 2, shift)
        moments.add(self.tile(shift))
        return moments

    def ridge(self, alpha, fit_intercept):
        model = Ridge(alpha=alpha, fit_intercept=fit_intercept, solver="svd")
        return model.fit(self.features, self.targets, self.weights)


def solve_if_reliable(sums, alpha, **how):
    return sums.centred(**how).solve(alpha)


def assert_same(readout, coef, intercept, tol=RIDGE_TOL):
    np.testing.assert_allclose(to_host(readout.coef), coef, rtol=tol, atol=tol)
    np.testing.assert_allclose(to_host(readout.intercept), intercept, rtol=tol, atol=tol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 1e-6, 3.0])
@pytest.mark.parametrize("is_shifted", [True, False])
def test_readout_is_scikit_learns_ridge(kind, fit_intercept, alpha, is_shifted):
    data = Data(offset=1.5)
    shift = np.linspace(-2.0, 3.0, 9) if is_shifted else None
    moments = data.moments(kind, shift)
    model = data.ridge(alpha, fit_intercept)
    W, b = naive.ridge(data.features, data.targets, data.weights, alpha, fit_intercept)
    decomposition = moments.centred(fit_intercept=fit_intercept).decompose()
    for readout in (solve(moments, alpha, fit_intercept=fit_intercept), decomposition.readout(alpha)):
        assert_same(readout, model.coef_, model.intercept_)
        assert_same(readout, W, b)
        assert readout.is_full_rank


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [1e-3, 2.0])
def test_dual_agrees_with_primal(fit_intercept, alpha):
    data = Data(n_rows=12, n_features=40)
    shift = np.linspace(-1.0, 1.0, 42)
    rows = data.moments(HeldRows, shift)
    dual = solve(rows, alpha, fit_intercept=fit_intercept)
    primal = solve(data.moments(TriangularFactor), alpha, fit_intercept=fit_intercept)
    W, b = naive.ridge(data.features, data.targets, data.weights, alpha, fit_intercept)
    assert dual.method == "dual"
    assert_same(dual, W, b)
    assert_same(primal, W, b)
    assert_same(rows.centred(fit_intercept=fit_intercept).decompose().readout(alpha), W, b)


def test_dual_without_penalty_has_least_norm():
    data = Data(n_rows=6, n_features=9)
    with pytest.warns(IllConditionedWarning):
        readout = solve(data.moments(HeldRows), 0.0)
    assert_same(readout, *naive.ridge(data.features, data.targets, data.weights, 0.0))


def test_weight_two_is_a_row_twice():
    data = Data(weighted=False)
    data.weights[:10] = 2.0
    twice = Data(weighted=False)
    for name in ("features", "targets", "weights"):
        rows = getattr(twice, name)
        setattr(twice, name, np.concatenate([rows, rows[:10]]))
    one, other = solve(data.moments(Gram), 0.5), solve(twice.moments(Gram), 0.5)
    assert_same(one, other.coef, other.intercept)


def test_shift_saves_data_far_from_zero():
    data = Data(offset=1e7)
    shift = np.concatenate([data.features, data.targets], axis=1).mean(axis=0)
    readout = solve(data.moments(Gram, shift), 1e-3)
    near = Data()
    near.features, near.targets = data.features - 1e7, data.targets + 1e7
    # The data keep 1e7 eps of themselves.
    np.testing.assert_allclose(readout.coef, near.ridge(1e-3, True).coef_, atol=1e7 * 2.2e-16 * 100)
    predicted = data.features @ readout.coef.T + readout.intercept
    assert np.std(predicted - data.targets) < 0.4


DEGENERATE = ["duplicate", "constant", "zero", "float32 copy", "wide", "one row"]


def degenerate(case):
    data = Data(n_rows=30, n_features=5, seed=2)
    if case == "duplicate":
        data.features[:, 3] = data.features[:, 1]
    elif case == "constant":
        data.features[:, 2:4] = 4.0, 2.0
    elif case == "zero":
        data.features[:] = 0.0
    elif case == "float32 copy":
        data.features[:, 3] = data.features[:, 1].astype(np.float32)
    elif case == "wide":
        data = Data(n_rows=4, n_features=9)
    else:
        data = Data(n_rows=1, n_features=3)
    return data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("case", "alpha"), [(case, 0.0) for case in DEGENERATE] + [("duplicate", 1e-300)])
def test_no_penalty_and_dependent_features_warn_and_stay_finite(kind, case, fit_intercept, alpha):
    data = degenerate(case)
    moments = data.moments(kind)
    if case == "float32 copy" and kind is TriangularFactor:
        # The factor tells single precision apart, where the sums cannot.
        readout = solve_if_reliable(moments, alpha, fit_intercept=fit_intercept)
        assert np.all(np.isfinite(readout.coef))
        return
    assert solve_if_reliable(moments, alpha, fit_intercept=fit_intercept) is None
    with pytest.warns(IllConditionedWarning, match="directions lost"):
        readout = solve(moments, alpha, fit_intercept=fit_intercept)
    assert np.all(np.isfinite(readout.coef)) and np.all(np.isfinite(readout.intercept))
    assert not readout.is_full_rank


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["duplicate", "constant", "wide"])
def test_answer_without_penalty_has_least_norm(kind, case):
    data = degenerate(case)
    with pytest.warns(IllConditionedWarning):
        readout = solve(data.moments(kind), 0.0)
    assert_same(readout, *naive.ridge(data.features, data.targets, data.weights, 0.0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", DEGENERATE)
def test_a_penalty_decides_without_warning(kind, case):
    data = degenerate(case)
    readout = solve(data.moments(kind), 0.1)
    assert_same(readout, *naive.ridge(data.features, data.targets, data.weights, 0.1))


def nearly_singular(condition, n_rows=400, n_features=30):
    """Noise-free targets of features with singular values from 1 to 1/condition, as driven states have."""
    data = Data(n_rows, n_features, weighted=False)
    rng = np.random.default_rng(5)
    left = np.linalg.qr(rng.standard_normal((n_rows, n_features + 1)) - 0.0)[0][:, 1:]
    left -= left.mean(axis=0)
    right = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    data.features = left * np.geomspace(1.0, 1.0 / condition, n_features) @ right
    data.true_coef = rng.standard_normal((2, n_features))
    data.targets = data.features @ data.true_coef.T
    return data


def test_qr_answers_where_the_gram_cannot():
    condition = 1e9
    data = nearly_singular(condition)
    factor, gram = data.moments(TriangularFactor), data.moments(Gram)
    readout = solve(factor, 0.0)
    # A backward stable solution without residual is off by some eps times the condition number.
    tolerance = 1000 * np.finfo(float).eps * condition
    assert np.abs(readout.coef - data.true_coef).max() < tolerance
    assert 1e16 < readout.condition < 1e21
    assert solve_if_reliable(gram, 0.0) is None
    with pytest.warns(IllConditionedWarning, match="solver='qr'"):
        by_gram = solve(gram, 0.0)
    assert np.abs(by_gram.coef - data.true_coef).max() > 1000 * tolerance


@pytest.mark.parametrize("exponent", [-16, -13, -10, -7, -4])
def test_gram_is_reliable_only_where_it_agrees_with_qr(exponent):
    data = nearly_singular(1e9)
    alpha = 10.0**exponent
    by_qr = solve(data.moments(TriangularFactor), alpha)
    by_gram = solve_if_reliable(data.moments(Gram), alpha)
    assert (by_gram is None) == (exponent <= -16)
    if by_gram is not None:
        error = np.abs(by_gram.coef - by_qr.coef).max() / np.abs(by_qr.coef).max()
        # Rounding of the sums, 10 eps at most, against the penalty; the largest eigenvalue is one.
        assert error < 10 * np.finfo(float).eps / alpha


@pytest.mark.parametrize(
    ("smallest", "rounding", "expected"),
    [(1.0, 0.1, False), (0.1, 0.1, True), (0.0, 0.0, True), (np.nan, 0.1, True)],
)
def test_rounding_outweighs_what_is_no_larger(smallest, rounding, expected):
    assert rounding_outweighs(smallest, rounding) is expected


def test_condition_is_that_of_the_penalised_gram():
    data = Data(weighted=False)
    centred = data.features - data.features.mean(axis=0)
    true = np.linalg.cond(centred.T @ centred + 2.0 * np.eye(7), 1)
    for kind in KINDS:
        # LAPACK's estimate of the 1-norm; the factor's is squared, so 2-norm of a 7x7 problem lies within 7².
        assert true / 49 < solve(data.moments(kind), 2.0).condition < true * 49


@pytest.mark.parametrize("kind", KINDS)
def test_same_call_gives_the_same_bits(kind):
    moments = Data(n_rows=300, n_features=60).moments(kind)
    one, other = solve(moments, 1e-3), solve(moments, 1e-3)
    assert np.array_equal(one.coef, other.coef) and np.array_equal(one.intercept, other.intercept)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_array_api_namespace_gives_the_same_readout(fit_intercept):
    data = Data(offset=0.5)
    shift = np.linspace(-1.0, 1.0, 9)
    tile = array_api_strict.asarray(data.tile(shift))
    gram, other = Gram(7, 2, shift), Gram(7, 2, shift)
    gram.add(tile[:, :50])
    other.add(tile[:, 50:])
    gram.merge(other)
    model = data.ridge(0.3, fit_intercept)
    readout = solve(gram, 0.3, fit_intercept=fit_intercept)
    assert isinstance(readout.coef, array_api_strict._array_object.Array)
    assert_same(readout, model.coef_, model.intercept_)
    rows = HeldRows(7, 2, shift)
    rows.add(tile)
    assert_same(solve(rows, 0.3, fit_intercept=fit_intercept), model.coef_, model.intercept_)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_is_an_error(kind):
    data = Data()
    data.weights[:] = 0.0
    with pytest.raises(ValueError, match="positive weight"):
        solve(data.moments(kind), 1.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e200])
def test_sums_that_overflow_are_an_error(kind, bad):
    data = Data()
    data.features[3, 2] = bad
    with pytest.raises(ValueError, match="sums of products finite"):
        solve(data.moments(kind), 1.0)


@pytest.mark.parametrize("good", [0, 1, 1e-6, np.float32(2.0), np.array(0.5)])
def test_one_alpha_becomes_a_float(good):
    assert type(check_alpha(good)) is float


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (-1e-9, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        ([], ValueError),
        ([1.0, -1.0], ValueError),
        ([[1.0]], ValueError),
        ("1", TypeError),
        (None, TypeError),
        (True, TypeError),
        (1j, TypeError),
    ],
)
def test_bad_alpha_is_named(bad, error):
    with pytest.raises(error, match=r"^alpha must .*got"):
        check_alpha(bad)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_gram_that_is_not_kept_gives_the_same_readout_and_is_left_empty(fit_intercept):
    rng = np.random.default_rng(0)
    tile = rng.standard_normal((6, 300))
    tile[4] = 1.0
    grams = [Gram(4, 1, np.full(5, 0.3)) for _ in range(2)]
    for gram in grams:
        gram.add_part(0, tile[:, :100])
        gram.add_part(1, np.ascontiguousarray(tile[:, 100:]))
        gram.finish()
    kept = solve_if_reliable(grams[0], 1e-3, fit_intercept=fit_intercept)
    taken = solve_if_reliable(grams[1], 1e-3, fit_intercept=fit_intercept, keep=False)
    np.testing.assert_array_equal(taken.coef, kept.coef)
    np.testing.assert_array_equal(taken.intercept, kept.intercept)
    assert grams[0].n_rows == 300
    assert grams[1].n_rows == 0
    assert not grams[1].matrix.any()


def test_centring_has_the_same_bits_for_any_number_of_threads():
    tile = np.random.default_rng(1).standard_normal((302, 400))
    gram = Gram(300, 1)
    gram.add(tile)
    one, three = (gram.centred(n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(np.tril(one.gram), np.tril(three.gram))
    assert one.rounding == three.rounding
