"""Recurrent cells with full back-propagation through time: forward, backward and R-forward passes in Numba."""

from cells.elman import Elman
from cells.gru import GRU
from cells.lstm import LSTM
from cells.network import Network
from cells.objective import SequenceObjective

__all__ = ["GRU", "LSTM", "Elman", "Network", "SequenceObjective"]
