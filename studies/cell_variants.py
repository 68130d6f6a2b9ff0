"""Which parts of an LSTM does it need, and which other cells do as well, on chorales and on sums written out?

Method. One layer of `n_units` units of each cell: the LSTM, its eight variants of the search-space odyssey (without
input gate, forget gate, output gate, input activation or output activation; coupled gates; peepholes; full gate
recurrence), other forget biases, the GRU with its reset gate before and after the matrix, the three cells of an
evolutionary search (MUT1 to MUT3), the cell h = f h + u, the multiplicative LSTM, and plain tanh units. All have
Glorot's weights and Adam, falling along a half cosine; the norm of the gradient is clipped at 1, on the chorales at 88,
which is 1 a key.

Chorales: 229 pieces to learn from, next-step prediction of 88 keys; the parameters with the lowest loss on 76 others
are scored on 77 more. Papers print the loss summed over the keys in two averages, over all steps or over pieces; both
are here. Sums: numbers of one or two digits, plus or minus, with letters strewn in, 20,000 of them to learn from;
2,000 others are scored by the share with a wrong symbol and by the loss a symbol.

Tuning. The learning rate is 0.01 throughout: the better of 0.003 and 0.01 on the chorales for the LSTM, the GRU, MUT1,
the multiplicative LSTM and tanh units, on one seed that is not among those reported, and better than 0.02 for the LSTM.
The variants and the sums use it without a search of their own.

Sources. Greff et al. 2017, "LSTM: a search space odyssey"; Jozefowicz, Zaremba and Sutskever 2015, "An empirical
exploration of recurrent network architectures"; Boulanger-Lewandowski et al. 2012 for the chorales.

Expected run time: about half an hour by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from studies.bench.findings import Ranking

CELLS = {  # class in `cells`, its choices
    "LSTM": ("LSTM", {}),
    "LSTM, forget bias 0": ("LSTM", {"forget_bias": 0.0}),
    "LSTM, forget bias 2": ("LSTM", {"forget_bias": 2.0}),
    "no input gate": ("LSTM", {"has_input_gate": False}),
    "no forget gate": ("LSTM", {"has_forget_gate": False}),
    "no output gate": ("LSTM", {"has_output_gate": False}),
    "no input activation": ("LSTM", {"has_input_activation": False}),
    "no output activation": ("LSTM", {"has_output_activation": False}),
    "coupled gates": ("LSTM", {"is_coupled": True}),
    "peepholes": ("LSTM", {"has_peepholes": True}),
    "full gate recurrence": ("LSTM", {"has_full_gate_recurrence": True}),
    "GRU": ("GRU", {}),
    "GRU, reset after": ("GRU", {"reset_after": True}),
    "MUT1": ("MUT1", {}),
    "MUT2": ("MUT2", {}),
    "MUT3": ("MUT3", {}),
    "h = f h + u": ("ForgetGate", {}),
    "multiplicative LSTM": ("MultiplicativeLSTM", {}),
    "tanh": ("Elman", {}),
}
CHORALES, SUMS = "chorales", "sums"


@dataclass(frozen=True)
class Settings:
    """One cell on one task."""

    data_files: ClassVar[tuple[str, ...]] = ("JSB_Chorales.mat",)
    task: str = CHORALES
    way: str = "LSTM"
    n_units: int = 100
    learning_rate: float = 0.01
    n_epochs: float = 45.0
    batch_size: int = 4
    n_train: int = 229
    n_digits: int = 2
    seed: int = 0


SIZES = {
    CHORALES: {"n_epochs": 45.0, "batch_size": 4},
    SUMS: {"n_epochs": 4.0, "batch_size": 50, "n_train": 20_000},
}


GRID = {
    "quick": [
        {"task": SUMS, "way": ["LSTM", "MUT1"], "n_units": 20, "n_epochs": 2.0, "batch_size": 50, "n_train": 1000,
         "n_digits": 1, "seed": range(2)},
        {"task": CHORALES, "way": "GRU", "n_units": 20, "n_epochs": 2.0, "n_train": 40, "seed": range(2)},
    ],
    "default": [{"task": task, "way": list(CELLS), **sizes, "seed": range(5)} for task, sizes in SIZES.items()],
    "half-hour": [
        {"task": CHORALES, "way": ["LSTM", "coupled gates", "GRU", "multiplicative LSTM", "tanh"], "n_units": 200,
         "n_epochs": 60.0, "seed": range(10)},
    ],
}  # fmt: skip
EXPECTED_S = {"quick": 4, "default": 1800, "half-hour": 1500}
COLUMNS = ("measure", "value", "n_params", "time_s")
BY = ("task", "way", "measure")
RANKING = Ranking("value", within=("task", "measure"))


def run(settings: Settings) -> list[dict]:
    """The task's measures after training."""
    return {CHORALES: _chorales, SUMS: _sums}[settings.task](settings)


