"""Can a network be commanded to swing at a given frequency, also at one it was never shown?

Method. The input is a frequency, the output a sine that has it. `ESNForecaster` closes the loop over the sine
and takes the frequency as an outside input. In training the frequency jumps between `n_levels` values and the
amplitude is disturbed at every jump and relaxes to one: the lesson that a wrong amplitude comes back is what
keeps the free run stable, where a perfect sine would teach a centre, on which errors stay. Then each
frequency halfway between two taught ones is commanded and, after `n_settle` steps, watched for `n_free`. The
amplitude error is the largest deviation of the local amplitude from one (root mean square over five periods
times the square root of two), and the phase drift is the deviation of the total phase from the commanded one,
as a share of it.

Tuning. A random local search of 110 s for 200 units over radius, leak, scalings and penalty, on seeds not
among those reported: the worst frequency's larger error, each in units of its goal.

Sources. Jaeger 2001, GMD report 148 and the lecture's frequency generator: slow frequency input, output
feedback.

Expected run time: about ten seconds by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking
from studies.learners.echo_state import EchoState

TUNED = {
    "spectral_radius": 0.72,
    "leak_rate": 0.87,
    "input_scaling": 0.27,
    "bias_scaling": 0.23,
    "alpha": 4e-13,
    "solver": "qr",
}
LOW, HIGH = 0.02, 0.06  # cycles per step


@dataclass(frozen=True)
class Settings(EchoState):
    """One reservoir, taught some frequencies and asked for those between them."""

    n_levels: int = 9
    n_train: int = 20_000
    hold: int = 100
    disturbance: float = 0.5
    n_settle: int = 500
    n_free: int = 10_000


GRID = {
    "quick": [{**TUNED, "n_units": 100, "n_train": 6000, "n_free": 2000, "seed": range(2)}],
    "default": [{**TUNED, "n_units": [100, 200, 400], "seed": range(10)}],
}
EXPECTED_S = {"quick": 3, "default": 10}
COLUMNS = ("frequency_per_step", "amplitude_error", "phase_drift")
BY = ("n_units", "frequency_per_step")
RANKING = Ranking("phase_drift", within=("frequency_per_step",))


def run(settings: Settings) -> list[dict]:
    """Amplitude error and phase drift at every frequency between two taught ones."""
    from reservoir import ESNForecaster
    from studies.tasks.signals import commanded_sine

    levels = np.linspace(LOW, HIGH, settings.n_levels)
    taught = commanded_sine(
        settings.n_train,
        levels,
        rng=settings.data_rng(),
        hold=settings.hold,
        disturbance=settings.disturbance,
    )
    command_scale = 2.0 / (HIGH - LOW)
    model = ESNForecaster(**settings.arguments(), standardize=False)  # sine and command have the size that was tuned
    model.fit(taught.output[:, None], exog=(taught.frequency[:, None] - LOW) * command_scale - 1.0)
    rows = []
    for frequency in np.round((levels[:-1] + levels[1:]) / 2, 9):
        n_steps = settings.n_settle + settings.n_free
        command = np.full((n_steps, 1), (frequency - LOW) * command_scale - 1.0)
        free = model.forecast(n_steps, exog=command)[settings.n_settle :, 0]
        amplitude_error, phase_drift = swing_errors(free, frequency)
        rows.append({"frequency_per_step": frequency, "amplitude_error": amplitude_error, "phase_drift": phase_drift})
    return rows


def swing_errors(y: np.ndarray, frequency: float) -> tuple[float, float]:
    """Largest deviation of the local amplitude from one, and relative error of the total phase.

    The phase is counted by upward crossings of zero, placed between samples by a straight line.
    """
    if not np.isfinite(y).all() or np.abs(y).max() > 1e3:
        return np.inf, np.inf
    window = round(5 / frequency)  # five periods
    power = np.convolve(y * y, np.full(window, 1.0 / window), mode="valid")
    amplitude_error = np.abs(np.sqrt(2.0 * power) - 1.0).max()
    up = np.flatnonzero((y[:-1] < 0.0) & (y[1:] >= 0.0))
    if up.size < 2:
        return amplitude_error, np.inf
    crossing = up - y[up] / (y[up + 1] - y[up])
    cycles = frequency * (crossing[-1] - crossing[0])
    return amplitude_error, abs((up.size - 1) / cycles - 1.0)


def plot(rows):
    """Amplitude error and phase drift against the commanded frequency."""
    from studies.bench.figures import bar_line, log_axis, median_line, panels

    figure, both = panels(2, width=4.8)
    for axes, column, goal, title in zip(
        both, ("amplitude_error", "phase_drift"), (0.05, 0.01), ("Amplitude", "Phase"), strict=True
    ):
        for i, (n_units, group) in enumerate(rows.groupby("n_units")):
            table = group.pivot_table(index="frequency_per_step", columns="seed", values=column)
            median_line(axes, table.index, table, label=f"{n_units} units", index=i)
        bar_line(axes, goal, f"goal {goal:.0%}")
        axes.set(
            xlabel="commanded frequency (cycles per step)",
            ylabel=column.replace("_", " "),
            title=title,
        )
        log_axis(axes)
    both[0].legend()
    return figure
