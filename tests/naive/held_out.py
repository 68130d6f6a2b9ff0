"""Free runs over blocks that are held out, one block, penalty and start at a time, states by the plain equations."""

import numpy as np

from naive.closed_loop import closed_loop
from naive.drive import echo_states


def digits_of_blocks(reservoir, X, *, blocks, places, n_steps, alphas, washout, bounds, lag=0, exog=None):
    """(A, n_blocks) mean digits of free runs over one series X (n, O) of standardised differences.

    ``reservoir``: W (dense), input_weights, bias, leak. ``blocks``: rows held out, with all after them; ``places``:
    rows from which runs begin, of every block. ``bounds`` (O,), (O,) hold what is fed back.
    """
    d = X[lag:] - X[: len(X) - lag] if lag > 0 else X
    mean, scale = d.mean(axis=0), d.std(axis=0)
    z = (d - mean) / scale
    inputs, targets = z[:-1], z[1:]
    if exog is not None:
        e = (exog - exog.mean(axis=0)) / exog.std(axis=0)
        inputs = np.concatenate([inputs, e[lag + 1 :]], axis=1)
    W, W_in, bias, leak = reservoir
    states, _ = echo_states(W, W_in, bias, leak, inputs)
    features = np.concatenate([states, inputs], axis=1)
    found = np.zeros((len(alphas), len(blocks)))
    for a, alpha in enumerate(alphas):
        for b, block in enumerate(blocks):
            rest = range(washout, block[0])
            coef, intercept = ridge(features[rest], targets[rest], alpha)
            scores = []
            for t in places[b]:
                n = min(n_steps, len(block) // 2, len(inputs) - t)
                low, high = (np.tile(bound, (n, 1)) for bound in bounds)
                run, _ = closed_loop(
                    W, W_in, bias, leak, "tanh", states[t - 1].copy(), z[t], coef, intercept,
                    inputs[t : t + n, z.shape[1] :], low, high, np.zeros((n, z.shape[1])),
                )  # fmt: skip
                rows = X[: t + lag + 1].tolist()
                for step in run * scale + mean:
                    rows.append((step + rows[-lag]).tolist() if lag > 0 else step.tolist())
                errors = (np.array(rows[t + lag + 1 :]) - X[t + lag + 1 : t + lag + 1 + n]) / X.std(axis=0)
                scores.append(sum(np.log10(1 + 1 / np.mean(errors[:k] ** 2)) / 2 for k in range(1, n + 1)) / n)
            found[a, b] = np.mean(scores)
    return found


def ridge(Z, Y, alpha):
    """Coefficients (O, K) and intercepts (O,): least squares of the centred rows with sqrt(alpha) I below them."""
    K, O = Z.shape[1], Y.shape[1]
    rows = np.concatenate([Z - Z.mean(axis=0), np.sqrt(alpha) * np.eye(K)])
    coef = np.linalg.lstsq(rows, np.concatenate([Y - Y.mean(axis=0), np.zeros((K, O))]), rcond=None)[0].T
    return coef, Y.mean(axis=0) - coef @ Z.mean(axis=0)
