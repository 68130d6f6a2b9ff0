r"""The two kernels that drive a reservoir: many lanes at once, and one sequence alone.

Both compute, for every unit i and step t, with the parameters of the lane in brackets, which one sequence has not,

    rec  = sum_k W[i, j_k] x_j_k(t-1)                       in the order in which row i stores its entries
    in   = sum_j W_in[i, j] u_j(t)                          in the order of the input columns
    z    = [radius] rec + ([input] in + [bias] b_i) + noise_i(t)
    a    = [leak] a_i
    x(t) = (1 - a) x(t-1) + a f(z)
    y(t) = (offset + sum_j C_in[j] u_j(t)) + sum_i C[i] x_i(t)      the last sum in ``pack_size`` interleaved parts

with one fused multiply-add a term of a sum, in the same order. Hence a lane of the first kernel whose parameters are 1
and the second kernel return the same bits, and a batch equals a loop over its members exactly.

**Lanes.** Every lane is an independent run over one sparse graph: a sequence, a stretch of a long series, or a
configuration of its own. Arrays keep the lane innermost, so one weight meets a vector of lanes in a register and
nothing is gathered. **One sequence.** Units are the vector: rows of W are packed in slices of ``pack_size`` rows
(sliced ELLPACK) and states gathered, or, where W is a sum of cyclic diagonals, read as windows of the state, whose
beginning is stored once more behind its end.

The kernels allocate nothing, check nothing and release the GIL. ``lane_runs`` and ``sequence_runs`` call them, and
``drive_arguments`` describes what they read and write.
"""

from __future__ import annotations

from reservoir.jit import njit
from reservoir.simd.activations import activate_with
from reservoir.simd.vectors import (
    ONE_PACK,
    TWO_PACKS,
    at,
    fma,
    full,
    gather,
    lesser,
    like,
    load,
    pack_size,
    put,
    side_by_side,
    spread,
    store,
    times_or_zero,
    total,
)

# Units after which the outputs' sums are taken up, while the caches hold their states: a multiple of every pack size.
# Up to 1000 it makes less difference, at 1000 units, than one run from the next (8 %).
BLOCK = 128


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def drive_lanes(packs, graph, units, scales, activation, tanh, data, plan, readout, noise, work, sinks):
    """S = len(plan.row) steps of B = len(packs) * pack_size lanes.

    ``scales`` (4, B): radius, input, bias and leak factor of each lane; None: all are 1. ``tanh``: entry of
    :data:`reservoir.simd.activations.TANH`. ``noise`` (S, N, B), or of size 0.
    ``work.state`` is read and written, ``work.output`` likewise; nothing else is read before it is written.
    """
    state = work.state
    P = pack_size(state)
    B = len(packs) * P
    N = state.shape[1]
    I, padded = units.input_weights.shape
    if len(work.lone_input) > 0:
        I = len(work.lone_input)  # known to the compiler
    O = readout.offset.size
    n_columns = sinks.tile.shape[1]
    for s in range(plan.row.shape[0]):
        old, new = (s % 2) * N * B, (1 - s % 2) * N * B
        column = at(plan.column, s)
        _enter(s, old, B, N, I, O, data, plan, readout, work)
        counts_whole = column >= 0 and _weigh(s, B, data, plan, work)
        for q in range(O * P):
            for b in range(0, B, len(packs) * P):
                store(work.partial, q * B + b, full(state, packs, 0.0))
        lone_input = full(state, packs, 0.0)
        if len(work.lone_input) > 0:
            lone_input = load(work.inputs, packs, 0)
        for first in range(0, N, BLOCK):
            last = min(first + BLOCK, N)
            # The activation of a unit is taken beside the sums of the next one: its instructions wait for each other,
            # and theirs wait for memory.
            ahead = full(state, packs, 0.0)
            for i in range(first, last + 1):
                z, done = ahead, i - 1
                if i < last:
                    recurrent = full(state, packs, 0.0)
                    if len(graph.unrolled) > 0:
                        k = i * len(graph.unrolled)
                        for _ in range(len(graph.unrolled)):
                            recurrent = _add_entry(k, old, B, packs, graph, state, recurrent)
                            k += 1
                    else:
                        for k in range(at(graph.pointers, i), at(graph.pointers, i + 1)):
                            recurrent = _add_entry(k, old, B, packs, graph, state, recurrent)
                    driven = full(state, packs, 0.0)
                    if len(work.lone_input) > 0:
                        driven = fma(spread(units.input_weights, packs, i), lone_input, driven)
                    else:
                        for j in range(I):
                            weight = spread(units.input_weights, packs, j * padded + i)
                            driven = fma(weight, load(work.inputs, packs, j * B), driven)
                    bias = spread(units.bias, packs, i)
                    if scales is not None:
                        driven = fma(load(scales, packs, B), driven, load(scales, packs, 2 * B) * bias)
                        ahead = fma(load(scales, packs, 0), recurrent, driven)
                    else:
                        ahead = recurrent + (driven + bias)
                    if noise.size > 0:
                        ahead = ahead + load(noise, packs, (s * N + i) * B)
                if done >= first:
                    x = activate_with(activation, tanh, z)
                    if units.is_leaky:
                        a = spread(units.leak, packs, done)
                        if scales is not None:
                            a = load(scales, packs, 3 * B) * a
                        x = fma(a, x, (like(a, 1.0) - a) * load(state, packs, old + done * B))
                    store(state, new + done * B, x)
                    if column >= 0:
                        if counts_whole:
                            store(sinks.tile, done * n_columns + column, x)
                        else:
                            store(sinks.tile, done * n_columns + column, times_or_zero(x, load(work.root, packs, 0)))
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
def _add_entry(k, old, B, packs, graph, state, recurrent):
    """``recurrent`` and what entry ``k`` of W adds to it."""
    source = old + at(graph.indices, k) * B
    return fma(spread(graph.weights, packs, k), load(state, packs, source), recurrent)


