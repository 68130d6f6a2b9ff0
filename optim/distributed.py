"""One optimisation over data in several places: every process holds a shard of the sequences and takes the same steps.

Each process runs the same method on the same vectors. What differs is the data, so the only thing to exchange is sums:
P + 1 numbers for a product inside conjugate gradients (the sum of the products, and of the weights), P + 2 for a
gradient, 2 for a loss. Sums are taken in float64 and in the order of the ranks, whatever the arrival: a run over
several processes equals, bit for bit, one process that adds the same shards in the same order. Numbers that decide
(predicted falls, slopes, seconds, a callback's answer) are those of rank 0. The processes must be of one build on
one kind of machine: otherwise dot products may differ in the last bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from optim.problem import Evaluation, Objective


class ShardError(RuntimeError):
    """Another process failed; its own error says why."""


class Communicator(Protocol):
    """What the processes of a run share."""

    rank: int
    size: int

    def sum(self, numbers: np.ndarray) -> np.ndarray:
        """Sum of everybody's 1-D float64 ``numbers``, in the order of the ranks; the same bits everywhere."""
        ...

    def of_root(self, number: float) -> float:
        """Rank 0's ``number``."""
        ...


class Single:
    """One process alone.

    Examples
    --------
    >>> from optim.distributed import Single
    >>> Single().size
    1
    """

    rank, size = 0, 1

    def sum(self, numbers: np.ndarray) -> np.ndarray:
        """``numbers`` themselves."""
        return numbers

    def of_root(self, number: float) -> float:
        """``number`` itself."""
        return number


class Threads:
    """Threads of one process; :func:`run_threads` makes one for each.

    Parameters
    ----------
    rank : int
    meeting : object
        What the threads share.

    Examples
    --------
    >>> from optim.distributed import run_threads
    >>> run_threads(lambda communicator: (type(communicator).__name__, communicator.rank), 2)
    [('Threads', 0), ('Threads', 1)]
    """

    def __init__(self, rank: int, meeting: _Meeting) -> None:
        self.rank, self.size, self._meeting = rank, meeting.size, meeting

    def sum(self, numbers: np.ndarray) -> np.ndarray:
        """Sum over the threads, in their order."""
        brought = self._meeting.exchange(self.rank, numbers.copy())
        total = brought[0].copy()
        for other in brought[1:]:
            total += other
        return total

    def of_root(self, number: float) -> float:
        """Thread 0's ``number``."""
        return self._meeting.exchange(self.rank, number)[0]


class _Meeting:
    """Where threads wait for each other. A round that all have come to stays complete, whatever happens after it."""

    def __init__(self, size: int) -> None:
        self.size, self.round = size, _Round(size)
        self.changed, self.is_over = threading.Condition(), False

    def exchange(self, rank: int, item: Any) -> list[Any]:
        """What every thread has brought, in the order of their ranks; nobody writes to it any more."""
        with self.changed:
            joined = self.round
            joined.items[rank] = item
            joined.n_missing -= 1
            if joined.n_missing == 0:
                self.round = _Round(self.size)
                self.changed.notify_all()
            self.changed.wait_for(lambda: joined.n_missing == 0 or self.is_over)
        if joined.n_missing:
            raise ShardError("every thread must come to a sum, got one that has ended; see its own message.")
        return joined.items

    def leave(self) -> None:
        """Release all who wait for a thread that has ended, now and later."""
        with self.changed:
            self.is_over = True
            self.changed.notify_all()


class _Round:
    def __init__(self, size: int) -> None:
        self.items: list[Any] = [None] * size
        self.n_missing = size


