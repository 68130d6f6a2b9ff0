"""Forecasts of one series that everybody knows: seasonal naive, exponential smoothing, ARIMA, Theta.

Each takes (train, season, n_steps) and returns (n_steps,). All but the first are statsmodels'.

References
----------
Hyndman and Khandakar (2008), Automatic time series forecasting, J. Stat. Softw. 27: differences by tests, orders by
AICc.
Assimakopoulos and Nikolopoulos (2000), The theta model, Int. J. Forecasting 16.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np

STRONG_SEASON = 0.64  # strength from which on a seasonal difference is taken (Hyndman and Athanasopoulos 2021, 9.1)


def seasonal_naive(train: np.ndarray, season: int, n_steps: int) -> np.ndarray:
    """The value of the last season at the same place in it.

    Examples
    --------
    >>> import numpy as np
    >>> from studies.learners.classical_forecasts import seasonal_naive
    >>> seasonal_naive(np.array([1.0, 2.0, 3.0]), 2, 3).tolist()
    [2.0, 3.0, 2.0]
    """
    return train[len(train) - season + np.arange(n_steps) % season]


def smoothing(train: np.ndarray, season: int, n_steps: int) -> np.ndarray:
    """ETS with additive errors: no trend or a damped one, no season or an additive one, by AICc."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    kinds = [{"trend": None}, {"trend": "add", "damped_trend": True}, {"trend": "add"}]
    seasons = [{}] if season == 1 else [{}, {"seasonal": "add", "seasonal_periods": season}]
    fits = [_quietly(lambda k=k, s=s: ETSModel(train, **k, **s).fit(disp=0)) for k in kinds for s in seasons]
    return np.asarray(min(fits, key=lambda fit: fit.aicc).forecast(n_steps))


def arima(train: np.ndarray, season: int, n_steps: int) -> np.ndarray:
    """ARIMA: differences by KPSS and the strength of the season, orders up to 2 by AICc, a seasonal term of order 1."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    D = int(season > 1 and _strength(train, season) > STRONG_SEASON)
    d = _differences(train[season:] - train[:-season] if D else train)
    seasonal = (0, D, 1, season) if D else (1, 0, 0, season)
    settings = {"seasonal_order": seasonal if season > 1 else (0, 0, 0, 0), "trend": "c" if d + D < 2 else "n"}

    def fit(p: int, q: int):
        return SARIMAX(train, order=(p, d, q), **settings).fit(disp=0, maxiter=50, method="lbfgs")

    fits = [_quietly(lambda p=p, q=q: fit(p, q)) for p, q in itertools.product(range(3), repeat=2)]
    return np.asarray(min(fits, key=lambda found: found.aicc).forecast(n_steps))


def theta(train: np.ndarray, season: int, n_steps: int) -> np.ndarray:
    """Theta lines 0 and 2, the season taken out where there is one."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    model = ThetaModel(train, period=season, deseasonalize=season > 1, method="additive")
    return np.asarray(_quietly(lambda: model.fit(disp=False).forecast(n_steps)))


WAYS = {"seasonal naive": seasonal_naive, "ETS": smoothing, "ARIMA": arima, "Theta": theta}


def _quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def _strength(train: np.ndarray, season: int) -> float:
    """1 - var(rest) / var(rest + season) of an additive decomposition by loess."""
    from statsmodels.tsa.seasonal import STL

    parts = STL(train, period=season).fit()
    return 1.0 - np.var(parts.resid) / max(np.var(parts.resid + parts.seasonal), np.finfo(float).tiny)


def _differences(x: np.ndarray) -> int:
    """Differences, at most 2, until KPSS finds the level stationary at 5 %."""
    from statsmodels.tsa.stattools import kpss

    for d in range(2):
        if _quietly(lambda x=x: kpss(x, regression="c", nlags="auto"))[1] > 0.05:
            return d
        x = np.diff(x)
    return 2
