"""Recurrent cells with full back-propagation through time: forward, backward and R-forward passes in Numba.

The estimators are loaded when they are first asked for: scikit-learn takes longer to import than all else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cells.initial import initial_theta
from cells.kinds.elman import Elman
from cells.kinds.forget_gate import ForgetGate
from cells.kinds.gru import GRU
from cells.kinds.lstm import LSTM
from cells.kinds.mlstm import MultiplicativeLSTM
from cells.kinds.multiplicative import MultiplicativeRNN
from cells.kinds.mut import MUT1, MUT2, MUT3
from cells.network import Network
from cells.objective import SequenceObjective
from cells.predict import predict, states
from cells.saving import load
from cells.state_dict import from_state_dict, to_state_dict
from cells.stepper import Stepper
from cells.train import TrainingResult, train
from cells.truncated import TruncatedObjective
from optim.release import version

if TYPE_CHECKING:
    from cells.estimators.recurrent import RNNClassifier, RNNRegressor
    from cells.estimators.targets import AmbiguousTargetsWarning
    from cells.language.char_rnn import CharRNN

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
    "AmbiguousTargetsWarning": "cells.estimators.targets",
    "CharRNN": "cells.language.char_rnn",
    "RNNClassifier": "cells.estimators.recurrent",
    "RNNRegressor": "cells.estimators.recurrent",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    if name in _WITH_SCIKIT_LEARN:
        return getattr(import_module(_WITH_SCIKIT_LEARN[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
