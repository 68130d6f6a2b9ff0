"""Columns shifted to mean 0 and scaled to variance 1, and back: in float64 whatever the data's precision, in blocks.

    shift = Σ w x / Σ w          scale² = Σ w (x - shift)² / Σ w          standardised = (x - shift) / scale

The mean comes first, then the sum of squares of what is left of it; the little that rounding has left in the mean is
taken off both. Every column is counted in the power of two below its largest number, so nothing overflows.

References
----------
Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance, section 1: the corrected two-pass algorithm.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_BLOCK = 2**17  # numbers taken at a time: a float64 copy of them stays in the cache


def standard(rows: np.ndarray, weights: np.ndarray | None, *, on: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and deviation of each column of ``rows``; 0 and 1 if not ``on``.

    Parameters
    ----------
    rows : (n, k) float64 or float32
        Where a weight is 0 the row is not looked at.
    weights : (n,), optional
    on : bool

    Returns
    -------
    shift, scale : (k,) float64
        The scale is 1 where a column is constant: where it deviates by less than what its precision can resolve.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.standardise import standard
    >>> shift, scale = standard(np.array([[1.0, 0.1], [3.0, 0.1]], np.float32), None)
    >>> shift.round(6).tolist(), scale.tolist()
    ([2.0, 0.1], [1.0, 1.0])
    """
    k = rows.shape[1]
    if not on:
        return np.zeros(k), np.ones(k)
    largest = np.zeros(k)
    for block, _ in _blocks(rows, weights):
        np.maximum(largest, np.abs(block).max(axis=0), out=largest)
    unit = np.ldexp(0.5, np.frexp(np.where(largest > 0.0, largest, 1.0))[1])
    total, mean = 0.0, np.zeros(k)
    for block, w in _blocks(rows, weights):
        total += float(w.sum())
        mean += np.einsum("i,ij", w, block / unit)
    mean /= total
    left, squares = np.zeros(k), np.zeros(k)
    for block, w in _blocks(rows, weights):
        difference = block / unit - mean
        left += np.einsum("i,ij", w, difference)
        squares += np.einsum("i,ij", w, difference**2)
    left /= total
    scale = np.sqrt(np.maximum(squares / total - left**2, 0.0))
    resolution = np.finfo(rows.dtype)
    is_constant = (scale <= resolution.eps) | (scale * unit < resolution.tiny)
    return (mean + left) * unit, np.where(is_constant, 1.0, scale * unit)


def standardised(rows: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """``(rows - shift) / scale`` in the precision of ``rows``, computed in float64."""
    found = np.empty(rows.shape, rows.dtype)
    for part in _parts(rows):
        found[part] = (rows[part] - shift) / scale
    return found


def restored(rows: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """``rows * scale + shift`` in the precision of ``rows``, computed in float64."""
    found = np.empty(rows.shape, rows.dtype)
    for part in _parts(rows):
        found[part] = rows[part] * scale + shift
    return found


def _blocks(rows: np.ndarray, weights: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows that count, in float64, and their weights as shares of the largest one, some at a time."""
    highest = 1.0 if weights is None else float(weights.max())
    for part in _parts(rows):
        block = rows[part].astype(np.float64)
        w = np.ones(len(block)) if weights is None else weights[part].astype(np.float64) / highest
        is_counted = w > 0.0
        if is_counted.all():
            yield block, w
        elif is_counted.any():
            yield block[is_counted], w[is_counted]


def _parts(rows: np.ndarray) -> list[slice]:
    n = max(1, _BLOCK // max(1, rows.shape[1]))
    return [slice(start, start + n) for start in range(0, len(rows), n)]
