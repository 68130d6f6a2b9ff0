"""Weight decay as part of the problem, so that every method and every part of a method sees the same loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.arguments import number
from optim.device import beside, namespace, to_host
from optim.long_vectors import add_scaled, dot
from optim.problem import Evaluation, Linearization, Objective


class WeightDecay:
    """An objective plus ½ c |m ∘ θ|², c relative to the mean loss.

    The sums get weight times the term: loss_sum + ½ w c |m ∘ θ|², grad + w c m ∘ θ, G v + w c m ∘ v.

    Parameters
    ----------
    objective : Objective
    coefficient : float >= 0
        c.
    mask : (P,) bool array, optional
        m, which parameters decay: usually the weights and not the biases. All of them if not given.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import WeightDecay, from_callables
    >>> flat = from_callables(lambda x: (0.0, np.zeros(2)), n_params=2)
    >>> decayed = WeightDecay(flat, 0.1, mask=np.array([True, False]))
    >>> decayed.value_and_grad(np.array([2.0, 5.0]))
    Evaluation(loss_sum=0.2, weight=1.0, grad=array([0.2, 0. ]))
    """

    def __init__(self, objective: Objective, coefficient: float, mask: np.ndarray | None = None) -> None:
        number("weight_decay", coefficient, least=0)
        if mask is not None:
            mask = to_host(mask)
            if mask.dtype != bool or mask.shape != (objective.n_params,):
                raise ValueError(
                    f"decay_mask must be bool of shape ({objective.n_params},), got {mask.dtype} of shape "
                    f"{mask.shape}; mark every parameter that decays with True."
                )
        self.objective, self.coefficient, self.mask = objective, float(coefficient), mask

    def __getattr__(self, name: str) -> Any:
        if name == "objective" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.objective, name)

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss and weight of the batch, decay included."""
        found = self.objective.value(theta, batch)
        return Evaluation(found.loss_sum + self.penalty(theta, found.weight), found.weight)

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss, weight and gradient of the batch, decay included."""
        found = self.objective.value_and_grad(theta, batch)
        grad = found.grad.copy()
        add_scaled(grad, self.coefficient * found.weight, self.masked(theta))
        return Evaluation(found.loss_sum + self.penalty(theta, found.weight), found.weight, grad)

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Linearization:
        """Products with the curvature of the batch, decay included."""
        linear = self.objective.linearize(theta, batch)
        kind = _DecayedSquares if hasattr(linear, "squared_gradients") else _Decayed
        xp, rate = namespace(theta), theta.dtype.type(self.coefficient * linear.weight)
        return kind(linear, linear.weight, self.masked(xp.full_like(theta, rate)), xp.empty_like(theta))

    def penalty(self, theta: np.ndarray, weight: float) -> float:
        """½ w c |m ∘ θ|²."""
        return 0.5 * weight * self.coefficient * dot(theta, self.masked(theta))

    def masked(self, vector: np.ndarray) -> np.ndarray:
        """m ∘ vector."""
        if self.mask is None:
            return vector
        return namespace(vector).where(beside(vector, self.mask), vector, vector.dtype.type(0))


@dataclass(frozen=True)
class _Decayed:
    """Products with decay; ``undecayed`` has those of the loss alone."""

    undecayed: Any
    weight: float
    _rates: np.ndarray
    _out: np.ndarray

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        xp = namespace(v)
        xp.multiply(v, self._rates, out=self._out)
        return xp.add(self._out, self.undecayed.gauss_newton(v, structural=structural), out=self._out)

    def __getattr__(self, name: str) -> Any:
        """A preconditioner, if the loss alone has one: the mean rate of decay counts as damping."""
        if name != "preconditioner":
            raise AttributeError(name)
        own = self.undecayed.preconditioner
        rate = float(self._rates.mean(dtype=np.float64)) / self.weight
        return lambda damping: own(damping + rate)


class _DecayedSquares(_Decayed):
    def squared_gradients(self) -> np.ndarray:
        """What the loss alone gives, plus the exact diagonal of the decay."""
        return self.undecayed.squared_gradients() + self._rates
