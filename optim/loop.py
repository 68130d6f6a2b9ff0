"""The loop around every method: budgets, callbacks, checkpoints, and the reason it ended."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from optim.arguments import brief, integer, number
from optim.batches import BatchPolicy, draw
from optim.checkpoint import CheckpointWarning
from optim.digests import digests_of
from optim.long_vectors import is_finite
from optim.minimisation import Minimisation
from optim.problem import Batches, Objective, agreed, check_problem
from optim.result import Result, Step, StopReason, Trace


class Method(Protocol):
    """What :func:`minimize` drives. The state is a dataclass of numbers, texts, arrays and dicts of them.

    ``step`` returns what comes after theta and state and leaves these as they are, so that a step which is interrupted
    has done nothing. It may write into the arrays of ``spare``, a pair of theta and state from before the last step.
    ``needs_linearize``, if it is there, says whether the objective must have ``linearize``; ``problem(objective)``, if
    it is there, is what the method makes of it (weight decay).
    """

    state_type: type

    def init(self, theta: np.ndarray) -> Any:
        """State before the first step."""
        ...

    def step(
        self,
        objective: Any,
        theta: np.ndarray,
        state: Any,
        *,
        batches: Batches | None,
        tolerance: float,
        spare: tuple[np.ndarray, Any] | None,
    ) -> tuple[np.ndarray, Any, Step]:
        """One step."""
        ...


@dataclass(frozen=True)
class Progress:
    """What the callback of :func:`minimize` receives after a step.

    Parameters
    ----------
    iteration : int
        Steps taken.
    theta : (P,) array
        Parameters after the step. The array is written again by later steps: copy it to keep it.
    row : dict
        The step's row of the trace; its ``loss`` was measured before the step.
    state : object
        The method's state, as live as ``theta``.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import SGD, from_callables, minimize
    >>> bowl = from_callables(lambda x: (0.5 * x @ x, x), n_params=1)
    >>> seen = []
    >>> _ = minimize(bowl, np.ones(1), SGD(0.5), max_iterations=2, callback=lambda p: seen.append(p.row["loss"]))
    >>> seen
    [0.5, 0.125]
    """

    iteration: int
    theta: np.ndarray
    row: dict[str, Any]
    state: Any


def minimize(
    objective: Objective,
    theta0: np.ndarray,
    method: Method,
    *,
    batches: BatchPolicy | None = None,
    max_iterations: int = 100,
    max_seconds: float | None = None,
    max_products: int | None = None,
    tolerance: float = 0.0,
    callback: Callable[[Progress], Any] | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    rng: np.random.Generator | None = None,
    verbose: int = 0,
) -> Result:
    """Minimise the mean loss of an objective by any method of this package.

    Parameters
    ----------
    objective : Objective
    theta0 : (P,) float32 or float64 array
        Of NumPy or CuPy, as all vectors of the run then are. Not written to.
    method : SGD, Momentum, Nesterov, Adagrad, RMSProp, Adam, HessianFree or alike
    batches : callable, optional
        ``batches(rng, iteration)`` returns :class:`optim.Batches` or an integer array, see :mod:`optim.batches`.
        None takes all sequences at every step; only then losses of different steps can be compared, and the best
        parameters are returned, or those that have converged, otherwise the last.
    max_iterations : int >= 0
        In all, those before a resumed checkpoint included; so are ``max_seconds`` and ``max_products``.
    max_seconds : float > 0, optional
        Looked at between steps.
    max_products : int >= 1, optional
        Bound on curvature products, looked at between steps.
    tolerance : float >= 0
        Converged where the norm of the gradient of the mean loss is at most this.
    callback : callable, optional
        ``callback(progress)`` after every step, with a :class:`Progress`. To stop, return True or raise
        StopIteration.
    checkpoint : path, optional
        Written every ``checkpoint_every`` steps and at the end, never torn. Where that fails, as on a full disk, a
        :class:`optim.CheckpointWarning` says so and the run goes on.
    checkpoint_every : int >= 1
    resume : bool
        Go on from ``checkpoint`` if that file is there: the rest of the run is, bit for bit, what it would have been.
        One of other data or other settings of method and batches is refused, see :class:`optim.Objective` for what
        tells data. Budgets, ``tolerance`` and ``callback`` may be others.
    rng : numpy.random.Generator, optional
        For ``batches``. ``numpy.random.default_rng(0)`` if not given; that of the checkpoint when resumed.
    verbose : int
        Above 0, a progress bar where tqdm is installed, else a line of the log per step.

    Returns
    -------
    Result
        Ctrl-C is a reason to stop, not an error: the result has the best so far.

    Raises
    ------
    TypeError, ValueError
        Before the first step, for arguments that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Momentum, from_callables, minimize
    >>> A = np.diag([1.0, 10.0])
    >>> bowl = from_callables(lambda x: (0.5 * x @ A @ x, A @ x), n_params=2)
    >>> result = minimize(bowl, np.ones(2), Momentum(0.1, momentum=0.5), max_iterations=200, tolerance=1e-9)
    >>> result.reason.value, bool(result.value < 1e-17)
    ('converged', True)
    """
    _check_method(method)
    check_problem(objective, theta0, needs_linearize=getattr(method, "needs_linearize", False), name="theta0")
    _check_settings(max_iterations, max_seconds, max_products, tolerance, checkpoint, checkpoint_every, resume)
    minimised = method.problem(objective) if hasattr(method, "problem") else objective
    digests = {}
    if checkpoint is not None:
        digests = {**digests_of(method, "method"), **digests_of(batches, "batches"), **_digests_of_data(objective)}
    if resume and os.path.exists(checkpoint):
        run = Minimisation.read(checkpoint, method, theta0, digests)
        if batches is None and not hasattr(objective, "digests"):
            run.check_value(minimised, checkpoint)
    else:
        theta, rng = theta0.copy(), np.random.default_rng(0) if rng is None else rng
        run = Minimisation(theta, method.init(theta), rng, Trace(), theta)
    is_root = getattr(objective, "is_root", True)
    keeper = _Keeper(checkpoint if is_root else None, method, digests)
    show = _display(verbose if is_root else 0, max_iterations)
    ask = _asker(callback, objective)
    reason, message = None, ""
    started = time.perf_counter() - run.seconds
    try:
        while reason is None:
            if max_seconds is not None:
                run.seconds = agreed(objective, run.seconds)
            reason = run.budget_used_up(max_iterations, max_seconds, max_products)
            if reason is not None:
                break
            drawn = draw(batches, run.rng, run.iteration)
            theta, state, step = method.step(
                objective, run.theta, run.state, batches=drawn, tolerance=tolerance, spare=run.spare
            )
            step.row["seconds"] = time.perf_counter() - started
            run = run.after(theta, state, step.row, comparable=batches is None)  # the step is taken here and at once
            reason, message = step.reason, step.message
            show(run.iteration, step.row)
            if ask(Progress(run.iteration, run.theta, step.row, run.state)):
                reason = reason or StopReason.CALLBACK
            if reason is None and run.iteration % checkpoint_every == 0:
                keeper.keep(run)
    except KeyboardInterrupt:
        reason, message = StopReason.INTERRUPTED, ""
        run.forget_what_was_begun()
    finally:
        show(None, {})
    if reason != StopReason.INTERRUPTED and not is_finite(run.theta):
        reason = StopReason.NOT_FINITE  # by the last step, at whose end nothing else looks
    keeper.keep(run)
    theta, value = run.outcome(minimised, reason, comparable=batches is None)
    if batches is None and reason != StopReason.INTERRUPTED and not np.isfinite(value):
        reason = StopReason.NOT_FINITE
    text = " ".join(part for part in (message, reason.advice) if part)
    return Result(theta, value, run.iteration, reason, text, run.trace, run.state, run.seconds)


class _Keeper:
    """Writes checkpoints. One that cannot be written costs a warning, not the run."""

    def __init__(self, path: str | os.PathLike | None, method: Method, digests: dict[str, str]) -> None:
        self.path, self.method, self.digests = path, method, digests
        self.kept_at = "the start"

    def keep(self, run: Minimisation) -> None:
        """Write now, if there is a path."""
        if self.path is None:
            return
        try:
            run.write(self.path, self.method, self.digests)
        except OSError as error:
            warnings.warn(
                f"checkpoint must be a path that can be written to, got {os.fspath(self.path)!r} ({error.strerror}); "
                f"the run goes on, but what follows {self.kept_at} is lost if it is stopped: make room, or name "
                "another path.",
                CheckpointWarning,
                stacklevel=3,
            )
        else:
            self.kept_at = f"step {run.iteration}"


def _digests_of_data(objective: Objective) -> dict[str, str]:
    return digests_of(objective, "objective") if hasattr(objective, "digests") else {}


def _asker(callback: Callable[[Progress], Any] | None, objective: Objective) -> Callable[[Progress], bool]:
    """Whether the callback asks to stop: by True or StopIteration, on rank 0 where there are several."""

    def ask(progress: Progress) -> bool:
        try:
            stops = is_true(callback(progress))
        except StopIteration:
            stops = True
        return agreed(objective, float(stops)) > 0.0

    return ask if callback is not None else lambda progress: False


def is_true(answer: Any) -> bool:
    """Whether a callback's answer is True, be it Python's or NumPy's; 1 and "yes" are not."""
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _display(verbose: int, total: int) -> Callable[[int | None, dict[str, Any]], None]:
    """A function of (steps taken, row) that shows progress; None for the number of steps ends it."""
    if verbose <= 0:
        return lambda iteration, row: None
    log = logging.getLogger("optim")
    try:
        from tqdm.auto import tqdm
    except ImportError:

        def write(iteration: int | None, row: dict[str, Any]) -> None:
            if iteration is not None:
                log.info("step %d of %d: loss %.6g", iteration, total, row["loss"])

        return write
    bar = tqdm(total=total)

    def move(iteration: int | None, row: dict[str, Any]) -> None:
        if iteration is None:
            bar.close()
        else:
            bar.set_postfix(loss=f"{row['loss']:.5g}", refresh=False)
            bar.update(iteration - bar.n)

    return move


