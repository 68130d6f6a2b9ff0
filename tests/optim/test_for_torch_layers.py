"""torch layers and data of all kinds: products are those of the loss, or a layer is refused in words."""

import logging

import numpy as np
import pytest

from contracts import every
from optim import FlatCurvatureWarning, HessianFree, RandomBatches, StopReason, checks, for_torch, minimize
from torch_models import RTOL, half_square, nn, torch
from torch_models import one_thread_and_a_seed as one_thread_and_a_seed

F = nn.functional


class ByFunction(nn.Module):
    """A linear layer and a function of its outputs."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(3, 3, dtype=torch.float64), function

    def forward(self, X):
        return self.function(self.layer(X))


class OfIds(nn.Module):
    """An embedding, the mean of its rows, and a readout."""

    def __init__(self, kind=nn.Embedding, **settings):
        super().__init__()
        self.embed, self.out = kind(6, 3, dtype=torch.float64, **settings), nn.Linear(3, 2, dtype=torch.float64)

    def forward(self, ids):
        rows = self.embed(ids)
        return self.out(torch.tanh(rows if rows.ndim == 2 else rows.mean(1)))


class Square(torch.autograd.Function):
    """x² with a backward pass of torch's operations, but no forward mode."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, dy):
        return 2.0 * ctx.saved_tensors[0] * dy


