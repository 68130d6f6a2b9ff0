"""Two runs of one study side by side: what changed, and whether by more than seeds explain."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from studies.bench.figures import quartiles
from studies.bench.findings import groups
from studies.bench.summary import shortened, spread

if TYPE_CHECKING:
    import pandas as pd

BETTER, WORSE, SAME = "better", "worse", "not apart"


def compare(study: ModuleType, a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """A line for each group that both have and each measured number: both medians, B over A, and which is better.

    One is better where its quartiles are apart from the other's, and only in the column that the study ranks by.

    Parameters
    ----------
    study : module with BY and COLUMNS, and perhaps RANKING
    a, b : rows of the two runs
    """
    import pandas as pd

    others = dict(groups(study, b))
    lines = []
    for values, group in groups(study, a):
        if values not in others:
            continue
        one, other = (each[each["error"].isna()] for each in (group, others[values]))
        for column in [name for name in study.COLUMNS if name not in study.BY]:
            if not (_is_measured(one, column) and _is_measured(other, column)):
                continue
            middle = [quartiles(each[column])[1] for each in (one, other)]
            line = {name: shortened(value) for name, value in zip(study.BY, values, strict=True)}
            line |= {"measured": column, "A": spread(one[column]), "B": spread(other[column])}
            line["B / A"] = f"{middle[1] / middle[0]:.3g}" if middle[0] else ""
            line["B is"] = _verdict(study, values, column, one, other)
            lines.append(line)
    return pd.DataFrame(lines)


def in_words(table: pd.DataFrame) -> str:
    """The comparison in a sentence."""
    if table.empty:
        return "The two have no group in common."
    judged = table["B is"][table["B is"] != ""]
    if judged.empty:
        return "The study does not say what is better, so nothing is judged."
    n = {verdict: int((judged == verdict).sum()) for verdict in (BETTER, WORSE, SAME)}
    of = f"of {len(judged)} groups"
    return f"B is better in {n[BETTER]} {of}, worse in {n[WORSE]}; in {n[SAME]} the quartiles overlap."


def folder_of(name: str) -> Path:
    """The folder of results that is meant: one that is there, or a study's usual one.

    Raises
    ------
    ValueError
    """
    for folder in (Path(name), Path("study_results") / name):
        if (folder / "rows.jsonl").exists():
            return folder
    raise ValueError(f"A and B must be folders with results or studies that were run, got {name!r}; run it first.")


def _is_measured(rows: pd.DataFrame, column: str) -> bool:
    return len(rows) > 0 and column in rows and rows[column].dtype.kind in "fiu"


def _verdict(study: ModuleType, values: tuple, column: str, one: pd.DataFrame, other: pd.DataFrame) -> str:
    ranking = getattr(study, "RANKING", None)
    if ranking is None or column != ranking.column:
        return ""
    settings = dict(zip(study.BY, values, strict=True))
    sign = ranking.sign(tuple(settings[name] for name in ranking.within))
    a, b = (quartiles(sign * each[column].astype(float)) for each in (one, other))
    return BETTER if b[2] < a[0] else WORSE if a[2] < b[0] else SAME
