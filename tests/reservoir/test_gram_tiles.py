"""Gram matrices in register tiles: exact on integers, inside their blocks, and what the tiles of a run add up to."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive.readout import sum_of_outer_products
from reservoir.drive import lanes as lane_runs
from reservoir.drive.gram_tiles import DEPTH, WIDTH, add_self_product_in_tiles
from reservoir.drive.routes import Reader
from reservoir.readout import gram as gram_module
from reservoir.readout.gram import Gram
from reservoir_tasks import LONG, changed, forgetful, task_for

# Nothing at all, one of each, every number of rows that a tile may lack, columns around a pack and around a block.
SHAPES = [(1, 0), (1, 1), (2, 3), (3, 8), (5, 9), (7, 16), (8, 17), (9, 1), (10, 8), (13, 31), (17, 5)]
LENGTHS = [(LONG,), (400,) * 8, (60, 10, 5, 7, 33, 1, 2, 40, 9), (260,) * 72]
NAMES = ["long", "equal", "ragged", "groups of two widths"]
# With the JIT switched off the ragged ones are enough: the others take a minute.
EVERY_LENGTH = [
    pytest.param(lengths, id=name, marks=() if name == "ragged" else pytest.mark.compiled)
    for lengths, name in zip(LENGTHS, NAMES, strict=True)
]


def near(n):
    """Sums of n products of numbers near 1 in two orders differ by less than n eps of their size, which is up to n."""
    return {"rtol": 0, "atol": n * n * np.finfo(float).eps}


def integers(m, n, seed=0):
    """Rows whose products and sums are exact."""
    return np.random.default_rng(seed).integers(-9, 10, (m, n)).astype(float)


@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_sums_are_those_of_the_naive_twin(m, n):
    rows = integers(m, n + 5)
    total = integers(m, m, seed=1)
    expected = total + np.tril(sum_of_outer_products(rows[:, :n]))
    add_self_product_in_tiles(rows, n, total)
    assert_array_equal(total, expected)


def test_sums_of_several_blocks_of_columns_are_exact_on_integers():
    rows = integers(2 * WIDTH + 3, 2 * DEPTH + 11)
    total = np.zeros((len(rows), len(rows)))
    add_self_product_in_tiles(rows, rows.shape[1], total)
    assert_array_equal(total, np.tril(rows @ rows.T))


def test_what_is_above_the_diagonal_and_behind_the_columns_is_left_alone():
    m, n = 11, 13
    rows = integers(m, n + 6)
    rows[:, n:] = np.nan
    total = np.triu(np.full((m, m), np.nan), 1)
    add_self_product_in_tiles(rows, n, total)
    assert np.isnan(total[np.triu_indices(m, 1)]).all()
    assert_array_equal(np.tril(total), np.tril(rows[:, :n] @ rows[:, :n].T))


@pytest.mark.compiled  # NumPy's product takes its own order
def test_a_sum_has_the_same_bits_wherever_its_tile_lies():
    rows = np.random.default_rng(2).standard_normal((21, DEPTH + 29))
    whole = np.zeros((21, 21))
    add_self_product_in_tiles(rows, rows.shape[1], whole)
    for i, j in ((20, 0), (19, 16), (8, 7), (13, 13)):
        pair, two = np.zeros((2, 2)), np.ascontiguousarray(rows[[j, i]])
        add_self_product_in_tiles(two, two.shape[1], pair)
        assert pair[1, 0] == whole[i, j]


def grams_of(reservoir, task, n_folds, final=None):
    """Gram of each fold as a fit takes it."""
    sizes = reservoir.n_units + task.n_read, task.targets.shape[1], task.shift_of_features(reservoir.n_units)
    return Reader(reservoir, task, n_folds).read(partial(Gram, *sizes), final)


def weighted_task(reservoir, lengths, **fields):
    weights = np.random.default_rng(3).uniform(0.1, 2.0, sum(lengths))
    weights[::5] = 0
    return task_for(reservoir, lengths, n_targets=2, weights=weights, **fields)


def folds_for(lengths):
    return 2 if lengths[0] == LONG else 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("lengths", EVERY_LENGTH)
def test_the_kernel_that_drives_and_adds_meets_the_tiles_of_the_run(monkeypatch, lengths, noise, dtype):
    reservoir = forgetful(dtype=dtype, leak_rate=0.7)
    task = weighted_task(reservoir, lengths, noise=noise, noise_seed=4)
    monkeypatch.setattr(lane_runs, "DEPTH", 48)
    n_folds, n = folds_for(lengths), sum(lengths)
    ends, whole_ends = np.zeros((2, len(lengths), reservoir.n_units))
    n_calls, kernel = [0], lane_runs.drive_into_sum

    def counted(*args):
        n_calls[0] += 1
        return kernel(*args)

    monkeypatch.setattr(lane_runs, "drive_into_sum", counted)
    grams = grams_of(reservoir, task, n_folds, ends)
    n_in_tiles = n_calls[0]
    monkeypatch.setattr(gram_module, "_TILES_TO", 0)
    expected = grams_of(reservoir, task, n_folds, whole_ends)
    assert n_calls[0] == n_in_tiles > 0
    for gram, other, (begin, end) in zip(grams, expected, pairwise(n * np.arange(n_folds + 1) // n_folds), strict=True):
        assert_allclose(gram.matrix, other.matrix, **near(sum(lengths)))
        assert gram.n_rows == other.n_rows == np.count_nonzero(task.weights[begin:end])
    assert_array_equal(ends, whole_ends)


@pytest.mark.compiled  # nothing runs side by side with the JIT switched off
@pytest.mark.parametrize("is_in_tiles", [True, False])
@pytest.mark.parametrize("lengths", LENGTHS, ids=NAMES)
def test_neither_threads_nor_the_length_of_calls_change_a_bit_of_the_sums(monkeypatch, lengths, is_in_tiles):
    if not is_in_tiles:
        monkeypatch.setattr(gram_module, "_TILES_TO", 0)
        monkeypatch.setattr(lane_runs, "PART_BYTES", 1)
        monkeypatch.setattr(lane_runs, "FEWEST_IN_PART", 48)
    reservoir = forgetful()
    task = weighted_task(reservoir, lengths)
    monkeypatch.setattr(lane_runs, "DEPTH", 48)
    results = [grams_of(reservoir, changed(task, n_threads=n), folds_for(lengths)) for n in (1, 2, 3)]
    for grams in results[1:]:
        for gram, first in zip(grams, results[0], strict=True):
            assert_array_equal(gram.matrix, first.matrix)
    told = []
    monkeypatch.setattr(lane_runs, "PRODUCTS_A_CALL", 1)
    short = grams_of(reservoir, changed(task, watch=told.append), folds_for(lengths))
    assert len(told) > 2
    for gram, first in zip(short, results[0], strict=True):
        assert_array_equal(gram.matrix, first.matrix)
