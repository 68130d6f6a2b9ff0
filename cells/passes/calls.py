"""A pass as a list of calls: made once, then repeated with the same arrays.

A compiled kernel asks at every call which types its arguments have, and the Python around it asks which arrays to take.
For a small network that takes longer than the arithmetic, and the answers are those of the time before.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import typeof
from numba.core.dispatcher import Dispatcher


class _Call(NamedTuple):
    """A function and its arguments; the variable, None here, belongs in these places of them."""

    function: Callable
    args: tuple
    places: tuple[int, ...]


class Calls:
    """Calls of kernels and of other functions that write to arrays, noted as they are made.

    Parameters
    ----------
    variable : ndarray, optional
        An argument in whose place :meth:`again` puts another array. It is looked for among the arguments themselves,
        not inside tuples, and views of it are not noticed.

    Notes
    -----
    What is noted must do all its work in arrays: a function that makes a new one, or reads a number that changes, is
    given the old one again. All arguments are kept alive.

    Examples
    --------
    >>> import numpy as np
    >>> from cells.passes.calls import Calls
    >>> a, total = np.arange(3.0), np.zeros(3)
    >>> calls = Calls(total)
    >>> calls(np.add, total, a, total).tolist()
    [0.0, 1.0, 2.0]
    >>> a[:], other = 5.0, np.ones(3)
    >>> calls.again(other), other.tolist()
    (0.0, [6.0, 6.0, 6.0])
    """

    def __init__(self, variable: np.ndarray | None = None) -> None:
        self._variable = None if variable is None else weakref.ref(variable)  # which belongs to the caller
        self._type = None if variable is None else typeof(variable)
        self._made: list[_Call] = []
        self._ready: list[_Call] | None = None

    def __call__(self, function: Callable, *args: Any) -> Any:
        """Result of ``function(*args)``, which is noted."""
        variable = None if self._variable is None else self._variable()
        places = () if variable is None else tuple(place for place, arg in enumerate(args) if arg is variable)
        kept = tuple(None if place in places else arg for place, arg in enumerate(args)) if places else args
        self._made.append(_Call(function, kept, places))
        return function(*args)

    def again(self, variable: np.ndarray | None = None) -> float:
        """Make all calls anew.

        Parameters
        ----------
        variable : ndarray
            Takes the place of the first variable: of its dtype, dimensions and layout, and writable. Kernels get it
            unseen.

        Returns
        -------
        float
            Sum of the floats that the calls return.
        """
        if self._ready is None:
            self._ready = [self._prepared(call) for call in self._made]
        total = 0.0
        for function, args, places in self._ready:
            if places:
                varied = list(args)
                for place in places:
                    varied[place] = variable
                args = varied
            result = function(*args)
            if isinstance(result, float):
                total += result
        return total

    def _prepared(self, call: _Call) -> _Call:
        """The same call, of the function that a kernel is compiled to for arguments of these types."""
        if not isinstance(call.function, Dispatcher):
            return call
        types = [self._type if place in call.places else typeof(arg) for place, arg in enumerate(call.args)]
        return call._replace(function=call.function.compile(tuple(types)))


def plainly(function: Callable, *args: Any) -> Any:
    """``function(*args)``: what stands for :class:`Calls` where nothing is noted."""
    return function(*args)
