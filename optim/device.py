"""Where arrays live: the one door through which CuPy enters the package."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def namespace(*arrays: Any) -> ModuleType:
    """Array module that all ``arrays`` belong to: NumPy, CuPy, or any other array-API namespace.

    Python scalars and ``None`` belong to every namespace and are passed over; with nothing else
    given the answer is NumPy.

    Parameters
    ----------
    *arrays : array, scalar or None

    Returns
    -------
    module
        ``numpy`` for NumPy arrays, ``cupy`` for CuPy arrays, otherwise what ``__array_namespace__`` returns.

    Raises
    ------
    TypeError
        If two arrays live in different namespaces, or an argument is no array.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.device import namespace
    >>> namespace(np.ones(3), 2.0, None).__name__
    'numpy'
    """
    found = {}
    for array in arrays:
        if array is None or isinstance(array, (bool, int, float, complex)):
            continue
        if isinstance(array, (np.ndarray, np.generic)):
            xp = np
        elif type(array).__module__.partition(".")[0] == "cupy":
            xp = _cupy()
        elif hasattr(array, "__array_namespace__"):
            xp = array.__array_namespace__()
        else:
            raise TypeError(
                f"expected NumPy, CuPy or array-API arrays, got {type(array).__name__}; convert it with numpy.asarray."
            )
        found[xp.__name__] = xp
    if len(found) > 1:
        names = " and ".join(sorted(found))
        raise TypeError(f"all arrays must live in one place, got {names}; move them to the same device first.")
    return next(iter(found.values()), np)


def to_host(array: Any) -> np.ndarray:
    """NumPy array with the values of ``array``; a NumPy array is returned as it is.

    Parameters
    ----------
    array : array of any namespace

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from optim.device import to_host
    >>> to_host(np.arange(2))
    array([0, 1])
    """
    if type(array).__module__.partition(".")[0] == "cupy":
        return _cupy().asnumpy(array)
    return np.asarray(array)


def check_device(device: str | None) -> None:
    """Raise unless computations on ``device`` are available: ``None`` and ``"cpu"`` are.

    Raises
    ------
    NotImplementedError
        For ``"gpu"``: no GPU kernel is part of this version.
    ValueError
        For any other value.
    """
    if device in (None, "cpu"):
        return
    if device == "gpu":
        raise NotImplementedError(
            "device must be None or 'cpu' in this version, got 'gpu'; GPU kernels come with a later one."
        )
    raise ValueError(f"device must be None, 'cpu' or 'gpu', got {device!r}; None computes on the CPU.")


def _cupy() -> ModuleType:
    import cupy

    return cupy
