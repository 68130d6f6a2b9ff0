"""Can an echo state network, whose recurrent weights nobody trains, bridge the lags that long memory is tested by?

Method. The puzzles of `long_lags`, in the same version: addition, multiplication, XOR, temporal order with two and with
three marks, random permutation, memorisation of 5 and of 20 bits; T is their nominal length. Nothing but a ridge
readout is learnt: of the last state where there is one answer at the end, of every state where there is one a step.
Reservoirs are tried until one has less than 1 % of the validation sequences wrong, or `n_tried` have been: the first
half at random, the rest near the best so far. What is drawn: the spectral radius, the leak, the size of the weights of
every input (of all alike where there are more than ten), of the bias, sparse or orthogonal wiring, the penalty. The one
that is found answers other sequences once, and has solved the puzzle if less than 1 % of those are wrong. 5-bit
memorisation has only 32 sequences, which are all learnt and all asked. `seconds` are those of the whole search.

Found (searches of five that succeed). Temporal order in 5, 5 and 5 at T = 50, 100 and 200, with three marks in 5, 4 and
4, addition in 5, 5 and 4, all after 1 to 5 reservoirs and 2 to 15 s in the median; 5 bits in 5, 5 and 3, after 9, 20
and 197 reservoirs of 500 units; XOR in 4 at T = 50 and 2 at 100; at T = 50 random permutation in 4 and multiplication
in 3; 20 bits, with 300 units, in none. So nothing in most of these puzzles needs trained recurrent weights; what they
need is found by drawing sizes of inputs, leak and radius.

Sources. Jaeger 2012, Jacobs University technical report 27, "Long short-term memory in echo state networks: details
of a simulation study", for the question; his tables were not seen, and none is given. Martens and Sutskever 2011 for
the puzzles; Sutskever et al. 2013 say that conventional networks of 100 units do not learn them.

Expected run time: twenty minutes by default on two cores with --jobs 2.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies.bench.findings import Ranking
from studies.long_lags import FEW_PATTERNS, PUZZLES, SOLVED, VERSION
from studies.tasks.sequence_task import Draw

ALPHAS = 10.0 ** np.arange(-8, 3)
MOST_SIZES = 10  # inputs that have sizes of their own


@dataclass(frozen=True)
class Settings:
    """One search."""

    task: str = "addition"
    T: int = 50
    n_units: int = 300
    n_tried: int = 40
    n_train: int = 500
    n_test: int = 500
    seed: int = 0


GRID = {
    "quick": [
        {"task": ["temporal order", FEW_PATTERNS], "T": 10, "n_units": 100, "n_tried": 6, "n_train": 300,
         "n_test": 200, "seed": range(2)},
    ],
    "default": [
        {"task": ["addition", "temporal order", "temporal order, 3 marks"], "T": [50, 100, 200], "seed": range(5)},
        {"task": FEW_PATTERNS, "T": [50, 100, 200], "n_units": 500, "n_tried": 200, "seed": range(5)},
        {"task": "xor", "T": [50, 100], "seed": range(5)},
        {"task": ["multiplication", "random permutation", "memorisation, 20 bits"], "T": 50, "seed": range(5)},
    ],
    "hour": [
        {"task": list(PUZZLES), "T": [50, 100, 200], "n_units": 500, "seed": range(5)},
        {"task": "memorisation, 20 bits", "T": [50, 100, 200], "n_units": 2000, "seed": range(5)},
    ],
}  # fmt: skip
SIDE_BY_SIDE = True
EXPECTED_S = {"quick": 4, "default": 2000, "hour": 4000}
COLUMNS = ("is_solved", "wrong_share", "n_tried_until", "seconds", "spectral_radius", "leak_rate", "topology")
BY = ("task", "T", "n_units")
RANKING = Ranking("wrong_share", within=("task", "T"))


def run(settings: Settings) -> list[dict]:
    """Search a reservoir, then ask it once."""
    from studies.tasks.puzzles import draw

    rng = np.random.default_rng([settings.seed, 2024])
    has_few = settings.task == FEW_PATTERNS
    training, validation, test = (
        draw(settings.task, VERSION, n_sequences=None if has_few else n, T=settings.T, rng=rng)
        for n in (settings.n_train, settings.n_test // 2, settings.n_test)
    )
    trials = np.random.default_rng([settings.seed, 7])
    begin, best = time.perf_counter(), None
    for k in range(settings.n_tried):
        is_near = best is not None and k >= settings.n_tried // 2
        candidate = near(best[1], trials) if is_near else anywhere(training.n_inputs, trials)
        answer = learnt(training, candidate, settings)
        outputs = answer(validation)
        cost = float(np.mean(validation.wrong(outputs))), _squared_error(validation, outputs)
        if best is None or cost < best[0]:
            best = cost, candidate, answer
        if best[0][0] < SOLVED:
            break
    seconds = time.perf_counter() - begin
    _, candidate, answer = best
    wrong_share = float(np.mean(test.wrong(answer(test))))
    found = {name: candidate[name] for name in ("spectral_radius", "leak_rate", "topology")}
    counts = {"is_solved": int(wrong_share < SOLVED), "wrong_share": wrong_share, "n_tried_until": k + 1}
    return [counts | {"seconds": seconds} | found]


def anywhere(n_inputs: int, rng: np.random.Generator) -> dict[str, Any]:
    """Settings of a reservoir: slow or not, near the edge of forgetting or not."""
    n_sizes = n_inputs if n_inputs <= MOST_SIZES else 1
    return {
        "spectral_radius": rng.uniform(0.97, 1.03) if rng.random() < 0.5 else 10 ** rng.uniform(-0.3, 0.15),
        "leak_rate": 1.0 if rng.random() < 0.5 else 10 ** rng.uniform(-2.5, 0),
        "input_scaling": np.resize(10 ** rng.uniform(-4, 1, n_sizes), n_inputs),
        "bias_scaling": rng.uniform(0, 1),
        "topology": str(rng.choice(["sparse", "orthogonal"])),
        "alpha": 10 ** rng.uniform(-10, -2),
    }


def near(candidate: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Settings that are a little different."""
    sizes = candidate["input_scaling"]
    moves = rng.normal(0, 0.2, len(sizes)) if len(sizes) <= MOST_SIZES else rng.normal(0, 0.2)
    return candidate | {
        "spectral_radius": candidate["spectral_radius"] * 10 ** rng.normal(0, 0.05),
        "leak_rate": min(1.0, candidate["leak_rate"] * 10 ** rng.normal(0, 0.2)),
        "input_scaling": sizes * 10**moves,
        "bias_scaling": abs(candidate["bias_scaling"] + rng.normal(0, 0.2)),
        "alpha": candidate["alpha"] * 10 ** rng.normal(0, 0.5),
    }


