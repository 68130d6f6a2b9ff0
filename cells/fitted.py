"""What a network, a training's state and a fitted estimator must be before a kernel meets them: asked of a file's."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from cells.language.alphabet import Alphabet
from cells.network import Network
from cells.passes.cell import Cell
from cells.shares.carried import state_width
from cells.train import TrainingState
from optim.arguments import array, brief, choice, integer, precision
from optim.result import StopReason
from reservoir.estimators.fitted import check_classes, instance, n_features_of

MOST_UNITS = 2**31 - 1


def checked_cell(kind: type[Cell], **choices: Any) -> Cell:
    """A cell whose choices come from a file: sizes are bounded, flags are flags."""
    for entry in fields(kind):
        value = choices[entry.name]
        if entry.default is MISSING:
            integer(entry.name, value, most=MOST_UNITS)
        elif entry.default is not None:
            instance(entry.name, value, type(entry.default))
        elif value is not None and not isinstance(value, bool):
            integer(entry.name, value, most=MOST_UNITS)
    return kind(**choices)


def checked_network(**choices: Any) -> Network:
    """A network whose choices come from a file."""
    integer("n_out", choices["n_out"], most=MOST_UNITS)
    for name in ("bidirectional", "learn_initial_state"):
        instance(name, choices[name], bool)
    return Network(**choices)


def check_fitted(model: Any) -> None:
    """Raise unless the fitted attributes of an estimator of this package fit one another, as ``fit`` sets them.

    Raises
    ------
    TypeError, ValueError
        Naming the attribute.
    """
    network = instance("network_", model.network_, Network)
    check_theta(network, model.theta_)
    choice("stop_reason_", getattr(model, "stop_reason_", "converged"), [reason.value for reason in StopReason])
    integer("n_iter_", getattr(model, "n_iter_", 0), least=0)
    if hasattr(model, "sample"):
        _check_language(model, network)
    else:
        _check_supervised(model, network)


def check_theta(network: Network, theta: Any) -> None:
    """Raise unless ``theta`` holds the parameters of ``network``: sizes are multiplied without a limit."""
    dtype = precision("theta_", getattr(theta, "dtype", np.float64))
    n_params = sum(math.prod(map_.shape) for part in network.parts for map_ in part.cell.maps)
    if network.learn_initial_state:
        n_params += state_width(network)
    n_params += (network.n_features + 1) * network.n_out
    array("theta_", theta, shape=(n_params,), dtype=dtype)
    if network.n_params != n_params:
        raise ValueError(f"network_ must have {n_params} parameters, got {network.n_params}; save it again.")


def _check_supervised(model: Any, network: Network) -> None:
    n_in, n_out = n_features_of(model), network.n_out
    if network.n_in != n_in:
        raise ValueError(f"n_features_in_ must be the network's, {network.n_in}, got {n_in}; save it again.")
    for name in ("input_shift_", "input_scale_"):
        array(name, getattr(model, name), shape=(n_in,), dtype=np.float64)
    if hasattr(model, "predict_proba"):
        if network.loss != "softmax" or check_classes(model.classes_) != n_out:
            raise ValueError(f"classes_ must be {n_out} labels, got {brief(model.classes_)}; save it again.")
        if model.decides_sequences_ is not (network.targets == "last"):
            raise ValueError(f"decides_sequences_ must fit targets={network.targets!r}; save it again.")
        return
    for name in ("target_shift_", "target_scale_"):
        array(name, getattr(model, name), shape=(n_out,), dtype=np.float64)
    instance("_is_1d", model._is_1d, bool)


def _check_language(model: Any, network: Network) -> None:
    V, dtype = Alphabet(model.alphabet_, model.unknown).size, model.theta_.dtype
    if network.targets != "all" or network.loss != "softmax" or not network.n_in == network.n_out == V:
        raise ValueError(f"network_ must read and predict {V} characters, got {network}; save it again.")
    if hasattr(model, "state_"):
        array("state_", model.state_, shape=(None, state_width(network)), dtype=dtype)
    if hasattr(model, "waiting_"):
        array("waiting_", model.waiting_, shape=(None,), dtype=np.int64, least=0, most=V - 1)
    if hasattr(model, "training_state_"):
        state = instance("training_state_", model.training_state_, TrainingState)
        state.check(model.theta_)
        if state.carried is not None:
            array("carried", state.carried, shape=(None, state_width(network)), dtype=dtype)
