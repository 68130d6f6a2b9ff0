"""Candidates of a search: what is tried by default, how it is drawn, and reservoirs that differ in scalars alone."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid, ParameterSampler

from optim.arguments import brief, generator, number
from reservoir.drive.weights import Reservoir
from reservoir.forecasting.forecaster import ESNForecaster
from reservoir.graph.matrix import Shifts

SCALARS = ("spectral_radius", "leak_rate", "input_scaling", "bias_scaling")
_OF_GRAPH = ("n_units", "in_degree", "topology", "input_weights", "activation", "random_state", "dtype")


def default_space() -> dict[str, Any]:
    """Wide distributions around the defaults of a forecaster; the study ``searched_forecasters`` shows what they add.

    Examples
    --------
    >>> from reservoir.search.space import default_space
    >>> sorted(default_space())
    ['bias_scaling', 'input_scaling', 'leak_rate', 'spectral_radius']
    """
    from scipy.stats import loguniform, uniform

    return {
        "spectral_radius": loguniform(0.1, 1.4),
        "leak_rate": loguniform(0.1, 1.0),
        "input_scaling": loguniform(0.03, 2.0),
        "bias_scaling": uniform(0.0, 1.0),
    }


def candidates_of(model: Any, space: Any, n_candidates: int, random_state: Any) -> list[dict[str, Any]]:
    """``n_candidates`` settings, those that ``model`` has first, the others drawn; a grid of lists is not gone beyond.

    Raises
    ------
    TypeError, ValueError
        For what is no space, and names that are no parameters of ``model``.
    """
    space = default_space() if space is None else space
    spaces = [space] if isinstance(space, Mapping) else space
    if not (isinstance(spaces, Sequence) and spaces and all(isinstance(each, Mapping) for each in spaces)):
        raise TypeError(
            f"param_distributions must be a dict of names and lists or distributions, got {brief(space)}; give one, or "
            "None for the default."
        )
    names = sorted({name for each in spaces for name in each})
    known = model.get_params(deep=False)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"param_distributions must name parameters of {type(model).__name__}, got {', '.join(unknown)}; correct "
            "the names."
        )
    n_drawn = n_candidates - 1
    if not any(hasattr(values, "rvs") for each in spaces for values in each.values()):
        n_drawn = min(n_drawn, len(ParameterGrid(spaces)))
    seed = int(generator(random_state).integers(2**32))
    drawn = list(ParameterSampler(spaces, n_drawn, random_state=seed)) if n_drawn > 0 else []
    plain = [{name: v.item() if isinstance(v, np.generic) else v for name, v in each.items()} for each in drawn]
    return [{name: known[name] for name in names}, *plain]


def give_reservoirs(models: Sequence[ESNForecaster], n_inputs: int, dtype: np.dtype) -> None:
    """Draw one graph for all ``models`` that differ in radius, leak and scales alone, and scale it for each.

    A model whose scalars are several numbers, or a graph that is taken as it is, is left to draw for itself.
    """
    drawn: dict[tuple, ESNForecaster] = {}
    for model in models:
        if not all(isinstance(getattr(model, name), numbers.Real) for name in SCALARS):
            continue
        key = tuple(_key(getattr(model, name)) for name in _OF_GRAPH)
        if key not in drawn:
            drawn[key] = clone(model).set_params(**dict.fromkeys(SCALARS, 1.0))
            drawn[key]._draw(n_inputs, 0, dtype)
        model.reservoir_ = scaled(drawn[key].reservoir_, **{name: getattr(model, name) for name in SCALARS})
        model.noise_seed_ = drawn[key].noise_seed_


def scaled(
    unit: Reservoir, *, spectral_radius: float, leak_rate: float, input_scaling: float, bias_scaling: float
) -> Reservoir:
    """The reservoir that one whose four scalars are 1 becomes with others: as if it had been drawn with them."""
    radius = unit.dtype.type(number("spectral_radius", spectral_radius, above=0))
    leak = number("leak_rate", leak_rate, above=0, most=1)
    inputs = number("input_scaling", input_scaling, least=0)
    bias = number("bias_scaling", bias_scaling, least=0)
    W = Shifts(unit.W.shifts, unit.W.weights * radius) if isinstance(unit.W, Shifts) else unit.W * radius
    return replace(
        unit, W=W, input_weights=unit.input_weights * unit.dtype.type(inputs), bias=unit.bias * unit.dtype.type(bias),
        leak=np.full_like(unit.leak, leak),
    )  # fmt: skip


def _key(value: Any) -> Any:
    return value if isinstance(value, str | int | type(None)) else id(value)