def learnt(training: Draw, candidate: dict[str, Any], settings: Settings):
    """What answers a draw with outputs, as `Draw.wrong` takes them, after the readout has learnt ``training``."""
    from reservoir import ESNRegressor

    at_end = training.is_at_end
    model = ESNRegressor(
        settings.n_units,
        **candidate | ({"alpha": ALPHAS} if at_end else {}),
        pooling=("last",) if at_end else None,
        n_jobs=1,
        random_state=settings.seed,
    )
    answers = _answers(training)
    model.fit(_rows(training), answers if at_end else _cut(training, answers))
    middle = 0.5 if training.loss == "logistic" else 0.0

    def answer(drawn: Draw) -> np.ndarray:
        found = model.predict(_rows(drawn))
        if at_end:
            return np.reshape(found, (len(drawn.inputs), -1)) - middle
        outputs = np.zeros((*drawn.inputs.shape[:2], training.n_outputs))
        for k, of_sequence in enumerate(found):
            outputs[k, : len(of_sequence)] = of_sequence - middle
        return outputs

    return answer


def _rows(drawn: Draw) -> list[np.ndarray]:
    return _cut(drawn, drawn.dense(np.float64))


def _cut(drawn: Draw, values: np.ndarray) -> list[np.ndarray]:
    return [of_sequence[:length] for of_sequence, length in zip(values, drawn.lengths, strict=True)]


def _answers(drawn: Draw) -> np.ndarray:
    """Targets as numbers: classes as one of all."""
    return np.eye(drawn.n_outputs)[drawn.targets] if drawn.loss == "softmax" else np.asarray(drawn.targets, float)


def _squared_error(drawn: Draw, outputs: np.ndarray) -> float:
    return float(np.mean((outputs - _answers(drawn)) ** 2))


def remarks(rows) -> list[str]:
    """How many searches succeed, and after how many tries."""
    return [
        f"{task}, T = {T}, {n_units} units: {int(group['is_solved'].sum())} of {len(group)} solved; tried "
        f"{group['n_tried_until'].median():.0f} reservoirs in {group['seconds'].median():.3g} s, medians."
        for (task, T, n_units), group in rows.groupby(list(BY), sort=False)
    ]


def finding(rows) -> str:
    """Which puzzles are solved up to which length."""
    share = rows.groupby(["task", "T"], sort=False)["is_solved"].mean()
    reached = {task: max((T for T, value in of_task.droplevel(0).items() if value > 0.5), default=0)
               for task, of_task in share.groupby(level=0, sort=False)}  # fmt: skip
    solved = [f"{task} up to T = {T}" for task, T in reached.items() if T]
    failed = [task for task, T in reached.items() if not T]
    told = "Most searches solve " + "; ".join(solved) + "." if solved else "No puzzle is solved by most searches."
    return told + (f" Most fail at {', '.join(failed)}." if failed else "")


def plot(rows):
    """Tries until a puzzle is solved, against T; crosses for searches that ended without."""
    from studies.bench.figures import COLOURS, panels

    tasks = list(rows["task"].unique())
    n_columns = min(4, len(tasks))
    figure, all_axes = panels(n_columns, -(-len(tasks) // n_columns), width=2.9, height=2.6)
    for axes, task in zip(np.ravel(all_axes), tasks, strict=False):
        here = rows[rows["task"] == task]
        lengths = sorted(here["T"].unique())
        for is_solved, marker, colour in ((1, "o", COLOURS[0]), (0, "x", COLOURS[1])):
            some = here[here["is_solved"] == is_solved]
            place = np.array([lengths.index(T) for T in some["T"]]) + 0.08 * (some["seed"].to_numpy() - 2)
            axes.plot(place, some["n_tried_until"], marker, color=colour, markersize=5)
        axes.set_xticks(range(len(lengths)), [str(T) for T in lengths])
        axes.set(xlim=(-0.5, len(lengths) - 0.5), xlabel="T", ylabel="reservoirs tried", title=task)
        axes.set_ylim(bottom=0)
    for axes in np.ravel(all_axes)[len(tasks) :]:
        axes.set_visible(False)
    return figure
