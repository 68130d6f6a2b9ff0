"""What a cell is: linear maps from what a step reads to *planes*, and three functions of one step.

At step t a cell reads sources - the input x(t), the state h(t-1), and numbers made from them - and maps them linearly:

    z(t) = sum over maps of source W, or source * w for a diagonal map, or b for a bias

z(t) is a row of planes, one a gate or a candidate, side by side. The rest of the step is element-wise. Because every
parameter belongs to such a map, all that concerns parameters is the same for all cells and is done for all of time at
once in ``cells.passes.products``: the input's share of z (of few inputs step by step, ``cells.passes.feed``), the
gradient (source)ᵀ dz, and what a direction V adds, source V. What depends on the step before is done by the cell, in
the three functions that ``cells.passes.time_loops`` describes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from cells.passes.products import FORMS, SOURCES
from optim.arguments import integer


@dataclass(frozen=True)
class Plane:
    """A block of columns of z: one gate, one candidate, or one linear map that is used as a factor.

    ``activation`` is the nonlinearity that is applied to the whole plane, and decides what structural damping
    takes as the distance of two values of it: one of ``reservoir.simd.activations.CODES``. The values after the
    nonlinearity stand in z after the forward pass, or, with ``is_state``, in h; if that holds for all planes, z and h
    are the same memory. Without ``is_damped`` structural damping leaves the plane alone: it is a factor in a product,
    and no nonlinearity reads it.
    """

    name: str
    width: int
    activation: Literal["tanh", "logistic", "relu", "identity"]
    is_state: bool = False
    is_damped: bool = True


@dataclass(frozen=True)
class Map:
    """One parameter: from columns of a source to columns of z.

    ``source`` is "x" (input), "h" or "c" (states before the step), "c_now" (second state after it), "e" or "e_before"
    (other numbers that this step, or the one before, keeps), or "" for a bias.
    """

    name: str
    source: str
    column: int  # first column of z
    width: int  # number of columns of z
    form: Literal["dense", "diagonal", "bias"] = "dense"
    source_column: int = 0
    source_width: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameter: (source_width, width) for a dense map, else (width,)."""
        return (self.source_width, self.width) if self.form == "dense" else (self.width,)

    @property
    def size(self) -> int:
        return self.width * (self.source_width if self.form == "dense" else 1)


@dataclass(frozen=True)
class Cell:
    """Common part of all cells: sizes. A cell adds choices, ``planes``, ``maps``, and ``weights``.

    Parameters
    ----------
    n_in : int >= 1
        Number I of inputs.
    n_units : int >= 1
        Number H of units, which is also the number of outputs.
    """

    n_in: int
    n_units: int

    has_second_state: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("n_in", "n_units"):
            integer(name, getattr(self, name), remedy="it is a number of columns")

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes of z, from left to right."""
        raise NotImplementedError

    @property
    def maps(self) -> tuple[Map, ...]:
        """The parameters, in the order in which theta holds them."""
        raise NotImplementedError

    @property
    def n_kept(self) -> int:
        """Number E of other numbers a step keeps."""
        return 0

    @property
    def n_fed_back(self) -> int:
        """Number G of columns of e that the next step reads."""
        return 0

    @property
    def raw_input_column(self) -> int:
        """First of the I columns of z to which the input is added as it is, without a matrix; -1 if there are none."""
        return -1

    @property
    def planes_turn_into_states(self) -> bool:
        """Whether a tape's z and h are the same memory: nothing but the state is kept of the planes."""
        return self.n_columns == self.n_units and all(plane.is_state for plane in self.planes)

    def weights(self, matrices: Any) -> Any:
        """What the steps of this cell read, as the named tuple for which they are registered.

        ``matrices`` is a ``cells.passes.parameters.Matrices``: ``matrices[name]`` is a dense parameter in the form
        :func:`reservoir.simd.tiles.add_product` reads, ``matrices.back(name)`` its transpose,
        ``matrices.row(name)`` a vector as one row; each is of size 0 if the cell has no such parameter.
        """
        raise NotImplementedError

    @property
    def n_columns(self) -> int:
        """Number Z of columns of z."""
        return sum(plane.width for plane in self.planes)

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return layout(self).n_params

    def column_of(self, name: str) -> int:
        """First column of the plane of that name, -1 if the cell has none."""
        return layout(self).columns.get(name, -1)

    def views(self, theta: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Names and zero-copy views of the parameters in ``theta``, which holds nothing else."""
        places = layout(self)
        for map_, start in zip(places.maps, places.starts, strict=True):
            yield map_.name, theta[start : start + map_.size].reshape(map_.shape)


@dataclass(frozen=True)
class Layout:
    """What follows from a cell's maps and planes, worked out once: see :func:`layout`."""

    maps: tuple[Map, ...]
    starts: tuple[int, ...]  # of each map's parameter in the cell's part of theta
    table: np.ndarray  # (n_maps, 7) int64, as ``cells.passes.products`` reads it
    columns: dict[str, int]  # first column of each plane
    n_params: int
    n_columns: int
    n_kept: int
    n_fed_back: int


@functools.lru_cache(maxsize=256)
def layout(cell: Cell) -> Layout:
    """Parameters of a cell and their places, remembered for each cell."""
    maps = cell.maps
    starts = tuple(np.cumsum([0, *(map_.size for map_ in maps)]).tolist())
    table = [
        [
            *(FORMS[map_.form], SOURCES[map_.source], map_.source_column, map_.source_width),
            *(map_.column, map_.width, start),
        ]
        for map_, start in zip(maps, starts[:-1], strict=True)
    ]
    planes = cell.planes
    first = np.cumsum([0, *(plane.width for plane in planes)]).tolist()
    columns = {plane.name: column for plane, column in zip(planes, first[:-1], strict=True)}
    sizes = starts[-1], first[-1], cell.n_kept, cell.n_fed_back
    return Layout(maps, starts[:-1], np.array(table, np.int64), columns, *sizes)
