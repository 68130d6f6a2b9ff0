"""Signals that only studies need; the systems that all learn from are in :mod:`reservoir.datasets`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CommandedSine:
    """A command and the swing that follows it: frequency (T,) in cycles per step, output (T,)."""

    frequency: np.ndarray
    output: np.ndarray


def commanded_sine(
    n_steps: int,
    levels: np.ndarray,
    *,
    rng: np.random.Generator,
    hold: int = 200,
    disturbance: float = 0.0,
    relaxation: float = 0.05,
) -> CommandedSine:
    """A sine whose frequency is commanded from outside and whose amplitude, when disturbed, returns to one.

        phase(t) = phase(t-1) + 2 pi frequency(t)
        r(t) = r(t-1) + relaxation (1 - r(t-1)),     y(t) = r(t) sin(phase(t))

    The frequency is held for `hold` steps at one of `levels`, drawn at random, then jumps; at each jump r is
    set to 1 + uniform(-disturbance, disturbance).

    Parameters
    ----------
    n_steps, hold : int >= 1
    levels : (n_levels,) cycles per step, each in (0, 0.5)
    rng : numpy.random.Generator
    disturbance : float in [0, 1)
    relaxation : float in (0, 1]

    Returns
    -------
    CommandedSine

    References
    ----------
    Jaeger 2001, GMD report 148: the frequency generator with slow input and output feedback.

    Examples
    --------
    >>> swing = commanded_sine(4, np.array([0.25]), rng=np.random.default_rng(0))
    >>> swing.output.round(6) + 0.0
    array([ 1.,  0., -1.,  0.])
    """
    n_blocks = -(-n_steps // hold)
    frequency = np.repeat(rng.choice(levels, n_blocks), hold)[:n_steps]
    kicks = rng.uniform(-disturbance, disturbance, n_blocks) if disturbance else np.zeros(n_blocks)
    since = np.arange(n_steps) % hold
    amplitude = 1.0 + np.repeat(kicks, hold)[:n_steps] * (1.0 - relaxation) ** since
    return CommandedSine(frequency, amplitude * np.sin(2.0 * np.pi * np.cumsum(frequency)))


def delayed_copies(u: np.ndarray, n_delays: int) -> np.ndarray:
    """Targets of a memory task: column k holds the series k + 1 steps ago, zero before it began.

    Parameters
    ----------
    u : (T,)
    n_delays : int >= 1

    Returns
    -------
    copies : (T, n_delays)

    References
    ----------
    Jaeger 2001, "Short term memory in echo state networks", GMD report 152.

    Examples
    --------
    >>> delayed_copies(np.array([1.0, 2.0, 3.0]), 2)
    array([[0., 0.],
           [1., 0.],
           [2., 1.]])
    """
    padded = np.concatenate([np.zeros(n_delays), u])
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_delays)[: u.size]
    return np.ascontiguousarray(windows[:, ::-1])
