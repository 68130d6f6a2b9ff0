"""Echo state networks: sparse random reservoirs, streamed readouts, scikit-learn estimators.

The estimators and what goes with them are loaded when they are first asked for: scikit-learn takes longer to import
than all else.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from optim.release import version
from reservoir.alarms import (
    ColdStartWarning,
    FreeRunDivergedWarning,
    IgnoredTargetWarning,
    IllConditionedWarning,
    IndexNotContinuedWarning,
    LayoutWarning,
    SpectralRadiusWarning,
    StateOverflowError,
)
from reservoir.estimators.persistence import load
from reservoir.graph import spectrum, topology

if TYPE_CHECKING:
    from reservoir import datasets, metrics, model_selection, plotting
    from reservoir.estimators.classifier import ESNClassifier
    from reservoir.estimators.regressor import ESNRegressor
    from reservoir.estimators.transformer import ReservoirTransformer
    from reservoir.forecasting.forecaster import ESNForecaster
    from reservoir.search.search_cv import ESNSearchCV

__all__ = [
    "ColdStartWarning",
    "ESNClassifier",
    "ESNForecaster",
    "ESNRegressor",
    "ESNSearchCV",
    "FreeRunDivergedWarning",
    "IgnoredTargetWarning",
    "IllConditionedWarning",
    "IndexNotContinuedWarning",
    "LayoutWarning",
    "ReservoirTransformer",
    "SpectralRadiusWarning",
    "StateOverflowError",
    "datasets",
    "load",
    "metrics",
    "model_selection",
    "plotting",
    "spectrum",
    "topology",
]

# Public modules that live in a wing: ``from reservoir.topology import ring`` finds them under their short names.
sys.modules |= {f"{__name__}.topology": topology, f"{__name__}.spectrum": spectrum}

_LOADED_LATE = ("datasets", "metrics", "model_selection", "plotting")
_WITH_SCIKIT_LEARN = {
    "ESNClassifier": "reservoir.estimators.classifier",
    "ESNForecaster": "reservoir.forecasting.forecaster",
    "ESNRegressor": "reservoir.estimators.regressor",
    "ESNSearchCV": "reservoir.search.search_cv",
    "ReservoirTransformer": "reservoir.estimators.transformer",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    if name in _LOADED_LATE:
        return import_module(f"reservoir.{name}")
    if name in _WITH_SCIKIT_LEARN:
        return getattr(import_module(_WITH_SCIKIT_LEARN[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
