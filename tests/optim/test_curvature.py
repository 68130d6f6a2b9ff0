"""The damped product and its preconditioner, on the naive recurrent net, whose own curvature is proved first."""

import numpy as np
import pytest

from objectives import logistic_regression, small_net
from optim import checks, from_callables
from optim.curvature import DampedCurvature, diagonal_preconditioner, own_preconditioner

PRODUCT_RTOL = 1e-10


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("loss", ["squared", "softmax", "squared of logistic"])
def test_naive_net_is_right(loss, every_step):
    objective, theta = small_net(loss, every_step, n_sequences=4, n_steps=4, n_hidden=3)
    checks.check(objective, theta, structural=0.7)
    net = objective.net

    def curvature(z):
        blocks = z.reshape(-1, net.n_out)
        eye = np.eye(net.n_out)
        return [np.stack([net.output_curvature(o[None], u[None])[0] for u in eye], axis=1) for o in blocks]

    def block_diagonal(z):
        H = np.zeros((z.size, z.size))
        for k, block in enumerate(curvature(z)):
            here = slice(k * net.n_out, (k + 1) * net.n_out)
            H[here, here] = block
        return H

    assert checks.gauss_newton(objective, theta, net.outputs_of, block_diagonal).passed
    structural = 0.7

    def outputs_and_hidden(theta):
        return np.concatenate([net.outputs_of(theta), net.preactivations_of(theta)[0]])

    def with_hidden(z):
        m = net.outputs_of(theta).size
        H = np.zeros((z.size, z.size))
        H[:m, :m] = block_diagonal(z[:m])
        H[m:, m:] = np.diag(structural * net.preactivations_of(theta)[1])
        return H

    done = checks.gauss_newton(objective, theta, outputs_and_hidden, with_hidden, structural=structural)
    assert done.passed, done


def test_damped_product_is_the_dense_one():
    objective, theta = small_net(n_sequences=5, n_steps=3, n_hidden=3)
    batch = np.array([0, 3, 4])
    dense = checks.dense_gauss_newton(objective, theta, batch, structural=0.05) / 3.0 + 0.5 * np.eye(theta.size)
    out = np.empty_like(theta)
    product = DampedCurvature(objective.linearize(theta, batch), 0.5, 0.05, out)
    v = np.random.default_rng(0).standard_normal(theta.size)
    assert product(v) is out and product.n_products == 1
    np.testing.assert_allclose(out, dense @ v, rtol=PRODUCT_RTOL)


def test_preconditioner_squares_the_gradients_of_single_sequences():
    objective, theta = small_net(n_sequences=6)
    singles = [objective.value_and_grad(theta, np.array([n])).grad for n in range(6)]
    M = diagonal_preconditioner(objective.linearize(theta), 0.1, 0.75)
    np.testing.assert_allclose(M, (np.mean(np.square(singles), axis=0) + 0.1) ** 0.75, rtol=PRODUCT_RTOL)
    single_precision = diagonal_preconditioner(
        small_net(dtype=np.float32)[0].linearize(theta.astype(np.float32)), 0.1, 1
    )
    assert single_precision.dtype == np.float32


def test_preconditioner_lets_cg_need_fewer_steps():
    from optim import CGSettings, conjugate_gradient

    objective, _, _ = logistic_regression()
    linear, theta = objective.linearize(np.zeros(5)), np.zeros(5)
    b = -objective.value_and_grad(theta).grad / 300
    settings = CGSettings(progress=0.0, residual=1e-6, max_iterations=200)
    steps = []
    for M in (None, diagonal_preconditioner(linear, 1e-6, 1.0)):
        product = DampedCurvature(linear, 1e-6, 0.0, np.empty(5))
        steps.append(conjugate_gradient(product, b, preconditioner=M, settings=settings).n_iterations)
    assert steps[1] < steps[0]


def test_missing_squares_are_named():
    plain = from_callables(lambda x: (x @ x, 2 * x), lambda x, v: 2 * v, n_params=2)
    with pytest.raises(NotImplementedError, match="needs an objective whose linearisation has squared_gradients"):
        diagonal_preconditioner(plain.linearize(np.ones(2)), 0.1, 0.75)


def test_an_own_preconditioner_is_asked_for_at_the_damping_and_missing_ones_are_named():
    class Known:
        def preconditioner(self, damping):
            return lambda r, out: np.divide(r, damping, out=out)

    out = np.empty(2)
    own_preconditioner(Known(), 0.5)(np.ones(2), out)
    np.testing.assert_array_equal(out, [2.0, 2.0])
    plain = from_callables(lambda x: (x @ x, 2 * x), lambda x, v: 2 * v, n_params=2)
    with pytest.raises(NotImplementedError, match="needs an objective whose linearisation has preconditioner"):
        own_preconditioner(plain.linearize(np.ones(2)), 0.1)


def test_squares_that_overflow_give_a_usable_preconditioner():
    class Overflowing:
        weight = 2.0

        def squared_gradients(self):
            return np.array([1.0, np.inf, np.nan], np.float32)

    M = diagonal_preconditioner(Overflowing(), 0.1, 0.75)
    assert M.dtype == np.float32 and np.isfinite(M).all() and (M > 0).all() and M[1] > 1e20
