"""Spectral radius and matrix products from their definitions, with dense NumPy only."""

import numpy as np


def spectral_radius(W):
    """The largest absolute value among all N eigenvalues of the dense matrix."""
    return np.abs(np.linalg.eigvals(np.asarray(W, dtype=np.float64))).max()


def multiply_by_power(W, x, p, scale):
    """(W / scale)^p x with the power formed first."""
    return np.linalg.matrix_power(np.asarray(W) / scale, p) @ x


def cyclic_diagonals(shifts, weights):
    """The dense matrix of (W x)[i] = sum_k weights[k, i] * x[(i + shifts[k]) mod N]."""
    K, N = weights.shape
    W = np.zeros((N, N))
    for i in range(N):
        for k in range(K):
            W[i, (i + shifts[k]) % N] += weights[k, i]
    return W


def ring_with_jumps(N, jump_length, jump_weight):
    """Cycle of weight 1; jumps 0 - l - 2l - ... both ways, where no edge of the cycle is already."""
    W = np.zeros((N, N))
    for i in range(N):
        W[i, (i - 1) % N] = 1.0
    for j in range(N // jump_length):
        start, end = j * jump_length, (j + 1) * jump_length % N
        for receiver, sender in ((start, end), (end, start)):
            if receiver != sender and W[receiver, sender] == 0.0:
                W[receiver, sender] = jump_weight
    return W
