"""Driving in time cuts, in lanes and one by one: the same numbers, whatever the way and however many threads."""

import threading
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from naive import drive as naive
from reservoir import lane_runs, runs
from reservoir import task as tasks
from reservoir.lane_runs import SEAM_TOLERANCE, agree, forgetting_time
from reservoir.runs import drive, each_pass
from reservoir.task import NOISE_BLOCK, Task, noise_of, tile_sinks
from reservoir.weights import Reservoir, build_reservoir

# What is left at a seam shrinks from there on; rounding adds some 1e-15 a step, which is forgotten too.
SEAM = {np.float64: {"rtol": 0, "atol": 1e-12}, np.float32: {"rtol": 0, "atol": 2e-6}}
# Sums of 3200 products of numbers near 1, in another order, of states known to 1e-12.
GRAM = {"rtol": 1e-10, "atol": 1e-9}
LONG = 3_200  # just enough to be cut
N_UNITS = 12


def forgetful(**changed):
    """A reservoir of 12 units that forgets within some 50 steps."""
    settings = {"n_units": N_UNITS, "n_inputs": 2, "spectral_radius": 0.5, "in_degree": 4, "bias_scaling": 0.3}
    return build_reservoir(**{**settings, **changed}, rng=np.random.default_rng(0))


def task_for(reservoir, lengths=(LONG,), *, n_targets=0, seed=0, **fields):
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    rows = rng.standard_normal((n, reservoir.n_inputs + reservoir.n_feedback)).astype(reservoir.dtype)
    targets = rng.standard_normal((n, n_targets)).astype(reservoir.dtype) if n_targets else None
    shift = rng.standard_normal(reservoir.n_inputs + n_targets)
    fields = {"n_read": reservoir.n_inputs, "targets": targets, "shift": shift, **fields}
    return Task(rows, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), **fields)


def readout_for(reservoir, n_read, n_outputs=2):
    rng = np.random.default_rng(5)
    coef = rng.uniform(-1, 1, (n_outputs, reservoir.n_units + n_read)) / reservoir.n_units
    return {"coef": coef, "intercept": rng.uniform(-1, 1, n_outputs)}


def changed(task, **fields):
    return Task(**{**vars(task), **fields})


class Ways:
    """Counts by which way each drive goes."""

    def __init__(self, monkeypatch):
        self.taken = []
        for name in ("run_lanes", "LaneTiles", "run_sequences", "sequence_tiles"):
            monkeypatch.setattr(runs, name, self._watched(name, getattr(runs, name)))

    def _watched(self, name, function):
        def watched(*args):
            self.taken.append("in lanes" if "lane" in name.lower() else "one by one")
            return function(*args)

        return watched


@pytest.fixture
def ways(monkeypatch):
    return Ways(monkeypatch)


def one_by_one(monkeypatch, *args, **kwargs):
    """``drive`` by the kernel of one sequence alone."""
    with monkeypatch.context() as patch:
        patch.setattr(runs, "choose_lanes", lambda *_: None)
        return drive(*args, **kwargs)


def all_results(run):
    return [run.outputs, run.states, run.final]


def everything(reservoir, task, **readout):
    return {"wants_states": True, "wants_final": True, **(readout or readout_for(reservoir, task.n_read))}


def sums(reservoir, task, breaks=None, final=None):
    """Gram matrix of the tiles of each fold, and the number of columns that count."""
    grams, counts = {}, {}

    def consume(tiles):
        grams.clear()
        counts.clear()
        for fold, tile in tiles:
            grams[fold] = grams.get(fold, 0) + tile @ tile.T
            counts[fold] = counts.get(fold, 0) + np.count_nonzero(tile[reservoir.n_units + task.n_read])

    each_pass(reservoir, task, consume, breaks, final)
    return grams, counts


# -------------------------------------------------------------------------------------------- time cuts


