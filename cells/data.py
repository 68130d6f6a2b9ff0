"""Sequences as a network meets them: checked once, stored row after row, gathered into shares."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from cells.layer import Input
from cells.network import Network
from cells.passes import Clamp
from cells.rows import Rows
from cells.share import Data

_SUM_ATOL = 1e-3  # of shares that should sum to 1: float16 models' outputs do; the gradient fits the loss for any sum


class SequenceData:
    """Inputs, targets and weights of n sequences; arguments as in ``SequenceObjective``, ``y`` may be None."""

    def __init__(
        self,
        network: Network,
        X: Any,
        y: Any = None,
        *,
        lengths: Any = None,
        mask: Any = None,
        initial_state: tuple[Any, Any] | None = None,
        clamped: tuple[Any, Any] | None = None,
        dtype: Any = None,
    ) -> None:
        self.network = network
        parts = _as_list("X", X, lengths)
        if isinstance(X, np.ndarray) and X.ndim == 2 and not np.issubdtype(X.dtype, np.integer):
            raise ValueError(
                f"X must be a list of sequences or an array (n, T, {network.n_in}), got an array of shape {X.shape}; "
                "give a single sequence as [X]."
            )
        self.lengths = np.array([len(part) for part in parts], np.int64)
        self.n_sequences = len(parts)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self._is_last = network.targets == "last"
        self.dtype = _precision(np.result_type(*{part.dtype for part in parts}), dtype)
        self.x, self.index = self._inputs(parts)
        self.weights = self._weights(mask, lengths)
        self.targets, self.labels = self._answers(y, lengths)
        self.given = self._given(initial_state)
        self.clamp = self._clamped(clamped, lengths)

    @cached_property
    def by_length(self) -> np.ndarray:
        """All sequences, longest first."""
        return np.argsort(-self.lengths, kind="stable")

    def share(self, indices: np.ndarray) -> Data:
        """Rows of the sequences ``indices``, which stand longest first."""
        rows = Rows(self.lengths[indices])
        place = self.offsets[indices][rows.sequence] + rows.step
        outputs = indices if self._is_last else place
        x = Input(self.x, 0, self.index[place]) if self.index is not None else Input(self.x[place])
        units, values = self.given
        clamp = Clamp(
            self.clamp.units,
            self.clamp.values[place] if self.clamp.units.size else np.empty((rows.n_rows, 0), self.dtype),
        )
        return Data(
            rows,
            x,
            self.targets[outputs] if self.targets.size else self.targets,
            self.labels[outputs] if self.labels.size else self.labels,
            self.weights[outputs],
            (units, values[indices] if units.size else values),
            clamp,
            indices,
        )

    def check_batch(self, batch: Any) -> np.ndarray:
        """``batch`` as int64, if it names sequences that are there."""
        batch = np.asarray(batch)
        if batch.ndim != 1 or batch.size == 0 or not np.issubdtype(batch.dtype, np.integer):
            raise ValueError(
                f"batch must be a 1-D array of at least one sequence number, got {batch.dtype} of shape {batch.shape}."
            )
        if batch.min() < 0 or batch.max() >= self.n_sequences:
            raise ValueError(
                f"batch must hold numbers from 0 to {self.n_sequences - 1}, got {batch.min()} to {batch.max()}."
            )
        return batch.astype(np.int64)

    # ------------------------------------------------------------------------------------------------ the door

    def _inputs(self, parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        I = self.network.n_in
        if all(part.ndim == 1 and np.issubdtype(part.dtype, np.integer) for part in parts):
            index = np.concatenate(parts).astype(np.int64)
            _check_classes("X", index, I, "n_in of the first layer")
            return np.empty((0, I), self.dtype), index
        for number, part in enumerate(parts):
            if part.ndim != 2 or part.shape[1] != I:
                raise ValueError(
                    f"X must hold arrays (T_i, {I}), n_in of the first layer wide, got shape {part.shape} for sequence "
                    f"{number}; integers (T_i,) stand for one-hot rows."
                )
        return self._numbers("X", np.concatenate(parts)), None

    def _answers(self, y: Any, lengths: Any) -> tuple[np.ndarray, np.ndarray]:
        O, nothing = self.network.n_out, np.empty((0, self.network.n_out), self.dtype)
        if y is None:
            return nothing, np.empty(0, np.int64)
        n, of_what = self.n_sequences, "sequence" if self._is_last else "step"
        if self._is_last:
            answers = _as_array("y", y)
            if answers.ndim == 0 or len(answers) != n:
                raise ValueError(
                    f"y must have one target for each of {n} sequences, because targets='last', got shape "
                    f"{answers.shape}; targets='all' takes one a step."
                )
        else:
            answers = self._like_X("y", y, lengths)
        if self.network.loss == "softmax" and answers.ndim == 1 and np.issubdtype(answers.dtype, np.integer):
            labels = np.where(self.weights != 0, answers, 0).astype(np.int64)  # of rows that do not count, any class
            _check_classes("y", labels, O, "n_out")
            return nothing, labels
        if answers.ndim == 1 and O == 1:
            answers = answers[:, None]
        if answers.ndim != 2 or answers.shape[1] != O:
            remedy = "class numbers must be integers" if self.network.loss == "softmax" else "reshape y"
            raise ValueError(
                f"y must hold {O} numbers a {of_what}, n_out of the network, got rows of shape {answers.shape[1:]}; "
                f"{remedy}, or choose targets='{'all' if self._is_last else 'last'}'."
            )
        with np.errstate(over="ignore"):
            answers = np.ascontiguousarray(answers, dtype=self.dtype)
        self._check_targets(answers[self.weights != 0])
        return answers, np.empty(0, np.int64)

    def _check_targets(self, y: np.ndarray) -> None:
        """Raise unless the rows that count are what the loss is a loss of."""
        if not np.isfinite(y).all():
            raise ValueError("y must be finite where mask counts it, got NaN or infinity; mask or remove those rows.")
        if self.network.loss != "squared" and not (y.min() >= 0 and y.max() <= 1):
            raise ValueError(
                f"y must lie between 0 and 1 for loss={self.network.loss!r}, got {y.min():g} to {y.max():g}; "
                "loss='squared' takes any numbers."
            )
        sums = y.sum(axis=1)
        if self.network.loss == "softmax" and not np.allclose(sums, 1.0, rtol=0, atol=_SUM_ATOL):
            worst = sums[np.argmax(np.abs(sums - 1.0))]
            raise ValueError(
                f"y must hold rows that sum to 1 for loss='softmax', got a sum of {worst:g}; divide rows by their "
                "sums, or take loss='logistic' where several classes are true at once."
            )

    def _weights(self, mask: Any, lengths: Any) -> np.ndarray:
        n = self.n_sequences if self._is_last else int(self.offsets[-1])
        if mask is None:
            return np.ones(n, self.dtype)
        weights = _as_array("mask", mask) if self._is_last else self._like_X("mask", mask, lengths)
        if weights.shape != (n,):
            raise ValueError(
                f"mask must have one weight for each of {n} output rows, got shape {weights.shape}; "
                f"with targets={self.network.targets!r} that is one a {'sequence' if self._is_last else 'step'}."
            )
        with np.errstate(over="ignore"):
            weights = weights.astype(self.dtype)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise ValueError(
                f"mask must hold finite weights >= 0 that are not all 0, got {weights.min():g} to {weights.max():g}; "
                "True counts a row, False does not."
            )
        return weights

    def _given(self, initial_state: tuple[Any, Any] | None) -> tuple[np.ndarray, np.ndarray]:
        if initial_state is None:
            return np.empty(0, np.int64), np.empty((self.n_sequences, 0), self.dtype)
        units, values = _units("initial_state", initial_state, self.network)
        values = self._numbers("initial_state", _as_array("values of initial_state", values))
        if values.shape not in ((units.size,), (self.n_sequences, units.size)):
            raise ValueError(
                f"initial_state must hold values of shape ({self.n_sequences}, {units.size}) or ({units.size},), "
                f"got {values.shape}; a row for every sequence, or one for all."
            )
        return units, np.ascontiguousarray(np.broadcast_to(values, (self.n_sequences, units.size)))

    def _clamped(self, clamped: tuple[Any, Any] | None, lengths: Any) -> Clamp:
        if clamped is None:
            return Clamp(np.empty(0, np.int64), np.empty((0, 0), self.dtype))
        units, values = _units("clamped", clamped, self.network)
        rows = self._numbers("clamped", self._like_X("clamped", values, lengths))
        if rows.shape[1:] != (units.size,):
            raise ValueError(
                f"clamped must hold {units.size} values a step, one for each of its units, got rows of shape "
                f"{rows.shape[1:]}; give arrays (T_i, {units.size})."
            )
        return Clamp(units, rows)

    def _numbers(self, name: str, given: np.ndarray) -> np.ndarray:
        """``given`` in the working precision, if all of it is finite there."""
        with np.errstate(over="ignore"):
            numbers = np.ascontiguousarray(given, dtype=self.dtype)
        if not np.isfinite(numbers).all():
            raise ValueError(
                f"{name} must be finite in {np.dtype(self.dtype).name}, got NaN, infinity or too large a number; "
                "impute or remove it first."
            )
        return numbers

    def _like_X(self, name: str, given: Any, lengths: Any) -> np.ndarray:
        """Rows of ``given``, which must have as many sequences and steps as X."""
        parts = _as_list(name, given, lengths)
        if len(parts) != self.n_sequences:
            raise ValueError(
                f"{name} must have as many sequences as X, {self.n_sequences}, got {len(parts)}; give one for each."
            )
        for number, (part, length) in enumerate(zip(parts, self.lengths, strict=True)):
            if len(part) != length:
                raise ValueError(
                    f"{name} must have as many steps as X, {length} in sequence {number}, got {len(part)}; "
                    "targets='last' takes one target a sequence."
                )
        return np.concatenate(parts)


def _as_list(name: str, given: Any, lengths: Any) -> list[np.ndarray]:
    """One array for each sequence."""
    is_array = isinstance(given, np.ndarray) and given.dtype != object
    if given is None or isinstance(given, str | bytes | dict) or not hasattr(given, "__iter__"):
        raise TypeError(f"{name} must be a list of sequences or an array (n, T, ...), got {type(given).__name__}.")
    parts = list(_as_array(name, given)) if is_array else [_as_array(f"{name}[{i}]", p) for i, p in enumerate(given)]
    if not parts:
        raise ValueError(f"{name} must hold at least one sequence, got none.")
    for number, part in enumerate(parts):
        if part.ndim == 0:
            raise ValueError(
                f"{name} must be a list of sequences or an array (n, T, ...), got a single number for sequence "
                f"{number}; targets='last' takes one target a sequence."
            )
    if lengths is not None:
        counts = np.asarray(lengths)
        if counts.shape != (len(parts),) or not np.issubdtype(counts.dtype, np.integer):
            raise ValueError(
                f"lengths must be {len(parts)} integers, one for each sequence of {name}, got {counts.dtype} of shape "
                f"{counts.shape}."
            )
        for number, (part, count) in enumerate(zip(parts, counts, strict=True)):
            if not 1 <= count <= len(part):
                raise ValueError(
                    f"lengths must lie between 1 and the steps there are, {len(part)} in sequence {number} of {name}, "
                    f"got {count}; leave out empty sequences."
                )
        parts = [part[:count] for part, count in zip(parts, counts, strict=True)]
    for number, part in enumerate(parts):
        if len(part) == 0:
            raise ValueError(
                f"{name} must hold sequences of at least one step, got none in sequence {number}; leave it out."
            )
    return parts


def _as_array(name: str, given: Any) -> np.ndarray:
    try:
        array = np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be an array, got {type(given).__name__} of unequal parts; {error}.") from error
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise TypeError(
            f"{name} must hold real numbers, float32, float64 or integers, got {array.dtype}; convert it first."
        )
    return array


def _precision(found: np.dtype, wanted: Any) -> Any:
    if wanted is None:
        return np.dtype(found).type if found in (np.float32, np.float64) else np.float64
    if np.dtype(wanted) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {wanted!r}.")
    return np.dtype(wanted).type


def _units(name: str, given: tuple[Any, Any], network: Network) -> tuple[np.ndarray, Any]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"{name} must be a pair (units, values), got {type(given).__name__}.")
    units, H = np.asarray(given[0]), network.layers[0].n_units
    if units.ndim != 1 or not np.issubdtype(units.dtype, np.integer) or len(set(units.tolist())) != units.size:
        raise ValueError(f"{name} must name different units by integers (k,), got {units!r}.")
    if units.size and (units.min() < 0 or units.max() >= H):
        raise ValueError(f"{name} must name units from 0 to {H - 1}, got {units.min()} to {units.max()}.")
    return units.astype(np.int64), given[1]


def _check_classes(name: str, labels: np.ndarray, n_classes: int, of_what: str) -> None:
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"{name} must hold class numbers from 0 to {n_classes - 1}, {of_what} less one, got {labels.min()} to "
            f"{labels.max()}."
        )
