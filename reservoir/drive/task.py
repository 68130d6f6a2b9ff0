"""What a reservoir is driven with, and the forms in which the kernels take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from reservoir.drive.arguments import Data, Readout, Sinks
from reservoir.drive.weights import Reservoir
from reservoir.simd.vectors import aligned, pad

NOISE_BLOCK = 256
TILE_BYTES = 24_000_000
FEWEST_COLUMNS, MOST_COLUMNS = 1_024, 16_384


@dataclass(frozen=True, eq=False)
class Task:
    """Data of all sequences, one row a time step, and how to read them.

    Attributes
    ----------
    rows : (n, I + feedback) C-contiguous, of the reservoir's precision
    offsets : (n_sequences + 1,) int64
    initial : (n_sequences, N + O) or None
        States, and last outputs where there is feedback, to start from; None: rest.
    targets : (n, n_targets) of the same precision, or None
    weights : (n,) float64 or None
    shift : (n_read + n_targets,)
        What inputs and targets go into tiles minus.
    n_read : int
        Inputs a readout sees: the first ``n_read`` columns of ``rows``.
    noise : float >= 0
        Standard deviation of the normal noise inside the activation.
    noise_seed : int
    n_threads : int
    device : None, "cpu" or "gpu"
    forgetting_time : int, infinity or None
        As :func:`reservoir.drive.one_sequence.forgetting_time` has measured it; None: not yet.
    watch : callable or None
        Called now and then with the fraction of all steps done, from the calling thread.
    """

    rows: np.ndarray
    offsets: np.ndarray
    initial: np.ndarray | None = None
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    shift: np.ndarray = field(default_factory=lambda: np.zeros(0))
    n_read: int = 0
    noise: float = 0.0
    noise_seed: int = 0
    n_threads: int = 1
    device: str | None = None
    forgetting_time: float | None = None
    watch: Callable[[float], None] | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each sequence."""
        return np.diff(self.offsets)

    def shift_of_features(self, n_units: int) -> np.ndarray:
        """(N + n_read + n_targets,) ``shift`` with the zeros of the states before it."""
        return np.concatenate([np.zeros(n_units), self.shift])

    def tell(self, fraction: float) -> None:
        """Report progress to whoever watches."""
        if self.watch is not None:
            self.watch(min(1.0, fraction))


def data_of(reservoir: Reservoir, task: Task, n_outputs: int, initial: np.ndarray | None = None) -> Data:
    """The arrays of ``task`` for a kernel; ``initial`` row 0 is rest, row 1 + i the start of sequence i."""
    dtype, n = reservoir.dtype, len(task.rows)
    roots = np.empty(0) if task.weights is None else np.sqrt(task.weights)
    targets = np.empty((n, 0), dtype) if task.targets is None else task.targets
    if initial is None:
        starts = [] if task.initial is None else [task.initial]
        initial = np.concatenate([np.zeros((1, reservoir.n_units + n_outputs)), *starts])
    return Data(frozen(task.rows, dtype), frozen(targets, dtype), roots.astype(dtype), initial.astype(dtype))


def frozen(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Read-only view, as the door hands out: kernels then meet one type of array."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def readout_of(reservoir: Reservoir, coef: np.ndarray | None, intercept: np.ndarray | None, fed: int) -> Readout:
    """A readout (O, N + n_read), states first, for a kernel; none without ``coef``."""
    N, dtype = reservoir.n_units, reservoir.dtype
    if coef is None:
        return Readout(aligned((0, pad(N, dtype)), dtype), np.empty((0, 0), dtype), np.empty(0, dtype), -1)
    padded = aligned((len(coef), pad(N, dtype)), dtype)
    padded[:, :N] = coef[:, :N]
    return Readout(padded, np.ascontiguousarray(coef[:, N:], dtype), intercept.astype(dtype), fed)


def no_sinks(reservoir: Reservoir, n_outputs: int = 0) -> Sinks:
    """Sinks that want nothing."""
    N, dtype = reservoir.n_units, reservoir.dtype
    return Sinks(
        tile=np.empty((0, 0)),
        shift=np.empty(0),
        outputs=np.empty((0, n_outputs), dtype),
        states=np.empty((0, N), dtype),
        records=np.empty((0, N + n_outputs), dtype),
    )


def tile_height(reservoir: Reservoir, task: Task) -> int:
    """Rows of a tile."""
    n_targets = 0 if task.targets is None else task.targets.shape[1]
    return reservoir.n_units + task.n_read + 1 + n_targets


def tile_sinks(reservoir: Reservoir, task: Task, step: int) -> Sinks:
    """Sinks with a tile whose width is a multiple of ``step`` columns, one pack of columns of zeros added.

    The odd width keeps rows of a tile from falling on the same lines of the cache.
    """
    height = tile_height(reservoir, task)
    n_steps = int(task.offsets[-1])
    wanted = min(max(TILE_BYTES // (8 * height), FEWEST_COLUMNS), MOST_COLUMNS, max(n_steps, 1))
    width = -(-wanted // step) * step + 8
    return no_sinks(reservoir)._replace(tile=aligned((height, width), np.float64), shift=task.shift)


def noise_of(task: Task, rows: np.ndarray, n_units: int) -> np.ndarray:
    """(len(rows), n_units) noise of the given rows of data; 0 where a row is -1.

    Philox is keyed by the seed and the sequence and counted by the block of :data:`NOISE_BLOCK` steps, so that a row
    meets the same noise however the data are cut.
    """
    noise = np.zeros((len(rows), n_units))
    sequence = np.searchsorted(task.offsets, rows, side="right") - 1
    block = (rows - task.offsets[sequence]) // NOISE_BLOCK
    for key in {(int(s), int(b)) for r, s, b in zip(rows, sequence, block, strict=True) if r >= 0}:
        here = (rows >= 0) & (sequence == key[0]) & (block == key[1])
        bits = np.random.Philox(key=[task.noise_seed, key[0]], counter=[0, 0, key[1], 0])
        draws = np.random.Generator(bits).standard_normal((NOISE_BLOCK, n_units))
        noise[here] = task.noise * draws[(rows[here] - task.offsets[key[0]]) % NOISE_BLOCK]
    return noise
