"""Ordinary series: what statsmodels ships of monthly, quarterly and yearly records."""

from __future__ import annotations

import numpy as np

SEASONS = {"co2": 12, "elnino": 12, "interest_inflation": 4, "macrodata": 4, "nile": 1, "sunspots": 11}
NAMES = (
    "co2", "elnino", "interest_inflation.Dp", "interest_inflation.R", "macrodata.cpi", "macrodata.infl", "macrodata.m1",
    "macrodata.pop", "macrodata.realcons", "macrodata.realdpi", "macrodata.realgdp", "macrodata.realgovt",
    "macrodata.realint", "macrodata.realinv", "macrodata.tbilrate", "macrodata.unemp", "nile", "sunspots",
)  # fmt: skip
DEVELOPMENT, REPORTED = NAMES[0::2], NAMES[1::2]


def season_of(name: str) -> int:
    """Lag of the seasonal naive forecast."""
    return SEASONS[name.partition(".")[0]]


def ordinary_series(name: str) -> np.ndarray:
    """(n_steps,) values of a series of :data:`NAMES`.

    Of the weekly CO2 monthly means are taken, its gaps filled by straight lines; the years of El Niño's months are laid
    end to end.
    """
    from statsmodels import datasets

    table, _, column = name.partition(".")
    data = getattr(datasets, table).load_pandas().data
    if table == "co2":
        return data["co2"].interpolate().resample("MS").mean().to_numpy()
    if table == "elnino":
        return data.iloc[:, 1:].to_numpy(float).ravel()
    column = column or {"nile": "volume", "sunspots": "SUNACTIVITY"}[table]
    return data[column].to_numpy(float)