def run_threads(function: Callable[[Communicator], Any], size: int) -> list:
    """Results of ``function(communicator)`` run in ``size`` threads at once, in the order of their ranks.

    Parameters
    ----------
    function : callable
        Builds the objective of its shard and minimises it; every thread calls the same methods in the same order.
    size : int >= 1

    Returns
    -------
    list

    Raises
    ------
    BaseException
        The first thread's own error, by rank; the others are released.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.distributed import run_threads
    >>> run_threads(lambda communicator: communicator.sum(np.ones(1)).item(), 3)
    [3.0, 3.0, 3.0]
    """
    meeting = _Meeting(size)
    results: list[Any] = [None] * size
    errors: list[BaseException | None] = [None] * size

    def work(rank: int) -> None:
        try:
            results[rank] = function(Threads(rank, meeting))
        except BaseException as error:
            errors[rank] = error
        finally:
            meeting.leave()

    threads = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [error for error in errors if error is not None]
    own = [error for error in found if not isinstance(error, ShardError)]
    if found:
        raise (own or found)[0]
    return results


class MPI:
    """Processes started by mpiexec; needs mpi4py.

    A sum goes in two messages of P numbers in all: everybody sends a part of its vector to each rank, which adds the
    parts in the order of the ranks, and the sums go back to everybody. No rank holds more than two vectors, and the
    order of addition does not depend on the implementation of MPI.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        ``MPI.COMM_WORLD`` if not given.

    Examples
    --------
    A program for ``mpiexec -n 2 python program.py``; ``my_part`` reads the data of one rank::

        communicator = MPI()
        objective = ShardedObjective(my_part(communicator.rank), communicator)
        result = minimize(objective, theta0, HessianFree())

    >>> class OneProcess:
    ...     Get_rank, Get_size = (lambda self: 0), (lambda self: 1)
    >>> from optim.distributed import MPI
    >>> MPI(OneProcess()).size
    1
    """

    def __init__(self, comm: Any = None) -> None:
        if comm is None:
            from mpi4py import MPI as mpi

            comm = mpi.COMM_WORLD
        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()

    def sum(self, numbers: np.ndarray) -> np.ndarray:
        """Sum over the processes, in the order of their ranks."""
        part = -(-numbers.size // self.size)
        mine = np.zeros((self.size, part))
        mine.reshape(-1)[: numbers.size] = numbers
        received = np.empty_like(mine)
        self.comm.Alltoall(mine, received)
        total = received[0].copy()
        for other in received[1:]:
            total += other
        self.comm.Allgather(total, mine)
        return mine.reshape(-1)[: numbers.size].copy()

    def of_root(self, number: float) -> float:
        """Rank 0's ``number``."""
        box = np.array([number], dtype=np.float64)
        self.comm.Bcast(box, root=0)
        return float(box[0])


class ShardedObjective:
    """The sum of shards as one objective; implements :class:`optim.Objective`.

    Sequences are numbered through: first those of the first shard of rank 0. A batch of numbers is split among the
    shards it falls on.

    Parameters
    ----------
    shards : Objective, or sequence of Objectives
        This process' share. More than one are added in order before anything is sent.
    communicator : Communicator, optional
        :class:`Single` if not given.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import from_callables
    >>> from optim.distributed import ShardedObjective
    >>> halves = [from_callables(lambda x, c=c: (0.5 * (x[0] - c) ** 2, x - c), n_params=1) for c in (1.0, 3.0)]
    >>> ShardedObjective(halves).value(np.zeros(1))
    Evaluation(loss_sum=5.0, weight=2.0, grad=None)
    """

    def __init__(self, shards: Objective | Sequence[Objective], communicator: Communicator | None = None) -> None:
        self.shards = list(shards) if isinstance(shards, (list, tuple)) else [shards]
        self.communicator = Single() if communicator is None else communicator
        if not self.shards:
            raise ValueError("shards must hold at least one objective, got none; give every process one.")
        self.n_params = self.shards[0].n_params
        other = [shard.n_params for shard in self.shards if shard.n_params != self.n_params]
        if other:
            raise ValueError(f"all shards must have {self.n_params} parameters, as the first has, got {other[0]}.")
        counts = [getattr(shard, "n_sequences", None) for shard in self.shards]
        known = None not in counts
        ranks = np.zeros(self.communicator.size + 1)
        ranks[self.communicator.rank] = sum(counts) if known else 0
        ranks[-1] = not known
        ranks = self.communicator.sum(ranks)
        self.n_sequences = None if ranks[-1] else int(ranks[:-1].sum())
        first = int(ranks[: self.communicator.rank].sum())
        self._starts = np.cumsum([first, *counts]) if known else None

    @property
    def is_root(self) -> bool:
        """Whether this process is the one that writes checkpoints."""
        return self.communicator.rank == 0

    def agree(self, number: float) -> float:
        """Rank 0's ``number``."""
        return self.communicator.of_root(number)

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss and weight over all shards."""
        total = self._sum(batch, 0, lambda shard, part: shard.value(theta, part))
        return Evaluation(float(total[0]), float(total[1]))

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss, weight and gradient over all shards."""
        total = self._sum(batch, theta.size, lambda shard, part: shard.value_and_grad(theta, part))
        return Evaluation(float(total[-2]), float(total[-1]), total[:-2].astype(theta.dtype, copy=False))

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> ShardedLinearization:
        """All shards linearised, each where it is."""
        linear: list[Any] = []
        failure = None
        try:
            linear = [shard.linearize(theta, part) for shard, part in self._parts(batch)]
        except Exception as error:
            failure = error
        n_without = sum(not hasattr(each, "squared_gradients") for each in linear)
        numbers = np.array([n_without, sum((float(each.weight) for each in linear), 0.0)])
        n_without, weight = self._agreed_sum(numbers, failure)
        kind = ShardedLinearization if n_without else _ShardedSquares
        return kind(self, linear, float(weight), theta.dtype)

    def _parts(self, batch: np.ndarray | None) -> list[tuple[Any, np.ndarray | None]]:
        """This process' shards that ``batch`` falls on, each with its own numbers of the sequences."""
        if batch is None:
            return [(shard, None) for shard in self.shards]
        if self._starts is None:
            raise ValueError("a batch needs shards that all have n_sequences, got one without; give batches=None.")
        parts = []
        for shard, low, high in zip(self.shards, self._starts[:-1], self._starts[1:], strict=True):
            part = batch[(batch >= low) & (batch < high)] - low
            if part.size:
                parts.append((shard, part))
        return parts

    def _sum(self, batch: np.ndarray | None, n_grad: int, evaluate: Callable[[Any, Any], Evaluation]) -> np.ndarray:
        """(n_grad + 2,) gradient, loss and weight, summed over all shards of all processes."""
        numbers = np.zeros(n_grad + 2)
        failure = None
        try:
            for shard, part in self._parts(batch):
                found = evaluate(shard, part)
                if n_grad:
                    numbers[:-2] += found.grad
                numbers[-2:] += (found.loss_sum, found.weight)
        except Exception as error:
            failure = error
        return self._agreed_sum(numbers, failure)

    def _agreed_sum(self, numbers: np.ndarray, failure: Exception | None) -> np.ndarray:
        """The sum; a process that failed says so in the last number, so that none waits for it."""
        if failure is not None:
            numbers[-1] = np.nan
        total = self.communicator.sum(numbers)
        if failure is not None:
            raise failure
        if np.isnan(total[-1]):
            raise ShardError(
                "every shard must evaluate without an error, got one on another process; see that process' own message."
            )
        return total


class ShardedLinearization:
    """Linearisations of all shards as one."""

    def __init__(self, objective: ShardedObjective, linear: list[Any], weight: float, dtype: np.dtype) -> None:
        self._objective, self._linear, self.weight, self._dtype = objective, linear, weight, dtype

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """Sum of the shards' products: one message of P + 1 numbers."""
        return self._sum(lambda linear: linear.gauss_newton(v, structural=structural))

    def _sum(self, part_of: Callable[[Any], np.ndarray]) -> np.ndarray:
        numbers = np.zeros(self._objective.n_params + 1)
        failure = None
        try:
            for linear in self._linear:
                numbers[:-1] += part_of(linear)
                numbers[-1] += float(linear.weight)
        except Exception as error:
            failure = error
        total = self._objective._agreed_sum(numbers, failure)
        return total[:-1].astype(self._dtype, copy=False)


class _ShardedSquares(ShardedLinearization):
    def squared_gradients(self) -> np.ndarray:
        """Sum of the shards' sums of squared gradients of single sequences."""
        return self._sum(lambda linear: linear.squared_gradients())
