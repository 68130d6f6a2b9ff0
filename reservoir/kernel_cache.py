"""Numba's cache of compiled kernels, written by one process at a time.

Numba reads the index of a function, takes the next free file name, writes the index and then the file. Two processes
that do so at once take the same name for kernels of different argument types, and the next process that asks for one of
them loads the other. Processes of joblib, of MPI and of a study meet exactly where nothing is compiled yet.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from numba.core.caching import IndexDataCacheFile

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None


def write_one_at_a_time() -> None:
    """From now on this process waits for others before it writes to Numba's cache, whosever kernels they are.

    The lock is a file beside the kernels, and lasts as long as two small files take to write.
    """
    save = IndexDataCacheFile.save
    if fcntl is None or hasattr(save, "__wrapped__"):
        return

    @functools.wraps(save)
    def save_alone(self: IndexDataCacheFile, key: Any, data: Any) -> None:
        with open(os.path.join(self._cache_path, "kernels.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            save(self, key, data)

    IndexDataCacheFile.save = save_alone