@pytest.mark.parametrize("dtype", SEAM)
@pytest.mark.parametrize("topology", ["sparse", "shifts"])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_time_cuts_give_what_one_run_gives(monkeypatch, ways, topology, dtype, noise):
    reservoir = forgetful(topology=topology, dtype=dtype)
    task = task_for(reservoir, noise=noise, noise_seed=7)
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    cut = drive(reservoir, task, **everything(reservoir, task))
    assert ways.taken == ["one by one", "in lanes"]
    for one, many in zip(all_results(whole), all_results(cut), strict=True):
        assert_allclose(many, one, **SEAM[dtype])


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", SEAM)
def test_two_packs_of_lanes_give_what_one_run_gives(monkeypatch, ways, dtype):
    reservoir = forgetful(dtype=dtype)
    task = task_for(reservoir, (20_000, 3, 5_000))
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    cut = drive(reservoir, task, **everything(reservoir, task))
    assert ways.taken == ["one by one", "in lanes"]
    for one, many in zip(all_results(whole), all_results(cut), strict=True):
        assert_allclose(many, one, **SEAM[dtype])


@pytest.mark.parametrize("lengths", [(LONG,), (700, 1, 2100, 399), (50,) * 64])
def test_number_of_threads_changes_no_bit(lengths):
    reservoir = forgetful()
    results = []
    for n_threads in (1, 2, 3):
        task = task_for(reservoir, lengths, n_targets=1, n_threads=n_threads)
        run = drive(reservoir, task, **everything(reservoir, task))
        grams, _ = sums(reservoir, task)
        results.append([*all_results(run), grams[0]])
    for other in results[1:]:
        for expected, got in zip(results[0], other, strict=True):
            assert_array_equal(got, expected)


def test_eight_threads_on_one_reservoir_agree():
    reservoir = forgetful()
    task = task_for(reservoir, (400,) * 8, n_threads=2)
    expected = drive(reservoir, task, wants_states=True).states
    results = [None] * 8

    def work(number):
        results[number] = drive(reservoir, task, wants_states=True).states

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for states in results:
        assert_array_equal(states, expected)


def test_initial_states_are_where_the_cut_sequences_start(monkeypatch, ways):
    reservoir = forgetful()
    initial = np.random.default_rng(1).uniform(-1, 1, (3, N_UNITS))
    task = task_for(reservoir, (1500, 200, 1500), initial=initial)
    whole = one_by_one(monkeypatch, reservoir, task, wants_states=True)
    cut = drive(reservoir, task, wants_states=True)
    assert ways.taken == ["one by one", "in lanes"]
    assert_allclose(cut.states, whole.states, **SEAM[np.float64])
    first = task.offsets[:-1]
    assert_array_equal(cut.states[first], whole.states[first])
    at_rest = drive(reservoir, changed(task, initial=None), wants_states=True)
    assert np.abs(at_rest.states[first] - cut.states[first]).max() > 0.01


def test_final_states_and_outputs_are_those_of_the_last_rows(ways):
    reservoir = forgetful()
    for lengths in ((LONG,), (30, 1, 7, 12, 50, 2), (10, 20), (1500, 3, 1700)):
        task = task_for(reservoir, lengths)
        run = drive(reservoir, task, **everything(reservoir, task))
        ends = task.offsets[1:] - 1
        assert_array_equal(run.final, np.concatenate([run.states[ends], run.outputs[ends]], axis=1))
    assert ways.taken == ["in lanes", "in lanes", "one by one", "in lanes"]


# ------------------------------------------------------------------------- reservoirs that do not forget


def lasting(kind):
    """Reservoirs whose past never fades, or only within more steps than it pays to repeat."""
    if kind == "orthogonal identity":
        return build_reservoir(
            n_units=N_UNITS, n_inputs=1, topology="orthogonal", spectral_radius=1.0, activation="identity",
            rng=np.random.default_rng(0),
        )  # fmt: skip
    if kind == "chaotic":
        return build_reservoir(
            n_units=20, n_inputs=1, spectral_radius=1.8, input_scaling=0.01, bias_scaling=0.0, in_degree=10,
            rng=np.random.default_rng(0),
        )  # fmt: skip
    return build_reservoir(n_units=N_UNITS, n_inputs=1, spectral_radius=0.99, leak_rate=0.01, in_degree=4,
                           rng=np.random.default_rng(0))  # fmt: skip


