"""A minimisation under way: everything that a resumed run needs to go on as if it had never stopped."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from optim.arguments import LARGEST, brief, integer
from optim.checkpoint import load_checkpoint, save_checkpoint
from optim.device import beside, is_array
from optim.digests import differences
from optim.problem import check_evaluation
from optim.result import StopReason, Trace

# Of the larger of loss and first loss: what other machines, threads and precisions may make of the same data.
_SAME_LOSS = 1e-3


@dataclass
class Minimisation:
    """Parameters, the method's state, the batches' generator, the trace, and the parameters worth keeping.

    A step makes another one, see :meth:`after`; the two share the generator and the trace.

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

    Attributes
    ----------
    spare : (theta, state) or None
        Of before the last step, where nothing needs them any more.
    """

    theta: np.ndarray
    state: Any
    rng: np.random.Generator
    trace: Trace
    kept: np.ndarray
    kept_value: float = float("inf")
    iteration: int = 0
    seconds: float = 0.0
    spare: tuple[np.ndarray, Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._drawn = self.rng.bit_generator.state

    def after(self, theta: np.ndarray, state: Any, row: dict[str, Any], *, comparable: bool) -> Minimisation:
        """What a step makes of this one: of it, only the trace is written."""
        self.trace.append(**row)
        is_kept = np.isfinite(row["loss"]) and (not comparable or row["loss"] < self.kept_value)
        kept, value = (self.theta, row["loss"]) if is_kept else (self.kept, self.kept_value)
        taken = {"iteration": self.iteration + 1, "seconds": row["seconds"]}
        after = replace(self, theta=theta, state=state, kept=kept, kept_value=value, **taken)
        free = [array for array in (self.theta, self.kept) if array is not theta and array is not kept]
        if free and state is not self.state:
            after.spare = (free[0], self.state)
        return after

    def forget_what_was_begun(self) -> None:
        """Put generator and trace back to where they were after the last step that was taken."""
        self.rng.bit_generator.state = self._drawn
        self.trace.cut(self.iteration)

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

    def write(self, path: str | os.PathLike, method: Any, digests: dict[str, str]) -> None:
        """Write a checkpoint of a run that ``digests`` tell from others."""
        tree = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.init}
        tree["state"] = {entry.name: getattr(self.state, entry.name) for entry in fields(self.state)}
        tree["trace"] = dict(self.trace)
        save_checkpoint(path, {"method": type(method).__name__, "digests": digests, **tree})

    @classmethod
    def read(cls, path: str | os.PathLike, method: Any, theta0: np.ndarray, digests: dict[str, str]) -> Minimisation:
        """The minimisation that :meth:`write` wrote.

        Raises
        ------
        ValueError
            Naming ``path``, if it is one by another method, of another size or precision, of other data or settings, or
            none at all.
        """
        tree, where = load_checkpoint(path), repr(os.fspath(path))
        try:
            wanted = (type(method).__name__, theta0.shape, theta0.dtype)
            came = (tree.pop("method"), tree["theta"].shape, tree["theta"].dtype)
            different = differences(tree.pop("digests"), digests)
            if wanted == came and not different:
                return cls._restored(tree, method, theta0)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(
                f"checkpoint must be what a run has written, got {where}, which holds something else ({error}); give "
                "another file, or delete it."
            ) from error
        if wanted != came:
            raise ValueError(
                f"checkpoint must be of a run by {wanted[0]} with {wanted[1][0]} parameters in {wanted[2]}, got one by "
                f"{came[0]} with {came[1][0]} in {came[2]}: {where}; give its own checkpoint, or resume=False."
            )
        raise ValueError(
            f"checkpoint must be of a run on the same data with the same settings, got {where}, where {different}; "
            "give every run its own checkpoint, or delete the file to begin anew."
        )

    @classmethod
    def _restored(cls, tree: dict[str, Any], method: Any, theta0: np.ndarray) -> Minimisation:
        """What the kernels of objectives and methods may be given, made of a tree that comes from a file."""
        columns = tree.pop("trace")
        tree = _placed(tree, theta0)
        state = method.state_type(**tree.pop("state"))
        check_like("state", vars(state), vars(method.init(theta0)))
        if hasattr(state, "check"):
            state.check(theta0)
        if not isinstance(tree["rng"], np.random.Generator):
            raise TypeError(f"rng must be a Generator, got {brief(tree['rng'])}")
        run = cls(state=state, trace=Trace({name: column.tolist() for name, column in columns.items()}), **tree)
        like = {"theta": theta0, "kept": theta0, "kept_value": 0.0, "seconds": 0.0}
        check_like("run", {name: getattr(run, name) for name in like}, like)
        lengths = {column.shape for column in columns.values()} or {(0,)}
        if lengths != {(integer("iteration", run.iteration, least=0),)}:
            raise ValueError(f"trace must have {run.iteration} rows, one per step, got columns of shape {lengths}")
        return run

    def check_value(self, objective: Any, path: str | os.PathLike) -> None:
        """Raise unless the loss at the parameters kept is what it was: for objectives that have no ``digests``.

        Raises
        ------
        ValueError
        """
        if not np.isfinite(self.kept_value):
            return
        found = objective.value(self.kept, None)
        check_evaluation(found, self.kept, with_grad=False)
        scale = max(abs(self.kept_value), abs(float(self.trace["loss"][0])))
        if not abs(found.loss - self.kept_value) <= _SAME_LOSS * scale:
            raise ValueError(
                f"checkpoint must be of a run on the same data, got {os.fspath(path)!r}, whose best parameters had the "
                f"loss {self.kept_value:.6g} and now have {found.loss:.6g}; give every run its own checkpoint, or "
                "delete the file to begin anew."
            )


def _placed(tree: Any, theta: Any) -> Any:
    """``tree`` with its vectors where ``theta`` lives; a file holds them as NumPy's."""
    if isinstance(tree, dict):
        return {name: _placed(leaf, theta) for name, leaf in tree.items()}
    is_vector = is_array(tree) and tree.shape == theta.shape and tree.dtype == theta.dtype
    return beside(theta, tree) if is_vector else tree


def check_like(name: str, value: Any, like: Any) -> None:
    """Raise unless ``value`` is of the kind of ``like``, all the way down; None stands for what is not known."""
    if isinstance(like, dict):
        if not isinstance(value, dict) or value.keys() != like.keys():
            raise ValueError(f"{name} must have the entries {', '.join(like)}, got {brief(value)}")
        for key, inner in like.items():
            check_like(f"{name}.{key}", value[key], inner)
    elif is_array(like):
        if not is_array(value) or (value.shape, value.dtype) != (like.shape, like.dtype):
            raise ValueError(f"{name} must be {like.dtype} of shape {like.shape}, got {brief(value)}")
    elif isinstance(like, int | float) and not isinstance(like, bool):
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise ValueError(f"{name} must be a number, got {brief(value)}")
        if isinstance(like, int) and not 0 <= value <= LARGEST:
            raise ValueError(f"{name} must count something, got {brief(value)}")
    elif like is not None and type(value) is not type(like):
        raise TypeError(f"{name} must be a {type(like).__name__}, got {brief(value)}")
