"""Must the window of truncated back-propagation be longer than the lag that is to be learnt?

Method. A stream has two inputs: a value, +1 or -1, drawn anew at every step, and a mark, which is 1 now and then and
else 0. `lag` steps after each mark the value that stood at it is asked for, by a logistic output; between marks lie
`lag` + 1 to 2 `lag` steps, so that one value is held at a time. Everything else is noise to a learner that forgets. An
LSTM is trained by Adam, one step at a time, on losses that are propagated back through the last `window` steps (k1 = 1,
k2 = `window`, the state carried on); or, with `window` 0, by full back-propagation and as many updates. The gradient of
a loss reaches the mark where `window` > `lag`. What is reported is the share of wrong answers on new streams; 0.5 is
chance, and a run succeeds below 0.05.

Found (medians of five seeds). At a lag of 10, windows of 5 to 10 steps leave 42 to 47 % of the answers wrong, and no
run succeeds; with 11, 12, 15 and 20 steps, and by full back-propagation, every run does, none with more than 0.5 %.

Sources. Williams and Peng 1990: BPTT(h; h'). The lecture: carry the state for ever, back-propagate k steps.

Expected run time: three minutes by default on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FULL = 0  # the window that stands for all steps
SOLVED = 0.05


@dataclass(frozen=True)
class Settings:
    """One net, trained through one window."""

    window: int = 11
    lag: int = 10
    n_units: int = 8
    n_streams: int = 50
    n_steps: int = 200
    n_updates: int = 2000
    learning_rate: float = 0.01
    seed: int = 0


GRID = {
    "quick": [{"lag": 3, "window": [2, 4, FULL], "n_units": 4, "n_steps": 60, "n_updates": 600, "seed": range(2)}],
    "default": [{"window": [5, 8, 9, 10, 11, 12, 15, 20, FULL], "seed": range(5)}],
}
EXPECTED_S = {"quick": 4, "default": 170}
COLUMNS = ("wrong_share", "is_solved", "time_s")
BY = ("lag", "window")


def run(settings: Settings) -> list[dict]:
    """Share of wrong answers after training through one window."""
    import time

    from cells import LSTM, Network, SequenceObjective, TruncatedObjective, initial_theta, train
    from cells.predict import predict
    from optim import Adam

    rng = np.random.default_rng([settings.seed, 2024])
    network = Network(LSTM(2, settings.n_units), n_out=1, loss="logistic")
    theta = initial_theta(network, rng=np.random.default_rng(settings.seed))
    X, y, mask = streams(settings, rng)
    choices = {"mask": mask, "n_jobs": 1}
    if settings.window == FULL:
        objective = SequenceObjective(network, X, y, **choices)
    else:
        objective = TruncatedObjective(network, X, y, k1=1, k2=settings.window, **choices)
    start = time.perf_counter()
    result = train(objective, theta, Adam(settings.learning_rate), max_epochs=10**6, max_iterations=settings.n_updates)
    seconds = time.perf_counter() - start
    X, y, mask = streams(settings, rng)
    wrong = (np.asarray(predict(network, result.theta, X)) > 0.5)[mask] != y[mask]
    return [{"wrong_share": float(wrong.mean()), "is_solved": int(wrong.mean() < SOLVED), "time_s": seconds}]


def streams(settings: Settings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs (n, T, 2), targets (n, T, 1) of 0 and 1, and the rows that are asked for (n, T)."""
    n, T, lag = settings.n_streams, settings.n_steps, settings.lag
    X = np.zeros((n, T, 2))
    X[:, :, 0] = rng.choice([-1.0, 1.0], (n, T))
    mask = np.zeros((n, T), bool)
    for i in range(n):
        marks = np.cumsum(rng.integers(lag + 1, 2 * lag + 1, T // lag)) - lag
        X[i, marks[marks < T], 1] = 1.0
        mask[i, marks[marks + lag < T] + lag] = True
    y = np.zeros((n, T, 1))
    y[:, lag:, 0] = X[:, :-lag, 0] > 0
    return X, y, mask


def finding(rows) -> str:
    """From which window on most runs succeed."""
    share = rows.groupby("window")["is_solved"].mean()
    windows = [window for window in share.index if window != FULL]
    good = [window for window in windows if share[window] > 0.5]
    lag = rows["lag"].iloc[0]
    full = f"full back-propagation in {share[FULL]:.0%}" if FULL in share else "full back-propagation was not run"
    if not good:
        return f"At a lag of {lag} no window up to {max(windows)} succeeds in most runs; {full}."
    return (
        f"At a lag of {lag} most runs succeed from a window of {min(good)} steps on ({share[min(good)]:.0%}), up to "
        f"{max([w for w in windows if w < min(good)], default=0)} they do not; {full}."
    )


def plot(rows):
    """Wrong answers against the window, every run a dot, the lag marked."""
    from studies.bench.figures import INK, median_line, panels

    figure, (axes,) = panels(1, width=6.4)
    windows = sorted(rows["window"].unique(), key=lambda window: window or np.inf)
    table = rows.pivot_table(index="window", columns="seed", values="wrong_share").reindex(windows)
    median_line(axes, range(len(windows)), table, label="LSTM, Adam")
    for i, window in enumerate(windows):
        axes.plot(np.full(table.shape[1], i), table.loc[window], ".", color=INK, alpha=0.5, markersize=5)
    lag = rows["lag"].iloc[0]
    axes.axvline(sum(0 < window <= lag for window in windows) - 0.5, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xticks(range(len(windows)), [str(window) if window else "all" for window in windows])
    axes.set(xlabel=f"steps back (dashed: the lag, {lag})", ylabel="share of wrong answers", ylim=(-0.02, 0.6))
    axes.set_title("Through how long a window")
    return figure
