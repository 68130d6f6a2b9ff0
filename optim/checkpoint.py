"""Checkpoints: any tree of numbers, texts, arrays and generators in one file, which no kill leaves half written."""

from __future__ import annotations

import os
from typing import Any

from optim.saving import load_file, save_file

_OPENER = "optim.load_checkpoint"


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the run goes on without it."""


def save_checkpoint(path: str | os.PathLike, tree: Any) -> None:
    """Write ``tree`` to ``path``: beside it first, then renamed onto it, so that ``path`` is old or new, never torn.

    Parameters
    ----------
    path : str or path
    tree : None, numbers, text, lists, tuples, dicts, arrays, numpy.random.Generator
        See :mod:`optim.codec`.

    Raises
    ------
    TypeError, ValueError
        For a leaf of another kind, or a tree that holds itself.
    OSError
        Naming ``path``, with what was there untouched: no such folder, no room.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from optim import load_checkpoint, save_checkpoint
    >>> path = os.path.join(tempfile.mkdtemp(), "run.npz")
    >>> save_checkpoint(path, {"theta": np.arange(3.0), "iteration": 7})
    >>> load_checkpoint(path)
    {'theta': array([0., 1., 2.]), 'iteration': 7}
    """
    save_file(path, tree, opener=_OPENER)


def load_checkpoint(path: str | os.PathLike) -> Any:
    """The tree that :func:`save_checkpoint` wrote to ``path``.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    tree

    Raises
    ------
    ValueError
        Naming ``path``, if the file was not written by :func:`save_checkpoint`, is damaged, or by another version.

    Examples
    --------
    See :func:`save_checkpoint`.

    >>> from optim import load_checkpoint
    >>> load_checkpoint("nowhere.npz")
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    return load_file(path, opener=_OPENER, remedy="start without it, or give another file")
