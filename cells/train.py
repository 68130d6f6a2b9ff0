"""Training: mini-batches or windows, validation with early stopping, checkpoints from which a run goes on exactly.

The loop is :func:`optim.minimize`. What training adds lives in the *state* of a method that wraps the one given:
states carried between windows, the best parameters so far, what validation has found. So one checkpoint
holds everything, and what holds for any method holds here: Ctrl-C ends a run in good order, a kill at any moment leaves
a file that can be read, and a resumed run is, bit for bit, the run that was never stopped.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from optim.arguments import array, brief, integer, number
from optim.batches import BatchPolicy, Epochs
from optim.digests import digests_of
from optim.interrupts import interrupts_deferred
from optim.loop import Progress, is_true, minimize
from optim.minimisation import check_like
from optim.problem import Batches, Evaluation
from optim.result import Result, Step, StopReason, Trace


@dataclass(frozen=True)
class TrainingResult(Result):
    """Outcome of :func:`train`: an :class:`optim.Result` whose ``theta`` is the best on the validation set, if any.

    Parameters
    ----------
    n_epochs : float
        Passes over the data.
    validation : Trace
        Columns ``iteration`` and ``loss``, a row for every look at the validation set.

    Examples
    --------
    >>> from cells import TrainingResult
    >>> issubclass(TrainingResult, Result)
    True
    """

    n_epochs: float
    validation: Trace

    @property
    def best_validation(self) -> float:
        """Lowest mean loss on the validation set; NaN without one."""
        return float(np.min(self.validation["loss"])) if self.validation.n_rows else float("nan")


def train(
    objective: Any,
    theta0: np.ndarray,
    method: Any,
    *,
    batch_size: int | None = None,
    batches: BatchPolicy | None = None,
    seed: int = 0,
    max_epochs: float | None = None,
    max_iterations: int | None = None,
    max_seconds: float | None = None,
    tolerance: float = 0.0,
    validation: Any = None,
    validate_every: int | None = None,
    patience: int | None = None,
    min_improvement: float = 0.0,
    callback: Callable[[Progress], Any] | None = None,
    state: TrainingState | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    rng: np.random.Generator | None = None,
    verbose: int = 0,
) -> TrainingResult:
    """Train by any method of ``optim`` on sequences in mini-batches, or on long sequences window by window.

    Parameters
    ----------
    objective : SequenceObjective, TruncatedObjective, or any objective with ``n_sequences``
        A truncated one is trained window by window, states carried, from the beginning again after the last.
    theta0 : (P,) array
        Not written to.
    method : optim.Adam(...) and alike
    batch_size : int >= 1, optional
        Sequences of a step, in a new order every epoch; by default all. Windows always take all sequences. Sequences in
        which nothing counts, because they are masked as a whole, are left out.
    batches : callable, optional
        A policy of :mod:`optim.batches` in the place of ``batch_size``; a step then counts as an epoch. One whose
        gradient's batch, or window, has nothing that counts is passed over: its row of the trace has no loss.
    seed : int >= 0
        Of the order of sequences.
    max_epochs : float > 0, optional
        Passes over the data; 100 if ``max_iterations`` is not given either.
    max_iterations : int >= 0, optional
        Steps; the sooner of both ends the training.
    max_seconds : float > 0, optional
    tolerance : float >= 0
        Stop where the norm of the gradient of the mean loss is at most this.
    validation : Objective, optional
        Whose mean loss is looked at every ``validate_every`` steps (default: one epoch). The best parameters by it are
        returned.
    validate_every : int >= 1, optional
    patience : int >= 1, optional
        Stop after so many looks without improvement; by default never.
    min_improvement : float >= 0
        What the loss must fall by, below the lowest so far, to count as an improvement.
    callback : callable, optional
        ``callback(progress)`` after every step, see :func:`optim.minimize`; where the validation set was just looked
        at, ``progress.row["validation"]`` is what was found.
    state : TrainingState, optional
        ``state`` of an earlier result: the method goes on with its running means and its schedules. Steps and looks are
        counted anew.
    checkpoint, resume, rng, verbose : see :func:`optim.minimize`
    checkpoint_every : int >= 1, optional
        Steps between checkpoints; by default one epoch.

    Returns
    -------
    TrainingResult
        Where patience ran out, ``reason`` is "early_stopping".

    Examples
    --------
    >>> import numpy as np
    >>> from cells import Elman, Network, SequenceObjective, initial_theta, train
    >>> from optim import Adam
    >>> X = np.random.default_rng(0).standard_normal((50, 10, 1))
    >>> network = Network(Elman(1, 8), n_out=1, targets="last")
    >>> objective = SequenceObjective(network, X, X[:, -1])
    >>> theta0 = initial_theta(network, rng=np.random.default_rng(0))
    >>> result = train(objective, theta0, Adam(0.01), batch_size=10, max_epochs=40)
    >>> result.n_iterations, bool(objective.value(result.theta).loss < 0.01)
    (200, True)
    """
    seed = integer("seed", seed, least=0, remedy="the same number gives the same order")
    policy, n_batches = _policy(objective, batch_size, batches, seed)
    if max_epochs is not None:
        max_epochs = number("max_epochs", max_epochs, above=0, remedy="it counts passes over the data")
    every = n_batches if validate_every is None else integer("validate_every", validate_every, remedy="it counts steps")
    if patience is not None:
        patience = integer("patience", patience, remedy="it counts looks at the validation set")
    min_improvement = number("min_improvement", min_improvement, least=0, remedy="0 counts any improvement")
    if patience is not None and validation is None:
        raise ValueError(f"patience needs validation, got None with patience={patience}; give an objective to look at.")
    trainer = _Trainer(method, validation, every, patience, min_improvement, state)
    budget = _n_steps(max_epochs, max_iterations, n_batches)

    def after_step(progress: Progress) -> bool:
        row = dict(progress.row)
        trainer.look(progress.theta, progress.state, row)
        asked = callback is not None and is_true(callback(replace(progress, row=row, state=progress.state.inner)))
        return asked or trainer.has_run_out(progress.state)

    result = minimize(
        *(objective, theta0, trainer),
        batches=policy,
        max_iterations=budget,
        max_seconds=max_seconds,
        tolerance=tolerance,
        callback=after_step,
        checkpoint=checkpoint,
        checkpoint_every=n_batches if checkpoint_every is None else checkpoint_every,
        resume=resume,
        rng=rng,
        verbose=verbose,
    )
    return trainer.outcome(result, n_batches)


@dataclass
class TrainingState:
    """Everything a resumed training needs. Plain data.

    Parameters
    ----------
    kind : str
        The method's class.
    method : dict
        The fields of the method's own state.
    iteration : int
        Steps taken.
    carried : (n_sequences, S) or None
        States between two windows.
    best : (P,) or None
        Parameters with the lowest validation loss.
    since_best : int
        Looks since then.
    looks : dict of two lists
        ``iteration`` and ``loss`` of every look at the validation set.
    """

    kind: str
    method: dict[str, Any]
    iteration: int = 0
    carried: np.ndarray | None = None
    best: np.ndarray | None = None
    since_best: int = 0
    looks: dict[str, list] = field(default_factory=lambda: {"iteration": [], "loss": []})

    def check(self, theta: np.ndarray) -> None:
        """Raise unless all vectors are like ``theta`` and the looks a table: of a state that comes from a file.

        Raises
        ------
        TypeError, ValueError
        """
        if not isinstance(self.kind, str):
            raise TypeError(f"kind must be text, got {brief(self.kind)}; begin anew.")
        for name, value in (("iteration", self.iteration), ("since_best", self.since_best)):
            integer(name, value, least=0)
        entries = [self.best, *self.method.values()]
        entries += [part for entry in entries if isinstance(entry, dict) for part in entry.values()]
        for vector in entries:
            if isinstance(vector, np.ndarray) and (vector.shape, vector.dtype) != (theta.shape, theta.dtype):
                raise ValueError(
                    f"vectors of a state must be {theta.dtype} of shape {theta.shape}, got {vector.dtype} of shape "
                    f"{vector.shape}; begin anew."
                )
        if self.carried is not None:
            array("carried", self.carried, shape=(None, None), dtype=theta.dtype)
        looks = self.looks
        if set(looks) != {"iteration", "loss"} or len(looks["iteration"]) != len(looks["loss"]):
            raise ValueError(f"looks must be as many losses as iterations, got {brief(looks)}; begin anew.")

    @property
    def products(self) -> int:
        """Curvature products made, for the budget of the loop."""
        return self.method.get("products", 0)

    @property
    def inner(self) -> Any:
        """The method's own state, by its names."""
        return SimpleNamespace(**self.method)


