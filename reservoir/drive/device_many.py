"""Many reservoirs of one graph in one launch, on a GPU: what a search over radius, scales and leak drives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optim.device import kernels, launch_apart, most_blocks_together, namespace
from reservoir.drive.device_drive import DeviceRows, one_lane
from reservoir.simd.activations import activate_array

SOURCE = Path(__file__).with_name("many.cu")
SIDE_BY_SIDE = 4  # configurations of a block
THREADS = {4: 512, 8: 256}  # of a block, by the size of a real: each has 128 or 255 registers
MOST_HELD = {4: 20, 8: 40}  # entries of W that these hold


@dataclass(frozen=True, eq=False)
class Configurations:
    """What reservoirs of one graph differ by; ``leak`` here is one for all units.

    Attributes
    ----------
    radius, input_scale, bias_scale, leak : (C,) arrays of the device, in the precision of the rows
    """

    radius: Any
    input_scale: Any
    bias_scale: Any
    leak: Any


def drive_many(rows: DeviceRows, driven: Any, bias: Any, configurations: Configurations, start: Any) -> Any:
    """States (C, T, N) of C configurations that hear the same inputs.

        x_c(t+1) = (1 - a_c) x_c(t) + a_c f(r_c W x_c(t) + s_c p(t) + b_c q)

    Parameters
    ----------
    rows : DeviceRows
        W and f; its leak is not looked at.
    driven : (T, N)
        p, what the inputs add.
    bias : (N,)
        q.
    configurations : Configurations
        r, s, b and a.
    start : (C, N)

    Returns
    -------
    (C, T, N)
    """
    xp, rows = namespace(rows.weights), one_lane(rows)
    (T, N), C, entries = driven.shape, len(start), rows.weights.shape[0]
    size = driven.dtype.itemsize
    n_threads = THREADS[size]
    n_rows = -(-N // n_threads)
    shared_bytes = 2 * N * SIDE_BY_SIDE * size
    kernel = None
    if xp is not np and T and n_rows * entries <= MOST_HELD[size]:
        constants = rows.constants | {"ROWS": n_rows, "ENTRIES": entries, "CONFIGURATIONS": SIDE_BY_SIDE}
        constants["MOST_THREADS"] = n_threads
        kernel = kernels(SOURCE, is_together=False, **constants).get_function("drive_many")
    if kernel is None or most_blocks_together(kernel, n_threads, shared_bytes=shared_bytes) == 0:
        return _step_by_step(xp, rows, driven, bias, configurations, start)
    states = xp.empty((C, T + 1, N), rows.weights.dtype)
    states[:, 0] = start
    numbers = configurations.radius, configurations.input_scale, configurations.bias_scale, configurations.leak
    given = [xp.ascontiguousarray(array) for array in (driven, bias, *numbers)]
    arguments = (rows.weights, rows.columns, *given, states, *map(np.int32, (N, T, C)))
    launch_apart(kernel, -(-C // SIDE_BY_SIDE), n_threads, arguments, shared_bytes=shared_bytes)
    return states[:, 1:]


def _step_by_step(xp: Any, rows: DeviceRows, driven: Any, bias: Any, of: Configurations, x: Any) -> Any:
    """The same in array code."""
    states = xp.empty((len(x), *driven.shape), rows.weights.dtype)
    added = of.bias_scale[:, None] * bias
    for t in range(len(driven)):
        Wx = (rows.weights[:, :, 0] * x[:, rows.columns[:, :, 0]]).sum(axis=1)
        z = of.radius[:, None] * Wx + of.input_scale[:, None] * driven[t] + added
        x = x + of.leak[:, None] * (activate_array(xp, rows.activation, z) - x)
        states[:, t] = x
    return states
