"""A network that writes: symbols drawn one by one, and the likeliest continuations by beam search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cells.language.alphabet import Alphabet
from cells.language.scoring import log_softmax
from cells.stepper import Stepper
from optim.arguments import number

MOST_WRITTEN = 2**31 - 1  # symbols of one continuation


class Completion(NamedTuple):
    """A continuation and how surprising it is.

    Parameters
    ----------
    text : str
    bits : float
        -log2 of its probability, the character at which it stopped included.
    """

    text: str
    bits: float


def check_temperature(temperature: float) -> float:
    """A temperature as a float, if it is a finite number >= 0."""
    return number("temperature", temperature, least=0, remedy="1 samples from the model, 0 takes the likeliest")


def draw_one(log_p: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """Draw a symbol with probabilities p^(1 / temperature), scaled to sum to 1; at 0 the first of the likeliest.

    Parameters
    ----------
    log_p : (V,) float64
    temperature : float >= 0
    rng : numpy.random.Generator
        Not drawn from at temperature 0.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.language.writing import draw_one
    >>> draw_one(np.log([0.2, 0.5, 0.3]), 0.0, np.random.default_rng(0))
    1
    """
    if temperature == 0:
        return int(log_p.argmax())
    with np.errstate(over="ignore"):  # near temperature 0: exp(-inf) is meant
        p = np.exp((log_p - log_p.max()) / temperature)
    edges = np.cumsum(p)
    return min(int(np.searchsorted(edges, rng.random() * edges[-1], side="right")), edges.size - 1)


def draw(stepper: Stepper, outputs: np.ndarray, n: int, *, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw n symbols, each read before the next is drawn: (n,) int64.

    Parameters
    ----------
    stepper : Stepper
        Of one sequence, after what stands before.
    outputs : (1, V)
        What it then says, before the softmax.
    n : int >= 0
    temperature : float >= 0
        log p is divided by it; 0 takes the likeliest.
    rng : numpy.random.Generator
    """
    drawn = np.empty(n, np.int64)
    for t in range(n):
        drawn[t] = draw_one(log_softmax(outputs)[0], temperature, rng)
        outputs = stepper.outputs(drawn[t])
    return drawn


def complete(
    stepper: Stepper,
    state: np.ndarray,
    log_p: np.ndarray,
    ends: np.ndarray,
    letters: Alphabet,
    k: int,
    n_characters: int,
) -> list[Completion]:
    """The k likeliest continuations that beam search finds; ties go to the smaller number, so the answer is one.

    A beginning is dropped when as many others are likelier as the stepper has sequences, and the search ends when no
    beginning is likelier than the k-th completion: a longer one can only be less so.

    Parameters
    ----------
    stepper : Stepper
        With as many sequences B as beginnings are pursued.
    state : (1, S)
        After what is to be continued.
    log_p : (V,)
        What is predicted then.
    ends : (V,) bool
        Characters that end a completion.
    letters : Alphabet
    k, n_characters : int >= 1
    """
    B = stepper.n_sequences
    beginnings: list[list[int]] = [[]]
    scores = np.zeros(1)
    rows = log_p[None, :]
    stepper.state = state[0]
    found: list[tuple[float, list[int]]] = []
    for length in range(1, n_characters + 1):
        total = scores[:, None] + rows[: len(beginnings)]
        for i, symbol in zip(*np.nonzero(np.broadcast_to(ends, total.shape)), strict=True):
            found.append((float(total[i, symbol]), beginnings[i]))
        going = np.where(ends, -np.inf, total).ravel()
        best = np.argsort(-going, kind="stable")[:B]
        best = best[np.isfinite(going[best])]
        parents, numbers = np.divmod(best, total.shape[1])
        scores = going[best]
        beginnings = [[*beginnings[i], int(number)] for i, number in zip(parents, numbers, strict=True)]
        found = sorted(found, key=lambda pair: -pair[0])[:k]
        if not beginnings or (len(found) == k and found[-1][0] >= scores[0]):
            break
        if length == n_characters:
            found += list(zip(scores.tolist(), beginnings, strict=True))
            break
        filled = np.concatenate([parents, np.zeros(B - len(parents), np.int64)])
        stepper.state = stepper.state[filled]
        rows = log_softmax(stepper.outputs(np.concatenate([numbers, np.zeros(B - len(numbers), np.int64)])))
    found = sorted(found, key=lambda pair: -pair[0])[:k]
    return [Completion(letters.decode(numbers), abs(score) / float(np.log(2.0))) for score, numbers in found]
