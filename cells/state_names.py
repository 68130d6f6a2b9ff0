"""Names that PyTorch and Keras give to the parameters of layers: those of a new module, and those that a dict holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, permutations
from typing import NamedTuple

import numpy as np

from cells.kinds.elman import Elman
from cells.kinds.gru import GRU
from cells.kinds.lstm import LSTM
from cells.network import Network
from cells.passes.cell import Cell

KERAS_NAMES = {Elman: "simple_rnn", LSTM: "lstm", GRU: "gru"}

_TORCH_WEIGHT = re.compile(r"(?:(?P<module>.*)\.)?weight_hh(?:_l(?P<layer>\d+)(?:_reverse)?)?")
_MOST_MODULES = 6  # whose orders are tried


class Group(NamedTuple):
    """The common part of the names of one cell's parameters, or of the readout's; ``before`` is the module's."""

    before: str
    after: str = ""

    def name(self, role: str) -> str:
        return f"{self.before}{role}{self.after}"


# ------------------------------------------------------------------------------------------------ torch


class Module(NamedTuple):
    """A module of torch: its name, its number of layers, and whether it is a cell that runs a single step."""

    name: str
    n_layers: int
    is_cell: bool = False


def torch_groups(network: Network, recurrent: str | Sequence[str], readout: str | None) -> list[Group]:
    """Names in modules of layers that are alike, as many as ``recurrent`` names."""
    names, n = _names(recurrent), len(network.layers)
    alike = [len(list(layers)) for _, layers in groupby(network.layers, _kind)]
    sizes = [1] * n if len(names) == n else alike
    if len(names) == 1 and len(sizes) > 1:
        example = tuple(f"rnn{i}" for i in range(len(sizes)))
        raise NotImplementedError(
            f"a module of torch has layers of one kind and size only, got {_listed(map(_described, network.layers))}; "
            f"name several modules, for example recurrent={example}, or keep theta itself."
        )
    if len(names) != len(sizes):
        raise ValueError(
            f"recurrent must name one module for each layer, {n}, or for each run of layers that are alike, "
            f"{len(alike)}, got {recurrent!r}; name them from the input to the readout."
        )
    return _torch_groups(network, list(map(Module, names, sizes)), "readout" if readout is None else readout)


def torch_groups_of(
    network: Network, arrays: Mapping[str, np.ndarray], recurrent: str | Sequence[str], readout: str | None
) -> list[Group]:
    """Names of the modules that a dict holds: those named or, without a name, those that there are."""
    found = _torch_modules(arrays)
    names, n = _names(recurrent), len(network.layers)
    if recurrent == "" and found:
        modules = _in_order(network, arrays, list(found.values()))
    else:
        modules = [found.get(name, Module(name, n if len(names) == 1 else 1)) for name in names]
    if len(modules) == 1:
        modules = [modules[0]._replace(n_layers=n)]
    if sum(module.n_layers for module in modules) != n:
        came = _listed(f"{module.n_layers} in {module.name}" for module in modules)
        raise ValueError(
            f"state must hold {n} layers, as many as the network has, got {came}; leave out what is not the network's."
        )
    if readout is None:
        parents = {name.rpartition(".")[0] for name in arrays}
        others = parents - {"", *(module.name for module in modules)}
        readout = others.pop() if len(others) == 1 else "readout"
    return _torch_groups(network, modules, readout)


def _torch_modules(arrays: Mapping[str, np.ndarray]) -> dict[str, Module]:
    """The modules that a dict holds by their names, in its order."""
    layers: dict[str, set[str | None]] = {}
    for name in arrays:
        match = _TORCH_WEIGHT.fullmatch(name)
        if match:
            layers.setdefault(match["module"] or "", set()).add(match["layer"])
    return {name: Module(name, len(found), None in found) for name, found in layers.items()}


