"""A task driven on a GPU: outputs and states as NumPy arrays, or tiles for the sums of a readout that stay there.

Sequences go side by side, a group of them padded to the longest; what a group needs at once is bounded. What the steps
share - inputs, teacher, bias, noise - is one product over all of time (:mod:`reservoir.drive.device_drive`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.device import check_room, namespace, to_device, to_host
from reservoir.drive.device_drive import CHUNK_BYTES, DeviceRows, drive_closed, lay_out, states_in_chunks
from reservoir.drive.route import Route, Run
from reservoir.drive.task import Task, noise_of
from reservoir.drive.weights import Reservoir
from reservoir.graph.matrix import Shifts


@dataclass(frozen=True, eq=False)
class OnDevice(Route):
    """Groups of sequences side by side on the device, which holds the weights of the reservoir.

    Attributes
    ----------
    breaks : (n_folds + 1,) as in :func:`routes`
    rows : DeviceRows
    input_weights : (I + feedback, N), the columns of ``task.rows``
    bias : (N,)
    """

    breaks: np.ndarray
    rows: DeviceRows
    input_weights: Any
    bias: Any

    @classmethod
    def of(cls, reservoir: Reservoir, task: Task, breaks: np.ndarray) -> OnDevice:
        """Weights moved to the device."""
        cls._check_room(reservoir, task)
        inputs = np.concatenate([reservoir.input_weights, reservoir.feedback_weights], axis=1).T
        dtype = reservoir.dtype
        rows = lay_out(reservoir, dtype)
        return cls(reservoir, task, breaks, rows, to_device(inputs, dtype), to_device(reservoir.bias, dtype))

    @staticmethod
    def _check_room(reservoir: Reservoir, task: Task) -> None:
        """Raise unless weights, and inputs, states and what drives them of one group of sequences, have room."""
        width = 4 * reservoir.n_units * reservoir.dtype.itemsize
        longest, n_steps = int(task.lengths.max(initial=0)), len(task.rows)
        of_group = max(width * longest, min(CHUNK_BYTES, width * n_steps))
        n_weights = reservoir.W.weights.size if isinstance(reservoir.W, Shifts) else reservoir.W.nnz
        of_weights = 2 * reservoir.dtype.itemsize * (n_weights + reservoir.n_units * task.rows.shape[1])
        what = f"{reservoir.n_units} units over {longest} steps"
        check_room(of_weights + of_group, what, remedy="use fewer units, shorter sequences, or device='cpu'")

    def groups(self) -> Iterator[np.ndarray]:
        """Sequences in groups whose inputs, states and what drives them have room at once."""
        lengths = self.task.lengths
        width = 4 * self.reservoir.n_units * self.reservoir.dtype.itemsize
        first = 0
        while first < len(lengths):
            last = first + 1
            while last < len(lengths) and (last + 1 - first) * lengths[first : last + 1].max() * width <= CHUNK_BYTES:
                last += 1
            yield np.arange(first, last)
            first = last

    def steps(self, group: np.ndarray) -> np.ndarray:
        """(B, T) row of data of each step of a group's sequences; -1 behind the end of the shorter ones."""
        lengths, begins = self.task.lengths[group], self.task.offsets[group]
        step = np.arange(int(lengths.max()))
        return np.where(step < lengths[:, None], begins[:, None] + step, -1)

    def starts(self, group: np.ndarray, n_outputs: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """States (B, N) and outputs (B, O) from which the group's sequences start."""
        N, dtype = self.reservoir.n_units, self.reservoir.dtype
        if self.task.initial is None:
            return np.zeros((len(group), N), dtype), np.zeros((len(group), n_outputs), dtype)
        start = self.task.initial[group].astype(dtype)
        return start[:, :N], start[:, N : N + n_outputs]

    def driven(self, steps: np.ndarray, left_out: slice = slice(0, 0)) -> Any:
        """(B, T, N) what inputs, but those ``left_out``, bias and noise add at each step."""
        data = self.task.rows[steps]
        data[..., left_out] = 0
        added = to_device(data, self.reservoir.dtype) @ self.input_weights + self.bias
        if self.task.noise > 0:
            noise = noise_of(self.task, steps.reshape(-1), self.reservoir.n_units).reshape(*steps.shape, -1)
            added = added + to_device(noise, self.reservoir.dtype)
        return added

    def run(
        self,
        coef: np.ndarray | None,
        intercept: np.ndarray | None,
        fed: int,
        *,
        wants_states: bool = False,
        wants_final: bool = False,
    ) -> Run:
        """Outputs, states and final states as NumPy arrays."""
        n, N, dtype = len(self.task.rows), self.reservoir.n_units, self.reservoir.dtype
        O = 0 if coef is None else len(coef)
        outputs = np.empty((n, O), dtype)
        states = np.empty((n, N), dtype) if wants_states else None
        final = np.empty((len(self.task.lengths), N + O), dtype) if wants_final else None
        for group in self.groups():
            steps = self.steps(group)
            begun = steps >= 0
            if fed >= 0:
                x, y = _closed(self, group, steps, coef, intercept, fed)
            else:
                x, y = _open(self, group, steps, coef, intercept)
            outputs[steps[begun]] = to_host(y)[begun] if O else np.empty((int(begun.sum()), 0), dtype)
            if wants_states:
                states[steps[begun]] = to_host(x)[begun]
            if final is not None:
                last = to_device(np.arange(len(group))), to_device(self.task.lengths[group] - 1)
                final[group, :N] = to_host(x[last])
                final[group, N:] = to_host(y[last]) if O else 0
        return Run(outputs if O else None, states, final)

    def tiles(self, final: np.ndarray | None = None) -> Iterator[tuple[int, Any]]:
        """(fold, tile) as :meth:`Route.tiles` says, the tiles on the device."""
        task, N = self.task, self.reservoir.n_units
        for group in self.groups():
            steps = self.steps(group)
            done = 0
            for x in states_in_chunks(self.rows, self.driven(steps), to_device(self.starts(group)[0])):
                here = steps[:, done : done + x.shape[1]]
                yield from _tiles_of(self, x, here)
                if final is not None:
                    last = task.lengths[group] - 1 - done
                    ends = (last >= 0) & (last < x.shape[1])
                    final[group[ends], :N] = to_host(x[to_device(np.flatnonzero(ends)), to_device(last[ends])])
                done += x.shape[1]
                task.tell(float(here.max() + 1) / len(task.rows))


def _open(
    there: OnDevice, group: np.ndarray, steps: np.ndarray, coef: np.ndarray | None, intercept: np.ndarray | None
) -> tuple[Any, Any]:
    """States (B, T, N) and, with a readout, outputs (B, T, O) of a group in open loop."""
    dtype = there.reservoir.dtype
    chunks = list(states_in_chunks(there.rows, there.driven(steps), to_device(there.starts(group)[0])))
    x = chunks[0] if len(chunks) == 1 else _joined(chunks)
    if coef is None:
        return x, None
    N = there.reservoir.n_units
    read = to_device(there.task.rows[steps][..., : coef.shape[1] - N], dtype)
    C = to_device(coef, dtype)
    return x, x @ C[:, :N].T + read @ C[:, N:].T + to_device(intercept, dtype)


def _closed(
    there: OnDevice, group: np.ndarray, steps: np.ndarray, coef: np.ndarray, intercept: np.ndarray, fed: int
) -> tuple[Any, Any]:
    """The same in closed loop: outputs are the inputs ``fed`` and following of the next step."""
    N, dtype, O = there.reservoir.n_units, there.reservoir.dtype, len(coef)
    own = slice(fed, fed + O)
    read = there.task.rows[steps][..., : coef.shape[1] - N].copy()
    read[..., own] = 0
    of_inputs = coef[:, N:]
    again = np.zeros((O, O))
    again[:, : of_inputs[:, own].shape[1]] = of_inputs[:, own]
    x, y = there.starts(group, O)
    return drive_closed(
        there.rows,
        there.driven(steps, own),
        to_device(x),
        fed=there.input_weights[own].T,
        coef=to_device(coef[:, :N], dtype),
        again=to_device(again, dtype),
        offset=to_device(read @ of_inputs.T + intercept, dtype),
        first_output=to_device(y),
    )


def _tiles_of(there: OnDevice, x: Any, steps: np.ndarray) -> Iterator[tuple[int, Any]]:
    """The columns of some steps, a tile for every fold that has any: sqrt(weight) [x; u - shift; 1; y - shift]."""
    task = there.task
    fold = np.searchsorted(there.breaks, steps, side="right") - 1
    for number in np.unique(fold[steps >= 0]):
        chosen = np.nonzero((fold == number) & (steps >= 0))
        row = steps[chosen]
        known = np.concatenate([task.rows[row, : task.n_read], task.targets[row]], axis=1) - task.shift
        known = np.insert(known, task.n_read, 1.0, axis=1)
        root = np.ones(len(row)) if task.weights is None else np.sqrt(task.weights[row])
        states = x[to_device(chosen[0]), to_device(chosen[1])].astype(np.float64)
        columns = _joined([states, to_device(known, np.float64)]) * to_device(root)[:, None]
        yield int(number), columns.T


def _joined(arrays: list[Any]) -> Any:
    """Arrays side by side along their second axis."""
    return namespace(*arrays).concatenate(arrays, axis=1)
