"""torch modules under the Hessian-free method: the same numbers as NumPy's, by a route that every layer has."""

import doctest
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from contracts import every
from optim import HessianFree, StopReason, checks, for_torch, minimize
from optim.checks.probing import GRADIENT_RTOL
from same_steps import assert_same_steps
from torch_models import LAYERS, ROUTES, RTOL, half_square, make, nn, recurrent, torch, twin
from torch_models import one_thread_and_a_seed as one_thread_and_a_seed


@every(ROUTES)
def test_every_route_gives_the_products_of_the_naive_net(route):
    naive, objective, theta = twin()
    objective.routes = (route,)
    batch, v = np.array([3, 0, 7]), np.random.default_rng(1).standard_normal(theta.size)
    ours, expected = objective.linearize(theta, batch), naive.linearize(theta, batch)
    for structural in (0.0, 0.3):
        np.testing.assert_allclose(
            ours.gauss_newton(v, structural=structural), expected.gauss_newton(v, structural=structural), rtol=RTOL
        )
    assert ours.weight == expected.weight and objective.route == route
    np.testing.assert_allclose(ours.squared_gradients(), expected.squared_gradients(), rtol=RTOL)


def test_loss_and_gradient_are_those_of_the_naive_net():
    naive, objective, theta = twin()
    ours, expected = objective.value_and_grad(theta), naive.value_and_grad(theta)
    assert ours.loss == pytest.approx(expected.loss, rel=RTOL) and ours.weight == expected.weight
    np.testing.assert_allclose(ours.grad, expected.grad, rtol=RTOL, atol=RTOL)
    assert objective.value(theta) == type(ours)(ours.loss_sum, ours.weight)


@every(LAYERS)
def test_products_of_torchs_layers_are_those_of_the_dense_matrix(layer):
    objective = recurrent(layer)
    theta = objective.read()

    def outputs_and_states(theta):
        outputs, states = objective.images(objective.leaves(theta), None)
        return torch.cat([outputs.reshape(-1), states.reshape(-1)]).detach().numpy()

    def curvature(images):
        p = torch.softmax(torch.tensor(images[:8]).reshape(4, 2), 1).numpy()
        blocks = [np.diag(row) - np.outer(row, row) for row in p]
        H = 0.3 * np.eye(images.size)
        for n, block in enumerate(blocks):
            H[2 * n : 2 * n + 2, 2 * n : 2 * n + 2] = block
        return H

    found = checks.gauss_newton(objective, theta, outputs_and_states, curvature, structural=0.3)
    assert found.passed and found.tolerance == GRADIENT_RTOL, found
    checks.check(objective, theta, structural=0.3)


@every(LAYERS)
def test_every_layer_has_products_in_float32(layer):
    objective = recurrent(layer, torch.float32)
    theta = objective.read()
    assert theta.dtype == np.float32
    exact = recurrent(layer)
    exact.write(theta.astype(np.float64))
    exact.X = objective.X.double()
    v = np.random.default_rng(0).standard_normal(theta.size)
    product = objective.linearize(theta).gauss_newton(v.astype(np.float32), structural=0.1)
    expected = exact.linearize(exact.read()).gauss_newton(v, structural=0.1)
    assert product.dtype == np.float32
    np.testing.assert_allclose(product, expected, rtol=1e-4, atol=1e-5 * np.max(np.abs(expected)))


def test_lstm_falls_back_and_says_so(caplog):
    objective = recurrent(nn.LSTM, torch.float32)
    with caplog.at_level(logging.WARNING, logger="optim"):
        objective.linearize(objective.read())
    assert objective.route == "double backward" and "mkldnn_rnn_layer" in objective.refused["forward"]
    assert "torch refuses products of Recurrent by forward" in caplog.text
    caplog.clear()
    objective.linearize(objective.read())
    assert not caplog.records, "once is enough"


def test_no_route_left_is_an_error_that_gives_the_reasons():
    objective = recurrent(nn.LSTM, torch.float32, routes=("forward",))
    with pytest.raises(NotImplementedError, match=r"routes must have one that torch knows .*mkldnn_rnn_layer"):
        objective.linearize(objective.read())


def test_an_error_of_the_model_is_not_taken_for_a_refusal():
    objective = for_torch.TorchObjective(nn.Linear(3, 1), half_square, torch.ones(4, 2), torch.ones(4, 1))
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        objective.linearize(objective.read())
    assert objective.route is None and not objective.refused


def test_products_stay_right_while_other_points_are_looked_at():
    _, objective, theta = twin()
    v = np.ones(theta.size)
    linear = objective.linearize(theta)
    before = linear.gauss_newton(v).copy()
    objective.value_and_grad(theta + 1.0)
    objective.linearize(theta - 1.0).gauss_newton(v)
    np.testing.assert_array_equal(linear.gauss_newton(v), before)