@pytest.mark.parametrize("kind", ["orthogonal identity", "chaotic", "slow"])
def test_what_does_not_forget_is_driven_one_by_one(monkeypatch, ways, kind):
    reservoir = lasting(kind)
    task = task_for(reservoir)
    assert forgetting_time(reservoir, task) is None
    run = drive(reservoir, task, **everything(reservoir, task))
    assert ways.taken == ["one by one"]
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    for expected, got in zip(all_results(whole), all_results(run), strict=True):
        assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", ["orthogonal identity", "chaotic", "slow"])
def test_seams_of_what_does_not_forget_are_found_open(monkeypatch, ways, kind):
    reservoir = lasting(kind)
    task = task_for(reservoir)
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    monkeypatch.setattr(runs, "forgetting_time", lambda *_: 50)
    run = drive(reservoir, task, **everything(reservoir, task))
    # Warm-ups of 50, 100 and 200 steps; 400 are more than it pays to repeat for lanes of 200.
    assert ways.taken == ["one by one", "in lanes", "in lanes", "in lanes", "one by one"]
    for expected, got in zip(all_results(whole), all_results(run), strict=True):
        assert_array_equal(got, expected)


def test_a_warm_up_too_short_is_doubled_until_the_seams_close(monkeypatch, ways):
    reservoir = forgetful()
    task = task_for(reservoir, n_targets=1)
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    expected, _ = sums(reservoir, task)
    ways.taken.clear()
    monkeypatch.setattr(runs, "forgetting_time", lambda *_: 1)
    run = drive(reservoir, task, **everything(reservoir, task))
    assert set(ways.taken) == {"in lanes"}
    assert 4 < len(ways.taken) < 9  # 1, 2, 4, ... at least 16, at most 256
    for one, many in zip(all_results(whole), all_results(run), strict=True):
        assert_allclose(many, one, **SEAM[np.float64])
    grams, counts = sums(reservoir, task)
    assert counts == {0: LONG}
    assert_allclose(grams[0], expected[0], **GRAM)


