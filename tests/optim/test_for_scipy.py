"""The method inside scipy.optimize.minimize."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, minimize, rosen, rosen_der, rosen_hess, rosen_hess_prod
from scipy.sparse.linalg import cg, eigsh

from objectives import small_net
from optim import StopReason, checks
from optim.for_scipy import STATUS, _ScipyObjective, as_linear_operator, hessian_free

START = np.array([1.3, 0.7, 0.8, 1.9])  # four dimensions have another minimum near (-0.8, 0.6, 0.4, 0.1)
PRODUCT_RTOL = 1e-10


def solve(**arguments):
    settings = {"jac": rosen_der, "hessp": rosen_hess_prod, "method": hessian_free, **arguments}
    return minimize(rosen, START, **settings)


@pytest.mark.parametrize(
    "curvature",
    [
        {"hessp": rosen_hess_prod},
        {"hess": rosen_hess, "hessp": None},
        {"hess": lambda x: sp.csr_array(rosen_hess(x)), "hessp": None},
    ],
    ids=["products", "dense", "sparse"],
)
def test_rosenbrocks_function_is_minimised(curvature):
    found = solve(**curvature)
    assert found.success and found.status == 0
    np.testing.assert_allclose(found.x, np.ones(4), atol=1e-4)
    assert np.linalg.norm(found.jac) <= 1e-5 and found.fun == rosen(found.x)


def test_value_and_gradient_may_come_together():
    together = minimize(lambda x: (rosen(x), rosen_der(x)), START, jac=True, hessp=rosen_hess_prod, method=hessian_free)
    np.testing.assert_array_equal(together.x, solve().x)


def test_result_counts_what_was_called():
    counts = dict.fromkeys(("fun", "jac", "hessp"), 0)

    def counted(name, function):
        def call(*args):
            counts[name] += 1
            return function(*args)

        return call

    found = minimize(
        counted("fun", rosen), START, jac=counted("jac", rosen_der), hessp=counted("hessp", rosen_hess_prod),
        method=hessian_free,
    )  # fmt: skip
    assert (found.nfev, found.njev, found.nhev) == (counts["fun"], counts["jac"], counts["hessp"])
    assert found.nit == len(found.trace["loss"]) - 1 and found.cg_iterations > found.nit
    assert found.reason == StopReason.CONVERGED and found.damping > 0 and np.isfinite(found.reduction_ratio)


def test_arguments_are_passed_on():
    found = minimize(
        lambda x, a, b: a * np.sum((x - b) ** 2), np.zeros(3), args=(2.0, 5.0), method=hessian_free,
        jac=lambda x, a, b: 2 * a * (x - b), hessp=lambda x, p, a, b: 2 * a * p,
    )  # fmt: skip
    np.testing.assert_allclose(found.x, 5.0, rtol=1e-5)


def test_tolerance_and_limit_of_iterations_are_kept():
    assert np.linalg.norm(solve(tol=1e-9).jac) <= 1e-9
    stopped = solve(options={"maxiter": 3})
    assert (stopped.status, stopped.success, stopped.nit) == (1, False, 3)
    assert "max_iterations" in stopped.message


def test_settings_reach_the_method():
    found = solve(options={"damping": 7.0, "cg": 3})
    assert found.trace["damping"][0] == 7.0 and np.nanmax(found.trace["cg_iterations"]) <= 3


def test_both_forms_of_callback_see_every_step():
    points, results = [], []

    def see(intermediate_result):
        results.append(intermediate_result)

    found = solve(callback=points.append)
    solve(callback=see)
    assert len(points) == len(results) == found.nit
    np.testing.assert_array_equal(points[-1], found.x)
    for x, result in zip(points, results, strict=True):
        np.testing.assert_array_equal(result.x, x)
        assert result.fun == rosen(x)


def test_stop_iteration_of_a_callback_ends_the_run():
    seen = []

    def callback(x):
        seen.append(x)
        if len(seen) == 2:
            raise StopIteration

    found = solve(callback=callback)
    assert (found.nit, found.status, found.success) == (2, 99, False)


def test_float32_stays_and_integers_become_float64():
    assert minimize(
        lambda x: float(x @ x), np.ones(2, np.float32), jac=lambda x: 2 * x, hessp=lambda x, p: 2 * p,
        method=hessian_free,
    ).x.dtype == np.float32  # fmt: skip
    assert hessian_free(rosen, [2, 2], jac=rosen_der, hessp=rosen_hess_prod).x.dtype == np.float64


def test_functions_cannot_change_the_parameters():
    def clumsy(x):
        value = rosen(x)
        x[:] = np.nan
        return value

    np.testing.assert_array_equal(
        minimize(clumsy, START, jac=rosen_der, hessp=rosen_hess_prod, method=hessian_free).x, solve().x
    )


def test_noise_is_refused_in_words():
    rng = np.random.default_rng(0)
    found = minimize(
        lambda x: rosen(x) + rng.normal(), START, jac=rosen_der, hessp=rosen_hess_prod, method=hessian_free
    )
    assert found.status == STATUS[StopReason.NOT_DETERMINISTIC] and "dropout" in found.message
    np.testing.assert_array_equal(found.x, START)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bounds": [(0, 1)] * 4}, "bounds must not be given"),
        ({"constraints": LinearConstraint(np.eye(4), 0, 1)}, "constraints must not be given"),
        ({"constraints": [{"type": "eq", "fun": rosen}]}, "constraints must not be given"),
        ({"jac": None}, "jac must be a function"),
        ({"bounds": [(0, None)] + [(None, None)] * 3}, "bounds must not be given"),
        ({"bounds": Bounds(-np.inf, [np.inf, np.inf, 2.0, np.inf])}, "bounds must not be given"),
        ({"hessp": None, "hess": "2-point"}, "hess must be a function, got '2-point'; .* differences of jac"),
        ({"options": {"dampening": 1.0}}, "options must be among gtol, .* got 'dampening'"),
        ({"options": {"damping": -1.0}}, "damping must be a finite number in .* got -1.0"),
        ({"options": {"gtol": -1.0}}, "gtol must be a finite number >= 0, got -1.0"),
        ({"tol": np.nan}, "tol must be a finite number >= 0, got nan"),
        ({"options": {"maxiter": -1}}, "maxiter must be an integer >= 0, got -1"),
        ({"hess": lambda x: np.ones((2, 3)), "hessp": None}, r"hess must return a matrix of shape \(4, 4\), got"),
        ({"hessp": lambda x, p: p[:2]}, "hessp must return 4 real numbers, one an entry of x, got"),
        ({"jac": lambda x: 1j * x}, "jac must return 4 real numbers"),
    ],
)
def test_what_the_method_cannot_do_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve(**arguments)


def test_a_function_of_many_values_is_named():
    with pytest.raises(ValueError, match=r"fun must return one number, got shape \(4,\)"):
        minimize(lambda x: x, START, jac=rosen_der, hessp=rosen_hess_prod, method=hessian_free)


@pytest.mark.parametrize("value", [None, "low", 1j])
def test_what_is_no_real_number_is_named(value):
    with pytest.raises(ValueError, match="fun must return one real number, got"):
        minimize(lambda x: value, START, jac=rosen_der, hessp=rosen_hess_prod, method=hessian_free)


@pytest.mark.parametrize("x0", [[1.0, np.nan], [1j, 0j], ["a", "b"], np.ones((2, 2))])
def test_a_start_that_is_no_vector_of_numbers_is_named(x0):
    with pytest.raises(ValueError, match="x0 must be a vector of finite real numbers, got"):
        hessian_free(rosen, x0, jac=rosen_der, hessp=rosen_hess_prod)


def test_linear_operator_is_the_damped_matrix():
    objective, theta = small_net(n_sequences=4, n_steps=3, n_hidden=2)
    operator = as_linear_operator(objective, theta, damping=0.3, structural=0.02)
    dense = checks.dense_gauss_newton(objective, theta, structural=0.02) / 4.0 + 0.3 * np.eye(theta.size)
    np.testing.assert_allclose(operator @ np.eye(theta.size), dense, atol=PRODUCT_RTOL)
    largest = eigsh(operator, k=1, return_eigenvectors=False)[0]
    assert largest == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=1e-8)
    b = np.ones(theta.size)
    solution, failed = cg(operator, b, rtol=1e-10)
    assert failed == 0
    np.testing.assert_allclose(solution, np.linalg.solve(dense, b), rtol=1e-6)


# ------------------------------------------------------------------------------- what other methods take too


@pytest.mark.parametrize("n", [2, 3, 5])
def test_indefinite_starts_are_left_behind(n):
    rng = np.random.default_rng(0)
    n_indefinite = 0
    for _ in range(15):
        x0 = rng.uniform(-2.0, 2.0, n)
        n_indefinite += np.linalg.eigvalsh(rosen_hess(x0))[0] < 0.0
        found = minimize(rosen, x0, jac=rosen_der, hessp=rosen_hess_prod, method=hessian_free)
        assert found.success and np.linalg.norm(found.jac) <= 1e-5
        assert np.linalg.eigvalsh(rosen_hess(found.x))[0] > 0.0
    assert n_indefinite >= 3


def test_the_top_of_a_well_is_left_for_its_bottom():
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1e-1, 0.5):
        found = minimize(
            lambda x: np.sum(x**4) / 4 - np.sum(x**2) / 2, scale * rng.uniform(-1.0, 1.0, 5), tol=1e-8,
            jac=lambda x: x**3 - x, hessp=lambda x, p: (3 * x**2 - 1) * p, method=hessian_free,
        )  # fmt: skip
        assert found.success
        np.testing.assert_allclose(np.abs(found.x), 1.0, atol=1e-7)


@pytest.mark.parametrize("hessian", [2.0, np.array(2.0), np.array([2.0]), [[2.0]], np.matrix(2.0)])
def test_a_hessian_may_be_a_number_where_there_is_one_variable(hessian):
    found = minimize(
        lambda x: float((x**2).sum()), 5.0, jac=lambda x: 2 * x, hess=lambda x: hessian, method=hessian_free
    )
    assert found.success and abs(found.x[0]) <= 1e-5


@pytest.mark.parametrize("name", ["jac", "hessp", "hess"])
def test_no_function_can_change_the_parameters(name):
    functions = {"jac": rosen_der, "hessp": rosen_hess_prod}
    if name == "hess":
        functions = {"jac": rosen_der, "hess": rosen_hess, "hessp": None}

    def clumsy(x, *args):
        found = {**functions}[name](x, *args)
        x *= 1.5
        return found

    np.testing.assert_array_equal(solve(**{**functions, name: clumsy}).x, solve(**functions).x)


@pytest.mark.parametrize(
    "bounds",
    [
        [(None, None)] * 4,
        [(-np.inf, np.inf)] * 4,
        np.tile([-np.inf, np.inf], (4, 1)),
        Bounds(),
        Bounds(np.full(4, -np.inf), np.full(4, np.inf)),
    ],
    ids=["none", "infinite", "array", "default", "vectors"],
)
def test_bounds_that_bind_nothing_are_let_in(bounds):
    np.testing.assert_array_equal(solve(bounds=bounds).x, solve().x)


def test_products_may_be_left_to_differences_of_gradients():
    found = solve(hessp=None)
    assert found.success and np.linalg.norm(found.jac) <= 1e-5
    np.testing.assert_allclose(found.x, np.ones(4), atol=1e-4)
    assert found.njev > found.nhev > found.nit
    single = minimize(lambda x: float(rosen(x)), START.astype(np.float32), jac=rosen_der, method=hessian_free, tol=1e-2)
    assert single.success and single.x.dtype == np.float32


@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6])
def test_differences_are_as_good_for_directions_of_any_length(length):
    v = length * np.random.default_rng(0).standard_normal(4)
    objective = _ScipyObjective(rosen, rosen_der, None, None, (), START)
    # Third derivatives times a step of the root of eps.
    np.testing.assert_allclose(
        objective.linearize(START).gauss_newton(v), rosen_hess_prod(START, v), atol=1e-4 * length
    )
    assert not objective.linearize(START).gauss_newton(np.zeros(4)).any()


def logistic_in_float32():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(200, 20)).astype(np.float32)
    y = (A[:, 0] > 0).astype(np.float32)

    def value(x):
        a = A @ x.astype(np.float32)
        return np.mean(np.logaddexp(np.float32(0), a) - y * a) + np.float32(0.005) * np.sum(x.astype(np.float32) ** 2)

    def probability(x):
        return 1 / (1 + np.exp(-(A @ x.astype(np.float32))))

    def gradient(x):
        return A.T @ (probability(x) - y) / np.float32(200) + np.float32(0.01) * x.astype(np.float32)

    def product(x, p):
        s, p = probability(x), p.astype(np.float32)
        return A.T @ (s * (1 - s) * (A @ p)) / np.float32(200) + np.float32(0.01) * p

    return value, gradient, product


@pytest.mark.parametrize("differences", [False, True])
def test_functions_in_float32_are_minimised_from_a_start_in_float64(differences):
    value, gradient, product = logistic_in_float32()
    found = minimize(
        value, np.zeros(20), jac=gradient, hessp=None if differences else product, method=hessian_free, tol=1e-4
    )
    assert found.success and np.linalg.norm(found.jac) <= 1e-4


@pytest.mark.parametrize("step", [1.5e-8, 1e-7])
def test_products_by_a_users_differences_are_symmetric_enough(step):
    found = solve(hessp=lambda x, p: (rosen_der(x + step * p) - rosen_der(x)) / step)
    assert found.success and np.linalg.norm(found.jac) <= 1e-5


@pytest.mark.parametrize("gtol", [1e-8, 1e-10, 1e-12])
def test_a_gradient_below_the_cancellation_of_losses_is_reached(gtol):
    c = np.array([3.0, -2.0, 5.0])
    found = minimize(
        lambda x: np.sum(np.exp(x - c) - 1 - (x - c)), np.zeros(3), jac=lambda x: np.exp(x - c) - 1,
        hessp=lambda x, p: np.exp(x - c) * p, method=hessian_free, options={"gtol": gtol},
    )  # fmt: skip
    assert found.success and np.linalg.norm(found.jac) <= gtol
