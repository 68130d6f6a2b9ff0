"""Pooled states: the naive twin, batches and pieces that change nothing, both directions, and memory."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive.pooling import pooled
from reservoir.drive import pooled_states
from reservoir.drive.pooled_states import Pooling, batches, pooled_features
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.drive.weights import build_reservoir
from reservoir.readout.pooling import POOLINGS

LENGTHS = (5, 2, 17, 40, 3)
# Seams of one sequence that is driven in lanes may differ by 1e-12, and means of it round.
SAME = {"rtol": 1e-10, "atol": 1e-11}


def problem(lengths=LENGTHS, n_units=12, dtype=np.float64, **more):
    reservoir = build_reservoir(
        n_units=n_units, n_inputs=2, in_degree=4, leak_rate=np.resize((1.0, 0.3), n_units), bias_scaling=0.5,
        dtype=dtype, rng=np.random.default_rng(0),
    )  # fmt: skip
    rows = np.random.default_rng(1).normal(size=(sum(lengths), 2)).astype(dtype)
    return reservoir, Task(rows, np.concatenate([[0], np.cumsum(lengths)]), n_read=2, **more)


def all_of(reservoir, task, pooling):
    return np.concatenate([features for _, features in pooled_features(reservoir, task, pooling)])


@pytest.mark.parametrize("washout", [0, 1])
@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_features_are_those_of_the_naive_twin(is_bidirectional, washout):
    reservoir, task = problem()
    begins, ends = task.offsets[:-1], task.offsets[1:]
    parts = [task.rows[a:b] for a, b in zip(begins, ends, strict=True)]
    runs = [parts, [part[::-1] for part in parts]][: 1 + is_bidirectional]
    wanted = []
    for run in runs:
        states = drive(reservoir, Task(np.concatenate(run), task.offsets), wants_states=True).states
        wanted.append(pooled([states[a + washout : b] for a, b in zip(begins, ends, strict=True)], POOLINGS))
    wanted.append(pooled([part[washout:] for part in parts], POOLINGS))
    pooling = Pooling(POOLINGS, washout, is_bidirectional)
    found = all_of(reservoir, task, pooling)
    assert found.shape == (len(LENGTHS), pooling.n_features(12, 2))
    assert_allclose(found, np.concatenate(wanted, axis=1), **SAME)


@pytest.mark.parametrize("numbers", [1, 12 * 7, 12 * 30])
def test_batches_and_pieces_change_nothing(monkeypatch, numbers):
    reservoir, task = problem()
    pooling = Pooling(POOLINGS, 1, True)
    whole = all_of(reservoir, task, pooling)
    monkeypatch.setattr(pooled_states, "STATES_AT_ONCE", numbers)
    assert_allclose(all_of(reservoir, task, pooling), whole, **SAME)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_change_no_bit(n_threads):
    pooling = Pooling(("mean", "std"), 0, False)
    alone = all_of(*problem((30,) * 40), pooling)
    assert_array_equal(all_of(*problem((30,) * 40, n_threads=n_threads), pooling), alone)


def test_single_precision_is_near_double():
    pooling = Pooling(POOLINGS[:5], 0, True)
    assert_allclose(all_of(*problem(dtype=np.float32), pooling), all_of(*problem(), pooling), rtol=1e-4, atol=1e-4)


def test_noise_is_new_in_every_sequence_and_the_same_again():
    reservoir, task = problem((20, 20), noise=0.3)
    task.rows[20:] = task.rows[:20]
    found = all_of(reservoir, task, Pooling(("mean",), 0, False))
    assert np.abs(found[0, :12] - found[1, :12]).max() > 1e-3
    assert_array_equal(all_of(reservoir, task, Pooling(("mean",), 0, False)), found)


def test_sequences_go_into_batches_whole():
    offsets = np.concatenate([[0], np.cumsum([3, 4, 10, 1, 1])])
    assert list(batches(offsets, 8)) == [(0, 2), (2, 3), (3, 5)]
    assert list(batches(offsets, 1)) == [(k, k + 1) for k in range(5)]


def peak_of(lengths, pooling):
    reservoir, task = problem(lengths, n_units=100)
    all_of(reservoir, task, pooling)  # what is made once is there
    tracemalloc.start()
    all_of(reservoir, task, pooling)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_states_are_never_all_held(monkeypatch, is_bidirectional):
    monkeypatch.setattr(pooled_states, "STATES_AT_ONCE", 200_000)
    pooling = Pooling(("mean", "std", "last"), 0, is_bidirectional)
    few, many = peak_of((500,) * 40, pooling), peak_of((500,) * 400, pooling)
    long = peak_of((200_000,), pooling)
    states = 8 * 100 * 200_000
    # What grows is a reversed copy of the rows of a long sequence, two numbers and an index a row.
    assert many < few + 0.02 * states and long < few + 0.06 * states
