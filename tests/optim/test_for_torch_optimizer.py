"""The Hessian-free method as a torch optimizer: the steps of minimize, and what a training loop may do between them."""

import copy
import io
import pickle

import numpy as np
import pytest

from contracts import every
from optim import HessianFree, StopReason, for_torch, minimize
from same_steps import DAMPING, LOSS_RTOL
from torch_models import LAYERS, RTOL, closure_of, half_square, make, nn, tanh_distance, torch, twin
from torch_models import one_thread_and_a_seed as one_thread_and_a_seed


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
        (
            lambda closure: lambda role: (1.0, *closure(role)[1:]),
            TypeError,
            "loss_sum must be a tensor of one real number",
        ),
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


def test_parameters_that_are_added_start_from_zero():
    _, optimizer, closure = make()
    optimizer.step(closure)
    scale = nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer.add_param_group({"params": [scale]})

    def scaled(role):
        _, weight, outputs, hidden = closure(role)
        outputs = scale * outputs
        return half_square(outputs, 0.5), weight, outputs, hidden

    assert optimizer.step(scaled) > optimizer.step(scaled)
    assert optimizer.state[scale]["direction"].shape == (2,) and not torch.equal(scale, torch.ones_like(scale))


@pytest.mark.parametrize("name", ["layer", "readout"])
def test_layers_may_be_frozen_and_unfrozen_between_steps(name):
    module, optimizer, closure = make(cg=5)
    layer = getattr(module, name)
    losses = [optimizer.step(closure) for _ in range(2)]
    layer.requires_grad_(False)
    frozen = [p.detach().clone() for p in layer.parameters()]
    losses += [optimizer.step(closure) for _ in range(2)]
    assert all(torch.equal(p, value) for p, value in zip(layer.parameters(), frozen, strict=True))
    layer.requires_grad_(True)
    losses += [optimizer.step(closure) for _ in range(2)]
    assert not any(torch.equal(p, value) for p, value in zip(layer.parameters(), frozen, strict=True))
    assert losses == sorted(losses, reverse=True) and len(set(losses)) == 6
    assert optimizer.trace["iteration"].tolist() == list(range(6)), "λ and counts go on"


def test_structural_damping_of_frozen_layers_is_refused():
    module, optimizer, closure = make(structural=0.1)
    module.layer.requires_grad_(False)
    with pytest.raises(NotImplementedError, match=r"structural must be 0 where hidden states are frozen or detached"):
        optimizer.step(closure)


def test_all_parameters_frozen_is_an_error_in_words():
    module, optimizer, closure = make()
    module.requires_grad_(False)
    with pytest.raises(TypeError, match=r"at least one, got none; .*leave some that require gradients"):
        optimizer.step(closure)


def tied():
    """A net whose readout is its embedding, its parameters, embedding and readout both, and a closure."""
    torch.manual_seed(0)
    net = nn.ModuleDict({"embed": nn.Embedding(7, 4), "layer": nn.RNN(4, 4, batch_first=True), "out": nn.Linear(4, 7)})
    net["out"].weight = net["embed"].weight
    ids = torch.randint(0, 7, (9, 5))

    def closure(role):
        outputs = net["out"](net["layer"](net["embed"](ids[:, :-1]))[0]).reshape(-1, 7)
        return nn.functional.cross_entropy(outputs, ids[:, 1:].reshape(-1), reduction="sum"), len(outputs), outputs

    return [p for layer in net.values() for p in layer.named_parameters()], closure


@pytest.mark.parametrize("with_names", [False, True])
def test_tied_weights_that_come_twice_count_once(with_names):
    losses = []
    for is_unique in (True, False):
        named, closure = tied()
        if is_unique:
            named = list({id(p): (name, p) for name, p in reversed(named)}.values())[::-1]
        optimizer = for_torch.HessianFree(named if with_names else [p for _, p in named])
        assert len(optimizer.parameters()) == 6
        losses.append([optimizer.step(closure) for _ in range(4)])
    np.testing.assert_array_equal(*losses)


def parameter(dtype=torch.float32, **settings):
    return nn.Parameter(torch.ones(2, dtype=dtype, **settings))


def test_sparse_gradients_of_an_embedding_move_it_as_dense_ones_do():
    losses = []
    for is_sparse in (False, True):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Embedding(7, 4, sparse=is_sparse), nn.Flatten(), nn.Linear(12, 1))
        ids = torch.randint(0, 7, (9, 3))
        optimizer = for_torch.HessianFree(net.parameters())

        def closure(role, net=net, ids=ids):
            outputs = net(ids)
            return half_square(outputs, 1.0), len(ids), outputs

        losses.append([optimizer.step(closure) for _ in range(4)])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def schedules():
    lr = torch.optim.lr_scheduler
    return {
        "step": lambda optimizer: lr.StepLR(optimizer, 3),
        "plateau": lambda optimizer: lr.ReduceLROnPlateau(optimizer),
        "one cycle": lambda optimizer: lr.OneCycleLR(optimizer, 0.1, total_steps=10, cycle_momentum=False),
        "cosine": lambda optimizer: lr.CosineAnnealingLR(optimizer, 10),
    }


