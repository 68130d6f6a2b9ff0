"""What an entry of y belongs to, a row of X or a sequence, where its shape alone does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from reservoir.data.sequences import Sequences

TARGETS: Mapping[str, str] = {"all": "rows", "last": "sequences"}


class AmbiguousTargetsWarning(UserWarning):
    """y has as many numbers a sequence as that has rows: one a row was understood, one target a sequence may be meant.

    Say which by ``targets="all"`` or ``targets="last"``.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from cells import AmbiguousTargetsWarning, RNNRegressor
    >>> X, y = np.zeros((4, 3, 1)), np.zeros((4, 3))
    >>> with warnings.catch_warnings(record=True, action="always", category=AmbiguousTargetsWarning) as met:
    ...     model = RNNRegressor(2, max_epochs=1).fit(X, y)
    >>> len(met), RNNRegressor(2, max_epochs=1, targets="last").fit(X, y).predict(X).shape
    (1, (4, 3))
    """


def could_be_of_sequences(sequences: Sequences, y: Any) -> bool:
    """Whether ``y``, read as one entry a row, could as well be one vector a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from cells.estimators.targets import could_be_of_sequences
    >>> from reservoir.data.reading import read_sequences
    >>> y = np.zeros((10, 5))
    >>> windows = read_sequences(BaseEstimator(), np.zeros((10, 5, 1)), y, reset=True, target="rows")
    >>> could_be_of_sequences(windows, y)
    True
    """
    n, T = sequences.n_sequences, int(sequences.lengths[0])
    may_be = sequences.form in ("list", "stack") and not sequences.one_per_sequence and n > 1 and T > 1
    return bool(may_be and (sequences.lengths == T).all() and np.shape(y) == (n, T))


def is_one_hot(y: Any) -> bool:
    """Whether each row of ``y`` (n, K) is a single 1 among zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.estimators.targets import is_one_hot
    >>> is_one_hot(np.eye(3)), is_one_hot(np.ones((3, 3)))
    (True, False)
    """
    y = np.asarray(y)
    if y.dtype.kind not in "fiub":
        return False
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())
