"""Texts to learn character by character, and the way from characters to numbers and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SplitText:
    """One text cut in two: the beginning to learn from, the end to be scored on.

    Attributes
    ----------
    train, valid : str
    alphabet : str, every character of the whole text, sorted
    """

    train: str
    valid: str
    alphabet: str


def split(text: str, *, valid_share: float = 0.1) -> SplitText:
    """Cut the last `valid_share` of a text off.

    Parameters
    ----------
    text : str
    valid_share : float in (0, 1)

    Examples
    --------
    >>> split("abracadabra", valid_share=0.3)
    SplitText(train='abracad', valid='abra', alphabet='abcdr')
    """
    n_train = int((1.0 - valid_share) * len(text))
    return SplitText(text[:n_train], text[n_train:], "".join(sorted(set(text))))


def tinyshakespeare(*, valid_share: float = 0.1) -> SplitText:
    """1,115,394 characters of Shakespeare's plays, 65 different ones; by default 90 % to learn from.

    References
    ----------
    Karpathy 2015, char-rnn; the 90/10 split is nanoGPT's.
    """
    from studies.data import fetch

    return split(fetch("tinyshakespeare.txt").read_text(encoding="utf-8"), valid_share=valid_share)


def encode(text: str, alphabet: str) -> np.ndarray:
    """Places of the characters of a text in an alphabet.

    Parameters
    ----------
    text : str
    alphabet : str, each character once

    Returns
    -------
    symbols : (T,) int64

    Examples
    --------
    >>> encode("abba", "ab")
    array([0, 1, 1, 0])
    """
    place = {character: i for i, character in enumerate(alphabet)}
    unknown = sorted(set(text) - set(alphabet))
    if unknown:
        raise ValueError(f"text must hold only characters of the alphabet, got {unknown[:10]}. Replace them.")
    return np.fromiter((place[character] for character in text), np.int64, len(text))


def decode(symbols: np.ndarray, alphabet: str) -> str:
    """The text of places in an alphabet. symbols : (T,) int.

    Examples
    --------
    >>> decode(np.array([0, 1, 1, 0]), "ab")
    'abba'
    """
    return "".join(alphabet[symbol] for symbol in symbols)
