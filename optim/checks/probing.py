"""How an objective is probed: products as a function, random directions, and what a check found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.arguments import number
from optim.device import beside, to_host
from optim.problem import check_vector

# Central differences of a float64 loss with steps of the cube root of eps are good to its square, 4e-11, times
# third derivatives and the ratio of loss to gradient; products of two passes are good to eps times their length.
GRADIENT_RTOL = 1e-6
PRODUCT_RTOL = {8: 1e-10, 4: 1e-3}


@dataclass(frozen=True)
class Check:
    """Outcome of one check.

    Parameters
    ----------
    name : str
    error : float
        What was found, relative to the size of what was compared.
    tolerance : float
        What it may be at most.
    detail : str
        Where the error stands, in words.

    Examples
    --------
    >>> from optim.checks import Check
    >>> Check("symmetry", error=1e-14, tolerance=1e-10).passed
    True
    """

    name: str
    error: float
    tolerance: float
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is within its tolerance; NaN is not."""
        return bool(self.error <= self.tolerance)


def product_at(
    objective: Any, theta: np.ndarray, batch: np.ndarray | None, structural: float
) -> Callable[[np.ndarray], np.ndarray]:
    """v -> G v at ``theta``, each a copy of its own."""
    linear = objective.linearize(theta, batch)

    def product(v: np.ndarray) -> np.ndarray:
        Gv = linear.gauss_newton(v, structural=structural)
        check_vector("a curvature product", Gv, theta)
        return Gv.copy()

    return product


def product_rtol(theta: np.ndarray, rtol: float | None) -> float:
    """``rtol`` if it was given, else what products of the dtype are good to."""
    return PRODUCT_RTOL[theta.itemsize] if rtol is None else number("rtol", rtol, least=0)


def direction(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A standard normal vector like ``theta``."""
    return beside(theta, rng.standard_normal(theta.size).astype(theta.dtype))


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Inner product of two arrays of equal shape, in float64."""
    return float(np.ravel(to_host(a)).astype(np.float64) @ np.ravel(to_host(b)).astype(np.float64))
