"""Other people's ways to drive an echo state network, on given matrices, for comparison in one run.

Each rival is a function (reservoir, coef, intercept) -> drive or None, where drive maps inputs (n_steps, I) to outputs
(n_steps, 1) from rest. None means not installed: `hint` says how to install it. All use float64 and the threads that
their libraries take by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

Drive = Callable[[np.ndarray], np.ndarray]
INSTALL = {
    "reservoirpy": "pip install reservoirpy==0.4.2",
    "rclib": "pip install rclib==0.2.0",
    "jax": "pip install jax",
    "torch": "pip install torch",
}


def hint() -> str:
    """What to install so that all rivals run; empty if they do."""
    missing = [command for name, command in INSTALL.items() if find_spec(name) is None]
    return "Not all rivals are installed. To add them: " + "; ".join(missing) if missing else ""


def csr(reservoir):
    """Recurrent matrix as SciPy CSR, sorted."""
    import scipy.sparse as sp

    W = reservoir.W.to_csr() if hasattr(reservoir.W, "to_csr") else reservoir.W
    W = sp.csr_array(W, copy=True)
    W.sort_indices()
    return W


def numpy_scipy(reservoir, coef, intercept) -> Drive:
    """A plain loop: SciPy's CSR product, NumPy's tanh, all states kept, one product for the readout."""
    W, N, a = csr(reservoir), reservoir.n_units, reservoir.leak[0]

    def drive(u: np.ndarray) -> np.ndarray:
        driven = u @ reservoir.input_weights.T + reservoir.bias
        X, x = np.empty((len(u), N)), np.zeros(N)
        for t in range(len(u)):
            z = W @ x
            z += driven[t]
            np.tanh(z, out=z)
            x = z if a == 1.0 else (1 - a) * x + a * z
            X[t] = x
        return X @ coef[:, :N].T + u @ coef[:, N:].T + intercept

    return drive


def numpy_scipy_closed(reservoir, coef, intercept) -> Drive:
    """The same loop with the output fed back as the input; `u` gives the first input and the number of steps."""
    W, N, a = csr(reservoir), reservoir.n_units, reservoir.leak[0]
    C, c, Win = coef[0, :N].copy(), coef[0, N], reservoir.input_weights[:, 0].copy()

    def drive(u: np.ndarray) -> np.ndarray:
        Y, x, y = np.empty((len(u), 1)), np.zeros(N), u[0, 0]
        for t in range(len(u)):
            z = W @ x
            z += Win * y + reservoir.bias
            np.tanh(z, out=z)
            x = z if a == 1.0 else (1 - a) * x + a * z
            Y[t] = y = C @ x + c * y + intercept[0]
        return Y

    return drive


def reservoirpy(reservoir, coef, intercept) -> Drive | None:
    """ReservoirPy's reservoir node, NumPy backend, with our matrices; its states times our readout."""
    if find_spec("reservoirpy") is None:
        return None
    from reservoirpy.nodes import Reservoir

    N = reservoir.n_units
    node = Reservoir(
        units=N, W=csr(reservoir), Win=reservoir.input_weights, bias=reservoir.bias, lr=float(reservoir.leak[0])
    )

    def drive(u: np.ndarray) -> np.ndarray:
        if node.initialized:
            node.reset()
        return node.run(u) @ coef[:, :N].T + u @ coef[:, N:].T + intercept

    return drive


def rclib(reservoir, coef, intercept) -> Drive | None:
    """rclib (C++, Eigen) with as many units and weights; its matrices, and so its answers, are its own."""
    if find_spec("rclib") is None:
        return None
    network = _rclib_network(reservoir)
    u = np.random.default_rng(0).uniform(-1, 1, (500, reservoir.n_inputs))
    network.fit(u, u[:, :1])
    return network.predict


def rclib_fit(reservoir, u: np.ndarray, y: np.ndarray) -> Callable[[], object] | None:
    """A fit of such a network, its reservoir drawn beforehand."""
    if find_spec("rclib") is None:
        return None
    network, targets = _rclib_network(reservoir), np.reshape(y, (len(u), -1))
    return lambda: network.fit(u, targets)


