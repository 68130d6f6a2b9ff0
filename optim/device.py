"""Where arrays live: the one door through which CuPy enters the package."""

from __future__ import annotations

import functools
from pathlib import Path
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
    """Raise unless computations on ``device`` are possible: None and "cpu" always are, "gpu" with CuPy and a card.

    Raises
    ------
    ValueError
        For any other value.
    ImportError
        For "gpu" without CuPy.
    RuntimeError
        For "gpu" with CuPy and no card or driver.

    Examples
    --------
    >>> from optim.device import check_device
    >>> check_device("tpu")
    Traceback (most recent call last):
    ValueError: device must be None, 'cpu' or 'gpu', got 'tpu'; None computes on the CPU.
    """
    if device in (None, "cpu"):
        return
    if device != "gpu":
        raise ValueError(f"device must be None, 'cpu' or 'gpu', got {device!r}; None computes on the CPU.")
    if not _cupy().is_available():
        raise RuntimeError(
            "device='gpu' needs an NVIDIA GPU and its driver, got a CuPy that finds none; use device=None, or see "
            'what `python -c "import cupy; cupy.show_config()"` says.'
        )


def to_device(array: Any, dtype: Any = None) -> Any:
    """CuPy array with the values of ``array``, C-contiguous; a CuPy array that is so already is returned as it is.

    Parameters
    ----------
    array : NumPy or CuPy array
    dtype : optional

    Returns
    -------
    cupy.ndarray
    """
    return _cupy().ascontiguousarray(_cupy().asarray(array), dtype=dtype)


@functools.lru_cache(maxsize=64)
def kernels(source: Path, **constants: int) -> Any:
    """The kernels of a ``.cu`` file, compiled with its constants; each is asked for by ``get_function(name)``.

    CuPy keeps what it has compiled on the disk. ``source`` may include ``prelude.cuh``.

    Parameters
    ----------
    source : Path
    **constants : int
        Values of the macros that the file names; True defines one without a value.

    Returns
    -------
    cupy.RawModule
    """
    defines = [f"-D{name}" if value is True else f"-D{name}={value}" for name, value in sorted(constants.items())]
    return _cupy().RawModule(
        code=source.read_text(encoding="utf-8"),
        options=("--std=c++17", f"-I{Path(__file__).parent}", *defines),
        enable_cooperative_groups=True,
    )


def launch_together(kernel: Any, n_blocks: int, n_threads: int, arguments: tuple, *, shared_bytes: int = 0) -> None:
    """Run a kernel whose blocks wait for one another: all of them must be resident at once.

    Parameters
    ----------
    kernel : cupy.RawKernel
    n_blocks, n_threads : int >= 1
        Blocks, and threads a block.
    arguments : tuple
        CuPy arrays and NumPy scalars of the types that the kernel names.
    shared_bytes : int
        Dynamic shared memory of a block.

    Raises
    ------
    RuntimeError
        If the card cannot hold so many blocks at once. CuPy would launch fewer, with no more than a warning.
    """
    most = most_blocks_together(kernel, n_threads, shared_bytes=shared_bytes)
    if n_blocks > most:
        raise RuntimeError(
            f"a kernel whose blocks wait for one another needs {n_blocks} of them resident, got a card that holds "
            f"{most}; use fewer units or sequences at a time, or device='cpu'."
        )
    kernel((n_blocks,), (n_threads,), arguments, shared_mem=shared_bytes)


def most_blocks_together(kernel: Any, n_threads: int, *, shared_bytes: int = 0) -> int:
    """Blocks of ``n_threads`` threads of ``kernel`` that the card holds at once."""
    cuda = _cupy().cuda
    of_a_processor = cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(kernel.kernel.ptr, n_threads, shared_bytes)
    return of_a_processor * cuda.Device().attributes["MultiProcessorCount"]


def _cupy() -> ModuleType:
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            "CuPy must be installed to compute on a GPU, and is not; `pip install 'reservoir-hf[gpu]'` for CUDA 13, "
            "'reservoir-hf[gpu12]' for CUDA 12."
        ) from error
    return cupy
