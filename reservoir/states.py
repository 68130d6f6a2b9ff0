"""States that are carried from one call to the next, as the user hands them over."""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.arguments import as_array, brief

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
    >>> from reservoir.states import read_states
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
