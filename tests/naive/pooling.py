"""Pooled readouts from the equations: one sequence, one unit, one step after the other; refits for every fold."""

import math

import numpy as np

from naive.readout import ridge


def statistic(values, name):
    """One number of the values of one unit over the steps of one sequence."""
    n = len(values)
    mean = math.fsum(values) / n
    if name == "mean":
        return mean
    if name == "std":
        return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n)
    if name == "last":
        return values[-1]
    if name in ("max", "min"):
        return sorted(values)[-1 if name == "max" else 0]
    if name == "share_positive":
        return sum(1 for value in values if value > 0) / n
    raise ValueError(name)


def pooled(sequences, names):
    """(n_sequences, len(names) * K): for each name in turn that statistic of all K columns."""
    return np.array(
        [
            [statistic([float(v) for v in sequence[:, k]], name) for name in names for k in range(sequence.shape[1])]
            for sequence in sequences
        ]
    )


def standardised_ridge(features, targets, weights, alpha):
    """W (O, K), b (O,) for the features as they are, of a ridge on standardised ones; 0 for constant ones."""
    total = np.sum(weights)
    mean = weights @ features / total
    scale = np.sqrt(weights @ (features - mean) ** 2 / total)
    scale[np.ptp(features, axis=0) <= 1e-13 * np.abs(mean)] = np.inf
    W, b = ridge((features - mean) / scale, targets, weights, alpha)
    return W / scale, b - W @ (mean / scale)


def fold_errors(features, targets, weights, folds, alpha):
    """Share of rows, by weight, whose largest output is not that of their target, and mean squared error; refitted."""
    wrong = squared = 0.0
    for fold in set(folds):
        out = [i for i in range(len(folds)) if folds[i] == fold]
        rest = [i for i in range(len(folds)) if folds[i] != fold]
        W, b = ridge(features[rest], targets[rest], weights[rest], alpha)
        for i in out:
            output = W @ features[i] + b
            wrong += weights[i] * (np.argmax(output) != np.argmax(targets[i]))
            squared += weights[i] * np.sum((output - targets[i]) ** 2)
    return wrong / np.sum(weights), squared / np.sum(weights)
