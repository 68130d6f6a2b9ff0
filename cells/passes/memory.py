"""Arrays that are made once and lent again, and the memories that threads borrow them from."""

from __future__ import annotations

import math
import queue
from collections.abc import Iterable
from typing import Any

import numpy as np

from reservoir.simd.vectors import aligned


class Memory:
    """Arrays that are made once and lent again: fresh pages cost more than the numbers written to them."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}  # the memory of each name
        self._lent: dict[str, np.ndarray] = {}  # its latest view

    def lend(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Array of this shape with anything in it; the next one of the same name may be the same memory."""
        lent = self._lent.get(name)
        if lent is None or lent.shape != shape or lent.dtype != dtype:
            n = math.prod(shape)
            held = self._arrays.get(name)
            if held is None or held.size < n or held.dtype != dtype:
                held = self._arrays[name] = aligned((n,), dtype)
            lent = self._lent[name] = held[:n].reshape(shape)
        return lent

    def zeros(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Array of zeros, as :meth:`lend`."""
        array = self.lend(name, shape, dtype)
        array.fill(0)
        return array


class MemoryPool:
    """Memories that threads borrow: as many as have ever run at a time."""

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[Memory] = queue.SimpleQueue()

    def take(self) -> Memory:
        """A memory that nobody else uses until it is given back."""
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return Memory()

    def give_back(self, memories: Iterable[Memory]) -> None:
        """Others may use these memories again."""
        for memory in memories:
            self._free.put(memory)

    def borrow(self) -> BorrowedMemory:
        """Context: a memory that nobody else uses meanwhile."""
        return BorrowedMemory(self)


class BorrowedMemory:
    """Context of :meth:`MemoryPool.borrow`."""

    def __init__(self, pool: MemoryPool) -> None:
        self.pool = pool

    def __enter__(self) -> Memory:
        self.memory = self.pool.take()
        return self.memory

    def __exit__(self, *_: object) -> None:
        self.pool.give_back((self.memory,))
