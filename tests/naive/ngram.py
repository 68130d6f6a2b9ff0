"""The n-gram models of `cells.language.ngram`, written from their equations with dictionaries and recursion."""

from collections import Counter


class NaiveNGram:
    """texts : list of lists of ints in 0 .. n_symbols - 1; smoothing : "witten-bell" or "kneser-ney"."""

    def __init__(self, order, texts, n_symbols, smoothing):
        self.order, self.n_symbols, self.smoothing = order, n_symbols, smoothing
        self.counts = [self.count(texts, k) for k in range(order + 1)]
        self.discounts = [self.estimate(counts) for counts in self.counts]

    def count(self, texts, k):
        """{context: {symbol: count}} of the contexts of k symbols."""
        seen = [(tuple(text[t - k : t]), text[t]) for text in texts for t in range(k, len(text))]
        if self.smoothing == "kneser-ney" and k < self.order:
            before = {pair: set() for pair in seen}
            for text in texts:
                for t in range(k + 1, len(text)):
                    before[tuple(text[t - k : t]), text[t]].add(text[t - k - 1])
            counted = {pair: max(1, len(symbols)) for pair, symbols in before.items()}
        else:
            counted = Counter(seen)
        table = {}
        for (context, symbol), n in counted.items():
            table.setdefault(context, {})[symbol] = n
        return table

    def estimate(self, counts):
        """Chen and Goodman's D(1), D(2), D(3+)."""
        every = [n for followers in counts.values() for n in followers.values()]
        n = [0] + [every.count(i) for i in (1, 2, 3, 4)]
        common = n[1] / (n[1] + 2 * n[2]) if n[1] else 0.1
        D = [i - (i + 1) * common * n[i + 1] / n[i] if n[i] else common for i in (1, 2, 3)]
        return [min(max(d, 0.1), i) for i, d in zip((1, 2, 3), D, strict=True)]

    def probability(self, symbol, context):
        """p(symbol | the last `order` symbols of context), context a list."""
        return self.at_order(min(self.order, len(context)), symbol, context)

    def at_order(self, k, symbol, context):
        if k < 0:
            return 1 / self.n_symbols
        shorter = self.at_order(k - 1, symbol, context)
        followers = self.counts[k].get(tuple(context[len(context) - k :]))
        if followers is None:
            return shorter
        n, total = followers.get(symbol, 0), sum(followers.values())
        if self.smoothing == "witten-bell":
            return (n + len(followers) * shorter) / (total + len(followers))
        taken = {s: self.discounts[k][min(c, 3) - 1] for s, c in followers.items()}
        return (n - taken.get(symbol, 0)) / total + sum(taken.values()) / total * shorter
