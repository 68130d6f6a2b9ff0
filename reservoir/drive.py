r"""The two kernels that drive a reservoir: many lanes at once, and one sequence alone.

Both compute, for every unit i and step t, with the parameters of the lane in brackets,

    rec  = sum_k W[i, j_k] x_j_k(t-1)                       in the order in which row i stores its entries
    in   = sum_j W_in[i, j] u_j(t)                          in the order of the input columns
    z    = [radius] rec + ([input] in + [bias] b_i) + noise_i(t)
    a    = [leak] a_i
    x(t) = (1 - a) x(t-1) + a f(z)
    y(t) = (offset + sum_j C_in[j] u_j(t)) + sum_i C[i] x_i(t)      the last sum in ``pack_size`` interleaved parts

with one fused multiply-add a term, in the same order. Hence a lane of the first kernel and the second kernel return
the same bits, and a batch equals a loop over its members exactly.

**Lanes.** Every lane is an independent run over one sparse graph: a sequence, a stretch of a long series, or a
configuration of its own. Arrays keep the lane innermost, so one weight meets a vector of lanes in a register and
nothing is gathered. **One sequence.** Units are the vector: rows of W are packed in slices of ``pack_size`` rows
(sliced ELLPACK) and states gathered, or, where W is a sum of cyclic diagonals, read as windows of the state, whose
beginning is stored once more behind its end.

The kernels allocate nothing, check nothing and release the GIL. ``lane_runs`` and ``sequence_runs`` call them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from reservoir.activations import activate, activate_with
from reservoir.vectors import (
    ONE_PACK,
    TWO_PACKS,
    at,
    fma,
    full,
    gather,
    like,
    load,
    pack_size,
    put,
    spread,
    store,
    times_or_zero,
    total,
)


class Graph(NamedTuple):
    """W as a kernel reads it.

    Lanes: compressed rows. Sequence: slices of ``pack_size`` rows, an entry of each row side by side, padded with
    weight 0 from the slot behind the last slice; or, with ``shifts``, blocks of two packs of each cyclic diagonal in
    turn: (N_padded / (2 pack_size), K, 2 pack_size).
    """

    pointers: np.ndarray  # (N + 1,) or (n_slices + 1,) int64
    indices: np.ndarray  # (n_entries,) int32
    weights: np.ndarray  # (n_entries,)
    shifts: np.ndarray  # (K,) int64; empty unless W is a sum of K cyclic diagonals


class Units(NamedTuple):
    """What belongs to the units; the last axis is padded to a multiple of ``pack_size``."""

    input_weights: np.ndarray  # (I, N_padded)
    bias: np.ndarray  # (N_padded,)
    leak: np.ndarray  # (N_padded,), padded with 1
    is_leaky: bool  # False promises that every leak, times every lane's factor, is 1


class Readout(NamedTuple):
    """Linear readout y = offset + C_in u[:n_read] + C x; O = 0 where no output is wanted."""

    coef: np.ndarray  # (O, N_padded)
    input_coef: np.ndarray  # (O, n_read)
    offset: np.ndarray  # (O,)
    fed: int  # inputs fed .. fed + O - 1 are the outputs of the step before; -1: the loop is open


class Data(NamedTuple):
    """Rows of all sequences, one a time step."""

    rows: np.ndarray  # (n, I)
    targets: np.ndarray  # (n, n_targets), n_targets = 0 without targets
    roots: np.ndarray  # (n,) square roots of the sample weights, or empty: all 1
    initial: np.ndarray  # (n_initial, N + O) states and last outputs to start from; row 0 is rest


class Plan(NamedTuple):
    """What each lane does at each step of a call."""

    row: np.ndarray  # (S, B) int64: row of ``Data`` read; -1: the lane idles on zero input
    start: np.ndarray  # (S, B) int32: row of ``Data.initial`` the lane starts from before this step; -1: it goes on
    record: np.ndarray  # (S, B) int32: row of ``Sinks.records`` the state goes to after this step; -1: none
    kept: np.ndarray  # (S, B) bool: the step counts; else it only warms the lane up
    column: np.ndarray  # (S,) int64: first column of ``Sinks.tile`` the step goes to; -1: none


class Sinks(NamedTuple):
    """Where results go; an array of size 0 wants none of them."""

    tile: np.ndarray  # (N + I_read + 1 + n_targets, n_columns) float64: sqrt(weight) [x; u - shift; 1; y - shift]
    shift: np.ndarray  # (I_read + n_targets,)
    outputs: np.ndarray  # (n, O)
    states: np.ndarray  # (n, N)
    records: np.ndarray  # (n_records, N + O)


class Work(NamedTuple):
    """State between calls and scratch, L = lanes (1 for a sequence)."""

    state: np.ndarray  # (2, N, B), or (2, stride) for a sequence; both calls begin and end with the state in [0]
    output: np.ndarray  # (O, B) outputs of the last step
    inputs: np.ndarray  # (I, B)
    root: np.ndarray  # (B,)
    partial: np.ndarray  # (O, pack_size, B)
    block: np.ndarray  # (BLOCK, B) pre-activations; for a sequence (2, pack_size)
    recent: np.ndarray  # sequence only: (pack_size, N_padded) states on their way to the tile


# Units whose sums are formed before their activations are: chains of dependent instructions stay short, and few of the
# loops' ends are mispredicted. 64 was best of 1 to 1024, at 100, 1000 and 5000 units.
BLOCK = 64


@njit(cache=True, nogil=True, error_model="numpy")
def drive_lanes(packs, graph, units, scales, activation, data, plan, readout, noise, work, sinks):
    """S = len(plan.row) steps of B = len(packs) * pack_size lanes.

    ``scales`` (4, B): radius, input, bias and leak factor of each lane. ``noise`` (S, N, B), or of size 0.
    ``work.state`` is read and written, ``work.output`` likewise; nothing else is read before it is written.
    """
    state = work.state
    P = pack_size(state)
    B = len(packs) * P
    N = state.shape[1]
    I, padded = units.input_weights.shape
    O = readout.offset.size
    n_columns = sinks.tile.shape[1]
    for s in range(plan.row.shape[0]):
        old, new = (s % 2) * N * B, (1 - s % 2) * N * B
        column = at(plan.column, s)
        _enter(s, old, B, N, I, O, data, plan, readout, work)
        for q in range(O * P):
            for b in range(0, B, len(packs) * P):
                store(work.partial, q * B + b, full(state, packs, 0.0))
        radius, scale = load(scales, packs, 0), load(scales, packs, B)
        scale_bias, scale_leak = load(scales, packs, 2 * B), load(scales, packs, 3 * B)
        root = load(work.root, packs, 0)
        for first in range(0, N, BLOCK):
            last = min(first + BLOCK, N)
            for i in range(first, last):
                driven = full(state, packs, 0.0)
                for j in range(I):
                    weight = spread(units.input_weights, packs, j * padded + i)
                    driven = fma(weight, load(work.inputs, packs, j * B), driven)
                recurrent = full(state, packs, 0.0)
                for k in range(at(graph.pointers, i), at(graph.pointers, i + 1)):
                    source = old + at(graph.indices, k) * B
                    recurrent = fma(spread(graph.weights, packs, k), load(state, packs, source), recurrent)
                z = fma(radius, recurrent, fma(scale, driven, scale_bias * spread(units.bias, packs, i)))
                store(work.block, (i - first) * B, z)
            for i in range(first, last):
                z = load(work.block, packs, (i - first) * B)
                if noise.size > 0:
                    z = z + load(noise, packs, (s * N + i) * B)
                x = activate(activation, z)
                if units.is_leaky:
                    a = scale_leak * spread(units.leak, packs, i)
                    x = fma(a, x, (like(a, 1.0) - a) * load(state, packs, old + i * B))
                store(state, new + i * B, x)
                if column >= 0:
                    store(sinks.tile, i * n_columns + column, times_or_zero(x, root))
            for o in range(O):
                for q in range(P):
                    part = load(work.partial, packs, (o * P + q) * B)
                    for i in range(first + q, last, P):
                        part = fma(spread(readout.coef, packs, o * padded + i), load(state, packs, new + i * B), part)
                    store(work.partial, (o * P + q) * B, part)
        for o in range(O):
            y = spread(readout.offset, packs, o)
            for j in range(readout.input_coef.shape[1]):
                c = spread(readout.input_coef, packs, o * readout.input_coef.shape[1] + j)
                y = fma(c, load(work.inputs, packs, j * B), y)
            n_parts = P
            while n_parts > 1:
                n_parts //= 2
                for q in range(n_parts):
                    low, high = (o * P + q) * B, (o * P + q + n_parts) * B
                    store(work.partial, low, load(work.partial, packs, low) + load(work.partial, packs, high))
            store(work.output, o * B, y + load(work.partial, packs, o * P * B))
        if column >= 0:
            _append_lanes(s, N, B, column, data, plan, work, sinks)
        _leave(s, new, B, N, O, plan, work, sinks)
    if plan.row.shape[0] % 2:
        for j in range(0, N * B, B):
            store(state, j, load(state, packs, N * B + j))


@njit(nogil=True, error_model="numpy")
def _enter(s, old, B, N, I, O, data, plan, readout, work):
    """Reset the lanes that start here and lay out the inputs and weights of all lanes."""
    for b in range(B):
        row, start = at(plan.row, s * B + b), at(plan.start, s * B + b)
        if start >= 0:
            for i in range(N):
                put(work.state, old + i * B + b, at(data.initial, start * (N + O) + i))
            for o in range(O):
                put(work.output, o * B + b, at(data.initial, start * (N + O) + N + o))
        for j in range(I):
            u = at(data.rows, row * I + j) if row >= 0 else at(data.initial, 0)
            put(work.inputs, j * B + b, u)
        if readout.fed >= 0:
            for o in range(O):
                put(work.inputs, (readout.fed + o) * B + b, at(work.output, o * B + b))
        root = at(plan.kept, s * B + b) * 1.0
        if data.roots.size > 0 and row >= 0:
            root = root * at(data.roots, row)
        put(work.root, b, root)


@njit(nogil=True, error_model="numpy")
def _append_lanes(s, N, B, column, data, plan, work, sinks):
    """Rows of the tile below the states, in the columns of all lanes: inputs, constant, targets."""
    n_columns = sinks.tile.shape[1]
    n_targets = data.targets.shape[1]
    n_read = sinks.shift.size - n_targets
    place = N * n_columns + column
    for j in range(n_read):
        shift = at(sinks.shift, j)
        for b in range(B):
            root = at(work.root, b)
            put(sinks.tile, place + b, (at(work.inputs, j * B + b) - shift) * root if root > 0.0 else 0.0)
        place += n_columns
    for b in range(B):
        put(sinks.tile, place + b, at(work.root, b))
    for o in range(n_targets):
        place += n_columns
        shift = at(sinks.shift, n_read + o)
        for b in range(B):
            root = at(work.root, b)
            if root > 0.0:
                y = at(data.targets, at(plan.row, s * B + b) * n_targets + o)
                put(sinks.tile, place + b, (y - shift) * root)
            else:
                put(sinks.tile, place + b, 0.0)


@njit(nogil=True, error_model="numpy")
def _append(N, row, root, column, data, work, sinks):
    """The same of a sequence alone, in one column."""
    n_columns = sinks.tile.shape[1]
    n_targets = data.targets.shape[1]
    n_read = sinks.shift.size - n_targets
    place = N * n_columns + column
    for j in range(n_read):
        u = at(work.inputs, j) - at(sinks.shift, j)
        put(sinks.tile, place, u * root if root > 0.0 else 0.0)
        place += n_columns
    put(sinks.tile, place, root)
    for o in range(n_targets):
        place += n_columns
        if root > 0.0:
            put(
                sinks.tile,
                place,
                (at(data.targets, row * n_targets + o) - at(sinks.shift, n_read + o)) * root,
            )
        else:
            put(sinks.tile, place, 0.0)


@njit(nogil=True, error_model="numpy")
def _is_any(numbers, s, B):
    """Whether row ``s`` of ``numbers`` (S, B) has one that is not negative."""
    highest = at(numbers, s * B)
    for b in range(1, B):
        highest = max(highest, at(numbers, s * B + b))
    return highest >= 0


@njit(nogil=True, error_model="numpy")
def _leave(s, new, B, N, O, plan, work, sinks):
    """Hand the outputs, states and records of this step to whoever wants them."""
    if sinks.outputs.size == 0 and sinks.states.size == 0 and not _is_any(plan.record, s, B):
        return
    for b in range(B):
        row, record = at(plan.row, s * B + b), at(plan.record, s * B + b)
        if row >= 0 and at(plan.kept, s * B + b):
            if sinks.outputs.size > 0:
                for o in range(O):
                    put(sinks.outputs, row * O + o, at(work.output, o * B + b))
            if sinks.states.size > 0:
                for i in range(N):
                    put(sinks.states, row * N + i, at(work.state, new + i * B + b))
        if record >= 0:
            for i in range(N):
                put(sinks.records, record * (N + O) + i, at(work.state, new + i * B + b))
            for o in range(O):
                put(sinks.records, record * (N + O) + N + o, at(work.output, o * B + b))


@njit(cache=True, nogil=True, error_model="numpy")
def drive_sequence(
    N, graph, units, scales, activation, tanh, data, first_row, n_steps, column, readout, noise, work, sinks
):  # fmt: skip
    """``n_steps`` steps of one sequence of N units from row ``first_row`` of ``data`` on.

    ``tanh``: entry of :data:`reservoir.activations.TANH`. ``scales`` (4,), ``noise`` (n_steps, N_padded) or of size 0.
    ``column`` >= 0: the tile takes the steps from that column on. ``work.state`` (2, N_padded + 2 pack_size): behind
    the N units come zeros or, with shifts, the first 2 pack_size units again.
    """
    packs = ONE_PACK
    state = work.state
    P = pack_size(state)
    stride = state.shape[1]
    I, padded = units.input_weights.shape
    O = readout.offset.size
    n_read = readout.input_coef.shape[1]
    n_shifts = graph.shifts.size
    radius, scale = spread(scales, TWO_PACKS, 0), spread(scales, TWO_PACKS, 1)
    scale_bias, scale_leak = spread(scales, TWO_PACKS, 2), spread(scales, TWO_PACKS, 3)
    for s in range(n_steps):
        row = first_row + s
        old, new = (s % 2) * stride, (1 - s % 2) * stride
        for j in range(I):
            put(work.inputs, j, at(data.rows, row * I + j))
        if readout.fed >= 0:
            for o in range(O):
                put(work.inputs, readout.fed + o, at(work.output, o))
        for o in range(O):
            store(work.partial, o * P, full(state, packs, 0.0))
        # The activation of two packs is taken beside the sums of the next two: its chain of dependent instructions
        # is long, and theirs wait for memory. The first output's sum stays in a register.
        ahead = full(state, TWO_PACKS, 0.0)
        of_first = full(state, packs, 0.0)
        for i in range(0, N + 2 * P, 2 * P):
            z, done = ahead, i - 2 * P
            if i < N:
                if n_shifts > 0:
                    recurrent = full(state, TWO_PACKS, 0.0)
                    for k in range(n_shifts):
                        source = at(graph.shifts, k) + i
                        window = load(state, TWO_PACKS, old + (source if source < N else source - N))
                        recurrent = fma(load(graph.weights, TWO_PACKS, i * n_shifts + k * 2 * P), window, recurrent)
                else:
                    # Two slices side by side: their gathers overlap. Where one is longer, the rest of it follows.
                    k0, k1 = at(graph.pointers, i // P), at(graph.pointers, i // P + 1)
                    k2 = at(graph.pointers, i // P + 2)
                    shared = min(k1 - k0, k2 - k1)
                    one, two = full(state, packs, 0.0), full(state, packs, 0.0)
                    for k in range(0, shared, P):
                        sources = gather(state, packs, old, graph.indices, k0 + k)
                        one = fma(load(graph.weights, packs, k0 + k), sources, one)
                        sources = gather(state, packs, old, graph.indices, k1 + k)
                        two = fma(load(graph.weights, packs, k1 + k), sources, two)
                    for k in range(k0 + shared, k1, P):
                        one = fma(load(graph.weights, packs, k), gather(state, packs, old, graph.indices, k), one)
                    for k in range(k1 + shared, k2, P):
                        two = fma(load(graph.weights, packs, k), gather(state, packs, old, graph.indices, k), two)
                    store(work.block, 0, one)
                    store(work.block, P, two)
                    recurrent = load(work.block, TWO_PACKS, 0)
                driven = full(state, TWO_PACKS, 0.0)
                for j in range(I):
                    weight = load(units.input_weights, TWO_PACKS, j * padded + i)
                    driven = fma(weight, spread(work.inputs, TWO_PACKS, j), driven)
                ahead = fma(radius, recurrent, fma(scale, driven, scale_bias * load(units.bias, TWO_PACKS, i)))
                if noise.size > 0:
                    ahead = ahead + load(noise, TWO_PACKS, s * padded + i)
            if done >= 0:
                x = activate_with(activation, tanh, z)
                if units.is_leaky:
                    a = scale_leak * load(units.leak, TWO_PACKS, done)
                    x = fma(a, x, (like(a, 1.0) - a) * load(state, TWO_PACKS, old + done))
                store(state, new + done, x)
                has_second = done + P < N
                if O > 0:
                    of_first = fma(load(readout.coef, packs, done), load(state, packs, new + done), of_first)
                    if has_second:
                        next_x = load(state, packs, new + done + P)
                        of_first = fma(load(readout.coef, packs, done + P), next_x, of_first)
                for o in range(1, O):
                    coef = o * padded + done
                    part = load(work.partial, packs, o * P)
                    part = fma(load(readout.coef, packs, coef), load(state, packs, new + done), part)
                    if has_second:
                        part = fma(load(readout.coef, packs, coef + P), load(state, packs, new + done + P), part)
                    store(work.partial, o * P, part)
        if O > 0:
            store(work.partial, 0, of_first)
        if n_shifts > 0:
            for j in range(0, 2 * P, P):
                store(state, new + N + j, load(state, packs, new + j))
        for o in range(O):
            y = at(readout.offset, o)
            for j in range(n_read):
                y = fma(at(readout.input_coef, o * n_read + j), at(work.inputs, j), y)
            put(work.output, o, y + total(load(work.partial, packs, o * P)))
            if sinks.outputs.size > 0:
                put(sinks.outputs, row * O + o, at(work.output, o))
        if sinks.states.size > 0:
            for i in range(N):
                put(sinks.states, row * N + i, at(state, new + i))
        if column >= 0:
            root = 1.0
            if data.roots.size > 0:
                root = root * at(data.roots, row)
            _append(N, row, root, column + s, data, work, sinks)
            for i in range(N):
                if root > 0.0:
                    put(work.recent, s % P * padded + i, at(state, new + i) * root)
                else:
                    put(work.recent, s % P * padded + i, 0.0)
            if s % P == P - 1 or s == n_steps - 1:
                _transpose(N, padded, s % P + 1, column + s - s % P, work.recent, sinks.tile)
    if n_steps % 2:
        for i in range(stride):
            put(state, i, at(state, stride + i))


@njit(nogil=True, error_model="numpy")
def _transpose(N, padded, count, column, recent, tile):
    """Columns ``column`` .. ``column + count - 1`` of the tile from the rows of ``recent``."""
    n_columns = tile.shape[1]
    for i in range(N):
        place = i * n_columns + column
        for q in range(count):
            put(tile, place + q, at(recent, q * padded + i))
