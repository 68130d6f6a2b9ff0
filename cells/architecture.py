"""Networks and methods by name: what estimators make of their parameters."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cells.cell import Cell
from cells.elman import Elman
from cells.forget_gate import ForgetGate
from cells.gru import GRU
from cells.lstm import LSTM
from cells.mlstm import MultiplicativeLSTM
from cells.multiplicative import MultiplicativeRNN
from cells.mut import MUT1, MUT2, MUT3
from cells.network import Network
from optim.adaptive import Adagrad, Adam, RMSProp
from optim.first_order import SGD, Momentum, Nesterov
from optim.hessian_free import HessianFree
from optim.problem import check_positive
from optim.schedule import Cosine, Schedule

CELLS: Mapping[str, Callable[[int, int], Cell]] = {
    "elman": Elman,
    "relu": partial(Elman, activation="relu"),
    "lstm": LSTM,
    "gru": GRU,
    "mut1": MUT1,
    "mut2": MUT2,
    "mut3": MUT3,
    "forget_gate": ForgetGate,
    "multiplicative": MultiplicativeRNN,
    "multiplicative_lstm": MultiplicativeLSTM,
}

FIRST_ORDER: Mapping[str, Callable[..., Any]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": Adagrad,
    "rmsprop": RMSProp,
    "adam": Adam,
}
LEARNING_RATES = {"sgd": 0.1, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.1, "rmsprop": 0.003, "adam": 0.01}
_LAST_RATE = 0.01  # share of the learning rate that a decay ends at


def build_network(
    cell: str | Callable[[int, int], Cell],
    n_in: int,
    n_units: int,
    *,
    n_layers: int = 1,
    bidirectional: bool = False,
    **choices: Any,
) -> Network:
    """Network of ``n_layers`` equal layers.

    Parameters
    ----------
    cell : name in :data:`CELLS`, or a function ``cell(n_in, n_units) -> Cell``
        Such as a cell's class, or ``functools.partial(LSTM, has_peepholes=True)``.
    n_in, n_units, n_layers : int >= 1
    bidirectional : bool
    choices
        Of :class:`cells.Network`.

    Examples
    --------
    >>> from cells.architecture import build_network
    >>> build_network("gru", 3, 10, n_layers=2, bidirectional=True, n_out=1).n_features
    20
    """
    make = CELLS.get(cell) if isinstance(cell, str) else cell
    if not callable(make):
        raise ValueError(
            f"cell must be one of {', '.join(CELLS)}, or a function of (n_in, n_units) that makes one, got {cell!r}; "
            "choose one of them."
        )
    check_count("n_units", n_units)
    check_count("n_layers", n_layers)
    width = n_units * (2 if bidirectional else 1)
    layers = [make(n_in if layer == 0 else width, n_units) for layer in range(n_layers)]
    return Network(layers, bidirectional=bidirectional, **choices)


def build_method(
    solver: Any,
    learning_rate: Schedule | None = None,
    *,
    momentum: Schedule = 0.9,
    clip_value: float | None = None,
    clip_norm: float | None = None,
    hf_options: Mapping[str, Any] | None = None,
) -> Any:
    """Method of ``optim`` from what an estimator is given.

    Parameters
    ----------
    solver : "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "hf", or a method of ``optim``
        A method is returned as it is; it has its own settings.
    learning_rate : float or schedule, optional
        By default what :data:`LEARNING_RATES` says.
    momentum : float or schedule
        Of "momentum" and "nesterov".
    clip_value, clip_norm : float, optional
    hf_options : mapping, optional
        Settings of :class:`optim.HessianFree`.

    Examples
    --------
    >>> from cells.architecture import build_method
    >>> build_method("adam", clip_norm=1.0).learning_rate
    0.01
    """
    if not isinstance(solver, str) and hasattr(solver, "init") and hasattr(solver, "step"):
        return solver
    if solver == "hf":
        return HessianFree(**(hf_options or {}))
    if not isinstance(solver, str) or solver not in FIRST_ORDER:
        raise ValueError(
            f"solver must be one of {', '.join(FIRST_ORDER)}, hf, or a method such as optim.Adam(1e-3), got "
            f"{solver!r}; choose one of them."
        )
    rate = LEARNING_RATES[solver] if learning_rate is None else learning_rate
    more = {"momentum": momentum} if solver in ("momentum", "nesterov") else {}
    return FIRST_ORDER[solver](rate, clip_value=clip_value, clip_norm=clip_norm, **more)


def decayed(solver: Any, learning_rate: Any, decay: str | None, n_steps: float) -> Any:
    """The learning rate that is meant: by default that of the solver; a number decays as asked for over ``n_steps``."""
    if decay not in (None, "cosine"):
        raise ValueError(f"decay must be None or 'cosine', got {decay!r}; choose one of them.")
    if learning_rate is not None and not callable(learning_rate):
        check_positive("learning_rate", learning_rate)
    rate = LEARNING_RATES.get(solver) if learning_rate is None and isinstance(solver, str) else learning_rate
    if decay is None or rate is None or callable(rate):
        return rate
    return Cosine(rate, n_steps, _LAST_RATE * rate)


def check_count(name: str, value: Any, *, least: int = 1) -> int:
    """``value`` as an int, if it is an integer >= ``least``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}; give a whole number.")
    return int(value)
