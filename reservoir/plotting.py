"""What is looked at first: states, a forecast with its bounds, the spectrum of a reservoir.

Every function draws into ``ax``, or into a figure of its own without it, and returns the axes. Matplotlib is imported
when one is called.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from optim.arguments import as_array, brief, integer, reals
from reservoir.data.containers import as_table, is_pandas
from reservoir.graph.matrix import Shifts, from_matrix
from reservoir.graph.spectrum import spectral_radius
from reservoir.memory import check_memory

# Okabe and Ito 2008: blue, vermilion, green, orange, purple, sky, grey; their yellow is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#7F7F7F")
INK = "#22272E"
FAINT = "#8B949E"
GRID = "#E3E6EA"
UNITS_SHOWN = 10
HISTORY_SHOWN = 4  # times the length of the forecast

__all__ = ["plot_forecast", "plot_spectrum", "plot_states"]


def plot_states(states: Any, *, units: Sequence[int] | None = None, ax: Any = None) -> Any:
    """Activity of some units over time, a line each, one above the other.

    Parameters
    ----------
    states : (n_steps, n_units)
        As :class:`reservoir.ReservoirTransformer` gives them; the index of a DataFrame is kept.
    units : sequence of int or None
        Which to show; None: ten, evenly spaced.
    ax : matplotlib.axes.Axes or None
        Where to draw; None: in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        For states that are no table of finite numbers, and units that there are not.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.plotting import plot_states
    >>> len(plot_states(np.tanh(np.random.default_rng(0).normal(size=(50, 30)))).lines)
    10
    """
    rows = _read("states", states)
    shown = _units(units, len(rows.names))
    values = rows.values[:, shown]
    gap = 1.1 * max(float(np.ptp(values, axis=0).max()), 1e-12)
    places = -gap * np.arange(len(shown))
    axes = _axes(ax, height=3.6)
    for i, line in enumerate((values - (values.max(0) + values.min(0)) / 2 + places).T):
        axes.plot(rows.where, line, color=COLOURS[i % len(COLOURS)], linewidth=1.2)
    axes.set_yticks(places, [str(rows.names[unit]) for unit in shown])
    axes.set(title="States", ylabel="unit", xlabel="" if rows.is_named else "time step")
    axes.grid(False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0)
    return axes


def plot_forecast(
    forecast: Any, history: Any = None, *, truth: Any = None, n_history: int | None = None, ax: Any = None
) -> Any:
    """A forecast behind the series that it goes on from, its bounds as a band.

    Parameters
    ----------
    forecast : ForecastInterval, or (n_steps,) or (n_steps, n_features)
        What :meth:`reservoir.ESNForecaster.forecast_interval` or ``forecast`` returns for one series; the index of
        pandas objects is kept.
    history : (n, n_features) or None
        The series.
    truth : (n_steps, n_features) or None
        What came in fact.
    n_history : int >= 1 or None
        Last rows of the history to show; None: four times as many as are forecast.
    ax : matplotlib.axes.Axes or None
        Where to draw; None: in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        For several series, numbers that are not finite, and columns that differ.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.plotting import plot_forecast
    >>> x = np.sin(0.3 * np.arange(120.0))
    >>> [line.get_label() for line in plot_forecast(x[100:], x[:100]).lines if line.get_label()[0] != "_"]
    ['history', 'forecast']
    """
    coverage = getattr(forecast, "coverage", None)
    point = _read("forecast", getattr(forecast, "point", forecast))
    edges = [] if coverage is None else [_read("forecast", each).values for each in (forecast.lower, forecast.upper)]
    several = len(point.names) > 1
    axes = _axes(ax)
    ahead, lines = point.where, [point.values, *edges]
    if history is not None:
        past = _read("history", history, like=point)
        n_shown = integer("n_history", HISTORY_SHOWN * len(ahead) if n_history is None else n_history)
        before = past.where
        if not (past.is_named and point.is_named):
            before, ahead = np.arange(len(past.where)), len(past.where) + np.arange(len(ahead))
        for line, colour in zip(past.values[-n_shown:].T, _colours(several), strict=False):
            axes.plot(before[-n_shown:], line, color=colour, linewidth=1.1, label="_" if several else "history")
        axes.axvline(before[-1], color=FAINT, linewidth=0.8, zorder=1)
        ahead = np.concatenate([before[-1:], ahead])
        lines = [np.concatenate([past.values[-1:], values]) for values in lines]
    for i, name in enumerate(point.names):
        colour = COLOURS[i % len(COLOURS)]
        if edges:
            label = "_" if several else f"{coverage:.0%} bounds"
            axes.fill_between(ahead, *(line[:, i] for line in lines[1:]), color=colour, alpha=0.2, lw=0, label=label)
        axes.plot(ahead, lines[0][:, i], color=colour, linewidth=2.0, label=str(name) if several else "forecast")
    if truth is not None:
        came = _read("truth", truth, like=point)
        for i, line in enumerate(came.values.T):
            axes.plot(
                ahead[-len(point.where) :][: len(line)], line[: len(point.where)], color=INK, linewidth=1.1,
                linestyle=(0, (3, 2)), label="_" if i else "truth",
            )  # fmt: skip
    axes.set_title(f"Forecast and {coverage:.0%} bounds" if several and edges else "Forecast")
    axes.set_ylabel(str(point.names[0]) if point.is_named and not several else "")
    axes.set_xlabel("" if point.is_named else "time step")
    axes.margins(x=0.01)
    _legend(axes)
    return axes


def plot_spectrum(reservoir: Any, *, ax: Any = None) -> Any:
    """Eigenvalues of the recurrent weights in the complex plane, in the circle of their spectral radius.

    All eigenvalues are computed, which takes a second for 1,000 units and eight times as long for twice as many.

    Parameters
    ----------
    reservoir : fitted estimator, its ``reservoir_``, or (N, N) matrix
        Dense, SciPy sparse or :class:`reservoir.topology.Shifts`.
    ax : matplotlib.axes.Axes or None
        Where to draw; None: in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        For what is no square matrix of finite numbers.

    Examples
    --------
    >>> from reservoir.plotting import plot_spectrum
    >>> plot_spectrum([[0.0, 0.5], [-0.5, 0.0]]).get_title()
    'Spectral radius 0.5'
    """
    from matplotlib.patches import Circle

    weights = getattr(reservoir, "reservoir_", reservoir)
    W = from_matrix(getattr(weights, "W", weights))
    check_memory(4 * 8 * W.shape[0] ** 2, f"the eigenvalues of {W.shape[0]} units")
    radius = spectral_radius(W).value
    values = scipy.linalg.eigvals((W.to_csr() if isinstance(W, Shifts) else W).toarray().astype(np.float64))
    axes = _axes(ax, width=6.0, height=4.4)
    axes.add_patch(Circle((0, 0), 1.0, fill=False, color=FAINT, linestyle=(0, (4, 3)), linewidth=1.0, label="unit"))
    if radius > 0.0:
        axes.add_patch(Circle((0, 0), radius, fill=False, color=COLOURS[1], linewidth=1.4, label="spectral radius"))
    axes.plot(values.real, values.imag, ".", color=COLOURS[0], markersize=4, alpha=0.7, label="eigenvalue")
    limit = 1.12 * max(1.0, radius)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="real part", ylabel="imaginary part")
    axes.set_title(f"Spectral radius {radius:.3g}")
    axes.grid(color=GRID, linewidth=0.8)
    _legend(axes)
    return axes


def _axes(ax: Any, *, width: float = 7.0, height: float = 3.4) -> Any:
    """``ax``, or the axes of a new figure, made quiet."""
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(figsize=(width, height), layout="constrained")[1]
    elif not (hasattr(ax, "plot") and hasattr(ax, "figure")):
        raise TypeError(f"ax must be axes of Matplotlib or None, got {brief(ax)}; take them from pyplot.subplots.")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def _legend(axes: Any) -> None:
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0, fontsize="small")


@dataclass(frozen=True)
class _Rows:
    """One series: where its rows lie on the axis, its values (n, n_columns), the names of the columns."""

    where: np.ndarray
    values: np.ndarray
    names: list
    is_named: bool


def _read(name: str, given: Any, *, like: _Rows | None = None) -> _Rows:
    """One series, with the columns of ``like``."""
    table = as_table(given)
    is_named = is_pandas(table)
    values = reals(name, table.to_numpy() if is_named else table, remedy="fill in what is missing")
    values = values[:, None] if values.ndim == 1 else values
    n_columns = None if like is None else len(like.names)
    if values.ndim != 2 or not len(values) or n_columns not in (None, values.shape[1]):
        raise ValueError(
            f"{name} must be one series of shape (n, {n_columns or 'n_features'}), got {brief(values)}; give one of "
            "several, and the same columns everywhere."
        )
    if not is_named:
        return _Rows(np.arange(len(values)), values, list(range(values.shape[1])), False)
    index = table.index.to_timestamp() if hasattr(table.index, "to_timestamp") else table.index
    return _Rows(index.to_numpy(), values, list(table.columns), True)


def _colours(several: bool) -> Iterator[str]:
    """Of histories: each in the colour of its forecast, or one alone in ink."""
    return itertools.cycle(COLOURS if several else (INK,))


def _units(units: Any, n_units: int) -> np.ndarray:
    """Columns to show."""
    if units is None:
        return np.unique(np.linspace(0, n_units - 1, min(UNITS_SHOWN, n_units)).round().astype(int))
    found = np.atleast_1d(as_array("units", units))
    return np.array([integer("units", unit, least=0, most=n_units - 1, remedy="name units of it") for unit in found])
