"""JAX models under the Hessian-free method: the same numbers as NumPy's, compiled once, float64 on the host."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from objectives import small_net
from optim import HessianFree, checks, for_jax, minimize
from same_steps import assert_same_steps

jax = pytest.importorskip("jax", reason="jax is not installed")
jnp = jax.numpy

# Sums of a few hundred float64 products, taken in another order.
RTOL = 1e-10
compiles = pytest.mark.slow  # seconds, nearly all of them JAX's compiler's


@pytest.fixture(autouse=True)
def float64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def tanh_net(params, X):
    """The naive TanhNet: outputs (B, O), and pre-activations (T, B, H)."""
    Wx, Wh, b, h0, Wo, bo = params

    def step(h, x):
        a = x @ Wx.T + h @ Wh.T + b
        return jnp.tanh(a), a

    h, activations = jax.lax.scan(step, jnp.broadcast_to(h0, (X.shape[0], h0.size)), jnp.swapaxes(X, 0, 1))
    return h @ Wo.T + bo, activations


def half_square(outputs, y):
    return 0.5 * jnp.sum((outputs - y) ** 2)


def cross_entropy(outputs, y):
    return -jnp.sum(y * jax.nn.log_softmax(outputs)), outputs.shape[0]


def twin(loss="squared", dtype=np.float64, **settings):
    """The naive objective, its twin in JAX and where to start."""
    naive, theta = small_net(loss=loss, dtype=dtype)
    objective = for_jax.JaxObjective(
        tanh_net, {"squared": half_square, "softmax": cross_entropy}[loss], naive.net.parts(theta),
        (naive.net.X, naive.net.y), has_hidden=True, hidden_curvature=lambda a: 1.0 - jnp.tanh(a) ** 2, **settings,
    )  # fmt: skip
    return naive, objective, theta


@compiles
@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_everything_is_as_the_naive_net_has_it(loss):
    naive, objective, theta = twin(loss)
    batch, v = np.array([3, 0, 7]), np.random.default_rng(1).standard_normal(theta.size)
    np.testing.assert_array_equal(objective.theta0, theta)
    evaluation, expected = objective.value_and_grad(theta, batch), naive.value_and_grad(theta, batch)
    assert evaluation.loss == pytest.approx(expected.loss, rel=RTOL) and evaluation.weight == expected.weight
    np.testing.assert_allclose(evaluation.grad, expected.grad, rtol=RTOL, atol=RTOL)
    assert objective.value(theta, batch).loss == pytest.approx(expected.loss, rel=RTOL)
    linear, expected = objective.linearize(theta, batch), naive.linearize(theta, batch)
    for structural in (0.0, 0.3):
        product = linear.gauss_newton(v, structural=structural)
        np.testing.assert_allclose(product, expected.gauss_newton(v, structural=structural), rtol=RTOL, atol=RTOL)
        assert product.dtype == np.float64
    np.testing.assert_allclose(linear.squared_gradients(), expected.squared_gradients(), rtol=RTOL, atol=RTOL)


@compiles
def test_products_are_those_of_the_dense_matrix():
    naive, objective, theta = twin()
    outputs = jax.jit(lambda theta: tanh_net(objective.params(theta), naive.net.X)[0])
    n_outputs = naive.net.y.size
    found = checks.gauss_newton(objective, theta, lambda theta: np.asarray(outputs(theta)), np.ones(n_outputs))
    assert found.passed, found
    checks.check(objective, theta, structural=0.3)


@compiles
@pytest.mark.parametrize("structural", [0.0, 0.1])
def test_ten_steps_are_those_of_numpy(structural):
    naive, objective, theta = twin()
    assert_same_steps([naive, objective], theta, structural)


@compiles
def test_compiled_functions_serve_all_points_vectors_and_dampings():
    traced = []

    def apply(params, X):
        traced.append(X.shape)
        return tanh_net(params, X)

    naive, theta = small_net()
    objective = for_jax.JaxObjective(
        apply, half_square, naive.net.parts(theta), (naive.net.X, naive.net.y), has_hidden=True
    )

    def use(theta, scale):
        objective.value(theta)
        objective.value_and_grad(theta)
        linear = objective.linearize(theta)
        return linear.gauss_newton(scale * theta, structural=0.1 * scale)

    use(theta, 1.0)
    n_traces = len(traced)
    for scale in (2.0, 3.0):
        use(scale * theta, scale)
    assert len(traced) == n_traces > 0
    compiled = objective.compiled
    assert compiled.product._cache_size() == compiled.linearize._cache_size() == 1


@compiles
def test_float32_stays_while_scalars_of_the_host_are_float64():
    _, objective, theta = twin(dtype=np.float32)
    evaluation = objective.value_and_grad(theta)
    product = objective.linearize(theta).gauss_newton(theta, structural=0.1)
    assert evaluation.grad.dtype == product.dtype == objective.theta0.dtype == np.float32
    assert type(evaluation.loss_sum) is float and type(evaluation.weight) is float
    result = minimize(objective, theta, HessianFree(structural=0.1), max_iterations=3)
    assert result.theta.dtype == np.float32 and result.value < 0.5 * evaluation.loss


@compiles
def test_outputs_hidden_states_and_data_may_be_trees():
    rng = np.random.default_rng(0)
    X, y = {"x": rng.standard_normal((6, 2))}, (rng.standard_normal(6), np.ones(6))

    def apply(params, X):
        a = X["x"] @ params["W"]
        return {"one": jnp.tanh(a[:, 0]), "two": a[:, 1]}, (a, a**2)

    def loss(outputs, y):
        return jnp.sum((outputs["one"] * outputs["two"] - y[0]) ** 2 * y[1]) + jnp.sum(outputs["two"] ** 2)

    params = {"W": rng.standard_normal((2, 2))}
    objective = for_jax.JaxObjective(apply, loss, params, (X, y), has_hidden=True)
    assert objective.n_sequences == 6 and objective.value(objective.theta0, np.array([0, 1])).weight == 2.0
    assert checks.symmetry(objective, objective.theta0, structural=0.3).passed
    np.testing.assert_array_equal(objective.params(objective.theta0)["W"], params["W"])


def linear_model(params, X):
    return X @ params


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"apply": 1}, TypeError, "apply must be a function, got int"),
        ({"loss": None}, TypeError, "loss must be a function, got NoneType"),
        ({"data": np.ones(3)}, TypeError, r"data must be \(X, y\), got ndarray"),
        ({"params": np.arange(2)}, TypeError, "params must be float32 or float64 arrays.* got int64"),
        ({"params": []}, TypeError, "at least one, got none"),
    ],
)
def test_what_cannot_be_an_objective_is_refused(change, error, message):
    data = (np.ones((3, 2)), np.ones(3))
    arguments = {"apply": linear_model, "loss": half_square, "params": np.ones(2), "data": data, **change}
    with pytest.raises(error, match=message):
        for_jax.JaxObjective(**arguments)


def test_float64_needs_a_jax_that_computes_in_it():
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(TypeError, match=r'got float64 with x64 off; call jax.config.update\("jax_enable_x64", True\)'):
        for_jax.JaxObjective(linear_model, half_square, np.ones(2), (np.ones((3, 2)), np.ones(3)))


def test_theta_of_another_precision_is_refused():
    data = (np.ones((3, 2), np.float32), np.ones(3, np.float32))
    objective = for_jax.JaxObjective(linear_model, half_square, np.ones(2, np.float32), data)
    with pytest.raises(TypeError, match="theta must be float32, as params are, got float64"):
        objective.value(np.ones(2))


@pytest.mark.parametrize(
    ("model", "loss", "settings", "error", "message"),
    [
        (linear_model, half_square, {"structural": 0.1}, NotImplementedError, "give has_hidden=True"),
        (linear_model, lambda o, y: (o - y) ** 2, {}, TypeError, r"loss must return one number, got shape \(3,\)"),
        (linear_model, lambda o, y: (half_square(o, y), 0), {}, ValueError, "weight of a batch must be .* > 0, got 0"),
    ],
)
def test_wrong_models_and_losses_are_named(model, loss, settings, error, message):
    objective = for_jax.JaxObjective(model, loss, np.ones(2), (np.ones((3, 2)), np.zeros(3)))
    with pytest.raises(error, match=message):
        minimize(objective, objective.theta0, HessianFree(**settings))


def test_hidden_states_that_are_promised_must_come():
    data = (np.ones((3, 2)), np.ones(3))
    objective = for_jax.JaxObjective(linear_model, half_square, np.ones(2), data, has_hidden=True)
    with pytest.raises(TypeError, match=r"apply must return \(outputs, hidden\) with has_hidden=True"):
        objective.linearize(objective.theta0)


def test_importing_the_adapter_does_not_load_jax():
    script = "import sys, optim, optim.for_jax; print('jax' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(for_jax.__file__).parents[1])}
    answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@compiles
def test_examples_of_the_docstring_run():
    """They are skipped where modules are searched for examples, because JAX may be missing there."""
    documented = for_jax.JaxObjective
    example = doctest.DocTestParser().get_doctest(documented.__doc__, {}, documented.__name__, None, None)
    for line in example.examples:
        line.options.pop(doctest.SKIP, None)
    assert len(example.examples) > 3
    told = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=told.append)
    assert failed == 0, "".join(told)
