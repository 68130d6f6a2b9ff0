"""A recurrent network as loops over sequences and steps in plain NumPy, with dense Jacobians by the complex step.

Everything works on complex numbers, so that the derivative by a parameter is the imaginary part of what 1e-30 i added
to it makes: exact to rounding. Parameters are read from theta in the order in which the package documents them.

The pre-activations of a step, gates and candidates alike, are recorded with their nonlinearity; of those the matrices
of structural damping are made.
"""

from dataclasses import dataclass, field

import numpy as np

STEP = 1e-30


def tanh(a):
    return np.tanh(a)


def logistic(a):
    return 1.0 / (1.0 + np.exp(-a))


def relu(a):
    return np.where(np.real(a) > 0, a, 0.0)


def linear(a):
    return a


ACTIVATIONS = {"tanh": tanh, "logistic": logistic, "relu": relu, "identity": linear}


# ------------------------------------------------------------------------------------------------------- cells


@dataclass(frozen=True)
class Elman:
    """h = activation(x W + h R + b)."""

    n_in: int
    H: int
    activation: str = "tanh"
    has_c = False

    @property
    def shapes(self):
        return [(self.n_in, self.H), (self.H, self.H), (self.H,)]

    def step(self, parameters, x, h, c, record):
        W, R, b = parameters
        a = x @ W + h @ R + b
        record(self.activation, a, is_state=True)
        return ACTIVATIONS[self.activation](a), c


@dataclass(frozen=True)
class LSTM:
    """Gates i, f, o and candidate g; no peepholes."""

    n_in: int
    H: int
    has_c = True

    @property
    def shapes(self):
        return [(self.n_in, 4 * self.H), (self.H, 4 * self.H), (4 * self.H,)]

    def step(self, parameters, x, h, c, record):
        W, R, b = parameters
        i, f, o, g = np.split(x @ W + h @ R + b, 4)
        for gate in (i, f, o):
            record("logistic", gate)
        record("tanh", g)
        c = logistic(f) * c + logistic(i) * tanh(g)
        return logistic(o) * tanh(c), c


@dataclass(frozen=True)
class GRU:
    """Candidate g, gates r and u; the reset gate before the matrix."""

    n_in: int
    H: int
    has_c = False

    @property
    def shapes(self):
        return [(self.n_in, 3 * self.H), (self.H, 2 * self.H), (self.H, self.H), (3 * self.H,)]

    def step(self, parameters, x, h, c, record):
        W, R, G, b = parameters
        g, r, u = np.split(x @ W + b, 3)
        R_r, R_u = np.split(R, 2, axis=1)
        r, u = r + h @ R_r, u + h @ R_u
        g = g + (logistic(r) * h) @ G
        record("tanh", g)
        record("logistic", r)
        record("logistic", u)
        return logistic(u) * h + (1.0 - logistic(u)) * tanh(g), c


# ------------------------------------------------------------------------------------------------ the network


@dataclass(frozen=True)
class Net:
    """``layers`` of cells; other fields as the package has them.

    ``given`` are the units of the first cell whose initial state is given, ``clamped`` those whose every state is.
    """

    layers: list
    n_out: int
    loss: str = "squared"
    bidirectional: bool = False
    targets: str = "all"
    learn_initial_state: bool = False
    given: list = field(default_factory=list)
    clamped: list = field(default_factory=list)

    @property
    def parts(self):
        """(layer, cell, is_reversed) in the order of theta."""
        directions = (False, True) if self.bidirectional else (False,)
        return [(k, cell, is_reversed) for k, cell in enumerate(self.layers) for is_reversed in directions]

    def unpack(self, theta):
        """Parameters of each part, initial h and c of each part, readout weights and bias."""
        position = 0

        def take(shape):
            nonlocal position
            size = int(np.prod(shape))
            position += size
            return theta[position - size : position].reshape(shape)

        cells = [[take(shape) for shape in cell.shapes] for _, cell, _ in self.parts]
        initial = []
        for _, cell, _ in self.parts:
            learns = self.learn_initial_state
            h = take((cell.H,)) if learns else np.zeros(cell.H)
            c = take((cell.H,)) if learns and cell.has_c else np.zeros(cell.H)
            initial.append((h, c))
        F = self.layers[-1].H * (2 if self.bidirectional else 1)
        weights, bias = take((F, self.n_out)), take((self.n_out,))
        assert position == theta.size
        return cells, initial, weights, bias


