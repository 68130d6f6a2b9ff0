"""Texts: the split, and characters to numbers and back."""

import os

import numpy as np
import pytest

from studies.tasks import text_data


def test_a_split_loses_nothing():
    text = "the quick brown fox " * 7
    parts = text_data.split(text, valid_share=0.25)
    assert parts.train + parts.valid == text
    assert len(parts.valid) == 35
    assert parts.alphabet == "".join(sorted(set(text)))


def test_decoding_undoes_encoding():
    text = "na\u00efve \u2014 text\n"
    alphabet = "".join(sorted(set(text)))
    symbols = text_data.encode(text, alphabet)
    assert symbols.dtype == np.int64 and symbols.max() == len(alphabet) - 1
    assert text_data.decode(symbols, alphabet) == text
    assert text_data.encode("", alphabet).shape == (0,)


def test_unknown_characters_are_named():
    with pytest.raises(ValueError, match=r"characters of the alphabet, got \['x', 'y'\]"):
        text_data.encode("axbyx", "ab")


@pytest.mark.skipif(not os.environ.get("RESERVOIR_HF_DATA"), reason="tinyshakespeare is not in a local folder")
def test_shakespeare_has_the_known_size():
    text = text_data.tinyshakespeare()
    assert len(text.train) + len(text.valid) == 1_115_394
    assert len(text.alphabet) == 65
    assert len(text.train) == 1_003_854  # nanoGPT's split of the same file
