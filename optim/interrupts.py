"""Ctrl-C kept out of the few lines in which it would leave something half written.

Python delivers signals to the main thread only. Elsewhere, and where the program handles Ctrl-C in its own way, the
contexts of this module change nothing. What is under way is known to the handler that is installed and to nothing
else: so there is no moment at which a Ctrl-C leaves two accounts of it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Handler:
    """What Ctrl-C calls inside the contexts: an interrupt at once, or a note that there was one."""

    def __init__(self) -> None:
        self.n_deferring, self.is_committed, self.has_arrived = 0, False, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not (self.n_deferring or self.is_committed):
            raise KeyboardInterrupt
        self.has_arrived = True

    def raise_what_waits(self) -> None:
        if self.has_arrived:
            self.has_arrived = False
            raise KeyboardInterrupt


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Context during which Ctrl-C waits: KeyboardInterrupt is raised on the way out, once. Meant for milliseconds.

    Examples
    --------
    >>> from optim.interrupts import interrupts_deferred
    >>> with interrupts_deferred():
    ...     written = True
    """
    with interrupts_handled() as handler:
        if handler is None:
            yield
            return
        handler.n_deferring += 1
        try:
            yield
        finally:
            handler.n_deferring -= 1
            if not (handler.n_deferring or handler.is_committed):
                handler.raise_what_waits()


@contextmanager
def commits() -> Iterator[None]:
    """As :func:`interrupts_deferred`, but inside :func:`interruptible_until_commit` Ctrl-C waits for the end of that.

    Examples
    --------
    >>> from optim.interrupts import commits, interruptible_until_commit
    >>> with interruptible_until_commit():
    ...     prepared = 1  # Ctrl-C here: nothing was written
    ...     with commits():
    ...         written = prepared
    ...     recorded = True  # Ctrl-C from here on waits until this is done as well
    """
    with interrupts_handled() as handler, interrupts_deferred():
        if handler is not None:
            handler.is_committed = True
        yield


@contextmanager
def interruptible_until_commit() -> Iterator[None]:
    """Context in which Ctrl-C acts at once until :func:`commits` is entered, and then waits for the context's end.

    Examples
    --------
    See :func:`commits`.

    >>> from optim.interrupts import interruptible_until_commit
    >>> with interruptible_until_commit():
    ...     pass
    """
    with interrupts_handled() as handler:
        if handler is None:
            yield
            return
        was_committed, handler.is_committed = handler.is_committed, False
        try:
            yield
        finally:
            handler.is_committed = was_committed
            if not (handler.n_deferring or was_committed):
                handler.raise_what_waits()


@contextmanager
def interrupts_handled() -> Iterator[_Handler | None]:
    """Context that lets those above be entered at little cost; Ctrl-C itself does what it always does.

    Examples
    --------
    >>> from optim.interrupts import interrupts_deferred, interrupts_handled
    >>> with interrupts_handled():
    ...     for _ in range(3):
    ...         with interrupts_deferred():
    ...             written = True
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if is_main else None
    if isinstance(before, _Handler) or before is not signal.default_int_handler:
        yield before if isinstance(before, _Handler) else None
        return
    handler = _Handler()
    try:
        signal.signal(signal.SIGINT, handler)
        yield handler
    finally:
        handler.n_deferring += 1
        signal.signal(signal.SIGINT, before)
        handler.raise_what_waits()
