"""Methods that follow the gradient: frozen settings with ``init(theta) -> state`` and ``update(grad, theta, state)``.

``theta`` is always the point at which ``grad`` was taken; for Nesterov's method, that is the point looked ahead to.
``update`` goes block by block, so that a block stays in the cache from its first operation to its last, and allocates
nothing of the size of ``theta``: it writes in place, or into other arrays. Every operation is one rounding of an entry
on its own: the same bits for any size of the blocks, any machine, any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from optim.arguments import number
from optim.clipping import shrinking
from optim.device import namespace
from optim.long_vectors import block_of, norm
from optim.problem import Batches, check_evaluation, check_vector
from optim.result import Step, StopReason
from optim.schedule import Schedule, check_schedule, value_at


@dataclass
class FirstOrderState:
    """Steps taken, and the method's arrays by name, each of the shape and dtype of theta. Plain data.

    Parameters
    ----------
    iteration : int >= 0
    slots : dict of (P,) arrays

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Momentum
    >>> Momentum(0.1).init(np.ones(2))
    FirstOrderState(iteration=0, slots={'velocity': array([0., 0.])})
    """

    iteration: int
    slots: dict[str, np.ndarray]


@dataclass(frozen=True)
class FirstOrder:
    """What the methods below share: a learning rate, clipping, and the walk over the blocks of theta.

    A method names its arrays in ``SLOTS`` and writes one block in ``advance``.

    Parameters
    ----------
    learning_rate : float > 0, or callable of the step
    clip_value : float > 0, optional
        Bound on every entry of the gradient.
    clip_norm : float > 0, optional
        Bound on the Euclidean norm of the gradient; after ``clip_value`` where both are given.
    """

    learning_rate: Schedule = 0.01
    _: KW_ONLY
    clip_value: float | None = None
    clip_norm: float | None = None

    SLOTS: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type] = FirstOrderState

    def __post_init__(self) -> None:
        check_schedule("learning_rate", self.learning_rate, above=0)
        for name in ("clip_value", "clip_norm"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), above=0, remedy="give a number, or None")

    def init(self, theta: np.ndarray) -> FirstOrderState:
        """State before the first step: zeros."""
        return FirstOrderState(0, {name: namespace(theta).zeros_like(theta) for name in self.SLOTS})

    def update(
        self,
        grad: np.ndarray,
        theta: np.ndarray,
        state: FirstOrderState,
        *,
        scale: float = 1.0,
        out: tuple[np.ndarray, FirstOrderState] | None = None,
    ) -> tuple[np.ndarray, FirstOrderState]:
        """One step along ``scale * grad``.

        Parameters
        ----------
        grad : (P,) array
            Read only.
        theta : (P,) array
        state : FirstOrderState
        scale : float
            1 / weight makes a mean of a sum of gradients.
        out : (theta, state), optional
            What to write to; by default ``theta`` and ``state`` themselves.

        Returns
        -------
        theta, state
            Those written to.
        """
        check_vector("grad", grad, theta)
        new_theta, new_state = out or (theta, state)
        settings = self.settings(state.iteration)
        before = [theta, *(state.slots[name] for name in self.SLOTS)]
        after = [new_theta, *(new_state.slots[name] for name in self.SLOTS)]
        xp, block = namespace(theta), block_of(theta)
        g, scratch = (xp.empty(min(block, theta.size), theta.dtype) for _ in range(2))
        shrink = shrinking(self._norm(grad, scale, g), self.clip_norm) if self.clip_norm else 1.0
        for start in range(0, theta.size, block):
            here = slice(start, start + block)
            size = len(theta[here])
            self._clipped(grad[here], scale, g[:size])
            if shrink < 1.0:
                xp.multiply(g[:size], shrink, out=g[:size])
            old, new = ([array[here] for array in arrays] for arrays in (before, after))
            self.advance(g[:size], old, new, scratch[:size], at=settings)
        new_state.iteration = state.iteration + 1
        return new_theta, new_state

    def settings(self, t: int) -> dict[str, float]:
        """Numbers of step ``t``, schedules evaluated."""
        return {"rate": value_at(self.learning_rate, t, "learning_rate")}

    def advance(
        self, g: np.ndarray, old: list[np.ndarray], new: list[np.ndarray], scratch: np.ndarray, *, at: dict[str, float]
    ) -> None:
        """Write one block of theta and of each of ``SLOTS``, from ``old`` to ``new``, which may be the same arrays.

        ``g`` and ``scratch`` may be overwritten.
        """
        raise NotImplementedError(f"{type(self).__name__} must define advance; see optim.SGD for the shortest one.")

    def step(
        self,
        objective: Any,
        theta: np.ndarray,
        state: FirstOrderState,
        *,
        batches: Batches | None = None,
        tolerance: float = 0.0,
        spare: tuple[np.ndarray, FirstOrderState] | None = None,
    ) -> tuple[np.ndarray, FirstOrderState, Step]:
        """Gradient at ``theta`` and one update with its mean, or none where it is not finite.

        Parameters
        ----------
        objective : Objective
        theta : (P,) array
            Read only, as ``state`` is.
        state : FirstOrderState
        batches : Batches, optional
            Only ``gradient`` is used.
        tolerance : float >= 0
            Stop before the update where the norm of the mean gradient is at most this.
        spare : (theta, state), optional
            Of an earlier step, to be written to; by default new ones are made.

        Returns
        -------
        theta, state, Step
        """
        found = objective.value_and_grad(theta, batches.gradient if batches else None)
        check_evaluation(found, theta, with_grad=True)
        length = norm(found.grad) / found.weight
        row = {
            "iteration": state.iteration,
            "loss": found.loss,
            "gradient_norm": length,
            "learning_rate": value_at(self.learning_rate, state.iteration, "learning_rate"),
        }
        if not (np.isfinite(found.loss) and np.isfinite(length)):
            return theta, state, Step(row, StopReason.NOT_FINITE)
        if length <= tolerance:
            return theta, state, Step(row, StopReason.CONVERGED)
        out = spare or (namespace(theta).empty_like(theta), self.init(theta))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found by the next loss
            theta, state = self.update(found.grad, theta, state, scale=1.0 / found.weight, out=out)
        return theta, state, Step(row)

    def _clipped(self, grad: np.ndarray, scale: float, out: np.ndarray) -> None:
        xp = namespace(out)
        xp.multiply(grad, scale, out=out)
        if self.clip_value is not None:
            xp.clip(out, -self.clip_value, self.clip_value, out=out)

    def _norm(self, grad: np.ndarray, scale: float, scratch: np.ndarray) -> float:
        """Norm of the scaled gradient after ``clip_value``, in float64."""
        if self.clip_value is None:
            return norm(grad) * abs(scale)
        total, block = 0.0, block_of(grad)
        for start in range(0, grad.size, block):
            part = grad[start : start + block]
            self._clipped(part, scale, scratch[: len(part)])
            total += norm(scratch[: len(part)]) ** 2
        return math.sqrt(total)


@dataclass(frozen=True)
class SGD(FirstOrder):
    """Steepest descent: θ ← θ - ε g.

    Parameters
    ----------
    learning_rate : float > 0, or callable of the step
        ε.
    clip_value, clip_norm : float > 0, optional
        Bounds on the entries and on the norm of the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import SGD
    >>> method, theta = SGD(0.1), np.array([1.0, 2.0])
    >>> theta, state = method.update(np.array([1.0, -1.0]), theta, method.init(theta))
    >>> theta
    array([0.9, 2.1])
    """

    def advance(self, g, old, new, scratch, *, at):
        xp = namespace(g)
        (theta,), (new_theta,) = old, new
        xp.multiply(g, at["rate"], out=g)
        xp.subtract(theta, g, out=new_theta)


@dataclass(frozen=True)
class Momentum(FirstOrder):
    """Classical momentum: v ← μ v - ε g, θ ← θ + v.

    Parameters
    ----------
    learning_rate : float > 0, or callable of the step
        ε.
    momentum : float in [0, 1), or callable of the step
        μ.
    clip_value, clip_norm : float > 0, optional
        Bounds on the entries and on the norm of the gradient.

    References
    ----------
    Polyak, 1964; in the form of Sutskever, Martens, Dahl and Hinton, 2013, equations 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Momentum
    >>> method, theta = Momentum(0.1, momentum=0.5), np.array([1.0])
    >>> state = method.init(theta)
    >>> for _ in range(2):
    ...     theta, state = method.update(np.array([1.0]), theta, state)
    >>> round(float(theta[0]), 9), round(float(state.slots["velocity"][0]), 9)
    (0.75, -0.15)
    """

    _: KW_ONLY
    momentum: Schedule = 0.9

    SLOTS = ("velocity",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_schedule("momentum", self.momentum, least=0, below=1)

    def settings(self, t: int) -> dict[str, float]:
        return {**super().settings(t), "momentum": value_at(self.momentum, t, "momentum")}

    def advance(self, g, old, new, scratch, *, at):
        xp = namespace(g)
        (theta, v), (new_theta, new_v) = old, new
        xp.multiply(v, at["momentum"], out=new_v)
        xp.multiply(g, at["rate"], out=g)
        new_v -= g
        xp.add(theta, new_v, out=new_theta)


@dataclass(frozen=True)
class Nesterov(Momentum):
    """Nesterov's accelerated gradient, with the gradient taken at the point looked ahead to.

    The paper moves θ and takes the gradient elsewhere::

        v_{t+1} = μ_t v_t - ε_t ∇f(θ_t + μ_t v_t)          θ_{t+1} = θ_t + v_{t+1}

    Here ``theta`` is that elsewhere, φ_t = θ_t + μ_t v_t, so that the caller takes the gradient g at ``theta`` as for
    any other method. In exact arithmetic it is the same method, for momenta that change as well::

        v_{t+1} = μ_t v_t - ε_t g                          φ_{t+1} = φ_t - ε_t g + μ_{t+1} v_{t+1}

    :meth:`position` gives the paper's θ_t. The usual shortcut that looks ahead with μ_t in place of μ_{t+1} is another
    method where the momentum changes.

    Parameters
    ----------
    learning_rate : float > 0, or callable of the step
        ε_t.
    momentum : float in [0, 1), or callable of the step
        μ_t, for example :class:`optim.RisingMomentum`; it is asked for t + 1 as well.
    clip_value, clip_norm : float > 0, optional
        Bounds on the entries and on the norm of the gradient.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, 2013, equations 3 and 4.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Nesterov
    >>> method, theta = Nesterov(0.1, momentum=0.5), np.array([1.0])
    >>> theta, state = method.update(np.array([1.0]), theta, method.init(theta))
    >>> round(float(theta[0]), 9), round(float(method.position(theta, state)[0]), 9)
    (0.85, 0.9)
    """

    def settings(self, t: int) -> dict[str, float]:
        return {**super().settings(t), "next_momentum": value_at(self.momentum, t + 1, "momentum")}

    def advance(self, g, old, new, scratch, *, at):
        xp = namespace(g)
        (theta, v), (new_theta, new_v) = old, new
        xp.multiply(v, at["momentum"], out=new_v)
        xp.multiply(g, at["rate"], out=g)
        new_v -= g
        xp.subtract(theta, g, out=new_theta)
        xp.multiply(new_v, at["next_momentum"], out=scratch)
        new_theta += scratch

    def position(self, theta: np.ndarray, state: FirstOrderState) -> np.ndarray:
        """The paper's θ_t, which the gradient at ``theta`` looks ahead from: ``theta`` - μ_t v_t, a new array."""
        return theta - value_at(self.momentum, state.iteration) * state.slots["velocity"]
