"""Does a network that learnt to add 8-bit numbers add numbers of 1,000 bits, and is it the automaton inside?

Method. Two numbers go in right to left, a pair of bits per step, and the bits of their sum come out. Small recurrent
networks (Elman with tanh or logistic units, GRU, LSTM) are trained on 2,000 pairs of `n_bits` bits by Adam and then
add 1,000 fresh pairs of each length; a sum is right if all its bits are. Beside them stands the feed-forward way: a
network of one hidden layer (scikit-learn, 100 units, L-BFGS) that sees both numbers at once, trained on the same pairs;
it has no inputs for longer numbers.

The automaton is read from the states. The states after each step of the trained network are put into 48 clusters by
k-means; for each cluster and each pair of bits the most frequent next cluster is its successor, and the printed bit
most frequent in it is its output. Clusters that no input can tell apart are then merged (Moore 1956). The automaton
that is left adds the same test numbers. The teacher's has four states: carry and printed bit.

Tuning. None but the learning rate, 0.01, which all recurrent networks bear.

Sources. The lecture's example of hidden states and finite automata; Moore 1956, "Gedanken-experiments on sequential
machines", for the merging; Giles et al. 1992, "Learning and extracting finite state automata", for the extraction.

Expected run time: about three minutes by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking

RECURRENT = ("tanh", "logistic", "GRU", "LSTM")
FEED_FORWARD = "feed-forward"


@dataclass(frozen=True)
class Settings:
    """One network and the lengths it is asked for."""

    way: str = "tanh"
    n_units: int = 16
    n_bits: int = 8
    n_train: int = 2000
    n_updates: int = 3000
    batch_size: int = 50
    learning_rate: float = 0.01
    n_pairs: int = 1000
    n_clusters: int = 48
    lengths: tuple[int, ...] = (8, 64, 1000)
    seed: int = 0


GRID = {
    "quick": [{"way": "tanh", "n_updates": 600, "n_pairs": 100, "lengths": (8, 100), "seed": range(2)}],
    "default": [
        {"way": list(RECURRENT), "n_units": [4, 16], "seed": range(5)},
        {"way": FEED_FORWARD, "n_units": 100, "seed": range(5)},
    ],
}
EXPECTED_S = {"quick": 4, "default": 180}
COLUMNS = ("bits", "adder", "right_share", "wrong_bit_share", "n_states")
BY = ("way", "n_units", "adder", "bits")
RANKING = Ranking("right_share", better="higher", last="bits")


def run(settings: Settings) -> list[dict]:
    """Shares of right sums at each length, and how the automaton does on the same numbers."""
    from studies.tasks.automata import read_automaton
    from studies.tasks.puzzles import draw

    rng = np.random.default_rng([settings.seed, 2024])
    training = draw("binary addition", "lecture", n_sequences=settings.n_train, T=settings.n_bits, rng=rng)
    tests = {
        bits: draw("binary addition", "lecture", n_sequences=settings.n_pairs, T=bits, rng=rng)
        for bits in settings.lengths
    }
    if settings.way == FEED_FORWARD:
        return _feed_forward(settings, training, tests)
    network, theta = _trained(settings, training, tests[min(tests)])
    automaton = read_automaton(*_seen(network, theta, tests[min(tests)]), settings.n_clusters, seed=settings.seed)
    rows = []
    for bits, test in tests.items():
        rows.append(_row(bits, "network", _said(network, theta, test), test))
        rows.append(_row(bits, "automaton", automaton.run(test.inputs), test, n_states=automaton.n_states))
    return rows


def _row(bits: int, adder: str, printed: np.ndarray, test, *, n_states: int = 0) -> dict:
    """Errors of the bits printed, (n, T). n_states : of the automaton, 0 for a network."""
    is_right = printed == test.targets[..., 0]
    return {
        "bits": bits,
        "adder": adder,
        "right_share": float(np.mean(is_right.all(axis=1))),
        "wrong_bit_share": float(1.0 - np.mean(is_right)),
        "n_states": n_states,
    }


def _trained(settings: Settings, training, test):
    from cells import GRU, LSTM, Elman, initial_theta
    from optim import Adam
    from studies.learners.training import network_for, train

    cell = {"GRU": GRU, "LSTM": LSTM}.get(settings.way)
    cell = cell(2, settings.n_units) if cell else Elman(2, settings.n_units, activation=settings.way)
    network = network_for(training, cell)
    theta = initial_theta(network, rng=np.random.default_rng(settings.seed), dtype=np.float32)
    method = Adam(settings.learning_rate, clip_norm=1.0)
    theta, _ = train(
        *(network, theta, method, training, test),
        n_updates=settings.n_updates,
        n_looks=1,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    return network, theta


def _said(network, theta, test) -> np.ndarray:
    """(n, T) bits that the network prints."""
    from studies.learners.training import outputs_of

    return (outputs_of(network, theta, test)[..., 0] > 0).astype(np.int64)


def _seen(network, theta, test) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States (n, T, H), bits that went in (n, T, 2), and bits printed (n, T)."""
    from studies.learners.training import states_of

    return states_of(network, theta, test), test.inputs.astype(np.int64), _said(network, theta, test)


