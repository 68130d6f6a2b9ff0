"""Recurrent cells from their equations: one sequence, one step after the other. Numbers may be complex.

A step takes parameters ``p`` by name, the input x (I,), the state - h, or a tuple that begins with h - and the choices
of the cell; it returns the new state. Columns of a matrix that serves several gates stand in the order of the cell's
documentation.
"""

import numpy as np


def logistic(a):
    return 1 / (1 + np.exp(-a))


ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.where(a.real > 0, a, 0),
    "logistic": logistic,
    "identity": lambda a: a,
}


def elman(p, x, h, *, activation, activates_first):
    f = ACTIVATIONS[activation]
    if activates_first:
        return x @ p["input"] + f(h) @ p["recurrent"] + p["bias"]
    return f(x @ p["input"] + h @ p["recurrent"] + p["bias"])


def forget_gate(p, x, h, *, forget_bias):
    f, g = np.split(x @ p["input"] + h @ p["recurrent"] + p["bias"], 2)
    return logistic(f) * h + np.tanh(g)


def lstm(
    p,
    x,
    state,
    *,
    has_input_gate,
    has_forget_gate,
    has_output_gate,
    is_coupled,
    has_input_activation,
    has_output_activation,
    has_peepholes,
    has_full_gate_recurrence,
    forget_bias,
):
    h, c, gates_before = state
    has_gate = {"i": has_input_gate, "f": has_forget_gate and not is_coupled, "o": has_output_gate}
    names = [name for name in "ifo" if has_gate[name]]
    a = dict(zip([*names, "g"], np.split(x @ p["input"] + h @ p["recurrent"] + p["bias"], len(names) + 1), strict=True))
    if has_full_gate_recurrence and names and gates_before is not None:
        for name, share in zip(names, np.split(gates_before @ p["gates"], len(names)), strict=True):
            a[name] = a[name] + share
    gate = {}

    def value(name, c):
        if name not in names:
            return 1.0
        gate[name] = logistic(a[name] + (p[f"peephole_{name}"] * c if has_peepholes else 0))
        return gate[name]

    i, f = value("i", c), value("f", c)
    if is_coupled:
        f = 1 - i
    c = f * c + i * (np.tanh(a["g"]) if has_input_activation else a["g"])
    h = value("o", c) * (np.tanh(c) if has_output_activation else c)
    return h, c, np.concatenate([gate[name] for name in names]) if names else None


def gru(p, x, h, *, reset_after):
    x_g, x_r, x_u = np.split(x @ p["input"], 3)
    if reset_after:
        h_r, h_u, h_g = np.split(h @ p["recurrent"], 3)
        b_g, b_r, b_u, b_q = np.split(p["bias"], 4)
    else:
        h_r, h_u = np.split(h @ p["recurrent"], 2)
        b_g, b_r, b_u = np.split(p["bias"], 3)
    r, u = logistic(x_r + h_r + b_r), logistic(x_u + h_u + b_u)
    g = np.tanh(x_g + b_g + (r * (h_g + b_q) if reset_after else (r * h) @ p["candidate"]))
    return u * h + (1 - u) * g


def mut1(p, x, h, *, project_input):
    H = len(h)
    x_u, x_r, projected = np.split(x @ p["input"], [H, 2 * H])
    b_g, b_u, b_r = np.split(p["bias"], 3)
    u, r = logistic(x_u + b_u), logistic(x_r + h @ p["recurrent"] + b_r)
    g = np.tanh((r * h) @ p["candidate"] + np.tanh(projected if len(projected) else x) + b_g)
    return u * g + (1 - u) * h


def mut2(p, x, h, *, project_input):
    H = len(h)
    x_g, x_u, projected = np.split(x @ p["input"], [H, 2 * H])
    h_u, h_r = np.split(h @ p["recurrent"], 2)
    b_g, b_u, b_r = np.split(p["bias"], 3)
    u, r = logistic(x_u + h_u + b_u), logistic((projected if len(projected) else x) + h_r + b_r)
    g = np.tanh(x_g + (r * h) @ p["candidate"] + b_g)
    return u * g + (1 - u) * h


def mut3(p, x, h):
    a_g, a_u, a_r = np.split(x @ p["input"] + p["bias"], 3)
    u, r = logistic(a_u + np.tanh(h) @ p["update"]), logistic(a_r + h @ p["recurrent"])
    g = np.tanh(a_g + (r * h) @ p["candidate"])
    return u * g + (1 - u) * h


