"""A cell's parameters on the device, in the forms that its steps read."""

from __future__ import annotations

from typing import Any

from cells.device.step_words import Table
from cells.passes.cell import Cell
from optim.device import namespace


class DeviceMatrices:
    """A cell's parameters in the forms that its steps read: plain matrices, their transposes, tables of one row.

    Parameters
    ----------
    cell : Cell
    theta : (p,) array
        This cell's part.
    """

    def __init__(self, cell: Cell, theta: Any) -> None:
        self.cell, self.views = cell, dict(cell.views(theta))
        self.nothing = theta[:0].reshape(0, 0)
        self._packed: dict[tuple, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.views.get(name, self.nothing)

    def back(self, name: str) -> Any:
        """The transpose."""
        return self[name].T

    def row(self, name: str) -> Table:
        """A vector as a table of one row."""
        vector = self.views.get(name)
        return Table(self.nothing if vector is None else vector.reshape(1, -1), 1)

    @property
    def weights(self) -> Any:
        """What the steps read."""
        return self.cell.weights(self)

    def packed(self, matrices: tuple[tuple[str, str], ...]) -> Any:
        """These parameters, each of a name and a form, one behind the other."""
        if matrices not in self._packed:
            forms = {"": self.__getitem__, "back": self.back, "row": self.__getitem__}
            parts = [forms[form](name).reshape(-1) for name, form in matrices]
            self._packed[matrices] = namespace(self.nothing).concatenate([*parts, self.nothing.reshape(-1)])
        return self._packed[matrices]