def _feed_forward(settings: Settings, training, tests) -> list[dict]:
    from sklearn.neural_network import MLPClassifier

    def flat(bits: np.ndarray) -> np.ndarray:
        return bits[:, : settings.n_bits].reshape(len(bits), -1)

    model = MLPClassifier(
        (settings.n_units,), solver="lbfgs", max_iter=5000, max_fun=100_000, random_state=settings.seed
    )
    model.fit(flat(training.inputs), training.targets[..., 0].astype(np.int64))
    test = tests[settings.n_bits]
    return [_row(settings.n_bits, "network", model.predict(flat(test.inputs)), test)]


def remarks(rows) -> list[str]:
    """How many networks never err, and how often the automaton read from a network is the teacher's."""
    sentences = []
    for adder, group in rows[rows["way"] != FEED_FORWARD].groupby("adder", sort=False):
        longest = group[group["bits"] == group["bits"].max()]
        perfect = longest["right_share"] == 1.0
        if adder == "automaton":
            perfect &= longest["n_states"] == 4
        what = {"network": "the network", "automaton": "the automaton read from it has four states and"}[adder]
        sentences.append(
            f"At {longest['bits'].iloc[0]} bits {what} adds without an error in {perfect.sum()} of {len(perfect)} runs."
        )
    return sentences


def plot(rows):
    """Right sums against the number of bits, for networks and automata, and the number of states read."""
    from studies.bench.figures import COLOURS, MARKERS, panels, strip

    figure, (left, middle, right) = panels(3, width=4.8, height=3.8)
    groups = list(rows.groupby(["way", "n_units"], sort=False))
    ways = list(rows["way"].unique())
    for axes, adder, title in (
        (left, "network", "the networks add"),
        (middle, "automaton", "the automata read from them add"),
    ):
        for i, ((way, n_units), group) in enumerate(groups):
            share = group[group["adder"] == adder].groupby("bits")["right_share"].mean()
            shift = 1.0 + 0.05 * (i - len(groups) / 2)  # several ways are at 1 at every length
            is_small = n_units < rows.loc[rows["way"] == way, "n_units"].max()
            style = MARKERS[ways.index(way)] + ("--" if is_small else "-")
            colour = COLOURS[ways.index(way)]
            axes.plot(share.index * shift, share, style, color=colour, label=f"{way}, {n_units} units")
        bits = sorted(rows["bits"].unique())
        axes.set_xscale("log")
        axes.set_xticks(bits, [str(b) for b in bits])
        axes.set_xticks([], minor=True)
        axes.set(ylim=(-0.04, 1.08), xlabel="bits", ylabel="share of sums without an error", title=title)
    left.legend(loc="lower left", fontsize=8)
    read = rows[(rows["adder"] == "automaton") & (rows["bits"] == rows["bits"].min())]
    sizes = {f"{way}\n{n}": group["n_states"] for (way, n), group in read.groupby(["way", "n_units"], sort=False)}
    strip(right, sizes, colours={name: COLOURS[ways.index(name.partition("\n")[0])] for name in sizes})
    right.axhline(4, color=COLOURS[6], linewidth=0.8, zorder=1)
    right.tick_params(axis="x", labelsize=8)
    right.set(ylim=(0, None), ylabel="states after merging", title="size of the automata")
    return figure
