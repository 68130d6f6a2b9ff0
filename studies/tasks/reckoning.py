"""Puzzles of reckoning: add two binary numbers bit by bit; read a sum written out and say its digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.tasks.sequence_task import Draw

ALPHABET = "0123456789+-=.abcdefghijklmnopqrstuvwxyz"
ENDS = ALPHABET.index(".")
LETTERS = ALPHABET.index("a")


@dataclass(frozen=True)
class BinaryAddition:
    """Two numbers of T bits go in, a pair of bits per step, the lowest first; the bits of their sum come out.

    One step more than there are bits, with zeros going in, lets the last carry come out. What is to be known is
    the carry: an automaton of four states, carry and printed bit, does it without error at any length.
    """

    def draw(self, n_sequences: int, T: int, *, rng: np.random.Generator) -> Draw:
        """Pairs of numbers of T bits, each bit a fair coin."""
        bits = np.zeros((n_sequences, T + 1, 2))
        bits[:, :T] = rng.integers(0, 2, (n_sequences, T, 2))
        printed = automaton(bits) % 2
        mask = np.ones((n_sequences, T + 1), bool)
        lengths = np.full(n_sequences, T + 1)
        return Draw(bits, 2, lengths, printed[..., None].astype(np.float64), 1, "logistic", mask)


def automaton(bits: np.ndarray) -> np.ndarray:
    """States of the adding automaton after each step: 2 * carry + printed bit.

        s = a + b + carry,      printed = s mod 2,      carry = s div 2

    Parameters
    ----------
    bits : (n, T, 2), zeros and ones, lowest first

    Returns
    -------
    states : (n, T) int64, 0 to 3

    Examples
    --------
    >>> three_and_one = np.array([[[1, 1], [1, 0], [0, 0]]])
    >>> automaton(three_and_one)
    array([[2, 2, 1]])
    """
    ones = np.asarray(bits).sum(axis=2).astype(np.int64)
    # A carry leaves a step where both bits are 1, none where both are 0; where they differ, what came in goes on. So
    # the last step without a difference decides.
    step = np.arange(1, ones.shape[1] + 1)
    decided = np.maximum.accumulate(np.where(ones == 1, 0, step), axis=1)
    carries = np.take_along_axis(np.pad(ones == 2, ((0, 0), (1, 0))), decided, axis=1)
    carried_in = np.pad(carries, ((0, 0), (1, 0)))[:, :-1]
    return 2 * carries + (ones + carried_in) % 2


@dataclass(frozen=True)
class Arithmetic:
    """Read "12+345=" with letters strewn in, then say "357.", each digit after having heard the one before.

    Numbers of 1 to T digits, plus or minus, each with equal chance; a letter stands before a symbol of the
    question with probability `distraction`. One symbol of `ALPHABET` goes in per step. The answer begins where "="
    goes in and ends with "."; its symbols but the last go in as well, a step later. A sequence is wrong if any
    symbol of its answer is.

    Attributes
    ----------
    distraction : float in [0, 1]
    """

    distraction: float = 0.5

    def draw(self, n_sequences: int, T: int, *, rng: np.random.Generator) -> Draw:
        """Sums of numbers with at most T digits, T <= 17."""
        n_digits = rng.integers(1, T + 1, (n_sequences, 2))
        numbers = rng.integers(np.where(n_digits == 1, 0, 10 ** (n_digits - 1)), 10**n_digits)
        is_minus = rng.integers(0, 2, n_sequences).astype(bool)
        result = numbers[:, 0] + np.where(is_minus, -1, 1) * numbers[:, 1]
        sign = np.where(is_minus, ALPHABET.index("-"), ALPHABET.index("+"))[:, None]
        equals = np.full((n_sequences, 1), ALPHABET.index("="))
        question = np.hstack([_digits(numbers[:, 0], T), sign, _digits(numbers[:, 1], T), equals])
        question = self._distracted(question, rng=rng)
        minus = np.where(result < 0, ALPHABET.index("-"), -1)[:, None]
        answer = _pushed_left(np.hstack([minus, _digits(np.abs(result), T + 1), np.full_like(equals, ENDS)]))
        return _question_and_answer(question, answer)

    def _distracted(self, question: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """The question with letters before some of its symbols, without gaps."""
        letters = rng.integers(LETTERS, len(ALPHABET), question.shape)
        stands = (rng.uniform(size=question.shape) < self.distraction) & (question >= 0)
        pairs = np.stack([np.where(stands, letters, -1), question], axis=2)
        return _pushed_left(pairs.reshape(len(question), -1))


def _question_and_answer(question: np.ndarray, answer: np.ndarray) -> Draw:
    """Both strung together, the answer one step early as target. -1 stands for no symbol, at the ends only."""
    n_question, n_answer = np.sum(question >= 0, axis=1), np.sum(answer >= 0, axis=1)
    whole = _pushed_left(np.hstack([question, answer]))
    lengths = n_question + n_answer - 1
    whole = whole[:, : lengths.max() + 1]
    step = np.arange(lengths.max())
    mask = (step >= n_question[:, None] - 1) & (step < lengths[:, None])
    inputs = np.where(step < lengths[:, None], whole[:, :-1], 0)
    n_symbols = len(ALPHABET)
    return Draw(inputs, n_symbols, lengths, np.where(mask, whole[:, 1:], 0), LETTERS, "softmax", mask)


def _digits(numbers: np.ndarray, n_places: int) -> np.ndarray:
    """Decimal digits, (n, n_places), -1 before the first."""
    power = 10 ** np.arange(n_places)[::-1]
    is_leading = (numbers[:, None] < power) & (power > 1)
    return np.where(is_leading, -1, numbers[:, None] // power % 10)


def _pushed_left(symbols: np.ndarray) -> np.ndarray:
    """Rows with their -1 moved to the end, the others in their order."""
    return np.take_along_axis(symbols, np.argsort(symbols < 0, axis=1, kind="stable"), axis=1)
