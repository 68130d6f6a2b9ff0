"""Where arrays live: the one door through which CuPy enters the package."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

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
        elif _is_of_cupy(array):
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
    return _cupy().asnumpy(array) if _is_of_cupy(array) else np.asarray(array)


def is_array(thing: Any) -> bool:
    """Whether ``thing`` is an array of NumPy or of CuPy.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.device import is_array
    >>> is_array(np.ones(2)), is_array([1.0, 1.0])
    (True, False)
    """
    return isinstance(thing, np.ndarray) or _is_of_cupy(thing)


def all_to_host(given: Any) -> Any:
    """``given`` with every CuPy array in it, be it in lists or tuples, as a NumPy array; all else is left alone.

    Examples
    --------
    >>> from optim.device import all_to_host
    >>> all_to_host([1.0, "text", None])
    [1.0, 'text', None]
    """
    if _is_of_cupy(given):
        return to_host(given)
    if isinstance(given, list | tuple) and any(map(_is_of_cupy, _arrays_in(given))):
        return type(given)(map(all_to_host, given))
    return given


def beside(given: Any, array: Any) -> Any:
    """``array`` in the memory in which ``given`` lies: both NumPy's, or both CuPy's.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.device import beside
    >>> ones = np.ones(2)
    >>> beside(np.zeros(3), ones) is ones
    True
    """
    return to_device(array) if _is_of_cupy(given) else to_host(array)


def is_on_device(device: str | None, *given: Any) -> bool:
    """Whether to compute on a GPU: asked for by ``device``, or because the arrays given lie there.

    Parameters
    ----------
    device : None, "cpu" or "gpu"
    *given : arrays, lists or tuples of arrays, anything else

    Returns
    -------
    bool

    Raises
    ------
    TypeError
        If some arrays are NumPy's and some CuPy's.
    ValueError
        If CuPy's arrays are to be computed with on the CPU.
    ImportError, RuntimeError
        As :func:`check_device` says.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.device import is_on_device
    >>> is_on_device(None, np.ones(2), [np.ones(3)], None)
    False
    """
    check_device(device)
    is_there = namespace(*_arrays_in(given)) is not np
    if is_there and device == "cpu":
        raise ValueError("device must be None or 'gpu' for CuPy's arrays, got 'cpu'; move them by cupy.asnumpy first.")
    return is_there or device == "gpu"


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


class Place:
    """Where data lie and are computed with, and what may come beside them.

    Parameters
    ----------
    device : None, "cpu" or "gpu"
    *given : the data, as :func:`is_on_device` takes them

    Attributes
    ----------
    is_on_device : bool
        Whether to compute on a GPU.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.device import Place
    >>> Place(None, np.ones(2)).is_on_device
    False
    """

    def __init__(self, device: str | None, *given: Any) -> None:
        self.device, self.is_on_device = device, is_on_device(device, *given)

    def check(self, name: str, array: Any) -> None:
        """Raise unless ``array`` lies where the data do, or ``device="gpu"`` was asked for, which moves either.

        Raises
        ------
        TypeError
        """
        if self.device != "gpu" and _is_of_cupy(array) != self.is_on_device:
            data, came = ("CuPy", "NumPy") if self.is_on_device else ("NumPy", "CuPy")
            raise TypeError(
                f"{name} must live where the data do, in {data} arrays, got one of {came}; say device='gpu' where the "
                "data are handed over, which takes either, or move one of them."
            )


def free_bytes() -> int:
    """Memory of the GPU that arrays may still take."""
    cupy = _cupy()
    return cupy.cuda.Device().mem_info[0] + cupy.get_default_memory_pool().free_bytes()


def check_room(n_bytes: int, what: str, *, remedy: str) -> None:
    """Raise unless the GPU has room for ``what``: asked before any work.

    Parameters
    ----------
    n_bytes : int
        An estimate of what is needed at once.
    what, remedy : str
        What needs it, and what to do where it does not fit; for the message.

    Raises
    ------
    MemoryError
    """
    free = free_bytes()
    if n_bytes > free:
        raise MemoryError(
            f"expected room for {what}, which needs {n_bytes / 2**30:.2f} GiB on the GPU, got {free / 2**30:.2f} GiB "
            f"free; {remedy}."
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
def kernels(source: Path, *, before: str = "", is_together: bool = True, **constants: int) -> Any:
    """The kernels of a ``.cu`` file, compiled with its constants; each is asked for by ``get_function(name)``.

    CuPy keeps what it has compiled on the disk. ``source`` may include ``prelude.cuh``, and headers that lie beside it.

    Parameters
    ----------
    source : Path
    before : str
        Text that stands before that of the file.
    is_together : bool
        Whether blocks wait for one another, so that all of them must be resident.
    **constants : int
        Values of the macros that the file names; True defines one without a value.

    Returns
    -------
    cupy.RawModule
    """
    defines = [f"-D{name}" if value is True else f"-D{name}={value}" for name, value in sorted(constants.items())]
    folders = dict.fromkeys([Path(__file__).parent, source.parent])
    return _cupy().RawModule(
        code=before + source.read_text(encoding="utf-8"),
        options=("--std=c++17", *(f"-I{folder}" for folder in folders), *defines),
        enable_cooperative_groups=is_together,
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


def launch_apart(kernel: Any, n_blocks: int, n_threads: int, arguments: tuple, *, shared_bytes: int = 0) -> None:
    """Run a kernel whose blocks know nothing of one another; parameters as of :func:`launch_together`.

    Raises
    ------
    RuntimeError
        If the card cannot hold even one of its blocks.
    """
    if most_blocks_together(kernel, n_threads, shared_bytes=shared_bytes) == 0:
        raise RuntimeError(
            f"a block of {n_threads} threads with {shared_bytes} bytes of shared memory must fit a processor of the "
            "GPU, got one that is too small for it; use fewer units, or device='cpu'."
        )
    kernel((n_blocks,), (n_threads,), arguments, shared_mem=shared_bytes)


class Card(NamedTuple):
    """What a GPU offers to the blocks of a kernel."""

    n_processors: int
    shared_bytes: int  # the most that a block may have


def card() -> Card:
    """The GPU that kernels run on."""
    attributes = _cupy().cuda.Device().attributes
    return Card(attributes["MultiProcessorCount"], attributes["MaxSharedMemoryPerBlockOptin"])


def most_blocks_together(kernel: Any, n_threads: int, *, shared_bytes: int = 0) -> int:
    """Blocks of ``n_threads`` threads of ``kernel`` that the card holds at once."""
    cuda, there = _cupy().cuda, card()
    if shared_bytes > there.shared_bytes:
        return 0
    if shared_bytes > kernel.max_dynamic_shared_size_bytes:
        kernel.max_dynamic_shared_size_bytes = shared_bytes
    of_a_processor = cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(kernel.kernel.ptr, n_threads, shared_bytes)
    return of_a_processor * there.n_processors


def _is_of_cupy(thing: Any) -> bool:
    return type(thing).__module__.partition(".")[0] == "cupy"


def _arrays_in(given: Any, depth: int = 2) -> Iterator[Any]:
    """The arrays among what is given, and in lists and tuples of it and of these."""
    for part in given:
        if is_array(part):
            yield part
        elif depth and isinstance(part, list | tuple):
            yield from _arrays_in(part, depth - 1)


def _cupy() -> ModuleType:
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            "CuPy must be installed to compute on a GPU, and is not; `pip install 'reservoir-hf[gpu]'` for CUDA 13, "
            "'reservoir-hf[gpu12]' for CUDA 12."
        ) from error
    return cupy
