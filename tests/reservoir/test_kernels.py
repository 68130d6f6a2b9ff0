"""The two kernels against the equations, and against each other to the last bit."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from naive import drive as naive
from reservoir.drive.arguments import UNROLLED, Plan
from reservoir.drive.kernels import drive_lanes
from reservoir.drive.lanes import Group, InLanes
from reservoir.drive.one_sequence import OneByOne, Runner
from reservoir.drive.plan import Lanes, cut
from reservoir.drive.task import Task, data_of, no_sinks, noise_of, readout_of
from reservoir.drive.weights import Reservoir
from reservoir.graph.matrix import Shifts
from reservoir.simd.activations import TANH
from reservoir.simd.vectors import ONE_PACK, PACK_BYTES, TWO_PACKS, aligned

# A step adds up at most some tens of products of numbers near 1, and a contracting reservoir forgets its errors;
# the readout adds N products. 1e-12 and 2e-5 are some 5000 and 170 units of rounding.
NEAR = {np.float64: {"rtol": 1e-12, "atol": 1e-12}, np.float32: {"rtol": 2e-5, "atol": 2e-5}}
DTYPES = [np.float64, np.float32]


@dataclass(frozen=True)
class Case:
    """A reservoir and the data that it is driven with."""

    n_units: int = 7
    n_inputs: int = 1
    n_outputs: int = 0
    activation: str = "tanh"
    kind: str = "sparse"
    dtype: type = np.float64
    packs: tuple = ONE_PACK
    lengths: tuple = (1, 9, 4)
    reads_inputs: bool = True
    is_fed: bool = False
    noise: float = 0.0
    has_initial: bool = False
    is_leaky: bool = True


def lanes_of(packs, dtype):
    return len(packs) * PACK_BYTES // np.dtype(dtype).itemsize


def matrix(kind, n_units, dtype, rng):
    """Contracting: rows of absolute sum 0.8 at most. Some rows of a sparse one are empty, none of an unrolled one."""
    if kind == "unrolled":
        columns = np.concatenate([rng.choice(n_units, UNROLLED, replace=False) for _ in range(n_units)])
        weights = rng.uniform(-0.8, 0.8, n_units * UNROLLED).astype(dtype) / UNROLLED
        return sp.csr_array((weights, columns, UNROLLED * np.arange(n_units + 1)), shape=(n_units, n_units))
    if kind in ("shifts", "unrolled shifts"):
        n_shifts = min(UNROLLED if kind == "unrolled shifts" else 3, n_units)
        shifts = rng.choice(n_units, n_shifts, replace=False).astype(np.int64)
        return Shifts(shifts, (rng.uniform(-0.8, 0.8, (n_shifts, n_units)) / n_shifts).astype(dtype))
    W = sp.random_array((n_units, n_units), density=min(1.0, 4 / n_units), rng=rng, format="lil", dtype=np.float64)
    W[::3] = 0
    W = sp.csr_array(W)
    W.eliminate_zeros()
    W.data[:] = rng.uniform(-0.8, 0.8, W.nnz) / np.maximum(np.diff(W.indptr).max(initial=1), 1)
    return sp.csr_array(W.astype(dtype))


def dense(W):
    return (W.to_csr() if isinstance(W, Shifts) else W).toarray().astype(float)


def build(case, seed=0):
    """(reservoir, task, coef, intercept) of a case; all weights differ by unit."""
    rng = np.random.default_rng(seed)
    N, I, O = case.n_units, case.n_inputs, case.n_outputs
    n_feedback = O if case.is_fed else 0
    reservoir = Reservoir(
        W=matrix(case.kind, N, case.dtype, rng),
        input_weights=rng.uniform(-1, 1, (N, I)).astype(case.dtype),
        feedback_weights=rng.uniform(-0.3, 0.3, (N, n_feedback)).astype(case.dtype),
        bias=rng.uniform(-0.5, 0.5, N).astype(case.dtype),
        leak=(rng.uniform(0.2, 1.0, N) if case.is_leaky else np.ones(N)).astype(case.dtype),
        activation=case.activation,
    )
    offsets = np.concatenate([[0], np.cumsum(case.lengths)]).astype(np.int64)
    n = offsets[-1]
    task = Task(
        rows=rng.standard_normal((n, I + n_feedback)).astype(case.dtype),
        offsets=offsets,
        initial=rng.uniform(-1, 1, (len(case.lengths), N + O)) if case.has_initial else None,
        n_read=I if case.reads_inputs else 0,
        noise=case.noise,
        noise_seed=3,
    )
    coef = rng.uniform(-0.5, 0.5, (O, N + task.n_read)) / np.sqrt(N) if O > 0 else None
    return reservoir, task, coef, rng.uniform(-0.5, 0.5, O)


def wanted(reservoir, task, coef, intercept, fed):
    """States (n, N) and outputs (n, O) from the equations."""
    N, I = reservoir.n_units, reservoir.n_inputs
    O = 0 if coef is None else len(coef)
    all_states, all_outputs = [np.zeros((0, N))], [np.zeros((0, O))]
    for number, (begin, end) in enumerate(pairwise(task.offsets)):
        rows = task.rows[begin:end].astype(float)
        start = np.zeros(N + O) if task.initial is None else task.initial[number]
        wide = None if coef is None else np.concatenate([coef, np.zeros((O, I - task.n_read))], axis=1)
        has_feedback = reservoir.n_feedback > 0
        states, outputs = naive.echo_states(
            dense(reservoir.W), reservoir.input_weights, reservoir.bias, reservoir.leak, rows[:, :I],
            activation=reservoir.activation,
            start=start[:N],
            noise=noise_of(task, np.arange(begin, end), N) if task.noise > 0 else None,
            feedback_weights=reservoir.feedback_weights if has_feedback else None,
            teacher=rows[:, I:] if has_feedback and fed < 0 else None,
            coef=wide,
            offset=intercept,
            last_output=start[N:],
        )  # fmt: skip
        all_states.append(states)
        all_outputs.append(outputs)
    return np.concatenate(all_states), np.concatenate(all_outputs)


def all_sinks(reservoir, task, n_outputs):
    n, dtype = len(task.rows), reservoir.dtype
    outputs, states = np.full((n, n_outputs), np.nan, dtype), np.full((n, reservoir.n_units), np.nan, dtype)
    return no_sinks(reservoir, n_outputs)._replace(outputs=outputs, states=states)


def in_lanes(reservoir, task, coef, intercept, fed=-1, packs=ONE_PACK):
    """States, outputs and final states by the kernel of many lanes, no sequence cut."""
    readout = readout_of(reservoir, coef, intercept, fed)
    sinks = all_sinks(reservoir, task, len(readout.offset))
    final = np.zeros((len(task.lengths), reservoir.n_units + len(readout.offset)), reservoir.dtype)
    stretches = cut(task.offsets, int(task.lengths.max()) + 1, 1, np.array([0, len(task.rows)]))
    lanes = Lanes(packs, lanes_of(packs, reservoir.dtype), 1)
    InLanes(reservoir, task, lanes, stretches).fill(readout, sinks, final)
    return sinks.states, sinks.outputs, final


def one_by_one(reservoir, task, coef, intercept, fed=-1):
    """The same by the kernel of one sequence."""
    readout = readout_of(reservoir, coef, intercept, fed)
    sinks = all_sinks(reservoir, task, len(readout.offset))
    final = np.zeros((len(task.lengths), reservoir.n_units + len(readout.offset)), reservoir.dtype)
    OneByOne(reservoir, task, np.array([0, len(task.rows)])).fill(readout, sinks, final)
    return sinks.states, sinks.outputs, final


def check(case):
    """Both kernels against the equations, and against each other to the last bit."""
    reservoir, task, coef, intercept = build(case)
    fed = case.n_inputs if case.is_fed else -1
    ways = [-1, fed] if case.is_fed else [-1]  # teacher-forced, then closed
    for way in ways:
        in_one = one_by_one(reservoir, task, coef, intercept, way)
        in_many = in_lanes(reservoir, task, coef, intercept, way, case.packs)
        states, outputs = wanted(reservoir, task, coef, intercept, way)
        assert_allclose(in_one[0], states, **NEAR[case.dtype])
        assert_allclose(in_one[1], outputs, **NEAR[case.dtype])
        for one, many in zip(in_one, in_many, strict=True):
            assert_array_equal(one, many)
        ends = task.offsets[1:] - 1
        assert_array_equal(in_one[2], np.concatenate([in_one[0][ends], in_one[1][ends]], axis=1))


QUICK = {
    "one unit": Case(n_units=1),
    "one unit, shifts": Case(n_units=1, kind="shifts"),
    "7 units": Case(n_units=7, n_outputs=1),
    "7 units, shifts": Case(n_units=7, n_outputs=1, kind="shifts"),
    "8 units": Case(n_units=8, n_outputs=2, kind="shifts"),
    "33 units": Case(n_units=33, n_inputs=3, n_outputs=2),
    "33 units, shifts": Case(n_units=33, n_inputs=3, n_outputs=2, kind="shifts"),
    "many blocks": Case(n_units=300, n_outputs=2, lengths=(1, 6)),
    "unrolled": Case(n_units=33, n_outputs=1, kind="unrolled"),
    "unrolled, two inputs": Case(n_units=33, n_inputs=2, n_outputs=1, kind="unrolled", is_leaky=False),
    "unrolled, shifts": Case(n_units=33, n_outputs=1, kind="unrolled shifts"),
    "unrolled, feedback alone": Case(n_units=11, n_inputs=0, n_outputs=1, is_fed=True, kind="unrolled"),
    "many blocks, shifts": Case(n_units=300, n_outputs=2, lengths=(6, 2), kind="shifts"),
    "no input columns": Case(n_inputs=0, n_outputs=1),
    "blind readout": Case(n_inputs=2, n_outputs=1, reads_inputs=False),
    "feedback": Case(n_outputs=2, is_fed=True, n_inputs=2),
    "feedback alone": Case(n_units=33, n_inputs=0, n_outputs=1, is_fed=True, kind="shifts"),
    "feedback from a start": Case(n_outputs=2, is_fed=True, has_initial=True, n_units=9),
    "noise": Case(noise=0.1, n_outputs=1, n_units=33),
    "noise, shifts": Case(noise=0.1, n_units=9, kind="shifts"),
    "start": Case(has_initial=True),
    "no leak": Case(n_units=33, has_initial=True, n_outputs=1, is_leaky=False),
    "no leak, shifts": Case(n_units=33, has_initial=True, n_outputs=1, is_leaky=False, kind="shifts"),
    "no leak, float32": Case(n_units=33, has_initial=True, is_leaky=False, dtype=np.float32),
    "more sequences than lanes": Case(lengths=tuple(range(1, 20))),
    "float32": Case(dtype=np.float32, n_units=33, n_inputs=2, n_outputs=2, has_initial=True),
    "float32, shifts": Case(dtype=np.float32, n_units=33, n_outputs=1, kind="shifts", noise=0.1),
    "float32, closed": Case(dtype=np.float32, n_units=16, n_outputs=2, is_fed=True),
}
# A kernel is compiled for each type and width of vectors, and for each activation function. Tanh meets all of these,
# any other function each type and each width: it is called in one place, whatever they are.
EVERY_VECTOR = [(dtype, packs) for dtype in DTYPES for packs in (ONE_PACK, TWO_PACKS)]
VECTORS = {
    "tanh": EVERY_VECTOR,
    "relu": [(np.float64, ONE_PACK), (np.float32, TWO_PACKS)],
    "logistic": [(np.float64, TWO_PACKS), (np.float32, ONE_PACK)],
    "identity": [(np.float64, TWO_PACKS), (np.float32, ONE_PACK)],
}
SLOW = {
    f"{activation}, {kind}, {np.dtype(dtype).name}, {len(packs)}": Case(
        n_units=33, n_inputs=2, n_outputs=2, activation=activation, kind=kind, dtype=dtype, packs=packs,
        lengths=(3, 17, 2, 8), is_fed=True, noise=0.05, has_initial=True,
    )
    for activation in naive.ACTIVATIONS
    for kind in ("sparse", "shifts", *(["unrolled", "unrolled shifts"] if activation == "tanh" else []))
    for dtype, packs in VECTORS[activation]
}  # fmt: skip


@pytest.mark.parametrize("case", QUICK.values(), ids=QUICK)
def test_kernels_meet_the_naive_twin_and_each_other(case):
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW.values(), ids=SLOW)
def test_kernels_of_every_type_meet_the_naive_twin_and_each_other(case):
    check(case)


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("kind", ["sparse", "shifts"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_more_than_one_block_of_slices(kind, dtype):
    check(Case(n_units=32 * PACK_BYTES // np.dtype(dtype).itemsize + 5, n_outputs=2, kind=kind, dtype=dtype))


@pytest.mark.parametrize("kind", ["sparse", "shifts"])
def test_no_steps_change_nothing(kind):
    reservoir, task, coef, intercept = build(Case(n_outputs=1, has_initial=True, kind=kind))
    readout = readout_of(reservoir, coef, intercept, -1)
    runner = Runner(reservoir, task, readout)
    runner.start(1)
    runner.advance(1, 1, no_sinks(reservoir, 1))
    assert_array_equal(runner.final, task.initial[1])
    B = lanes_of(ONE_PACK, np.float64)
    nothing = np.full((0, B), -1, np.int32)
    plan = Plan(np.zeros((0, B), np.int64), nothing, nothing, np.zeros((0, B), bool), np.empty(0, np.int64))
    group = Group(reservoir, task, readout, data_of(reservoir, task, 1), plan)
    group.work.state[0] = 0.5
    sinks = no_sinks(reservoir, 1)._replace(tile=np.ones((20, 4 * B)))
    group.advance(0, 2, sinks, B, 2 * B)
    assert (group.work.state[0] == 0.5).all()
    assert_array_equal(sinks.tile, np.repeat([[1.0, 0.0, 0.0, 1.0]], B, axis=1) * np.ones((20, 1)))


@pytest.mark.parametrize("kind", ["sparse", "shifts"])
def test_cut_into_calls_nothing_changes(kind):
    reservoir, task, coef, intercept = build(Case(n_outputs=1, lengths=(23,), noise=0.1, kind=kind))
    readout = readout_of(reservoir, coef, intercept, -1)
    whole = one_by_one(reservoir, task, coef, intercept)
    sinks = all_sinks(reservoir, task, 1)
    runner = Runner(reservoir, task, readout)
    runner.start(0)
    for begin, end in pairwise([0, 1, 2, 5, 14, 23]):
        runner.advance(begin, end, sinks)
    assert_array_equal(sinks.states, whole[0])
    assert_array_equal(sinks.outputs, whole[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_other_lanes_weigh_and_scale_changes_no_bit_of_a_lane(dtype):
    reservoir, task = weighted(dtype)
    B, S = lanes_of(ONE_PACK, dtype), 10
    row = np.repeat(np.arange(S)[:, None], B, axis=1)
    start = np.full((S, B), -1, np.int32)
    start[0] = 0
    tiles = []
    for has_others in (False, True):
        kept = np.ones((S, B), bool)
        plan = Plan(row, start, np.full((S, B), -1, np.int32), kept, B * np.arange(S))
        task = replace(task, weights=None)
        group = Group(reservoir, task, readout_of(reservoir, None, None, -1), data_of(reservoir, task, 0), plan)
        if has_others:
            group.scales = aligned((4, B), dtype)
            group.scales[:] = np.where(np.arange(B) == 1, 0.5, 1.0)
            kept[:, 2] = False
        sinks = no_sinks(reservoir)._replace(tile=tile_of(reservoir, 7.0), shift=task.shift)
        drive(group, plan, sinks)
        tiles.append(sinks.tile)
    assert_array_equal(tiles[0][:, ::B], tiles[1][:, ::B])
    assert (tiles[0][:, 1::B] != tiles[1][:, 1::B]).any()
    assert not tiles[1][:, 2 : S * B : B].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_lane_has_its_own_scales(dtype):
    reservoir, task, coef, intercept = build(Case(n_outputs=1, lengths=(11,), dtype=dtype, n_units=9))
    readout = readout_of(reservoir, coef, intercept, -1)
    B, S = lanes_of(ONE_PACK, dtype), len(task.rows)
    row = np.repeat(np.arange(S)[:, None], B, axis=1)
    start, record = np.full((S, B), -1, np.int32), np.full((S, B), -1, np.int32)
    start[0], record[-1] = 0, np.arange(B)
    plan = Plan(row, start, record, np.ones((S, B), bool), np.empty(0, np.int64))
    group = Group(reservoir, task, readout, data_of(reservoir, task, 1), plan)
    group.scales = aligned((4, B), dtype)
    group.scales[:] = np.random.default_rng(0).uniform(0.1, 1.0, (4, B))
    sinks = no_sinks(reservoir, 1)._replace(records=np.zeros((B, reservoir.n_units + 1), dtype))
    group.advance(0, S, sinks, 0, 0)
    wide = np.concatenate([coef, np.zeros((1, reservoir.n_inputs - task.n_read))], axis=1)
    for lane in range(B):
        states, outputs = naive.echo_states(
            dense(reservoir.W), reservoir.input_weights, reservoir.bias, reservoir.leak, task.rows,
            coef=wide, offset=intercept, scales=group.scales[:, lane].astype(float),
        )  # fmt: skip
        assert_allclose(sinks.records[lane], [*states[-1], *outputs[-1]], **NEAR[dtype])
        assert_array_equal(group.work.state[0][:, lane], sinks.records[lane, :-1])


# ------------------------------------------------------------------------------------- plans and tiles

N_ROWS, N_TARGETS, N_COLUMNS = 40, 2, 256


def weighted(dtype=np.float64, n_units=5, activation="tanh"):
    """A reservoir, and a task with targets, a shift, and weights that are 0 on rows 3, 4 and 8."""
    case = Case(n_units=n_units, n_inputs=2, lengths=(N_ROWS,), dtype=dtype, activation=activation)
    reservoir, task, _, _ = build(case)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.2, 2.0, N_ROWS)
    weights[[3, 4, 8]] = 0
    targets = rng.standard_normal((N_ROWS, N_TARGETS)).astype(dtype)
    initial = rng.uniform(-1, 1, (1, n_units))
    shift = np.array([0.5, -1.0, 2.0, 0.25])
    task = Task(task.rows, task.offsets, initial, targets, weights, shift, n_read=2)
    return reservoir, task


def tile_of(reservoir, fill):
    return np.full((reservoir.n_units + 2 + 1 + N_TARGETS, N_COLUMNS), fill)


def column_of(state, task, row):
    return naive.tile_column(state, task.rows[row], task.targets[row], task.shift, task.weights[row])


@pytest.mark.parametrize("packs", [ONE_PACK, TWO_PACKS])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_do_as_the_plan_says(dtype, packs):
    reservoir, task = weighted(dtype)
    N, B, S = reservoir.n_units, lanes_of(packs, dtype), 9
    row, kept = np.full((S, B), -1, np.int64), np.zeros((S, B), bool)
    start, record = np.full((S, B), -1, np.int32), np.full((S, B), -1, np.int32)
    row[:, 0], kept[:, 0] = np.arange(S), True  # lane 0: rows 0 .. 8 from rest
    row[:4, 1], kept[2:4, 1] = np.arange(10, 14), True  # lane 1: two rows of warm-up, then two that count,
    row[5:, 1], kept[5:, 1] = np.arange(20, 24), True  # a step of idling, then another run from a given state
    start[0, :2], start[5, 1] = 0, 1
    record[1, 1], record[8, 0], record[8, 1] = 2, 0, 1
    column = np.array([0, B, -1, 2 * B, 3 * B, 4 * B, 5 * B, -1, 6 * B])
    plan = Plan(row, start, record, kept, column)
    sinks = no_sinks(reservoir)._replace(
        tile=tile_of(reservoir, 7.0),
        shift=task.shift,
        states=np.full((N_ROWS, N), -9.0, dtype),
        records=np.full((4, N), -9.0, dtype),
    )
    readout = readout_of(reservoir, None, None, -1)
    group = Group(reservoir, task, readout, data_of(reservoir, task, 0), plan)
    drive(group, plan, sinks)

    weights = dense(reservoir.W), reservoir.input_weights, reservoir.bias, reservoir.leak
    first, _ = naive.echo_states(*weights, task.rows[:9])
    second, _ = naive.echo_states(*weights, task.rows[10:14])
    third, _ = naive.echo_states(*weights, task.rows[20:24], start=task.initial[0])
    states = np.full((N_ROWS, N), -9.0)
    states[:9], states[12:14], states[20:24] = first, second[2:], third
    assert_allclose(sinks.states, states, **NEAR[dtype])
    assert_allclose(sinks.records, [first[-1], third[-1], second[1], np.full(N, -9.0)], **NEAR[dtype])
    tile = tile_of(reservoir, 7.0)
    for s in np.flatnonzero(column >= 0):
        for lane in range(B):
            counts = kept[s, lane]
            r = row[s, lane]
            tile[:, column[s] + lane] = column_of(states[r], task, r) if counts else 0.0
    assert_allclose(sinks.tile, tile, **NEAR[dtype])
    assert not sinks.tile[:, (tile == 0).all(axis=0)].any()


def drive(group, plan, sinks):
    """The kernel itself on a plan with columns."""
    r = group.reservoir
    noise = np.empty((0, 0, 0), r.dtype)
    drive_lanes(
        group.packs, r.lane_graph, r.units, group.scales, r.activation_code, TANH[r.dtype.name], group.data, plan,
        group.readout, noise, group.work, sinks,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_units", [5, 33])
def test_a_sequence_fills_its_tile_from_the_given_column_on(dtype, n_units):
    reservoir, task = weighted(dtype, n_units)
    runner = Runner(reservoir, task, readout_of(reservoir, None, None, -1))
    sinks = no_sinks(reservoir)._replace(tile=tile_of(reservoir, 7.0), shift=task.shift)
    runner.start(0)
    runner.advance(0, 21, sinks, 3)
    runner.advance(21, 22, sinks, 24)
    runner.advance(22, N_ROWS, sinks, 25)
    weights = dense(reservoir.W), reservoir.input_weights, reservoir.bias, reservoir.leak
    states, _ = naive.echo_states(*weights, task.rows, start=task.initial[0])
    tile = tile_of(reservoir, 7.0)
    for row in range(N_ROWS):
        tile[:, 3 + row] = column_of(states[row], task, row)
    assert_allclose(sinks.tile, tile, **NEAR[dtype])
    assert not sinks.tile[:, [6, 7, 11]].any()


def fill_one_by_one(reservoir, task, bad):
    """Tile columns of rows 0 .. 9 of a sequence that starts from ``bad`` states."""
    runner = Runner(reservoir, task, readout_of(reservoir, None, None, -1))
    sinks = no_sinks(reservoir)._replace(tile=tile_of(reservoir, 7.0), shift=task.shift)
    runner.start(0)
    runner.work.state[0, : reservoir.n_units] = bad
    runner.advance(0, 10, sinks, 0)
    return sinks.tile[:, :10]


def fill_in_lanes(reservoir, task, bad):
    B = lanes_of(ONE_PACK, reservoir.dtype)
    row = np.repeat(np.arange(10)[:, None], B, axis=1)
    start = np.full((10, B), -1, np.int32)
    start[0] = 1
    plan = Plan(row, start, np.full((10, B), -1, np.int32), np.ones((10, B), bool), B * np.arange(10))
    data = data_of(reservoir, task, 0, np.vstack([np.zeros(reservoir.n_units), np.full(reservoir.n_units, bad)]))
    sinks = no_sinks(reservoir)._replace(tile=np.full((reservoir.n_units + 5, 10 * B), 7.0), shift=task.shift)
    group = Group(reservoir, task, readout_of(reservoir, None, None, -1), data, plan)
    drive(group, plan, sinks)
    return sinks.tile[:, ::B]


@pytest.mark.parametrize("fill", [fill_one_by_one, fill_in_lanes])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_zero_makes_zeros_of_whatever_state_inputs_and_targets_are(fill, bad, dtype):
    reservoir, task = weighted(dtype)
    weights = np.zeros(N_ROWS)
    weights[9] = 1.0
    rows, targets = task.rows.copy(), task.targets.copy()
    rows[5:9], targets[:9] = bad, bad
    task = Task(rows, task.offsets, None, targets, weights, task.shift, n_read=2)
    with np.errstate(invalid="ignore"):
        tile = fill(reservoir, task, bad)
    assert_array_equal(tile[:, :9], 0.0)
    assert np.isnan(tile[: reservoir.n_units, 9]).any()
    assert np.isfinite(tile[reservoir.n_units :, 9]).all()


@pytest.mark.parametrize("kind", ["sparse", "shifts"])
def test_a_lane_that_diverges_leaves_the_others_alone(kind):
    reservoir, task, coef, intercept = build(Case(n_outputs=1, lengths=(12,) * 8, kind=kind))
    alone = in_lanes(reservoir, task, coef, intercept)
    spoilt = task.rows.copy()
    spoilt[:12] = np.nan
    with np.errstate(invalid="ignore"):
        beside = in_lanes(reservoir, Task(spoilt, task.offsets, n_read=task.n_read), coef, intercept)
    assert np.isnan(beside[0][:12]).any()
    assert_array_equal(beside[0][12:], alone[0][12:])
    assert_array_equal(beside[1][12:], alone[1][12:])
