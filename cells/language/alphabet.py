"""From characters to numbers and back, and from a long text to pieces that are read side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optim.arguments import brief


def check_text(name: str, text: Any, *, least: int = 0) -> str:
    """``text``, if it is a str of at least ``least`` characters.

    Raises
    ------
    TypeError, ValueError
        Naming ``name``.

    Examples
    --------
    >>> from cells.language.alphabet import check_text
    >>> check_text("prime", b"ab")
    Traceback (most recent call last):
    TypeError: prime must be a str, got b'ab'; decode bytes, join lists.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, got {brief(text)}; decode bytes, join lists.")
    if len(text) < least:
        raise ValueError(
            f"{name} must hold at least {least} character{'s' * (least > 1)}, got {brief(text)}; give a longer text."
        )
    return text


def code_points(text: str) -> np.ndarray:
    """(T,) uint32 code points; halves of surrogate pairs that stand alone are characters too."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32)


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
    >>> from cells.language.alphabet import Alphabet
    >>> Alphabet("ab?", unknown="?").encode("abc").tolist()
    [0, 1, 2]
    """

    characters: str
    unknown: str = "error"

    def __post_init__(self) -> None:
        check_text("alphabet", self.characters, least=1)
        if len(set(self.characters)) != len(self.characters):
            raise ValueError(
                f"alphabet must be a str of different characters, got {brief(self.characters)}; name each once."
            )
        check_text("unknown", self.unknown)
        if self.unknown != "error" and (len(self.unknown) != 1 or self.unknown not in self.characters):
            raise ValueError(
                f"unknown must be 'error' or one character of the alphabet, got {brief(self.unknown)}; name one that "
                "was in the text, such as a space."
            )

    @property
    def size(self) -> int:
        """Number of characters."""
        return len(self.characters)

    def encode(self, text: str, name: str = "text") -> np.ndarray:
        """(T,) int64 numbers of the characters of ``text``, which is the argument ``name`` in messages.

        Raises
        ------
        TypeError, ValueError
            If it is no str, is empty, or holds unknown characters that are not to be replaced.
        """
        codes = code_points(check_text(name, text, least=1))
        place = np.minimum(np.searchsorted(self._codes, codes), self.size - 1)
        is_known = self._codes[place] == codes
        if not is_known.all() and self.unknown == "error":
            strange = sorted(set(map(chr, codes[~is_known])))
            raise ValueError(
                f"{name} must hold only the {self.size} characters of the alphabet, got also {strange[:10]}; replace "
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


def cut_off(text: str, validation_fraction: float) -> tuple[str, str]:
    """A text without its end, and that end.

    Examples
    --------
    >>> from cells.language.alphabet import cut_off
    >>> cut_off("the cat sat.", 0.25)
    ('the cat s', 'at.')
    """
    n = int((1.0 - validation_fraction) * len(text))
    if min(n, len(text) - n) < 2:
        raise ValueError(
            "validation_fraction must leave two characters of the text on either side, got "
            f"{validation_fraction:g} for a text of {len(text)}; give a longer text, or validation=."
        )
    return text[:n], text[n:]


def streams(numbers: np.ndarray, n_streams: int, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """A text as pieces of equal length, whole windows long: what is read and what follows, (n_streams, T) both.

    Characters at the end of each piece that do not fill a window are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.language.alphabet import streams
    >>> X, y = streams(np.arange(10), 2, 3)
    >>> X.tolist(), y.tolist()
    ([[0, 1, 2], [4, 5, 6]], [[1, 2, 3], [5, 6, 7]])
    """
    length = (numbers.size - 1) // n_streams
    starts = np.arange(n_streams)[:, None] * length
    places = starts + np.arange(length // n_steps * n_steps)
    return numbers[places], numbers[places + 1]
