"""The three passes over time, written once for all cells: forward, backward, and R-forward.

A batch is a list of *rows*, one for every step of every sequence: all sequences' first steps, then all second steps,
and so on. Longer sequences stand before shorter ones, so those that are still running at a step are the first n of
the step before: nothing is masked, and no step is computed for a sequence that has ended. ``first[t]`` is the
first row of step t, ``first[t + 1] - first[t]`` the number n of sequences that reach it.

Arrays of *states* have B rows in front, the initial states, so that row ``B + first[t]`` holds what step t made. The
state before step t begins at row 0 for t = 0 and at ``B + first[t - 1]`` after that.

A cell brings three functions of one step, registered for the type of its weights by :func:`step`::

    forward_step(weights, tape, now, before, after, n)              tape.z[now:] holds the input's share of z
    backward_step(weights, tape, d, now, before, after, n)
    rforward_step(weights, tape, r, now, before, after, n)          r.z[now:] holds all that R theta adds to z

``now`` is the first row of ``z`` and ``e``, ``before`` and ``after`` are the first rows of the states before and after
the step, n the number of rows. They are compiled into the kernels below, and run as they stand with the JIT off.

While a kernel runs subnormal numbers count as zeros (``reservoir.simd.subnormals``): signals fade through them.

The compiled kernels of this package's cells are found again in Numba's disk cache. Those of a cell that is defined
elsewhere are compiled anew in every process: the cache would not notice that its steps have changed, and no program
that cannot import the cell could read the cache any more.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import lower_builtin

from cells.passes.calls import plainly
from cells.passes.feed import Feed, add_feed, begin_with_feed, no_feed
from reservoir.jit import njit
from reservoir.simd.subnormals import flush_subnormals, restore_mode
from reservoir.simd.vectors import ONE_PACK, greater, lesser, load_some, pack_size, store_some

FLAGS = {"nogil": True, "error_model": "numpy"}
# Where nothing is allocated arrays need no counts of references, which took half the time of a small step. What a
# kernel calls inherits this.
UNCOUNTED = FLAGS | {"_nrt": False}


class Tape(NamedTuple):
    """What a forward pass keeps; an R-forward pass fills a second one with directional derivatives."""

    z: (
        np.ndarray
    )  # (R, Z) planes: what the cell's linear maps give, before or after their nonlinearity as the cell says
    h: np.ndarray  # (B + R, H) states, which are also the outputs
    c: np.ndarray  # (B + R, C) second states; C = 0 if the cell has none
    e: np.ndarray  # (R, E) other numbers that the backward pass reads; E may be 0


class Cotangents(NamedTuple):
    """Derivatives of the loss on their way back."""

    z: np.ndarray  # (R, Z) by the planes before their nonlinearity, out; may be the same memory as ``Tape.z``
    h: np.ndarray  # (B, H) by the state, in: by the final state of each sequence, out: by its initial state
    c: np.ndarray  # (B, C) by the second state, likewise
    g: np.ndarray  # (B, G) by whatever else the next step reads, in: zeros
    s: np.ndarray  # (B, E) scratch
    added: np.ndarray  # (R, Z) to be added to z where it is formed (structural damping), or of size 0


class Clamp(NamedTuple):
    """Units whose state is given at every step."""

    units: np.ndarray  # (n_clamped,) int64
    values: np.ndarray  # (R, n_clamped)


def forward_step(weights, tape, now, before, after, n):
    """One step of the cell whose weights these are: from the state before to the state after."""
    STEPS[forward_step, type(weights)](weights, tape, now, before, after, n)


def backward_step(weights, tape, d, now, before, after, n):
    """One step of back-propagation: ``d.h`` and ``d.c`` turn from the state after to the state before."""
    STEPS[backward_step, type(weights)](weights, tape, d, now, before, after, n)


def rforward_step(weights, tape, r, now, before, after, n):
    """The directional derivative of :func:`forward_step`."""
    STEPS[rforward_step, type(weights)](weights, tape, r, now, before, after, n)


STEPS: dict[tuple[Callable, type], Callable] = {}


def step(kind: Callable, weights: type) -> Callable:
    """Decorator: the function is the ``kind`` of step of the cell whose weights have this type."""
    expected = inspect.signature(kind)

    def register(function: Callable) -> Callable:
        came = inspect.signature(function)
        if list(came.parameters) != list(expected.parameters):
            raise TypeError(f"a {kind.__name__} must take {expected}, got {came}; Numba matches them by name.")
        STEPS[kind, weights] = njit(**FLAGS)(function)
        return function

    return register


def _compiled_by_type_of_weights(kind: Callable) -> None:
    """A compiled kernel that calls ``kind`` calls the step that is registered for its weights."""

    def kernel_for(weights: types.Type) -> types.Dispatcher | None:
        return STEPS.get((kind, getattr(weights, "instance_class", None)))

    @infer_global(kind)
    class Template(AbstractTemplate):
        key = kind

        def generic(self, args, kws):
            kernel = kernel_for(args[0])
            return None if kernel is None else types.Dispatcher(kernel).get_call_type(self.context, args, kws)

    @lower_builtin(kind, types.VarArg(types.Any))
    def call(context, builder, sig, args):
        return context.get_function(types.Dispatcher(kernel_for(sig.args[0])), sig)(builder, args)


for _kind in (forward_step, backward_step, rforward_step):
    _compiled_by_type_of_weights(_kind)


def forward(
    weights: Any,
    tape: Tape,
    first: np.ndarray,
    clamp: Clamp,
    begin: int = 0,
    end: int | None = None,
    do: Callable = plainly,
    feed: Feed | None = None,
) -> None:
    """Run the cell over the steps from ``begin`` to ``end``, all by default.

    ``tape.z`` holds, in, the input's share of the planes, unless it comes from ``feed``; out, what the cell keeps
    there. Rows 0 .. B - 1 of ``tape.h`` and ``tape.c`` are the initial states, in; all other rows, and ``tape.e``, are
    written. ``do`` makes the call, see ``cells.passes.calls``.
    """
    feed = no_feed(tape.h.dtype) if feed is None else feed
    do(_compiled_for(weights, _forward), weights, feed, tape, first, clamp, begin, _end(first, end))


def backward(
    weights: Any,
    tape: Tape,
    d: Cotangents,
    outputs: np.ndarray,
    first: np.ndarray,
    clamp: Clamp,
    limit: float,
    begin: int = 0,
    end: int | None = None,
    start: int = 0,
    do: Callable = plainly,
    feed: Feed | None = None,
) -> None:
    """Back-propagate through the steps from ``end`` to ``begin``, all by default.

    ``outputs`` are the derivatives by these steps' outputs, a row for each row of theirs, or of size 0 where they come
    from ``feed`` or are 0; ``d`` as its fields say. The derivative by a state, when it is complete, is cut to
    +-``limit`` in each unit; ``limit`` is infinite where nothing is cut. ``tape.z``, ``tape.e``, ``d.z`` and
    ``d.added`` begin at row ``start``: a stretch of steps needs no more of them. ``do`` as above.
    """
    feed = no_feed(tape.h.dtype) if feed is None else feed
    kernel, end = _compiled_for(weights, _backward), _end(first, end)
    do(kernel, weights, feed, tape, d, outputs, first, clamp, limit, begin, end, start)


def rforward(
    weights: Any,
    tape: Tape,
    r: Tape,
    first: np.ndarray,
    clamp: Clamp,
    begin: int = 0,
    end: int | None = None,
    start: int = 0,
) -> None:
    """Carry the directional derivative of the states through the steps from ``begin`` to ``end``, all by default.

    ``r.z`` holds, in, what the direction adds to the planes; out, the directional derivative of the planes before
    their nonlinearity. Rows 0 .. B - 1 of ``r.h`` and ``r.c`` are those of the initial states, in. ``z`` and ``e`` of
    both begin at row ``start``.
    """
    _compiled_for(weights, _rforward)(weights, tape, r, first, clamp, begin, _end(first, end), start)


def _end(first: np.ndarray, end: int | None) -> int:
    return first.size - 1 if end is None else end


@njit(cache=True, **UNCOUNTED)
def _forward(weights, feed, tape, first, clamp, begin, end):
    """:func:`forward`."""
    mode = flush_subnormals()
    B = tape.h.shape[0] - first[-1]
    before = B + first[begin - 1] if begin > 0 else 0
    for t in range(begin, end):
        now = first[t]
        n, after = first[t + 1] - now, B + now
        if feed.matrix.size > 0:
            begin_with_feed(feed, now, tape.z, now, n)
        forward_step(weights, tape, now, before, after, n)
        for k in range(clamp.units.size):
            for i in range(n):
                tape.h[after + i, clamp.units[k]] = clamp.values[now + i, k]
        before = after
    restore_mode(mode)


@njit(cache=True, **UNCOUNTED)
def _backward(weights, feed, tape, d, outputs, first, clamp, limit, begin, end, start):
    """:func:`backward`."""
    mode = flush_subnormals()
    B, H = d.h.shape
    P = pack_size(d.h)
    for t in range(end - 1, begin - 1, -1):
        now = first[t]
        n, after = first[t + 1] - now, B + now
        before = B + first[t - 1] if t > 0 else 0
        if outputs.size > 0:
            for position in range(0, n * H, P):
                left = n * H - position
                output = load_some(outputs, ONE_PACK, (now - first[begin]) * H + position, left)
                store_some(d.h, position, load_some(d.h, ONE_PACK, position, left) + output, left)
        if feed.matrix.size > 0:
            add_feed(feed, now, d.h, n)
        if limit < np.inf:
            for i in range(n):
                for j in range(H):
                    d.h[i, j] = lesser(greater(d.h[i, j], -limit), limit)
        for k in range(clamp.units.size):
            for i in range(n):
                d.h[i, clamp.units[k]] = 0.0
        backward_step(weights, tape, d, now - start, before, after, n)
    restore_mode(mode)


@njit(cache=True, **UNCOUNTED)
def _rforward(weights, tape, r, first, clamp, begin, end, start):
    """:func:`rforward`."""
    mode = flush_subnormals()
    B = tape.h.shape[0] - first[-1]
    before = B + first[begin - 1] if begin > 0 else 0
    for t in range(begin, end):
        now = first[t]
        n, after = first[t + 1] - now, B + now
        rforward_step(weights, tape, r, now - start, before, after, n)
        for k in range(clamp.units.size):
            for i in range(n):
                r.h[after + i, clamp.units[k]] = 0.0
        before = after
    restore_mode(mode)


# A cell from elsewhere may allocate in its steps.
UNCACHED = {kernel: njit(**FLAGS)(getattr(kernel, "py_func", kernel)) for kernel in (_forward, _backward, _rforward)}


def _compiled_for(weights: Any, kernel: Callable) -> Callable:
    """The kernel, or for a cell from outside this package the same one without the disk cache."""
    is_ours = type(weights).__module__.partition(".")[0] == __name__.partition(".")[0]
    return kernel if is_ours else UNCACHED[kernel]
