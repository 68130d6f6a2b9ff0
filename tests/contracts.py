"""Contracts: lists of objects, and the decorator that runs a check on every one of them.

A new estimator, topology, cell or kernel is tested by being in its list. A check is an ordinary test whose first
parameter is the object::

    @every(TOPOLOGIES)
    def test_shape(build): ...
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from cells import (
    GRU,
    LSTM,
    MUT1,
    MUT2,
    MUT3,
    Elman,
    ForgetGate,
    MultiplicativeLSTM,
    MultiplicativeRNN,
    RNNClassifier,
    RNNRegressor,
)
from optim import (
    SGD,
    Adagrad,
    Adam,
    CGSettings,
    HessianFree,
    LevenbergMarquardt,
    Momentum,
    Nesterov,
    RMSProp,
)
from reservoir import ColdStartWarning, ESNClassifier, ESNForecaster, ESNRegressor, ReservoirTransformer, topology


def every(objects: Mapping[str, Any]) -> Callable[[Callable], Callable]:
    """Decorator: run the check on every entry, which its first parameter receives."""

    def run_on_every(check: Callable) -> Callable:
        first = next(iter(inspect.signature(check).parameters))
        return pytest.mark.parametrize(first, list(objects.values()), ids=list(objects))(check)

    return run_on_every


# ------------------------------------------------------------------------------------------------- estimators


@dataclass(frozen=True)
class Contract:
    """An estimator in a small configuration, and the method whose numbers tell whether two models are equal.

    ``answer(model, X, **sequences)`` are these numbers; ``has_rows`` says that there is one row of them for
    every row of ``X``, ``takes_weights`` that ``fit`` accepts ``sample_weight``.
    """

    make: Callable[..., Any]
    answer: Callable[..., np.ndarray]
    has_rows: bool = True
    takes_weights: bool = True
    target: str | None = "numbers"

    def targets(self, X: np.ndarray) -> np.ndarray | None:
        """Targets for the rows of ``X`` that a reservoir with memory can learn."""
        numbers = np.roll(np.sum(np.asarray(X, float)[:, -2:], axis=1), 1)
        labels = np.where(numbers > np.median(numbers), "up", "down")
        return {"numbers": numbers, "labels": labels, None: None}[self.target]

    def arguments(self, X: np.ndarray) -> tuple:
        """What ``fit`` takes for ``X``: with the targets, or without if there are none."""
        return (X,) if self.target is None else (X, self.targets(X))


def predict(model, X, **sequences):
    return model.predict(X, **sequences)


def predict_proba(model, X, **sequences):
    return model.predict_proba(X, **sequences)


def transform(model, X, **sequences):
    return model.transform(X, **sequences)


def forecast(model, X, **sequences):
    with warnings.catch_warnings(action="ignore", category=ColdStartWarning):
        return model.forecast(5, context=X)


SMALL = {"n_units": 30, "in_degree": 5, "random_state": 0}

ESTIMATORS = {
    "regressor": Contract(partial(ESNRegressor, **SMALL), predict),
    "regressor-qr": Contract(partial(ESNRegressor, **SMALL, solver="qr", leak_rate=0.7), predict),
    "classifier": Contract(partial(ESNClassifier, **SMALL), predict_proba, target="labels"),
    "forecaster": Contract(
        partial(ESNForecaster, **SMALL, washout=2), forecast, has_rows=False, takes_weights=False, target=None
    ),
    "transformer": Contract(partial(ReservoirTransformer, **SMALL), transform, takes_weights=False, target=None),
}
RECURRENT = {
    "rnn-regressor": Contract(partial(RNNRegressor, n_units=8, cell="elman", max_epochs=20, random_state=0), predict),
    "rnn-classifier": Contract(
        partial(RNNClassifier, n_units=8, max_epochs=20, random_state=0), predict_proba, target="labels"
    ),
}
WITH_ROWS = {name: contract for name, contract in ESTIMATORS.items() if contract.has_rows}
SUPERVISED = {name: contract for name, contract in ESTIMATORS.items() if contract.target is not None}
REGRESSORS = {name: contract for name, contract in ESTIMATORS.items() if contract.target == "numbers"}


# ------------------------------------------------------------------------------------------------- topologies

TOPOLOGIES = dict(topology.NAMES)


# ------------------------------------------------------------------------------------------------------ cells


def square(cell: Callable[..., Any]) -> Callable[..., Any]:
    """The cell with as many inputs as units."""
    return lambda n_in, n_units: cell(n_units, n_units)


PEEPHOLES = partial(LSTM, has_peepholes=True)

# What makes a cell of n_in inputs and n_units units. The LSTM's names are those of the search space odyssey.
CELLS = {
    "elman-tanh": Elman,
    "elman-relu": partial(Elman, activation="relu"),
    "elman-logistic": partial(Elman, activation="logistic"),
    "elman-identity": partial(Elman, activation="identity"),
    "elman-tanh-first": partial(Elman, activates_first=True),
    "elman-relu-first": partial(Elman, activation="relu", activates_first=True),
    "elman-logistic-first": partial(Elman, activation="logistic", activates_first=True),
    "elman-identity-first": partial(Elman, activation="identity", activates_first=True),
    "forget-gate": ForgetGate,
    "lstm-np": LSTM,
    "lstm-vanilla": PEEPHOLES,
    "lstm-nig": partial(PEEPHOLES, has_input_gate=False),
    "lstm-nfg": partial(PEEPHOLES, has_forget_gate=False),
    "lstm-nog": partial(PEEPHOLES, has_output_gate=False),
    "lstm-niaf": partial(PEEPHOLES, has_input_activation=False),
    "lstm-noaf": partial(PEEPHOLES, has_output_activation=False),
    "lstm-cifg": partial(PEEPHOLES, is_coupled=True),
    "lstm-fgr": partial(PEEPHOLES, has_full_gate_recurrence=True),
    "lstm-cifg-fgr": partial(PEEPHOLES, is_coupled=True, has_full_gate_recurrence=True),
    "lstm-1997": partial(LSTM, has_forget_gate=False),
    "lstm-no-gates": partial(LSTM, has_input_gate=False, has_forget_gate=False, has_output_gate=False),
    "gru": GRU,
    "gru-reset-after": partial(GRU, reset_after=True),
    "mut1": partial(MUT1, project_input=True),
    "mut1-unprojected": square(MUT1),
    "mut2": partial(MUT2, project_input=True),
    "mut2-unprojected": square(MUT2),
    "mut3": MUT3,
    "multiplicative-rnn": MultiplicativeRNN,
    "multiplicative-rnn-few-factors": partial(MultiplicativeRNN, n_factors=2),
    "multiplicative-lstm": MultiplicativeLSTM,
}
# One entry of each set of step functions that differ by more than an activation.
ONE_OF_EACH = {
    name: CELLS[name]
    for name in (
        *("elman-tanh", "elman-tanh-first", "forget-gate", "lstm-fgr", "gru", "gru-reset-after", "mut1", "mut3"),
        *("multiplicative-rnn", "multiplicative-lstm"),
    )
}


# ---------------------------------------------------------------------------------------------------- methods

# Methods of minimisation, one entry for each way through their steps; the mask of decay is of this size.
METHODS_SIZE = 6
METHODS = {
    "sgd": SGD(0.01),
    "sgd-clipped": SGD(0.01, clip_value=0.5, clip_norm=0.6),
    "momentum": Momentum(0.01),
    "nesterov": Nesterov(0.01),
    "adagrad": Adagrad(0.1),
    "adagrad-outside": Adagrad(0.1, epsilon=0.0, epsilon_place="outside"),
    "rmsprop": RMSProp(0.01, momentum=0.5),
    "adam": Adam(0.01),
    "hf": HessianFree(damping=0.1),
    "hf-decay": HessianFree(damping=0.1, weight_decay=0.1, decay_mask=np.arange(METHODS_SIZE) < 4),
    "hf-preconditioned": HessianFree(damping=0.1, preconditioner="squared_gradients", cg=CGSettings(replace_every=2)),
    "hf-options": HessianFree(damping=LevenbergMarquardt(model="damped", at="last", gradient="acceptance"), cg=3),
}
