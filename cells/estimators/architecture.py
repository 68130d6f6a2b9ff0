"""Networks and methods by name: what estimators make of their parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from cells.kinds.elman import Elman
from cells.kinds.forget_gate import ForgetGate
from cells.kinds.gru import GRU
from cells.kinds.lstm import LSTM
from cells.kinds.mlstm import MultiplicativeLSTM
from cells.kinds.multiplicative import MultiplicativeRNN
from cells.kinds.mut import MUT1, MUT2, MUT3
from cells.network import Network
from cells.passes.cell import Cell
from optim.adaptive import Adagrad, Adam, RMSProp
from optim.arguments import brief, choice, fraction, integer, number
from optim.first_order import SGD, Momentum, Nesterov
from optim.hessian_free import HessianFree
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
MOST_UNITS, MOST_LAYERS = 2**20, 1000
LEARNING_RATES = {"sgd": 0.1, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.1, "rmsprop": 0.003, "adam": 0.01}
SOLVERS = (*FIRST_ORDER, "hf")
WITH_MOMENTUM = ("momentum", "nesterov")
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
    >>> from cells.estimators.architecture import build_network
    >>> build_network("gru", 3, 10, n_layers=2, bidirectional=True, n_out=1).n_features
    20
    """
    if isinstance(cell, str) or not callable(cell):
        cell = CELLS[choice("cell", cell, CELLS, or_else="a function of (n_in, n_units) that makes one")]
    n_units = integer("n_units", n_units, most=MOST_UNITS)
    width = n_units * (2 if bidirectional else 1)
    widths = [n_in] + [width] * (integer("n_layers", n_layers, most=MOST_LAYERS) - 1)
    return Network([_made(cell, width, n_units) for width in widths], bidirectional=bidirectional, **choices)


def _made(make: Callable[[int, int], Cell], n_in: int, n_units: int) -> Cell:
    """The cell that a user's function makes, if it is one of these sizes."""
    cell = make(n_in, n_units)
    if not isinstance(cell, Cell) or (cell.n_in, cell.n_units) != (n_in, n_units):
        raise TypeError(
            f"cell must be a function of (n_in, n_units) that makes a cell of these sizes, {n_in} and {n_units}, got "
            f"one that makes {brief(cell)}; for example functools.partial(LSTM, has_peepholes=True)."
        )
    return cell


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
    >>> from cells.estimators.architecture import build_method
    >>> build_method("adam", clip_norm=1.0).learning_rate
    0.01
    """
    if is_method(solver):
        return solver
    choice("solver", solver, SOLVERS, or_else="a method such as optim.Adam(1e-3)")
    if solver == "hf":
        return _hessian_free({} if hf_options is None else hf_options)
    bounds = {"clip_value": clip_value, "clip_norm": clip_norm}
    for name, bound in bounds.items():
        if bound is not None:
            number(name, bound, above=0, remedy="None does not clip")
    if not callable(momentum):
        fraction("momentum", momentum, with_zero=True)
    rate = LEARNING_RATES[solver] if learning_rate is None else learning_rate
    more = {"momentum": momentum} if solver in WITH_MOMENTUM else {}
    return FIRST_ORDER[solver](rate, **bounds, **more)


def is_method(solver: Any) -> bool:
    """Whether ``solver`` is a method of ``optim``, with settings of its own, rather than a name."""
    return not isinstance(solver, type) and all(hasattr(solver, name) for name in ("init", "step", "state_type"))


def _hessian_free(options: Any) -> HessianFree:
    names = [entry.name for entry in fields(HessianFree) if entry.init]
    if not isinstance(options, Mapping):
        raise TypeError(f"hf_options must be a dict of settings, got {brief(options)}; for example {{'damping': 1.0}}.")
    for name in options:
        choice("every name in hf_options", name, names, remedy="see optim.HessianFree")
    try:
        return HessianFree(**options)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"hf_options must be what optim.HessianFree takes, got {brief(dict(options))}: {error}") from error


def decayed(solver: Any, learning_rate: Any, decay: str | None, n_steps: float) -> Any:
    """The learning rate that is meant: by default that of the solver; a number decays as asked for over ``n_steps``."""
    if learning_rate is not None and not callable(learning_rate):
        number("learning_rate", learning_rate, above=0, remedy="None takes what suits the solver")
    rate = LEARNING_RATES.get(solver) if learning_rate is None and isinstance(solver, str) else learning_rate
    if decay is None or rate is None or callable(rate):
        return rate
    return Cosine(rate, max(1, math.ceil(n_steps)), _LAST_RATE * rate)
