"""What does a recurrent network learn of Shakespeare's spelling in minutes, and what does counting learn in a second?

Method. tinyshakespeare, the first 90 % to learn from and the last 10 % to be scored on. A network reads the text in
`n_lanes` stretches side by side, `n_steps` characters a window, the state carried from window to window and the
gradient cut there; Adam, its rate rising over the first hundred updates and then falling along a half cosine, the norm
of the gradient clipped at 1. The number of updates is fixed beforehand, so that the result does not depend on the
machine; seconds are reported. For scoring the last 10 % are cut into 64 pieces; each is read after the 100 characters
before it, which are not scored.

Beside the networks stand n-gram models (`cells.language.ngram`), Kneser-Ney and Witten-Bell, each with its best order
for this text. "LSTM + n-gram" is the mixture of the two probabilities in which the network's weight, 1/2 at first, is
at every character the average of the probabilities that the network's guess was the better of the two at those before
it; so nothing is fitted to what is scored.

Tuning. Learning rate, lanes and window by hand on seed 100, for the LSTM, in three runs; the other cells use the
same values, and as many updates.

Sources. Karpathy 2015, char-rnn, for the text; nanoGPT's notes give 1.88 nats after about three minutes on a CPU for
the same split; Mikolov et al. 2011 for mixing with an n-gram; Krause et al. 2016 for the multiplicative LSTM.

Expected run time: about eight minutes by default on two cores; an LSTM of the half-hour profile takes three.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from studies.bench.findings import Ranking

PEER_NATS = 1.88  # nanoGPT's recipe for a CPU, about three minutes, as its notes state it
ORDERS = {"Kneser-Ney": 6, "Witten-Bell": 4}
N_PIECES, N_BEFORE = 64, 100


@dataclass(frozen=True)
class Settings:
    """One model."""

    data_files: ClassVar[tuple[str, ...]] = ("tinyshakespeare.txt",)
    way: str = "LSTM"
    n_units: int = 128
    n_updates: int = 2000
    n_looks: int = 8
    learning_rate: float = 4e-3
    n_lanes: int = 32
    n_steps: int = 64
    order: int = 0
    n_chars: int = 0  # of the text; 0 for all
    seed: int = 0


GRID = {
    "quick": [
        {"way": "LSTM", "n_units": 32, "n_updates": 60, "n_looks": 3, "n_chars": 60_000, "seed": range(2)},
        {"way": "Kneser-Ney", "order": 5, "n_chars": 60_000},
    ],
    "default": [
        {"way": ["LSTM", "GRU", "Elman", "multiplicative LSTM"], "n_updates": 1200, "seed": range(5)},
        *({"way": way, "order": order} for way, order in ORDERS.items()),
    ],
    "half-hour": [
        {"way": ["LSTM", "GRU", "Elman", "multiplicative LSTM"], "n_updates": 5000, "n_units": 256, "seed": range(2)},
        *({"way": way, "order": order} for way, order in ORDERS.items()),
    ],
}
EXPECTED_S = {"quick": 4, "default": 480, "half-hour": 1800}
COLUMNS = ("model", "n_updates", "time_s", "nats", "bits")
BY = ("model", "n_updates")
RANKING = Ranking("bits")


def run(settings: Settings) -> list[dict]:
    """Nats and bits a character at every look, and the same mixed with the n-gram model."""
    from studies.tasks.text_data import split, tinyshakespeare

    text = tinyshakespeare()
    if settings.n_chars:
        text = split((text.train + text.valid)[: settings.n_chars])
    pieces = _pieces(len(text.valid))
    order = settings.order or ORDERS["Kneser-Ney"]
    smoothing = settings.way.lower() if settings.way in ORDERS else "kneser-ney"
    counted, count_s = _counted(text, order, smoothing)
    if settings.way in ORDERS:
        return [_row(f"{settings.way}, order {order}", 0, count_s, counted)]
    rows = []
    for n_updates, time_s, log_p in _looks(settings, text, pieces):
        rows.append(_row(settings.way, n_updates, time_s, log_p))
        rows.append(_row(f"{settings.way} + n-gram", n_updates, time_s + count_s, mixed(log_p, counted)))
    return rows


def _row(model: str, n_updates: int, time_s: float, log_p: np.ndarray) -> dict:
    nats = float(-np.mean(log_p))
    return {"model": model, "n_updates": n_updates, "time_s": time_s, "nats": nats, "bits": nats / float(np.log(2.0))}


def _counted(text, order: int, smoothing: str) -> tuple[np.ndarray, float]:
    """log p of the characters scored by an n-gram model that saw the rest, and the seconds it took."""
    from cells.language.ngram import NGram

    start = time.perf_counter()
    model = NGram(order, smoothing=smoothing, alphabet=text.alphabet).fit(text.train)
    log_p = model.log_probabilities_of(text.train[-order:] + text.valid if order else text.valid)[order:]
    return log_p, time.perf_counter() - start


def _pieces(n: int) -> list[slice]:
    """Cuts of a text of n characters."""
    cuts = np.linspace(0, n, N_PIECES + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(cuts)]


def _looks(settings: Settings, text, pieces: list[slice]):
    """(updates, seconds of training, log p of the characters scored) at every look."""
    from cells import Network, TruncatedObjective, initial_theta, train
    from optim import Adam, Cosine, Warmup
    from studies.tasks.text_data import encode

    symbols, V = encode(text.train + text.valid, text.alphabet), len(text.alphabet)
    n_train = len(text.train)
    network = Network(_cell(settings, V), n_out=V, loss="softmax")
    theta = initial_theta(network, rng=np.random.default_rng(settings.seed), dtype=np.float32)
    lane = (n_train - 1) // settings.n_lanes // settings.n_steps * settings.n_steps
    lanes = np.arange(settings.n_lanes)[:, None] * lane + np.arange(lane)
    objective = TruncatedObjective(network, symbols[lanes], symbols[lanes + 1], k1=settings.n_steps, dtype=np.float32)
    heard = [symbols[max(0, n_train + piece.start - 1 - N_BEFORE) : n_train + piece.stop - 1] for piece in pieces]
    valid = symbols[n_train:]
    found, looking_s = [], 0.0
    every = max(1, settings.n_updates // settings.n_looks)

    def callback(progress) -> None:
        nonlocal looking_s
        if progress.iteration % every == 0:
            start = time.perf_counter()
            log_p = _log_p(network, progress.theta, heard, [valid[piece] for piece in pieces])
            found.append((progress.iteration, progress.row["seconds"] - looking_s, log_p))
            looking_s += time.perf_counter() - start

    rate = Warmup(Cosine(settings.learning_rate, settings.n_updates), max(1, min(100, settings.n_updates // 10)))
    train(objective, theta, Adam(rate, clip_norm=1.0), max_iterations=settings.n_updates, callback=callback)
    return found


def _cell(settings: Settings, n_symbols: int):
    from cells import GRU, LSTM, Elman, MultiplicativeLSTM

    cell = {"LSTM": LSTM, "GRU": GRU, "Elman": Elman, "multiplicative LSTM": MultiplicativeLSTM}[settings.way]
    return cell(n_symbols, settings.n_units)


def _log_p(network, theta: np.ndarray, heard: list[np.ndarray], scored: list[np.ndarray]) -> np.ndarray:
    """log p of the symbols scored, piece after piece, given what was heard before them."""
    from cells import predict

    p = predict(network, theta, heard)
    chosen = [q[-len(s) :][np.arange(len(s)), s] for q, s in zip(p, scored, strict=True)]
    tiny = np.finfo(np.float32).tiny  # a probability that float32 has rounded to 0 still has a logarithm
    return np.log(np.maximum(np.concatenate(chosen).astype(np.float64), tiny))


def mixed(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """log of w p + (1 - w) q, where w is 1/2 at first and then the mean of w p / (w p + (1 - w) q) so far.

        r_t = w_t p_t / (w_t p_t + (1 - w_t) q_t),      w_{t+1} = (1/2 + r_1 + ... + r_t) / (1 + t)

    Parameters
    ----------
    log_p, log_q : (T,)

    Examples
    --------
    >>> float(np.exp(mixed(np.log([0.5]), np.log([0.1])))[0].round(6))
    0.3
    """
    p, q = np.exp(log_p), np.exp(log_q)
    mixture, total = np.empty(len(p)), 0.5
    for t, (p_t, q_t) in enumerate(zip(p.tolist(), q.tolist(), strict=True)):
        w = total / (1.0 + t)
        mixture[t] = w * p_t + (1.0 - w) * q_t
        total += w * p_t / mixture[t]
    return np.log(mixture)


def plot(rows):
    """Nats a character against seconds, networks as lines over the looks, n-gram models as marks."""
    from studies.bench.figures import COLOURS, MARKERS, bar_line, panels

    figure, (axes,) = panels(1, width=9.0, height=4.6)
    colours: dict[str, str] = {}
    for model, group in rows.groupby("model", sort=False):
        way = model.removesuffix(" + n-gram")
        colour = colours.setdefault(way, COLOURS[len(colours) % len(COLOURS)])
        median = group.groupby("n_updates")[["time_s", "nats"]].median()
        if group["n_updates"].max() == 0:
            axes.plot(median["time_s"], median["nats"], "D", color=colour, label=model)
            continue
        is_mixed = model != way
        marker = MARKERS[list(colours).index(way) % len(MARKERS)]
        axes.plot(median["time_s"], median["nats"], marker + ("--" if is_mixed else "-"), color=colour, label=model)
    bar_line(axes, PEER_NATS, "nanoGPT's notes: CPU, about 3 minutes")
    axes.set_xscale("log")
    axes.set(xlabel="seconds", ylabel="nats a character", title="tinyshakespeare, last 10 %")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)  # curves come from every corner of the axes
    return figure
