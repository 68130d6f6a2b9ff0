"""Other people's ways to differentiate a recurrent net, on given weights and data, for comparison in one run.

A rival is a function (problem) -> (loss_and_gradient, gauss_newton) or None. ``loss_and_gradient()`` returns the loss
and the norm of the gradient by the recurrent matrix; ``gauss_newton()`` returns vᵀ G v, or is None. None means that
the rival is not installed, or has no such cell. Losses are sums over all rows: half squares for one output, else
cross-entropy of the softmax.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np

INSTALL = {"torch": "pip install torch", "jax": "pip install jax"}


@dataclass(frozen=True)
class Problem:
    """A layer of cells and a readout; weights as ``cells.Network`` names them, ``v`` likewise."""

    cell: (
        str  # "Elman", "LSTM" (planes i, f, o, g), "GRU" (reset after the matrix; planes g, r, u, and q = h R_q + b_q)
    )
    weights: dict[str, np.ndarray]
    v: dict[str, np.ndarray]
    X: np.ndarray  # (T, B, I)
    y: np.ndarray  # (T, B, 1), or (T, B) class numbers
    n_threads: int


def hint() -> str:
    """What to install so that all rivals run; empty if they do."""
    missing = [command for name, command in INSTALL.items() if find_spec(name) is None]
    return "Not all rivals are installed. To add them: " + "; ".join(missing) if missing else ""


# ------------------------------------------------------------------------------------------------ plain NumPy


def _logistic(x):
    return 0.5 * np.tanh(0.5 * x) + 0.5


def numpy_twin(problem: Problem):
    """A time loop with one product per step, products over all time hoisted, NumPy's BLAS on its own threads."""
    if problem.cell == "GRU":
        return None
    W, U, b = (problem.weights[f"layer0.{name}"] for name in ("input", "recurrent", "bias"))
    C, c = problem.weights["readout.weights"], problem.weights["readout.bias"]
    X, (T, B, I), H = problem.X, problem.X.shape, U.shape[0]
    rows = X.reshape(T * B, I)

    def output_cotangents(hs):
        outputs = hs.reshape(T * B, H) @ C + c
        if problem.y.ndim == 3:
            d = outputs - problem.y.reshape(T * B, 1)
            return 0.5 * float(np.sum(d.astype(float) ** 2)), d
        highest = outputs.max(axis=1, keepdims=True)
        p = np.exp(outputs - highest)
        partition = p.sum(axis=1, keepdims=True)
        labels, every = problem.y.reshape(-1), np.arange(T * B)
        loss = float(np.sum(np.log(partition) + highest) - np.sum(outputs[every, labels]))
        d = p / partition
        d[every, labels] -= 1
        return loss, d

    def weight_gradients(dz, h0, hs, d):
        before = np.concatenate([h0[None], hs[:-1]]).reshape(T * B, H)
        return rows.T @ dz, before.T @ dz, dz.sum(axis=0), hs.reshape(T * B, H).T @ d, d.sum(axis=0)

    def elman():
        z = (rows @ W + b).reshape(T, B, H)
        h = h0 = np.zeros((B, H), X.dtype)
        for t in range(T):
            z[t] += h @ U
            h = np.tanh(z[t], out=z[t])
        loss, d = output_cotangents(z)
        dh_all, dh = (d @ C.T).reshape(T, B, H), 0
        dz = np.empty_like(z)
        for t in range(T - 1, -1, -1):
            np.multiply(dh_all[t] + dh, 1 - z[t] ** 2, out=dz[t])
            dh = dz[t] @ U.T
        return loss, float(np.linalg.norm(weight_gradients(dz.reshape(T * B, H), h0, z, d)[1]))

    def lstm():
        z = (rows @ W + b).reshape(T, B, 4 * H)
        h0 = np.zeros((B, H), X.dtype)
        h, k = h0, np.zeros((B, H), X.dtype)
        ks, tanhs, hs = np.empty((T + 1, B, H), X.dtype), np.empty((T, B, H), X.dtype), np.empty((T, B, H), X.dtype)
        ks[0] = k
        for t in range(T):
            a = z[t]
            a += h @ U
            a[:, : 3 * H] = _logistic(a[:, : 3 * H])
            np.tanh(a[:, 3 * H :], out=a[:, 3 * H :])
            i, f, o, g = (a[:, n * H : (n + 1) * H] for n in range(4))
            np.add(f * ks[t], i * g, out=ks[t + 1])
            np.tanh(ks[t + 1], out=tanhs[t])
            h = np.multiply(o, tanhs[t], out=hs[t])
        loss, d = output_cotangents(hs)
        dh_all, dh, dk = (d @ C.T).reshape(T, B, H), 0, 0
        for t in range(T - 1, -1, -1):
            i, f, o, g = (z[t, :, n * H : (n + 1) * H].copy() for n in range(4))
            dh = dh_all[t] + dh
            dk = dk + dh * o * (1 - tanhs[t] ** 2)
            z[t, :, :H] = dk * g * i * (1 - i)
            z[t, :, H : 2 * H] = dk * ks[t] * f * (1 - f)
            z[t, :, 2 * H : 3 * H] = dh * tanhs[t] * o * (1 - o)
            z[t, :, 3 * H :] = dk * i * (1 - g * g)
            dk = dk * f
            dh = z[t] @ U.T
        return loss, float(np.linalg.norm(weight_gradients(z.reshape(T * B, 4 * H), h0, hs, d)[1]))

    return (elman if problem.cell == "Elman" else lstm), None


