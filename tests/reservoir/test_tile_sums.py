"""Sums over the tiles of a run: the Gram matrices of the equations, whatever the tiles, the parts and the threads."""

from functools import cache, partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive import drive as naive
from reservoir.drive import lanes as lane_runs
from reservoir.drive import task as tasks
from reservoir.drive.routes import Reader
from reservoir.drive.task import tile_sinks
from reservoir.readout.columns import TakesTiles
from reservoir_tasks import GRAM, LONG, N_UNITS, changed, forgetful, sums, task_for

pytestmark = pytest.mark.compiled  # thousands of steps: minutes with the JIT switched off, and no kernels of its own

NARROW = {"TILE_BYTES": 1, "FEWEST_COLUMNS": 16, "MOST_COLUMNS": 48}


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
    folds = sums(reservoir, task, n_folds, final)
    for tiles, (begin, end) in zip(folds, pairwise(breaks), strict=True):
        here = columns[begin:end]
        assert_allclose(tiles.matrix, here.T @ here, **GRAM)
        assert tiles.n_rows == np.count_nonzero(task.weights[begin:end])
    assert_allclose(final, ends, rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1e-9])
@pytest.mark.parametrize("lengths", [(LONG,), (400,) * 8, (60, 10, 5)])
def test_narrow_tiles_add_up_to_the_same(monkeypatch, lengths, noise):
    reservoir, task, columns, _ = known_states(lengths)
    task = changed(task, noise=noise)
    for name, value in NARROW.items():
        monkeypatch.setattr(tasks, name, value)
    (tiles,) = sums(reservoir, task)
    assert tiles.n_tiles > 1
    tolerance = GRAM if noise == 0 else {"rtol": 1e-5, "atol": 1e-5}
    assert_allclose(tiles.matrix, columns.T @ columns, **tolerance)
    assert tiles.n_rows == np.count_nonzero(task.weights)


class PlainSums(TakesTiles):
    """What tiles are added to, in the fewest words."""

    is_summed_in_tiles = False

    def __init__(self, n_parts, size):
        self.n_parts, self.sums, self.tiles = n_parts, np.zeros((n_parts, size, size)), []

    def add(self, tile, n_threads):
        self.add_part(0, tile)

    def add_part(self, part, tile):
        self.sums[part] += tile @ tile.T
        self.tiles.append(part)


@pytest.mark.parametrize("n_parts", [1, 3, 4])
@pytest.mark.parametrize("lengths", [(LONG,), (400,) * 8, (60, 10, 5, 7)])
def test_tiles_added_up_in_parts_are_the_same_for_any_number_of_threads(monkeypatch, lengths, n_parts):
    reservoir, task, columns, _ = known_states(lengths)
    n_folds = 2 if lengths[0] == LONG else 1
    breaks = len(columns) * np.arange(n_folds + 1) // n_folds
    for name, value in {"PART_BYTES": 1, "FEWEST_IN_PART": 40, "PRODUCTS_A_CALL": 1}.items():
        monkeypatch.setattr(lane_runs, name, value)
    for name, value in NARROW.items():
        monkeypatch.setattr(tasks, name, value)
    results = []
    for n_threads in (1, 2, 3):
        make = partial(PlainSums, n_parts, columns.shape[1])
        grams = Reader(reservoir, changed(task, n_threads=n_threads), n_folds).read(make)
        assert all(len(gram.tiles) > len(set(gram.tiles)) for gram in grams)
        results.append(np.array([gram.sums for gram in grams]))
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
