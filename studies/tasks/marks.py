"""Puzzles with two or three marks among many steps: say at the end what was marked.

Windows and lengths. Places are counted from 0 and windows are half open unless they say otherwise. Where a window
contains marks that were placed before, the next one is drawn from the places left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.tasks.sequence_task import Draw


@dataclass(frozen=True)
class Window:
    """Places a mark may stand at: low <= place < high, or <= high if `is_closed`.

    Attributes
    ----------
    low, high : floats; shares of the sequence's own length ("length"), of the nominal T ("nominal"), or numbers of
        steps ("steps"), rounded down
    of : "length", "nominal" or "steps"
    """

    low: float
    high: float
    of: str = "length"
    is_closed: bool = False

    def bounds(self, lengths: np.ndarray, T: int) -> tuple[np.ndarray, np.ndarray]:
        """First place and the place after the last, each (n,); at least one place."""
        unit = {"length": lengths, "nominal": np.full_like(lengths, T), "steps": np.ones_like(lengths)}[self.of]
        low, high = (np.floor(share * unit + 1e-9).astype(np.int64) for share in (self.low, self.high))
        return low, np.maximum(high + self.is_closed, low + 1)


@dataclass(frozen=True)
class TwoNumbers:
    """Two of many numbers are marked; say their sum, their product, or whether just one is 1.

    The inputs of a step are the number and its mark.

    Attributes
    ----------
    target : "sum", "mean", "scaled sum" (0.5 + sum / 4), "product" or "xor"
    numbers : "unit" for uniform(0, 1), "symmetric" for uniform(-1, 1), "bits" for 0 or 1
    windows : of the two marks
    longest : lengths are uniform from T to longest * T, both included
    length_share : float, the T of the source is this many times the nominal one
    ends : marks other than the two: "none"; "hochreiter97", -1 at the first and the last step, and a marked first
        number counts as the neutral one; "release", -1 at the first step and three before the last
    extra_steps : int, steps after the length that was drawn
    share_length : bool, all sequences of a draw have one length
    tolerance : as in `Draw`
    """

    target: str
    numbers: str = "unit"
    windows: tuple[Window, Window] = (Window(0.0, 0.1), Window(0.1, 0.5))
    longest: float = 1.1
    length_share: float = 1.0
    ends: str = "none"
    extra_steps: int = 0
    share_length: bool = False
    tolerance: float | None = 0.04

    def draw(self, n_sequences: int, T: int, *, rng: np.random.Generator) -> Draw:
        """Sequences of nominal length T."""
        T, nominal = round(self.length_share * T), T
        drawn = _lengths(n_sequences, T, self.longest, rng=rng, is_shared=self.share_length)
        lengths = drawn + self.extra_steps
        first, second = _marks(self.windows, drawn, nominal, rng=rng)
        n_steps, rows = int(lengths.max()), np.arange(n_sequences)
        X = np.zeros((n_sequences, n_steps, 2))
        X[..., 0] = _numbers(self.numbers, (n_sequences, n_steps), rng=rng)
        if self.ends == "release":
            X[:, 0, 1] = X[rows, drawn - 3, 1] = -1.0
        X[rows, first, 1] = X[rows, second, 1] = 1.0
        if self.ends == "hochreiter97":
            X[(first == 0) | (second == 0), 0, 0] = 1.0 if self.target == "product" else 0.0
            X[:, 0, 1] = X[rows, lengths - 1, 1] = -1.0
        a, b = X[rows, first, 0], X[rows, second, 0]
        y = {"sum": a + b, "mean": (a + b) / 2, "scaled sum": 0.5 + (a + b) / 4, "product": a * b, "xor": np.abs(a - b)}
        X[np.arange(n_steps) >= lengths[:, None]] = 0.0
        loss = "logistic" if self.target == "xor" else "squared"
        tolerance = None if self.target == "xor" else self.tolerance
        return Draw(X, 2, lengths, y[self.target][:, None], 1, loss, _last_steps(lengths), tolerance)


@dataclass(frozen=True)
class TemporalOrder:
    """Among four idle symbols two or three stand that are X or Y: say at the end which, in their order.

    Symbols 0 to 3 are idle, 4 is X, 5 is Y, 6 asks for the answer and 7 begins a sequence. The class reads the
    marks as binary digits, Y as 1, the first mark highest.

    Attributes
    ----------
    windows : one a mark
    longest : lengths are uniform from T to longest * T
    begins : bool, the first symbol is 7
    asks : int or None, steps before the end at which symbol 6 stands, 1 meaning the last step
    extra_steps : int, steps after the length that was drawn
    is_balanced : bool, classes occur equally often instead of being drawn
    tolerance : as in `Draw`
    """

    windows: tuple[Window, ...]
    longest: float = 1.1
    begins: bool = False
    asks: int | None = None
    extra_steps: int = 0
    is_balanced: bool = False
    tolerance: float | None = None

    def draw(self, n_sequences: int, T: int, *, rng: np.random.Generator) -> Draw:
        """Sequences of nominal length T."""
        drawn = _lengths(n_sequences, T, self.longest, rng=rng)
        lengths, rows = drawn + self.extra_steps, np.arange(n_sequences)
        n_classes = 2 ** len(self.windows)
        classes = rows % n_classes if self.is_balanced else rng.integers(0, n_classes, n_sequences)
        symbols = rng.integers(0, 4, (n_sequences, int(lengths.max())))
        if self.begins:
            symbols[:, 0] = 7
        if self.asks is not None:
            symbols[rows, lengths - self.asks] = 6
        for i, places in enumerate(_marks(self.windows, drawn, T, rng=rng)):
            symbols[rows, places] = 4 + (classes >> (len(self.windows) - 1 - i)) % 2
        symbols[np.arange(symbols.shape[1]) >= lengths[:, None]] = 0
        n_inputs = 8 if self.begins else 6
        return Draw(
            symbols, n_inputs, lengths, classes, n_classes, "softmax", _last_steps(lengths), tolerance=self.tolerance
        )


def _lengths(n: int, T: int, longest: float, *, rng: np.random.Generator, is_shared: bool = False) -> np.ndarray:
    """(n,) lengths, uniform from T to longest * T."""
    most = int(longest * T + 1e-9)
    return np.broadcast_to(rng.integers(T, most + 1, 1 if is_shared else n), n).astype(np.int64)


def _marks(windows: tuple[Window, ...], lengths: np.ndarray, T: int, *, rng: np.random.Generator) -> list[np.ndarray]:
    """Places of the marks, one (n,) array a window, no two alike."""
    marks: list[np.ndarray] = []
    for window in windows:
        low, high = window.bounds(lengths, T)
        taken = [np.where((low <= mark) & (mark < high), mark, -1) for mark in marks]
        place = rng.integers(low, np.maximum(high - sum((t >= 0).astype(np.int64) for t in taken), low + 1))
        for mark in np.sort(taken, axis=0) if taken else ():
            place += (mark >= 0) & (place >= mark)
        marks.append(place)
    return marks


def _numbers(kind: str, shape: tuple[int, int], *, rng: np.random.Generator) -> np.ndarray:
    if kind == "bits":
        return rng.integers(0, 2, shape).astype(np.float64)
    return rng.uniform(0.0 if kind == "unit" else -1.0, 1.0, shape)


def _last_steps(lengths: np.ndarray) -> np.ndarray:
    """(n, T) bool, true at the last step of every sequence."""
    return np.arange(lengths.max()) == lengths[:, None] - 1
