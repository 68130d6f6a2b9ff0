"""Echo state networks: sparse random reservoirs, streamed readouts, scikit-learn estimators."""

from reservoir import metrics, spectrum, topology
from reservoir.esn import ESNClassifier, ESNRegressor
from reservoir.forecaster import ESNForecaster
from reservoir.persistence import load
from reservoir.readout import IllConditionedWarning
from reservoir.spectrum import SpectralRadiusWarning
from reservoir.transformer import ReservoirTransformer

__all__ = [
    "ESNClassifier",
    "ESNForecaster",
    "ESNRegressor",
    "IllConditionedWarning",
    "ReservoirTransformer",
    "SpectralRadiusWarning",
    "load",
    "metrics",
    "spectrum",
    "topology",
]
