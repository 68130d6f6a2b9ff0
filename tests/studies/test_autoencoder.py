"""The autoencoder of the studies: its curvature is right, its start sparse, its clock strict; passes are counted."""

import numpy as np
import pytest

from optim import CGSettings, HessianFree, Momentum, checks, conjugate_gradient, minimize
from optim.curvature import DampedCurvature, diagonal_preconditioner
from studies import autoencoder, curvature_batches, hf_elsewhere
from studies.autoencoder import Watch
from studies.learners.logistic_layers import Autoencoder, cross_entropy, kronecker_factored

# Sums of a few dozen float64 products, taken in another order.
RTOL = 1e-11


def small(n_images=9):
    rng = np.random.default_rng(0)
    model = Autoencoder(rng.uniform(size=(n_images, 6)), (6, 4, 3, 6))
    return model, model.start(np.random.default_rng(1))


def test_gradient_and_products_pass_every_check():
    model, theta = small()
    checks.check(model, theta)
    checks.check(model, theta, np.array([4, 0, 7]))


def test_products_are_those_of_the_dense_gauss_newton_matrix():
    model, theta = small()
    p = model.forward(theta)[0][-1][:, :-1]
    found = checks.gauss_newton(model, theta, lambda theta: model.forward(theta)[1], np.ravel(p * (1.0 - p)))
    assert found.passed, found


def test_a_product_leaves_nothing_to_the_next():
    model, theta = small()
    linear, rng = model.linearize(theta), np.random.default_rng(2)
    v, w = rng.standard_normal((2, theta.size))
    first = linear.gauss_newton(v)
    linear.gauss_newton(w)
    linear.squared_gradients()
    np.testing.assert_array_equal(linear.gauss_newton(v), first)


def test_squared_gradients_are_those_of_single_images():
    model, theta = small()
    batch = np.array([2, 5, 6])
    expected = sum(model.value_and_grad(theta, np.array([i])).grad ** 2 for i in batch)
    np.testing.assert_allclose(model.linearize(theta, batch).squared_gradients(), expected, rtol=RTOL)


def signed_gradients(model, theta):
    """Gradients by theta, image by image, of losses whose gradient by z_K has the signs that the model draws."""
    activities, z = model.forward(theta)
    p = activities[-1].T[:-1]
    signs = np.random.default_rng(0).integers(0, 2, p.shape, dtype=np.int8) * 2 - 1
    jacobians = np.array(  # of z_K by theta, image by image: (B, n_K, P)
        [
            [model.backward(theta, [a[n : n + 1] for a in activities], unit[None]) for unit in np.eye(z.shape[1])]
            for n in range(len(z))
        ]
    )
    return np.einsum("bop,ob->bp", jacobians, signs * np.sqrt(p * (1.0 - p)))


def test_signed_gradients_have_the_curvature_as_their_mean_square():
    """What the factors are made of: over all signs, the mean of g gᵀ is G, here for one image."""
    model, theta = small(n_images=1)
    activities, z = model.forward(theta)
    p = activities[-1].T[:-1, 0]
    J = np.array([model.backward(theta, activities, unit[None]) for unit in np.eye(z.shape[1])])
    products = np.array([model.linearize(theta).gauss_newton(unit) for unit in np.eye(theta.size)])
    np.testing.assert_allclose(J.T @ (J * (p * (1.0 - p))[:, None]), products, atol=RTOL)


def test_own_preconditioner_divides_by_second_moments_between_the_eigenvectors():
    model, theta = small()
    damping, rng = 0.3, np.random.default_rng(3)
    apply = model.linearize(theta).preconditioner(damping)
    r, out = rng.standard_normal(theta.size), np.empty(theta.size)
    apply(r, out)
    gradients = signed_gradients(model, theta)
    activities, _ = model.forward(theta)
    for k, (R, found) in enumerate(zip(model.layers(r), model.layers(out), strict=True)):
        blocks = np.array([model.layers(g)[k] for g in gradients])  # a_n d_nᵀ
        d = blocks[:, -1, :]  # the last input is 1
        U, V = (np.linalg.eigh(x.T @ x)[1] for x in (activities[k], d))
        moments = np.mean((U.T @ blocks @ V) ** 2, axis=0)
        np.testing.assert_allclose(found, U @ ((U.T @ R @ V) / (moments + damping)) @ V.T, rtol=1e-9)


def test_kronecker_factors_are_exact_where_inputs_and_gradients_are_independent():
    rng = np.random.default_rng(4)
    a, d = rng.standard_normal((3, 4)), rng.standard_normal((2, 5))
    pairs = [(i, j) for i in range(4) for j in range(5)]  # every input meets every gradient
    both = np.array([a[:, i] for i, _ in pairs]).T, np.array([d[:, j] for _, j in pairs]).T
    dense = np.kron(a @ a.T / 4, d @ d.T / 5) + 0.1 * np.eye(6)
    R, out = rng.standard_normal((3, 2)), np.empty((3, 2))
    kronecker_factored(*both, 0.1)(R, out)
    np.testing.assert_allclose(out.ravel(), np.linalg.solve(dense, R.ravel()), rtol=1e-9)


