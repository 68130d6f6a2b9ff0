"""Small problems with dense curvature, written from the equations; and conjugate gradients as in the textbooks."""

import numpy as np


def conjugate_gradient(A, b, x, n_steps, M=None):
    """Iterates x_1, ..., x_n; z = M^-1 r."""
    M = np.ones_like(b) if M is None else M
    r = b - A @ x
    z = r / M
    d = z.copy()
    found = []
    for _ in range(n_steps):
        alpha = (r @ z) / (d @ A @ d)
        x = x + alpha * d
        r_next = b - A @ x
        z_next = r_next / M
        beta = (r_next @ z_next) / (r @ z)
        d = z_next + beta * d
        r, z = r_next, z_next
        found.append(x)
    return found


def unpack(theta, n_in, n_hidden, n_out):
    """W_x (H, I), W_h (H, H), b (H,), h_0 (H,), W_o (O, H), b_o (O,)."""
    shapes = [(n_hidden, n_in), (n_hidden, n_hidden), (n_hidden,), (n_hidden,), (n_out, n_hidden), (n_out,)]
    parts, start = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        parts.append(theta[start : start + size].reshape(shape))
        start += size
    return parts


def n_params(n_in, n_hidden, n_out):
    return n_hidden * (n_in + n_hidden + 2) + n_out * (n_hidden + 1)


class TanhNet:
    """Recurrent tanh net over X (B, T, I), one target row (O,) a sequence or a step; loss "squared", "softmax", or
    "squared of logistic", which does not match.

    ``value``, ``value_and_grad`` and the two-pass product, in plain NumPy. ``distance`` scales the curvature 1 - h² of
    the hidden-state distance. Answers are (loss_sum, weight[, grad]) tuples.
    """

    def __init__(self, X, y, n_hidden, loss="squared", every_step=False):
        self.X, self.y, self.n_hidden, self.loss, self.every_step = X, y, n_hidden, loss, every_step
        self.n_out = y.shape[-1]
        self.n_params = n_params(X.shape[2], n_hidden, self.n_out)

    def parts(self, theta):
        return unpack(theta, self.X.shape[2], self.n_hidden, self.n_out)

    def forward(self, theta, batch):
        Wx, Wh, b, h0, Wo, bo = self.parts(theta)
        X = self.X if batch is None else self.X[batch]
        states = [np.broadcast_to(h0, (len(X), self.n_hidden))]
        for t in range(X.shape[1]):
            states.append(np.tanh(X[:, t] @ Wx.T + states[-1] @ Wh.T + b))
        used = range(1, len(states)) if self.every_step else [len(states) - 1]
        outputs = {t: states[t] @ Wo.T + bo for t in used}
        return X, states, outputs

    def target(self, batch, t):
        y = self.y if batch is None else self.y[batch]
        return y[:, t - 1] if self.every_step else y

    def loss_and_slope(self, o, y):
        if self.loss == "softmax":
            shifted = o - o.max(axis=1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            return -np.sum(y * log_p), np.exp(log_p) - y
        if self.loss == "squared of logistic":
            p = 1.0 / (1.0 + np.exp(-o))
            return 0.5 * np.sum((p - y) ** 2), (p - y) * p * (1 - p)
        return 0.5 * np.sum((o - y) ** 2), o - y

    def output_curvature(self, o, Ro):
        """H_ℓ times R o; for the loss that does not match, J_pᵀ J_p of the logistic outputs."""
        if self.loss == "softmax":
            e = np.exp(o - o.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            return p * Ro - p * np.sum(p * Ro, axis=1, keepdims=True)
        if self.loss == "squared of logistic":
            p = 1.0 / (1.0 + np.exp(-o))
            return (p * (1 - p)) ** 2 * Ro
        return Ro

    def value_and_grad(self, theta, batch=None):
        X, states, outputs = self.forward(theta, batch)
        total, slopes = 0.0, {}
        for t, o in outputs.items():
            loss, slopes[t] = self.loss_and_slope(o, self.target(batch, t))
            total += loss
        weight = len(X) * len(outputs)
        return float(total), float(weight), self.backward(theta, X, states, slopes, None)

    def backward(self, theta, X, states, slopes, injected):
        _, Wh, _, _, Wo, _ = self.parts(theta)
        grad = np.zeros_like(theta)
        dWx, dWh, db, dh0, dWo, dbo = self.parts(grad)
        dh = np.zeros_like(states[-1])
        for t in range(X.shape[1], 0, -1):
            if t in slopes:
                dWo += slopes[t].T @ states[t]
                dbo += slopes[t].sum(axis=0)
                dh = dh + slopes[t] @ Wo
            da = (1 - states[t] ** 2) * dh
            if injected is not None:
                da = da + injected[t]
            dWx += da.T @ X[:, t - 1]
            dWh += da.T @ states[t - 1]
            db += da.sum(axis=0)
            dh = da @ Wh
        dh0 += dh.sum(axis=0)
        return grad

    def product(self, theta, v, batch, structural):
        X, states, outputs = self.forward(theta, batch)
        _, Wh, _, _, Wo, _ = self.parts(theta)
        Vx, Vh, vb, vh0, Vo, vbo = self.parts(v)
        Rh = np.broadcast_to(vh0, states[0].shape)
        Ra, slopes = {}, {}
        for t in range(1, len(states)):
            Ra[t] = Rh @ Wh.T + states[t - 1] @ Vh.T + X[:, t - 1] @ Vx.T + vb
            Rh = (1 - states[t] ** 2) * Ra[t]
            if t in outputs:
                Ro = Rh @ Wo.T + states[t] @ Vo.T + vbo
                slopes[t] = self.output_curvature(outputs[t], Ro)
        injected = {t: structural * (1 - states[t] ** 2) * Ra[t] for t in Ra}
        return self.backward(theta, X, states, slopes, injected)

    def squared_gradients(self, theta, batch=None):
        n = len(self.X)
        rows = range(n) if batch is None else batch
        return sum(self.value_and_grad(theta, np.array([row]))[2] ** 2 for row in rows)

    def outputs_of(self, theta):
        """Everything that the loss is a function of, in one vector."""
        return np.concatenate([o.ravel() for o in self.forward(theta, None)[2].values()])

    def preactivations_of(self, theta):
        """arctanh of the states after the first, in one vector; and 1 - h² beside it."""
        states = np.concatenate([h.ravel() for h in self.forward(theta, None)[1][1:]])
        return np.arctanh(states), 1 - states**2
