"""A network's parameters as dicts of arrays in the names, orders and layouts of PyTorch and Keras.

    x(t) W + h(t-1) R + b     here:  W (I, G H), R (H, G H), one b
                              torch: weight_ih = Wᵀ, weight_hh = Rᵀ, bias_ih and bias_hh, whose sum counts
                              Keras: kernel = W, recurrent_kernel = R, one bias

Gates stand side by side, H columns each: LSTM i, f, g, o in both (Keras writes c for g); GRU r, z, n in torch and
z, r, h in Keras, where z is our u, the share of the state that is kept, and n or h is the candidate g. A GRU that
resets after the matrix has a bias of the candidate inside the reset: a part of torch's bias_hh, and of the second row
of Keras' bias, which is (2, 3 H) then. Of two biases whose sum counts an import takes the sum; an export puts all into
the first.

No framework is imported: values may be whatever ``numpy.asarray`` takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np

from cells.kinds.elman import Elman
from cells.kinds.gru import GRU
from cells.kinds.lstm import LSTM
from cells.network import Network, Part
from cells.state_names import Group, keras_groups, keras_groups_of, torch_groups, torch_groups_of
from optim.arguments import brief, choice

Framework = Literal["torch", "keras"]

# Gates in the order of a framework's columns, by the names of our planes.
ORDERS = {
    "torch": {Elman: "a", LSTM: "ifgo", GRU: "rug"},
    "keras": {Elman: "a", LSTM: "ifgo", GRU: "urg"},
}
# Choices that a framework has too; any other must have its default value.
CHOICES = {
    "torch": {"activation": ("tanh", "relu"), "reset_after": (True,)},
    "keras": {"activation": ("tanh", "relu", "logistic", "identity"), "reset_after": (False, True)},
}
NOT_A_CHOICE = ("n_in", "n_units", "forget_bias")  # forget_bias is where training begins


def to_state_dict(
    network: Network,
    theta: np.ndarray,
    framework: Framework,
    *,
    recurrent: str | Sequence[str] = "",
    readout: str | None = None,
) -> dict[str, np.ndarray]:
    """The parameters under the names that torch or Keras give them.

    Parameters
    ----------
    network : Network
        Layers of Elman, LSTM or GRU cells, without choices that the framework does not have. Torch's GRU resets after
        the matrix.
    theta : (P,) array
    framework : "torch" or "keras"
    recurrent : str, or sequence of str for torch
        What the layers are part of: "rnn" for ``rnn.weight_ih_l0``, "model" for ``model/lstm/lstm_cell/kernel``. A
        module of torch has layers of one kind and size: layers of several need a name each, from input to readout.
    readout : str, optional
        Name of the linear layer; "readout" (torch) or "dense" (Keras) if not given.

    Returns
    -------
    dict of str to ndarray
        New arrays of theta's type. The names for Keras are those of a fresh ``Sequential`` model, and the order is
        that of ``model.set_weights(list(state.values()))``.

    Raises
    ------
    ValueError
        If ``theta`` has another shape, is not finite, or has initial states other than 0, where both frameworks start.
    NotImplementedError
        If the framework has no such network.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import LSTM, Network
    >>> from cells.state_dict import to_state_dict
    >>> network = Network(LSTM(3, 5), n_out=2)
    >>> state = to_state_dict(network, np.zeros(network.n_params), "torch")
    >>> [(name, array.shape) for name, array in state.items()]
    [('weight_ih_l0', (20, 3)), ('weight_hh_l0', (20, 5)), ('bias_ih_l0', (20,)), ('bias_hh_l0', (20,)),
     ('readout.weight', (2, 5)), ('readout.bias', (2,))]
    """
    _check_network(network, framework)
    for name, view in network.views(theta).items():
        if name.rpartition(".")[2].startswith("initial_") and view.any():
            raise ValueError(
                f"initial states must be 0 in a state dict, {framework} has no parameter for them, got {name} up to "
                f"{np.abs(view).max():.3g}; hand them over apart, as the states to start from."
            )
    theta = _array("theta", theta)
    names = torch_groups if framework == "torch" else keras_groups
    return {
        name: np.where(places >= 0, theta[places], theta.dtype.type(0))
        for name, places in _places(network, framework, names(network, recurrent, readout)).items()
    }


def from_state_dict(
    network: Network,
    state: Mapping[str, Any],
    framework: Framework,
    *,
    recurrent: str | Sequence[str] = "",
    readout: str | None = None,
) -> np.ndarray:
    """The vector theta of parameters that come from torch or Keras.

    Parameters
    ----------
    network : Network
        As for :func:`to_state_dict`.
    state : mapping of str to array
        The network's parameters and nothing else: ``module.state_dict()`` of torch,
        ``{weight.path: weight for weight in model.weights}`` of Keras. Biases that a module or layer does not have
        (``bias=False``, ``use_bias=False``) are 0.
    framework : "torch" or "keras"
    recurrent, readout : str
        As for :func:`to_state_dict`. Where torch's modules are not named, those in ``state`` are taken, if their sizes
        tell the order, and the one module beside them is the readout. Of no use for Keras, which numbers its layers
        anew for every model. There what stands before the last slash tells layers apart and nothing more: the one
        without a recurrent kernel is the readout, the others come in their order in ``state``, forward before backward.

    Returns
    -------
    (P,) ndarray
        float32 if no array has a wider type, else float64. Learnt initial states are 0, where both frameworks start.

    Raises
    ------
    ValueError
        If a name is missing or not expected, an array has another shape or is not finite, or the order of several
        modules of torch is not told.
    TypeError
        If ``state`` is no mapping, or a value no array of real numbers.
    NotImplementedError
        If the framework has no such network.

    Examples
    --------
    >>> from cells import Elman, Network
    >>> from cells.state_dict import from_state_dict
    >>> cell = {"rnn/cell/kernel": [[2.0]], "rnn/cell/recurrent_kernel": [[0.5]], "rnn/cell/bias": [0.1]}
    >>> dense = {"dense/kernel": [[3.0]], "dense/bias": [0.0]}
    >>> from_state_dict(Network(Elman(1, 1), n_out=1), cell | dense, "keras")
    array([2. , 0.5, 0.1, 3. , 0. ])
    """
    _check_network(network, framework)
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a mapping of names to arrays, got {type(state).__name__}; give a dict.")
    arrays = {_checked_name(name): _array(name, value) for name, value in state.items()}
    if framework == "torch":
        _refuse_projections(arrays)
        groups = torch_groups_of(network, arrays, recurrent, readout)
    else:
        groups = keras_groups_of(network, arrays)
    expected = _without_absent_biases(_places(network, framework, groups), groups, arrays)
    _check_state(expected, arrays)
    is_single = np.result_type(np.float32, *arrays.values()) == np.float32
    theta = np.zeros(network.n_params, np.float32 if is_single else np.float64)
    for name, places in expected.items():
        np.add.at(theta, np.where(places >= 0, places, ~places), arrays[name])
    return theta


# ------------------------------------------------------------------------------------------------ places in theta


def _places(network: Network, framework: Framework, groups: Iterable[Group]) -> dict[str, np.ndarray]:
    """For each name of the framework the places in theta of its elements, in the framework's shape.

    A place p that another element has already taken, as of two biases whose sum counts, is written as ``~p`` < 0.
    """
    *cells, readout = groups
    views = network.views(np.arange(network.n_params))
    places: dict[str, np.ndarray] = {}
    for part, group in zip(network.parts, cells, strict=True):
        W, R, b, recurrent_b = _side_by_side(part, views, ORDERS[framework][type(part.cell)])
        if framework == "torch":
            found = {"weight_ih": W.T, "weight_hh": R.T, "bias_ih": b, "bias_hh": recurrent_b}
        else:
            has_two_biases = getattr(part.cell, "reset_after", False)
            found = {"kernel": W, "recurrent_kernel": R, "bias": np.stack([b, recurrent_b]) if has_two_biases else b}
        places |= {group.name(role): array for role, array in found.items()}
    weights, bias = views["readout.weights"], views["readout.bias"]
    role, weights = ("weight", weights.T) if framework == "torch" else ("kernel", weights)
    return places | {readout.name(role): weights, readout.name("bias"): bias}


def _side_by_side(part: Part, views: dict[str, np.ndarray], order: str) -> list[np.ndarray]:
    """Places of a cell's W, R, bias, and bias of the recurrent product, gates in this order."""
    gates = {map_.name: {} for map_ in part.cell.maps}
    for map_ in part.cell.maps:
        for plane in part.cell.planes:
            first = part.cell.column_of(plane.name) - map_.column
            if 0 <= first < map_.width:
                gates[map_.name][plane.name] = views[f"{part.name}.{map_.name}"][..., first : first + plane.width]
    W, R, b = gates["input"], gates["recurrent"] | gates.get("candidate", {}), gates["bias"]
    recurrent_b = {name: ~places for name, places in b.items()}
    if "q" in b:  # h(t-1) R_g + b_q, which the reset gate scales
        R["g"], recurrent_b["g"] = R["q"], b["q"]
    return [np.concatenate([blocks[gate] for gate in order], axis=-1) for blocks in (W, R, b, recurrent_b)]


