"""Inputs that are known in advance, of a forecaster: matched by name where both sides have names, else by position."""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.arguments import as_array, brief
from reservoir.data.reading import read_beside
from reservoir.data.sequences import Sequences


def names_of(values: Any, name: str) -> np.ndarray | None:
    """(n_columns,) names of the columns of a table, or of the first of a list of tables; None where it has none.

    Raises
    ------
    ValueError
        If a name comes twice.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.exog import names_of
    >>> names_of(np.zeros((3, 2)), "exog") is None
    True
    """
    first = values[0] if isinstance(values, (list, tuple)) and len(values) > 0 else values
    names = list(getattr(first, "columns", ()))
    if not names or not all(isinstance(column, str) for column in names):
        return None
    if len(set(names)) < len(names):
        raise ValueError(f"{name} must have a name of its own for every column, got {names}; rename the columns.")
    return np.array(names, dtype=object)


def in_order(values: Any, names: np.ndarray | None, name: str) -> Any:
    """``values``, a table or a list of tables, with their columns in the order of ``names``.

    Raises
    ------
    ValueError
        If a table has other names.
    """
    if names is None:
        return values
    if isinstance(values, (list, tuple)):
        return [in_order(member, names, name) for member in values]
    found = names_of(values, name)
    if found is None:
        return values
    if set(found) != set(names):
        raise ValueError(
            f"{name} must have the columns {names.tolist()} of the exog in fit, got {found.tolist()}; rename or choose "
            "the columns."
        )
    return values if (found == names).all() else values[names.tolist()]


def read_exog(sequences: Sequences, values: Any, names: np.ndarray | None, name: str) -> np.ndarray:
    """(n_steps, n_columns) numbers that go beside the rows of ``sequences``."""
    beside = read_beside(sequences, in_order(values, names, name), name)
    return beside.reshape(len(beside), -1)


def read_future(values: Any, names: np.ndarray | None, n_series: int, n_steps: int, n_exog: int) -> np.ndarray:
    """(n_series, n_steps, n_exog) finite numbers for the steps to forecast."""
    wanted = (n_series, n_steps, n_exog)
    given = in_order(values, names, "exog")
    found = as_array("exog", [] if given is None else given)
    found = found.astype(float) if found.dtype.kind in "iuf" else np.full(1, np.nan)
    if found.size == np.prod(wanted) and found.shape in (wanted, wanted[1:], wanted[:-1], wanted[1:-1]):
        if np.isfinite(found).all():
            return found.reshape(wanted)
    raise ValueError(
        f"exog must be finite numbers of shape {wanted[1:] if n_series == 1 else wanted}, got {brief(values)}; give "
        "one row for each step to forecast."
    )
