"""Free runs by the equations, one step and one lane at a time."""

import math

import numpy as np

ACTIVATIONS = {
    "tanh": math.tanh,
    "relu": lambda a: max(a, 0.0),
    "logistic": lambda a: 1 / (1 + math.exp(-a)),
    "identity": lambda a: a,
}


def closed_loop(W, W_in, bias, leak, activation, x, y, coef, intercept, exog, low, high, noise):
    """Outputs (n_steps, O) of one lane, and which steps were held; ``coef`` sees the inputs if it is wide enough."""
    f, outputs, held = ACTIVATIONS[activation], [], []
    for k in range(len(exog)):
        u = [*y, *exog[k]]
        before = x.copy()
        for i in range(len(x)):
            a = bias[i] + sum(W[i, j] * before[j] for j in range(len(x)))
            a += sum(w * v for w, v in zip(W_in[i], u, strict=True))
            x[i] = (1 - leak[i]) * before[i] + leak[i] * f(a)
        features = [*x, *u][: coef.shape[1]]
        found = []
        for o in range(len(coef)):
            found.append(intercept[o] + noise[k, o] + sum(c * z for c, z in zip(coef[o], features, strict=True)))
        y = [min(max(found[o], low[k, o]), high[k, o]) for o in range(len(coef))]
        held.append(y != found)
        outputs.append(y)
    return np.array(outputs), np.array(held)