def test_own_preconditioner_leaves_less_of_the_way_down_to_cg():
    model = Autoencoder(autoencoder.digits()[:200].astype(np.float64))
    theta = minimize(model, model.start(np.random.default_rng(5)), HessianFree(cg=20), max_iterations=15).theta
    found = model.value_and_grad(theta)
    b, linear, damping = -found.grad / found.weight, model.linearize(theta), 1e-2

    def lowest(M, **settings):
        product = DampedCurvature(linear, damping, 0.0, np.empty_like(b))
        settings = CGSettings(progress=0.0, **settings)
        return conjugate_gradient(product, b, preconditioner=M, settings=settings).quadratics[-1]

    bottom = lowest(None, residual=1e-8, max_iterations=5000)
    diagonal, own = diagonal_preconditioner(linear, damping, 0.75), linear.preconditioner(damping)
    left = [lowest(M, max_iterations=20) - bottom for M in (None, diagonal, own)]
    assert 0.0 < left[2] < min(left[:2]) / 2, left


def test_cross_entropy_is_finite_and_right_where_units_are_saturated():
    z, targets = np.array([[800.0, -800.0, 0.5]]), np.array([[0.0, 1.0, 0.25]])
    expected = 1600.0 + np.log1p(np.exp(0.5)) - 0.125
    assert cross_entropy(z, targets) == pytest.approx(expected, rel=RTOL)


def test_loss_and_error_are_those_of_the_reconstruction():
    model, theta = small()
    (a, *_, p), _ = model.forward(theta)
    a, p = a[:, :-1], p[:, :-1]
    loss = -np.sum(a * np.log(p) + (1.0 - a) * np.log(1.0 - p)) / len(a)
    assert model.value(theta).loss == pytest.approx(loss, rel=RTOL)
    assert model.squared_error(theta) == pytest.approx(np.sum((a - p) ** 2) / len(a), rel=RTOL)


def test_units_begin_with_fifteen_inputs_or_all_they_have():
    model = Autoencoder(np.zeros((1, 64), np.float32))
    theta = model.start(np.random.default_rng(0))
    assert theta.dtype == np.float32
    for *W, b in model.layers(theta):
        np.testing.assert_array_equal(np.count_nonzero(W, axis=0), min(15, len(W)))
        assert not b.any()


def test_structural_damping_is_refused():
    model, theta = small()
    with pytest.raises(NotImplementedError, match=r"structural must be 0.*got 0\.1"):
        model.linearize(theta).gauss_newton(theta, structural=0.1)


def test_a_mark_shows_the_last_parameters_reached_before_it(monkeypatch):
    model, theta = small()
    clock = iter([0.0, 0.4, 1.1])  # the run begins; two steps end
    watch = Watch(model, theta, 1.0)
    monkeypatch.setattr(watch, "elapsed", lambda: next(clock))
    monkeypatch.setattr(autoencoder, "N_MARKS", 2)
    watch.marks = [0.5, 1.0]
    next(clock)
    first, second = theta + 0.1, theta + 0.2
    assert not watch.after_step(first)
    assert watch.after_step(second)
    assert {row["squared_error"] for row in watch.rows} == {model.squared_error(first)}
    assert [row["n_steps"] for row in watch.rows] == [1, 1]


@pytest.mark.parametrize("method", [Momentum(0.01, momentum=0.5), HessianFree(cg=5)])
def test_every_pass_of_an_image_is_counted_once(method):
    model, theta = small()
    counted, n = curvature_batches.Counted(model.images, model.widths), len(model.images)
    result = minimize(counted, theta, method, max_iterations=1)
    plain = minimize(model, theta, method, max_iterations=1)
    np.testing.assert_array_equal(result.theta, plain.theta)
    if isinstance(method, Momentum):
        assert counted.n_passes % n == 0 and counted.n_passes >= 3 * n
    else:
        assert counted.n_passes >= (4 * int(result.trace["products"][-1]) + 3 + 1) * n


def test_a_look_at_curvature_batches_is_a_pure_function_of_its_settings():
    settings = curvature_batches.Settings(n_curvature=30, million_passes=0.01, way="growing always")
    assert curvature_batches.run(settings) == curvature_batches.run(settings)


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("framework", hf_elsewhere.PRESENT)
def test_every_framework_takes_the_steps_of_numpy(framework):
    settings = hf_elsewhere.Settings(framework, T=10, n_units=5, n_sequences=50, n_steps=4)
    rows = hf_elsewhere.run(settings)
    assert len(rows) == 4 and all(row["same_damping"] for row in rows)
    assert max(row["difference"] for row in rows) < 1e-6  # what the optimiser promises over ten steps in float64
