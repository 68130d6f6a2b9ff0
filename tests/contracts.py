"""Contracts: lists of objects, and the decorator that runs a check on every one of them.

A new estimator, topology, cell or kernel is tested by being in its list. A check is an ordinary test whose first
parameter is the object::

    @every(TOPOLOGIES)
    def test_shape(build): ...
"""

import ast
import functools
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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
from conftest import package_folders
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


# ---------------------------------------------------------------------------------------------------- kernels


@dataclass(frozen=True)
class Kernel:
    """A compiled function as its source tells it: ``options`` are the keywords of its decorator.

    ``is_inner`` says that another kernel of its package calls it, and so compiles it into itself.
    """

    file: str
    node: ast.FunctionDef
    options: dict[str, str]
    is_at_module_level: bool
    is_inner: bool


def jit_decorator(node: ast.AST) -> ast.expr | None:
    for decorator in getattr(node, "decorator_list", []):
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called) in {"njit", "jit", "numba.njit", "numba.jit"}:
            return decorator
    return None


def is_compiled(node: ast.AST) -> bool:
    """Whether a function stands under ``njit`` or is a cell's step, which the passes compile."""
    decorators = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]
    return jit_decorator(node) is not None or any(decorator.startswith("step(") for decorator in decorators)


@functools.cache
def called_by_kernels() -> frozenset[str]:
    """Names of the functions that compiled functions of any package call, themselves excepted."""
    nodes = [node for folder in package_folders() for path in folder.rglob("*.py") for node in ast.walk(parsed(path))]
    calls = {
        (ast.unparse(part.func).rpartition(".")[2], node.name)
        for node in nodes
        if is_compiled(node)
        for part in ast.walk(node)
        if isinstance(part, ast.Call)
    }
    return frozenset(callee for callee, caller in calls if callee != caller)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def kernels_in(folder: Path) -> Iterator[Kernel]:
    """The functions of a package that stand under ``njit`` or ``jit``."""
    modules = {path: parsed(path) for path in sorted(folder.rglob("*.py"))}
    found = [
        (path, module, node, decorator)
        for path, module in modules.items()
        for node in ast.walk(module)
        if (decorator := jit_decorator(node)) is not None
    ]
    called = called_by_kernels()
    for path, module, node, decorator in found:
        keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
        options = {str(keyword.arg): ast.unparse(keyword.value) for keyword in keywords}
        file = f"{folder.name}/{path.relative_to(folder).as_posix()}"
        yield Kernel(file, node, options, node in module.body, node.name in called)


KERNELS = {
    f"{kernel.file}::{kernel.node.name}": kernel for folder in package_folders() for kernel in kernels_in(folder)
}
