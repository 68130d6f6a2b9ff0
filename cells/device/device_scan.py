"""A cell through time by kernels, a block for a few sequences: where its steps have a CUDA form and its weights fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cells.device.device_matrices import DeviceMatrices
from cells.device.device_places import Held, Places
from cells.device.step_by_step import StepByStep
from cells.device.step_text import ScanText, scan_text
from cells.passes.cell import Cell
from cells.passes.time_loops import Cotangents, Tape
from optim.device import card, kernels, launch_apart, to_device

SOURCE = Path(__file__).with_name("scan.cu")
MOST_SEQUENCES = 8  # of a block
MOST_THREADS = 256
_MOST_STATES = 2**31  # that an int32 counts


class Scan(Protocol):
    """The three passes of :mod:`cells.passes.time_loops` on a device; see :class:`StepByStep`."""

    def forward(self, of: DeviceMatrices, tape: Tape, held: Held) -> None: ...

    def rforward(self, of: DeviceMatrices, tape: Tape, r: Tape, held: Held) -> None: ...

    def backward(
        self, of: DeviceMatrices, tape: Tape, d: Cotangents, outputs: Any | None, limit: float, held: Held
    ) -> None: ...


def scan_of(cell: Cell, places: Places, dtype: Any) -> Scan:
    """By kernels where they can, else step by step."""
    text = scan_text(cell) if places.xp is not np else None
    n_states = places.rows.n_sequences + places.rows.n_rows
    if text is None or n_states >= _MOST_STATES or shared_bytes(text, 1, dtype) > card().shared_bytes:
        return StepByStep(places)
    return KernelScan(cell, text, places, dtype)


def shared_bytes(text: ScanText, n_sequences: int, dtype: Any) -> int:
    """Shared memory of a block of so many sequences, in whichever pass needs most."""
    most = max(step.n_weights + n_sequences * (step.n_copied + text.n_carried) for step in text.steps.values())
    return most * np.dtype(dtype).itemsize


class KernelScan:
    """The passes of a cell by the kernels of ``scan.cu``.

    Parameters
    ----------
    cell : Cell
    text : ScanText
    places : Places
    dtype : numpy dtype
    """

    source = SOURCE

    def __init__(self, cell: Cell, text: ScanText, places: Places, dtype: Any) -> None:
        self.cell, self.text, self.places, self.dtype = cell, text, places, np.dtype(dtype)
        self.n_sequences = self._sequences_of_a_block()
        self._nothing = places.xp.zeros(0, self.dtype)

    def forward(self, of: DeviceMatrices, tape: Tape, held: Held) -> None:
        """Fill the tape, whose z holds what the maps of the input and the biases give."""
        values = self._nothing if held.values is None else held.values
        self._numbers = self.places.xp.asarray(held.numbers(self.cell.n_units))
        self._launch("forward", of, (*tape, self._numbers, values, np.int32(len(held.units))))

    def rforward(self, of: DeviceMatrices, tape: Tape, r: Tape, held: Held) -> None:
        """Fill the directional derivative of the tape, whose z holds all that the direction adds."""
        self._launch("rforward", of, (*tape, *r, self._numbers, np.int32(len(held.units))))

    def backward(
        self, of: DeviceMatrices, tape: Tape, d: Cotangents, outputs: Any | None, limit: float, held: Held
    ) -> None:
        """Fill d.z; d.h and d.c turn from the final states to the initial ones."""
        above = self._nothing if outputs is None else to_device(outputs, self.dtype)
        numbers = np.int32(outputs is not None), self.dtype.type(limit), self._numbers, np.int32(len(held.units))
        name = "damped_backward" if d.added.size else "backward"
        self._launch(name, of, (*tape, d.z, d.h, d.c, d.added, above, *numbers))

    def _launch(self, name: str, of: DeviceMatrices, arguments: tuple) -> None:
        """Run a pass; all arrays of it that hold reals are of one precision."""
        step, rows = self.text.steps[f"{name}_step"], self.places.rows
        packed = of.packed(step.matrices)
        for array in (packed, *arguments):
            if array.dtype not in (self.dtype, np.dtype(np.int32)):
                raise TypeError(f"a scan in {self.dtype} takes arrays of that type, got one of {array.dtype}.")
        module = kernels(self.source, before=self.text.text, is_together=False, **self.constants)
        sizes = np.int32(rows.n_sequences), np.int32(rows.running.size)
        launch_apart(
            module.get_function(f"scan_{name}"), -(-rows.n_sequences // self.n_sequences), self.n_threads,
            (packed, self.places.first, *arguments, *sizes),
            shared_bytes=shared_bytes(self.text, self.n_sequences, self.dtype),
        )  # fmt: skip

    @property
    def constants(self) -> dict[str, int]:
        """What the kernels are compiled for."""
        of_type = {"REAL_IS_DOUBLE": True} if self.dtype == np.float64 else {}
        return {"SEQUENCES": self.n_sequences, "MOST_THREADS": MOST_THREADS, "FEWEST_BLOCKS": 1, **of_type}

    @property
    def n_threads(self) -> int:
        """Threads of a block: whole warps, no more than have something to do."""
        return min(MOST_THREADS, -(-self.n_sequences * self.cell.n_columns // 32) * 32)

    def _sequences_of_a_block(self) -> int:
        """The fewest, a power of two, with which all blocks have a processor of their own."""
        n, there = 1, card()
        while n < MOST_SEQUENCES and n * there.n_processors < self.places.rows.n_sequences:
            if shared_bytes(self.text, 2 * n, self.dtype) > there.shared_bytes:
                break
            n *= 2
        return n
