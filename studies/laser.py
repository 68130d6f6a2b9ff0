"""How well is the next value of a real laser's intensity predicted (Santa Fe series A)?

Method. The series of 10,093 points is standardised by its first 2,200; the readout is fitted on those less a
washout of 200, and scored one step ahead by the normalised mean square error on points 5,200 to 8,200, which
hold several collapses of the intensity. Points 2,200 to 5,200 served for tuning and are scored in a column of
their own. The data are one recording; seeds differ in the reservoir.

Tuning. A random local search of 80 s for 200 units over radius, leak, scalings and penalty, on the validation
part only, with seeds not among those reported. Other sizes use the same values.

Sources. Weigend and Gershenfeld 1993; Rodan and Tino 2011, IEEE TNN 22 (errors near 1e-2 with 200 units).

Expected run time: about five seconds by default on two cores, and a download of 81 kB the first time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from studies.bench.findings import Ranking
from studies.learners.echo_state import EchoState

TUNED = {
    "spectral_radius": 0.91,
    "leak_rate": 0.81,
    "input_scaling": 0.36,
    "bias_scaling": 0.4,
    "alpha": 1e-5,
    "solver": "qr",
}
END_TRAIN, END_VALIDATION, END_TEST = 2200, 5200, 8200
TARGET_NMSE = 0.013  # plain NumPy network of 200 units, 30 random trials, mean of 8 seeds


@dataclass(frozen=True)
class Settings(EchoState):
    """One reservoir on the recording."""

    data_files: ClassVar[tuple[str, ...]] = ("santafe_laser.npy",)
    washout: int = 200


GRID = {
    "quick": [{**TUNED, "n_units": [50, 100], "seed": range(3)}],
    "default": [{**TUNED, "n_units": [50, 100, 200, 500], "seed": range(10)}],
}
EXPECTED_S = {"quick": 2, "default": 5}
COLUMNS = ("nmse_validation", "nmse_test")
BY = ("n_units",)
RANKING = Ranking("nmse_test")


def run(settings: Settings) -> list[dict]:
    """NMSE one step ahead on the validation and on the test part."""
    from reservoir import ESNRegressor
    from reservoir.metrics import nmse
    from studies.tasks.recordings import santa_fe_laser

    x = santa_fe_laser()
    now, following = x[:-1], x[1:]
    model = ESNRegressor(**settings.arguments()).fit(now[:END_TRAIN], following[:END_TRAIN])
    answer = model.predict(now[:END_TEST])
    validation, test = slice(END_TRAIN, END_VALIDATION), slice(END_VALIDATION, END_TEST)
    return [
        {
            "nmse_validation": nmse(following[validation], answer[validation]),
            "nmse_test": nmse(following[test], answer[test]),
        }
    ]


def plot(rows):
    """Test error against the number of units."""
    from studies.bench.figures import bar_line, log_axis, median_line, panels, size_axis

    figure, (axes,) = panels(1, width=5.6)
    for i, (column, label) in enumerate({"nmse_test": "test part", "nmse_validation": "validation part"}.items()):
        table = rows.pivot_table(index="n_units", columns="seed", values=column)
        median_line(axes, table.index, table, label=label, index=i)
    bar_line(axes, TARGET_NMSE, "plain network, 200 units")
    axes.set(
        xlabel="reservoir units",
        ylabel="NMSE one step ahead",
        title="Santa Fe laser",
    )
    size_axis(axes, table.index)
    log_axis(axes)
    axes.legend()
    return figure