def _in_order(network: Network, arrays: Mapping[str, np.ndarray], modules: list[Module]) -> list[Module]:
    """The modules from the input to the readout, if their sizes tell, whatever order they come in."""
    if len(modules) == 1:
        return modules
    orders = permutations(modules) if len(modules) <= _MOST_MODULES else ()
    fitting = [order for order in orders if _fits(network, arrays, order)]
    if len(fitting) == 1:
        return list(fitting[0])
    raise ValueError(
        f"state must hold modules whose sizes tell their order, got {_listed(module.name for module in modules)}, of "
        f"which {len(fitting)} orders fit the network; name them from the input to the readout, for example "
        f"recurrent={tuple(module.name for module in modules)!r}."
    )


def _fits(network: Network, arrays: Mapping[str, np.ndarray], modules: Sequence[Module]) -> bool:
    if sum(module.n_layers for module in modules) != len(network.layers):
        return False
    groups = _torch_groups(network, modules, "")[:-1]
    for part, group in zip(network.parts, groups, strict=True):
        given = [arrays.get(group.name(role)) for role in ("weight_ih", "weight_hh")]
        widths = (part.cell.n_in, part.cell.n_units)
        if any(array is None or array.shape[1:] != (width,) for array, width in zip(given, widths, strict=True)):
            return False
    return True


def _torch_groups(network: Network, modules: Iterable[Module], readout: str) -> list[Group]:
    places = [(module, layer) for module in modules for layer in range(module.n_layers)]
    groups = []
    for part in network.parts:
        module, layer = places[part.layer]
        after = "" if module.is_cell else f"_l{layer}" + "_reverse" * part.is_reversed
        groups.append(Group(f"{module.name}." if module.name else "", after))
    return [*groups, Group(f"{readout}.")]


def _names(recurrent: str | Sequence[str]) -> list[str]:
    names = (
        [recurrent] if isinstance(recurrent, str) else list(recurrent) if isinstance(recurrent, list | tuple) else []
    )
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise TypeError(f"recurrent must be a module's name, or a sequence of different ones, got {recurrent!r}.")
    return names


def _kind(cell: Cell) -> tuple[str, int, str]:
    return type(cell).__name__, cell.n_units, getattr(cell, "activation", "")


def _described(cell: Cell) -> str:
    name, n_units, activation = _kind(cell)
    return f"{name}({n_units} units{', ' * bool(activation)}{activation})"


# ------------------------------------------------------------------------------------------------ Keras


def keras_groups(network: Network, recurrent: str, readout: str | None) -> list[Group]:
    """Names that Keras gives in a session of its own: it counts the layers of each class."""
    if not isinstance(recurrent, str):
        raise TypeError(f"recurrent must be the name of a model of Keras, got {recurrent!r}; give a str.")
    groups, kinds = [], []
    for part in network.parts:
        kind = KERAS_NAMES[type(part.cell)]
        if not part.is_reversed:
            count = f"_{kinds.count(kind)}" if kind in kinds else ""
            wrapper = f"bidirectional_{part.layer}/" if part.layer else "bidirectional/"
            kinds.append(kind)
        direction = "backward_" if part.is_reversed else "forward_"
        layer = f"{wrapper}{direction}{kind}{count}" if network.bidirectional else f"{kind}{count}"
        groups.append(f"{layer}/{kind}_cell/")
    model = f"{recurrent}/" if recurrent else ""
    return [Group(model + group) for group in [*groups, "dense/" if readout is None else f"{readout}/"]]


def keras_groups_of(network: Network, arrays: Mapping[str, np.ndarray]) -> list[Group]:
    """The layers that a dict from Keras holds, in the order of our cells, the readout last."""
    roles: dict[str, set[str]] = {}
    for name in arrays:
        before, slash, role = name.rpartition("/")
        roles.setdefault(before + slash, set()).add(role)
    cells = [before for before, found in roles.items() if "recurrent_kernel" in found]
    others = [before for before in roles if before not in cells]
    if len(cells) != len(network.parts) or len(others) != 1:
        raise ValueError(
            f"state must hold a recurrent_kernel for each of {len(network.parts)} cells "
            f"({', '.join(part.name for part in network.parts)}) and one layer without, the readout, got "
            f"{len(cells)} with ({_listed(cells)}) and {len(others)} without ({_listed(others)}); "
            "leave out what is not the network's, and name parameters layer/kernel as weight.path does."
        )
    return [Group(before) for before in (*cells, *others)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
