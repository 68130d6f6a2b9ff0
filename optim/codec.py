"""Trees as JSON and arrays, and back: what a file may hold, and what makes objects of it again. Nothing is ever run.

A tree is what JSON knows (None, bool, int, float, str, list, dict with text as keys) with tuples, NumPy arrays, float
types, generators and *records* as further leaves. A record is an object of a class that a package names in a mapping of
:class:`Record`; the codec itself knows none. Floats and arrays come back bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from optim.arguments import brief, precision
from optim.device import all_to_host

DEPTH = 100  # levels of a tree
KINDS = "biufcSUmM"  # of arrays, as NumPy letters them
_GENERATORS = {
    kind.__name__: kind
    for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)
}


@dataclass(frozen=True)
class Record:
    """How objects of one class are kept.

    Parameters
    ----------
    kind : type
    build : callable
        ``build(**fields)`` makes the object again and *checks* it, for its fields come from a file that anyone may have
        written: ValueError or TypeError for what the class itself would not have made.
    fields_of : callable, optional
        The object's fields as a dict; those of a dataclass if not given.

    Examples
    --------
    >>> from optim import Evaluation
    >>> from optim.codec import Record, decode, encode
    >>> records = {"Evaluation": Record(Evaluation, Evaluation)}
    >>> decode(encode(Evaluation(6.0, 4.0), {}, records), {}, records).loss
    1.5
    """

    kind: type
    build: Callable[..., Any]
    fields_of: Callable[[Any], dict[str, Any]] | None = None

    def taken_apart(self, value: Any) -> dict[str, Any]:
        """The fields of ``value``."""
        if self.fields_of is not None:
            return self.fields_of(value)
        return {field.name: getattr(value, field.name) for field in fields(value)}


Records = Mapping[str, Record]


def encode(leaf: Any, arrays: dict[str, np.ndarray], records: Records, place: tuple[str, ...] = ()) -> Any:
    """JSON for ``leaf``, which stands at ``place`` in its tree; arrays go to ``arrays`` under a number.

    Raises
    ------
    TypeError
        For a leaf of another kind, naming its place.
    ValueError
        For a tree too deep, such as a list that holds itself.
    """
    if leaf is None or isinstance(leaf, bool | int | float | str):
        return leaf
    if len(place) == DEPTH:
        raise ValueError(f"what is saved must have at most {DEPTH} levels, got more; does a list hold itself?")

    def inner(key: Any, item: Any) -> Any:
        return encode(item, arrays, records, (*place, str(key)))

    leaf = all_to_host(leaf)
    if isinstance(leaf, np.generic) and leaf.dtype.kind in "biuf":
        return leaf.item()
    if isinstance(leaf, np.ndarray) and leaf.dtype == object and leaf.ndim == 1:
        return {"objects": [inner(i, item) for i, item in enumerate(leaf)]}
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind in KINDS and not isinstance(leaf, np.ma.MaskedArray):
        name = f"array{len(arrays)}"
        arrays[name] = np.asarray(leaf, leaf.dtype.newbyteorder("<"), order="C")
        return {"array": name}
    if isinstance(leaf, list):
        return [inner(i, item) for i, item in enumerate(leaf)]
    if isinstance(leaf, tuple):
        return {"tuple": [inner(i, item) for i, item in enumerate(leaf)]}
    if isinstance(leaf, dict) and all(isinstance(key, str) for key in leaf):
        return {"dict": {key: inner(key, item) for key, item in leaf.items()}}
    if isinstance(leaf, np.random.Generator):
        return {"generator": inner("state", leaf.bit_generator.state)}
    if isinstance(leaf, np.dtype) or leaf is np.float64 or leaf is np.float32:
        return {"dtype": np.dtype(precision("dtype", leaf)).name}
    for name, record in records.items():
        if type(leaf) is record.kind:
            found = record.taken_apart(leaf).items()
            return {"record": name, "fields": {key: inner(key, item) for key, item in found}}
    kind = f"{type(leaf).__name__} of {leaf.dtype}" if isinstance(leaf, np.ndarray) else type(leaf).__name__
    raise TypeError(
        f"what is saved must be None, numbers, text, lists, dicts, arrays and generators, got {kind}"
        f"{' in ' if place else ''}{'.'.join(place)}; turn it into one of these first, or use pickle."
    )


def decode(value: Any, arrays: dict[str, np.ndarray], records: Records) -> Any:
    """The tree that :func:`encode` took apart; takes its arrays out of ``arrays``, each once.

    Raises
    ------
    ValueError, TypeError, LookupError, AttributeError, RecursionError
        For what :func:`encode` does not write.
    """

    def inner(item: Any) -> Any:
        return decode(item, arrays, records)

    if isinstance(value, list):
        return [inner(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"array": str(name), **rest} if not rest:
            return arrays.pop(name)
        case {"dict": dict(items), **rest} if not rest:
            return {key: inner(item) for key, item in items.items()}
        case {"tuple": list(items), **rest} if not rest:
            return tuple(inner(item) for item in items)
        case {"objects": list(items), **rest} if not rest:
            found = np.empty(len(items), dtype=object)
            found[:] = [inner(item) for item in items]
            return found
        case {"dtype": str(name), **rest} if not rest:
            return precision("dtype", name)
        case {"generator": state, **rest} if not rest:
            return _generator(inner(state))
        case {"record": str(name), "fields": dict(items), **rest} if not rest:
            return records[name].build(**{key: inner(item) for key, item in items.items()})
    raise ValueError(f"unknown leaf {brief(value)}")


def _generator(state: dict[str, Any]) -> np.random.Generator:
    made = _GENERATORS[state["bit_generator"]]()
    made.state = state
    return np.random.Generator(made)
