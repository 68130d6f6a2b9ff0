"""One recurrent net through NumPy, torch's nn.RNN and JAX's lax.scan: the Hessian-free method takes the same steps."""

import pytest

from objectives import small_net
from optim import for_jax, for_torch
from same_steps import assert_same_steps

torch = pytest.importorskip("torch", reason="torch is not installed")
jax = pytest.importorskip("jax", reason="jax is not installed")
nn, jnp = torch.nn, jax.numpy

pytestmark = pytest.mark.slow  # seconds, most of them JAX's compiler's


@pytest.fixture(autouse=True)
def one_thread_and_float64():
    threads, x64 = torch.get_num_threads(), jax.config.jax_enable_x64
    torch.set_num_threads(1)
    jax.config.update("jax_enable_x64", True)
    yield
    torch.set_num_threads(threads)
    jax.config.update("jax_enable_x64", x64)


class LayerNet(nn.Module):
    """The naive TanhNet by nn.RNN, with the same parameters in the same order; returns outputs and states."""

    def __init__(self, parts):
        super().__init__()
        (H, I), O = parts[0].shape, len(parts[-1])
        self.layer = nn.RNN(I, H, batch_first=True, dtype=torch.float64)
        self.start = nn.ParameterList([nn.Parameter(torch.zeros(H, dtype=torch.float64))])
        self.readout = nn.Linear(H, O, dtype=torch.float64)
        nn.init.zeros_(self.layer.bias_hh_l0.requires_grad_(False))  # torch's second bias, which the net has not

    def forward(self, X):
        states, _ = self.layer(X, self.start[0].expand(1, len(X), -1))
        return self.readout(states[:, -1]), states


def through_torch(net, theta):
    objective = for_torch.TorchObjective(
        LayerNet(net.parts(theta)), lambda outputs, y: 0.5 * ((outputs - y) ** 2).sum(),
        torch.tensor(net.X), torch.tensor(net.y),
        hidden=lambda returned: returned[1], hidden_curvature=lambda h: 1.0 / (1.0 - h**2),
    )  # fmt: skip
    objective.write(theta)
    return objective


def through_jax(net, theta):
    def apply(params, X):
        Wx, Wh, b, h0, Wo, bo = params

        def step(h, x):
            h = jnp.tanh(x @ Wx.T + h @ Wh.T + b)
            return h, h

        h, states = jax.lax.scan(step, jnp.broadcast_to(h0, (X.shape[0], h0.size)), jnp.swapaxes(X, 0, 1))
        return h @ Wo.T + bo, states

    return for_jax.JaxObjective(
        apply, lambda outputs, y: 0.5 * jnp.sum((outputs - y) ** 2), net.parts(theta), (net.X, net.y),
        has_hidden=True, hidden_curvature=lambda h: 1.0 / (1.0 - h**2),
    )  # fmt: skip


@pytest.mark.parametrize("structural", [0.0, 0.1])
def test_same_problem_and_seed_give_the_same_steps(structural):
    naive, theta = small_net()
    objectives = [naive, through_torch(naive.net, theta), through_jax(naive.net, theta)]
    assert_same_steps(objectives, theta, structural)
