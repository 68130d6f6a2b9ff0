"""A recurrent network: layers of cells, in one or both directions, and a linear readout; one vector of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

import numpy as np

from cells.passes.cell import Cell
from cells.passes.losses import LOSSES
from optim.arguments import brief, choice, integer
from optim.device import is_array

# Sizes up to which products of two of them, and their sums over layers, are exact.
_MOST = {"n_in": 2**31, "n_units": 2**20, "n_factors": 2**20}


@dataclass(frozen=True)
class Part:
    """One cell of the network in one direction: its place in theta and its name."""

    name: str
    layer: int
    cell: Cell
    is_reversed: bool
    start: int

    @property
    def parameters(self) -> slice:
        """Where the cell's parameters stand in theta."""
        return slice(self.start, self.start + self.cell.n_params)


@dataclass(frozen=True, init=False)
class Network:
    """Layers of cells with a linear readout.

    Layer 0 reads the input, each further layer the states of the layer below. With ``bidirectional`` every layer
    has a second cell that reads each sequence from its true end to its beginning; a layer's output is then the
    states of both side by side.

    Parameters
    ----------
    layers : Cell or sequence of Cells
        ``n_in`` of a layer is the width of the output of the layer below: H, or 2 H if bidirectional.
    n_out : int >= 1
        Number O of outputs.
    loss : "squared", "logistic" or "softmax"
        See ``cells.passes.losses``.
    bidirectional : bool
    targets : "all" or "last"
        Whether there is an output at every step, or one a sequence, made of the states after its last step
        (for the backward direction: after it has arrived at the beginning).
    learn_initial_state : bool
        Whether the states before the first step are parameters, one for all sequences; else they are 0.

    Notes
    -----
    ``views(theta)`` names the parameters: ``layer0.input``, ``layer0.recurrent``, ..., ``layer0_reverse.input``, ...,
    ``layer0.initial_h``, ``readout.weights`` (F, O), ``readout.bias`` (O,).

    Examples
    --------
    >>> from cells import LSTM, Network
    >>> network = Network([LSTM(3, 10), LSTM(10, 10)], n_out=2)
    >>> network.n_params
    1422
    """

    layers: tuple[Cell, ...]
    n_out: int
    loss: Literal["squared", "logistic", "softmax"]
    bidirectional: bool
    targets: Literal["all", "last"]
    learn_initial_state: bool

    def __init__(
        self,
        layers: Cell | Sequence[Cell],
        *,
        n_out: int,
        loss: Literal["squared", "logistic", "softmax"] = "squared",
        bidirectional: bool = False,
        targets: Literal["all", "last"] = "all",
        learn_initial_state: bool = False,
    ) -> None:
        given = {
            "layers": tuple(layers) if isinstance(layers, Iterable) else (layers,),
            "n_out": n_out,
            "loss": loss,
            "bidirectional": bool(bidirectional),
            "targets": targets,
            "learn_initial_state": bool(learn_initial_state),
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if not self.layers or not all(isinstance(cell, Cell) for cell in self.layers):
            came = brief(self.layers)
            raise TypeError(f"layers must be a cell or several, got {came}; for example LSTM(n_in, n_units).")
        for layer, cell in enumerate(self.layers):
            for name, most in _MOST.items():
                if getattr(cell, name, None) is not None:
                    integer(f"{name} of layer {layer}", getattr(cell, name), most=most)
            check_maps(cell)
        integer("n_out", self.n_out, most=_MOST["n_in"], remedy="it is the number of outputs")
        choice("loss", self.loss, LOSSES)
        choice("targets", self.targets, ("all", "last"), remedy="single steps are chosen by a mask")
        for below, cell in zip(self.layers, self.layers[1:], strict=False):
            width = below.n_units * self.n_directions
            if cell.n_in != width:
                raise ValueError(
                    f"n_in of a layer must be the width of the layer below, {width}, got {cell.n_in}; "
                    + ("with bidirectional=True that is twice n_units." if self.bidirectional else "that is n_units.")
                )

    @property
    def n_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def n_in(self) -> int:
        """Number I of inputs."""
        return self.layers[0].n_in

    @property
    def n_features(self) -> int:
        """Number F of states that the readout sees."""
        return self.layers[-1].n_units * self.n_directions

    @cached_property
    def n_params(self) -> int:
        """Number P of parameters."""
        return self._places[-1][2]

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The cells in the order in which they run: layer by layer, forward before backward."""
        parts, start = [], 0
        for layer, cell in enumerate(self.layers):
            for is_reversed in (False, True)[: self.n_directions]:
                parts.append(Part(f"layer{layer}" + "_reverse" * is_reversed, layer, cell, is_reversed, start))
                start += cell.n_params
        return tuple(parts)

    def views(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """The parameters by name, as views of ``theta`` (P,): writing to them writes to it.

        Raises
        ------
        ValueError
            If the size of ``theta`` is another.
        """
        theta = theta if is_array(theta) else np.asarray(theta)
        if theta.shape != (self.n_params,):
            raise ValueError(
                f"theta must have shape ({self.n_params},), the network's n_params, got {theta.shape}; "
                "one vector holds all parameters."
            )
        return {name: theta[start:end].reshape(shape) for name, start, end, shape in self._places}

    @cached_property
    def _places(self) -> tuple[tuple[str, int, int, tuple[int, ...]], ...]:
        """Name, first element, end and shape of every parameter in theta."""
        shapes = [(f"{part.name}.{map_.name}", map_.shape) for part in self.parts for map_ in part.cell.maps]
        if self.learn_initial_state:
            for part in self.parts:
                for state in ("h", "c")[: 1 + part.cell.has_second_state]:
                    shapes.append((f"{part.name}.initial_{state}", (part.cell.n_units,)))
        shapes += [("readout.weights", (self.n_features, self.n_out)), ("readout.bias", (self.n_out,))]
        sizes = [math.prod(shape) for _, shape in shapes]
        return tuple(
            (name, end - size, end, shape)
            for (name, shape), size, end in zip(shapes, sizes, accumulate(sizes), strict=True)
        )


def check_maps(cell: Cell) -> None:
    """Raise unless every map of ``cell`` reads columns that its source has and writes columns that z has.

    Raises
    ------
    ValueError
        Naming the map; kernels follow its columns without a look.
    """
    H, second = cell.n_units, cell.n_units * cell.has_second_state
    widths = {
        "x": cell.n_in, "h": H, "c": second, "c_now": second, "e": cell.n_kept, "e_before": cell.n_kept, "": 0,
    }  # fmt: skip
    for map_ in cell.maps:
        read = {"dense": map_.source_width, "diagonal": map_.width, "bias": 0}[map_.form]
        for what, first, n, width in (
            (f"source {map_.source!r}", map_.source_column, read, widths[map_.source]),
            ("z", map_.column, map_.width, cell.n_columns),
        ):
            if not 0 <= first <= first + n <= width:
                raise ValueError(
                    f"maps of {type(cell).__name__} must stay within their columns, got {map_.name!r} with columns "
                    f"{first} to {first + n} of {what}, which has {width}; mend the cell."
                )
