"""A study without a question to the world, whose rows tests write themselves."""

from types import SimpleNamespace

from studies.bench.findings import Ranking


def study(**changes):
    """A study of two ways on tasks, in which a low error is good."""
    parts = {
        "__name__": "studies.toy",
        "__doc__": "Which way is best?\n\nMethod. Rows are written by hand.\n",
        "BY": ("task", "way"),
        "COLUMNS": ("error_rate",),
        "RANKING": Ranking("error_rate", within=("task",)),
    }
    return SimpleNamespace(**(parts | changes))


def table(**errors):
    """Rows of ``task__way=(error of each seed, ...)``; None is a cell that failed."""
    import pandas as pd

    rows = [
        {"key": f"{name}{seed}", "task": task, "way": way, "seed": seed, "error_rate": value,
         "error": "ValueError: no luck" if value is None else None, "environment": "e"}
        for name, values in errors.items()
        for task, way in [name.split("__")]
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"error_rate": float})
