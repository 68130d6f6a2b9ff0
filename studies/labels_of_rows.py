"""Which penalty should a classifier of rows have before anyone has tuned it?

Method. On every series of `tabled_series` two questions are asked at each step about the value one or four steps
ahead: is it above the median of the training part ("high"), and is it above the present one ("rises")?
`ESNClassifier` has its other defaults and 200 units; it is fitted on the first 70 %, goes on from there through the
rest and is scored by its share of right answers on it. Penalties: 1e-6, and "auto", which chooses by blocks of time.
Beside them the more frequent answer of the training part, and a logistic regression on twelve standardised lags whose
penalty three folds choose. The development half of the series chose; the other half was run once.

Found (mean share over series, horizons and five seeds; development half, then the reported one). "high": 0.825 and
0.835 with 1e-6, 0.895 and 0.913 with "auto", the logistic regression 0.895 and 0.936, the more frequent answer 0.844
and 0.772. "rises": 0.713 and 0.727 with 1e-6, 0.734 and 0.727 with "auto", the logistic regression 0.760 and 0.722.
Hence "auto". Standardised, "auto" has 0.894 and 0.935, 0.717 and 0.758: no better on the half that chooses.

Sources. The series as in `tabled_series`.

Expected run time: three minutes by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking
from studies.learners.echo_state import EchoState
from studies.tasks.tabled_series import DEVELOPMENT, NAMES, REPORTED

MODELS = {"1e-6": 1e-6, "auto": "auto", "1e-6, standardised": 1e-6, "auto, standardised": "auto"}
N_LAGS = 12


@dataclass(frozen=True)
class Settings(EchoState):
    """One question about one series, so many steps ahead."""

    task: str = "nile"
    question: str = "high"
    horizon: int = 1
    half: str = "reported"
    n_units: int = 200
    washout: int = 0


GRID = {
    "quick": [{"task": [NAMES[0]], "n_units": 50, "seed": range(2)}],
    "default": [
        {"half": half, "task": tasks, "question": ["high", "rises"], "horizon": [1, 4], "seed": range(5)}
        for half, tasks in (("development", list(DEVELOPMENT)), ("reported", list(REPORTED)))
    ],
}
SIDE_BY_SIDE = True
EXPECTED_S = {"quick": 3, "default": 180}
COLUMNS = ("model", "accuracy")
BY = ("half", "question", "model")
RANKING = Ranking("accuracy", better="higher", within=("half", "question"))


def run(settings: Settings) -> list[dict]:
    """Share of right answers of every model on the last 30 % of one series."""
    from studies.tasks.tabled_series import tabled_series

    x, h = tabled_series()[settings.task], settings.horizon
    u, n = x[:-h], int(0.7 * (len(x) - h))
    level = np.median(u[:n]) if settings.question == "high" else u[:, 0]
    y = np.where(x[h:, 0] > level, "above", "not")
    names, counts = np.unique(y[:n], return_counts=True)
    answers = {"more frequent": names[counts.argmax()]}
    if len(names) > 1:
        answers["logistic, 12 lags"] = _logistic(u, y, n)
    z = (u - u[:n].mean(axis=0)) / u[:n].std(axis=0)
    for name, alpha in MODELS.items():
        answers[name] = _reservoir(settings, alpha, z if "standardised" in name else u, y, n)
    return [{"model": name, "accuracy": float(np.mean(y[n:] == answer))} for name, answer in answers.items()]


def _reservoir(settings: Settings, alpha: float | str, u: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    from reservoir import ESNClassifier

    model = ESNClassifier(**settings.arguments() | {"alpha": alpha}, n_jobs=1).fit(u[:n], y[:n])
    return model.predict(u[n:], initial_state="fitted")


def _logistic(u: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from studies.learners.baselines import windows

    lags = windows(u, N_LAGS)
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": np.logspace(-4, 4, 10)}, cv=StratifiedKFold(3))
    model = make_pipeline(StandardScaler(), search)
    return model.fit(lags[N_LAGS:n], y[N_LAGS:n]).predict(lags[n:])


def plot(rows):
    """Share of right answers of each model, a point a series, horizon and seed: one panel a question."""
    from studies.bench.figures import COLOURS, panels, strip

    questions = list(rows["question"].unique())
    figure, all_axes = panels(len(questions), width=6.4)
    for axes, question in zip(all_axes, questions, strict=True):
        here = rows[rows["question"] == question].groupby("model", sort=False)["accuracy"]
        groups = {name.replace(", ", "\n").replace(" ", "\n"): values for name, values in here}
        strip(axes, groups, colours=dict.fromkeys(groups, COLOURS[0]))
        axes.set(title="is it high?" if question == "high" else "does it rise?", ylabel="share of right answers")
    return figure
