"""How far the quadratic model is trusted: Levenberg-Marquardt's rule for λ, with its conventions as options.

The damped model of the mean loss at θ is::

    M(δ) = f(θ) + gᵀδ + ½ δᵀ(G + λ I + λμ S) δ

G the Gauss-Newton matrix, S the curvature of the distance that hidden states move (structural damping, for
objectives that know it). λ is relative to the mean loss: one found for a summed loss is larger by the weight. λ and
λμ rise and fall together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optim.arguments import choice, number


@dataclass(frozen=True)
class LevenbergMarquardt:
    """λ rises by a factor after steps that the model predicted badly, and falls after those it predicted well.

    The reduction ratio is ρ = (f(θ + δ) - f(θ)) / q(δ), q the model without f(θ). λ ← ``increase`` λ where ρ < ``low``
    or ρ is not finite, λ ← ``decrease`` λ where ρ > ``high``.

    Papers and codes disagree on what enters ρ; each choice is an option here.

    Parameters
    ----------
    initial : float > 0
        λ at the start. 0.1 is the value of Martens and Sutskever (2012) for recurrent nets with structural damping,
        0.3 the one without.
    increase : float >= 1
    decrease : float in (0, 1]
    low, high : float
        Bounds of ρ between which λ stays.
    minimum, maximum : float > 0
        Bounds of λ.
    model : "undamped" or "damped"
        Whether q contains λ and λμ. Without them, the default, a quadratic loss gives ρ = 1 for every λ; with them,
        as in Sutskever's code of 2011, it gives up to 2, and λ falls sooner.
    at : "backtracked" or "last"
        Which iterate of CG is δ: the one that backtracking chose, as Martens has it, or the last one.
    gradient : "gradient" or "acceptance"
        On which batch the g of q is taken. f is measured on the acceptance batch; g is at hand on the gradient's, and
        costs another pass on that of acceptance, which then compares like with like.

    References
    ----------
    Martens, 2010, §4.1 (2/3 and 3/2, 1/4 and 3/4); Nocedal and Wright, 2006, §4.1 for ρ of the undamped model.

    Examples
    --------
    >>> from optim import LevenbergMarquardt
    >>> rule = LevenbergMarquardt(initial=1.0)
    >>> rule.updated(1.0, ratio=0.1), rule.updated(1.0, ratio=0.5), round(rule.updated(1.0, ratio=0.9), 3)
    (1.5, 1.0, 0.667)
    """

    initial: float = 0.1
    increase: float = 1.5
    decrease: float = 2.0 / 3.0
    low: float = 0.25
    high: float = 0.75
    minimum: float = 1e-12
    maximum: float = 1e12
    model: str = "undamped"
    at: str = "backtracked"
    gradient: str = "gradient"

    def __post_init__(self) -> None:
        number("minimum", self.minimum, above=0)
        number("maximum", self.maximum, least=self.minimum)
        number("initial", self.initial, least=self.minimum, most=self.maximum, remedy="or widen minimum and maximum")
        number("increase", self.increase, least=1, remedy="the custom is 3/2")
        number("decrease", self.decrease, above=0, most=1, remedy="the custom is 2/3")
        number("low", self.low, remedy="the custom is 1/4")
        number("high", self.high, least=self.low, remedy="the custom is 3/4")
        choice("model", self.model, ("undamped", "damped"))
        choice("at", self.at, ("backtracked", "last"))
        choice("gradient", self.gradient, ("gradient", "acceptance"))

    def updated(self, damping: float, ratio: float) -> float:
        """λ after a step whose reduction ratio was ``ratio``; NaN counts as bad."""
        if not ratio >= self.low:
            damping *= self.increase
        elif ratio > self.high:
            damping *= self.decrease
        return self.bounded(damping)

    def bounded(self, damping: float) -> float:
        """λ brought between ``minimum`` and ``maximum``."""
        return min(max(damping, self.minimum), self.maximum)


def reduction_ratio(change: float, predicted: float) -> float:
    """ρ = change / predicted, and -inf where the loss rose, is not finite, or the model predicts no fall.

    Parameters
    ----------
    change : float
        f(θ + δ) - f(θ).
    predicted : float
        q(δ).

    Returns
    -------
    float

    Examples
    --------
    >>> from optim.damping import reduction_ratio
    >>> reduction_ratio(-0.5, -1.0), reduction_ratio(0.1, -1.0)
    (0.5, -inf)
    """
    if not math.isfinite(change) or change > 0.0 or not predicted < 0.0:
        return -math.inf
    return change / predicted
