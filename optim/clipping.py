"""Gradients kept within bounds: entry by entry, or in length.

The length is the Euclidean norm itself; slides and code that compare its square with the threshold clip at
the root of it instead.
"""

from __future__ import annotations

import numpy as np

from optim.arguments import number
from optim.device import namespace
from optim.long_vectors import norm


def clip_by_value(grad: np.ndarray, limit: float, out: np.ndarray | None = None) -> np.ndarray:
    """Every entry brought into [-limit, limit].

    Parameters
    ----------
    grad : (P,) float array
    limit : float > 0
    out : (P,) array, optional
        Where the result goes; may be ``grad`` itself.

    Returns
    -------
    (P,) array

    Examples
    --------
    >>> import numpy as np
    >>> from optim import clip_by_value
    >>> clip_by_value(np.array([-7.0, 0.5]), 5.0)
    array([-5. ,  0.5])
    """
    number("limit", limit, above=0)
    return namespace(grad).clip(grad, -limit, limit, out=out)


def clip_by_norm(grad: np.ndarray, limit: float, out: np.ndarray | None = None) -> np.ndarray:
    """``grad`` shortened to norm ``limit`` where it is longer, in the same direction.

    Parameters
    ----------
    grad : (P,) float array
    limit : float > 0
    out : (P,) array, optional
        Where the result goes; may be ``grad`` itself.

    Returns
    -------
    (P,) array

    References
    ----------
    Pascanu, Mikolov and Bengio, 2013, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import clip_by_norm
    >>> clip_by_norm(np.array([3.0, 4.0]), 1.0)
    array([0.6, 0.8])
    """
    number("limit", limit, above=0)
    return namespace(grad).multiply(grad, shrinking(norm(grad), limit), out=out)


def shrinking(length: float, limit: float) -> float:
    """Factor that brings a vector of the given length to at most ``limit``; 1 where it is short already."""
    return limit / length if length > limit else 1.0
