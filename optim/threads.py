"""Threads: how many there are, how work that releases the GIL is spread over them, and BLAS kept to one."""

from __future__ import annotations

import functools
import numbers
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

# joblib's process workers and batch systems announce a process's share of the cores in these.
_LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")


def n_threads(n_jobs: int | None = None) -> int:
    """Number of threads to use for ``n_jobs``.

    Parameters
    ----------
    n_jobs : int or None
        ``None``: every core this process may run on, at most ``NUMBA_NUM_THREADS`` and
        ``OMP_NUM_THREADS`` where these are set. A positive number is taken as it is; ``-1`` means
        all cores, ``-2`` all but one, as in joblib.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> from optim.threads import n_threads
    >>> n_threads(3)
    3
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n_jobs is None:
        limits = [int(os.environ[name]) for name in _LIMITS if os.environ.get(name, "").isdigit()]
        return max(1, min([cores, *limits]))
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs must be None or an integer other than 0, got {n_jobs!r}; None takes all cores.")
    return int(n_jobs) if n_jobs > 0 else max(1, cores + 1 + n_jobs)


def run_all(function: Callable[..., Any], arguments: Sequence[tuple], n_threads: int) -> list:
    """Results of ``function(*args)`` for every ``args``, in order, computed on up to ``n_threads`` threads.

    The results depend on the arguments only, so a sum over the returned list has the same bits for
    any number of threads. Use it for functions that release the GIL for most of their time. An
    exception, Ctrl-C included, cancels what has not started and is raised once the running calls
    have returned: keep each call well under a second.

    Parameters
    ----------
    function : callable
    arguments : sequence of tuples
    n_threads : int >= 1

    Returns
    -------
    list

    Examples
    --------
    >>> from optim.threads import run_all
    >>> run_all(pow, [(2, 3), (3, 2)], n_threads=2)
    [8, 9]
    """
    if n_threads == 1 or len(arguments) < 2:
        return [function(*args) for args in arguments]
    results: list = [None] * len(arguments)
    waiting = iter(enumerate(arguments))
    lock, stop = threading.Lock(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with lock:
                item = next(waiting, None)
            if item is None:
                return
            position, args = item
            try:
                results[position] = function(*args)
            except BaseException:
                stop.set()
                raise

    n_helpers = min(n_threads, len(arguments)) - 1
    helpers = [_pool(n_helpers).submit(work) for _ in range(n_helpers)]
    try:
        work()
    finally:
        stop.set()
        # A helper that has not begun by now is not needed, and may wait for a thread that waits for us.
        running = [helper for helper in helpers if not helper.cancel()]
        failures = [helper.exception() for helper in running]
    for failure in failures:
        if failure is not None:
            raise failure
    return results


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Context in which every BLAS of this process runs on one thread.

    BLAS results may differ in the last bits between numbers of threads, so what must not is computed
    here, and spread over threads by :func:`run_all` instead. The setting belongs to the process: the
    first thread to enter stores it, the last to leave restores it.

    Examples
    --------
    >>> from optim.threads import single_blas_thread
    >>> with single_blas_thread():
    ...     pass
    """
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()


class _BlasThreads:
    """Counts who asked for one BLAS thread. The one piece of process-wide state, because BLAS's own is."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limiter: Any = None

    def enter(self) -> None:
        with self.lock:
            if self.inside == 0:
                _take_control()
                self.limiter = _controller().limit(limits=1, user_api="blas")
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                _take_control()
                self.limiter.restore_original_limits()
                self.limiter = None


_blas = _BlasThreads()


@functools.cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  loads SciPy's own BLAS, so that the controller sees it
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _take_control() -> None:
    """Let this thread set BLAS's threads: threadpoolctl listens to the one that did so first, while it lives."""
    for library in _controller().lib_controllers:
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)


@functools.cache
def _pool_of(process: int, size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="reservoir-hf")


def _pool(size: int) -> ThreadPoolExecutor:
    """A kept pool; keyed by the process, because threads do not survive a fork."""
    return _pool_of(os.getpid(), size)
