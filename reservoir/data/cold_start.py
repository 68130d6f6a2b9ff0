"""Rows that begin at rest though they go on from others: when a user is told of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from reservoir.alarms import ColdStartWarning
from reservoir.data.sequences import Sequences

_LONGEST = 1000  # rows that are driven a second time, at most
_MUCH = 0.05  # of the targets' variance


def warn_of_a_cold_piece(sequences: Sequences, n_remembered: int) -> None:
    """Warn where a piece of a stream seems to have come, too short for the reservoir to forget that it rested.

    Parameters
    ----------
    sequences : Sequences
    n_remembered : int
        Steps that the reservoir remembers.
    """
    if sequences.form == "rows" and sequences.n_steps < n_remembered:
        warnings.warn(
            f"X must go on from a state to be the next piece of a stream, got {sequences.n_steps} rows that begin at "
            f"rest, while the reservoir remembers some {n_remembered} steps; say initial_state='last', or "
            f"lengths=[{sequences.n_steps}] if they are a sequence of their own.",
            ColdStartWarning,
            stacklevel=5,
        )


def warn_of_a_short_context(context: Sequences, n_remembered: int, name: str, remedy: str, *, depth: int) -> None:
    """Warn where series that shall synchronise a forecaster are too short for it to forget that it rested.

    Parameters
    ----------
    context : Sequences
    n_remembered : int
        Rows that the reservoir remembers.
    name, remedy : str
        Of what holds them, and what to do.
    depth : int
        Calls between the user's and this one.
    """
    shortest = int(context.lengths.min())
    if shortest < n_remembered:
        warnings.warn(
            f"{name} must have the {n_remembered} rows that the reservoir remembers to synchronise it, got {shortest}, "
            f"after which its state is still in part that of rest; {remedy}.",
            ColdStartWarning,
            stacklevel=depth + 2,
        )


def warn_of_cold_rows(
    sequences: Sequences, outputs: np.ndarray, from_a_state: Callable[[Sequences], np.ndarray]
) -> None:
    """Warn where the score of one series depends on its start from rest.

    What the start moves is the squared difference between two runs, from rest and from a state that the reservoir was
    in, as a share of the squares that R² is measured by::

        Σ w (y_rest - y_state)² / Σ w (y - mean)² > 0.05

    Parameters
    ----------
    sequences : Sequences
        One sequence with targets.
    outputs : (n_steps, O) float64
        From rest.
    from_a_state : callable
        Outputs of the sequence's first rows from such a state.
    """
    n = min(sequences.n_steps, _LONGEST)
    first = Sequences(sequences.rows[:n], np.array([0, n]))
    weights = np.ones(sequences.n_steps) if sequences.weights is None else sequences.weights
    targets = sequences.targets.astype(np.float64)
    spread = weights @ (targets - np.average(targets, axis=0, weights=weights)) ** 2
    moved = weights[:n] @ (outputs[:n] - from_a_state(first)) ** 2
    share = np.divide(moved, spread, out=np.zeros_like(spread), where=spread > 0.0).mean()
    if share > _MUCH:
        warnings.warn(
            f"X must be long against what the reservoir remembers for a score from rest, got {sequences.n_steps} rows, "
            f"where the start moves the outputs by {share:.2g} of the targets' variance; say initial_state='fitted' if "
            "they go on where training ended, take WarmSplit and warm_scorer of reservoir.model_selection for "
            f"cross-validation, or say lengths=[{sequences.n_steps}] if they are a sequence of their own.",
            ColdStartWarning,
            stacklevel=3,
        )
