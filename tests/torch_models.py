"""Small torch modules, the objectives and closures made of them, and what the tests of the framework share."""

import pytest

from objectives import small_net
from optim import for_torch

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn

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


def make(layer=nn.RNN, dtype=torch.float64, **settings):
    torch.manual_seed(1)
    module = Recurrent(layer, dtype)
    X = torch.randn(12, 5, 2, dtype=dtype)
    optimizer = for_torch.HessianFree(module.parameters(), **settings)
    return module, optimizer, closure_of(module, X, torch.tanh(X[:, 0]))
