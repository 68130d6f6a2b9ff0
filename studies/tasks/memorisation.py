"""Puzzles of remembering: give a pattern back after many idle steps, or the first symbol at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.tasks.sequence_task import Draw


@dataclass(frozen=True)
class Recall:
    """A pattern is shown, then blanks, then a cue; give the pattern back, and say "blank" before.

    One symbol per step goes in and one comes out. Symbols of the pattern are `first_symbol` and those after it.

    Attributes
    ----------
    n_kinds : int, different symbols a place of the pattern may have
    n_places : int, length of the pattern
    n_inputs, n_outputs : int, symbols that can go in and that can come out
    first_symbol, blank, cue : int, symbols; released programs let some of them coincide
    blank_answer : int, what to say while the pattern is not asked for
    T_counts : "blanks", the idle steps between pattern and cue are `n_blanks_less` fewer than T; or "all", T is the
        length of the whole sequence
    n_blanks_less : int
    cue_ahead : int, steps from the cue to the first answer; 0: the cue itself is answered by the first symbol
    cue_repeats : bool, the cue goes in at every step from its first on
    only_pattern : bool, nothing is asked before the pattern is to be given back
    """

    n_kinds: int
    n_places: int
    n_inputs: int
    n_outputs: int
    first_symbol: int = 0
    blank: int = 0
    cue: int = 0
    blank_answer: int = 0
    T_counts: str = "blanks"
    n_blanks_less: int = 0
    cue_ahead: int = 0
    cue_repeats: bool = False
    only_pattern: bool = False

    def length(self, T: int) -> int:
        """Steps of a sequence."""
        return T if self.T_counts == "all" else 2 * self.n_places + T - self.n_blanks_less + self.cue_ahead

    def draw(self, n_sequences: int | None, T: int, *, rng: np.random.Generator) -> Draw:
        """Sequences of equal length; with n_sequences None every pattern once."""
        if n_sequences is None:
            every = np.arange(self.n_kinds**self.n_places)
            pattern = every[:, None] // self.n_kinds ** np.arange(self.n_places)[::-1] % self.n_kinds
        else:
            pattern = rng.integers(0, self.n_kinds, (n_sequences, self.n_places))
        n, length, recall = len(pattern), self.length(T), -self.n_places
        if length < 2 * self.n_places + self.cue_ahead:
            raise ValueError(
                f"T must leave room for the pattern, the cue and the answer, {2 * self.n_places + self.cue_ahead} "
                f"steps, got T={T} and so {length} steps. Take a longer T."
            )
        symbols = np.full((n, length), self.blank)
        symbols[:, : self.n_places] = self.first_symbol + pattern
        asked = length + recall - self.cue_ahead
        symbols[:, asked : length if self.cue_repeats else asked + 1] = self.cue
        answers = np.full((n, length), self.blank_answer)
        answers[:, recall:] = self.first_symbol + pattern
        mask = np.ones((n, length), bool)
        mask[:, :recall] = not self.only_pattern
        lengths = np.full(n, length)
        return Draw(symbols, self.n_inputs, lengths, answers, self.n_outputs, "softmax", mask)


@dataclass(frozen=True)
class RandomPermutation:
    """The first symbol, 0 or 1, comes again at the very end, after T - 1 others; predict each next symbol.

    T symbols go in; what is to be said at step t is the symbol of step t + 1, and at the last step the first one.
    Only that last answer decides whether a sequence is wrong: the others cannot be known.

    Attributes
    ----------
    n_symbols : int, the first two of them may begin a sequence and the others stand between
    with_replacement : bool; else the symbols between are random permutations strung together
    only_last : bool, targets before the last step are not asked for
    """

    n_symbols: int = 100
    with_replacement: bool = True
    only_last: bool = False

    def draw(self, n_sequences: int, T: int, *, rng: np.random.Generator) -> Draw:
        """Sequences of T steps."""
        n_between = self.n_symbols - 2
        if self.with_replacement:
            between = rng.integers(2, self.n_symbols, (n_sequences, T - 1))
        else:
            n_strings = -(-(T - 1) // n_between)
            strings = np.tile(np.arange(2, self.n_symbols), (n_sequences * n_strings, 1))
            between = rng.permuted(strings, axis=1).reshape(n_sequences, -1)[:, : T - 1]
        first = rng.integers(0, 2, (n_sequences, 1))
        symbols, targets = np.hstack([first, between]), np.hstack([between, first])
        scored = np.zeros(symbols.shape, bool)
        scored[:, -1] = True
        mask = scored if self.only_last else np.ones_like(scored)
        lengths = np.full(n_sequences, T)
        return Draw(symbols, self.n_symbols, lengths, targets, self.n_symbols, "softmax", mask, scored=scored)