@dataclass(frozen=True)
class _Trainer:
    """A method that carries states from window to window, and knows how the validation set stands."""

    method: Any
    validation: Any
    every: int
    patience: int | None
    min_improvement: float
    before: TrainingState | None

    state_type = TrainingState

    def problem(self, objective: Any) -> Any:
        """What the method makes of the objective, where it makes something of it."""
        return self.method.problem(objective) if hasattr(self.method, "problem") else objective

    def digests(self) -> dict[str, str]:
        """What a resumed training must have in common with its first part; patience counts as a budget."""
        found = digests_of(self.method)
        if self.validation is not None:
            found |= {"validate_every": str(self.every), "min_improvement": repr(self.min_improvement)}
        if hasattr(self.validation, "digests"):
            found |= digests_of(self.validation, "validation")
        return found

    @property
    def needs_linearize(self) -> bool:
        return getattr(self.method, "needs_linearize", False)

    def init(self, theta: np.ndarray) -> TrainingState:
        if self.before is not None:
            self._check_kind(self.before)
            check_like("state", self.before.method, vars(self.method.init(theta)))
            return TrainingState(self.before.kind, copy.deepcopy(self.before.method))
        return TrainingState(type(self.method).__name__, vars(self.method.init(theta)))

    def step(
        self,
        objective: Any,
        theta: np.ndarray,
        state: TrainingState,
        *,
        batches: Batches | None,
        tolerance: float,
        spare: tuple[np.ndarray, TrainingState] | None = None,
    ) -> tuple[np.ndarray, TrainingState, Step]:
        self.look(theta, state, {})  # only if the run was interrupted in its last look
        after = replace(state, iteration=state.iteration + 1)
        if hasattr(objective, "window"):
            found = objective.window(theta, int(batches.gradient[0]), state.carried)
            after.carried = found.carried
            objective, batches, is_empty = _Found(objective, found.evaluation), None, found.evaluation.weight == 0.0
        else:
            batches = None if batches is None else _without_masked(batches, objective)
            is_empty = batches is not None and batches.gradient is not None and batches.gradient.size == 0
        if is_empty:  # nothing to learn from
            return theta, after, Step({"loss": float("nan")})
        inner, spare = self._inner(state), spare and (spare[0], self._inner(spare[1]))
        theta, inner, step = self.method.step(
            objective, theta, inner, batches=batches, tolerance=tolerance, spare=spare
        )
        after = after if step.reason is None else replace(state)
        after.method = vars(inner)
        return theta, after, step

    def _inner(self, state: TrainingState) -> Any:
        """The method's own state."""
        self._check_kind(state)
        return self.method.state_type(**state.method)

    def _check_kind(self, state: TrainingState) -> None:
        if state.kind != type(self.method).__name__:
            raise ValueError(
                f"a state to go on from must be of a training by {type(self.method).__name__}, got one by "
                f"{state.kind}; give its own, or begin anew."
            )

    def look(self, theta: np.ndarray, state: TrainingState, row: dict[str, Any]) -> None:
        """Look at the validation set, if one is due at this step and was not yet made."""
        looks = state.looks
        is_made = looks["iteration"] and looks["iteration"][-1] == state.iteration
        if self.validation is None or state.iteration == 0 or state.iteration % self.every or is_made:
            return
        row["validation"] = self._add_look(theta, state)

    def _add_look(self, theta: np.ndarray, state: TrainingState) -> float:
        loss, looks = float(self.validation.value(theta).loss), state.looks
        lowest = min(looks["loss"], default=np.inf)
        loss = loss if np.isfinite(loss) else np.inf
        with interrupts_deferred():
            if loss < lowest:
                state.best = theta.copy()
            state.since_best = 0 if loss < lowest - self.min_improvement else state.since_best + 1
            looks["iteration"].append(state.iteration)
            looks["loss"].append(loss)
        return loss

    def has_run_out(self, state: TrainingState) -> bool:
        """Whether patience is at its end."""
        return self.patience is not None and state.since_best >= self.patience

    def outcome(self, result: Result, n_batches: int) -> TrainingResult:
        state: TrainingState = result.state
        found = {entry.name: getattr(result, entry.name) for entry in fields(Result)}
        looks = state.looks
        is_over = result.reason not in (StopReason.NOT_FINITE, StopReason.INTERRUPTED)
        if self.validation is not None and is_over and looks["iteration"][-1:] != [state.iteration]:
            self._add_look(result.theta, state)
        if result.reason == StopReason.CALLBACK and self.has_run_out(state):
            found["reason"] = reason = StopReason.EARLY_STOPPING
            found["message"] = (
                f"No better validation loss than {min(looks['loss']):.6g} in {self.patience} looks. {reason.advice}"
            )
        if state.best is not None:
            found["theta"] = state.best
        return TrainingResult(**found, n_epochs=state.iteration / n_batches, validation=Trace(looks))