class OnceSquare(Square):
    """x² whose backward pass can be differentiated no more."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        return 2.0 * ctx.saved_tensors[0] * dy


class NumPySquare(Square):
    """x² whose backward pass torch knows nothing of, nor that it knows nothing."""

    @staticmethod
    def backward(ctx, dy):
        return torch.from_numpy(2.0 * ctx.saved_tensors[0].detach().numpy() * dy.detach().numpy())


def half_frozen(z):
    with torch.no_grad():
        gate = torch.sigmoid(z)
    return gate * z


def written_in_place(z):
    z = z.clone()
    z[:, 0] *= 2.0
    return torch.tanh(z)


def rounded_straight_through(z):
    return z + (z.round() - z).detach()


def recomputed(z):
    return torch.utils.checkpoint.checkpoint(torch.tanh, z, use_reentrant=False)


def attention(dropout=0.0):
    return nn.TransformerEncoderLayer(4, 2, 8, dropout=dropout, batch_first=True, dtype=torch.float64)


def normalised(**settings):
    return nn.Sequential(nn.Linear(3, 3, dtype=torch.float64), nn.BatchNorm1d(3, dtype=torch.float64, **settings))


IDS = torch.tensor([[0, 1, 2], [3, 0, 0], [5, 5, 1], [4, 2, 0]])
X = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64).reshape(4, 3)
STEPS = torch.linspace(-1.0, 1.0, 48, dtype=torch.float64).reshape(4, 3, 4)

# name: module, data, the route that is right
RIGHT = {
    "embedding": (lambda: OfIds(), IDS, "forward"),
    "padding": (lambda: OfIds(padding_idx=0), IDS, "double backward"),
    "sparse gradients": (lambda: OfIds(sparse=True), IDS, "forward"),
    "a part without gradients": (lambda: ByFunction(half_frozen), X, "double backward"),
    "detached": (lambda: ByFunction(rounded_straight_through), X, "forward"),
    "in place": (lambda: ByFunction(written_in_place), X, "forward"),
    "checkpointed": (lambda: ByFunction(recomputed), X, "forward"),
    "custom function": (lambda: ByFunction(Square.apply), X, "double backward"),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(ByFunction(torch.tanh).layer), X, "double backward"),
    "spectral norm": (
        lambda: nn.utils.parametrizations.spectral_norm(ByFunction(torch.tanh).layer).eval(), X, "forward",
    ),
    "batch norm in eval": (lambda: normalised().eval(), X, "forward"),
    "batch norm of the batch": (lambda: normalised(track_running_stats=False), X, "forward"),
    "layer norm": (lambda: ByFunction(lambda z: F.layer_norm(z, (3,))), X, "forward"),
    "fused attention": (attention, STEPS, "double backward unfused"),
    "dropout in eval": (lambda: attention(dropout=0.5).eval(), STEPS, "double backward unfused"),
}  # fmt: skip


def squares(outputs, y):
    return 0.5 * (outputs**2).sum() + (outputs**4).sum()


@every(RIGHT)
def test_products_are_the_derivative_of_the_outputs_by_the_right_route(case):
    make_module, data, route = case
    objective = for_torch.TorchObjective(make_module(), squares, data, None)
    theta = objective.read()
    linear = objective.linearize(theta)
    assert objective.route == route
    v = np.random.default_rng(1).standard_normal(theta.size)
    assert np.isfinite(linear.gauss_newton(v)).all()
    assert checks.symmetry(objective, theta).passed and checks.positivity(objective, theta).passed
    assert minimize(objective, theta, HessianFree(), max_iterations=2).n_iterations == 2


# name: module, data, what is said
WRONG = {
    "gradients scaled by frequency": (
        lambda: OfIds(scale_grad_by_freq=True), IDS, NotImplementedError, "its J v is not the transpose",
    ),
    "sums of rows": (lambda: OfIds(nn.EmbeddingBag), IDS, NotImplementedError, "_embedding_bag"),
    "once differentiable": (
        lambda: ByFunction(OnceSquare.apply), X, NotImplementedError, "double backward: its J v is not the transpose",
    ),
    "backward in NumPy": (
        lambda: ByFunction(NumPySquare.apply), X, NotImplementedError, "double backward: its J v is not the transpose",
    ),
    "rows of bounded norm": (lambda: OfIds(max_norm=0.1), IDS, ValueError, "must leave its parameters as they are"),
    "batch statistics": (lambda: normalised(), X, ValueError, r"writes to '1.num_batches_tracked'.* call .eval\(\)"),
    "half outputs": (lambda: ByFunction(lambda z: z.half()), X, TypeError, "outputs must be float32 or float64, got"),
    "integer outputs": (lambda: ByFunction(lambda z: z.argmax(1)), X, TypeError, "outputs must be float32 or float64"),
    "a recomputed part that cuts the graph": (
        lambda: ByFunction(lambda z: z.detach()), X, ValueError, "outputs must be computed from the parameters",
    ),
}  # fmt: skip


@every(WRONG)
def test_layers_whose_products_would_be_wrong_are_refused(case):
    make_module, data, error, message = case
    module = make_module()
    objective = for_torch.TorchObjective(module, lambda outputs, y: (outputs.float() ** 2).sum(), data, None)
    theta = objective.read()
    before = theta.copy()
    with pytest.raises(error, match=message):
        objective.linearize(theta)
    np.testing.assert_array_equal(theta, before)
    np.testing.assert_array_equal(objective.read(), before)


def test_a_route_that_does_not_fit_the_backward_pass_is_told_once(caplog):
    objective = for_torch.TorchObjective(OfIds(padding_idx=0), squares, IDS, None)
    with caplog.at_level(logging.WARNING, logger="optim"):
        for _ in range(2):
            objective.linearize(objective.read())
    assert len(caplog.records) == 1 and "not the transpose of the backward pass" in caplog.text


def test_padding_learns_as_well_as_no_padding():
    data, y = torch.randint(0, 6, (20, 3)), torch.randint(0, 2, (20,))
    found = {}
    for padding in (None, 0):
        torch.manual_seed(3)
        objective = for_torch.TorchObjective(OfIds(padding_idx=padding), nn.CrossEntropyLoss(reduction="sum"), data, y)
        found[padding] = minimize(objective, objective.read(), HessianFree(), max_iterations=10)
    assert found[0].reason == found[None].reason == StopReason.MAX_ITERATIONS
    assert found[0].value < 0.5 * found[0].trace["loss"][0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_sequences_are_not_refused_for_rounding(dtype):
    layer = nn.GRU(1, 8, batch_first=True, dtype=dtype)
    long = torch.sin(torch.arange(300, dtype=dtype))[None, :, None]
    objective = for_torch.TorchObjective(layer, squares, long, None)
    objective.linearize(objective.read())
    assert objective.route == "forward" and not objective.refused


# --------------------------------------------------------------------------------------- losses without curvature


class LogProbabilities(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, X):
        return torch.log_softmax(self.layer(X), -1)


FLAT = {
    "nll": (LogProbabilities, nn.NLLLoss(reduction="sum"), torch.tensor([0, 1, 2, 0])),
    "absolute error": (lambda: ByFunction(torch.tanh), nn.L1Loss(reduction="sum"), X + 1.0),
    "hinge": (lambda: ByFunction(torch.tanh), lambda outputs, y: (1.0 - y * outputs).clamp(min=0.0).sum(), X.sign()),
}


@every(FLAT)
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 1e-3}], ids=["plain", "decay"])
def test_a_loss_without_curvature_is_told_once_with_the_remedy(case, settings):
    make_module, loss, y = case
    objective = for_torch.TorchObjective(make_module(), loss, X, y)
    with pytest.warns(FlatCurvatureWarning, match="exactly 0 where the gradient is not.* return logits") as told:
        minimize(objective, objective.read(), HessianFree(**settings), max_iterations=3)
    assert len(told) == 1
    module = make_module()
    optimizer = for_torch.HessianFree(module.parameters(), **settings)
    with pytest.warns(FlatCurvatureWarning) as told:
        for _ in range(3):
            optimizer.step(lambda role: (loss(outputs := module(X), y), len(X), outputs))
    assert len(told) == 1


def test_cross_entropy_of_log_probabilities_has_the_curvature_of_cross_entropy_of_logits():
    y, products = torch.tensor([0, 1, 2, 0]), []
    for make_module in (LogProbabilities, lambda: ByFunction(lambda z: z)):
        torch.manual_seed(5)
        objective = for_torch.TorchObjective(make_module(), nn.CrossEntropyLoss(reduction="sum"), X, y)
        theta = objective.read()
        products.append(objective.linearize(theta).gauss_newton(np.ones_like(theta) + theta))
    np.testing.assert_allclose(*products, rtol=RTOL, atol=RTOL)


def test_a_loss_that_torch_differentiates_once_is_refused():
    layer, target = nn.Linear(2, 4, dtype=torch.float64), torch.tensor([[1, 2], [3, 1]])

    def loss(outputs, y):
        lengths = torch.full((2,), 5), torch.full((2,), 2)
        return F.ctc_loss(outputs.log_softmax(-1).transpose(0, 1), y, *lengths, reduction="sum")

    steps = torch.linspace(-1.0, 1.0, 20, dtype=torch.float64).reshape(2, 5, 2)
    objective = for_torch.TorchObjective(layer, loss, steps, target)
    with pytest.raises(NotImplementedError, match="loss must be one that torch differentiates twice by the outputs"):
        minimize(objective, objective.read(), HessianFree())


# --------------------------------------------------------------------------------------------------------- the data


class OfLengths(nn.Module):
    """The last state of padded, time-major sequences, read out."""

    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.GRU(2, 4, dtype=torch.float64), nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, X, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(X, lengths, enforce_sorted=False)
        return self.out(self.layer(packed)[1][0])


def test_lengths_and_answers_of_time_major_sequences_are_taken_by_sequence():
    X, lengths, y = torch.randn(7, 10, 2).double(), torch.randint(1, 8, (10,)), torch.randn(10, 1).double()
    objective = for_torch.TorchObjective(OfLengths(), half_square, (X, lengths), y, batch_axis=1)
    theta, batch = objective.read(), np.array([8, 1, 5])
    assert objective.n_sequences == 10
    by_hand = for_torch.TorchObjective(
        objective.module, half_square, (X[:, batch], lengths[batch]), y[batch], batch_axis=1
    )
    ours, expected = objective.value_and_grad(theta, batch), by_hand.value_and_grad(theta)
    assert ours.loss_sum == expected.loss_sum and ours.weight == 3.0
    np.testing.assert_array_equal(ours.grad, expected.grad)
    policy = RandomBatches(10, gradient=8, curvature=4)
    assert minimize(objective, theta, HessianFree(), batches=policy, max_iterations=2).n_iterations == 2


class Residuals(nn.Module):
    """Rosenbrock's, of two parameters and no data."""

    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))

    def forward(self):
        return torch.stack([10.0 * (self.p[1] - self.p[0] ** 2), 1.0 - self.p[0]])


