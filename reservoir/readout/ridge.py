"""Ridge regression with a free intercept, from the sums of a fit.

For weights w_t, features z_t and targets y_t::

    minimise over W, b:   Σ_t w_t |y_t - W z_t - b|² + α |W|²

This is scikit-learn's Ridge: α adds to the sum, not to the mean, and b is not penalised.

A solver that sums is one file with a class of sums and one of centred data, as the two protocols below say, and a line
in :mod:`reservoir.estimators.training`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from optim.arguments import brief, reals
from reservoir.alarms import IllConditionedWarning
from reservoir.readout.linear import Decomposition, Readout
from reservoir.readout.reductions import Reduced

# A smaller penalty has lost its digits, and its inverse is infinite.
SMALLEST_ALPHA = float(np.finfo(np.float64).tiny)


class Centred(Protocol):
    """Data about their means, or about zero where no intercept is fitted.

    Attributes
    ----------
    centre, target_centre, shift, target_energy
        As in :class:`reservoir.readout.linear.Decomposition`.
    """

    centre: Any
    target_centre: Any
    shift: np.ndarray
    target_energy: Any

    def solve(self, alpha: float, n_threads: int = 1) -> Readout | None:
        """Ridge readout; None where rounding outweighs the penalty. May use up what is here."""

    def decompose(self) -> Decomposition:
        """What serves every penalty."""

    def reduce(self) -> Reduced:
        """What serves all penalties that rounding does not outweigh, at a third of the cost; may use up the data."""


class Sums(Protocol):
    """What a fit keeps of its data, streamed and mergeable, the same for any number of threads.

    Attributes
    ----------
    n_features, n_outputs : int
    shift : (n_features + n_outputs,)
        What was subtracted from features and targets before they came here.
    n_rows : int
        Columns seen whose weight is not zero.
    remedy : str
        What else than more penalty helps where rounding outweighs it, as the end of a sentence.
    """

    n_features: int
    n_outputs: int
    shift: np.ndarray
    n_rows: int
    remedy: str

    @staticmethod
    def n_bytes(size: int, n_rows: int) -> int:
        """Bytes that are held for ``n_rows`` columns of tiles of ``size`` rows, and worked with at the end."""

    def add(self, tile: Any, n_threads: int = 1) -> None:
        """Add one tile, see :class:`reservoir.readout.columns.TakesTiles`."""

    def finish(self, n_threads: int = 1) -> None:
        """Called once no more tiles come."""

    def merge(self, other: Sums) -> None:
        """Add what another of this kind has seen; ``other`` is unchanged, and shifts may differ."""

    @staticmethod
    def each_left_out(folds: Sequence[Sums]) -> list[Sums]:
        """Sums of all ``folds`` but one, for each of them."""

    def recentred(self, shift: np.ndarray) -> Sums:
        """The same data minus another shift."""

    def centred(self, *, fit_intercept: bool = True, keep: bool = True, n_threads: int = 1) -> Centred:
        """Centred data; ``keep=False`` gives the memory away and leaves this empty."""

    def held_out_error(self, coef: Any, offset: Any) -> np.ndarray:
        """(..., O) weighted squared errors of the rows seen here under readouts (..., O, K); a host array.

        ``offset`` (..., O) is the intercept for shifted data.
        """

    def kept(self) -> dict[str, Any]:
        """What a file holds of it, for :meth:`restored`."""

    @classmethod
    def restored(cls, **parts: Any) -> Sums:
        """The sums that :meth:`kept` took apart, checked."""


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


def total_of(folds: Sequence[Sums]) -> Sums:
    """Sums of all folds; the only one itself."""
    if len(folds) == 1:
        return folds[0]
    total = type(folds[0])(folds[0].n_features, folds[0].n_outputs, folds[0].shift)
    for fold in folds:
        total.merge(fold)
    return total


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
