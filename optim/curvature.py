"""The damped curvature of a mean loss as a product, into a buffer of its own, and a preconditioner for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optim.arguments import number
from optim.device import namespace
from optim.long_vectors import add_scaled
from optim.problem import check_vector


class DampedCurvature:
    """v -> (G + λμ S) v / weight + λ v.

    Parameters
    ----------
    linear : Linearization
    damping : float >= 0
        λ.
    structural : float >= 0
        λμ.
    out : (P,) array
        Where every product goes.

    Attributes
    ----------
    n_products : int
        Calls so far.
    """

    def __init__(self, linear: Any, damping: float, structural: float, out: np.ndarray) -> None:
        number("the weight of a linearisation", float(linear.weight), above=0, remedy="leave out what is wholly masked")
        number("damping", damping, least=0)
        number("structural", structural, least=0)
        self.linear, self.damping, self.structural, self.out = linear, damping, structural, out
        self.n_products = 0

    def __call__(self, v: np.ndarray) -> np.ndarray:
        product = self.linear.gauss_newton(v, structural=self.structural)
        if self.n_products == 0:
            check_vector("a curvature product", product, v)
        self.n_products += 1
        namespace(product).multiply(product, 1.0 / float(self.linear.weight), out=self.out)
        if self.damping > 0.0:
            add_scaled(self.out, self.damping, v)
        return self.out


def diagonal_preconditioner(linear: Any, damping: float, exponent: float) -> np.ndarray:
    """M = (Σ_n g_n ∘ g_n / weight + λ)^exponent, g_n the gradient of sequence n.

    The squares must be taken a sequence at a time: with weights shared over time the square of a sum is not the sum
    of the squares, and the square of the batch's mean gradient tends to zero where the curvature does not.

    Parameters
    ----------
    linear : Linearization with squared_gradients
    damping : float > 0
    exponent : float in [0, 1]

    Returns
    -------
    (P,) array

    Raises
    ------
    NotImplementedError
        If the linearisation has no ``squared_gradients``.

    References
    ----------
    Martens, 2010, §4.7; the exponent 0.75 is his.
    """
    if not hasattr(linear, "squared_gradients"):
        raise NotImplementedError(
            "preconditioner='squared_gradients' needs an objective whose linearisation has squared_gradients(), got "
            f"{type(linear).__name__} without it; use preconditioner=None, or give squared_gradients to from_callables."
        )
    squares = linear.squared_gradients()
    xp = namespace(squares)
    squares = xp.nan_to_num(squares)  # what has overflowed is very large, and no reason to stop
    diagonal = xp.maximum(squares / float(linear.weight), 0.0) + damping
    return (diagonal**exponent).astype(squares.dtype, copy=False)


def own_preconditioner(linear: Any, damping: float) -> Callable[[np.ndarray, np.ndarray], None]:
    """What the linearisation knows of the inverse of its damped mean curvature, as a function (r, out).

    Parameters
    ----------
    linear : Linearization with preconditioner
    damping : float > 0

    Raises
    ------
    NotImplementedError
        If the linearisation has no ``preconditioner``.
    """
    if not hasattr(linear, "preconditioner"):
        raise NotImplementedError(
            "preconditioner='own' needs an objective whose linearisation has preconditioner(damping), got "
            f"{type(linear).__name__} without it; use 'squared_gradients' or None."
        )
    return linear.preconditioner(damping)