@pytest.mark.compiled  # what NumPy says about infinities when it stands in for a kernel is another matter
@pytest.mark.parametrize("dtype", SEAM)
def test_a_reservoir_that_diverges_is_driven_without_a_word(monkeypatch, dtype):
    reservoir = build_reservoir(
        n_units=5, n_inputs=1, spectral_radius=3.0, activation="identity", in_degree=3, dtype=dtype,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    task = task_for(reservoir)
    whole = one_by_one(monkeypatch, reservoir, task, wants_states=True)
    run = drive(reservoir, task, wants_states=True)
    assert not np.isfinite(run.states).all()
    assert_array_equal(run.states, whole.states)


def test_agreement_is_relative_to_the_largest_above_one_only():
    a = np.array([100.0, 0.5])
    assert agree(a, a + 9e-11, SEAM_TOLERANCE[np.dtype(float)])
    assert not agree(a, a + 2e-10, SEAM_TOLERANCE[np.dtype(float)])
    assert not agree(a / 1000, a / 1000 + 2e-12, SEAM_TOLERANCE[np.dtype(float)])
    assert not agree(a, np.array([100.0, np.nan]), 1.0)
    assert agree(np.zeros(0), np.zeros(0), 0.0)


def test_forgetting_takes_as_long_as_two_runs_need_to_meet():
    reservoir = forgetful(spectral_radius=0.8)
    task = task_for(reservoir)
    measured = forgetting_time(reservoir, task)
    rows = task.rows[:1600].astype(float)
    weights = reservoir.W.toarray(), reservoir.input_weights, reservoir.bias, reservoir.leak
    far = np.random.default_rng(0).choice([-1.0, 1.0], N_UNITS)
    from_rest, from_far = (naive.echo_states(*weights, rows, start=start)[0] for start in (None, far))
    met = int(np.flatnonzero(np.abs(from_rest - from_far).max(axis=1) <= 0.1 * 1e-12)[0])
    assert met <= measured < 3 * met + 40  # the slowest of a few places, in blocks, a quarter added


# ----------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("dtype", SEAM)
@pytest.mark.parametrize(
    "lengths", [(5, 1, 17, 8, 3, 9, 2, 4), tuple(range(1, 30)), (150,) * 22], ids=["few", "ragged", "long together"]
)
def test_a_batch_is_a_loop_over_its_members_to_the_bit(ways, lengths, dtype):
    reservoir = forgetful(dtype=dtype)
    initial = np.random.default_rng(2).uniform(-1, 1, (len(lengths), N_UNITS + 2))
    task = task_for(reservoir, lengths, initial=initial)
    batch = drive(reservoir, task, **everything(reservoir, task))
    assert ways.taken == ["in lanes"]
    for number, (begin, end) in enumerate(pairwise(task.offsets)):
        member = changed(
            task, rows=task.rows[begin:end], offsets=np.array([0, end - begin]), initial=initial[number : number + 1]
        )
        alone = drive(reservoir, member, **everything(reservoir, task))
        assert_array_equal(batch.states[begin:end], alone.states)
        assert_array_equal(batch.outputs[begin:end], alone.outputs)
        assert_array_equal(batch.final[number], alone.final[0])
    assert ways.taken[1:] == ["one by one"] * len(lengths)


@pytest.mark.parametrize("lengths", [(40,), (40,) * 5, (3_100,), (700,) * 5])
def test_a_closed_loop_is_never_cut(monkeypatch, ways, lengths):
    reservoir = forgetful(n_outputs=2, feedback_scaling=0.5)
    initial = np.random.default_rng(2).uniform(-1, 1, (len(lengths), N_UNITS + 2))
    task = task_for(reservoir, lengths, initial=initial)
    wanted = everything(reservoir, task)
    whole = one_by_one(monkeypatch, reservoir, task, fed=2, **wanted)
    run = drive(reservoir, task, fed=2, **wanted)
    for expected, got in zip(all_results(whole), all_results(run), strict=True):
        assert_array_equal(got, expected)
    forced = drive(reservoir, task, **wanted)
    assert np.abs(forced.outputs - run.outputs).max() > 0.01


# ------------------------------------------------------------------------------------------------- sums


@cache
def known_states(lengths):
    """Reservoir, task with weights and targets, and its rows [x; u - shift; 1; y - shift] from the equations."""
    reservoir = forgetful()
    weights = np.random.default_rng(3).uniform(0.1, 2.0, sum(lengths))
    weights[::5] = 0
    task = task_for(reservoir, lengths, n_targets=2, weights=weights)
    parts = (reservoir.W.toarray(), reservoir.input_weights, reservoir.bias, reservoir.leak)
    states = [naive.echo_states(*parts, task.rows[begin:end])[0] for begin, end in pairwise(task.offsets)]
    columns = [
        naive.tile_column(x, u, y, task.shift, w)
        for x, u, y, w in zip(np.concatenate(states), task.rows, task.targets, weights, strict=True)
    ]
    return reservoir, task, np.array(columns), np.array([one[-1] for one in states])


@pytest.mark.parametrize("n_folds", [1, 4])
@pytest.mark.parametrize("lengths", [(LONG,), (400,) * 8, (2900, 1, 299), (25,) * 12, (60,)])
def test_tiles_add_up_to_the_gram_matrix_of_the_equations(lengths, n_folds):
    reservoir, task, columns, ends = known_states(lengths)
    breaks = len(columns) * np.arange(n_folds + 1) // n_folds
    final = np.zeros((len(lengths), N_UNITS))
    grams, counts = sums(reservoir, task, breaks, final)
    assert sorted(grams) == list(range(n_folds))
    for fold, (begin, end) in enumerate(pairwise(breaks)):
        here = columns[begin:end]
        assert_allclose(grams[fold], here.T @ here, **GRAM)
        assert counts[fold] == np.count_nonzero(task.weights[begin:end])
    assert_allclose(final, ends, rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1e-9])
