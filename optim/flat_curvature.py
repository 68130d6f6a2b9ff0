"""A loss without curvature in the outputs, for which Gauss-Newton steps are gradient steps: said once, in words."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from optim.checks.probing import direction
from optim.device import namespace


class FlatCurvatureWarning(UserWarning):
    """The Gauss-Newton matrix is exactly zero where the gradient is not, so that damping alone decides on the step.

    G = Jᵀ H J has the curvature H of the loss by the outputs, which is zero of every loss that is linear in them:
    negative log-likelihood of outputs that are log-probabilities already, absolute error, hinge. The same function of
    the parameters has the curvature that it should have where the loss takes logits and has the log-softmax inside.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from optim import FlatCurvatureWarning, HessianFree, from_callables, minimize
    >>> error = from_callables(lambda x: (abs(x).sum(), np.sign(x)), lambda x, v: 0.0 * v, n_params=2)
    >>> with warnings.catch_warnings(record=True, action="always") as told:
    ...     _ = minimize(error, np.ones(2), HessianFree(), max_iterations=1)
    >>> told[0].category is FlatCurvatureWarning
    True
    """


def warn_if_flat(linear: Any, theta: np.ndarray) -> None:
    """Warn if the product of a random vector is exactly zero; the gradient is known not to be.

    Parameters
    ----------
    linear : Linearization
        Of the loss alone, without weight decay.
    theta : (P,) array
    """
    if not namespace(theta).any(linear.gauss_newton(direction(theta, np.random.default_rng(0)))):
        warnings.warn(
            "the loss must be convex and curved in the outputs, got curvature products Gv that are exactly 0 where the "
            "gradient is not, and steps that are those of gradient descent; return logits and take the log-softmax "
            "inside the loss (cross-entropy for NLL of log-probabilities), and smooth losses for absolute error and "
            "hinge (squared, Huber).",
            FlatCurvatureWarning,
            stacklevel=3,
        )
