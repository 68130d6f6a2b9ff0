"""torch modules under the Hessian-free method: the same numbers as NumPy's, by a route that every layer has."""

import copy
import doctest
import io
import logging
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from contracts import every
from objectives import small_net
from optim import HessianFree, StopReason, checks, for_torch, minimize
from optim.probing import GRADIENT_RTOL
from same_steps import DAMPING, LOSS_RTOL, assert_same_steps

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn
F = torch.nn.functional

# Sums of a few hundred float64 products, taken in another order.
RTOL = 1e-10
ROUTES = {route: route for route in ("forward", "double backward", "double backward unfused")}
LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@pytest.fixture(autouse=True)
def one_thread_and_a_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


class Recurrent(nn.Module):
    """A recurrent layer of torch's and a linear readout of its last state; returns the states as well."""

    def __init__(self, layer, dtype=torch.float64):
        super().__init__()
        self.layer = layer(2, 3, batch_first=True, dtype=dtype)
        self.readout = nn.Linear(3, 2, dtype=dtype)

    def forward(self, X):
        states, _ = self.layer(X)
        return self.readout(states[:, -1]), states


class TwinNet(nn.Module):
    """The naive TanhNet, its parameters in the same order; returns outputs (B, O) and pre-activations (B, T, H)."""

    def __init__(self, net, theta):
        super().__init__()
        names = ("Wx", "Wh", "b", "h0", "Wo", "bo")
        for name, value in zip(names, net.parts(theta), strict=True):
            self.register_parameter(name, nn.Parameter(torch.tensor(value)))

    def forward(self, X):
        h, activations = self.h0.expand(len(X), -1), []
        for x in X.unbind(1):
            activations.append(x @ self.Wx.T + h @ self.Wh.T + self.b)
            h = torch.tanh(activations[-1])
        return h @ self.Wo.T + self.bo, torch.stack(activations, 1)


def half_square(outputs, y):
    return 0.5 * ((outputs - y) ** 2).sum()


def tanh_distance(a):
    return 1.0 - torch.tanh(a) ** 2


def twin(**settings):
    """The naive objective, its twin in torch and where to start."""
    naive, theta = small_net(**settings)
    module = TwinNet(naive.net, theta)
    objective = for_torch.TorchObjective(
        module, half_square, torch.tensor(naive.net.X), torch.tensor(naive.net.y),
        hidden=lambda returned: returned[1], hidden_curvature=tanh_distance,
    )  # fmt: skip
    return naive, objective, theta


def recurrent(layer, dtype=torch.float64, **settings):
    """An objective of a recurrent layer, with cross-entropy and hidden states."""
    X, y = torch.randn(4, 3, 2, dtype=dtype), torch.tensor([0, 1, 1, 0])
    return for_torch.TorchObjective(
        Recurrent(layer, dtype), nn.CrossEntropyLoss(reduction="sum"), X, y, hidden=lambda returned: returned[1],
        **settings,
    )  # fmt: skip


def closure_of(module, X, y, **settings):
    return lambda role: (half_square((returned := module(X))[0], y), len(X), *returned)


# ------------------------------------------------------------------------------------------------ TorchObjective


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
        ({"routes": ("sideways",)}, ValueError, "routes must be a tuple of names among"),
    ],
)
def test_what_cannot_be_an_objective_is_refused(change, error, message):
    arguments = {"module": nn.Linear(2, 1), "loss": half_square, "routes": ("forward",), **change}
    with pytest.raises(error, match=message):
        for_torch.TorchObjective(X=torch.ones(4, 2), y=torch.ones(4, 1), **arguments)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, y: (outputs - y) ** 2, r"loss_sum must be a tensor of one number, got shape \(4, 1\)"),
        (lambda outputs, y: 1.0, "loss_sum must be a tensor of one number, got float"),
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


def test_the_optimizer_takes_the_steps_of_minimize():
    naive, objective, theta = twin()
    expected = minimize(naive, theta, HessianFree(structural=0.1, damping=DAMPING, cg=10), max_iterations=10).trace
    module = objective.module
    settings = {"structural": 0.1, "hidden_curvature": tanh_distance, "damping": DAMPING, "cg": 10}
    optimizer = for_torch.HessianFree(module.parameters(), **settings)
    closure = closure_of(module, objective.X, objective.y)
    losses = [optimizer.step(closure) for _ in range(10)]
    np.testing.assert_array_equal(optimizer.trace["damping"], expected["damping"])
    np.testing.assert_allclose(losses, expected["loss"], rtol=LOSS_RTOL)
    np.testing.assert_allclose(optimizer.trace["loss_after"], expected["loss_after"], rtol=LOSS_RTOL)


