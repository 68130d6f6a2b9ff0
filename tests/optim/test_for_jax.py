"""JAX models under the Hessian-free method: the same numbers as NumPy's, compiled once, float64 on the host."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from objectives import small_net
from optim import FlatCurvatureWarning, HessianFree, StopReason, checks, for_jax, minimize
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
        ({"data": np.ones(3)}, TypeError, r"data must be \(X, y\), got a ndarray of shape \(3,\)"),
        ({"params": np.arange(2)}, TypeError, "params must be float32 or float64 arrays.* got int64"),
        ({"params": []}, TypeError, "at least one, got none"),
        ({"params": {"a": 1}}, TypeError, "params must be float32 or float64 arrays.* got int64"),
        ({"params": [np.ones(2, np.float32), np.ones(2)]}, TypeError, "got float32, float64; convert them"),
        ({"params": np.ones(2, complex)}, TypeError, "got complex128; convert them"),
        ({"params": np.ones(2, np.float16)}, TypeError, "got float16; convert them"),
        ({"params": np.ones((0, 2))}, ValueError, r"at least one number, got shapes \(0, 2\)"),
        (
            {"data": (np.ones((3, 2)), np.ones(4))},
            ValueError,
            r"y must have 3 entries, one a sequence, .* shape \(4,\)",
        ),
        ({"data": ({"a": np.ones((3, 2)), "b": np.ones(2)}, None)}, ValueError, r"X\['b'\] must have 3 entries"),
        ({"data": (np.float64(1.0), None)}, ValueError, r"batch_axis must be an axis of X, got 0 for shape \(\)"),
        ({"batch_axis": True}, TypeError, "batch_axis must be an integer"),
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
        (
            linear_model,
            lambda o, y: (o - y) ** 2,
            {},
            TypeError,
            r"loss must return one real number, got float64 of shape \(3,\)",
        ),
        (linear_model, lambda o, y: (o + 1j).sum(), {}, TypeError, r"one real number, got complex128 of shape \(\)"),
        (
            linear_model,
            lambda o, y: (1.0, 2.0, 3.0),
            {},
            TypeError,
            r"loss must return one real number, got \(1.0, 2.0",
        ),
        (
            linear_model,
            lambda o, y: (half_square(o, y), jnp.nan),
            {},
            ValueError,
            "weight of a batch must be .* got nan",
        ),
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


def line(params, x):
    return params["a"] * x + params["b"]


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    ("params", "dtypes"),
    [
        ({"a": 1.0, "b": 0.0}, ("float32", "float64")),
        ({"a": np.ones(1, np.float32), "b": 0.0}, ("float32", "float32")),
        ({"a": np.ones(1, np.float32), "b": np.float32(0.0)}, ("float32", "float32")),
    ],
)
def test_floats_of_python_take_the_precision_of_the_others_or_of_jax(params, dtypes, x64):
    jax.config.update("jax_enable_x64", x64)
    objective = for_jax.JaxObjective(line, half_square, params, (np.arange(3.0), np.ones(3)))
    assert objective.theta0.dtype == dtypes[x64]
    np.testing.assert_array_equal(objective.theta0, [1.0, 0.0])
    assert np.shape(objective.params(objective.theta0)["b"]) == ()


@compiles
def test_a_line_with_floats_of_python_is_fitted():
    x = np.linspace(0.0, 1.0, 20)
    objective = for_jax.JaxObjective(line, half_square, {"a": 1.0, "b": 0.0}, (x, 2.0 * x + 1.0))
    result = minimize(objective, objective.theta0, HessianFree(), tolerance=1e-8)
    np.testing.assert_allclose(result.theta, [2.0, 1.0], rtol=1e-6)


@compiles
@pytest.mark.parametrize("data", [(None, None), (None, np.array([1.0, 2.0])), [(), {}]])
def test_residuals_need_no_data(data):
    def rosenbrock(p, X):
        return jnp.stack([10.0 * (p[1] - p[0] ** 2), 1.0 - p[0]])

    objective = for_jax.JaxObjective(rosenbrock, lambda r, y: 0.5 * jnp.sum(r**2), np.array([-1.2, 1.0]), data)
    weight = float(objective.n_sequences)
    assert weight == (2.0 if data[1] is not None and len(data[1]) else 1.0)
    result = minimize(objective, objective.theta0, HessianFree(), tolerance=1e-8)
    np.testing.assert_allclose(result.theta, 1.0, rtol=1e-6)
    if weight == 1.0:
        squares = objective.linearize(objective.theta0, np.array([0])).squared_gradients()
        np.testing.assert_allclose(squares, objective.value_and_grad(objective.theta0).grad ** 2, rtol=RTOL)


@compiles
def test_lengths_and_answers_of_time_major_sequences_are_taken_by_sequence():
    rng = np.random.default_rng(0)
    X, lengths, y = rng.standard_normal((7, 10, 2)), rng.integers(1, 8, 10), rng.standard_normal((10, 1))

    def apply(params, data):
        X, lengths = data
        mask = jnp.arange(7)[:, None] < lengths
        return jnp.sum((X @ params) * mask[..., None], 0)

    objective = for_jax.JaxObjective(apply, half_square, np.ones((2, 1)), ((X, lengths), y), batch_axis=1)
    batch = np.array([8, 1, 5])
    by_hand = for_jax.JaxObjective(
        apply, half_square, np.ones((2, 1)), ((X[:, batch], lengths[batch]), y[batch]), batch_axis=1
    )
    ours, expected = objective.value_and_grad(objective.theta0, batch), by_hand.value_and_grad(objective.theta0)
    assert objective.n_sequences == 10 and ours.weight == expected.weight == 3.0
    np.testing.assert_allclose(ours.grad, expected.grad, rtol=RTOL)
    squares = [part.linearize(objective.theta0, rows).squared_gradients() for part, rows in
               ((objective, batch), (by_hand, None))]  # fmt: skip
    np.testing.assert_allclose(*squares, rtol=RTOL)


@pytest.mark.parametrize(
    ("batch", "error"), [([3], ValueError), ([-1], ValueError), ([0.5], TypeError), ([], ValueError)]
)
def test_a_batch_of_what_is_not_there_is_named(batch, error):
    objective = for_jax.JaxObjective(linear_model, half_square, np.ones(2), (np.ones((3, 2)), np.ones(3)))
    with pytest.raises(error, match=r"batch must be indices in \[0, 2\]"):
        objective.value(objective.theta0, np.array(batch))


@compiles
def test_squared_gradients_of_many_sequences_are_summed_in_float64():
    n, x = 100_000, np.float32(0.1**0.5)
    data = (np.full((n, 1), x), np.zeros(n, np.float32))
    objective = for_jax.JaxObjective(linear_model, lambda o, y: jnp.sum(o), np.ones(1, np.float32), data)
    squares = objective.linearize(objective.theta0).squared_gradients()
    assert squares.dtype == np.float32
    np.testing.assert_allclose(squares, n * np.float64(x) ** 2, rtol=1e-6)  # 256 products of float32 at a time


@compiles
@pytest.mark.parametrize("is_flat", [True, False])
def test_a_loss_without_curvature_is_told(is_flat, recwarn):
    def apply(params, X):
        return jax.nn.log_softmax(X @ params) if is_flat else X @ params

    def loss(outputs, y):
        return -jnp.sum(y * (outputs if is_flat else jax.nn.log_softmax(outputs)))

    rng = np.random.default_rng(0)
    data = (rng.standard_normal((5, 2)), np.eye(3)[[0, 1, 2, 0, 1]])
    objective = for_jax.JaxObjective(apply, loss, np.zeros((2, 3)), data)
    minimize(objective, objective.theta0, HessianFree(), max_iterations=2)
    assert [each.category for each in recwarn] == [FlatCurvatureWarning] * is_flat


@compiles
def test_a_loss_that_is_not_finite_ends_the_run_with_that_reason():
    objective = for_jax.JaxObjective(
        linear_model, lambda o, y: jnp.sum(jnp.log(o)), np.array([-1.0, 0.0]), (np.ones((3, 2)), None)
    )
    assert minimize(objective, objective.theta0, HessianFree()).reason == StopReason.NOT_FINITE


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
