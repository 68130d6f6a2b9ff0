"""What tells one run from another, as short texts by name: settings as they are, data by a digest of their bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import numbers
from typing import Any

import numpy as np

from optim.device import is_array, to_host


def digest_of(*arrays: np.ndarray) -> str:
    """16 hexadecimal digits that depend on the dtype, the shape and every byte of some arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.digests import digest_of
    >>> digest_of(np.zeros(3)) == digest_of(np.zeros(3)), digest_of(np.zeros(3)) == digest_of(np.zeros((3, 1)))
    (True, False)
    """
    digest = hashlib.sha256()
    for array in map(to_host, arrays):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1))
    return digest.hexdigest()[:16]


def digests_of(thing: Any, name: str = "") -> dict[str, str]:
    """``thing`` as texts by name: what its method ``digests`` says, the fields of a dataclass, or one text.

    Of a function it is its name, of other objects their class: two lambdas of one line are not told apart.

    Examples
    --------
    >>> from optim import Adam
    >>> from optim.digests import digests_of
    >>> digests_of(Adam(0.1), "method")["method.learning_rate"]
    '0.1'
    """
    if hasattr(thing, "digests") and not isinstance(thing, type):
        return {_joined(name, key): text for key, text in thing.digests().items()}
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        found = {name: type(thing).__qualname__}
        for field in dataclasses.fields(thing):
            found |= digests_of(getattr(thing, field.name), _joined(name, field.name))
        return found
    return {name: _text(thing)}


def differences(before: dict[str, str], now: dict[str, str]) -> str:
    """What differs, in words; an empty text if nothing does."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    told = [f"{name} was {_short(before.get(name))} and is {_short(now.get(name))}" for name in names[:3]]
    return ", ".join(told) + (f", and {len(names) - 3} more" if len(names) > 3 else "")


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _short(text: str | None) -> str:
    return "not there" if text is None else text if len(text) <= 60 else f"{text[:57]}..."


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_ | str | None):
        return str(value)
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    if is_array(value):
        return digest_of(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
