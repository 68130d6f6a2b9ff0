"""Matrix products term by term: exact, or rounded as a chain of fused multiply-adds."""

import math
from fractions import Fraction

import numpy as np


def product(A, B):
    """A B in float64, each element rounded a few times only: products, then their exact sum."""
    C = np.zeros((A.shape[0], B.shape[1]))
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            C[i, j] = math.fsum(float(a) * float(b) for a, b in zip(A[i], B[:, j], strict=True))
    return C


def fused_chain(c, left, right, depth):
    """c + left . right in float64: sums of ``depth`` terms, every multiply-add rounded once, are added to c in turn."""
    for start in range(0, len(left), depth):
        total = 0.0
        for a, b in zip(left[start : start + depth], right[start : start + depth], strict=True):
            total = float(Fraction(float(a)) * Fraction(float(b)) + Fraction(total))
        c = c + total
    return c


def one_hot(index, n_columns):
    """Rows with a one at the index."""
    return np.array([[1.0 if k == i else 0.0 for k in range(n_columns)] for i in index]).reshape(-1, n_columns)


def take_rows(source, spans, n_rows):
    """What each of ``n_rows`` rows reads by ``spans``: (first row read, first row, number) each; zeros if nothing."""
    taken = np.zeros((n_rows, source.shape[1]))
    for first_read, first, n in spans:
        for k in range(n):
            taken[first + k] = source[first_read + k]
    return taken
