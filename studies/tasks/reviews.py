"""Reviews whose words say nothing and whose order says all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GOOD = ("good", "great", "fine", "lovely", "superb", "bright", "fresh", "kind")
BAD = ("bad", "awful", "poor", "dull", "stale", "rude", "dreary", "bland")
FILLERS = ("the", "food", "was", "and", "we", "found", "it", "room", "that", "day")
NOT, BUT = "not", "but"
WORDS = (*GOOD, *BAD, *FILLERS, NOT, BUT)


@dataclass(frozen=True)
class Reviews:
    """Reviews as tuples of words, with labels: 1 for praise, 0 for blame."""

    texts: list[tuple[str, ...]]
    labels: np.ndarray

    def one_hot(self) -> list[np.ndarray]:
        """(T, n_words) a review, in the order of :data:`WORDS`."""
        rows = np.eye(len(WORDS))
        place = {word: k for k, word in enumerate(WORDS)}
        return [rows[[place[word] for word in text]] for text in self.texts]

    def counts(self) -> np.ndarray:
        """(n, n_words) how often each word stands in each review."""
        return np.array([rows.sum(axis=0) for rows in self.one_hot()])


def draw_reviews(n: int, *, rng: np.random.Generator, longest_filler: int = 5, is_new: bool = False) -> Reviews:
    """``n`` reviews, n a multiple of 4: two clauses with ``but`` between them, of which the second decides.

    One clause praises, the other blames, one of them is negated, and fillers stand anywhere. The four orders of the
    same words come together, two of which praise: whatever counts words is right half of the time.

    Parameters
    ----------
    n : int
    rng : numpy.random.Generator
    longest_filler : int >= 0
        Fillers in a row.
    is_new : bool
        Whether the pairs of adjectives are those that are never drawn otherwise, a quarter of all.

    Examples
    --------
    >>> found = draw_reviews(4, rng=np.random.default_rng(0), longest_filler=0)
    >>> [" ".join(text) for text in found.texts], found.labels.tolist()
    (['not fresh but dull', 'fresh but not dull', 'not dull but fresh', 'dull but not fresh'], [0, 1, 1, 0])
    """
    texts, labels = [], []
    for _ in range(n // 4):
        good, bad = _pair(rng, is_new)
        for first, second, praises in ((GOOD[good], BAD[bad], False), (BAD[bad], GOOD[good], True)):
            for negated in (0, 1):
                clauses = [[NOT, word] if negated == k else [word] for k, word in enumerate((first, second))]
                words = [*clauses[0], BUT, *clauses[1]]
                texts.append(tuple(_filled(words, longest_filler, rng)))
                labels.append(int(praises != (negated == 1)))
    return Reviews(texts, np.array(labels))


def _pair(rng: np.random.Generator, is_new: bool) -> tuple[int, int]:
    good = int(rng.integers(len(GOOD)))
    shifts = np.arange(len(BAD))
    bad = (good + rng.choice(shifts[shifts % 4 == 0] if is_new else shifts[shifts % 4 != 0])) % len(BAD)
    return good, int(bad)


def _filled(words: list[str], longest: int, rng: np.random.Generator) -> list[str]:
    """Words with up to ``longest`` fillers before each and after the last."""
    found: list[str] = []
    for word in [*words, None]:
        found += [FILLERS[k] for k in rng.integers(len(FILLERS), size=rng.integers(longest + 1))]
        found += [] if word is None else [word]
    return found
