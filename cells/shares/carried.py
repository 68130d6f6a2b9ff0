"""States of a network between two stretches of time as one array: a row a sequence, all parts side by side.

Such an array is what is handed over where a sequence is continued, and what a checkpoint keeps. Its columns are h
and, where the cell has one, c of every part, in the order of ``network.parts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cells.network import Network
from cells.shares.arrays import as_array, finite_numbers
from cells.shares.run import Run, States


def state_width(network: Network) -> int:
    """Number S of columns.

    Examples
    --------
    >>> from cells import LSTM, Network
    >>> from cells.shares.carried import state_width
    >>> state_width(Network([LSTM(3, 10), LSTM(10, 5)], n_out=2))
    30
    """
    return sum(width for _, _, width in _places(network))


def carries_all(network: Network) -> bool:
    """Whether these states are all that a later stretch needs: not for two directions, nor for gates that see gates."""
    return not network.bidirectional and not any(cell.n_fed_back for cell in network.layers)


def refuse_unless_carried(network: Network, what: str) -> None:
    """Raise unless sequences of ``network`` can be run in stretches, which ``what`` needs."""
    if not carries_all(network):
        came = "bidirectional=True" if network.bidirectional else "has_full_gate_recurrence=True"
        raise NotImplementedError(
            f"{what} needs a network in one direction whose steps read nothing but states, got {came}; use another "
            "cell, or run whole sequences."
        )


def joined(network: Network, states: States, n_sequences: int, dtype: Any) -> np.ndarray:
    """(n_sequences, S) of states by part; what a scalar or a vector stands for is written out."""
    rows = np.empty((n_sequences, state_width(network)), dtype)
    start = 0
    for k, which, width in _places(network):
        rows[:, start : start + width] = states[k][which]
        start += width
    return rows


def parted(network: Network, rows: np.ndarray) -> States:
    """States by part of an array (n_sequences, S), as views."""
    found: list[list[Any]] = [[0.0, 0.0] for _ in network.parts]
    start = 0
    for k, which, width in _places(network):
        found[k][which] = rows[:, start : start + width]
        start += width
    return [(h, c) for h, c in found]


def initial_rows(network: Network, theta: np.ndarray, n_sequences: int) -> np.ndarray:
    """(n_sequences, S) states before the first step: those learnt, or 0."""
    views = network.views(theta) if network.learn_initial_state else {}
    states = [
        (views.get(f"{part.name}.initial_h", 0.0), views.get(f"{part.name}.initial_c", 0.0)) for part in network.parts
    ]
    return joined(network, states, n_sequences, theta.dtype)


def rows_after(run: Run, n_steps: int) -> np.ndarray:
    """(B, S) states of a run after ``n_steps`` of its steps; sequences that end before have those of their end."""
    rows, B = run.rows, run.rows.n_sequences
    last = np.minimum(rows.lengths, n_steps)
    place = np.arange(B) if n_steps == 0 else B + rows.first[last - 1] + np.arange(B)
    states = [(layer.tape.h[place], layer.tape.c[place] if layer.tape.c.size else 0.0) for layer in run.layers]
    return joined(run.network, states, B, run.dtype)


def check_rows(network: Network, states: Any, n_sequences: int, dtype: Any) -> np.ndarray:
    """``states`` as (n_sequences, S), from (S,) or (n_sequences, S) finite numbers."""
    rows, S = as_array("initial_state", states), state_width(network)
    if rows.shape not in ((S,), (n_sequences, S)):
        raise ValueError(
            f"initial_state must hold finite numbers, ({S},) or ({n_sequences}, {S}), got {rows.dtype} of shape "
            f"{rows.shape}; pass what return_state=True returned."
        )
    return finite_numbers("initial_state", np.broadcast_to(rows, (n_sequences, S)), dtype)


def _places(network: Network) -> Iterator[tuple[int, int, int]]:
    """Part, 0 for h or 1 for c, and width of every group of columns."""
    for k, part in enumerate(network.parts):
        for which in range(1 + part.cell.has_second_state):
            yield k, which, part.cell.n_units
