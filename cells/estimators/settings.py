"""Settings of an estimator: each is what it must be before work starts, and none that was given is ignored."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from cells.estimators.architecture import FIRST_ORDER, MOST_LAYERS, MOST_UNITS, SOLVERS, WITH_MOMENTUM, is_method
from cells.estimators.targets import TARGETS
from cells.initial import resolve_scheme
from optim.arguments import LARGEST, brief, choice, flag, fraction, integer, number, precision
from optim.device import check_device
from optim.threads import n_threads

Check = Callable[[str, Any], Any]


def optional(check: Check) -> Check:
    """The check, for a setting that may be None too.

    Examples
    --------
    >>> from cells.estimators.settings import optional
    >>> from optim.arguments import integer
    >>> optional(integer)("batch_size", None)
    """
    return lambda name, value: None if value is None else check(name, value)


def path(name: str, value: Any) -> str:
    """``value`` as text, if it is a path.

    Raises
    ------
    TypeError

    Examples
    --------
    >>> from cells.estimators.settings import path
    >>> path("checkpoint", "run.npz")
    'run.npz'
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {brief(value)}; give a str or a pathlib.Path.")
    return os.fspath(value)


def verbosity(name: str, value: Any) -> int:
    """``value`` as an int, if it is a bool or an integer.

    Raises
    ------
    TypeError

    Examples
    --------
    >>> from cells.estimators.settings import verbosity
    >>> verbosity("verbose", True)
    1
    """
    return int(value) if isinstance(value, bool | np.bool_) else integer(name, value, least=-LARGEST)


_positive = optional(partial(number, above=0))
_COMMON: Mapping[str, Check] = {
    "n_units": partial(integer, most=MOST_UNITS),
    "n_layers": partial(integer, most=MOST_LAYERS),
    "clip_norm": _positive,
    "clip_signal": _positive,
    "decay": optional(partial(choice, choices=("cosine",), or_else="None")),
    "patience": optional(integer),
    "checkpoint": optional(path),
    "dtype": precision,
    "device": lambda name, value: check_device(value),
    "n_jobs": lambda name, value: n_threads(value),
    "verbose": verbosity,
}
SUPERVISED = _COMMON | {
    "targets": optional(partial(choice, choices=TARGETS, or_else="None")),
    "bidirectional": flag,
    "batch_size": optional(integer),
    "max_epochs": integer,
    "standardize": flag,
    "early_stopping": flag,
    "validation_fraction": fraction,
    "tol": partial(number, least=0),
    "warm_start": flag,
}
LANGUAGE = _COMMON | {
    "n_steps": integer,
    "n_back": optional(integer),
    "n_streams": integer,
    "restart_every": optional(integer),
    "clip_value": _positive,
    "reduction": partial(choice, choices=("mean", "sum")),
    "max_epochs": partial(number, above=0),
    "max_seconds": _positive,
    "validation_fraction": partial(fraction, with_zero=True),
}


def check_settings(estimator: Any, checks: Mapping[str, Check]) -> None:
    """Raise for the first setting of ``estimator`` that is not what it must be, or that would be ignored.

    Parameters
    ----------
    estimator : recurrent estimator
    checks : SUPERVISED or LANGUAGE
        Functions ``check(name, value)`` by name; ``solver``, ``init`` and what no other setting lets act come after.

    Raises
    ------
    TypeError, ValueError
    """
    for name, check in checks.items():
        check(name, getattr(estimator, name))
    resolve_scheme(estimator.init, name="init")
    if not is_method(estimator.solver):
        choice("solver", estimator.solver, SOLVERS, or_else="a method such as optim.Adam(1e-3)")
    _refuse_ignored(estimator)


def _refuse_ignored(estimator: Any) -> None:
    """Raise for a setting that was given although no other setting lets it act."""
    solver = "" if is_method(estimator.solver) else estimator.solver
    of_rate = ("solver", "is the name of a first-order method", solver in FIRST_ORDER)
    acts = {
        "learning_rate": of_rate,
        "clip_value": of_rate,
        "clip_norm": of_rate,
        "momentum": ("solver", "is 'momentum' or 'nesterov'", solver in WITH_MOMENTUM),
        "hf_options": ("solver", "is 'hf'", solver == "hf"),
    }
    if hasattr(estimator, "early_stopping"):
        of_looks = ("early_stopping", "is True", estimator.early_stopping)
        acts |= dict.fromkeys(("validation_fraction", "patience", "tol"), of_looks)
    defaults = inspect.signature(type(estimator)).parameters
    for name, (decider, condition, does_act) in acts.items():
        value = getattr(estimator, name, None)
        if not does_act and value is not None and name in defaults and value != defaults[name].default:
            raise ValueError(
                f"{name} acts only where {decider} {condition}, got {brief(value)} beside "
                f"{decider}={brief(getattr(estimator, decider))}; leave it out."
            )
