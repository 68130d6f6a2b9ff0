"""Finite automata read from the states of a network: clusters, what follows what, and the merging of equals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Automaton:
    """A machine whose state tells what it prints.

    Attributes
    ----------
    successors : (n_states, 4) int64, by the input 2 a + b
    prints : (n_states,) int64
    start : int
    """

    successors: np.ndarray
    prints: np.ndarray
    start: int

    @property
    def n_states(self) -> int:
        return len(self.prints)

    def run(self, bits: np.ndarray) -> np.ndarray:
        """What it prints. bits : (n, T, 2). Returns (n, T) int64."""
        letters = (2 * bits[..., 0] + bits[..., 1]).astype(np.int64)
        state = np.full(len(bits), self.start)
        printed = np.empty(letters.shape, np.int64)
        for t in range(letters.shape[1]):
            state = self.successors[state, letters[:, t]]
            printed[:, t] = self.prints[state]
        return printed


def read_automaton(
    states: np.ndarray, bits: np.ndarray, printed: np.ndarray, n_clusters: int, *, seed: int
) -> Automaton:
    """The automaton that a network's states follow, merged as far as its inputs and prints allow.

    Parameters
    ----------
    states : (n, T, H), after each step; the state before the first is zero
    bits : (n, T, 2) int64
    printed : (n, T) int64
    n_clusters : int
    seed : int, of k-means
    """
    from sklearn.cluster import KMeans

    n, T, H = states.shape
    model = KMeans(n_clusters, n_init=1, random_state=seed).fit(states.reshape(-1, H))
    cluster = model.labels_.reshape(n, T).astype(np.int64)
    before = np.hstack([np.full((n, 1), n_clusters), cluster[:, :-1]])  # the start is a state of its own
    counts = np.zeros((n_clusters + 1, 4, n_clusters))
    np.add.at(counts, (before, 2 * bits[..., 0] + bits[..., 1], cluster), 1)
    ones = np.bincount(cluster.ravel(), printed.ravel(), n_clusters)
    prints = np.append(2 * ones > np.bincount(cluster.ravel(), minlength=n_clusters), False).astype(np.int64)
    return merged(Automaton(counts.argmax(axis=2), prints, n_clusters))


def merged(machine: Automaton) -> Automaton:
    """The smallest automaton that prints the same for every input, of the states that can be reached.

    States begin as told apart by what they print, and are split as long as an input leads two of them into different
    parts.

    References
    ----------
    Moore 1956; the refinement as in Hopcroft and Ullman 1979, section 3.4.
    """
    reached = {machine.start}
    while (more := reached | set(machine.successors[list(reached)].ravel().tolist())) != reached:
        reached = more
    kept = np.array(sorted(reached))
    place = {old: new for new, old in enumerate(kept.tolist())}
    successors = np.vectorize(place.get)(machine.successors[kept])
    prints = machine.prints[kept]
    part = prints
    while True:
        _, finer = np.unique(np.column_stack([part, part[successors]]), axis=0, return_inverse=True)
        finer = finer.reshape(-1)
        if finer.max() == part.max():
            break
        part = finer
    part = finer
    first = np.array([np.flatnonzero(part == k)[0] for k in range(part.max() + 1)])
    return Automaton(part[successors[first]], prints[first], int(part[place[machine.start]]))
