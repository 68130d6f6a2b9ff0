"""Sequences as a network meets them: checked once, stored row after row, gathered into shares."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from cells.network import Network
from cells.passes.layer import Input
from cells.passes.rows import Rows
from cells.passes.time_loops import Clamp
from cells.shares.arrays import as_array, as_sequences, class_numbers, finite_numbers, units_and_values
from cells.shares.portion import Portion
from optim.arguments import precision
from optim.digests import digest_of

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
        parts = as_sequences("X", X, lengths)
        if isinstance(X, np.ndarray) and X.ndim == 2 and not np.issubdtype(X.dtype, np.integer):
            raise ValueError(
                f"X must be a list of sequences or an array (n, T, {network.n_in}), got an array of shape {X.shape}; "
                "give a single sequence as [X]."
            )
        self.lengths = np.array([len(part) for part in parts], np.int64)
        self.n_sequences = len(parts)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self._is_last = network.targets == "last"
        self.dtype = precision("dtype", dtype) or _precision_of(parts)
        self.x, self.index = self._inputs(parts)
        self.weights = self._weights(mask, lengths)
        self.targets, self.labels = self._answers(y, lengths)
        self.given = self._given(initial_state)
        self.clamp = self._clamped(clamped, lengths)

    @cached_property
    def by_length(self) -> np.ndarray:
        """All sequences, longest first."""
        return np.argsort(-self.lengths, kind="stable")

    def digests(self) -> dict[str, str]:
        """What tells these data from others, see :class:`optim.Objective`."""
        found = {
            "inputs": digest_of(self.lengths, self.x, *([] if self.index is None else [self.index])),
            "targets": digest_of(self.targets, self.labels),
            "weights": digest_of(self.weights),
        }
        if self.given[0].size:
            found["initial_state"] = digest_of(*self.given)
        if self.clamp.units.size:
            found["clamped"] = digest_of(self.clamp.units, self.clamp.values)
        return found

    def portion(self, indices: np.ndarray) -> Portion:
        """Rows of the sequences ``indices``, which stand longest first."""
        rows = Rows(self.lengths[indices])
        place = self.offsets[indices][rows.sequence] + rows.step
        outputs = indices if self._is_last else place
        units, values = self.given
        clamped = self.clamp.values[place] if self.clamp.units.size else np.empty((rows.n_rows, 0), self.dtype)
        return Portion(
            rows,
            Input(self.x[place]) if self.index is None else Input(self.x, 0, self.index[place]),
            self.targets[outputs] if self.targets.size else self.targets,
            self.labels[outputs] if self.labels.size else self.labels,
            self.weights[outputs],
            (units, values[indices] if units.size else values),
            Clamp(self.clamp.units, clamped),
            indices,
            rows.lengths,
            self._is_last,
        )

    @cached_property
    def counted(self) -> np.ndarray:
        """(k,) the sequences of which something counts."""
        has_weight = self.weights.reshape(len(self.weights), -1).any(axis=1)
        return np.flatnonzero(has_weight if self._is_last else np.logical_or.reduceat(has_weight, self.offsets[:-1]))

    def check_batch(self, batch: Any) -> np.ndarray:
        """``batch`` as int64, if it names sequences that are there."""
        batch = as_array("batch", batch)
        if batch.ndim != 1 or batch.size == 0 or batch.dtype.kind not in "iu":
            raise ValueError(
                f"batch must be a 1-D array of at least one sequence number, got {batch.dtype} of shape {batch.shape}; "
                "None takes all sequences."
            )
        if batch.min() < 0 or batch.max() >= self.n_sequences:
            raise ValueError(
                f"batch must hold numbers from 0 to {self.n_sequences - 1}, got {batch.min()} to {batch.max()}; "
                "sequences are numbered as in X."
            )
        return batch.astype(np.int64)

    # ------------------------------------------------------------------------------------------------ the door

    def _inputs(self, parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        I = self.network.n_in
        if all(part.ndim == 1 and part.dtype.kind in "iu" for part in parts):
            return np.empty((0, I), self.dtype), class_numbers("X", np.concatenate(parts), I, "n_in of the first layer")
        for number, part in enumerate(parts):
            if part.ndim != 2 or part.shape[1] != I:
                raise ValueError(
                    f"X must hold arrays (T_i, {I}), n_in of the first layer wide, got shape {part.shape} for sequence "
                    f"{number}; integers (T_i,) stand for one-hot rows."
                )
        return finite_numbers("X", np.concatenate(parts), self.dtype), None

    def _answers(self, y: Any, lengths: Any) -> tuple[np.ndarray, np.ndarray]:
        O, nothing = self.network.n_out, np.empty((0, self.network.n_out), self.dtype)
        if y is None:
            return nothing, np.empty(0, np.int64)
        n, of_what = self.n_sequences, "sequence" if self._is_last else "step"
        if self._is_last:
            answers = as_array("y", y)
            if answers.ndim == 0 or len(answers) != n:
                raise ValueError(
                    f"y must have one target for each of {n} sequences, because targets='last', got shape "
                    f"{answers.shape}; targets='all' takes one a step."
                )
        else:
            answers = self._like_X("y", y, lengths)
        if self.network.loss == "softmax" and answers.ndim == 1 and np.issubdtype(answers.dtype, np.integer):
            # of rows that do not count, any class
            return nothing, class_numbers("y", np.where(self.weights != 0, answers, 0), O, "n_out")
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
        if self.network.loss != "softmax":
            return
        sums = y.sum(axis=1, dtype=np.float64)
        if not np.allclose(sums, 1.0, rtol=0, atol=_SUM_ATOL):
            worst = sums[np.argmax(np.abs(sums - 1.0))]
            raise ValueError(
                f"y must hold rows that sum to 1 for loss='softmax', got a sum of {worst:g}; divide rows by their "
                "sums, or take loss='logistic' where several classes are true at once."
            )

    def _weights(self, mask: Any, lengths: Any) -> np.ndarray:
        """(n,) weights of the output rows, or (n, O) of their outputs."""
        n, O = self.n_sequences if self._is_last else int(self.offsets[-1]), self.network.n_out
        if mask is None:
            return np.ones(n, self.dtype)
        weights = as_array("mask", mask) if self._is_last else self._like_X("mask", mask, lengths)
        if O == 1 and weights.shape == (n, 1):
            weights = weights[:, 0]
        if weights.shape not in ((n,), (n, O)):
            raise ValueError(
                f"mask must have one weight for each of {n} output rows, or for each of their {O} outputs, got shape "
                f"{weights.shape}; with targets={self.network.targets!r} rows are "
                f"{'sequences' if self._is_last else 'steps'}."
            )
        if weights.ndim == 2 and self.network.loss == "softmax":
            raise ValueError(
                f"mask must have one weight a row for loss='softmax', got shape {weights.shape}; the probabilities of "
                "a row belong together, weigh it as a whole."
            )
        with np.errstate(over="ignore"):
            weights = np.array(weights, dtype=self.dtype, order="C")
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise ValueError(
                f"mask must hold finite weights >= 0 that are not all 0, got {weights.min():g} to {weights.max():g}; "
                "True counts a row, False does not."
            )
        return weights

    def _given(self, initial_state: tuple[Any, Any] | None) -> tuple[np.ndarray, np.ndarray]:
        if initial_state is None:
            return np.empty(0, np.int64), np.empty((self.n_sequences, 0), self.dtype)
        units, values = units_and_values("initial_state", initial_state, self.network)
        values = finite_numbers("initial_state", as_array("values of initial_state", values), self.dtype)
        if values.shape not in ((units.size,), (self.n_sequences, units.size)):
            raise ValueError(
                f"initial_state must hold values of shape ({self.n_sequences}, {units.size}) or ({units.size},), "
                f"got {values.shape}; a row for every sequence, or one for all."
            )
        return units, np.ascontiguousarray(np.broadcast_to(values, (self.n_sequences, units.size)))

    def _clamped(self, clamped: tuple[Any, Any] | None, lengths: Any) -> Clamp:
        if clamped is None:
            return Clamp(np.empty(0, np.int64), np.empty((0, 0), self.dtype))
        units, values = units_and_values("clamped", clamped, self.network)
        rows = finite_numbers("clamped", self._like_X("clamped", values, lengths), self.dtype)
        if rows.shape[1:] != (units.size,):
            raise ValueError(
                f"clamped must hold {units.size} values a step, one for each of its units, got rows of shape "
                f"{rows.shape[1:]}; give arrays (T_i, {units.size})."
            )
        return Clamp(units, rows)

    def _like_X(self, name: str, given: Any, lengths: Any) -> np.ndarray:
        """Rows of ``given``, which must have as many sequences and steps as X."""
        parts = as_sequences(name, given, lengths)
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


def _precision_of(parts: list[np.ndarray]) -> Any:
    """float32 if that holds all ``parts``, as it does where they have it, else float64."""
    found = np.result_type(*{part.dtype for part in parts})
    return found.type if found in (np.float32, np.float64) else np.float64
