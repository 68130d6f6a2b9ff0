"""Ctrl-C kept out of the few lines in which it would leave something half written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Context during which Ctrl-C waits: KeyboardInterrupt is raised on the way out, once. Meant for milliseconds.

    Python delivers signals to the main thread only. Elsewhere, and where the program handles Ctrl-C in its own way, the
    context changes nothing; inside another one, Ctrl-C waits for the end of that.

    Examples
    --------
    >>> from optim.interrupts import interrupts_deferred
    >>> with interrupts_deferred():
    ...     written = True
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    arrived = []
    try:
        signal.signal(signal.SIGINT, lambda number, frame: arrived.append(number))
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if arrived:
            raise KeyboardInterrupt
