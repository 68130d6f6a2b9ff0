"""Series of nature and of economies that statsmodels ships: half to develop on, half to report on once."""

from __future__ import annotations

import numpy as np

NAMES = (
    "co2", "elnino", "interest_inflation.Dp", "interest_inflation.R", "macrodata.cpi", "macrodata.infl", "macrodata.m1",
    "macrodata.pop", "macrodata.realcons", "macrodata.realdpi", "macrodata.realgdp", "macrodata.realgovt",
    "macrodata.realint", "macrodata.realinv", "macrodata.tbilrate", "macrodata.unemp", "nile", "sunspots",
)  # fmt: skip
DEVELOPMENT, REPORTED = NAMES[0::2], NAMES[1::2]  # what may choose defaults, and what chooses nothing


def tabled_series() -> dict[str, np.ndarray]:
    """All series of 100 and more steps by :data:`NAMES`, which are in alphabetical order: (T, 1) in their own units.

    Weekly CO2 is averaged over months, its gaps filled by straight lines; years of El Niño are joined month by month.
    """
    import statsmodels.datasets as shipped

    def table(name: str):
        return getattr(shipped, name).load_pandas().data

    found = {
        "co2": table("co2")["co2"].interpolate().resample("MS").mean(),
        "elnino": table("elnino").iloc[:, 1:].to_numpy().ravel(),
        "nile": table("nile")["volume"],
        "sunspots": table("sunspots")["SUNACTIVITY"],
    }
    for name in ("interest_inflation", "macrodata"):
        columns = table(name)
        found |= {f"{name}.{column}": columns[column] for column in columns.columns[2:]}
    return {name: np.asarray(found[name], np.float64)[:, None] for name in sorted(found)}
