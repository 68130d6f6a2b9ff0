"""The table of a study: median and quartiles of each group, the best of each contest marked."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.bench.figures import quartiles
from studies.bench.findings import groups, winners

if TYPE_CHECKING:
    import pandas as pd

MARK = "★"


def summarise(study: ModuleType, table: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles of every measured column, group by group in the order of the grid, as text.

    Parameters
    ----------
    study : module with BY (what to group by), COLUMNS (what was measured) and perhaps RANKING (who is best)
    table : rows of the study; failed ones have a text in the column ``error``
    """
    import pandas as pd

    best = winners(study, table)
    measured = [column for column in study.COLUMNS if column not in study.BY]
    lines = []
    for i, (values, group) in enumerate(groups(study, table)):
        good = group[group["error"].isna()]
        line = {name: shortened(value) for name, value in zip(study.BY, values, strict=True)}
        line |= {column: spread(good[column]) for column in measured if column in good}
        if i in best:
            line[study.RANKING.column] += f" {MARK}"
        lines.append(line | {"rows": len(good), "failed": len(group) - len(good)})
    return pd.DataFrame(lines).fillna("")


def spread(values: pd.Series) -> str:
    """Median [lower quartile, upper quartile]; text columns show their only value."""
    if values.dtype.kind not in "fiu":
        return ", ".join(sorted({str(value) for value in values.dropna()}))
    if values.empty:
        return ""
    low, middle, high = quartiles(values)
    return f"{middle:.3g}" if len(values) == 1 else f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def shortened(value: Any) -> str:
    """A cell of a table as text."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
