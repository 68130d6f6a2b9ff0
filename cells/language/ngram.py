"""A language model that counts: interpolated n-grams over characters or any other symbols.

With a context of k symbols the model knows how often each symbol followed it, and mixes these shares with what
the context shortened by its oldest symbol says, down to no context and at last to the uniform distribution:

    p_k(s | x) = share_k(x s) + rest_k(x) p_{k-1}(s | x'),      p_{-1}(s) = 1 / V

x' is x without its oldest symbol; a context that never occurred leaves p_{k-1} as it is. With n(x s) occurrences
and d(x) different symbols after x, the two ways to smooth are

    Witten-Bell    share = n(x s) / (n(x) + d(x)),              rest = d(x) / (n(x) + d(x))
    Kneser-Ney     share = (n(x s) - D(n(x s))) / n(x),         rest = sum_s D(n(x s)) / n(x)

where Kneser-Ney counts, at every order but the highest, not occurrences but the different symbols that stood
before (x s), and takes off three discounts D(1), D(2), D(3 and more) per order, estimated from how many counts
are 1, 2, 3 and 4.

Contexts are numbered order by order: the number of a context of k symbols is found from its oldest symbol and
the number of the rest, so numbers stay below the length of the text whatever the order and the alphabet. What
was seen is held in sorted arrays, one entry a pair (context, symbol); a text is scored by two binary searches a
position and order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from cells.language.alphabet import code_points
from cells.language.writing import MOST_WRITTEN, check_temperature, draw_one
from optim.arguments import brief, choice, integer
from reservoir.estimators.estimator import all_or_nothing

Text = str | Sequence | np.ndarray

SMOOTHINGS = ("kneser-ney", "witten-bell")
MOST_CONTEXT = 1000  # symbols, far beyond those that occur twice
MIN_DISCOUNT = 0.1  # where counts are too few to estimate one; above zero, so that no symbol is impossible


@dataclass(frozen=True)
class _Order:
    """What followed the contexts of one length. C contexts, E pairs (context, symbol) that occurred.

    Attributes
    ----------
    keys : (C,) int64, sorted: oldest symbol * number of shorter contexts + number of the rest
    n_shorter : int, contexts that are one symbol shorter
    pairs : (E,) int64, sorted: context * V + symbol
    counts : (E,) int64, occurrences
    """

    keys: np.ndarray
    n_shorter: int
    pairs: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class _Mixture(_Order):
    """An order with the two terms of the equation above, and where the pairs of each context begin.

    Attributes
    ----------
    shares : (E,) float64
    rest : (C,) float64
    starts : (C + 1,) int64
    """

    shares: np.ndarray
    rest: np.ndarray
    starts: np.ndarray


class NGram:
    """Interpolated n-gram model, the equations above.

    Parameters
    ----------
    order : int in [0, 1000], symbols of context; 0 knows only how frequent each symbol is. The default is the best on
        a megabyte of English.
    smoothing : "kneser-ney" or "witten-bell"
    alphabet : str or sequence of the symbols that may occur; None takes those of the text that is fitted

    Attributes
    ----------
    alphabet_ : str, or (V,) array of symbols
    n_symbols_ : int, V
    n_contexts_ : tuple of ints, different contexts of each length 0 .. order

    References
    ----------
    Witten and Bell 1991, "The zero-frequency problem", IEEE Trans. Inf. Theory 37, method C. Kneser and Ney 1995,
    "Improved backing-off for m-gram language modeling". Both in the interpolated forms of Chen and Goodman 1999,
    "An empirical study of smoothing techniques for language modeling", the second with their three discounts; a
    pair that stands only at the beginning of a text counts as if one symbol stood before it.

    Examples
    --------
    >>> model = NGram(order=2).fit("the cat sat on the mat. the cat sat.")
    >>> round(model.bits_per_symbol("the mat sat."), 2)
    1.97
    >>> model.sample(12, prime="the", rng=np.random.default_rng(0), temperature=0.2)
    ' mat. th th '
    """

    def __init__(self, order: int = 6, *, smoothing: str = "kneser-ney", alphabet: Text | None = None):
        self.order = integer("order", order, least=0, most=MOST_CONTEXT, remedy="4 to 6 suit a megabyte of text")
        self.smoothing = choice("smoothing", smoothing, SMOOTHINGS)
        self.alphabet = alphabet

    # ------------------------------------------------------------------------------------------------ learning

    @all_or_nothing
    def fit(self, text: Text | list) -> NGram:
        """Count what follows what.

        Parameters
        ----------
        text : str, or a 1-D array or sequence of symbols; a list of strings or of arrays is several texts, and no
            context reaches from one into the next

        Returns
        -------
        self
        """
        texts = text if _is_several(text) else [text]
        self._set_alphabet(texts)
        pieces = [self._numbers(piece) for piece in texts]
        if not sum(piece.size for piece in pieces):
            raise ValueError("text must have at least one symbol to fit, got none; pass a text.")
        symbols = np.concatenate(pieces)
        since_start = np.concatenate([np.arange(piece.size) for piece in pieces])
        context, at, seen = np.zeros(symbols.size, np.int64), np.arange(symbols.size), []
        keys, n_shorter = np.zeros(1, np.int64), 1
        for k in range(self.order + 1):
            if k:
                reaches = since_start[at] >= k
                at, context = at[reaches], context[reaches]
                n_shorter = len(keys)
                keys, context = np.unique(symbols[at - k] * n_shorter + context, return_inverse=True)
            pairs, counts = np.unique(context * self.n_symbols_ + symbols[at], return_counts=True)
            seen.append(_Order(keys, n_shorter, pairs, counts))
        self._orders = [self._mix(order, longer) for order, longer in zip(seen, [*seen[1:], None], strict=True)]
        self.n_contexts_ = tuple(len(order.keys) for order in self._orders)
        return self

    def _set_alphabet(self, texts: Sequence) -> None:
        given = self.alphabet
        self._is_text = all(isinstance(piece, str) for piece in texts)
        if self._is_text:
            known = sorted(set().union(*texts)) if given is None else _characters(given)
            self.alphabet_ = "".join(known)
            self._codes = np.array([ord(symbol) for symbol in known], np.int64)
        else:
            source = [_symbols("text", piece) for piece in texts] if given is None else [_symbols("alphabet", given)]
            self._codes = self.alphabet_ = np.unique(np.concatenate([part for part in source if part.size] or source))
        self.n_symbols_ = len(self.alphabet_)
        if given is not None and not self.n_symbols_:
            raise ValueError(f"alphabet must hold at least one symbol, got {brief(given)}; None takes the text's.")
        self._sorted = np.argsort(self._codes, kind="stable")

    def encode(self, text: Text) -> np.ndarray:
        """Places in the alphabet of the symbols of a text. Returns (T,) int64."""
        if not hasattr(self, "n_contexts_"):
            raise NotFittedError("This NGram has learnt no text yet; call fit first.")
        return self._numbers(text)

    def _numbers(self, text: Text) -> np.ndarray:
        if self._is_text != isinstance(text, str):
            kind = "a str" if self._is_text else "an array of symbols"
            raise TypeError(f"text must be {kind} like the one fitted, got {brief(text)}; pass such a text.")
        codes = code_points(text).astype(np.int64) if self._is_text else _symbols("text", text)
        if not codes.size:
            return np.zeros(0, np.int64)
        ranked = self._codes[self._sorted]
        place = np.minimum(np.searchsorted(ranked, codes), self.n_symbols_ - 1)
        unknown = np.unique(codes[ranked[place] != codes])
        if unknown.size:
            shown = [chr(code) for code in unknown[:10]] if self._is_text else unknown[:10].tolist()
            raise ValueError(
                f"text must hold only symbols of the alphabet, got {shown}; name the whole alphabet by alphabet=, or "
                "replace these symbols."
            )
        return self._sorted[place].astype(np.int64)

    def _mix(self, order: _Order, longer: _Order | None) -> _Mixture:
        """The terms of one order. longer : the order with one more symbol of context, None for the highest."""
        owner, n_contexts, counts = order.pairs // self.n_symbols_, len(order.keys), order.counts
        kinds = np.bincount(owner, minlength=n_contexts)
        if self.smoothing == "witten-bell":
            norm = np.bincount(owner, counts, n_contexts) + kinds
            shares, rest = counts / norm[owner], kinds / norm
        else:
            counts = counts if longer is None else self._n_before(order, longer)
            norm = np.bincount(owner, counts, n_contexts)
            taken = _discounts(counts)[np.minimum(counts, 3) - 1]
            shares, rest = (counts - taken) / norm[owner], np.bincount(owner, taken, n_contexts) / norm
        starts = np.concatenate([[0], np.cumsum(kinds)])
        return _Mixture(order.keys, order.n_shorter, order.pairs, counts, shares, rest, starts)

    def _n_before(self, order: _Order, longer: _Order) -> np.ndarray:
        """How many different symbols stood before each pair of `order`, at least one. Returns (E,) int64."""
        V = self.n_symbols_
        shortened = (longer.keys % longer.n_shorter)[longer.pairs // V] * V + longer.pairs % V
        pairs, counts = np.unique(shortened, return_counts=True)
        n_before = np.ones(order.pairs.size, np.int64)
        n_before[np.searchsorted(order.pairs, pairs)] = counts
        return n_before

    # ------------------------------------------------------------------------------------------------- scoring

    def _contexts(self, symbols: np.ndarray, at: np.ndarray) -> Iterator[tuple[_Mixture, np.ndarray, np.ndarray]]:
        """(order, rows, contexts) of every order: the entries of `at` whose context was seen, and its number.

        symbols : (T,) int64; at : (n,) places of the symbols to predict, T meaning the one after the last.
        """
        rows, context = np.arange(at.size), np.zeros(at.size, np.int64)
        for k, order in enumerate(self._orders):
            if k:
                reaches = at[rows] >= k
                rows, context = rows[reaches], context[reaches]
                key = symbols[at[rows] - k] * order.n_shorter + context
                context, seen = _find(order.keys, key)
                rows, context = rows[seen], context[seen]
            if not rows.size:
                return
            yield order, rows, context

    def log_probabilities_of(self, text: Text) -> np.ndarray:
        """log p of every symbol of a text given those before it, in nats. Returns (T,) float64."""
        symbols = self.encode(text)
        p = np.full(symbols.size, 1.0 / self.n_symbols_)
        for order, rows, context in self._contexts(symbols, np.arange(symbols.size)):
            place, seen = _find(order.pairs, context * self.n_symbols_ + symbols[rows])
            p[rows] = np.where(seen, order.shares[place], 0.0) + order.rest[context] * p[rows]
        return np.log(p)

    def log_probabilities(self, context: Text) -> np.ndarray:
        """log p of every symbol of the alphabet after a context, in nats. Returns (V,) float64."""
        symbols = self.encode(context)
        return self._distributions(symbols, np.array([symbols.size]))[0]

    def log_probability_blocks(self, text: Text, *, n_rows: int = 4096) -> Iterator[np.ndarray]:
        """log p of every symbol of the alphabet at every place of a text, in nats, in blocks of rows.

        Row t is the distribution of symbol t given those before it, so a block costs n_rows * V numbers and a text
        of any length can be mixed with what a network says.

        Parameters
        ----------
        text : as in `fit`, one text
        n_rows : int >= 1

        Yields
        ------
        block : (n_rows or fewer, V) float64
        """
        symbols, n_rows = self.encode(text), integer("n_rows", n_rows)
        for start in range(0, symbols.size, n_rows):
            yield self._distributions(symbols, np.arange(start, min(start + n_rows, symbols.size)))

    def _distributions(self, symbols: np.ndarray, at: np.ndarray) -> np.ndarray:
        """(n, V) log p at the places `at`."""
        p = np.full((at.size, self.n_symbols_), 1.0 / self.n_symbols_)
        for order, rows, context in self._contexts(symbols, at):
            p[rows] *= order.rest[context, None]
            first = order.starts[context]
            kinds = order.starts[context + 1] - first
            ends = np.cumsum(kinds)
            entries = np.repeat(first - (ends - kinds), kinds) + np.arange(ends[-1])
            # a row meets a symbol once, so a plain indexed sum loses nothing
            p[np.repeat(rows, kinds), order.pairs[entries] % self.n_symbols_] += order.shares[entries]
        return np.log(p)

    def nats_per_symbol(self, text: Text) -> float:
        """Mean of -log p over the symbols of a text, in nats."""
        log_p = self.log_probabilities_of(text)
        if not log_p.size:
            raise ValueError("text must have at least one symbol to score, got none; pass a text.")
        return float(-log_p.mean())

    def bits_per_symbol(self, text: Text) -> float:
        """Mean of -log2 p over the symbols of a text."""
        return self.nats_per_symbol(text) / float(np.log(2.0))

    # ------------------------------------------------------------------------------------------------ sampling

    def sample(
        self, n_symbols: int, *, rng: np.random.Generator, prime: Text | None = None, temperature: float = 1.0
    ) -> str | np.ndarray:
        """Draw a continuation, symbol by symbol.

        Parameters
        ----------
        n_symbols : int >= 0
        rng : numpy.random.Generator
        prime : what stands before; None begins a text
        temperature : float >= 0, log p is divided by it; at 0 the likeliest symbol always wins

        Returns
        -------
        continuation : str, or (n_symbols,) array of symbols, without the prime
        """
        n_symbols = integer("n_symbols", n_symbols, least=0, most=MOST_WRITTEN, remedy="give the number to draw")
        temperature = check_temperature(temperature)
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator, got {brief(rng)}; pass default_rng(0).")
        before = self.encode(("" if self._is_text else []) if prime is None else prime)
        before = before[max(0, before.size - self.order) :]
        drawn = np.concatenate([before, np.zeros(n_symbols, np.int64)])
        for t in range(before.size, drawn.size):
            drawn[t] = draw_one(self._distributions(drawn, np.array([t]))[0], temperature, rng)
        drawn = drawn[before.size :]
        return "".join(self.alphabet_[s] for s in drawn) if self._is_text else np.asarray(self.alphabet_)[drawn]


def _characters(alphabet: Any) -> list[str]:
    """The different characters of an alphabet, in their order."""
    known = list(dict.fromkeys(alphabet)) if isinstance(alphabet, (str, Sequence, np.ndarray)) else [alphabet]
    if not all(isinstance(symbol, str) and len(symbol) == 1 for symbol in known):
        raise TypeError(f"alphabet must be a str or a list of characters, got {brief(alphabet)}; join words.")
    return known


def _symbols(name: str, text: Any) -> np.ndarray:
    """(T,) symbols that can be compared: numbers or strings."""
    try:
        codes = np.asarray(text)
    except ValueError as error:  # rows of several lengths
        raise ValueError(f"{name} must have one dimension, got {brief(text)}; pass texts as a list.") from error
    if not codes.size and codes.ndim == 1:
        return codes
    if codes.dtype.kind not in "biufU" or (codes.ndim == 0 and codes.dtype.kind == "U"):
        raise TypeError(f"{name} must be a str or an array of symbols, got {brief(text)}; decode bytes.")
    if codes.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {codes.shape}; pass texts as a list.")
    return codes


def _find(table: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of every wanted number in a sorted table, and whether it is there."""
    if not table.size:
        return np.zeros(wanted.shape, np.int64), np.zeros(wanted.shape, bool)
    place = np.minimum(np.searchsorted(table, wanted), table.size - 1)
    return place, table[place] == wanted


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken off a count of 1, of 2 and of 3 or more.

        Y = n_1 / (n_1 + 2 n_2),      D_i = i - (i + 1) Y n_{i+1} / n_i

    n_i is how many counts equal i. Where an n_i is zero, D_i is Y; all are kept within MIN_DISCOUNT and i.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    common = n[1] / (n[1] + 2.0 * n[2]) if n[1] else MIN_DISCOUNT
    D = [i - (i + 1) * common * n[i + 1] / n[i] if n[i] else common for i in (1, 2, 3)]
    return np.clip(D, MIN_DISCOUNT, [1.0, 2.0, 3.0])


def _is_several(text: Text | list) -> bool:
    """Whether `text` is a list of texts and not one text given as a list of symbols."""
    return isinstance(text, (list, tuple)) and bool(text) and (isinstance(text[0], (str, np.ndarray, list, tuple)))