# -------------------------------------------------------------------------------------------------- the optimizer


def make(layer=nn.RNN, dtype=torch.float64, **settings):
    torch.manual_seed(1)
    module = Recurrent(layer, dtype)
    X = torch.randn(12, 5, 2, dtype=dtype)
    optimizer = for_torch.HessianFree(module.parameters(), **settings)
    return module, optimizer, closure_of(module, X, torch.tanh(X[:, 0]))


def test_it_is_a_torch_optimizer():
    module, optimizer, closure = make()
    assert isinstance(optimizer, torch.optim.Optimizer) and type(optimizer) is for_torch.HessianFree
    optimizer.zero_grad()
    assert optimizer.step(closure) > optimizer.step(closure)
    assert all(parameter.grad is None for parameter in module.parameters())


@every(LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_it_lowers_the_loss_of_torchs_layers(layer, dtype):
    _, optimizer, closure = make(layer, dtype, structural=0.03)
    first, *_, last = [optimizer.step(closure) for _ in range(6)]
    assert last < 0.6 * first and optimizer.reason is None and optimizer.trace.n_rows == 6


def test_resuming_by_state_dict_gives_the_same_bits():
    module, optimizer, closure = make(structural=0.1, weight_decay=1e-3)
    for _ in range(3):
        optimizer.step(closure)
    file = io.BytesIO()
    torch.save({"module": module.state_dict(), "optimizer": optimizer.state_dict()}, file)
    for _ in range(3):
        optimizer.step(closure)
    expected = [parameter.detach().clone() for parameter in module.parameters()]
    module, again, closure = make(structural=0.1, weight_decay=1e-3)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    module.load_state_dict(saved["module"])
    again.load_state_dict(saved["optimizer"])
    for _ in range(3):
        again.step(closure)
    for parameter, value in zip(module.parameters(), expected, strict=True):
        assert torch.equal(parameter, value)
    np.testing.assert_array_equal(again.trace["damping"], optimizer.trace["damping"][3:])


@every({"copy": copy.deepcopy, "pickle": lambda pair: pickle.loads(pickle.dumps(pair))})
def test_a_copy_goes_on_as_the_original(duplicate):
    module, optimizer, closure = make()
    optimizer.step(closure)
    twin_module, twin_optimizer = duplicate((module, optimizer))
    X = torch.randn(12, 5, 2, dtype=torch.float64)
    for each, its_optimizer in ((module, optimizer), (twin_module, twin_optimizer)):
        its_optimizer.step(closure_of(each, X, X[:, 0]))
    for parameter, value in zip(module.parameters(), twin_module.parameters(), strict=True):
        assert torch.equal(parameter, value)


def test_steps_without_fused_kernels_are_the_same():
    losses = []
    for route in ("double backward", "double backward unfused"):
        _, optimizer, closure = make(structural=0.1)
        optimizer.route = route
        losses.append([optimizer.step(closure) for _ in range(3)])
        assert optimizer.route == route
    np.testing.assert_allclose(*losses, rtol=LOSS_RTOL)


def test_closure_is_asked_for_every_role():
    _, optimizer, closure = make(debias=True)
    asked = []
    optimizer.step(lambda role: asked.append(role) or closure(role))
    assert set(asked) == {"gradient", "curvature", "acceptance", "debias"}


def test_weight_decay_of_groups_spares_what_they_say():
    module, _, closure = make()
    groups = [
        {"params": [p for name, p in module.named_parameters() if "bias" not in name]},
        {"params": [p for name, p in module.named_parameters() if "bias" in name], "weight_decay": 0.0},
    ]
    optimizer = for_torch.HessianFree(groups, weight_decay=0.5)
    decayed = sum(float((p.detach() ** 2).sum()) for p in groups[0]["params"])
    with torch.no_grad():
        loss_sum, weight, *_ = closure("gradient")
    assert optimizer.step(closure) == pytest.approx(float(loss_sum) / weight + 0.25 * decayed, rel=RTOL)
    optimizer.param_groups[1]["weight_decay"] = 0.1
    with pytest.raises(ValueError, match=r"weight_decay of a group must be 0 or that of all others, got \[0.1, 0.5\]"):
        optimizer.step(closure)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_step_that_is_broken_off_leaves_the_parameters(error):
    module, optimizer, closure = make()
    optimizer.step(closure)
    before, state = [p.detach().clone() for p in module.parameters()], copy.deepcopy(optimizer.state_dict())
    calls = []

    def broken(role):
        calls.append(role)
        if len(calls) == 5:  # a trial, at parameters that are not those of the start
            assert not all(torch.equal(p, value) for p, value in zip(module.parameters(), before, strict=True))
            raise error
        return closure(role)

    with pytest.raises(error):
        optimizer.step(broken)
    assert all(torch.equal(p, value) for p, value in zip(module.parameters(), before, strict=True))
    now, then = optimizer.state_dict()["state"][0], state["state"][0]
    assert torch.equal(now.pop("direction"), then.pop("direction")) and now == then


def detached(closure):
    return lambda role: (lambda loss, weight, outputs, hidden: (loss, weight, outputs.detach()))(*closure(role))


def used_up(closure):
    def call(role):
        returned = closure(role)
        if returned[0].requires_grad:
            returned[0].backward()
        return returned

    return call


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda closure: None, TypeError, "closure must be a function of a role, got None"),
        (lambda closure: lambda: closure("gradient"), TypeError, "closure must take one argument, the role"),
        (
            lambda closure: lambda role: closure(role)[0],
            TypeError,
            "got a Tensor alone; Gauss-Newton products .* a loss",
        ),
        (lambda closure: lambda role: closure(role)[0].item(), TypeError, "got float; Gauss-Newton"),
        (lambda closure: lambda role: closure(role)[:2], TypeError, "got 2 values; Gauss-Newton"),
        (lambda closure: lambda role: (1.0, *closure(role)[1:]), TypeError, "loss_sum must be a tensor of one number"),
        (lambda closure: lambda role: (closure(role)[0].detach(), 1, 2), TypeError, "outputs of closure.* got int"),
        (
            lambda closure: lambda role: (closure(role)[0].detach(), *closure(role)[1:]),
            ValueError,
            "loss_sum that depends on the parameters, got one without a graph",
        ),
        (lambda closure: lambda role: (closure(role)[0], 0, closure(role)[2]), ValueError, "weight of a batch must be"),
        (
            lambda closure: lambda role: (closure(role)[0], 12, closure(role)[2]),
            ValueError,
            "loss_sum must be computed from the very tensor that is given as outputs",
        ),
        (detached, ValueError, "outputs must be computed from the parameters, got a tensor without a graph"),
        (used_up, ValueError, r"call no backward\(\) in it"),
    ],
)
def test_wrong_closures_are_named_before_anything_moves(spoil, error, message):
    module, optimizer, closure = make()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    with pytest.raises(error, match=message):
        optimizer.step(spoil(closure))
    assert all(torch.equal(p, value) for p, value in zip(module.parameters(), before, strict=True))