def _check_method(method: Any) -> None:
    missing = [name for name in ("init", "step", "state_type") if not hasattr(method, name)]
    if missing or isinstance(method, type):
        came = f"the class {method.__name__}" if isinstance(method, type) else brief(method)
        raise TypeError(
            f"method must be an optimiser such as optim.Adam(1e-3), got {came}; make one with its settings."
        )


def _check_settings(
    max_iterations: Any,
    max_seconds: Any,
    max_products: Any,
    tolerance: Any,
    checkpoint: Any,
    checkpoint_every: Any,
    resume: bool,
) -> None:
    integer("max_iterations", max_iterations, least=0)
    number("tolerance", tolerance, least=0)
    integer("checkpoint_every", checkpoint_every, remedy="give a number of steps")
    if max_seconds is not None:
        number("max_seconds", max_seconds, above=0)
    if max_products is not None:
        integer("max_products", max_products)
    if checkpoint is not None:
        _check_place(checkpoint)
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint, got None; give the path that the run wrote to.")


def _check_place(checkpoint: str | os.PathLike) -> None:
    """Raise before the first step where a checkpoint could never be written."""
    place = os.path.realpath(checkpoint)
    if not os.path.isdir(os.path.dirname(place)):
        raise FileNotFoundError(
            f"checkpoint must be in a folder that is there, got {os.fspath(checkpoint)!r}; make the folder first."
        )
    if os.path.exists(place) and not os.path.isfile(place):
        raise ValueError(f"checkpoint must be a file or a new name, got {os.fspath(checkpoint)!r}; name another.")