def _trained(settings: Settings, network, objective, watched):
    """Result of the training, with the parameters that have the lowest loss on what is watched."""
    from cells import initial_theta, train
    from optim import Adam, Cosine

    n_updates = round(settings.n_epochs * -(-objective.n_sequences // settings.batch_size))
    theta = initial_theta(network, rng=np.random.default_rng(settings.seed), dtype=np.float32)
    method = Adam(Cosine(settings.learning_rate, n_updates), clip_norm=1.0 if settings.task == SUMS else 88.0)
    return train(
        *(objective, theta, method),
        batch_size=settings.batch_size,
        max_iterations=n_updates,
        validation=watched,
        seed=settings.seed,
    )


def _cell(settings: Settings, n_inputs: int):
    import cells

    name, choices = CELLS[settings.way]
    return getattr(cells, name)(n_inputs, settings.n_units, **choices)


def _chorales(settings: Settings) -> list[dict]:
    from cells import Network, SequenceObjective
    from cells.predict import run_network
    from cells.shares.data import SequenceData
    from studies.tasks.music import jsb_chorales, music_loss, next_step

    data = jsb_chorales()
    network = Network(_cell(settings, 88), n_out=88, loss="logistic")
    objective, watched = (
        SequenceObjective(network, *zip(*map(next_step, pieces), strict=True), dtype=np.float32)
        for pieces in (data.train[: settings.n_train], data.valid)
    )
    result = _trained(settings, network, objective, watched)
    heard = SequenceData(network, [next_step(piece)[0] for piece in data.test], dtype=np.float32)
    logits = run_network(network, result.theta, heard, wanted="outputs").rows.astype(np.float64)
    loss = music_loss(list(data.test), np.split(logits, heard.offsets[1:-1]))
    measured = {
        "nats a step": loss.per_step,
        "nats a step, mean over pieces": loss.per_piece,
        "nats a step, validation": result.best_validation,
    }
    return [_row(name, value, network, result) for name, value in measured.items()]


def _sums(settings: Settings) -> list[dict]:
    from studies.learners.training import network_for, objective_on, outputs_of
    from studies.tasks.puzzles import draw

    rng = np.random.default_rng([settings.seed, 2024])
    training, watched, test = (
        draw("arithmetic", "jozefowicz2015-style", n_sequences=n, T=settings.n_digits, rng=rng)
        for n in (settings.n_train, 500, 2000)
    )
    network = network_for(training, _cell(settings, training.n_inputs))
    result = _trained(settings, network, *(objective_on(network, part) for part in (training, watched)))
    wrong = test.wrong(outputs_of(network, result.theta, test))
    measured = {
        "share of wrong answers": float(np.mean(wrong)),
        "nats a symbol": objective_on(network, test).value(result.theta).loss,
    }
    return [_row(name, value, network, result) for name, value in measured.items()]


def _row(measure: str, value: float, network, result) -> dict:
    return {"measure": measure, "value": value, "n_params": network.n_params, "time_s": result.seconds}


def plot(rows):
    """A panel per task, a line of dots a cell, the best on top."""
    from studies.bench.figures import COLOURS, panels

    shown = {CHORALES: "nats a step", SUMS: "share of wrong answers"}
    tasks = [task for task in shown if task in set(rows["task"])]
    n_ways = rows["way"].nunique()
    figure, all_axes = panels(len(tasks), width=6.4, height=max(2.6, 0.28 * n_ways))
    for axes, task in zip(all_axes, tasks, strict=True):
        here = rows[(rows["task"] == task) & (rows["measure"] == shown[task])].groupby("way")["value"]
        ways = here.median().sort_values(ascending=False).index
        for i, way in enumerate(ways):
            values = here.get_group(way)
            colour = COLOURS[0] if CELLS[way][0] == "LSTM" else COLOURS[1]
            axes.plot(values, [i] * len(values), "o", color=colour, alpha=0.6, markersize=4, markeredgewidth=0)
            axes.plot([values.median()] * 2, [i - 0.35, i + 0.35], color=colour, linewidth=2.4)
        axes.set_yticks(range(len(ways)), list(ways))
        axes.grid(True, axis="x")
        axes.set(xlabel=shown[task], title=f"{task} (blue: LSTM and variants)")
    return figure