@pytest.mark.parametrize("lengths", [(LONG,), (400,) * 8, (60, 10, 5)])
def test_narrow_tiles_add_up_to_the_same(monkeypatch, lengths, noise):
    reservoir, task, columns, _ = known_states(lengths)
    task = changed(task, noise=noise)
    for name, value in {"TILE_BYTES": 1, "FEWEST_COLUMNS": 16, "MOST_COLUMNS": 48}.items():
        monkeypatch.setattr(tasks, name, value)
    n_tiles = []
    each_pass(reservoir, task, lambda tiles: n_tiles.append(sum(1 for _ in tiles)))
    assert n_tiles[-1] > 1
    grams, counts = sums(reservoir, task)
    tolerance = GRAM if noise == 0 else {"rtol": 1e-5, "atol": 1e-5}
    assert_allclose(grams[0], columns.T @ columns, **tolerance)
    assert counts[0] == np.count_nonzero(task.weights)


@pytest.mark.parametrize("n_parts", [1, 3, 4])
@pytest.mark.parametrize("lengths", [(LONG,), (400,) * 8, (60, 10, 5, 7)])
def test_tiles_added_up_in_parts_are_the_same_for_any_number_of_threads(monkeypatch, lengths, n_parts):
    reservoir, task, columns, _ = known_states(lengths)
    breaks = len(columns) * np.arange(3) // 2 if lengths[0] == LONG else np.array([0, len(columns)])
    for name, value in {"PART_BYTES": 1, "FEWEST_IN_PART": 40, "PRODUCTS_A_CALL": 1}.items():
        monkeypatch.setattr(lane_runs, name, value)
    results = []
    for n_threads in (1, 2, 3):
        grams, n_tiles = np.zeros((len(breaks) - 1, n_parts, columns.shape[1], columns.shape[1])), []

        def add(fold, part, tile, grams=grams, n_tiles=n_tiles):
            grams[fold, part] += tile @ tile.T
            n_tiles.append(part)

        each_pass(
            reservoir, changed(task, n_threads=n_threads), lambda tiles, add=add: tiles.add_up(add, n_parts), breaks
        )
        assert len(n_tiles) > len(set(n_tiles))
        results.append(grams)
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])
    for fold, (begin, end) in enumerate(pairwise(breaks)):
        assert_allclose(results[0][fold].sum(axis=0), columns[begin:end].T @ columns[begin:end], **GRAM)


def test_a_tile_does_not_grow_with_the_number_of_steps():
    reservoir = SimpleNamespace(n_units=500, dtype=np.dtype(float))
    shapes = []
    for n_steps in (10**5, 10**7):
        task = SimpleNamespace(targets=np.zeros((0, 1)), n_read=1, offsets=np.array([0, n_steps]), shift=np.zeros(2))
        shapes.append(tile_sinks(reservoir, task, 16).tile.shape)
    assert shapes[0] == shapes[1]
    assert 8 * np.prod(shapes[0]) < 1.1 * tasks.TILE_BYTES


# ------------------------------------------------------------------------------------------------ noise


def test_noise_of_a_row_is_the_same_however_it_is_asked_for():
    offsets = np.array([0, 700, 705, 1300])
    task = SimpleNamespace(offsets=offsets, noise=0.3, noise_seed=11)
    whole = noise_of(task, np.arange(1300), 4)
    mixed = np.random.default_rng(0).permutation(1300)
    assert_array_equal(noise_of(task, mixed, 4), whole[mixed])
    for row in (0, NOISE_BLOCK - 1, NOISE_BLOCK, 699, 700, 705, 1299):
        assert_array_equal(noise_of(task, np.array([row]), 4), whole[[row]])
    asked = np.array([-1, 5, -1])
    assert_array_equal(noise_of(task, asked, 4), [np.zeros(4), whole[5], np.zeros(4)])
    assert len(np.unique(whole)) == whole.size
    # 5200 draws: four standard errors of mean and of deviation.
    assert abs(whole.mean()) < 4 * 0.3 / np.sqrt(5200)
    assert abs(whole.std() - 0.3) < 4 * 0.3 / np.sqrt(2 * 5200)
    other = SimpleNamespace(offsets=offsets, noise=0.3, noise_seed=12)
    assert not np.isin(noise_of(other, np.arange(1300), 4), whole).any()