def test_batches_are_taken_along_the_axis_that_is_named():
    layer = nn.RNN(2, 3, dtype=torch.float64)  # returns (states (T, B, H), last state)
    X, y = torch.randn(5, 4, 2, dtype=torch.float64), torch.randn(5, 4, 3, dtype=torch.float64)
    objective = for_torch.TorchObjective(layer, half_square, X, y, batch_axis=1)
    theta = objective.read()
    apart = [objective.value_and_grad(theta, np.array([n])) for n in range(objective.n_sequences)]
    whole = objective.value_and_grad(theta)
    assert whole.weight == 4.0 and len(apart) == 4
    np.testing.assert_allclose(sum(part.grad for part in apart), whole.grad, rtol=RTOL)


def test_frozen_parameters_are_not_among_theta():
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    module[0].weight.requires_grad_(False)
    objective = for_torch.TorchObjective(module, half_square, torch.ones(4, 2), torch.ones(4, 1))
    assert objective.n_params == 3 + 3 + 1
    frozen = module[0].weight.clone()
    objective.write(minimize(objective, objective.read(), HessianFree(), max_iterations=2).theta)
    assert torch.equal(module[0].weight, frozen)


def test_minimize_leaves_the_module_alone_until_it_is_written():
    _, objective, theta = twin()
    result = minimize(objective, theta, HessianFree(structural=0.1), max_iterations=3)
    np.testing.assert_array_equal(objective.read(), theta)
    objective.write(result.theta)
    np.testing.assert_array_equal(objective.read(), result.theta)


def test_structural_damping_needs_hidden_states():
    objective = for_torch.TorchObjective(nn.Linear(2, 1), half_square, torch.ones(4, 2), torch.ones(4, 1))
    with pytest.raises(NotImplementedError, match="structural must be 0 where no hidden states are given"):
        minimize(objective, objective.read(), HessianFree(structural=0.1))


def test_dropout_is_refused_in_words():
    module = nn.Sequential(nn.Linear(2, 8), nn.Dropout(), nn.Linear(8, 1))
    objective = for_torch.TorchObjective(module, half_square, torch.randn(16, 2), torch.ones(16, 1))
    result = minimize(objective, objective.read(), HessianFree())
    assert result.reason == StopReason.NOT_DETERMINISTIC and "dropout" in result.message
    module.eval()
    assert minimize(objective, objective.read(), HessianFree(), max_iterations=2).n_iterations == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"module": half_square}, TypeError, "module must be a torch.nn.Module, got function"),
        ({"module": nn.Linear(2, 1).half()}, TypeError, "float32 or float64 tensors of one dtype.* got torch.float16"),
        ({"module": nn.Tanh()}, TypeError, "at least one, got none"),
        ({"loss": nn.MSELoss()}, ValueError, "a function that sums over sequences, got reduction='mean'"),
        ({"routes": "forward"}, TypeError, "routes must be a tuple of names among"),
        ({"routes": ("sideways",)}, ValueError, r"routes\[0\] must be one of 'forward', .* got 'sideways'"),
    ],
)
def test_what_cannot_be_an_objective_is_refused(change, error, message):
    arguments = {"module": nn.Linear(2, 1), "loss": half_square, "routes": ("forward",), **change}
    with pytest.raises(error, match=message):
        for_torch.TorchObjective(X=torch.ones(4, 2), y=torch.ones(4, 1), **arguments)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, y: (outputs - y) ** 2, r"one real number, got torch.float32 of shape \(4, 1\)"),
        (lambda outputs, y: (outputs * 1j).sum(), r"one real number, got torch.complex64 of shape \(\)"),
        (lambda outputs, y: (half_square(outputs, y), 1.0, 2.0), "got tuple; sum the losses"),
        (lambda outputs, y: 1.0, "loss_sum must be a tensor of one real number, got float"),
    ],
)
def test_a_loss_that_is_not_one_number_is_refused(loss, message):
    objective = for_torch.TorchObjective(nn.Linear(2, 1), loss, torch.ones(4, 2), torch.ones(4, 1))
    with pytest.raises(TypeError, match=message):
        objective.value(objective.read())


# --------------------------------------------------------------------------------------------------- the same run


@pytest.mark.parametrize("structural", [0.0, 0.1])
def test_ten_steps_are_those_of_numpy(structural):
    naive, objective, theta = twin()
    assert_same_steps([naive, objective], theta, structural)


def test_nothing_warns_on_the_way():
    _, optimizer, closure = make(nn.LSTM, torch.float32, structural=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step(closure)
        for route in ROUTES:
            objective = recurrent(nn.GRU, routes=(route,))
            minimize(objective, objective.read(), HessianFree(structural=0.1), max_iterations=1)


def test_importing_the_adapter_does_not_load_torch():
    script = "import sys, optim, optim.for_torch; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(for_torch.__file__).parents[1])}
    answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@every({"objective": for_torch.TorchObjective, "optimizer": for_torch.HessianFree})
def test_examples_of_the_docstrings_run(documented):
    """They are skipped where modules are searched for examples, because torch may be missing there."""
    example = doctest.DocTestParser().get_doctest(documented.__doc__, {}, documented.__name__, None, None)
    for line in example.examples:
        line.options.pop(doctest.SKIP, None)
    assert len(example.examples) > 3
    told = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=told.append)
    assert failed == 0, "".join(told)
