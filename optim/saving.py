"""One file for a tree: an ``.npz`` of plain arrays, one of them a header in JSON. Written whole or not at all, read
with suspicion.

Reading runs nothing and trusts nothing. Arrays are stored as they are, not compressed, so that a load allocates no more
for them than the file is long, however it was made; for the header and the directory, some thirty times the length
of theirs. Whatever is wrong with a file is a ValueError that names it.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from optim.arguments import brief
from optim.codec import KINDS, Records, decode, encode
from optim.interrupts import interrupts_deferred
from optim.replacement import replacement

FORMAT = "reservoir-hf file 1"

_CHUNK = 1 << 20
# As NumPy writes the head of an array of version 1.0: magic, length of the text, text.
_HEAD = struct.Struct("<6sBBH")
_SHAPE = re.compile(
    rb"\{'descr': '([<|][" + KINDS.encode() + rb"]\d{1,6}(?:\[\w{1,9}\])?)', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
)
# What Python and the record kinds raise at contents that make no sense: a deep nesting, say, is a RuntimeError.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, EOFError)
_NONSENSE += (zipfile.BadZipFile, zlib.error, struct.error)


def save_file(path: str | os.PathLike, tree: Any, *, opener: str, records: Records | None = None) -> None:
    """Write ``tree`` to ``path``, as :func:`optim.replacement.replacement` does.

    Parameters
    ----------
    path : str or path
    tree : see :mod:`optim.codec`
    opener : str
        The public function that reads such files.
    records : mapping of names to :class:`optim.codec.Record`, optional

    Raises
    ------
    TypeError, ValueError
        For a tree that cannot be kept.
    OSError
        Naming ``path``; what was there is untouched.

    Examples
    --------
    >>> import os, tempfile
    >>> from optim.saving import load_file, save_file
    >>> path = os.path.join(tempfile.mkdtemp(), "run.npz")
    >>> save_file(path, [1, 2.5], opener="mine")
    >>> load_file(path, opener="mine")
    [1, 2.5]
    """
    arrays: dict[str, np.ndarray] = {}
    encoded = encode(tree, arrays, records or {})
    header = json.dumps({"format": FORMAT, "opener": opener, "tree": encoded}).encode()
    # In the middle of an archive, Ctrl-C would leave as the ValueError of closing it.
    with interrupts_deferred(), replacement(path) as file:
        np.savez(file, header=np.frombuffer(header, np.uint8), **arrays)


def load_file(
    path: str | os.PathLike,
    *,
    opener: str,
    records: Records | None = None,
    build: Callable[[Any], Any] = lambda tree: tree,
    remedy: str = "save it again",
) -> Any:
    """What :func:`save_file` wrote to ``path``.

    Parameters
    ----------
    path : str or path
    opener : str
        The public function that asks.
    records : as for :func:`save_file`
    build : callable, optional
        ``build(tree)`` is returned; what it raises at a tree that makes no sense is the file's fault too.
    remedy : str
        What to do about a file that cannot be read.

    Raises
    ------
    ValueError
        Naming ``path``, if it is no such file, or damaged, or of another opener or version.
    OSError
        If it is not there or cannot be read.
    """
    name = repr(os.fspath(path))
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"path must be a file, got {name}, which is something else; {remedy}.")
        try:
            arrays = _read_arrays(file)
            header = json.loads(arrays.pop("header").tobytes())
            version, asked = header["format"], header.get("opener")
            if version == FORMAT and asked == opener:
                tree = decode(header["tree"], arrays, records or {})
                if arrays:
                    raise ValueError(f"{', '.join(arrays)} belong to nothing")
                return build(tree)
        except _NONSENSE as error:
            raise ValueError(_broken(name, opener, error, remedy)) from error
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ValueError(_broken(name, opener, error, remedy)) from error  # a place before the file's beginning
    if version != FORMAT:
        raise ValueError(f"path must be a file of format {FORMAT!r}, got {brief(version)} in {name}; {remedy}.")
    raise ValueError(
        f"path must be a file for {opener}, got {name}, which is one for {brief(asked)}; open it with that."
    )


def _broken(name: str, opener: str, error: Exception, remedy: str) -> str:
    why = f"there is no {error}" if isinstance(error, KeyError) else " ".join(str(error).split()).rstrip(".")
    return f"path must be a file for {opener}, got {name}, which cannot be read as one ({why}); {remedy}."


def _read_arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    """The arrays of a file, each checked against its checksum; no more bytes of them than the file has."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size:
            raise ValueError("its parts are said to be longer than the whole")
        names = {member.filename.removesuffix(".npy"): member for member in members}
        if len(names) < len(members):
            raise ValueError("two of its parts have one name")
        return {name: _read_array(archive, member) for name, member in names.items()}


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise ValueError(f"{member.filename} is compressed")
    with archive.open(member) as source:
        magic, major, minor, length = _HEAD.unpack(source.read(_HEAD.size))
        found = _SHAPE.fullmatch(source.read(length))
        if magic != b"\x93NUMPY" or (major, minor) != (1, 0) or found is None:
            raise ValueError(f"{member.filename} is no plain array")
        dtype, shape = np.dtype(found[1].decode()), tuple(map(int, re.findall(rb"\d+", found[2])))
        if not dtype.itemsize or math.prod(shape) * dtype.itemsize != member.file_size - _HEAD.size - length:
            raise ValueError(f"{member.filename} has not the length of its shape {shape}")
        array = np.empty(shape, dtype)
        rest = memoryview(array.reshape(-1).view(np.uint8))
        while n := source.readinto(rest[:_CHUNK]):  # to the end, where the checksum is looked at
            rest = rest[n:]
    if rest.nbytes:
        raise ValueError(f"{member.filename} is cut short")
    _check_items(member.filename, array)
    return array


def _check_items(name: str, array: np.ndarray) -> None:
    """Raise for bytes that are no item of the array's dtype: others than 0 and 1 of a bool, numbers of no character."""
    largest = {"b": (np.uint8, 1), "U": (np.uint32, 0x10FFFF)}.get(array.dtype.kind)
    if largest is not None and array.size and array.reshape(-1).view(largest[0]).max() > largest[1]:
        raise ValueError(f"{name} holds what is no {array.dtype}")