def test_residuals_need_no_data():
    objective = for_torch.TorchObjective(Residuals(), lambda r, y: 0.5 * (r**2).sum(), None, None)
    assert objective.n_sequences == 1
    result = minimize(objective, objective.read(), HessianFree(), tolerance=1e-8)
    assert result.reason == StopReason.CONVERGED
    np.testing.assert_allclose(result.theta, 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((np.ones((4, 2)), None, 0), TypeError, r"X and y must be tensors, .* got a ndarray of shape \(4, 2\)"),
        (([torch.ones(4, 2)], None, 0), TypeError, r"X and y must be tensors, tuples of tensors, or None, got \["),
        ((torch.ones(4, 2), 3.0, 0), TypeError, "X and y must be tensors, .* got 3.0"),
        (
            (torch.ones(4, 2), torch.ones(3, 1), 0),
            ValueError,
            r"y must have 4 entries, one a sequence, .* got shape \(3",
        ),
        (((torch.ones(4, 2), torch.ones(5)), None, 0), ValueError, r"X\[1\] must have 4 entries"),
        ((torch.tensor(1.0), None, 0), ValueError, "batch_axis must be an axis of X, got 0 for shape"),
        ((torch.ones(4, 2), None, 2), ValueError, "batch_axis must be an axis of X, got 2 for shape"),
        ((torch.ones(4, 2), None, 1.0), TypeError, "batch_axis must be an integer"),
        ((nn.utils.rnn.pack_sequence([torch.ones(3, 2)]), None, 0), TypeError, "give a packed sequence as padded"),
    ],
)
def test_data_that_do_not_go_together_are_named(data, error, message):
    X, y, batch_axis = data
    with pytest.raises(error, match=message):
        for_torch.TorchObjective(nn.Linear(2, 1), half_square, X, y, batch_axis=batch_axis)


