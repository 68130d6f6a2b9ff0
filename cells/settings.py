"""Settings of an estimator: each is what it must be before work starts, and none that was given is ignored."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cells.architecture import SOLVERS, WITH_MOMENTUM, is_method
from cells.initial import resolve_scheme
from optim.arguments import LARGEST, brief, choice, integer

Check = Callable[[str, Any], Any]


def optional(check: Check) -> Check:
    """The check, for a setting that may be None too.

    Examples
    --------
    >>> from cells.settings import optional
    >>> from optim.arguments import integer
    >>> optional(integer)("batch_size", None)
    """
    return lambda name, value: None if value is None else check(name, value)


def flag(name: str, value: Any) -> bool:
    """``value`` as a bool, if it is True or False.

    Raises
    ------
    TypeError

    Examples
    --------
    >>> from cells.settings import flag
    >>> flag("bidirectional", "no")
    Traceback (most recent call last):
    TypeError: bidirectional must be True or False, got 'no'; choose one.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {brief(value)}; choose one.")
    return bool(value)


def path(name: str, value: Any) -> str:
    """``value`` as text, if it is a path.

    Raises
    ------
    TypeError

    Examples
    --------
    >>> from cells.settings import path
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
    >>> from cells.settings import verbosity
    >>> verbosity("verbose", True)
    1
    """
    return int(value) if isinstance(value, bool | np.bool_) else integer(name, value, least=-LARGEST)


def check_settings(estimator: Any, checks: Mapping[str, Check]) -> None:
    """Raise for the first setting of ``estimator`` that is not what it must be, or that would be ignored.

    Parameters
    ----------
    estimator : recurrent estimator
    checks : mapping of names to functions ``check(name, value)``
        Those of ``solver`` and ``init`` are known.

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
    solver, by_rate = estimator.solver, "solver is the name of a first-order method"
    has_rate = not is_method(solver) and solver != "hf"
    acts = {
        "learning_rate": (has_rate, by_rate),
        "clip_value": (has_rate, by_rate),
        "clip_norm": (has_rate, by_rate),
        "momentum": (not is_method(solver) and solver in WITH_MOMENTUM, "solver is 'momentum' or 'nesterov'"),
        "hf_options": (not is_method(solver) and solver == "hf", "solver is 'hf'"),
    }
    if hasattr(estimator, "early_stopping"):
        acts |= dict.fromkeys(
            ("validation_fraction", "patience", "tol"), (estimator.early_stopping, "early_stopping is True")
        )
    defaults = inspect.signature(type(estimator)).parameters
    for name, (does_act, condition) in acts.items():
        value = getattr(estimator, name, None)
        if not does_act and value is not None and name in defaults and value != defaults[name].default:
            raise ValueError(
                f"{name} acts only where {condition}, got {brief(value)} beside solver={brief(solver)}"
                + (f" and early_stopping={estimator.early_stopping}" if "early" in condition else "")
                + "; leave it out."
            )