@dataclass(frozen=True)
class _Found:
    """An objective at the one place where a window has been evaluated already."""

    objective: Any
    evaluation: Evaluation

    @property
    def n_params(self) -> int:
        return self.objective.n_params

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        return self.evaluation


def _policy(
    objective: Any, batch_size: int | None, batches: BatchPolicy | None, seed: int
) -> tuple[BatchPolicy | None, int]:
    """The policy of batches, and how many make an epoch."""
    if batches is not None:
        if batch_size is not None:
            raise ValueError(f"give either batches or batch_size, got batch_size={batch_size} beside a policy.")
        return batches, 1
    if hasattr(objective, "window"):
        if batch_size is not None:
            raise ValueError(
                f"batch_size must be None for windows, got {batch_size}; all sequences of a TruncatedObjective run "
                "side by side, give it fewer."
            )
        n_windows = objective.n_windows
        return lambda rng, iteration: np.array([iteration % n_windows]), n_windows
    if batch_size is None:
        return None, 1
    n = getattr(objective, "n_sequences", None)
    if n is None:
        raise TypeError("batch_size needs an objective that has n_sequences, got one without; leave it out.")
    counted = _counted(objective)
    n = n if counted is None else counted.size
    epochs = Epochs(n, min(integer("batch_size", batch_size, remedy="it counts sequences"), n), seed=seed)
    if counted is None:
        return epochs, epochs.n_batches
    return lambda rng, iteration: counted[epochs(rng, iteration)], epochs.n_batches


