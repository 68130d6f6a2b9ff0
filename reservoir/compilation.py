"""How long this process has compiled kernels, and a line to whoever waits for them."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger("reservoir")
PATIENCE_S = 2.0
# Processor seconds, on an idle AMD EPYC, of a first call where nothing is compiled: fit and predict of an ESNRegressor
# take 3, the gradient of an LSTM 9, and a Hessian-free step, which is a gradient and products, 12.
USUAL_S = {"reservoir": 3, "cells": 10}


class Compilation:
    """A watch that runs while something is compiled, on any thread: compilers wait for each other."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._seconds = 0.0
        self._n_running, self._begun = 0, 0.0
        self._is_said = False

    @property
    def seconds(self) -> float:
        """Time that went into compiling so far."""
        with self._lock:
            return self._seconds + (time.perf_counter() - self._begun if self._n_running else 0.0)

    @contextmanager
    def of(self, module: str) -> Iterator[None]:
        """Time what is done inside for a kernel of ``module``; say so, once, when all has taken :data:`PATIENCE_S`."""
        with self._lock:
            if self._n_running == 0:
                self._begun = time.perf_counter()
            self._n_running += 1
            left = PATIENCE_S - self.seconds
        alarm = threading.Timer(max(left, 0.0), self._say, [module.partition(".")[0]])
        alarm.daemon = True
        if not self._is_said:
            alarm.start()
        try:
            yield
        finally:
            alarm.cancel()
            with self._lock:
                self._seconds, self._begun = self.seconds, time.perf_counter()
                self._n_running -= 1

    def _say(self, package: str) -> None:
        with self._lock:
            if self._is_said:
                return
            self._is_said = True
        LOG.info(
            "compiling the kernels of %s, once for this version and this processor, about %d s",
            package,
            USUAL_S.get(package, 10),
        )


@functools.cache
def compilation() -> Compilation:
    """The watch of this process.

    Examples
    --------
    >>> from reservoir.compilation import compilation
    >>> compilation().seconds >= 0.0
    True
    """
    return Compilation()
