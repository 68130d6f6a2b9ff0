"""From characters to numbers and back, and from a long text to pieces that are read side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Alphabet:
    """The characters a model knows, in an order that gives each its number.

    Parameters
    ----------
    characters : str
        Each once.
    unknown : "error" or a single character of the alphabet
        What to do with characters that are not among them: refuse the text, or read them as this one.

    Examples
    --------
    >>> from cells.alphabet import Alphabet
    >>> Alphabet("ab?", unknown="?").encode("abc").tolist()
    [0, 1, 2]
    """

    characters: str
    unknown: str = "error"

    def __post_init__(self) -> None:
        if not isinstance(self.characters, str) or len(set(self.characters)) != len(self.characters):
            raise ValueError(
                f"alphabet must be a str of different characters, got {self.characters!r}; name each once."
            )
        if self.unknown != "error" and (len(self.unknown) != 1 or self.unknown not in self.characters):
            raise ValueError(
                f"unknown must be 'error' or one character of the alphabet, got {self.unknown!r}; name one that was "
                "in the text, such as a space."
            )

    @property
    def size(self) -> int:
        """Number of characters."""
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """(T,) int64 numbers of the characters of ``text``.

        Raises
        ------
        TypeError, ValueError
            If it is no str, is empty, or holds unknown characters that are not to be replaced.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}; decode bytes, join lists.")
        if not text:
            raise ValueError("text must hold at least one character, got ''; give a text.")
        codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32)
        place = np.minimum(np.searchsorted(self._codes, codes), self.size - 1)
        is_known = self._codes[place] == codes
        if not is_known.all() and self.unknown == "error":
            strange = sorted(set(map(chr, codes[~is_known])))
            raise ValueError(
                f"text must hold only the {self.size} characters of the alphabet, got also {strange[:10]}; replace "
                "them, name the whole alphabet by alphabet=, or set unknown= to a character that stands for them."
            )
        numbers = self._numbers[place]
        if not is_known.all():
            numbers[~is_known] = self.characters.index(self.unknown)
        return numbers

    def decode(self, numbers: np.ndarray) -> str:
        """The text of (T,) numbers."""
        return "".join([self.characters[number] for number in numbers])

    @cached_property
    def _codes(self) -> np.ndarray:
        """Code points, sorted."""
        return np.array(sorted(map(ord, self.characters)), np.uint32)

    @cached_property
    def _numbers(self) -> np.ndarray:
        """The number of each."""
        return np.argsort([ord(character) for character in self.characters]).astype(np.int64)


def streams(numbers: np.ndarray, n_streams: int, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """A text as pieces of equal length, whole windows long: what is read and what follows, (n_streams, T) both.

    Characters at the end of each piece that do not fill a window are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.alphabet import streams
    >>> X, y = streams(np.arange(10), 2, 3)
    >>> X.tolist(), y.tolist()
    ([[0, 1, 2], [4, 5, 6]], [[1, 2, 3], [5, 6, 7]])
    """
    length = (numbers.size - 1) // n_streams
    starts = np.arange(n_streams)[:, None] * length
    places = starts + np.arange(length // n_steps * n_steps)
    return numbers[places], numbers[places + 1]