def _rclib_network(reservoir):
    from rclib import ESN, readouts, reservoirs

    N, W = reservoir.n_units, csr(reservoir)
    network = ESN()
    network.add_reservoir(reservoirs.RandomSparse(N, 0.9, W.nnz / N**2, float(reservoir.leak[0]), 1.0, seed=0))
    network.set_readout(readouts.Ridge(1.0, include_bias=True))
    return network


def jax_scan(reservoir, coef, intercept) -> Drive | None:
    """`jax.lax.scan` over a dense matrix, compiled; float64 is switched on for the process."""
    if find_spec("jax") is None:
        return None
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    N, a = reservoir.n_units, float(reservoir.leak[0])
    W, Win, b, C = (
        jnp.asarray(part) for part in (csr(reservoir).toarray(), reservoir.input_weights, reservoir.bias, coef)
    )

    @jax.jit
    def scan(u):
        def step(x, p):
            x = (1 - a) * x + a * jnp.tanh(W @ x + p)
            return x, x

        X = jax.lax.scan(step, jnp.zeros(N), u @ Win.T + b)[1]
        return X @ C[:, :N].T + u @ C[:, N:].T + intercept

    return lambda u: np.asarray(scan(u))


def jax_closed(reservoir, coef, intercept) -> Drive | None:
    """`jax.lax.scan` with the output fed back."""
    if find_spec("jax") is None:
        return None
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    N, a = reservoir.n_units, float(reservoir.leak[0])
    W, Win, b = (
        jnp.asarray(part) for part in (csr(reservoir).toarray(), reservoir.input_weights[:, 0], reservoir.bias)
    )
    C, c = jnp.asarray(coef[0, :N]), float(coef[0, N])

    @jax.jit
    def scan(u):
        def step(carry, _):
            x, y = carry
            x = (1 - a) * x + a * jnp.tanh(W @ x + Win * y + b)
            y = C @ x + c * y + intercept[0]
            return (x, y), y

        return jax.lax.scan(step, (jnp.zeros(N), u[0, 0]), None, length=u.shape[0])[1]

    return lambda u: np.asarray(scan(u))[:, None]


def numpy_batched_fit(reservoir, X: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """Fit on sequences (n_sequences, n_steps, I) of equal length: all states kept, one normal equation."""
    W, N, a = csr(reservoir), reservoir.n_units, reservoir.leak[0]
    B, T, _ = X.shape
    states, x = np.empty((T, N, B)), np.zeros((N, B))
    driven = np.einsum("ni,bti->tnb", reservoir.input_weights, X)
    for t in range(T):
        z = np.tanh(W @ x + driven[t])
        x = states[t] = z if a == 1.0 else (1 - a) * x + a * z
    Z = states.transpose(2, 0, 1).reshape(B * T, N)
    Z = np.concatenate([Z, X.reshape(B * T, -1)], axis=1)
    mean, target = Z.mean(axis=0), y.reshape(-1)
    G = Z.T @ Z - len(Z) * np.outer(mean, mean)
    cross = Z.T @ target - len(Z) * mean * target.mean()
    return np.linalg.solve(G + alpha * np.eye(len(G)), cross)


def torch_batched_fit(reservoir, X: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray | None:
    """The same with `torch.nn.RNN` over the batch, dense."""
    if find_spec("torch") is None:
        return None
    import torch

    N, I = reservoir.n_units, reservoir.n_inputs
    rnn = torch.nn.RNN(I, N, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(torch.from_numpy(csr(reservoir).toarray()))
        rnn.weight_ih_l0.copy_(torch.from_numpy(np.array(reservoir.input_weights)))
        u = torch.from_numpy(X)
        Z = torch.cat([rnn(u)[0], u], dim=2).reshape(-1, N + I)
        target = torch.from_numpy(y).reshape(-1)
        mean = Z.mean(dim=0)
        G = Z.T @ Z - len(Z) * torch.outer(mean, mean)
        cross = Z.T @ target - len(Z) * mean * target.mean()
        return torch.linalg.solve(G + alpha * torch.eye(N + I, dtype=torch.float64), cross).numpy()