@njit(nogil=True, error_model="numpy")
def _enter(s, old, B, N, I, O, data, plan, readout, work):
    """Reset the lanes that start here and lay out the inputs of all lanes."""
    if _is_any(plan.start, s, B):
        for b in range(B):
            start = at(plan.start, s * B + b)
            if start >= 0:
                for i in range(N):
                    put(work.state, old + i * B + b, at(data.initial, start * (N + O) + i))
                for o in range(O):
                    put(work.output, o * B + b, at(data.initial, start * (N + O) + N + o))
    for b in range(B):
        row = at(plan.row, s * B + b)
        for j in range(I):
            u = at(data.rows, row * I + j) if row >= 0 else at(data.initial, 0)
            put(work.inputs, j * B + b, u)
    if readout.fed >= 0:
        for b in range(O * B):
            put(work.inputs, readout.fed * B + b, at(work.output, b))


@njit(nogil=True, error_model="numpy")
def _weigh(s, B, data, plan, work):
    """Lay out the roots of the weights of all lanes; whether all are 1."""
    counts_whole = True
    for b in range(B):
        row = at(plan.row, s * B + b)
        root = at(plan.kept, s * B + b) * 1.0
        if data.roots.size > 0 and row >= 0:
            root = root * at(data.roots, row)
        put(work.root, b, root)
        put(work.doubles, B + b, root)
        counts_whole = counts_whole and root == 1.0  # exactly: the root of no weights, or of a weight of 1
    return counts_whole


@njit(nogil=True, error_model="numpy")
def _append_lanes(s, N, B, column, data, plan, work, sinks):
    """Rows of the tile below the states, in the columns of all lanes: inputs, constant, targets."""
    n_columns = sinks.tile.shape[1]
    n_targets = data.targets.shape[1]
    n_read = sinks.shift.size - n_targets
    place = N * n_columns + column
    for j in range(n_read):
        for b in range(B):
            put(work.doubles, b, at(work.inputs, j * B + b))
        _append_row(place, j, B, work, sinks)
        place += n_columns
    for b in range(B):
        put(sinks.tile, place + b, at(work.root, b))
    for o in range(n_targets):
        place += n_columns
        for b in range(B):
            row = at(plan.row, s * B + b)
            put(work.doubles, b, at(data.targets, row * n_targets + o) if row >= 0 else 0.0)
        _append_row(place, n_read + o, B, work, sinks)


