"""A character-level recurrent network in plain NumPy, one character at a time: the recipe of the lecture.

    h = tanh(W_xh x + W_hh h + b_h)          y = W_hy h + b_y          p = softmax(y)

Windows of n_steps characters, the loss of a window the sum of -log p of what follows. The state is carried from window
to window and begins at zero wherever the text does; so do the windows where no whole one is left. Gradients go back to
the window's beginning, are clipped to +-limit entry by entry, and followed by Adagrad.
"""

import numpy as np


class Twin:
    """The recipe as it goes on step by step.

    text : list of int. weights : dict of W_xh (H, V), W_hh (H, H), b_h (H,), W_hy (V, H), b_y (V,); written to.
    """

    def __init__(self, text, weights, *, n_steps=25, rate=0.1, limit=5.0, epsilon=1e-8):
        self.text, self.weights = text, weights
        self.n_steps, self.rate, self.limit, self.epsilon = n_steps, rate, limit, epsilon
        self.squares = {name: np.zeros_like(array) for name, array in weights.items()}
        self.place, self.h = 0, np.zeros_like(weights["b_h"])

    def step(self):
        """Loss of the next window, before the step that follows it."""
        if self.place + self.n_steps + 1 >= len(self.text):
            self.place, self.h = 0, np.zeros_like(self.h)
        characters = self.text[self.place : self.place + self.n_steps + 1]
        loss, gradient, self.h = window(characters, self.h, self.weights)
        for name, array in self.weights.items():
            g = np.clip(gradient[name], -self.limit, self.limit)
            self.squares[name] += g * g
            array -= self.rate * g / np.sqrt(self.squares[name] + self.epsilon)
        self.place += self.n_steps
        return loss


def window(characters, h, weights):
    """Loss, gradient and last state of one window: characters read but for the last, predicted but for the first."""
    V, T = len(weights["b_y"]), len(characters) - 1
    xs, hs, ps, loss = [], [h], [], 0.0
    for t in range(T):
        xs.append(np.eye(V)[characters[t]])
        hs.append(np.tanh(weights["W_xh"] @ xs[t] + weights["W_hh"] @ hs[t] + weights["b_h"]))
        y = weights["W_hy"] @ hs[t + 1] + weights["b_y"]
        ps.append(np.exp(y - y.max()) / np.exp(y - y.max()).sum())
        loss -= np.log(ps[t][characters[t + 1]])
    gradient = {name: np.zeros_like(array) for name, array in weights.items()}
    dh_later = np.zeros_like(h)
    for t in reversed(range(T)):
        dy = ps[t].copy()
        dy[characters[t + 1]] -= 1.0
        da = (weights["W_hy"].T @ dy + dh_later) * (1.0 - hs[t + 1] ** 2)
        gradient["W_hy"] += np.outer(dy, hs[t + 1])
        gradient["b_y"] += dy
        gradient["W_xh"] += np.outer(da, xs[t])
        gradient["W_hh"] += np.outer(da, hs[t])
        gradient["b_h"] += da
        dh_later = weights["W_hh"].T @ da
    return loss, gradient, hs[-1]


def smooth(found, n_characters, n_steps=25):
    """Running mean of losses as the recipe prints it."""
    mean, means = -np.log(1.0 / n_characters) * n_steps, []
    for loss in found:
        mean = 0.999 * mean + 0.001 * loss
        means.append(mean)
    return np.array(means)