def test_a_sequence_meets_the_same_noise_alone_and_in_company():
    reservoir = forgetful()
    task = task_for(reservoir, (300, 40, 20, 35, 10), noise=0.2)
    batch = drive(reservoir, task, wants_states=True)
    first = changed(task, rows=task.rows[:300], offsets=np.array([0, 300]))
    assert_array_equal(drive(reservoir, first, wants_states=True).states, batch.states[:300])
    assert np.abs(drive(reservoir, changed(task, noise=0.0), wants_states=True).states - batch.states).max() > 0.01


# ---------------------------------------------------------------------------------------------- watching


@pytest.mark.parametrize("lengths", [(LONG,), (20,) * 6, (50,)])
def test_an_exception_of_the_watcher_comes_through(lengths):
    def interrupt(fraction):
        raise KeyboardInterrupt

    reservoir = forgetful()
    task = task_for(reservoir, lengths, n_targets=1, watch=interrupt, n_threads=2)
    with pytest.raises(KeyboardInterrupt):
        drive(reservoir, task, wants_states=True)
    with pytest.raises(KeyboardInterrupt):
        sums(reservoir, task)
    again = changed(task, watch=None)
    assert np.isfinite(drive(reservoir, again, wants_states=True).states).all()


@pytest.mark.parametrize("lengths", [(LONG,), (400,) * 8, (500,)])
def test_progress_rises_to_one(monkeypatch, lengths):
    monkeypatch.setattr(tasks, "TILE_BYTES", 1)
    monkeypatch.setattr(tasks, "FEWEST_COLUMNS", 128)
    told = []
    reservoir = forgetful()
    sums(reservoir, task_for(reservoir, lengths, n_targets=1, watch=told.append))
    assert len(told) > 2
    assert told == sorted(told)
    assert 0 <= told[0]
    assert told[-1] == 1


# ------------------------------------------------------------------------------------------- known answers


def test_a_delay_line_hands_its_input_on():
    N = 6
    W = sp.csr_array(np.eye(N, k=-1))
    reservoir = Reservoir(W, np.eye(N, 1), np.zeros((N, 0)), np.zeros(N), np.ones(N), activation="identity")
    u = np.arange(1.0, 11.0)[:, None]
    states = drive(reservoir, Task(u, np.array([0, 10])), wants_states=True).states
    for delay in range(N):
        assert_array_equal(states[delay:, delay], u[: 10 - delay, 0])
        assert not states[:delay, delay].any()


def test_without_recurrence_and_leak_a_state_is_the_activation_of_its_input():
    reservoir = Reservoir(
        sp.csr_array((3, 3)), np.ones((3, 1)), np.zeros((3, 0)), np.array([0.0, 1.0, -1.0]), np.ones(3), "relu"
    )
    u = np.array([[-2.0], [0.5], [3.0]])
    states = drive(reservoir, Task(u, np.array([0, 3])), wants_states=True).states
    assert_array_equal(states, np.maximum(u + np.array([[0.0, 1.0, -1.0]]), 0))


def test_a_constant_input_leads_to_its_fixed_point():
    reservoir = forgetful(leak_rate=0.5)
    task = Task(np.ones((300, 2)), np.array([0, 300]))
    x = drive(reservoir, task, wants_states=True).states[-1]
    z = reservoir.W @ x + reservoir.input_weights.sum(axis=1) + reservoir.bias
    assert_allclose(x, np.tanh(z), rtol=0, atol=1e-14)


def test_both_precisions_are_cut_at_the_usual_settings():
    for dtype in (np.float64, np.float32):
        reservoir = build_reservoir(n_units=100, n_inputs=1, dtype=dtype, rng=np.random.default_rng(0))
        rows = np.random.default_rng(1).uniform(-1, 1, (20_000, 1)).astype(dtype)
        assert forgetting_time(reservoir, Task(rows, np.array([0, 20_000]))) is not None
