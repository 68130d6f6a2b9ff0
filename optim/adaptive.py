"""First-order methods that give every parameter a learning rate of its own: Adagrad, RMSProp, Adam."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from optim.arguments import choice, fraction, number
from optim.device import namespace
from optim.first_order import FirstOrder
from optim.schedule import Schedule, check_schedule, value_at


@dataclass(frozen=True)
class Adagrad(FirstOrder):
    """Adagrad: s ← s + g², θ ← θ - ε g / √(s + δ).

    Parameters
    ----------
    learning_rate : float > 0, or callable of the step
        ε.
    epsilon : float >= 0
        δ.
    epsilon_place : "inside" or "outside"
        Of the root. Inside, as above, is what min-char-rnn does; outside, ε g / (√s + δ), what PyTorch does.
    clip_value, clip_norm : float > 0, optional
        Bounds on the entries and on the norm of the gradient.

    References
    ----------
    Duchi, Hazan and Singer, 2011, the diagonal form.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Adagrad
    >>> method, theta = Adagrad(0.1, epsilon=0.0), np.array([1.0, 1.0])
    >>> method.update(np.array([1e-3, 1e3]), theta, method.init(theta))[0]
    array([0.9, 0.9])
    """

    _: KW_ONLY
    epsilon: float = 1e-8
    epsilon_place: str = "inside"

    SLOTS = ("square_sum",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_epsilon(self.epsilon, self.epsilon_place)

    def advance(self, g, old, new, scratch, *, at):
        xp = namespace(g)
        (theta, s), (new_theta, new_s) = old, new
        xp.multiply(g, g, out=scratch)
        xp.add(s, scratch, out=new_s)
        _root(new_s, self.epsilon, self.epsilon_place, out=scratch)
        xp.multiply(g, at["rate"], out=g)
        _divide(g, scratch, self.epsilon)
        xp.subtract(theta, g, out=new_theta)


@dataclass(frozen=True)
class RMSProp(FirstOrder):
    """RMSProp with momentum: s ← ρ s + (1 - ρ) g², v ← μ v - ε g / (√s + δ), θ ← θ + v.

    The learning rate stands inside the velocity, as in classical momentum: a change of it acts on later gradients only.

    Parameters
    ----------
    learning_rate : float > 0, or callable of the step
        ε.
    decay : float in [0, 1)
        ρ.
    momentum : float in [0, 1), or callable of the step
        μ.
    epsilon : float >= 0
        δ.
    epsilon_place : "outside" or "inside"
        Of the root: √s + δ, or √(s + δ).
    clip_value, clip_norm : float > 0, optional
        Bounds on the entries and on the norm of the gradient.

    References
    ----------
    Tieleman and Hinton, 2012, lecture 6.5; not centred.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import RMSProp
    >>> method, theta = RMSProp(0.1, decay=0.0, epsilon=0.0), np.array([1.0, 1.0])
    >>> method.update(np.array([1e-3, -1e3]), theta, method.init(theta))[0]
    array([0.9, 1.1])
    """

    learning_rate: Schedule = 0.001
    _: KW_ONLY
    decay: float = 0.9
    momentum: Schedule = 0.0
    epsilon: float = 1e-8
    epsilon_place: str = "outside"

    SLOTS = ("mean_square", "velocity")

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction("decay", self.decay, with_zero=True)
        check_schedule("momentum", self.momentum, least=0, below=1)
        _check_epsilon(self.epsilon, self.epsilon_place)

    def settings(self, t: int) -> dict[str, float]:
        return {**super().settings(t), "momentum": value_at(self.momentum, t, "momentum")}

    def advance(self, g, old, new, scratch, *, at):
        xp = namespace(g)
        (theta, s, v), (new_theta, new_s, new_v) = old, new
        _average_square(s, g, self.decay, scratch, out=new_s)
        _root(new_s, self.epsilon, self.epsilon_place, out=scratch)
        xp.multiply(g, at["rate"], out=g)
        _divide(g, scratch, self.epsilon)
        xp.multiply(v, at["momentum"], out=new_v)
        new_v -= g
        xp.add(theta, new_v, out=new_theta)


@dataclass(frozen=True)
class Adam(FirstOrder):
    """Adam: m and s are running means of g and g², θ ← θ - ε m̂ / (√ŝ + δ).

    m̂ = m / (1 - β₁^t) and ŝ = s / (1 - β₂^t), with t = 1 at the first step, undo the start from zero.

    Parameters
    ----------
    learning_rate : float > 0, or callable of the step
        ε.
    beta1, beta2 : float in [0, 1)
        Decay of the running means.
    epsilon : float >= 0
        δ, added to √ŝ as in Algorithm 1 of the paper.
    clip_value, clip_norm : float > 0, optional
        Bounds on the entries and on the norm of the gradient.

    References
    ----------
    Kingma and Ba, 2015, Algorithm 1; the defaults are theirs.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Adam
    >>> method, theta = Adam(0.1), np.array([1.0, 1.0])
    >>> method.update(np.array([1e-3, -1e3]), theta, method.init(theta))[0].round(4)
    array([0.9, 1.1])
    """

    learning_rate: Schedule = 0.001
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    SLOTS = ("mean", "mean_square")

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction("beta1", self.beta1, with_zero=True)
        fraction("beta2", self.beta2, with_zero=True)
        number("epsilon", self.epsilon, least=0)

    def settings(self, t: int) -> dict[str, float]:
        rate = value_at(self.learning_rate, t, "learning_rate") / (1.0 - self.beta1 ** (t + 1))
        return {"rate": rate, "root_scale": (1.0 - self.beta2 ** (t + 1)) ** -0.5}

    def advance(self, g, old, new, scratch, *, at):
        xp = namespace(g)
        (theta, m, s), (new_theta, new_m, new_s) = old, new
        _average_square(s, g, self.beta2, scratch, out=new_s)
        xp.multiply(m, self.beta1, out=new_m)
        xp.multiply(g, 1.0 - self.beta1, out=g)
        new_m += g
        xp.sqrt(new_s, out=scratch)
        xp.multiply(scratch, at["root_scale"], out=scratch)
        scratch += self.epsilon
        xp.multiply(new_m, at["rate"], out=g)
        _divide(g, scratch, self.epsilon)
        xp.subtract(theta, g, out=new_theta)


def _average_square(s: np.ndarray, g: np.ndarray, decay: float, scratch: np.ndarray, out: np.ndarray) -> None:
    """decay s + (1 - decay) g²."""
    xp = namespace(g)
    xp.multiply(g, g, out=scratch)
    xp.multiply(scratch, 1.0 - decay, out=scratch)
    xp.multiply(s, decay, out=out)
    out += scratch


def _root(s: np.ndarray, epsilon: float, place: str, out: np.ndarray) -> None:
    """√(s + epsilon) or √s + epsilon."""
    xp = namespace(s)
    if place == "inside":
        xp.add(s, epsilon, out=out)
        xp.sqrt(out, out=out)
    else:
        xp.sqrt(s, out=out)
        out += epsilon


def _divide(g: np.ndarray, root: np.ndarray, epsilon: float) -> None:
    """g ← g / root. Without an epsilon a root may be 0: there g is left as it is, 0 or too small to be squared."""
    xp = namespace(g)
    xp.divide(g, root if root.dtype.type(epsilon) > 0.0 else xp.where(root > 0.0, root, 1.0), out=g)


def _check_epsilon(epsilon: float, place: str) -> None:
    number("epsilon", epsilon, least=0)
    choice("epsilon_place", place, ("inside", "outside"))
