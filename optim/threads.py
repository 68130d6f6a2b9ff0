"""Threads: how many, how work that releases the GIL is spread over them and ends at exit, and BLAS kept to one."""

from __future__ import annotations

import atexit
import functools
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from optim.arguments import integer

# joblib's process workers and batch systems announce a process's share of the cores in these.
_LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
_MOST = 1_000_000
EXIT_S = 2.0  # that the end of a program waits for what daemons have begun


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

    Raises
    ------
    TypeError, ValueError
        For what is no integer, for 0, and for thousands of threads.

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
    n_jobs = integer("n_jobs", n_jobs, least=-_MOST, most=_MOST, remedy="None takes all cores")
    if n_jobs == 0:
        raise ValueError("n_jobs must be None or an integer other than 0, got 0; None takes all cores.")
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)


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
        return [_until_exit(function, *args) for args in arguments]
    work = _Work(function, arguments)
    n_helpers = min(n_threads, len(arguments)) - 1
    helpers = _helpers(n_helpers)
    for _ in range(min(n_helpers, helpers.n_threads)):
        helpers.waiting.put(work.help)
    work.finish()
    return work.results


class _Work:
    """The calls of one :func:`run_all`: whoever has time takes the next."""

    def __init__(self, function: Callable[..., Any], arguments: Sequence[tuple]) -> None:
        self.function = function
        self.results: list = [None] * len(arguments)
        self.waiting = iter(enumerate(arguments))
        self.changed = threading.Condition()
        self.n_helping, self.is_over = 0, False
        self.failures: list[BaseException] = []

    def help(self) -> None:
        """Take part, on another thread; one that comes too late is not waited for, as it may wait for us."""
        with self.changed:
            if self.is_over:
                return
            self.n_helping += 1
        try:
            self._take_all()
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            with self.changed:
                self.n_helping -= 1
                self.changed.notify_all()

    def finish(self) -> None:
        """Take part, on the calling thread, until all is done."""
        try:
            self._take_all()
        finally:
            with self.changed:
                self.is_over = True
                try:
                    self._wait_for_helpers()
                except KeyboardInterrupt:
                    self._wait_for_helpers()
                    raise
        for failure in self.failures:
            raise failure

    def _wait_for_helpers(self) -> None:
        self.changed.wait_for(lambda: self.n_helping == 0)

    def _take_all(self) -> None:
        try:
            while not self.is_over:
                with self.changed:
                    item = next(self.waiting, None)
                if item is None:
                    return
                position, args = item
                self.results[position] = _until_exit(self.function, *args)
        except BaseException:
            self.is_over = True
            raise


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


class _Helpers:
    """Threads that are kept and wait for work: n of them, or fewer where no more can be had."""

    def __init__(self, n: int) -> None:
        self.waiting: queue.SimpleQueue = queue.SimpleQueue()
        self.n_threads = 0
        with suppress(RuntimeError):
            for _ in range(n):
                # Daemons: the end of the program need not wait for them.
                threading.Thread(target=self._help_for_ever, name="reservoir-hf", daemon=True).start()
                self.n_threads += 1

    def _help_for_ever(self) -> None:
        while True:
            self.waiting.get()()


@functools.cache
def _helpers_of(process: int, n: int) -> _Helpers:
    return _Helpers(n)


def _helpers(n: int) -> _Helpers:
    """The n helpers that are kept; keyed by the process, because threads do not survive a fork."""
    return _helpers_of(os.getpid(), n)


# ------------------------------------------------------------------------------------- the end of the program


@contextmanager
def held_at_exit() -> Iterator[None]:
    """Context of compiled code on a thread that may be a daemon: the program's end waits for it, and lets none begin.

    Compiled code that runs while the interpreter and the libraries are taken down may crash or never return. So the
    end waits up to ``EXIT_S`` seconds for the calls that are running, and a daemon that comes later ends there, as by
    ``sys.exit``. Other threads are done before, and the main thread may go on to compute.

    Examples
    --------
    >>> from optim.threads import held_at_exit
    >>> with held_at_exit():
    ...     total = sum(range(3))
    """
    if threading.current_thread() is threading.main_thread():
        yield
        return
    door = _door_of(os.getpid())
    door.enter()
    try:
        yield
    finally:
        door.leave()


def _until_exit(function: Callable[..., Any], *args: Any) -> Any:
    if threading.current_thread() is threading.main_thread():  # a context takes longer than a small call
        return function(*args)
    with held_at_exit():
        return function(*args)


class _Door:
    """Counts the threads inside, and is closed for good at exit."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.n_inside, self.is_closed = 0, False

    def enter(self) -> None:
        with self.changed:
            if self.is_closed:
                raise SystemExit
            self.n_inside += 1

    def leave(self) -> None:
        with self.changed:
            self.n_inside -= 1
            self.changed.notify_all()

    def close(self, process: int) -> None:
        if process == os.getpid():
            with self.changed:
                self.is_closed = True
                self.changed.wait_for(lambda: self.n_inside == 0, timeout=EXIT_S)


@functools.cache
def _door_of(process: int) -> _Door:
    door = _Door()
    atexit.register(door.close, process)
    return door
