"""How well does an echo state network follow the NARMA-10 system, and what do more units buy?

Method. Inputs u ~ uniform(0, 0.5) drive the tenth-order system; the network sees u(t) and answers y(t+1). The
first `n_train` steps fit the readout, the `n_test` steps that follow in the same series are scored by the
normalised root mean square error. Every seed has its own series and its own reservoir.

Tuning. TUNED was found by a random local search of 80 s for 500 units (geometric mean of three seeds, none of
them among those reported, on series of the same lengths). The task wants a nearly linear memory of ten steps
and one product, hence the small input, the bias that bends the tanh and the radius near one. Other sizes use
the same values.

Sources. Atiya and Parlos 2000, IEEE TNN 11, eq. 86; Rodan and Tino 2011, IEEE TNN 22, for the protocol.

Expected run time: about fifteen seconds by default on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass

from studies.bench.findings import Ranking
from studies.learners.echo_state import EchoState

TUNED = {
    "spectral_radius": 1.02,
    "leak_rate": 1.0,
    "input_scaling": 0.091,
    "bias_scaling": 0.34,
    "alpha": 1e-8,
    "solver": "qr",
}
PEER_NRMSE = 0.255  # PyRCN 0.1.0, 500 units, handed the values of a search of 40 s; median of 10 seeds


@dataclass(frozen=True)
class Settings(EchoState):
    """One reservoir on one series."""

    n_train: int = 4000
    n_test: int = 2000


GRID = {
    "quick": [{**TUNED, "n_units": [50, 100], "n_train": 1000, "n_test": 500, "seed": range(3)}],
    "default": [{**TUNED, "n_units": [50, 100, 200, 500, 1000], "seed": range(10)}],
}
EXPECTED_S = {"quick": 2, "default": 15}
COLUMNS = ("nrmse",)
BY = ("n_units",)
RANKING = Ranking("nrmse")


def run(settings: Settings) -> list[dict]:
    """NRMSE on the test part of one series."""
    from reservoir import ESNRegressor
    from reservoir.datasets import narma10
    from reservoir.metrics import nrmse

    u, y = narma10(settings.n_train + settings.n_test, random_state=settings.data_rng())
    model = ESNRegressor(**settings.arguments()).fit(u[: settings.n_train], y[: settings.n_train])
    # predicted from the start of the series, so that the test part begins with a state that is warm
    answer = model.predict(u)
    return [{"nrmse": nrmse(y[settings.n_train :], answer[settings.n_train :])}]


def plot(rows):
    """Test error against the number of units."""
    from studies.bench.figures import bar_line, log_axis, median_line, panels, size_axis

    table = rows.pivot_table(index="n_units", columns="seed", values="nrmse")
    figure, (axes,) = panels(1, width=5.6)
    median_line(axes, table.index, table, label="echo state network")
    bar_line(axes, PEER_NRMSE, "PyRCN 0.1.0, 500 units")
    axes.set(
        xlabel="reservoir units",
        ylabel="NRMSE on the test part",
        title="NARMA-10",
    )
    size_axis(axes, table.index)
    log_axis(axes)
    return figure