def _without_absent_biases(
    places: dict[str, np.ndarray], groups: Iterable[Group], arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The places without the biases of modules that have none at all."""
    biases: dict[str, set[str]] = {}
    for group in groups:
        names = {group.name(role) for role in ("bias", "bias_ih", "bias_hh")}
        biases.setdefault(group.before, set()).update(names & set(places))
    absent = set().union(*(names for names in biases.values() if not names & set(arrays)))
    return {name: array for name, array in places.items() if name not in absent}


# ------------------------------------------------------------------------------------------------ checks


def _check_network(network: Network, framework: Framework) -> None:
    """Refuse what the framework does not have."""
    choice("framework", framework, ORDERS)
    for layer, cell in enumerate(network.layers):
        kind = type(cell)
        if kind not in ORDERS[framework]:
            known = ", ".join(known.__name__ for known in ORDERS[framework])
            raise NotImplementedError(
                f"{framework} has the cells {known} only, got {kind.__name__} as layer {layer}; "
                "keep theta itself to save this network."
            )
        for field in fields(cell):
            value = getattr(cell, field.name)
            allowed = CHOICES[framework].get(field.name, (field.default,))
            if field.name not in NOT_A_CHOICE and value not in allowed:
                raise NotImplementedError(
                    f"{framework} has {kind.__name__} with {field.name} = {' or '.join(map(repr, allowed))} only, got "
                    f"{value!r} as layer {layer}; keep theta itself to save this network."
                )


def _refuse_projections(arrays: Mapping[str, np.ndarray]) -> None:
    for name in arrays:
        if name.rpartition(".")[2].startswith("weight_hr_l"):
            raise NotImplementedError(
                f"an LSTM of torch must have proj_size = 0, got {name}; supported are RNN, LSTM and GRU in one or both "
                "directions, with or without biases."
            )


def _check_state(expected: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse other names or shapes than those expected."""
    missing = [name for name in expected if name not in arrays]
    unknown = [name for name in arrays if name not in expected]
    if missing or unknown:
        raise ValueError(
            f"state must hold exactly {_listed(expected)}; missing are {_listed(missing)}, and not expected are "
            f"{_listed(unknown)}; name modules with recurrent= and readout=, and leave out what is not the network's."
        )
    for name, places in expected.items():
        if arrays[name].shape != places.shape:
            raise ValueError(
                f"{name} must have shape {places.shape} for this network, got {arrays[name].shape}; "
                "compare its numbers of inputs, units and outputs."
            )


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(
            f"state must have names of parameters as keys, got {brief(name)}; give a dict of names to arrays."
        )
    return name


def _array(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor of torch, maybe on a GPU or with a gradient
        value = value.detach().cpu()
    came = f"{name} must be an array of real numbers, got {type(value).__name__}"
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{came}, of which numpy.asarray makes none: {error}; convert it first.") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{came} of dtype {array.dtype}; convert it first.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity; export a model whose training went well.")
    return array


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
