"""Ridge regression with a free intercept, from the sums of a fit.

For weights w_t, features z_t and targets y_t::

    minimise over W, b:   Σ_t w_t |y_t - W z_t - b|² + α |W|²

This is scikit-learn's Ridge: α adds to the sum, not to the mean, and b is not penalised.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from optim.arguments import brief, reals
from reservoir.alarms import IllConditionedWarning
from reservoir.readout.decomposition import Decomposition
from reservoir.readout.linear import Readout
from reservoir.readout.sums import Sums

# A smaller penalty has lost its digits, and its inverse is infinite.
SMALLEST_ALPHA = float(np.finfo(np.float64).tiny)


def check_alpha(alpha: Any) -> float | np.ndarray:
    """``alpha`` as a float, or as a float64 array of candidates to choose from.

    Raises
    ------
    TypeError, ValueError
        Unless it is a finite number >= 0, or a one-dimensional array of at least one such number.

    Examples
    --------
    >>> from reservoir.readout.ridge import check_alpha
    >>> check_alpha(1)
    1.0
    >>> check_alpha([0.1, 10])
    array([ 0.1, 10. ])
    """
    wanted = f"alpha must be 0 or a number >= {SMALLEST_ALPHA:.1e}, or a 1-D array of such numbers to choose from"
    remedy = "give for example alpha=1e-6"
    values = reals("alpha", alpha, remedy=remedy).astype(np.float64)
    if values.ndim > 1 or values.size == 0:
        raise ValueError(f"{wanted}, got shape {values.shape}; give at least one value in one dimension.")
    if not ((values >= SMALLEST_ALPHA) | (values == 0)).all():
        raise ValueError(f"{wanted}, got {brief(alpha)}; {remedy}.")
    return np.abs(values) if values.ndim else abs(float(values))  # for the sign of -0.0


def solve(sums: Sums, alpha: float, *, fit_intercept: bool = True, n_threads: int = 1) -> Readout:
    """Ridge readout of what has been summed; always finite.

    One penalty goes by Cholesky (Gram), QR (factor) or the dual (rows). Where rounding outweighs it the directions of
    the features that cannot be told from zero are left out, which gives the answer of least norm, and the user is
    warned.

    Parameters
    ----------
    sums : Sums, or HeldRows, of at least one row
    alpha : float >= 0
    fit_intercept : bool
    n_threads : int >= 1

    Returns
    -------
    Readout

    Warns
    -----
    IllConditionedWarning

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.gram import Gram
    >>> from reservoir.readout.ridge import solve
    >>> gram = Gram(1, 1)
    >>> gram.add(np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 3.0, 5.0]]))
    >>> readout = solve(gram, alpha=0.0)
    >>> round(float(readout.coef[0, 0]), 9), round(float(readout.intercept[0]), 9)
    (2.0, 1.0)
    """
    readout = sums.centred(fit_intercept=fit_intercept, n_threads=n_threads).solve(alpha, n_threads)
    if readout is not None:
        return readout
    decomposition = sums.centred(fit_intercept=fit_intercept).decompose()
    warn_unless_reliable(decomposition, alpha, sums.remedy)
    return decomposition.readout(alpha)


def warn_unless_reliable(decomposition: Decomposition, alpha: float, advice: str) -> None:
    """Warn if rounding left out a direction of the features at this penalty; ``advice`` ends the message."""
    if decomposition.is_reliable(alpha):
        return
    K = decomposition.vectors.shape[0]
    warnings.warn(
        "expected features independent to working precision, or a penalty that decides; got "
        f"{K - decomposition.rank(alpha)} of {K} directions lost to rounding at alpha={alpha:g}. They were "
        f"left out (least-norm answer); give alpha above {decomposition.cutoff:.1e}{advice}.",
        IllConditionedWarning,
        stacklevel=3,
    )
