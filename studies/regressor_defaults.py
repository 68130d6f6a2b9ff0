"""Which penalty should a regressor have before anyone has tuned it, and should it standardise its inputs?

Method. On every series of `tabled_series` and on a laser's intensity (Santa Fe series A, 1,500 steps) the value one
and four steps ahead is predicted from the present one. `ESNRegressor` has its other defaults; it is fitted on the first
70 %, goes on from there through the rest (``initial_state="fitted"``) and is scored by the NRMSE on it. Penalties:
1e-6, and "auto", which chooses by blocks of time; inputs as they come, and standardised by the training part. Beside
them two simple rules: the present value, and a ridge regression of twelve lags whose penalty scikit-learn's RidgeCV
chooses. The development half of the series chose; the other half was run once, the laser had been seen in trials.

Found (geometric mean of the NRMSE over series, horizons and five seeds, 200 units; development half, then the reported
one). Inputs as they come: 0.682 and 0.499 with 1e-6, 0.285 and 0.294 with "auto"; standardised: 3.17 and 1.98 with
1e-6, 0.807 and 0.635 with "auto". The present value has 0.365 and 0.471; the ridge of twelve lags 0.250 and 0.258,
which no reservoir here reaches. Hence "auto", and ``standardize=False``: most of these series grow, and standardised
they leave what the units have seen.

Sources. The series as in `tabled_series` and `laser`.

Expected run time: about a minute by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from studies.bench.findings import Ranking
from studies.learners.echo_state import EchoState
from studies.tasks.tabled_series import DEVELOPMENT, REPORTED

MODELS = {
    "1e-6": {"alpha": 1e-6},
    "auto": {"alpha": "auto"},
    "1e-6, standardised": {"alpha": 1e-6},
    "auto, standardised": {"alpha": "auto"},
}
N_LAGS = 12
N_LASER = 1500


@dataclass(frozen=True)
class Settings(EchoState):
    """One series, so many steps ahead."""

    data_files: ClassVar[tuple[str, ...]] = ("santafe_laser.npy",)
    task: str = "laser"
    horizon: int = 1
    half: str = "reported"
    n_units: int = 200
    washout: int = 0


GRID = {
    "quick": [{"task": "laser", "n_units": 50, "seed": range(2)}],
    "default": [
        {"half": half, "task": tasks, "horizon": [1, 4], "seed": range(5)}
        for half, tasks in (("development", list(DEVELOPMENT)), ("reported", [*REPORTED, "laser"]))
    ],
}
SIDE_BY_SIDE = True
EXPECTED_S = {"quick": 2, "default": 60}
COLUMNS = ("model", "nrmse")
BY = ("half", "model")
RANKING = Ranking("nrmse", within=("half",))


def run(settings: Settings) -> list[dict]:
    """NRMSE of every model on the last 30 % of one series."""
    from reservoir.metrics import nrmse

    x, h = _series(settings.task), settings.horizon
    u, y = x[:-h], x[h:, 0]
    n = int(0.7 * len(u))
    answers = {"present value": u[n:, 0], "ridge of 12 lags": _lagged_ridge(u, y, n)}
    z = (u - u[:n].mean(axis=0)) / u[:n].std(axis=0)
    for name, penalty in MODELS.items():
        answers[name] = _reservoir(settings, penalty, z if "standardised" in name else u, y, n)
    return [{"model": name, "nrmse": nrmse(y[n:], answer)} for name, answer in answers.items()]


def _series(task: str) -> np.ndarray:
    """(T, 1) in its own units."""
    from studies.tasks.recordings import santa_fe_laser
    from studies.tasks.tabled_series import tabled_series

    return santa_fe_laser()[:N_LASER] if task == "laser" else tabled_series()[task]


def _reservoir(settings: Settings, penalty: dict, u: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    from reservoir import ESNRegressor

    model = ESNRegressor(**settings.arguments() | penalty, n_jobs=1).fit(u[:n], y[:n])
    return model.predict(u[n:], initial_state="fitted")


def _lagged_ridge(u: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    from sklearn.linear_model import RidgeCV

    from studies.learners.baselines import windows

    lags = windows(u, N_LAGS)
    model = RidgeCV(np.logspace(-6, 6, 13)).fit(lags[N_LAGS:n], y[N_LAGS:n])
    return model.predict(lags[n:])


def remarks(rows) -> list[str]:
    """Geometric mean of the NRMSE over series and horizons, a sentence per half."""
    sentences = []
    for half, group in rows.groupby("half", sort=False):
        means = group.groupby("model", sort=False)["nrmse"].agg(lambda values: np.exp(np.log(values).mean()))
        sentences.append(f"{half}: " + ", ".join(f"{model} {mean:.3f}" for model, mean in means.items()) + ".")
    return sentences


def plot(rows):
    """A panel per half, a column per model: the NRMSE of each series over its present value's, median of seeds."""
    from studies.bench.figures import COLOURS, bar_line, log_axis, panels, strip

    halves = list(rows["half"].unique())
    figure, all_axes = panels(len(halves), width=5.2)
    for axes, half in zip(all_axes, halves, strict=True):
        table = rows[rows["half"] == half].pivot_table(
            index=["task", "horizon"], columns="model", values="nrmse", aggfunc="median"
        )
        names = [*MODELS, "ridge of 12 lags"]
        groups = {name.replace(", ", "\n"): table[name] / table["present value"] for name in names}
        strip(axes, groups, colours={name: COLOURS[1 if name == "auto" else 0] for name in groups})
        bar_line(axes, 1.0, "the present value")
        axes.set(title=half, ylabel="NRMSE / that of the present value")
        axes.tick_params(axis="x", labelsize=8)
        log_axis(axes)
    return figure