@every(schedules())
@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_learning_rate_schedule_is_refused_in_words(schedule, is_loaded):
    _, optimizer, _ = make()
    if is_loaded:
        optimizer.load_state_dict(optimizer.state_dict())
    with pytest.raises(TypeError, match="got 'lr': HessianFree has no learning rate"):
        schedule(optimizer)


@pytest.mark.parametrize("name", ["lr", "damping"])
def test_settings_of_one_group_are_refused(name):
    _, optimizer, _ = make()
    with pytest.raises(TypeError, match=f"a group must be one with weight_decay and no more, got '{name}'"):
        optimizer.param_groups[0][name] = 0.1
    with pytest.raises(TypeError, match=f"a group must be one with weight_decay and no more, got '{name}'"):
        for_torch.HessianFree([{"params": [parameter()], name: 0.1}])


def test_the_state_of_another_optimizer_is_refused():
    module, optimizer, closure = make()
    adam = torch.optim.Adam(module.parameters())
    closure("gradient")[0].backward()
    adam.step()
    with pytest.raises(ValueError, match="state_dict must be that of a HessianFree, got entries exp_avg"):
        optimizer.load_state_dict(adam.state_dict())
    _, another, its_closure = make(nn.GRU)
    optimizer.step(closure)
    another.load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match=r"direction of shape \(3, 2\) for one of shape \(9, 2\)"):
        another.step(its_closure)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([], ValueError, "params must hold at least one parameter, got none; call module.parameters"),
        (iter(()), ValueError, "params must hold at least one parameter, got none"),
        (None, TypeError, "params must be an iterable of parameters or of groups, got None"),
        (parameter(), TypeError, r"params must be an iterable .* got a Parameter of shape \(2,\)"),
        ([3.0], TypeError, "can only optimize Tensors"),
        ([{"weight_decay": 0.0}], TypeError, "a group must be a dict with 'params'"),
        ([parameter(torch.float16)], TypeError, "got torch.float16; convert the module"),
        ([parameter(torch.bfloat16)], TypeError, "got torch.bfloat16; convert the module"),
        ([parameter(torch.complex64)], TypeError, "got torch.complex64; convert the module"),
        ([parameter(), parameter(torch.float64)], TypeError, "got torch.float32, torch.float64; convert"),
        ([nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)], TypeError, "at least one, got none"),
        ([parameter(device="meta")], ValueError, "must hold values, got 1 of 1 on the device 'meta'"),
        (nn.LazyLinear(2).parameters(), ValueError, "must hold values, got 2 of 2 of a lazy module"),
        ([nn.Parameter(torch.ones(0, 3))], ValueError, r"at least one number, got shapes \(0, 3\)"),
    ],
)
def test_parameters_that_cannot_be_moved_are_named(params, error, message):
    with pytest.raises(error, match=message):
        for_torch.HessianFree(params)


def test_parameters_without_entries_are_no_hindrance():
    module, _, closure = make()
    optimizer = for_torch.HessianFree([nn.Parameter(torch.ones(0, 3, dtype=torch.float64)), *module.parameters()])
    assert optimizer.step(closure) > optimizer.step(closure)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_loss_that_stops_being_finite_leaves_the_parameters_and_warns(bad):
    module, optimizer, closure = make()
    optimizer.step(closure)
    before = [p.detach().clone() for p in module.parameters()]
    with pytest.warns(for_torch.StuckWarning, match="not_finite"):
        optimizer.step(lambda role: (closure(role)[0] * bad, 12, closure(role)[2]))
    assert all(torch.equal(p, value) for p, value in zip(module.parameters(), before, strict=True))
    assert np.isfinite(optimizer.step(closure)) and optimizer.reason is None


def test_an_embedding_that_rescales_its_rows_is_refused():
    layer = nn.Embedding(4, 2, max_norm=0.1, dtype=torch.float64)
    before, optimizer = layer.weight.detach().clone(), for_torch.HessianFree(layer.parameters())

    def closure(role):
        outputs = layer(torch.arange(4))
        return half_square(outputs, 0.0), 4, outputs

    with pytest.raises(ValueError, match=r"closure.* must leave the parameters as they are, .* max_norm"):
        optimizer.step(closure)
    assert torch.equal(layer.weight, before)


class NoSecondDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, dy):
        return torch.from_numpy(2.0 * ctx.saved_tensors[0].detach().numpy() * dy.detach().numpy())


def test_a_layer_without_second_derivatives_is_refused():
    layer = nn.Linear(2, 2, dtype=torch.float64)
    optimizer, before = for_torch.HessianFree(layer.parameters()), layer.weight.detach().clone()

    def closure(role):
        outputs = NoSecondDerivative.apply(layer(torch.ones(3, 2, dtype=torch.float64)))
        return half_square(outputs, 0.0), 3, outputs

    with pytest.raises(NotImplementedError, match="double backward: its J v is not the transpose of the backward"):
        optimizer.step(closure)
    assert torch.equal(layer.weight, before)
