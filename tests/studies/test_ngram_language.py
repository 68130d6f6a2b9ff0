"""Words become symbols by what was learnt from, and a bag holds what stood before."""

import numpy as np

from studies.ngram_language import BAG, FIRST_OF_WORDS, RARE, _words, in_bag


def test_words_that_are_rare_in_the_first_part_are_one_symbol():
    train, test = _words(["The cat, the CAT; the cat sat.", "the dog sat, the cat"])
    cat, the, rare = chr(FIRST_OF_WORDS + 1), chr(FIRST_OF_WORDS + 2), chr(RARE)
    assert train == the + cat + rare + the + cat + rare + the + cat + rare + rare
    assert test == the + rare + rare + rare + the + cat


def test_a_bag_holds_the_shares_of_the_symbols_before():
    np.testing.assert_allclose(in_bag("aabab"), [0, 1, 0, 2 / 3, 1 / 4])
    text = "b" + "a" * BAG + "ab"
    np.testing.assert_allclose(in_bag(text)[-2:], [1.0, 0.0])