@njit(nogil=True, error_model="numpy")
def _append_row(place, number, B, work, sinks):
    """What stands in ``work.doubles``, shifted and weighted, to the B elements of the tile from ``place`` on."""
    shift = spread(sinks.shift, ONE_PACK, number)
    for b in range(0, B, pack_size(work.doubles)):
        v = load(work.doubles, ONE_PACK, b) - shift
        store(sinks.tile, place + b, times_or_zero(v, load(work.doubles, ONE_PACK, B + b)))


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
    if sinks.outputs.size > 0 or sinks.states.size > 0:
        for b in range(B):
            row = at(plan.row, s * B + b)
            if row >= 0 and at(plan.kept, s * B + b):
                if sinks.outputs.size > 0:
                    for o in range(O):
                        put(sinks.outputs, row * O + o, at(work.output, o * B + b))
                if sinks.states.size > 0:
                    for i in range(N):
                        put(sinks.states, row * N + i, at(work.state, new + i * B + b))
    if not _is_any(plan.record, s, B):
        return
    for b in range(B):
        record = at(plan.record, s * B + b)
        if record >= 0:
            for i in range(N):
                put(sinks.records, record * (N + O) + i, at(work.state, new + i * B + b))
            for o in range(O):
                put(sinks.records, record * (N + O) + N + o, at(work.output, o * B + b))


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def drive_sequence(N, graph, units, activation, tanh, data, first_row, n_steps, column, readout, noise, work, sinks):
    """``n_steps`` steps of one sequence of N units from row ``first_row`` of ``data`` on.

    ``tanh``: entry of :data:`reservoir.simd.activations.TANH`. ``noise`` (n_steps, N_padded), or of size 0.
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
                    if len(graph.unrolled) > 0:
                        for k in range(len(graph.unrolled)):
                            recurrent = _add_window(k, i, old, N, graph, state, recurrent)
                    else:
                        for k in range(n_shifts):
                            recurrent = _add_window(k, i, old, N, graph, state, recurrent)
                else:
                    # Two slices side by side: their gathers overlap. Where one is longer, the rest of it follows.
                    one, two = full(state, packs, 0.0), full(state, packs, 0.0)
                    if len(graph.unrolled) > 0:
                        k0, k1 = i * len(graph.unrolled), (i + P) * len(graph.unrolled)
                        for _ in range(len(graph.unrolled)):
                            one = _add_entries(k0, old, packs, graph, state, one)
                            two = _add_entries(k1, old, packs, graph, state, two)
                            k0 += P
                            k1 += P
                    else:
                        k0, k1 = at(graph.pointers, i // P), at(graph.pointers, i // P + 1)
                        k2 = at(graph.pointers, i // P + 2)
                        shared = lesser(k1 - k0, k2 - k1)
                        for k in range(0, shared, P):
                            one = _add_entries(k0 + k, old, packs, graph, state, one)
                            two = _add_entries(k1 + k, old, packs, graph, state, two)
                        for k in range(k0 + shared, k1, P):
                            one = _add_entries(k, old, packs, graph, state, one)
                        for k in range(k1 + shared, k2, P):
                            two = _add_entries(k, old, packs, graph, state, two)
                    recurrent = side_by_side(one, two)
                driven = full(state, TWO_PACKS, 0.0)
                for j in range(I):
                    weight = load(units.input_weights, TWO_PACKS, j * padded + i)
                    driven = fma(weight, spread(work.inputs, TWO_PACKS, j), driven)
                ahead = recurrent + (driven + load(units.bias, TWO_PACKS, i))
                if noise.size > 0:
                    ahead = ahead + load(noise, TWO_PACKS, s * padded + i)
            if done >= 0:
                x = activate_with(activation, tanh, z)
                if units.is_leaky:
                    a = load(units.leak, TWO_PACKS, done)
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
def _add_window(k, i, old, N, graph, state, recurrent):
    """``recurrent`` of the two packs of units from ``i`` on and what cyclic diagonal ``k`` adds to it."""
    source = at(graph.shifts, k) + i
    window = load(state, TWO_PACKS, old + (source if source < N else source - N))
    weights = load(graph.weights, TWO_PACKS, i * graph.shifts.size + k * 2 * pack_size(state))
    return fma(weights, window, recurrent)


@njit(nogil=True, error_model="numpy")
def _add_entries(k, old, packs, graph, state, recurrent):
    """``recurrent`` of a slice and what its entries from ``k`` on, one a row, add to it."""
    return fma(load(graph.weights, packs, k), gather(state, packs, old, graph.indices, k), recurrent)


@njit(nogil=True, error_model="numpy")
def _transpose(N, padded, count, column, recent, tile):
    """Columns ``column`` .. ``column + count - 1`` of the tile from the rows of ``recent``."""
    n_columns = tile.shape[1]
    for i in range(N):
        place = i * n_columns + column
        for q in range(count):
            put(tile, place + q, at(recent, q * padded + i))


@njit(nogil=True, error_model="numpy")
def _append(N, row, root, column, data, work, sinks):
    """The tile's rows below the states, in the column of this step: inputs, constant, targets."""
    n_columns = sinks.tile.shape[1]
    n_targets = data.targets.shape[1]
    n_read = sinks.shift.size - n_targets
    place = N * n_columns + column
    for j in range(n_read):
        u = at(work.inputs, j) - at(sinks.shift, j)
        put(sinks.tile, place + j * n_columns, u * root if root > 0.0 else 0.0)
    place += n_read * n_columns
    put(sinks.tile, place, root)
    for o in range(n_targets):
        y = at(data.targets, row * n_targets + o) - at(sinks.shift, n_read + o)
        put(sinks.tile, place + (1 + o) * n_columns, y * root if root > 0.0 else 0.0)
