"""Reservoirs over data on a GPU: W laid out for threads, runs in chunks of time, array code where no kernel fits.

What a step adds before the activation (inputs, feedback of a teacher, bias, noise) is one matrix product over all of
time, ``driven``; the kernels of ``kernels.cu`` do the rest. Arrays belong to one namespace, CuPy's where kernels run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from optim.device import kernels, launch_together, most_blocks_together, namespace, to_device
from reservoir.drive.weights import Reservoir
from reservoir.graph.matrix import Shifts
from reservoir.simd.activations import CODES, activate_array

SOURCE = Path(__file__).with_name("kernels.cu")
THREADS = 128  # of a block
MOST_LANES, MOST_ENTRIES = 32, 16
CHUNK_BYTES = 2**28  # of states that are held at once


@dataclass(frozen=True)
class DeviceRows:
    """W as the threads of a GPU read it, and what belongs to its rows, on the device.

    Attributes
    ----------
    weights, columns : (ENTRIES, N, LANES) real and int32
        Entry j of lane l of row r is number j LANES + l of that row; the rest is weight 0 of the row's own unit.
    leak : (N,) real
    activation : str
    """

    weights: Any
    columns: Any
    leak: Any
    activation: str

    @property
    def n_units(self) -> int:
        """N."""
        return self.weights.shape[1]

    @property
    def constants(self) -> dict[str, int]:
        """What the kernels are compiled for."""
        entries, _, lanes = self.weights.shape
        of_type = {"REAL_IS_DOUBLE": True} if self.weights.dtype == np.float64 else {}
        return {
            "LANES": lanes,
            "ENTRIES": min(entries, MOST_ENTRIES),
            "ACTIVATION": len(CODES[self.activation]),
            **of_type,
        }


def lay_out(reservoir: Reservoir, dtype: Any = np.float32) -> DeviceRows:
    """The reservoir's recurrent part on the device.

    Parameters
    ----------
    reservoir : Reservoir
    dtype : float32 or float64

    Returns
    -------
    DeviceRows
    """
    W = reservoir.W.to_csr() if isinstance(reservoir.W, Shifts) else reservoir.W
    N, degree = W.shape[0], np.diff(W.indptr)
    lanes, entries = threads_for(int(degree.max(initial=1)))
    weights = np.zeros((entries, N, lanes), dtype)
    columns = np.broadcast_to(np.arange(N, dtype=np.int32)[:, None], weights.shape).copy()
    row = np.repeat(np.arange(N), degree)
    number = np.arange(W.nnz) - np.repeat(W.indptr[:-1], degree)
    place = (number // lanes, row, number % lanes)
    weights[place], columns[place] = W.data, W.indices
    return DeviceRows(to_device(weights), to_device(columns), to_device(reservoir.leak, dtype), reservoir.activation)


def one_lane(rows: DeviceRows) -> DeviceRows:
    """The same rows, each owned by one thread."""
    weights, columns = (
        namespace(array).ascontiguousarray(array.transpose(0, 2, 1).reshape(-1, rows.n_units, 1))
        for array in (rows.weights, rows.columns)
    )
    return replace(rows, weights=weights, columns=columns)


def threads_for(in_degree: int) -> tuple[int, int]:
    """Lanes that share a row, and entries for each: few entries first, for the sake of latency."""
    lanes = 1
    while lanes < MOST_LANES and -(-in_degree // lanes) > (4 if lanes < 4 else MOST_ENTRIES):
        lanes *= 2
    return lanes, max(1, -(-in_degree // lanes))


def states_in_chunks(rows: DeviceRows, driven: Any, start: Any) -> Iterator[Any]:
    """States after every step, a stretch of time after the other.

    Parameters
    ----------
    rows : DeviceRows
    driven : (B, T, N), dtype of ``rows``
        What is added before the activation at each step of B sequences.
    start : (B, N)

    Yields
    ------
    (B, t, N)
        The next t steps, in memory that is not used again.
    """
    B, T, N = driven.shape
    step = max(1, CHUNK_BYTES // max(1, B * N * driven.dtype.itemsize))
    for first in range(0, T, step):
        states = drive_open(rows, driven[:, first : first + step], start)
        start = states[:, -1]
        yield states


def drive_open(rows: DeviceRows, driven: Any, start: Any) -> Any:
    """States (B, T, N) of B sequences, x(t+1) = (1 - a) x(t) + a f(W x(t) + p(t)); arguments as above."""
    xp = namespace(rows.weights)
    B, T, N = driven.shape
    lanes, entries = rows.weights.shape[2], rows.weights.shape[0]
    if xp is np or T == 0:
        return _step_by_step(xp, rows, driven, start)
    # A row in registers, or states in shared memory, whose blocks serve one sequence each.
    is_shared, row_blocks = entries > MOST_ENTRIES, -(-N * lanes // THREADS)
    name, shared_bytes = ("drive_shared", 2 * N * driven.dtype.itemsize) if is_shared else ("drive_open", 0)
    kernel = kernels(SOURCE, **rows.constants).get_function(name)
    most = most_blocks_together(kernel, THREADS, shared_bytes=shared_bytes)
    together = most // row_blocks if is_shared else most * THREADS // lanes // N
    if together == 0:
        return _step_by_step(xp, rows, driven, start)
    states = xp.empty((B, T + 1, N), rows.weights.dtype)
    states.view(np.uint8).fill(255)  # NOT_YET
    states[:, 0] = start
    for first in range(0, B, together):
        part = slice(first, min(first + together, B))
        n = part.stop - part.start
        sizes = (N, T, entries, row_blocks) if is_shared else (N, T, n)
        arguments = (rows.weights, rows.columns, xp.ascontiguousarray(driven[part]), rows.leak, states[part])
        n_blocks = n * row_blocks if is_shared else -(-n * N * lanes // THREADS)
        launch_together(kernel, n_blocks, THREADS, (*arguments, *map(np.int32, sizes)), shared_bytes=shared_bytes)
    return states[:, 1:]


def _step_by_step(xp: Any, rows: DeviceRows, driven: Any, start: Any) -> Any:
    """The same in array code, a few calls a step: for rows that no kernel takes."""
    states = xp.empty(driven.shape, rows.weights.dtype)
    x = start
    for t in range(driven.shape[1]):
        z = (rows.weights * x[:, rows.columns]).sum(axis=(1, 3)) + driven[:, t]
        x = x + rows.leak * (activate_array(xp, rows.activation, z) - x)
        states[:, t] = x
    return states


def drive_closed(
    rows: DeviceRows, driven: Any, start: Any, *, fed: Any, coef: Any, again: Any, offset: Any, first_output: Any
) -> tuple[Any, Any]:
    """States and outputs of B sequences that run on their own outputs, in one launch.

        x(t+1) = (1 - a) x(t) + a f(W x(t) + F y(t) + p(t)),   y(t+1) = C x(t+1) + D y(t) + o(t)

    Parameters
    ----------
    rows, driven, start : as in :func:`states_in_chunks`
    fed : (N, O)
        F.
    coef, again : (O, N), (O, O)
        C and D.
    offset : (B, T, O)
        o.
    first_output : (B, O)
        y(0), which is fed back first.

    Returns
    -------
    states : (B, T, N)
    outputs : (B, T, O)
    """
    xp = namespace(rows.weights)
    B, T, N = driven.shape
    O = coef.shape[0]
    lanes, entries = rows.weights.shape[2], rows.weights.shape[0]
    row_blocks, shared_bytes = -(-B * N * lanes // THREADS), THREADS // 32 * rows.weights.dtype.itemsize
    kernel = None
    if xp is not np and entries <= MOST_ENTRIES and T:
        kernel = kernels(SOURCE, **rows.constants, OUTPUTS=O).get_function("drive_closed")
        if row_blocks + B * O > most_blocks_together(kernel, THREADS, shared_bytes=shared_bytes):
            kernel = None
    if kernel is None:
        return _closed_step_by_step(xp, rows, driven, start, fed, coef, again, offset, first_output)
    states = xp.empty((B, T + 1, N), rows.weights.dtype)
    outputs = xp.empty((B, T + 1, O), rows.weights.dtype)
    for array, begin in ((states, start), (outputs, first_output)):
        array.view(np.uint8).fill(255)  # NOT_YET
        array[:, 0] = begin
    given = [xp.ascontiguousarray(array) for array in (driven, rows.leak, fed, coef, again, offset)]
    sizes = (np.int32(N), np.int32(T), np.int32(B), np.int32(row_blocks))
    arguments = (rows.weights, rows.columns, *given, states, outputs, *sizes)
    launch_together(kernel, row_blocks + B * O, THREADS, arguments, shared_bytes=shared_bytes)
    return states[:, 1:], outputs[:, 1:]


def _closed_step_by_step(
    xp: Any, rows: DeviceRows, driven: Any, start: Any, fed: Any, coef: Any, again: Any, offset: Any, y: Any
) -> tuple[Any, Any]:
    """The same in array code."""
    states, outputs = xp.empty(driven.shape, rows.weights.dtype), xp.empty(offset.shape, rows.weights.dtype)
    x = start
    for t in range(driven.shape[1]):
        x = _step_by_step(xp, rows, driven[:, t : t + 1] + (y @ fed.T)[:, None], x)[:, 0]
        y = x @ coef.T + y @ again.T + offset[:, t]
        states[:, t], outputs[:, t] = x, y
    return states, outputs
