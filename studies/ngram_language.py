"""What do counting and a recurrent net know of a text, each alone and both together, by characters and by words?

Method. The first `n_chars` characters of tinyshakespeare: eight tenths to learn from, one tenth to choose weights, one
tenth to be scored on, in bits a symbol. By `character` the symbols are characters; by `word` they are words and marks
in lower case, of which those that stand fewer than `MOST_RARE` times in the part to learn from are one symbol.
Counting: n-grams of order 0, which is the unigram, to 7 by Witten and Bell, and a bag of words: the shares of the last
`BAG` symbols, whatever their order, mixed with the unigram. The net is `CharRNN`, an LSTM, which reads words as
characters of an alphabet of their own. A mixture is p = w p_net + (1 - w) p_n-gram with the order that is best on the
choosing part, where w is chosen too; `weight` is that of the net.

Found (medians of five seeds). By characters the net has 2.63 bits, the best n-gram, of order 4, 2.60, and both together
2.34; by words the net has 7.34, the best n-gram, of order 1, 6.84, and both together 6.77. The mixture beats both by
0.26 and 0.076 bits: what they know differs. The net has a weight of 0.29 and of 0.21. A bag of words has 0.25 bits
fewer a word than the unigram, and 0.01 a character.

Sources. Witten and Bell 1991; Mikolov et al. 2011 for mixing a net with counts; the lecture's comparison of n-grams
with recurrent nets.

Expected run time: five minutes by default on two cores.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from studies.bench.findings import Ranking

MOST_RARE, BAG, ORDERS = 3, 100, range(8)
FIRST_OF_WORDS, RARE = 0xE000, 0xE000  # private characters, the first for what is rare
COUNTING, NET = "counting", "LSTM"


@dataclass(frozen=True)
class Settings:
    """Counting, or one net, at one level."""

    data_files: ClassVar[tuple[str, ...]] = ("tinyshakespeare.txt",)
    level: str = "character"
    learner: str = NET
    n_chars: int = 300_000
    n_units: int = 128
    max_epochs: int = 6
    seed: int = 0


GRID = {
    "quick": [
        {"level": ["character", "word"], "learner": [COUNTING, NET], "n_chars": 20_000, "n_units": 16,
         "max_epochs": 1},
    ],
    "default": [
        {"level": ["character", "word"], "learner": COUNTING},
        {"level": ["character", "word"], "learner": NET, "seed": range(5)},
    ],
}  # fmt: skip
SIDE_BY_SIDE = True
EXPECTED_S = {"quick": 3, "default": 300}
COLUMNS = ("model", "bits", "weight")
BY = ("level", "model")
RANKING = Ranking("bits", within=("level",))


def run(settings: Settings) -> list[dict]:
    """Bits a symbol of one net and its mixture, or of everything that counts."""
    train, choose, test = parts(settings)
    alphabet = "".join(sorted(set(train + choose + test)))
    if settings.learner == COUNTING:
        models = {f"order {order}": counted(order, train, alphabet) for order in ORDERS}
        rows = [_row(name, model.bits_per_symbol(test)) for name, model in models.items()]
        return [*rows, _row("bag of words", _bag(models["order 0"], choose, test))]
    from cells import CharRNN

    net = CharRNN(
        settings.n_units, max_epochs=settings.max_epochs, alphabet=alphabet, random_state=settings.seed, n_jobs=1
    ).fit(train)
    orders = [counted(order, train, alphabet) for order in ORDERS]
    best = min(orders, key=lambda model: model.bits_per_symbol(choose))
    mixture = net.interpolate(best, choose)
    return [_row(NET, net.score(test), 1.0), _row(f"{NET} + n-gram", mixture.score(test), mixture.weight)]


def _row(model: str, bits: float, weight: float = 0.0) -> dict:
    return {"model": model, "bits": float(bits), "weight": weight}


def parts(settings: Settings) -> tuple[str, str, str]:
    """The three parts of the text, a character a symbol."""
    from studies.tasks.text_data import tinyshakespeare

    text = tinyshakespeare(valid_share=0.0).train[: settings.n_chars]
    cuts = [0, int(0.8 * len(text)), int(0.9 * len(text)), len(text)]
    found = [text[begin:end] for begin, end in pairwise(cuts)]
    if settings.level == "word":
        found = _words(found)
    return tuple(found)


def _words(texts: list[str]) -> list[str]:
    """Texts of words as texts of private characters; words are those of the first text."""
    words = [re.findall(r"[a-z']+|[^\sa-z']", text.lower()) for text in texts]
    counts = Counter(words[0])
    known = sorted(word for word, count in counts.items() if count >= MOST_RARE)
    symbol = {word: chr(FIRST_OF_WORDS + 1 + k) for k, word in enumerate(known)}
    return ["".join(symbol.get(word, chr(RARE)) for word in of_text) for of_text in words]


def counted(order: int, text: str, alphabet: str):
    """An n-gram model by Witten and Bell."""
    from cells.language.ngram import NGram

    return NGram(order, smoothing="witten-bell", alphabet=alphabet).fit(text)


def _bag(unigram, choose: str, test: str) -> float:
    """Bits a symbol of the bag of the last symbols mixed with the unigram, the weight chosen on ``choose``."""
    weights = np.linspace(0.0, 0.99, 34)

    def bits(text: str, weight: float) -> float:
        alone = np.exp(unigram.log_probabilities_of(text))
        return float(-np.log2(weight * in_bag(text) + (1.0 - weight) * alone).mean())

    return bits(test, min(weights, key=lambda weight: bits(choose, weight)))


def in_bag(text: str) -> np.ndarray:
    """(T,) share of each symbol among the last :data:`BAG` before it, fewer at the beginning, where it is 0."""
    found, counts = np.zeros(len(text)), Counter()
    for t, symbol in enumerate(text):
        found[t] = counts[symbol] / max(1, min(t, BAG))
        counts[symbol] += 1
        if t >= BAG:
            counts[text[t - BAG]] -= 1
    return found


def remarks(rows) -> list[str]:
    """By how much a mixture is better than both of its parts."""
    said = []
    for level, group in rows.groupby("level", sort=False):
        median = group.groupby("model")["bits"].median()
        if f"{NET} + n-gram" not in median:
            continue
        orders = median[median.index.str.startswith("order")]
        best = min(median[NET], orders.min()) if len(orders) else median[NET]
        gain = best - median[f"{NET} + n-gram"]
        said.append(
            f"By {level}, the mixture has {gain:.3f} bits fewer than the better of the net and the best n-gram."
        )
    return said


def plot(rows):
    """Bits against the order, the nets as lines across."""
    from studies.bench.figures import COLOURS, bar_line, panels

    levels = list(rows["level"].unique())
    figure, all_axes = panels(len(levels), width=4.8)
    for axes, level in zip(all_axes, levels, strict=True):
        median = rows[rows["level"] == level].groupby("model")["bits"].median()
        orders = [order for order in ORDERS if f"order {order}" in median]
        axes.plot(orders, [median[f"order {order}"] for order in orders], "o-", color=COLOURS[0], label="n-gram")
        for name in ("bag of words", NET, f"{NET} + n-gram"):
            if name in median:
                bar_line(axes, median[name], name)
        axes.set(xlabel="symbols of context", ylabel="bits a symbol", title=f"by {level}")
        axes.legend()
    return figure