@pytest.mark.parametrize(
    ("batch", "error"),
    [([4], ValueError), ([-1], ValueError), ([0.5], TypeError), ([], ValueError), ([[0]], TypeError)],
)
def test_a_batch_of_what_is_not_there_is_named(batch, error):
    objective = for_torch.TorchObjective(nn.Linear(2, 1), half_square, torch.ones(4, 2), torch.ones(4, 1))
    with pytest.raises(error, match=r"batch must be indices in \[0, 3\]"):
        objective.value(objective.read(), np.array(batch))


def test_theta_of_another_precision_is_refused():
    objective = for_torch.TorchObjective(nn.Linear(2, 1), half_square, torch.ones(4, 2), torch.ones(4, 1))
    with pytest.raises(TypeError, match="theta must be float32, as the module's parameters are, got float64"):
        objective.value(objective.read().astype(np.float64))


def test_squared_gradients_of_many_sequences_are_summed_in_float64():
    n = 800
    objective = for_torch.TorchObjective(
        nn.Linear(1, 1, bias=False), lambda outputs, y: outputs.sum(), torch.full((n, 1), 0.1**0.5), None
    )
    squares = objective.linearize(objective.read()).squared_gradients()
    single = np.float64(np.float32(0.1**0.5)) ** 2
    assert squares.dtype == np.float32
    np.testing.assert_allclose(squares, n * single, rtol=np.finfo(np.float32).eps)
