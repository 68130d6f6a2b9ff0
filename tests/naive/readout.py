"""Ridge readouts from the equations: loops, dense least squares, refits without the rows left out."""

import numpy as np


def sum_of_outer_products(tile):
    """(D, D) sum over the columns v of v vᵀ, one column at a time."""
    total = np.zeros((len(tile), len(tile)))
    for t in range(tile.shape[1]):
        for i in range(len(tile)):
            for j in range(len(tile)):
                total[i, j] += tile[i, t] * tile[j, t]
    return total


def ridge(features, targets, weights, alpha, fit_intercept=True):
    """W (O, K), b (O,): least squares of the rows √w [z, 1] stacked on √alpha [I, 0]; least norm, by SVD."""
    K = features.shape[1]
    root = np.sqrt(weights)[:, None]
    if fit_intercept:
        # The column of ones is projected out, so that least norm is asked of W alone.
        total = np.sum(weights)
        mean_z, mean_y = weights @ features / total, weights @ targets / total
    else:
        mean_z, mean_y = np.zeros(K), np.zeros(targets.shape[1])
    rows = np.vstack([root * (features - mean_z), np.sqrt(alpha) * np.eye(K)])
    right = np.vstack([root * (targets - mean_y), np.zeros((K, targets.shape[1]))])
    W = np.linalg.lstsq(rows, right, rcond=None)[0].T
    b = mean_y - W @ mean_z
    return W, b


def squared_error(W, b, features, targets, weights):
    """(O,) weighted sum of squared errors, row by row."""
    total = np.zeros(len(W))
    for z, y, w in zip(features, targets, weights, strict=True):
        total += w * (y - W @ z - b) ** 2
    return total


def left_out_errors(groups, features, targets, weights, alpha, fit_intercept=True):
    """(O,) errors of each group of rows under the readout refitted to all other rows."""
    total = np.zeros(targets.shape[1])
    for group in groups:
        rest = np.setdiff1d(np.arange(len(features)), group)
        W, b = ridge(features[rest], targets[rest], weights[rest], alpha, fit_intercept)
        total += squared_error(W, b, features[group], targets[group], weights[group])
    return total


def generalised_error(features, targets, weights, alpha, fit_intercept=True):
    """(O,) RSS / (1 - tr H / n)², H the dense hat matrix of the weighted rows, a column at a time."""
    n = len(features)
    trace = 0.0
    for t in range(n):
        unit = np.zeros((n, 1))
        unit[t] = 1.0 / np.sqrt(weights[t])
        W, b = ridge(features, unit, weights, alpha, fit_intercept)
        trace += np.sqrt(weights[t]) * (W @ features[t] + b)[0]
    W, b = ridge(features, targets, weights, alpha, fit_intercept)
    return squared_error(W, b, features, targets, weights) / (1.0 - trace / n) ** 2


def ridge_by_cg(features, targets, weights, alpha, directions, tolerance):
    """W (O, K), b (O,) and the number of iterations: dense normal equations and M^-1/2, textbook CG on all outputs."""
    K, O = features.shape[1], targets.shape[1]
    mean_z, mean_y = weights @ features / weights.sum(), weights @ targets / weights.sum()
    root = np.sqrt(weights)[:, None]
    Z, Y = root * (features - mean_z), root * (targets - mean_y)
    A = Z.T @ Z
    near = A @ directions @ np.linalg.pinv(directions.T @ A @ directions, hermitian=True) @ (A @ directions).T
    values, vectors = np.linalg.eigh(near)
    values, U = values[-directions.shape[1] :], vectors[:, -directions.shape[1] :]
    M = U @ np.diag(values + alpha) @ U.T + (values[0] + alpha) * (np.eye(K) - U @ U.T)
    d, V = np.linalg.eigh(M / (values[0] + alpha))
    half = V @ np.diag(d**-0.5) @ V.T
    A = half @ (A + alpha * np.eye(K)) @ half
    B = half @ Z.T @ Y
    sizes = np.sqrt((B**2).sum(axis=0))
    R = B / sizes
    X, D, n = np.zeros((K, O)), R.copy(), 0
    while (R**2).sum() > tolerance**2 * O:
        AD = A @ D
        step = (R**2).sum() / (D * AD).sum()
        X, before, R = X + step * D, (R**2).sum(), R - step * AD
        D = R + (R**2).sum() / before * D
        n += 1
    W = (half @ (X * sizes)).T
    return W, mean_y - W @ mean_z, n
