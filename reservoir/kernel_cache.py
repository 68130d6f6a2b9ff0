"""Numba's cache of compiled kernels, written by one process at a time.

Numba (0.68) reads the index of a function, takes the next free file name, writes the index and then the file. Two
processes that do so at once take the same name for kernels of different argument types, and the next process that asks
for one of them loads the other. Processes of joblib, of MPI and of a study meet exactly where nothing is compiled yet.
"""

from __future__ import annotations

import functools
import os
from contextlib import ExitStack, suppress
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has no such locks: all is as Numba does it
    fcntl = None


def write_one_at_a_time() -> None:
    """From now on this process waits for others before it writes to Numba's cache, whosever kernels they are.

    Numba has no setting for this and no place for a cache of ours, hence the one method of it that is wrapped. The
    lock is a file beside the kernels, and lasts as long as two small files take to write.
    """
    try:
        from numba.core.caching import IndexDataCacheFile
    except ImportError:  # moved in a later version
        return
    save = IndexDataCacheFile.save
    if fcntl is None or hasattr(save, "__wrapped__"):
        return

    @functools.wraps(save)
    def save_alone(self: IndexDataCacheFile, key: Any, data: Any) -> None:
        with ExitStack() as held:
            # Without it where the file system has no locks, or the file is another user's.
            with suppress(OSError):
                lock = held.enter_context(open(os.path.join(self._cache_path, "kernels.lock"), "a"))
                fcntl.flock(lock, fcntl.LOCK_EX)
                # Closing is not enough: a child that was forked meanwhile has the file open.
                held.callback(fcntl.flock, lock, fcntl.LOCK_UN)
            save(self, key, data)

    IndexDataCacheFile.save = save_alone
