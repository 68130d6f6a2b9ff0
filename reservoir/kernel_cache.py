"""Where compiled kernels are kept between processes, in the place of Numba's own cache.

Numba (0.68) raises where no folder can be written, leaves a fit when the disk is full, and loads whatever a broken file
holds. It keeps an index of each function's files too: two processes that write at once may give one name to kernels of
different argument types. Here a kernel is one file, named by what it was compiled from and for. It holds a checksum and
is renamed when it is whole, so it needs no index and no lock. What cannot be read is compiled; what cannot be written
is used all the same, and the log says so, once. Beside its code a file names the shared kernels that it calls
(:mod:`reservoir.callees`): without these it is as good as none.

The folder is ``NUMBA_CACHE_DIR`` if that is set. Otherwise it is ``__pycache__`` beside the source, and where that
cannot be written Numba's folder in the user's cache. Files are found in folders that can only be read, too.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from reservoir.callees import MARK, needs_of

LOG = logging.getLogger("reservoir")
_DIGEST = 16  # bytes
_LAYOUT = 2  # of a file: key, needs, code


class KernelCache:
    """The compiled code of one function, as Numba's dispatcher asks for it.

    Parameters
    ----------
    function : callable
        At the top of its module: what a closure holds is not looked at.
    """

    def __init__(self, function: Callable) -> None:
        code = function.__code__
        self._source = os.path.abspath(code.co_filename)
        name = f"{Path(self._source).stem}.{function.__qualname__}-{code.co_firstlineno}"
        self._of_function = f"{name}.{sys.implementation.cache_tag}."
        # Read when the function is made: the file may be edited while the program runs.
        self._of_version = f"{self._of_function}{_stamp(self._source)}."

    @property
    def cache_path(self) -> str:
        """The folder that is tried first."""
        return str(self._folders()[0])

    def load_overload(self, signature: Any, target_context: Any) -> CompileResult | None:
        """The code for one signature, or None."""
        key = _key(signature, target_context.codegen())
        for folder in self._folders():
            with suppress(OSError):
                content = _checked((folder / self._file(key)).read_bytes())
                if content is None or content[0] != key or not all(need.is_met() for need in content[1]):
                    continue
                if _counts_references(content[2]):
                    rtsys.initialize(target_context)
                return CompileResult._rebuild(target_context, *content[2])
        return None

    def save_overload(self, signature: Any, result: CompileResult) -> None:
        """Keep the code for one signature, in the first folder that takes it."""
        if result.lifted or any(name != MARK for name in result.library._dynamic_globals):
            return
        key = _key(signature, result.codegen)
        content = dumps((key, needs_of(result), result._reduce()))
        failure = None
        for folder in self._folders():
            try:
                _write(folder / self._file(key), _digest(content) + content)
                self._forget_old(folder)
                return
            except OSError as error:
                failure = failure or error
        _say_once(failure.strerror)

    def symbol(self, signature: Any, target_context: Any) -> str:
        """A name for the code for one signature, which no other code has, in this version or another."""
        return f"reservoir.{self._of_version}{_name_of(_key(signature, target_context.codegen()))}"

    def flush(self) -> None:
        """Forget what is on disk."""
        for folder in self._folders():
            _remove(folder.glob(f"{self._of_function}*"))

    def _folders(self) -> list[Path]:
        beside = os.path.dirname(self._source)
        apart = f"{os.path.basename(beside)}_{_digest(beside.encode()).hex()}"
        if config.CACHE_DIR:
            return [Path(config.CACHE_DIR, apart)]
        return [Path(beside, "__pycache__"), Path(AppDirs("numba", appauthor=False).user_cache_dir, apart)]

    def _file(self, key: tuple) -> str:
        return f"{self._of_version}{_name_of(key)}.nbc"

    def _forget_old(self, folder: Path) -> None:
        """Remove what other versions of the source have left, files of killed writers among it."""
        found = folder.glob(f"{self._of_function}*")
        _remove(path for path in found if not path.name.startswith(self._of_version))


def _key(signature: Any, codegen: Any) -> tuple:
    """What code depends on beside its source: the types of the arguments, Numba's version, the processor."""
    return _LAYOUT, numba.__version__, signature, codegen.magic_tuple()


def _counts_references(result: tuple) -> bool:
    """Whether compiled code calls Numba's memory manager: setting that up takes longer than loading the code."""
    _, _, (object_code, _) = result[0]
    return b"NRT_" in object_code


def _name_of(key: tuple) -> str:
    return _digest(repr(key).encode()).hex()


@functools.cache
def _stamp(source: str) -> str:
    """What tells versions of a source apart; one that is no file is known to this process only."""
    try:
        return _digest(Path(source).read_bytes()).hex()[:16]
    except OSError:
        return uuid.uuid4().hex[:16]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()


def _checked(data: bytes) -> tuple | None:
    """What a file holds, if it is whole and its types can still be imported."""
    content = data[_DIGEST:]
    if _digest(content) != data[:_DIGEST]:
        return None
    with suppress(AttributeError, ImportError):
        return pickle.loads(content)
    return None


def _write(path: Path, data: bytes) -> None:
    """Nobody sees a file that is not whole, and a writer that fails leaves none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{uuid.uuid4().hex}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except BaseException:
        _remove([beside])
        raise


def _remove(paths: Any) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()


@functools.cache
def _say_once(reason: str | None) -> None:
    LOG.warning(
        "compiled kernels cannot be kept on disk (%s): every process compiles them anew, which takes seconds to "
        "minutes; set NUMBA_CACHE_DIR to a folder that can be written.",
        reason,
    )
