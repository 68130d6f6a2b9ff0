"""Echo state networks: sparse random reservoirs, streamed readouts, scikit-learn estimators.

The estimators and metrics are loaded when they are first asked for: scikit-learn takes longer to import than all else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reservoir import spectrum, topology
from reservoir.alarms import (
    ColdStartWarning,
    FreeRunDivergedWarning,
    IgnoredTargetWarning,
    IllConditionedWarning,
    SpectralRadiusWarning,
    StateOverflowError,
)
from reservoir.persistence import load

if TYPE_CHECKING:
    from reservoir import metrics
    from reservoir.classifier import ESNClassifier
    from reservoir.esn import ESNRegressor
    from reservoir.forecaster import ESNForecaster
    from reservoir.transformer import ReservoirTransformer

__all__ = [
    "ColdStartWarning",
    "ESNClassifier",
    "ESNForecaster",
    "ESNRegressor",
    "FreeRunDivergedWarning",
    "IgnoredTargetWarning",
    "IllConditionedWarning",
    "ReservoirTransformer",
    "SpectralRadiusWarning",
    "StateOverflowError",
    "load",
    "metrics",
    "spectrum",
    "topology",
]

_WITH_SCIKIT_LEARN = {
    "ESNClassifier": "reservoir.classifier",
    "ESNForecaster": "reservoir.forecaster",
    "ESNRegressor": "reservoir.esn",
    "ReservoirTransformer": "reservoir.transformer",
}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("reservoir.metrics")
    if name in _WITH_SCIKIT_LEARN:
        return getattr(import_module(_WITH_SCIKIT_LEARN[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
