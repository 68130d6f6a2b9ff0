"""A minimisation under way: everything that a resumed run needs to go on as if it had never stopped."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from optim.checkpoint import load_checkpoint, save_checkpoint
from optim.problem import check_evaluation
from optim.result import StopReason, Trace


@dataclass
class Minimisation:
    """Parameters, the method's state, the batches' generator, the trace, and the parameters worth keeping.

    Parameters
    ----------
    theta : (P,) array
    state : object
        The method's.
    rng : numpy.random.Generator
    trace : Trace
    kept : (P,) array
        Those with the lowest loss where losses are comparable, else those of the last finite one.
    kept_value : float
    iteration : int
    seconds : float
    """

    theta: np.ndarray
    state: Any
    rng: np.random.Generator
    trace: Trace
    kept: np.ndarray
    kept_value: float = float("inf")
    iteration: int = 0
    seconds: float = 0.0

    def record(self, row: dict[str, Any], before: np.ndarray, *, comparable: bool) -> np.ndarray:
        """Note a step that began at the parameters ``before``; returns an array that may be written over."""
        self.trace.append(**row)
        self.iteration += 1
        self.seconds = row["seconds"]
        if np.isfinite(row["loss"]) and (not comparable or row["loss"] < self.kept_value):
            self.kept, before, self.kept_value = before, self.kept, row["loss"]
        return before

    def budget_used_up(
        self, max_iterations: int, max_seconds: float | None, max_products: int | None
    ) -> StopReason | None:
        """The budget that is used up, if any is."""
        if self.iteration >= max_iterations:
            return StopReason.MAX_ITERATIONS
        if max_seconds is not None and self.seconds >= max_seconds:
            return StopReason.MAX_SECONDS
        products = getattr(self.state, "products", 0)
        return StopReason.MAX_PRODUCTS if max_products is not None and products >= max_products else None

    def outcome(self, objective: Any, reason: StopReason, *, comparable: bool) -> tuple[np.ndarray, float]:
        """The parameters to return, and the loss to return with them."""
        stopped_short = reason in (StopReason.NOT_FINITE, StopReason.INTERRUPTED)
        if stopped_short and (comparable or reason == StopReason.NOT_FINITE) and np.isfinite(self.kept_value):
            return self.kept, self.kept_value
        last = self.last("loss_after")
        if not comparable or stopped_short:
            return self.theta, self.last("loss") if np.isnan(last) else last
        if np.isnan(last):
            found = objective.value(self.theta, None)
            check_evaluation(found, self.theta, with_grad=False)
            last = found.loss
        is_better = last <= self.kept_value or reason == StopReason.CONVERGED  # losses may differ by rounding there
        return (self.theta, last) if is_better else (self.kept, self.kept_value)

    def last(self, column: str) -> float:
        """The last entry of a column of the trace; NaN where there is none."""
        return float(self.trace[column][-1]) if column in self.trace else float("nan")

    def write(self, path: str | os.PathLike, method: Any) -> None:
        """Write a checkpoint."""
        tree = {field.name: getattr(self, field.name) for field in fields(self)}
        tree["state"] = {field.name: getattr(self.state, field.name) for field in fields(self.state)}
        columns = dict(self.trace)
        tree["trace"] = {
            name: column.tolist() if column.dtype.kind == "U" else column for name, column in columns.items()
        }
        save_checkpoint(path, {"method": type(method).__name__, **tree})

    @classmethod
    def read(cls, path: str | os.PathLike, method: Any, theta0: np.ndarray) -> Minimisation:
        """The minimisation that :meth:`write` wrote.

        Raises
        ------
        ValueError
            If it is one by another method, of another size or precision.
        """
        tree = load_checkpoint(path)
        wanted = (type(method).__name__, theta0.shape, theta0.dtype)
        came = (tree.pop("method"), tree["theta"].shape, tree["theta"].dtype)
        if wanted != came:
            raise ValueError(
                f"checkpoint must be of a run by {wanted[0]} with {wanted[1][0]} parameters in {wanted[2]}, got one by "
                f"{came[0]} with {came[1][0]} in {came[2]}; give its own checkpoint, or resume=False."
            )
        columns = tree.pop("trace")
        trace = Trace(
            {name: column if isinstance(column, list) else column.tolist() for name, column in columns.items()}
        )
        return cls(state=method.state_type(**tree.pop("state")), trace=trace, **tree)
