"""Leaky echo states from the equations: dense matrices, one unit after the other, one step after the other.

z_i  = radius (W x)_i + scale (W_in u)_i + bias_scale b_i + noise_i,    u the inputs, then the fed-back outputs
x_i <- (1 - leak a_i) x_i + leak a_i f(z_i)
y    = offset + C [x; inputs]
"""

import math

import numpy as np

ACTIVATIONS = {
    "tanh": math.tanh,
    "relu": lambda z: z if z > 0 else 0.0,
    "logistic": lambda z: 1 / (1 + math.exp(-z)),
    "identity": lambda z: z,
}


def echo_states(
    W,
    input_weights,
    bias,
    leak,
    rows,
    *,
    activation="tanh",
    start=None,
    noise=None,
    feedback_weights=None,
    teacher=None,
    coef=None,
    offset=None,
    last_output=None,
    scales=(1.0, 1.0, 1.0, 1.0),
):
    """States (T, N) and outputs (T, O) of one sequence; O = 0 without ``coef``.

    ``rows`` (T, I). ``teacher`` (T, O) is what stands in the feedback columns; without it, where there are feedback
    weights, the outputs of the step before stand there. ``coef`` (O, N + I) reads states and inputs. ``scales``:
    radius, input, bias and leak factor.
    """
    radius, scale, bias_scale, leak_scale = scales
    N = len(bias)
    f = ACTIVATIONS[activation]
    x = [0.0] * N if start is None else [float(value) for value in start]
    y = None if coef is None else np.zeros(len(coef)) if last_output is None else np.array(last_output, float)
    states, outputs = np.zeros((len(rows), N)), np.zeros((len(rows), 0 if coef is None else len(coef)))
    connections = [[(j, float(W[i, j])) for j in range(N) if W[i, j] != 0] for i in range(N)]
    for t in range(len(rows)):
        driven = np.array(input_weights, float) @ np.array(rows[t], float)
        if feedback_weights is not None:
            driven = driven + np.array(feedback_weights, float) @ (y if teacher is None else teacher[t])
        new = []
        for i in range(N):
            z = radius * sum(w * x[j] for j, w in connections[i]) + scale * driven[i] + bias_scale * float(bias[i])
            if noise is not None:
                z += noise[t][i]
            a = leak_scale * float(leak[i])
            new.append((1 - a) * x[i] + a * f(z))
        x = new
        states[t] = x
        if coef is not None:
            y = np.array(offset, float) + np.array(coef, float) @ np.concatenate([x, rows[t]])
            outputs[t] = y
    return states, outputs


def tile_column(state, inputs, targets, shift, weight):
    """sqrt(weight) [x; u - shift; 1; y - shift] of one step; zeros where the weight is 0."""
    column = [*state, *(inputs - shift[: len(inputs)]), 1.0, *(targets - shift[len(inputs) :])]
    return np.zeros(len(column)) if weight == 0 else math.sqrt(weight) * np.array(column)