# ------------------------------------------------------------------------------------------------ torch


def torch_module(problem: Problem):
    """nn.RNN, nn.LSTM or nn.GRU with an nn.Linear: oneDNN's fused LSTM in float32."""
    if find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(problem.n_threads)
    T, B, I = problem.X.shape
    H = problem.weights["layer0.recurrent"].shape[0]
    dtype = getattr(torch, str(problem.X.dtype))
    layer = {"Elman": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[problem.cell](I, H, dtype=dtype)
    readout = torch.nn.Linear(H, problem.weights["readout.weights"].shape[1], dtype=dtype)
    parameters = [*layer.parameters(), *readout.parameters()]

    def torch_order(weights):
        """Our parameters as torch's (weight_ih, weight_hh, bias_ih, bias_hh, weight, bias)."""
        W, U, b = (weights[f"layer0.{name}"] for name in ("input", "recurrent", "bias"))
        b_hh = np.zeros(U.shape[1], U.dtype)
        if problem.cell == "LSTM":  # i, f, o, g to i, f, g, o
            order = np.concatenate([np.arange(2 * H), np.arange(3 * H, 4 * H), np.arange(2 * H, 3 * H)])
            W, U, b = W[:, order], U[:, order], b[order]
        elif problem.cell == "GRU":  # g, r, u to r, u, g; what h gives to g is q
            order = np.concatenate([np.arange(H, 3 * H), np.arange(H)])
            q = np.arange(3 * H, 4 * H)
            b_hh[2 * H :] = b[q]
            W, b = W[:, order], b[order]
        return [W.T, U.T, b, b_hh, weights["readout.weights"].T, weights["readout.bias"]]

    with torch.no_grad():
        for parameter, value in zip(parameters, torch_order(problem.weights), strict=True):
            parameter.copy_(torch.from_numpy(np.array(value)))
    direction = [torch.from_numpy(np.array(value)) for value in torch_order(problem.v)]
    X, y = torch.from_numpy(problem.X.copy()), torch.from_numpy(problem.y.copy())

    def loss_of(outputs):
        if problem.y.ndim == 3:
            return 0.5 * ((outputs - y) ** 2).sum()
        return torch.nn.functional.cross_entropy(outputs.reshape(T * B, -1), y.reshape(-1), reduction="sum")

    def loss_and_gradient():
        loss = loss_of(readout(layer(X)[0]))
        gradients = torch.autograd.grad(loss, parameters)
        return float(loss.detach()), float(gradients[1].norm())

    def curvature(outputs, u):
        if problem.y.ndim == 3:
            return u
        p = torch.softmax(outputs, -1)
        return p * u - p * (p * u).sum(-1, keepdim=True)

    def make_double_backward():
        outputs = readout(layer(X)[0])
        dummy = torch.zeros_like(outputs, requires_grad=True)
        back = torch.autograd.grad(outputs, parameters, dummy, create_graph=True)

        def product():
            Ro = torch.autograd.grad(back, dummy, direction, retain_graph=True)[0]
            Gv = torch.autograd.grad(outputs, parameters, curvature(outputs.detach(), Ro), retain_graph=True)
            return float(sum((g * v).sum() for g, v in zip(Gv, direction, strict=True)))

        return product

    def make_forward_over_reverse():
        from torch.func import functional_call, jvp

        names = [name for name, _ in layer.named_parameters()]
        # The fused LSTM has no forward mode.
        without_fused_lstm = (
            partial(torch.backends.mkldnn.flags, enabled=False) if problem.cell == "LSTM" else nullcontext
        )

        def model(*values):
            hs = functional_call(layer, dict(zip(names, values[:4], strict=True)), (X,))[0]
            return torch.nn.functional.linear(hs, values[4], values[5])

        def product():
            with without_fused_lstm():
                outputs = readout(layer(X)[0])
                values = tuple(parameter.detach() for parameter in parameters)
                Ro = jvp(model, values, tuple(direction))[1]
                Gv = torch.autograd.grad(outputs, parameters, curvature(outputs.detach(), Ro))
            return float(sum((g * v).sum() for g, v in zip(Gv, direction, strict=True)))

        return product

    return loss_and_gradient, _fastest([make_double_backward, make_forward_over_reverse])


def _fastest(makers):
    """The route of the shortest second call; routes that fail are left out."""
    import time

    found = []
    for make in makers:
        try:
            product = make()
            product()
            start = time.perf_counter()
            product()
            found.append((time.perf_counter() - start, product))
        except (RuntimeError, NotImplementedError):
            continue
    return min(found, key=lambda pair: pair[0])[1] if found else None


# ------------------------------------------------------------------------------------------------ JAX


def jax_scan(problem: Problem):
    """A lax.scan under jit; Gauss-Newton products from one linearisation and its transpose."""
    if find_spec("jax") is None:
        return None
    import jax
    import jax.numpy as jnp

    if problem.X.dtype == np.float64:
        jax.config.update("jax_enable_x64", True)
    B, H = problem.X.shape[1], problem.weights["layer0.recurrent"].shape[0]
    convert = jax.jit(lambda tree: jax.tree.map(jnp.asarray, tree))
    weights, v = convert(problem.weights), convert(problem.v)
    X, y = jnp.asarray(problem.X), jnp.asarray(problem.y)

    def step(weights, state, z):
        U = weights["layer0.recurrent"]
        h, k = state
        if problem.cell == "Elman":
            h = jnp.tanh(z + h @ U)
        elif problem.cell == "LSTM":
            i, f, o, g = jnp.split(z + h @ U, 4, -1)
            k = jax.nn.sigmoid(f) * k + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(k)
        else:
            (zg, zr, zu), (r, u, q) = jnp.split(z, 3, -1), jnp.split(h @ U, 3, -1)
            q = q + weights["layer0.bias"][3 * H :]
            u = jax.nn.sigmoid(zu + u)
            g = jnp.tanh(zg + jax.nn.sigmoid(zr + r) * q)
            h = g + u * (h - g)
        return (h, k), h

    def outputs_of(weights, X):
        z = X @ weights["layer0.input"] + weights["layer0.bias"][: weights["layer0.input"].shape[1]]
        zeros = jnp.zeros((B, H), X.dtype)
        hs = jax.lax.scan(lambda state, z: step(weights, state, z), (zeros, zeros), z)[1]
        return hs @ weights["readout.weights"] + weights["readout.bias"]

    def loss_of(outputs, y):
        if problem.y.ndim == 3:
            return 0.5 * jnp.sum((outputs - y) ** 2)
        chosen = jnp.take_along_axis(outputs, y[..., None], -1)[..., 0]
        return jnp.sum(jax.nn.logsumexp(outputs, -1) - chosen)

    value_and_grad = jax.jit(jax.value_and_grad(lambda weights, X, y: loss_of(outputs_of(weights, X), y)))

    def loss_and_gradient():
        loss, gradient = jax.block_until_ready(value_and_grad(weights, X, y))
        return float(loss), float(np.linalg.norm(gradient["layer0.recurrent"]))

    outputs, linear = jax.linearize(lambda weights: outputs_of(weights, X), weights)
    transposed = jax.linear_transpose(linear, weights)
    p = None if problem.y.ndim == 3 else jax.nn.softmax(outputs, -1)

    @jax.jit
    def gauss_newton(v):
        u = linear(v)
        if p is not None:
            u = p * u - p * jnp.sum(p * u, -1, keepdims=True)
        return transposed(u)[0]

    def product():
        Gv = jax.block_until_ready(gauss_newton(v))
        return float(sum(np.vdot(Gv[name], problem.v[name]) for name in problem.v))

    return loss_and_gradient, product


RIVALS = {"numpy": numpy_twin, "torch": torch_module, "jax": jax_scan}
