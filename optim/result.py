"""What a minimisation returns: parameters, the reason it stopped, with advice, and the trace as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np


class StopReason(StrEnum):
    """Why an iteration ended. ``reason.advice`` says in words what it means and what to do.

    Examples
    --------
    >>> from optim import StopReason
    >>> StopReason.MAX_ITERATIONS == "max_iterations", StopReason.CONVERGED.is_success
    (True, True)
    """

    CONVERGED = "converged"
    EARLY_STOPPING = "early_stopping"
    MAX_ITERATIONS = "max_iterations"
    MAX_SECONDS = "max_seconds"
    MAX_PRODUCTS = "max_products"
    CALLBACK = "callback"
    INTERRUPTED = "interrupted"
    NO_PROGRESS = "no_progress"
    NOT_FINITE = "not_finite"
    NEGATIVE_CURVATURE = "negative_curvature"
    NOT_DETERMINISTIC = "not_deterministic"
    NOT_SYMMETRIC = "not_symmetric"

    @property
    def advice(self) -> str:
        """What it means, and what to do about it."""
        return ADVICE[self]

    @property
    def is_success(self) -> bool:
        """Whether the iteration ended because it was done, or because the caller said so."""
        return self in (StopReason.CONVERGED, StopReason.EARLY_STOPPING, StopReason.CALLBACK)


ADVICE: Mapping[StopReason, str] = {
    StopReason.CONVERGED: "The gradient is as small as was asked for, or as this dtype can resolve.",
    StopReason.EARLY_STOPPING: (
        "The loss on the validation set no longer improved, and the parameters are those with the lowest; raise "
        "patience to look further."
    ),
    StopReason.MAX_ITERATIONS: "All iterations are used up; raise max_iterations, or resume from the checkpoint.",
    StopReason.MAX_SECONDS: "The time is used up; raise max_seconds, or resume from the checkpoint.",
    StopReason.MAX_PRODUCTS: "All curvature products are used up; raise max_products, or lower max_cg_iterations.",
    StopReason.CALLBACK: "The callback asked to stop.",
    StopReason.INTERRUPTED: "Interrupted; the parameters are the best, or last complete, ones so far.",
    StopReason.NO_PROGRESS: (
        "No step lowered the loss, however large the damping; try larger acceptance and curvature batches, another "
        "start, float64, or check the gradient with optim.checks."
    ),
    StopReason.NOT_FINITE: (
        "The loss or the gradient became infinite or NaN; the parameters are the last finite ones. Lower the learning "
        "rate, clip the gradient, or raise the damping."
    ),
    StopReason.NEGATIVE_CURVATURE: (
        "The curvature products are not positive semi-definite; check them with optim.checks.positivity, and give "
        "Gauss-Newton products rather than products with the Hessian."
    ),
    StopReason.NOT_DETERMINISTIC: (
        "The same call gave two answers; freeze dropout, noise and batch statistics during a step, and draw data by "
        "the batch policy, not inside the objective."
    ),
    StopReason.NOT_SYMMETRIC: (
        "The curvature products are not symmetric; check them with optim.checks.symmetry: a backward pass probably "
        "does not match its forward pass."
    ),
}


class Trace(Mapping):
    """A table of what happened: named columns of equal length, one row per step.

    ``trace["loss"]`` is a column as an array, ``trace.n_rows`` the number of steps, ``dict(trace)`` all columns,
    ready for ``pandas.DataFrame``. A number that a row does not have is NaN, a text is "".

    Parameters
    ----------
    columns : mapping of column names to sequences of equal length, optional

    Examples
    --------
    >>> from optim import Trace
    >>> trace = Trace()
    >>> trace.append(loss=2.0)
    >>> trace.append(loss=1.0, stop="converged")
    >>> trace["loss"].tolist(), trace["stop"].tolist(), trace.n_rows
    ([2.0, 1.0], ['', 'converged'], 2)
    """

    def __init__(self, columns: Mapping[str, Any] | None = None) -> None:
        self._columns = {name: list(values) for name, values in (columns or {}).items()}
        self.n_rows = max(map(len, self._columns.values()), default=0)

    def append(self, **row: float | int | str | bool) -> None:
        """Add a row."""
        columns = self._columns
        if row.keys() != columns.keys():
            for name in row:
                columns.setdefault(name, [None] * self.n_rows)
        for name, column in columns.items():
            column.append(row.get(name))
        self.n_rows += 1

    def cut(self, n_rows: int) -> None:
        """Leave the first rows; whatever an interrupted :meth:`append` has left goes as well."""
        columns = {name: column[:n_rows] for name, column in self._columns.items()}
        self._columns = {name: column for name, column in columns.items() if any(v is not None for v in column)}
        self.n_rows = n_rows

    def __getitem__(self, column: str) -> np.ndarray:
        if column not in self._columns:
            raise KeyError(f"column must be one of {list(self)}, got {column!r}; an empty trace has none.")
        values = self._columns[column]
        if not any(value is None for value in values):
            return np.array(values)
        missing = "" if any(isinstance(value, str) for value in values) else float("nan")
        return np.array([missing if value is None else value for value in values])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Trace({self.n_rows} rows of {', '.join(self) or 'nothing'})"


@dataclass(frozen=True)
class Step:
    """What one step of a method tells: its row of the trace and, where it cannot go on, why.

    ``row["loss"]`` and ``row["gradient_norm"]`` are of the mean loss, on the gradient's batch, at the parameters
    that the step was given.
    """

    row: dict[str, Any]
    reason: StopReason | None = None
    message: str = ""


@dataclass(frozen=True)
class Result:
    """Outcome of :func:`optim.minimize`.

    Parameters
    ----------
    theta : (P,) array
        The best parameters where losses are comparable, that is, without a batch policy; else the last ones.
    value : float
        Mean loss at ``theta``; with a batch policy, as measured on the last batch.
    n_iterations : int
        Steps taken, those before a resumed checkpoint included.
    reason : StopReason
    message : str
        The reason in words, with what to do about it.
    trace : Trace
        One row per step.
    state : object
        The method's state after the last step.
    seconds : float
        Wall-clock time, that before a resumed checkpoint included.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import SGD, from_callables, minimize
    >>> bowl = from_callables(lambda x: (0.5 * x @ x, x), n_params=2)
    >>> result = minimize(bowl, np.ones(2), SGD(0.5), max_iterations=3)
    >>> result.theta.tolist(), result.reason.value, len(result.trace["loss"])
    ([0.125, 0.125], 'max_iterations', 3)
    """

    theta: np.ndarray
    value: float
    n_iterations: int
    reason: StopReason
    message: str
    trace: Trace
    state: Any = field(repr=False)
    seconds: float

    @property
    def success(self) -> bool:
        """Whether the minimisation ended because it was done."""
        return self.reason.is_success