@dataclass(frozen=True)
class Sequence:
    """One sequence: inputs (T, I), targets (T, O) or (1, O), weights of these or of rows; states given and clamped."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    h0: np.ndarray = field(default_factory=lambda: np.zeros(0))
    clamp: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


def forward(net, theta, sequence):
    """Outputs (T, O) or (1, O), and the pre-activations: lists of numbers and of the nonlinearities that read them."""
    cells, initial, weights, bias = net.unpack(theta)
    numbers, kinds = [], []
    below, T = sequence.x, len(sequence.x)
    for layer in range(len(net.layers)):
        sides, ends = [], []
        for k, (of_layer, cell, is_reversed) in enumerate(net.parts):
            if of_layer != layer:
                continue
            h, c = (np.array(state, complex) for state in initial[k])
            if k == 0:
                h[net.given] = sequence.h0
            states = [None] * T
            for t in range(T - 1, -1, -1) if is_reversed else range(T):

                def record(kind, a, is_state=False, k=k):
                    kept = np.ones(len(a), bool)
                    if is_state and k == 0:
                        kept[net.clamped] = False  # a state that is given has no distance from itself
                    numbers.extend(a[kept])
                    kinds.extend([kind] * int(kept.sum()))

                h, c = cell.step(cells[k], below[t], h, c, record)
                if k == 0 and net.clamped:
                    h = h.copy()
                    h[net.clamped] = sequence.clamp[t]
                states[t] = h
            sides.append(np.array(states))
            ends.append(h)
        below = np.concatenate(sides, axis=1)
    read = below if net.targets == "all" else np.concatenate(ends)[None]
    return read @ weights + bias, np.array(numbers), kinds


def loss_of(net, outputs, sequence):
    """Sum of weight times loss over the output rows; targets of weight 0 are not looked at."""
    total = 0.0
    for o, y, w in zip(outputs, sequence.y, sequence.weights, strict=True):
        y = np.where(w == 0, 0.0, y)
        if net.loss == "squared":
            total += np.sum(w * (o - y) ** 2) / 2
        elif net.loss == "logistic":
            size = np.where(np.real(o) > 0, o, -o)
            total += np.sum(w * (np.where(np.real(o) > 0, o, 0.0) + np.log(1.0 + np.exp(-size)) - o * y))
        else:
            highest = np.max(np.real(o))
            total += w * (np.sum(y) * (highest + np.log(np.sum(np.exp(o - highest)))) - np.sum(y * o))
    return total


def loss(net, theta, sequences):
    """Sum of the losses of the sequences."""
    return float(np.real(sum(loss_of(net, forward(net, theta, s)[0], s) for s in sequences)))


def jacobian(function, theta):
    """Derivatives of ``function(theta)``, an array, by every parameter: (size, P)."""
    columns = []
    for p in range(theta.size):
        moved = theta.astype(complex)
        moved[p] += STEP * 1j
        columns.append(np.ravel(np.imag(function(moved)) / STEP))
    return np.stack(columns, axis=1)


def gradient(net, theta, sequences):
    """(P,) gradient of :func:`loss`."""
    return sum(jacobian(lambda th, s=s: loss_of(net, forward(net, th, s)[0], s), theta)[0] for s in sequences)


# --------------------------------------------------------------------------------------------------- curvature


def predictions(kind, o):
    """Predictions for one row of outputs."""
    if kind == "squared":
        return o
    if kind == "logistic":
        return logistic(o)
    e = np.exp(o - np.max(o))
    return e / e.sum()


def loss_curvature(kind, o, w):
    """(O, O) second derivatives of w times the loss of one row."""
    p = predictions(kind, o)
    if kind == "squared":
        return np.diag(w * np.ones(o.size))
    if kind == "logistic":
        return np.diag(w * p * (1 - p))
    return w * (np.diag(p) - np.outer(p, p))


def gauss_newton(net, theta, sequences):
    """(P, P) sum over the output rows of Jᵀ H J."""
    G = np.zeros((theta.size, theta.size))
    for s in sequences:
        outputs = np.real(forward(net, theta, s)[0])
        J = jacobian(lambda th, s=s: forward(net, th, s)[0], theta).reshape(*outputs.shape, theta.size)
        for row, o, w in zip(J, outputs, s.weights, strict=True):
            G += row.T @ loss_curvature(net.loss, o, w) @ row
    return G


def distance_curvature(distance, kind, a):
    """Second derivative by a, at a, of the distance between the values of one pre-activation."""
    if distance == "squared_activations":
        return 1.0
    slope = {
        "tanh": lambda: 1 - np.tanh(a) ** 2,
        "logistic": lambda: logistic(a) * (1 - logistic(a)),
        "relu": lambda: float(a > 0),
        "identity": lambda: 1.0,
    }[kind]()
    if distance == "squared_values":
        return slope**2
    return slope / 4 if distance == "matching_quarter" and kind == "tanh" else slope


def structural(net, theta, sequences, distance, mean="sum_time"):
    """(P, P) J_aᵀ D J_a over all pre-activations; with ``mean_time`` divided by the length of each sequence."""
    G = np.zeros((theta.size, theta.size))
    for s in sequences:
        _, numbers, kinds = forward(net, theta, s)
        J = jacobian(lambda th, s=s: forward(net, th, s)[1], theta)
        D = [distance_curvature(distance, kind, a) for kind, a in zip(kinds, np.real(numbers), strict=True)]
        G += (J.T * D) @ J / (len(s.x) if mean == "mean_time" else 1)
    return G
