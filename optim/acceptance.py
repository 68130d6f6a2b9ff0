"""Which iterate of conjugate gradients is taken, and how far along it: decided by losses, not by the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np

from optim.arguments import fraction, integer
from optim.cg import Iterate
from optim.device import beside

BACKTRACKING = ("first_rise", "best", "none")
# Losses nearer than this, relative, are equal: sums of many terms, taken in whatever order.
_EQUAL = 1e-13
_N_NEIGHBOURS = 4  # enough that not all of them round as θ itself does


@dataclass(frozen=True)
class LineSearch:
    """Step lengths α = 1, s, s², ... until f(θ + αδ) <= f(θ) + c α gᵀδ (Armijo).

    Where δ does not descend by the gradient's batch, gᵀδ >= 0, any fall of the loss will do.

    Parameters
    ----------
    shrink : float in (0, 1)
        s.
    sufficient : float in [0, 1)
        c.
    max_tries : int >= 1

    References
    ----------
    The values of Martens' demonstration code; 60 tries reach α = 2e-6.

    Examples
    --------
    >>> from optim import LineSearch
    >>> alpha, loss = LineSearch().step_length(lambda alpha: (alpha - 0.3) ** 2, loss=0.09, slope=-0.6, first=0.49)
    >>> round(alpha, 3), round(loss, 3)
    (0.512, 0.045)
    """

    _: KW_ONLY
    shrink: float = 0.8
    sufficient: float = 1e-2
    max_tries: int = 60

    def __post_init__(self) -> None:
        fraction("shrink", self.shrink, remedy="the custom is 0.8")
        fraction("sufficient", self.sufficient, with_zero=True, remedy="the custom is 0.01")
        integer("max_tries", self.max_tries)

    def step_length(
        self, loss_along: Callable[[float], float], *, loss: float, slope: float, first: float
    ) -> tuple[float, float]:
        """α and the loss there; α = 0 and ``loss`` where no try was good enough.

        Parameters
        ----------
        loss_along : callable
            α -> f(θ + αδ), infinite where it is not finite.
        loss : float
            f(θ).
        slope : float
            gᵀδ.
        first : float
            f(θ + δ), known already.
        """
        alpha, there = 1.0, first
        for _ in range(self.max_tries):
            if there < loss and there <= loss + self.sufficient * alpha * min(slope, 0.0):
                return alpha, there
            alpha *= self.shrink
            there = loss_along(alpha)
        return 0.0, loss


def resolution_of(loss_at: Callable[[np.ndarray], float], theta: np.ndarray, loss: float) -> float:
    """How far apart losses are at points that float32 cannot tell from θ: smaller differences say nothing.

    Not eps times the loss: terms that cancel leave a small sum with the rounding of large ones, and a function of
    float64 may compute in float32.

    Parameters
    ----------
    loss_at : callable
    theta : (P,) array
    loss : float
        ``loss_at(theta)``.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from optim.acceptance import resolution_of
    >>> bowl = lambda x: float(np.sum((x - 1.0) ** 2))
    >>> resolution_of(bowl, np.ones(2), 0.0) < 1e-13 < resolution_of(bowl, np.full(2, 3.0), 8.0)
    True
    """
    rng, eps = np.random.default_rng(0), float(np.finfo(np.float32).eps)
    apart = [4.0 * float(np.finfo(theta.dtype).eps) * max(abs(loss), float(np.finfo(np.float64).tiny))]
    for _ in range(_N_NEIGHBOURS):
        signs = beside(theta, rng.choice(np.array([-eps, eps], theta.dtype), theta.size))
        difference = abs(loss_at(theta + signs * theta) - loss)
        apart.append(difference if math.isfinite(difference) else 0.0)
    return max(apart)


def backtrack(
    iterates: Sequence[Iterate], loss_at: Callable[[Iterate], float], rule: str = "first_rise"
) -> tuple[int, list[float]]:
    """Position of the iterate to take, and the losses at the iterates from the last one backwards, as far as looked at.

    Conjugate gradients go on minimising a model that may no longer be true: earlier iterates may be better.

    Parameters
    ----------
    iterates : sequence of Iterate, at least one
    loss_at : callable
        f(θ + x) of an iterate, infinite where it is not finite.
    rule : "first_rise", "best" or "none"
        Back from the last one until the loss rises (Martens, 2010, §4.6), the best of all, or the last one. Where
        conjugate gradients have converged, the last iterates are equal but for rounding, which is no rise.

    Returns
    -------
    position : int
    losses : list of float
        ``losses[k]`` belongs to ``iterates[-1 - k]``.
    """
    losses = [loss_at(iterates[-1])]
    if rule == "none":
        return len(iterates) - 1, losses
    for iterate in reversed(iterates[:-1]):
        losses.append(loss_at(iterate))
        rises = losses[-1] - losses[-2] > _EQUAL * abs(losses[-2]) if math.isfinite(losses[-2]) else False
        if rule == "first_rise" and rises:
            break
    best = min(range(len(losses)), key=losses.__getitem__)
    return len(iterates) - 1 - best, losses