def _counted(objective: Any) -> np.ndarray | None:
    """The sequences of which something counts, where the objective knows that there are others."""
    counted = getattr(objective, "counted", None)
    return None if counted is None or counted.size == objective.n_sequences else counted


def _without_masked(batches: Batches, objective: Any) -> Batches:
    """``batches`` without the sequences of which nothing counts; a role that is left with none plays the gradient's."""
    counted = _counted(objective)
    if counted is None:
        return batches
    masked = np.setdiff1d(np.arange(objective.n_sequences), counted)
    roles = (batches.gradient, batches.curvature, batches.acceptance, batches.debias)
    left = {id(drawn): drawn[~np.isin(drawn, masked)] for drawn in roles if drawn is not None}  # one array may play two
    gradient, curvature, acceptance, debias = (None if drawn is None else left[id(drawn)] for drawn in roles)
    return Batches(
        gradient,
        gradient if curvature is not None and curvature.size == 0 else curvature,
        gradient if acceptance is not None and acceptance.size == 0 else acceptance,
        None if debias is not None and debias.size == 0 else debias,
    )


def _n_steps(max_epochs: float | None, max_iterations: int | None, n_batches: int) -> int:
    if max_epochs is None:
        return 100 * n_batches if max_iterations is None else max_iterations
    n = round(max_epochs * n_batches)
    return n if max_iterations is None else min(n, max_iterations)
