r"""Many free runs of one reservoir side by side, in NumPy: readouts, bounds and noise of their own.

x(k) = (1 - a) x(k-1) + a f(W x(k-1) + W_in [y(k-1); exog(k)] + b)
y(k) = held(C [x(k); y(k-1); exog(k)] + c + noise(k)),    held(y) = min(max(y, low(k)), high(k))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optim.threads import single_blas_thread
from reservoir.drive.weights import Reservoir
from reservoir.graph.matrix import Shifts
from reservoir.simd.activations import activate_array


@dataclass(frozen=True, eq=False)
class Lanes:
    """Where free runs start, what reads them out, and what they are given.

    Attributes
    ----------
    state : (L, N)
    last : (L, O)
        What is fed back at the first step.
    coef : (O, N + n_read), or (L, O, N + n_read) for readouts of their own
        States first; n_read is 0, or all inputs.
    intercept : (O,), or (L, O)
    exog : (L, n_steps, n_exog), with n_exog = 0 for none
    low, high : (L, n_steps, O), or to be broadcast to it
        Bounds of what is fed back.
    """

    state: np.ndarray
    last: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    exog: np.ndarray
    low: np.ndarray
    high: np.ndarray


def run_closed(reservoir: Reservoir, lanes: Lanes, noise: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of free runs, and where the bounds held them.

    Parameters
    ----------
    reservoir : Reservoir
        Without feedback weights of its own.
    lanes : Lanes
    noise : (L, n_steps, O), optional
        Added to the outputs before they are held.

    Returns
    -------
    outputs : (L, n_steps, O)
    is_held : (L, n_steps) bool
    """
    L, n_steps = lanes.exog.shape[:2]
    N = reservoir.n_units
    W = reservoir.W.to_csr() if isinstance(reservoir.W, Shifts) else reservoir.W
    leak, bias = reservoir.leak[:, None], reservoir.bias[:, None]
    x, y = np.ascontiguousarray(lanes.state.T), lanes.last
    low, high = (np.broadcast_to(b, (L, n_steps, y.shape[1])) for b in (lanes.low, lanes.high))
    outputs, is_held = np.empty((L, n_steps, y.shape[1])), np.zeros((L, n_steps), bool)
    own = lanes.coef.ndim == 3
    with single_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        for k in range(n_steps):
            u = np.concatenate([y, lanes.exog[:, k]], axis=1).T.astype(x.dtype)
            z = W @ x + reservoir.input_weights @ u + bias
            x = (1 - leak) * x + leak * activate_array(np, reservoir.activation, z)
            seen = x if lanes.coef.shape[-1] == N else np.concatenate([x, u])
            found = (lanes.coef @ seen.T[:, :, None])[:, :, 0] if own else (lanes.coef @ seen).T
            found = found + lanes.intercept
            if noise is not None:
                found = found + noise[:, k]
            y = np.clip(found, low[:, k], high[:, k])
            is_held[:, k] = ~(found == y).all(axis=1)
            outputs[:, k] = y
    return outputs, is_held
