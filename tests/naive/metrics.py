"""Error measures with plain loops, written from their equations; imports nothing of the package."""

import math


def nmse_of_output(truth, prediction, weights):
    """Weighted mean squared error over weighted population variance of one output."""
    total = sum(weights)
    mean = sum(w * y for w, y in zip(weights, truth, strict=True)) / total
    variance = sum(w * (y - mean) ** 2 for w, y in zip(weights, truth, strict=True)) / total
    error = sum(w * (y - p) ** 2 for w, y, p in zip(weights, truth, prediction, strict=True)) / total
    return error / variance


def valid_steps(truth, prediction, threshold, scales):
    """Steps before sqrt(mean over features of the squared scaled error) is not within the threshold."""
    for t, (y, p) in enumerate(zip(truth, prediction, strict=True)):
        error = math.sqrt(sum(((a - b) / s) ** 2 for a, b, s in zip(y, p, scales, strict=True)) / len(y))
        if not error <= threshold:
            return t
    return len(truth)