def multiplicative_rnn(p, x, h, *, n_factors):
    factors = (x @ p["input_factors"]) * (h @ p["recurrent_factors"])
    return np.tanh(factors @ p["factors"] + x @ p["input"] + p["bias"])


def multiplicative_lstm(p, x, state, *, forget_bias):
    h, c, _ = state
    m = (x @ p["input_factors"]) * (h @ p["recurrent_factors"])
    i, f, o, g = np.split(x @ p["input"] + m @ p["recurrent"] + p["bias"], 4)
    c = logistic(f) * c + logistic(i) * np.tanh(g)
    return logistic(o) * np.tanh(c), c, None


STEPS = {
    "Elman": elman,
    "ForgetGate": forget_gate,
    "LSTM": lstm,
    "GRU": gru,
    "MUT1": mut1,
    "MUT2": mut2,
    "MUT3": mut3,
    "MultiplicativeRNN": multiplicative_rnn,
    "MultiplicativeLSTM": multiplicative_lstm,
}


def run(name, choices, p, x, h, c=None, units=(), values=None):
    """States (T, H) of one sequence x (T, I) from h (H,), and the final c, or None.

    ``units`` are set to ``values[t]`` after each step.
    """
    state = h if c is None else (h, c, None)
    states = []
    for t in range(len(x)):
        state = STEPS[name](p, x[t], state, **choices)
        h = state if c is None else state[0]
        if len(units):
            h = np.array(h)
            h[list(units)] = values[t]
            state = h if c is None else (h, *state[1:])
        states.append(h)
    return np.array(states), None if c is None else state[1]


def complex_step(f, at, step=1e-200):
    """Gradient of f: array -> number, analytic, with no cancellation: Im f(x + i step e_k) / step."""
    gradient = np.zeros(at.size)
    for k in range(at.size):
        moved = at.astype(complex).ravel()
        moved[k] += 1j * step
        gradient[k] = f(moved.reshape(at.shape)).imag / step
    return gradient.reshape(at.shape)


# ------------------------------------------------------------------- back-propagation through time, by hand


def elman_gradient(p, x, h, u, limit=np.inf):
    """Gradient of sum(u * h) by the parameters of a tanh Elman cell, by name; and by the initial state.

    ``limit`` bounds the derivative by each state when it is complete.
    """
    hs = [h]
    for t in range(len(x)):
        hs.append(np.tanh(x[t] @ p["input"] + hs[-1] @ p["recurrent"] + p["bias"]))
    d = {name: np.zeros_like(value) for name, value in p.items()}
    dh = np.zeros_like(h)
    for t in range(len(x) - 1, -1, -1):
        da = np.clip(dh + u[t], -limit, limit) * (1 - hs[t + 1] ** 2)
        d["input"] += np.outer(x[t], da)
        d["recurrent"] += np.outer(hs[t], da)
        d["bias"] += da
        dh = p["recurrent"] @ da
    return d, dh


def lstm_gradient(p, x, h, c, u):
    """Gradient of sum(u * h) by the parameters of an LSTM without peepholes, by name; and by the initial states."""
    tape = []
    for t in range(len(x)):
        i, f, o, g = np.split(x[t] @ p["input"] + h @ p["recurrent"] + p["bias"], 4)
        i, f, o, g = logistic(i), logistic(f), logistic(o), np.tanh(g)
        tape.append((h, c, i, f, o, g))
        c = f * c + i * g
        h = o * np.tanh(c)
    d = {name: np.zeros_like(value) for name, value in p.items()}
    dh, dc = np.zeros_like(h), np.zeros_like(c)
    for t in range(len(x) - 1, -1, -1):
        h, c, i, f, o, g = tape[t]
        s = np.tanh(f * c + i * g)
        dh = dh + u[t]
        dc = dc + dh * o * (1 - s**2)
        slopes = i * (1 - i), f * (1 - f), o * (1 - o), 1 - g**2
        da = np.concatenate([v * slope for v, slope in zip((dc * g, dc * c, dh * s, dc * i), slopes, strict=True)])
        d["input"] += np.outer(x[t], da)
        d["recurrent"] += np.outer(h, da)
        d["bias"] += da
        dh, dc = p["recurrent"] @ da, dc * f
    return d, dh, dc
