"""Recurrent cells with full back-propagation through time: forward, backward and R-forward passes in Numba.

The estimators are loaded when they are first asked for: scikit-learn takes longer to import than all else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cells.elman import Elman
from cells.forget_gate import ForgetGate
from cells.gru import GRU
from cells.initial import initial_theta
from cells.lstm import LSTM
from cells.mlstm import MultiplicativeLSTM
from cells.multiplicative import MultiplicativeRNN
from cells.mut import MUT1, MUT2, MUT3
from cells.network import Network
from cells.objective import SequenceObjective
from cells.predict import predict, states
from cells.saving import load
from cells.state_dict import from_state_dict, to_state_dict
from cells.stepper import Stepper
from cells.train import TrainingResult, train
from cells.truncated import TruncatedObjective

if TYPE_CHECKING:
    from cells.estimators import RNNClassifier, RNNRegressor
    from cells.targets import AmbiguousTargetsWarning
    from cells.text import CharRNN

__all__ = [
    "GRU",
    "LSTM",
    "MUT1",
    "MUT2",
    "MUT3",
    "AmbiguousTargetsWarning",
    "CharRNN",
    "Elman",
    "ForgetGate",
    "MultiplicativeLSTM",
    "MultiplicativeRNN",
    "Network",
    "RNNClassifier",
    "RNNRegressor",
    "SequenceObjective",
    "Stepper",
    "TrainingResult",
    "TruncatedObjective",
    "from_state_dict",
    "initial_theta",
    "load",
    "predict",
    "states",
    "to_state_dict",
    "train",
]

_WITH_SCIKIT_LEARN = {
    "AmbiguousTargetsWarning": "cells.targets",
    "CharRNN": "cells.text",
    "RNNClassifier": "cells.estimators",
    "RNNRegressor": "cells.estimators",
}


def __getattr__(name: str) -> Any:
    if name in _WITH_SCIKIT_LEARN:
        return getattr(import_module(_WITH_SCIKIT_LEARN[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
