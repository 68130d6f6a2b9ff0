"""Checkpoints: one ``.npz`` of arrays with a JSON header, written so that a kill never leaves half a file.

A tree is what JSON knows (None, bool, int, float, str, list, dict with text as keys) with NumPy arrays and
generators as further leaves. Floats and arrays come back bit for bit; nothing in the file is ever run.
"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from optim.interrupts import interrupts_deferred

FORMAT = "reservoir-hf checkpoint 1"


def save_checkpoint(path: str | os.PathLike, tree: Any) -> None:
    """Write ``tree`` to ``path``: beside it first, then renamed onto it, so that ``path`` is old or new, never torn.

    Parameters
    ----------
    path : str or path
    tree : dict, list, scalars, arrays, numpy.random.Generator

    Raises
    ------
    TypeError
        For a leaf of another kind.

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
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    header = json.dumps({"format": FORMAT, "tree": _encode(tree, arrays)})
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with interrupts_deferred():  # in the middle of an archive Ctrl-C would leave as the ValueError of closing it
        try:
            with open(beside, "wb") as file:
                np.savez(file, header=np.array(header), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


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
        If the file was not written by :func:`save_checkpoint`, or by a later version.

    Examples
    --------
    See :func:`save_checkpoint`.

    >>> from optim import load_checkpoint
    >>> load_checkpoint("nowhere.npz")
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        version, tree = header["format"], header["tree"]
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"path must be a checkpoint, got {os.fspath(path)!r}, which cannot be read as one ({error}); "
            "start without it, or give another file."
        ) from error
    if version != FORMAT:
        raise ValueError(f"path must be a file of format {FORMAT!r}, got {version!r}; use a newer reservoir-hf.")
    return _decode(tree, arrays)


def _encode(leaf: Any, arrays: dict[str, np.ndarray]) -> Any:
    """JSON for ``leaf``; arrays go to ``arrays`` under a number."""
    if leaf is None or isinstance(leaf, (bool, int, float, str)):
        return leaf
    if isinstance(leaf, np.ndarray) and leaf.dtype != object:
        name = f"array{len(arrays)}"
        arrays[name] = leaf
        return {"array": name}
    if isinstance(leaf, np.generic):
        return _encode(leaf.item(), arrays)
    if isinstance(leaf, np.random.Generator):
        return {"generator": _encode(leaf.bit_generator.state, arrays)}
    if isinstance(leaf, (list, tuple)):
        return [_encode(item, arrays) for item in leaf]
    if isinstance(leaf, dict) and all(isinstance(key, str) for key in leaf):
        return {"dict": {key: _encode(item, arrays) for key, item in leaf.items()}}
    raise TypeError(
        "a checkpoint holds None, numbers, text, lists, dicts, arrays and generators, "
        f"got {type(leaf).__name__}; turn it into one of these first."
    )


def _decode(leaf: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(leaf, list):
        return [_decode(item, arrays) for item in leaf]
    if not isinstance(leaf, dict):
        return leaf
    if "array" in leaf:
        return arrays[leaf["array"]]
    if "generator" in leaf:
        state = _decode(leaf["generator"], arrays)
        kinds = {kind.__name__: kind for kind in np.random.BitGenerator.__subclasses__()}
        rng = np.random.Generator(kinds[state["bit_generator"]]())
        rng.bit_generator.state = state
        return rng
    return {key: _decode(item, arrays) for key, item in leaf["dict"].items()}
