"""The words of the reviews tell nothing; their order tells all."""

import numpy as np

from studies.tasks.reviews import BAD, BUT, FILLERS, GOOD, NOT, draw_reviews


def judged(text):
    """Whether the clause after "but" praises."""
    words = [word for word in text[text.index(BUT) :] if word not in FILLERS]
    return (words[-1] in GOOD) != (NOT in words)


def test_the_second_clause_decides_and_words_come_in_all_four_orders():
    reviews = draw_reviews(400, rng=np.random.default_rng(0))
    assert [int(judged(text)) for text in reviews.texts] == reviews.labels.tolist()
    bags = [tuple(sorted(word for word in text if word not in FILLERS)) for text in reviews.texts]
    for bag in set(bags):
        assert np.mean(reviews.labels[[k for k, other in enumerate(bags) if other == bag]]) == 0.5
    assert reviews.counts().sum() == sum(map(len, reviews.texts))


def test_new_pairs_are_never_seen_otherwise():
    def pairs(is_new):
        texts = draw_reviews(4000, rng=np.random.default_rng(1), longest_filler=0, is_new=is_new).texts
        return {tuple(sorted(word for word in text if word in GOOD + BAD)) for text in texts}

    seen, new = pairs(False), pairs(True)
    assert not seen & new and len(seen) == 48 and len(new) == 16
