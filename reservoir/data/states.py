"""States that are carried from one call to the next, as the user hands them over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optim.arguments import as_array, brief

_LONGEST_MEMORY = 100
_REMEDY = "pass what return_state=True returned"


def read_states(values: Any, n_sequences: int, width: int, dtype: np.dtype) -> np.ndarray:
    """(n_sequences, width) finite states of ``dtype`` from one row for all sequences or a row for each.

    Raises
    ------
    TypeError, ValueError
        For what holds no real numbers, another shape, or numbers that are not finite in ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.states import read_states
    >>> read_states([1, 2], n_sequences=2, width=2, dtype=np.float32)
    array([[1., 2.],
           [1., 2.]], dtype=float32)
    """
    states = as_array("initial_state", values)
    if states.dtype.kind not in "iuf":
        raise TypeError(f"initial_state must be an array of real numbers, got {brief(values)}; {_REMEDY}.")
    if states.shape not in ((width,), (n_sequences, width)):
        raise ValueError(
            f"initial_state must have shape ({width},) or ({n_sequences}, {width}), a row a sequence, got "
            f"{states.shape}; {_REMEDY}."
        )
    with np.errstate(over="ignore"):
        states = states.astype(dtype)
    n_bad = np.count_nonzero(~np.isfinite(states))
    if n_bad > 0:
        raise ValueError(
            f"initial_state must hold finite numbers of {np.dtype(dtype)}, got {n_bad} that are not; {_REMEDY}."
        )
    return np.broadcast_to(states, (n_sequences, width))


def steps_of_memory(spectral_radius: float | None, leak: np.ndarray) -> int:
    """Steps n in which a state of a linear reservoir fades to a hundredth: (1 - a (1 - ρ))ⁿ = 0.01; at most 100.

    Parameters
    ----------
    spectral_radius : float > 0, or None
        ρ; None, of a matrix taken as it is, counts as 1.
    leak : (N,) in (0, 1]
        The slowest unit's is a.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.states import steps_of_memory
    >>> steps_of_memory(0.9, np.ones(5)), steps_of_memory(1.1, np.ones(5))
    (44, 100)
    """
    kept = 1.0 - float(leak.min()) * (1.0 - (1.0 if spectral_radius is None else spectral_radius))
    if kept <= 0.0:
        return 1
    return min(_LONGEST_MEMORY, math.ceil(math.log(0.01) / math.log(kept))) if kept < 1.0 else _LONGEST_MEMORY
