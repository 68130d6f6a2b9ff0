"""Learning rates and momenta that change with the step: frozen settings, called with the number of the step.

A schedule is any function of the step t = 0, 1, ... that returns a float; a plain number stands for a constant.
Depending on t alone, it needs no state, and a resumed run goes on exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from optim.arguments import brief, fraction, integer, number

Schedule: TypeAlias = "float | Callable[[int], float]"


def value_at(schedule: Schedule, t: int, name: str = "a schedule") -> float:
    """Value of a schedule, or of a plain number, at step ``t``.

    Parameters
    ----------
    schedule : float or callable
    t : int >= 0
    name : str
        Whose schedule it is, for the message.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Where the schedule gives what is not finite.

    Examples
    --------
    >>> from optim.schedule import value_at
    >>> value_at(0.1, 5), value_at(lambda t: 1.0 / (t + 1), 3)
    (0.1, 0.25)
    """
    if not callable(schedule):
        return float(schedule)
    value = float(schedule(t))
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite at every step, got {value} at step {t}; correct the schedule.")
    return value


def check_schedule(name: str, schedule: Schedule, **interval: float) -> None:
    """Raise unless ``schedule`` is a function, or a number in the interval, given as to :func:`optim.arguments.number`.

    Raises
    ------
    TypeError, ValueError
    """
    if not callable(schedule):
        number(name, schedule, **interval, remedy="give a number, or a function of the step")


@dataclass(frozen=True)
class StepDecay:
    """``initial * factor^⌊t / every⌋``.

    Parameters
    ----------
    initial : float > 0
    factor : float > 0
    every : int >= 1

    Examples
    --------
    >>> from optim import StepDecay
    >>> rate = StepDecay(1.0, factor=0.5, every=10)
    >>> rate(9), rate(10), rate(20)
    (1.0, 0.5, 0.25)
    """

    initial: float
    factor: float
    every: int

    def __post_init__(self) -> None:
        number("initial", self.initial, above=0)
        number("factor", self.factor, above=0)
        integer("every", self.every)

    def __call__(self, t: int) -> float:
        return self.initial * self.factor ** (t // self.every)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from ``initial`` at t = 0 down to ``final`` at t = ``n_steps``, and ``final`` from there on.

    Parameters
    ----------
    initial : float > 0
    n_steps : int >= 1
    final : float >= 0

    References
    ----------
    Loshchilov and Hutter, 2017, equation 5, without restarts.

    Examples
    --------
    >>> from optim import Cosine
    >>> rate = Cosine(1.0, n_steps=10)
    >>> rate(0), round(rate(5), 9), rate(10)
    (1.0, 0.5, 0.0)
    """

    initial: float
    n_steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        number("initial", self.initial, above=0)
        integer("n_steps", self.n_steps)
        number("final", self.final, least=0)

    def __call__(self, t: int) -> float:
        if t >= self.n_steps:
            return self.final
        return self.final + 0.5 * (self.initial - self.final) * (1.0 + math.cos(math.pi * t / self.n_steps))


@dataclass(frozen=True)
class Warmup:
    """Linear rise over the first ``n_steps`` steps: ``then(t) * min(1, (t + 1) / n_steps)``.

    Parameters
    ----------
    then : float or callable
        What is risen to; it sees the same t.
    n_steps : int >= 1

    Examples
    --------
    >>> from optim import Warmup
    >>> rate = Warmup(1.0, n_steps=4)
    >>> [rate(t) for t in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    then: Schedule
    n_steps: int

    def __post_init__(self) -> None:
        check_schedule("then", self.then)
        integer("n_steps", self.n_steps)

    def __call__(self, t: int) -> float:
        return value_at(self.then, t) * min(1.0, (t + 1) / self.n_steps)


@dataclass(frozen=True)
class Piecewise:
    """One schedule after another: ``parts[0]`` until t = ``starts[0]``, then ``parts[1]``, and so on.

    Every part sees the t of the whole. So ``Piecewise((0.9, 0.99), starts=(1000,))`` is the momentum of the
    recurrent experiments of Sutskever et al. (2013), §5.

    Parameters
    ----------
    parts : sequence of float or callable
    starts : sequence of int
        Increasing, one fewer than ``parts``.

    Examples
    --------
    >>> from optim import Piecewise
    >>> momentum = Piecewise((0.9, 0.99), starts=(1000,))
    >>> momentum(999), momentum(1000)
    (0.9, 0.99)
    """

    parts: tuple[Schedule, ...]
    starts: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("parts", "starts"):
            value = getattr(self, name)
            if not isinstance(value, Iterable):
                raise TypeError(f"{name} must be a sequence, got {brief(value)}; give a tuple.")
            object.__setattr__(self, name, tuple(value))
        for part in self.parts:
            check_schedule("each of parts", part)
        for start in self.starts:
            integer("each of starts", start, least=0)
        if len(self.starts) != len(self.parts) - 1 or list(self.starts) != sorted(set(self.starts)):
            raise ValueError(
                f"starts must be increasing, one fewer than the {len(self.parts)} parts, got {brief(self.starts)}; "
                "give the step at which each part but the first begins."
            )

    def __call__(self, t: int) -> float:
        return value_at(self.parts[sum(t >= start for start in self.starts)], t)


@dataclass(frozen=True)
class RisingMomentum:
    """Momentum that approaches 1 as 1 - 1/(2 (⌊t/250⌋ + 1)) until ``maximum``.

    Written in the paper as μ_t = min(1 - 2^(-1 - log2(⌊t/250⌋ + 1)), μ_max). The first values are 1/2, 3/4, 5/6.

    Parameters
    ----------
    maximum : float in [0, 1)
        The paper tries 0.9, 0.99, 0.995 and 0.999.
    period : int >= 1

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, 2013, equation 5.

    Examples
    --------
    >>> from optim import RisingMomentum
    >>> momentum = RisingMomentum(0.99)
    >>> momentum(0), momentum(250), momentum(100_000)
    (0.5, 0.75, 0.99)
    """

    maximum: float
    period: int = 250

    def __post_init__(self) -> None:
        fraction("maximum", self.maximum, with_zero=True, remedy="give for example 0.99")
        integer("period", self.period)

    def __call__(self, t: int) -> float:
        return min(1.0 - 0.5 / (t // self.period + 1), self.maximum)
