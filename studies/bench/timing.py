"""Timing contestants in one run, so that all meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

# A virtual machine that was at rest may keep all threads on one core for some ten milliseconds before it wakes another:
# two threads then take 15 ms for what takes them 9 a moment later.
PAUSE_S, WARM_S, CALLS_OF_A_ROUND = 0.1, 0.05, 3


def in_turn(
    contestants: Mapping[str, Callable[[], object]], n_repeats: int, *, turn_s: float = np.inf
) -> dict[str, float]:
    """Median seconds of a call of each contestant, in ``n_repeats / 3`` rounds of up to three calls.

    In a round each has a pause, in which threads of the one before that some libraries keep spinning come to rest,
    some fifty milliseconds of calls that are not timed, or one call, and three in a row that are. Rounds are short
    because a shared machine changes its pace within seconds, and all should meet the same. Who has been timed for
    ``turn_s`` seconds in a round makes no further call in it: many rounds then cost little.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(-(-n_repeats // CALLS_OF_A_ROUND)):
        for name, contestant in contestants.items():
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            contestant()
            while time.perf_counter() < start + WARM_S:
                contestant()
            turn: list[float] = []
            while len(turn) < CALLS_OF_A_ROUND and sum(turn) < turn_s:
                start = time.perf_counter()
                contestant()
                turn.append(time.perf_counter() - start)
            times[name] += turn
    return {name: float(np.median(values)) for name, values in times.items()}
