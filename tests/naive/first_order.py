"""First-order methods from their papers, one entry and one line at a time. ``gradient(theta)`` is a function."""

import math

import numpy as np


def sgd(gradient, theta, rate, n_steps):
    for t in range(n_steps):
        theta = theta - rate(t) * gradient(theta)
    return theta


def classical_momentum(gradient, theta, rate, momentum, n_steps):
    v = np.zeros_like(theta)
    for t in range(n_steps):
        v = momentum(t) * v - rate(t) * gradient(theta)
        theta = theta + v
    return theta


def nesterov(gradient, theta, rate, momentum, n_steps):
    """The two lines of Sutskever et al. (2013), the gradient at theta + μ v."""
    v = np.zeros_like(theta)
    for t in range(n_steps):
        v = momentum(t) * v - rate(t) * gradient(theta + momentum(t) * v)
        theta = theta + v
    return theta


def adagrad(gradient, theta, rate, epsilon, inside, n_steps):
    s = [0.0] * len(theta)
    for t in range(n_steps):
        g = gradient(theta)
        theta = theta.copy()
        for p in range(len(theta)):
            s[p] += g[p] * g[p]
            root = math.sqrt(s[p] + epsilon) if inside else math.sqrt(s[p]) + epsilon
            theta[p] -= rate(t) * g[p] / root
    return theta


def rmsprop(gradient, theta, rate, decay, momentum, epsilon, inside, n_steps):
    s, v = [0.0] * len(theta), [0.0] * len(theta)
    for t in range(n_steps):
        g = gradient(theta)
        theta = theta.copy()
        for p in range(len(theta)):
            s[p] = decay * s[p] + (1 - decay) * g[p] * g[p]
            root = math.sqrt(s[p] + epsilon) if inside else math.sqrt(s[p]) + epsilon
            v[p] = momentum(t) * v[p] - rate(t) * g[p] / root
            theta[p] += v[p]
    return theta


def adam(gradient, theta, rate, beta1, beta2, epsilon, n_steps):
    m, s = [0.0] * len(theta), [0.0] * len(theta)
    for t in range(1, n_steps + 1):
        g = gradient(theta)
        theta = theta.copy()
        for p in range(len(theta)):
            m[p] = beta1 * m[p] + (1 - beta1) * g[p]
            s[p] = beta2 * s[p] + (1 - beta2) * g[p] * g[p]
            corrected_m = m[p] / (1 - beta1**t)
            corrected_s = s[p] / (1 - beta2**t)
            theta[p] -= rate(t - 1) * corrected_m / (math.sqrt(corrected_s) + epsilon)
    return theta


def momentum_of_2013(t, maximum):
    """Equation 5 as printed."""
    return min(1 - 2 ** (-1 - math.log2(math.floor(t / 250) + 1)), maximum)
