"""Fitted estimators of this package in one file: arrays as they are, the rest as JSON. Nothing in it is ever run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

import cells
from cells.cell import Cell
from cells.network import Network
from cells.train import TrainingState
from optim.checkpoint import load_checkpoint, save_checkpoint

FORMAT = "reservoir-hf recurrent estimator 1"


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write the parameters and fitted attributes of ``estimator`` to ``path``.

    A generator given as ``random_state`` is not kept: None takes its place, what was drawn from it stays.
    """
    parameters = estimator.get_params(deep=False)
    fitted = {name: value for name, value in vars(estimator).items() if name not in parameters}
    tree = {
        "format": FORMAT,
        "estimator": type(estimator).__name__,
        "parameters": {name: _encode(name, value) for name, value in parameters.items()},
        "fitted": {name: _encode(name, value) for name, value in fitted.items()},
    }
    save_checkpoint(path, tree)


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
        If the file was written by something else, or by a later version.

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
    tree = load_checkpoint(path)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        came = tree.get("format") if isinstance(tree, dict) else type(tree).__name__
        raise ValueError(
            f"path must be a file of format {FORMAT!r}, got {came!r}; save the estimator again, or use a newer "
            "reservoir-hf."
        )
    kind = getattr(cells, str(tree["estimator"]), None)
    if not (isinstance(kind, type) and hasattr(kind, "save")):
        raise ValueError(f"path must hold one of this package's estimators, got {tree['estimator']!r}; save it again.")
    estimator = kind(**{name: _decode(value) for name, value in tree["parameters"].items()})
    for name, value in tree["fitted"].items():
        setattr(estimator, name, _decode(value))
    return estimator


def _encode(name: str, value: Any) -> Any:
    """A tree that checkpoints know; what is not plain stands in a dict with its kind."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return {"kind": "texts", "items": [str(item) for item in value]} if value.dtype == object else value
    if isinstance(value, np.generic):
        return str(value) if value.dtype.kind in "US" else value.item()
    if isinstance(value, Cell | Network | TrainingState):
        inside = {entry.name: _encode(name, getattr(value, entry.name)) for entry in fields(value)}
        return {"kind": type(value).__name__, "fields": inside}
    if isinstance(value, list | tuple):
        return {"kind": type(value).__name__, "items": [_encode(name, item) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"kind": "dict", "fields": {key: _encode(name, item) for key, item in value.items()}}
    if isinstance(value, np.random.Generator | np.random.RandomState):
        return None
    if isinstance(value, np.dtype) or value in (np.float32, np.float64):
        return {"kind": "dtype", "name": np.dtype(value).name}
    raise TypeError(
        f"every attribute of a saved estimator must be numbers, text, arrays or a network, got {type(value).__name__} "
        f"in {name}; name cell and solver by strings, or use pickle."
    )


def _decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value["kind"]
    simple: dict[str, Callable[[], Any]] = {
        "texts": lambda: np.array(value["items"], dtype=object),
        "list": lambda: [_decode(item) for item in value["items"]],
        "tuple": lambda: tuple(_decode(item) for item in value["items"]),
        "dict": lambda: {key: _decode(item) for key, item in value["fields"].items()},
        "dtype": lambda: np.dtype(value["name"]).type,
    }
    if kind in simple:
        return simple[kind]()
    known = {"TrainingState": TrainingState, "Network": Network}
    made = known.get(kind) or getattr(cells, str(kind), None)
    if made not in known.values() and not (isinstance(made, type) and issubclass(made, Cell)):
        raise ValueError(f"path must hold cells of this package, got {kind!r}; save the estimator again.")
    return made(**{key: _decode(item) for key, item in value["fields"].items()})
