"""The steps of cells in array code, made from the very functions that the processor's kernels are compiled from.

A step is written in words - ``take``, ``give``, ``add_product``, ``tanh`` - inside loops over the rows of a step and
the packs of a row. Here the words stand for whole arrays: a :class:`Table` gives all rows of the step at once, a pack
is as wide as any plane, and both loops are gone through once. So a cell has one equation, whatever runs it; in
:mod:`cells.device.step_text` the words stand for CUDA.

A step that uses other words, or a module of its own, cannot be read like this: see :func:`speaks_in_words`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from cells.passes import pointwise
from cells.passes.time_loops import STEPS, backward_step, forward_step, rforward_step
from reservoir.simd import activations, tiles, vectors

WIDEST = 2**62  # elements of a pack: more than any plane has


class Table:
    """A 2-D array of which every row that a step names stands for ``n`` rows, that one and those below.

    Parameters
    ----------
    array : (., .) array
    n : int
    """

    def __init__(self, array: Any, n: int) -> None:
        self.array, self.n = array, n
        self.shape, self.size = array.shape, array.size

    def block(self, row: int, columns: slice) -> Any:
        """View of these columns of the rows that ``row`` stands for."""
        return self.array[row : row + self.n, columns]

    def __getitem__(self, place: tuple[int, int]) -> Any:
        return self.array[place[0] : place[0] + self.n, place[1]]

    def __setitem__(self, place: tuple[int, int], values: Any) -> None:
        self.array[place[0] : place[0] + self.n, place[1]] = values


class OtherWordsError(TypeError):
    """A step uses what has no meaning in another vocabulary."""


class Vocabulary:
    """Other meanings of the words that steps are written in.

    Parameters
    ----------
    meanings : mapping of functions to functions
    """

    def __init__(self, meanings: Mapping[Callable, Callable]) -> None:
        self.words = tuple(meanings)  # they live as long as their identities are asked for
        self.meanings = {id(word): meaning for word, meaning in meanings.items()}


def in_words(function: Callable, vocabulary: Vocabulary) -> Callable:
    """``function``, a step or what is written in the same words, with these meanings of them.

    Raises
    ------
    OtherWordsError
        If it uses a module, or calls what does.
    """
    return _translated(getattr(function, "py_func", function), vocabulary)


def in_arrays(function: Callable, xp: ModuleType) -> Callable:
    """:func:`in_words` for tables of ``xp``'s arrays."""
    return in_words(function, _array_words(xp))


def step_in_arrays(kind: Callable, weights: Any, xp: ModuleType) -> Callable:
    """The ``kind`` of step that is registered for these weights."""
    return in_arrays(STEPS[kind, type(weights)], xp)


def speaks_in_words(weights: type) -> bool:
    """Whether the three steps for weights of this type can be read as array code."""
    try:
        for kind in (forward_step, backward_step, rforward_step):
            in_arrays(STEPS[kind, weights], np)
    except OtherWordsError:
        return False
    return True


@functools.lru_cache(maxsize=256)
def _translated(plain: FunctionType, vocabulary: Vocabulary) -> Callable:
    """The same code with other words for the names that it knows."""
    words, known = vocabulary.meanings, dict(plain.__globals__)
    for name in plain.__code__.co_names:
        value = known.get(name)
        inner = getattr(value, "py_func", value)
        if isinstance(value, ModuleType):
            raise OtherWordsError(f"{plain.__name__} uses the module {name}")
        if id(value) in words:
            known[name] = words[id(value)]
        elif isinstance(inner, FunctionType):
            known[name] = _translated(inner, vocabulary)
    return FunctionType(plain.__code__, known, plain.__name__, plain.__defaults__, plain.__closure__)


@functools.lru_cache(maxsize=16)
def _array_words(xp: ModuleType) -> Vocabulary:
    """What the words mean for arrays."""
    meanings = {
        pointwise.take: _take,
        pointwise.give: _give,
        pointwise.clear: _clear,
        tiles.add_product: _add_product,
        vectors.pack_size: lambda array: WIDEST,
        vectors.like: lambda v, value: value,
        vectors.fma: lambda a, b, c: a * b + c,
        vectors.magnitude: abs,
        vectors.at_least: lambda v, low: xp.where(v < low, low, v),
        vectors.where_negative: lambda v, a, b: xp.where(v < 0, a, b),
        activations.tanh: lambda v: xp.tanh(v),
        activations.logistic: functools.partial(logistic, xp),
    }
    return Vocabulary(meanings)


def logistic(xp: ModuleType, x: Any) -> Any:
    """1 / (1 + exp(-x)) without an overflow, and without losing digits where it is small."""
    e = xp.exp(-abs(x))
    return xp.where(x < 0, e, 1.0) / (1.0 + e)


def _take(a: Table, row: int, column: int, j: int, H: int) -> Any:
    return a.block(row, slice(column + j, column + H)).copy()


def _give(a: Table, row: int, column: int, j: int, H: int, v: Any) -> None:
    a.block(row, slice(column + j, column + H))[...] = v


def _clear(a: Table, n: int) -> None:
    a.block(0, slice(None))[...] = 0.0


def _add_product(
    a: Table, a_row: int, a_column: int, b: Any, c: Table, c_row: int, c_column: int, n_rows: int, n_columns: int
) -> None:
    there = c.block(c_row, slice(c_column, c_column + n_columns))
    there += a.block(a_row, slice(a_column, a_column + b.shape[0])) @ b[:, :n_columns]
