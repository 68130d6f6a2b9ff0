"""A file replaced as a whole: written beside its place, synced, renamed onto it; old or new, never torn."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, which lets no one delete or rename a file that is open
    fcntl = None


@contextlib.contextmanager
def replacement(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` when the block ends well, and leaves nothing otherwise.

    While it is written it lies beside ``path``, under a lock that ends with its writer. So what killed writers have
    left behind is known, and removed by the next one, whatever process that is; writers at work are left alone.

    Parameters
    ----------
    path : str or path
        Of a file that is there or not; of a link, what it points to is replaced.

    Raises
    ------
    OSError
        With the name of ``path``: no such folder, no room, no right to write.
    ValueError
        If ``path`` is a device or the like.

    Examples
    --------
    >>> import os, tempfile
    >>> from optim.replacement import replacement
    >>> path = os.path.join(tempfile.mkdtemp(), "note.txt")
    >>> with replacement(path) as file:
    ...     _ = file.write(b"whole")
    >>> with open(path) as file:
    ...     file.read()
    'whole'
    """
    target = Path(os.path.realpath(path))
    try:
        _check_place(path, target)
        _remove_leftovers(target)
        beside, file = _open_beside(target)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()
            os.replace(beside, target)
        finally:
            # Of a full disk, what is still in the buffer cannot be written either; the first error is the one to tell.
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
        _sync_folder(target.parent)
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def _check_place(path: str | os.PathLike, target: Path) -> None:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # onto a folder, renaming fails by itself
        raise ValueError(f"path must be a file or a new name, got {os.fspath(path)!r}, which is neither; name another.")


def _open_beside(target: Path) -> tuple[Path, BinaryIO]:
    """A new, locked file in the same folder."""
    while True:
        beside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
        file = open(beside, "xb")
        if _lock(file) is False:
            file.close()
            continue
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(beside)):
                return beside, file
        file.close()  # another writer took it for a leftover before it was locked


def _remove_leftovers(target: Path) -> None:
    """Remove what killed writers have left beside ``target``: what no one has locked."""
    for entry in os.scandir(target.parent):
        if not (entry.name.startswith(f".{target.name}.") and entry.name.endswith(".part")):
            continue
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if fcntl is None:
                os.unlink(entry.path)
                continue
            with open(entry.path, "rb+") as file:
                if _lock(file):
                    os.unlink(entry.path)


def _lock(file: BinaryIO) -> bool | None:
    """Lock ``file`` until it is closed: whether that succeeded, None where locks are not to be had."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: leftovers stay
        return None
    return True


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some file systems sync no folders; the file itself is in its place
            os.fsync(number)
    finally:
        os.close(number)
