"""Driving a reservoir: the same numbers in batches and alone, from any number of threads, with noise and watched."""

import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from reservoir.drive import task as tasks
from reservoir.drive.routes import drive
from reservoir.drive.task import NOISE_BLOCK, Task, noise_of
from reservoir.drive.weights import Reservoir
from reservoir_tasks import (
    LONG,
    N_UNITS,
    SEAM,
    Ways,
    all_results,
    changed,
    everything,
    forgetful,
    one_by_one,
    sums,
    task_for,
)

pytestmark = pytest.mark.compiled  # thousands of steps: minutes with the JIT switched off, and no kernels of its own


@pytest.fixture
def ways(monkeypatch):
    return Ways(monkeypatch)


# ---------------------------------------------------------------------------------------------- known answers


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


# ---------------------------------------------------------------------------------------------------- batches


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


def test_final_states_and_outputs_are_those_of_the_last_rows(ways):
    reservoir = forgetful()
    for lengths in ((LONG,), (30, 1, 7, 12, 50, 2), (10, 20), (1500, 3, 1700)):
        task = task_for(reservoir, lengths)
        run = drive(reservoir, task, **everything(reservoir, task))
        ends = task.offsets[1:] - 1
        assert_array_equal(run.final, np.concatenate([run.states[ends], run.outputs[ends]], axis=1))
    assert ways.taken == ["in lanes", "in lanes", "one by one", "in lanes"]


# ---------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("lengths", [(LONG,), (700, 1, 2100, 399), (50,) * 64])
def test_number_of_threads_changes_no_bit(lengths):
    reservoir = forgetful()
    results = []
    for n_threads in (1, 2, 3):
        task = task_for(reservoir, lengths, n_targets=1, n_threads=n_threads)
        run = drive(reservoir, task, **everything(reservoir, task))
        results.append([*all_results(run), sums(reservoir, task)[0].matrix])
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


# ------------------------------------------------------------------------------------------------------ noise


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


# --------------------------------------------------------------------------------------------------- watching


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
