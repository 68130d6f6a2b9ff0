"""The house style of figures: one look, colours the colour-blind tell apart, medians with their spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reservoir.plotting import COLOURS, FAINT, GRID, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "svg.hashsalt": "reservoir-hf",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Figures made inside have the house style; nothing outside is changed."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def panels(n_columns: int, n_rows: int = 1, *, width: float = 4.2, height: float = 3.4) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of axes, without pyplot and its global state.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : (n_rows * n_columns,) array of Axes, row by row
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False).ravel()


def quartiles(values: Any) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile, where an infinite value counts as the worst and NaN as
    infinite.

    Between two neighbours of the sorted values a straight line is drawn, as `numpy.percentile` does.
    """
    every = np.asarray(values, dtype=np.float64)
    every = np.sort(np.where(np.isnan(every), np.inf, every))

    def at(share: float) -> float:
        low, part = divmod(share * (every.size - 1), 1.0)
        below, above = every[int(low)], every[min(int(low) + 1, every.size - 1)]
        if part == 0.0 or below == above:
            return float(below)
        return float((1.0 - part) * below + part * above)

    return at(0.25), at(0.5), at(0.75)


def strip(axes: Axes, groups: dict[str, Sequence[float]], *, colours: dict[str, str] | None = None) -> None:
    """One column of dots per group (a dot per seed), a bar at the median and a box from quartile to quartile.

    Values that are not finite cannot be drawn; their number stands at the top of the column.
    """
    draw = np.random.default_rng(0)
    for i, (name, values) in enumerate(groups.items()):
        colour = (colours or {}).get(name, COLOURS[i % len(COLOURS)])
        every = np.asarray(values, dtype=np.float64)
        seen = every[np.isfinite(every)]
        if every.size:
            low, middle, high = quartiles(every)
            if np.isfinite(high):
                axes.fill_between([i - 0.3, i + 0.3], low, high, color=colour, alpha=0.18, linewidth=0)
            if np.isfinite(middle):
                axes.plot([i - 0.3, i + 0.3], [middle, middle], color=colour, linewidth=2.4, solid_capstyle="butt")
            spread = draw.uniform(-0.16, 0.16, seen.size) if seen.size > 1 else np.zeros(seen.size)
            axes.plot(i + spread, seen, "o", color=colour, markersize=4, alpha=0.75, markeredgewidth=0)
        if seen.size < every.size:
            note = f"{every.size - seen.size} of {every.size}\nnot finite"
            axes.annotate(note, (i, 0.99), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=8)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.6, len(groups) - 0.4)


def median_line(axes: Axes, x: Any, table: Any, *, label: str, index: int = 0) -> None:
    """A line through medians with a band from quartile to quartile.

    Parameters
    ----------
    x : (n,), the place of each row of `table`
    table : (n, n_seeds), values
    index : which colour and marker of the house
    """
    low, middle, high = np.array([quartiles(values) for values in np.asarray(table, dtype=np.float64)]).T
    low, middle, high = (np.where(np.isfinite(v), v, np.nan) for v in (low, middle, high))
    colour = COLOURS[index % len(COLOURS)]
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, middle, MARKERS[index % len(MARKERS)] + "-", color=colour, label=label)


def bar_line(axes: Axes, value: float, text: str) -> None:
    """A dashed line across the axes at a figure from elsewhere, with its origin written on it."""
    axes.axhline(value, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, zorder=1)
    axes.annotate(
        text,
        (1.0, value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8,
        color=INK,
    )


def size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    """A logarithmic x axis with a mark at every size and at no other place."""
    axes.set_xscale("log")
    axes.set_xticks(list(sizes), [str(size) for size in sizes])
    axes.set_xticks([], minor=True)


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis: powers of ten over many decades, 1-2-5 in plain numbers over few.

    Call it when everything is drawn, since it looks at the limits.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if low > 0.0 and high / low < 300.0:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as NAME.png and NAME.svg into `folder`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    for path in paths:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def ratios(rows, by: str, title: str):
    """Bars of the column ``ratio`` for each value of ``by``, with a mark at ``reach``."""
    table = rows.groupby(by, sort=False)[["ratio", "reach"]].median().iloc[::-1]
    figure, (axes,) = panels(1, width=7.5)
    figure.set_size_inches(7.5, 0.32 * len(table) + 1.2)
    where = range(len(table))
    axes.barh(where, table["ratio"], color="#0072b2", height=0.6)
    axes.plot(table["reach"], where, "|", color="#d55e00", markersize=12, markeredgewidth=2, label="set out to reach")
    axes.axvline(1.0, color=FAINT, linewidth=1)
    axes.set_yticks(where, list(table.index))
    axes.set(xlabel="times faster than the best rival", title=title)
    axes.legend(loc="best")
    return figure
