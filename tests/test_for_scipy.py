"""The method inside scipy.optimize.minimize."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import LinearConstraint, minimize, rosen, rosen_der, rosen_hess, rosen_hess_prod
from scipy.sparse.linalg import cg, eigsh

from objectives import small_net
from optim import StopReason, checks
from optim.for_scipy import STATUS, as_linear_operator, hessian_free

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
        ({"hessp": None}, "hessp or hess must be a function"),
        ({"options": {"dampening": 1.0}}, "options must be among .* got dampening"),
        ({"options": {"damping": -1.0}}, "initial must be a finite number > 0, got -1.0"),
    ],
)
def test_what_the_method_cannot_do_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve(**arguments)


def test_a_function_of_many_values_is_named():
    with pytest.raises(ValueError, match=r"fun must return one number, got shape \(4,\)"):
        minimize(lambda x: x, START, jac=rosen_der, hessp=rosen_hess_prod, method=hessian_free)


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
