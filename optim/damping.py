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

from optim.problem import check_positive


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
        for name in ("initial", "increase", "decrease", "minimum", "maximum"):
            check_positive(name, getattr(self, name))
        if not self.minimum <= self.initial <= self.maximum:
            raise ValueError(
                f"initial must lie between minimum and maximum, got {self.initial!r} for "
                f"[{self.minimum!r}, {self.maximum!r}]; widen the bounds."
            )
        if self.increase < 1.0 or self.decrease > 1.0 or not self.low <= self.high:
            raise ValueError(
                f"increase must be >= 1, decrease <= 1 and low <= high, got {self.increase!r}, {self.decrease!r}, "
                f"{self.low!r} and {self.high!r}; the custom is 3/2, 2/3, 1/4 and 3/4."
            )
        choices = {
            "model": ("undamped", "damped"),
            "at": ("backtracked", "last"),
            "gradient": ("gradient", "acceptance"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, got {getattr(self, name)!r}.")

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
