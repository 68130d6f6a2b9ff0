"""The trace of a minimisation as a figure: one panel for what belongs together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# title, columns, logarithmic
PANELS = (
    ("loss", ("loss", "loss_curvature", "loss_acceptance", "loss_after"), True),
    ("gradient norm", ("gradient_norm",), True),
    ("damping λ", ("damping",), True),
    ("reduction ratio ρ", ("reduction_ratio",), False),
    ("CG iterations", ("cg_iterations",), False),
    ("step length", ("step_length",), False),
)


def plot_trace(trace: Any, *, against: str = "iteration") -> Any:
    """Figure of a trace: loss, gradient norm, damping, reduction ratio, CG iterations and step length.

    Matplotlib is imported here, and needed only here. The figure belongs to no window: save it with
    ``figure.savefig``, or show it in a notebook by returning it.

    Parameters
    ----------
    trace : Trace, Result or mapping of columns
    against : str
        Column of the horizontal axis: "iteration", "seconds" or "products".

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from optim import Trace, plot_trace
    >>> trace = Trace({"iteration": [0, 1], "loss": [2.0, 1.0]})
    >>> len(plot_trace(trace).axes)
    1
    """
    from matplotlib.figure import Figure

    columns: Mapping[str, np.ndarray] = getattr(trace, "trace", trace)
    if against not in columns:
        raise ValueError(f"against must be a column of the trace, got {against!r}; it has {list(columns)}.")
    panels = [(title, [name for name in names if name in columns], log) for title, names, log in PANELS]
    panels = [panel for panel in panels if panel[1]]
    n_rows = -(-len(panels) // 2)
    figure = Figure(figsize=(10, 2.6 * max(n_rows, 1)), layout="constrained")
    for position, (title, names, is_log) in enumerate(panels, start=1):
        axes = figure.add_subplot(n_rows, min(2, len(panels)), position)
        for name in names:
            axes.plot(columns[against], columns[name], label=name, marker="." if len(columns[name]) < 60 else "")
        positive = all((columns[name][np.isfinite(columns[name])] > 0).all() for name in names)
        axes.set_yscale("log" if is_log and positive else "linear")
        axes.set_title(title)
        axes.set_xlabel(against)
        if len(names) > 1:
            axes.legend()
    return figure