def test_structural_damping_without_hidden_states_is_refused():
    _, optimizer, closure = make(structural=0.1)
    with pytest.raises(NotImplementedError, match=r"return them last from closure\(role\)"):
        optimizer.step(lambda role: closure(role)[:3])


def test_other_data_at_every_call_are_an_error_in_words():
    module, optimizer, _ = make()
    before = [parameter.detach().clone() for parameter in module.parameters()]

    def noisy(role):
        X = torch.randn(12, 5, 2, dtype=torch.float64)
        return closure_of(module, X, X[:, 0])(role)

    with pytest.raises(RuntimeError, match=r"not_deterministic.* freeze dropout"):
        optimizer.step(noisy)
    assert all(torch.equal(p, value) for p, value in zip(module.parameters(), before, strict=True))


def test_a_loss_that_is_not_finite_moves_nothing_and_warns():
    module, optimizer, closure = make()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    with pytest.warns(for_torch.StuckWarning, match="not_finite"):
        optimizer.step(lambda role: (closure(role)[0] * torch.nan, 12, closure(role)[2]))
    assert optimizer.reason == StopReason.NOT_FINITE
    assert all(torch.equal(p, value) for p, value in zip(module.parameters(), before, strict=True))


@pytest.mark.parametrize("name", ["lr", "preconditioner", "curvature_growth", "decay_mask"])
def test_settings_that_make_no_sense_here_are_refused(name):
    with pytest.raises(TypeError, match=f"settings must be among .* got {name}"):
        for_torch.HessianFree([nn.Parameter(torch.ones(2))], **{name: 0.1})


def test_state_of_other_parameters_is_refused():
    _, optimizer, closure = make()
    optimizer.step(closure)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2, dtype=torch.float64))]})
    with pytest.raises(ValueError, match=r"the state must be of 31 parameters.* got one of 29"):
        optimizer.step(closure)


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
