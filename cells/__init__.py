"""Recurrent cells with full back-propagation through time: forward, backward and R-forward passes in Numba."""

from cells.elman import Elman
from cells.estimators import RNNClassifier, RNNRegressor
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
from cells.text import CharRNN
from cells.train import TrainingResult, train
from cells.truncated import TruncatedObjective

__all__ = [
    "GRU",
    "LSTM",
    "MUT1",
    "MUT2",
    "MUT3",
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
