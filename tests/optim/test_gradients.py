"""The checks find what is planted, and pass what is right."""

import numpy as np
import pytest

from optim import checks, from_callables

RNG = np.random.default_rng(0)
J = RNG.standard_normal((6, 4))
START = RNG.standard_normal(4)


def residuals(x):
    return np.sin(J @ x) + 0.1 * (J @ x)


def jacobian(x):
    return (np.cos(J @ x) + 0.1)[:, None] * J


def value_and_grad(x):
    r = residuals(x)
    return 0.5 * float(r @ r), (jacobian(x).T @ r).astype(x.dtype)


def gauss_newton(x, v):
    return (jacobian(x).T @ (jacobian(x) @ v)).astype(x.dtype)


def right():
    return from_callables(value_and_grad, gauss_newton, n_params=4)


def test_a_right_objective_passes_everything():
    done = checks.check(right(), START)
    assert [each.name for each in done] == ["determinism", "gradient", "symmetry", "positivity"]
    assert all((each.passed and each.error < 0.1 * each.tolerance) or each.tolerance == 0 for each in done)


@pytest.mark.parametrize("entry", range(4))
def test_one_wrong_entry_of_the_gradient_is_found_and_named(entry):
    def wrong(x):
        loss, grad = value_and_grad(x)
        grad[entry] *= 1.0 + 1e-4
        return loss, grad

    with pytest.raises(checks.CheckError, match=rf"gradient must be right to 1e-06.*entry {entry}:"):
        checks.check(from_callables(wrong, n_params=4), START)


@pytest.mark.parametrize(
    ("product", "name"),
    [
        (lambda x, v: gauss_newton(x, v) + 1e-6 * np.roll(v, 1), "symmetry"),
        (lambda x, v: gauss_newton(x, v) - 50.0 * v, "positivity"),
        (lambda x, v: gauss_newton(x, v) * RNG.uniform(0.9, 1.1), "determinism"),
        (lambda x, v: gauss_newton(x, v) * np.nan, "symmetry"),
    ],
)
def test_wrong_products_are_found(product, name):
    with pytest.raises(checks.CheckError, match=f"^{name} must be right"):
        checks.check(from_callables(value_and_grad, product, n_params=4), START)


def test_changing_losses_and_gradients_are_found():
    noisy_loss = from_callables(lambda x: (RNG.normal(), x), n_params=4)
    noisy_grad = from_callables(lambda x: (1.0, x * RNG.normal()), n_params=4)
    assert "losses" in checks.determinism(noisy_loss, START).detail
    assert "gradients" in checks.determinism(noisy_grad, START).detail


def test_dense_matrix_is_that_of_the_products():
    np.testing.assert_allclose(
        checks.dense_gauss_newton(right(), START), jacobian(START).T @ jacobian(START), rtol=1e-13
    )


@pytest.mark.parametrize(
    "curvature", [np.ones(6), np.eye(6), lambda z: np.ones_like(z)], ids=["diagonal", "full", "of"]
)
def test_products_meet_the_dense_construction(curvature):
    assert checks.gauss_newton(right(), START, residuals, curvature).passed
    assert not checks.gauss_newton(right(), START, lambda x: 1.001 * residuals(x), curvature).passed


def test_products_of_the_hessian_are_not_gauss_newton():
    def hessian(x, v):
        h = 1e-5
        return (value_and_grad(x + h * v)[1] - value_and_grad(x - h * v)[1]) / (2.0 * h)

    assert not checks.gauss_newton(
        from_callables(value_and_grad, hessian, n_params=4), START, residuals, np.ones(6)
    ).passed


def test_adjoint_identity_sees_a_transposed_slip():
    v, u = RNG.standard_normal(4), RNG.standard_normal(6)
    assert checks.adjoint_identity(lambda v: J @ v, lambda u: J.T @ u, v, u).passed
    assert not checks.adjoint_identity(lambda v: J @ v, lambda u: 1.0001 * (J.T @ u), v, u).passed


def test_float32_is_judged_by_float32():
    objective, theta = right(), START.astype(np.float32)
    assert checks.symmetry(objective, theta).passed and checks.positivity(objective, theta).passed
    assert checks.symmetry(objective, theta).tolerance > checks.symmetry(objective, START).tolerance


def test_products_of_another_size_are_named():
    objective = from_callables(value_and_grad, lambda x, v: v[:2], n_params=4)
    with pytest.raises(ValueError, match="a curvature product must be float64 of shape"):
        checks.symmetry(objective, START)


@pytest.mark.parametrize("check", [checks.symmetry, checks.positivity])
def test_a_tolerance_of_zero_is_one(check):
    objective, theta = from_callables(lambda x: (0.5 * x @ x, x), lambda x, v: v, n_params=3), np.ones(3)
    assert check(objective, theta, rtol=0.0).tolerance == 0.0
    with pytest.raises(ValueError, match=r"rtol must be a finite number >= 0, got -1.0"):
        check(objective, theta, rtol=-1.0)


def test_settings_of_a_check_are_named():
    objective, theta = from_callables(lambda x: (0.5 * x @ x, x), lambda x, v: v, n_params=3), np.ones(3)
    with pytest.raises(ValueError, match=r"step must be a finite number > 0, got 0.0"):
        checks.gradient(objective, theta, step=0.0)
    with pytest.raises(TypeError, match=r"n_pairs must be an integer >= 1, got 2.5"):
        checks.symmetry(objective, theta, n_pairs=2.5)
