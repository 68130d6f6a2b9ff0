"""One-hot rows on the device, given by the places of their ones."""

from __future__ import annotations

from types import ModuleType
from typing import Any

_DENSE_ELEMENTS = 2**24  # that are written out at once


class OneHot:
    """Rows of an identity matrix: what is read of a matrix are its rows, and nothing is multiplied.

    Parameters
    ----------
    index : (R,) integer array on the device
        Place of the one in each row.
    width : int
    dtype : numpy dtype
    xp : module
    """

    def __init__(self, index: Any, width: int, dtype: Any, xp: ModuleType) -> None:
        self.index, self.width, self.dtype, self.xp = index, width, dtype, xp

    def __getitem__(self, rows: Any) -> OneHot:
        return OneHot(self.index[rows], self.width, self.dtype, self.xp)

    def __matmul__(self, matrix: Any) -> Any:
        return matrix[self.index]

    def dense(self) -> Any:
        """(R, width) the rows written out."""
        return self.xp.eye(self.width, dtype=self.dtype)[self.index]

    def transposed_times(self, dz: Any) -> Any:
        """(width, .) sum over the rows of ``dz`` that have their one in the same place: products of a few rows each.

        Products, since sums into places that are looked up come in another order, hence with other bits, every time.
        """
        step, total = max(1, _DENSE_ELEMENTS // self.width), self.xp.zeros((self.width, dz.shape[1]), self.dtype)
        for first in range(0, len(dz), step):
            rows = slice(first, first + step)
            total += self[rows].dense().T @ dz[rows]
        return total
