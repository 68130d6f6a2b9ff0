"""Which defaults should a classifier of sequences have, and how good are they beside DTW and MiniRocket?

Method. The eleven labelled sets that aeon and sktime carry, with their default splits. The defaults are chosen on the
training splits alone: around those of `ESNClassifier` one value at a time is changed, and the accuracy is that of
5-fold cross-validation of the readout, its penalty chosen within each fold (``judged_by`` folds). The test splits are
predicted once, by the defaults, by the best of the same candidates on the training split (``searched``), and by
1-NN-DTW and MiniRocket, which run in an environment of their own. Seconds are those of all that leads to the accuracy.
The quick profile takes scikit-learn's digits.

Found. On folds (two seeds, mean of the eleven sets) several leaks are what counts: 0.837 with four, 0.817 with 0.3
alone and 0.786 with 1 alone. Six leaks (0.841), a bias of 0 to 1 (0.826 to 0.842), both directions (0.833) and `shifts`
(0.831) differ from the defaults by no more than seeds do; the mean alone gives 0.811. On the test splits the defaults
reach 0.860 (five seeds), the best of the candidates 0.876, 1-NN-DTW 0.810 and MiniRocket 0.918. MiniRocket is better
on nine sets, DTW on three (PLAID 0.931 against 0.791). The eleven sets take 11 s by the defaults, 156 s searched, 286 s
by DTW and 7 s by MiniRocket, compiled beforehand.

Sources. Dau et al. 2019 and Bagnall et al. 2018 (data); Dempster, Schmidt, Webb 2021 (MiniRocket); Bianchi et al. 2021,
IEEE TNNLS 32 (reservoirs for classification). The sets are found where aeon or sktime are installed, also in another
environment, whose Python is named by RESERVOIR_HF_AEON.

Expected run time: about a quarter of an hour by default on two cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from studies.bench.findings import Ranking
from studies.learners import aeon_rivals
from studies.tasks.labelled_sets import OTHER_PYTHON, SETS, LabelledSeries, labelled_series, path_of

AROUND = {
    "bias_scaling": (0.0, 0.1, 0.2, 0.5, 1.0),
    "leaks": ("1", "0.3", "1 0.3", "1 0.3 0.1 0.03", "1 0.5 0.2 0.1 0.05 0.02"),
    "input_scaling": (0.3, 1.0, 2.0),
    "bidirectional": (False, True),
    "pooling": (
        "mean", "mean std", "mean std max min share_positive", "mean std last max min share_positive",
    ),
    "spectral_radius": (0.7, 0.9, 1.1),
    "topology": ("sparse", "shifts"),
}  # fmt: skip
RIVALS = ("dtw", "minirocket")
N_FOLDS = 5


@dataclass(frozen=True)
class Settings:
    """One classifier on one set: ``leaks`` and ``pooling`` are lists of words; the rest as in `ESNClassifier`."""

    dataset: str = "digits"
    judged_by: str = "folds"
    learner: str = "esn"
    n_units: int = 500
    spectral_radius: float = 0.9
    leaks: str = "1 0.3 0.1 0.03"
    input_scaling: float = 1.0
    bias_scaling: float = 0.5
    bidirectional: bool = False
    pooling: str = "mean std last max min share_positive"
    topology: str = "sparse"
    varied: str = "nothing"
    seed: int = 0


def candidates() -> list[dict]:
    """The defaults, and one value of them changed at a time."""
    defaults = Settings()
    changes = [(name, value) for name, values in AROUND.items() for value in values]
    changes = [(name, value) for name, value in changes if value != getattr(defaults, name)]
    return [{"varied": "nothing"}, *({"varied": name, name: value} for name, value in changes)]


GRID = {
    "quick": [
        {"dataset": "digits", "n_units": 60, "judged_by": ["folds", "test"], "bias_scaling": [0.0, 0.5]},
    ],
    "default": [
        *({"dataset": list(SETS), "judged_by": "folds", **candidate, "seed": range(2)} for candidate in candidates()),
        {"dataset": list(SETS), "judged_by": "test", "seed": range(5)},
        {"dataset": list(SETS), "judged_by": "test", "learner": ["searched", *RIVALS]},
    ],
}
EXPECTED_S = {"quick": 3, "default": 900}
COLUMNS = ("accuracy", "time_s")
BY = ("judged_by", "learner", "varied", *AROUND)
RANKING = Ranking("accuracy", better="higher", within=("judged_by",))


def run(settings: Settings) -> list[dict]:
    """Accuracy of one classifier, and the seconds of its fits and predictions."""
    if settings.learner in RIVALS:
        return [_of_rival(settings)]
    data = labelled_series(settings.dataset)
    start = time.perf_counter()
    if settings.judged_by == "folds":
        accuracy = on_folds(settings, data)
    else:
        chosen = _best(settings, data) if settings.learner == "searched" else settings
        model = classifier(chosen).fit(data.train, data.train_labels)
        accuracy = float(np.mean(model.predict(data.test) == data.test_labels))
    return [{"accuracy": accuracy, "time_s": time.perf_counter() - start}]


def classifier(settings: Settings, **more):
    """The estimator of a cell."""
    from reservoir import ESNClassifier

    return ESNClassifier(
        settings.n_units,
        spectral_radius=settings.spectral_radius,
        leak_rate=tuple(float(leak) for leak in settings.leaks.split()),
        input_scaling=settings.input_scaling,
        bias_scaling=settings.bias_scaling,
        topology=settings.topology,
        pooling=tuple(settings.pooling.split()),
        bidirectional=settings.bidirectional,
        random_state=settings.seed,
        **more,
    )


def on_folds(settings: Settings, data: LabelledSeries) -> float:
    """Accuracy on the training split, every sequence predicted by a readout that has not seen it.

    The reservoir learns nothing, so the features of all folds are pooled once.
    """
    from reservoir.estimators.pooled_network import ALPHAS
    from reservoir.readout.sequence_ridge import SequenceRows, learn

    rows = classifier(settings, alpha=1.0).partial_fit(data.train, data.train_labels).sums_
    labels = rows.targets.argmax(axis=1)
    folds = np.empty(len(labels), int)
    order = np.random.default_rng(0).permutation(len(labels))
    folds[order[np.argsort(labels[order], kind="stable")]] = np.arange(len(labels)) % N_FOLDS
    n_right = 0
    for fold in range(N_FOLDS):
        rest, out = folds != fold, folds == fold
        seen = SequenceRows(rows.features[rest], rows.targets[rest], rows.weights[rest])
        readout = learn(seen, np.array(ALPHAS), are_classes=True, precision=np.dtype(float))
        outputs = rows.features[out] @ readout.coef.T + readout.intercept
        n_right += int(np.sum(outputs.argmax(axis=1) == labels[out]))
    return n_right / len(labels)


def _best(settings: Settings, data: LabelledSeries) -> Settings:
    """The candidate that does best on the training split, the first of equals."""
    tried = [replace(settings, **candidate) for candidate in candidates()]
    return max(tried, key=lambda each: on_folds(each, data))


def _of_rival(settings: Settings) -> dict:
    """A rival's row, from the environment in which aeon is installed."""
    paths = [str(path_of(settings.dataset, part)) for part in ("TRAIN", "TEST")]
    python = os.environ.get(OTHER_PYTHON, sys.executable)
    command = [python, str(Path(aeon_rivals.__file__)), settings.learner, *paths]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def remarks(rows) -> list[str]:
    """Mean accuracy over the sets that all learners have."""
    test = rows[rows["judged_by"] == "test"].pivot_table(index="dataset", columns="learner", values="accuracy").dropna()
    names = ", ".join(f"{name} {mean:.3f}" for name, mean in test.mean().items())
    return [f"Mean accuracy on the test splits of {len(test)} sets: {names}."] if len(test) else []


def plot(rows):
    """On the left the mean accuracy on folds of every candidate; on the right that of each learner on the tests."""
    from studies.bench.figures import COLOURS, panels, strip

    figure, (left, right) = panels(2, width=5.6)
    folds = rows[rows["judged_by"] == "folds"]
    by_varied = folds.groupby(["varied", *AROUND], sort=False)["accuracy"].mean().groupby("varied", sort=False)
    groups = {name.replace("_", "\n"): values for name, values in by_varied}
    strip(left, groups, colours=dict.fromkeys(groups, COLOURS[0]))
    left.set(title="training splits, one value changed", ylabel="mean accuracy on folds")
    learners = rows[rows["judged_by"] == "test"].groupby("learner", sort=False)["accuracy"]
    groups = dict(iter(learners))
    strip(right, groups, colours=dict.fromkeys(groups, COLOURS[1]))
    right.set(title="test splits", ylabel="accuracy, a point a set")
    return figure
