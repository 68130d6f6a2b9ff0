"""Fitted estimators of this package in one file, see :mod:`optim.saving`: what is in it is checked on the way back."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import cells
from cells.fitted import check_fitted, checked_cell, checked_network
from cells.network import Network
from cells.passes.cell import Cell
from cells.train import TrainingState
from optim.codec import Record, Records
from reservoir.estimators.persistence import load_estimator, save_estimator

OPENER = "cells.load"


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write the parameters and fitted attributes of an estimator of this package to ``path``."""
    save_estimator(estimator, path, opener=OPENER, records=_records(), check=check_fitted)


def load(path: str | os.PathLike) -> Any:
    """The estimator that its ``save`` wrote to ``path``.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    estimator
        Fitted; it predicts the same bits as the one that was saved.

    Raises
    ------
    ValueError
        Naming ``path``, if the file was not written by ``save``, is damaged or changed, or by another version. What it
        holds is checked as user input is, and nothing in it is run.

    Examples
    --------
    >>> import os, tempfile
    >>> from cells import CharRNN, load
    >>> model = CharRNN(8, max_epochs=2, n_steps=10, random_state=0).fit("to be or not to be, " * 5)
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> model.save(path)
    >>> load(path).score("to be") == model.score("to be")
    True
    """
    return load_estimator(path, _public(), opener=OPENER, records=_records(), check=check_fitted)


def _public() -> list[Any]:
    return [getattr(cells, name) for name in cells.__all__]


def _records() -> Records:
    kinds = [kind for kind in _public() if isinstance(kind, type) and issubclass(kind, Cell)]
    return {
        "Network": Record(Network, checked_network),
        "TrainingState": Record(TrainingState, TrainingState),  # checked beside theta, whose size it has
        **{kind.__name__: Record(kind, partial(checked_cell, kind)) for kind in kinds},
    }
