"""What changes no number of a cell, and mostly no bit: batches, blocks, forms of matrices, the order of the units."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cell_problems import EXACT_RTOL, LENGTHS, H, I, Problem, assert_near
from cells.passes.layer import PassOptions
from contracts import CELLS, ONE_OF_EACH, every

# 4 steps, sums of some 20 terms rounded to 6e-8 each, slopes of up to 4 in between.
FLOAT32_RTOL = 2e-5


@every(CELLS)
def test_backward_in_place_has_the_bits_of_a_kept_tape(build):
    problem = Problem(build(I, 9))
    point, u = problem.point(), problem.random(problem.n_out, seed=1)
    problem(point)
    kept = problem.pulled(u)
    added = problem.random((problem.R, problem.cell.n_columns), seed=2)
    kept_and_added = problem.pulled(u, added=added)
    assert_array_equal(problem.pulled(u, keeps_tape=False), kept)
    problem(point)
    assert_array_equal(problem.pulled(u, added=added, keeps_tape=False), kept_and_added)


@every(CELLS)
def test_the_same_call_has_the_same_bits(build):
    problem = Problem(build(I, H))
    point, u, v = problem.point(), problem.random(problem.n_out, seed=1), problem.point(2)
    first = problem(point), problem.moved(v), problem.pulled(u)
    again = problem(point), problem.moved(v), problem.pulled(u)
    for a, b in zip(first, again, strict=True):
        assert_array_equal(a, b)


@every(CELLS)
@pytest.mark.compiled
def test_a_batch_has_the_bits_of_its_sequences(build):
    """Whatever their lengths; the batch reads panels, a sequence the matrices as they stand."""
    cell = build(I, 9)
    problem = Problem(cell, n_clamped=1)
    point, v, u = problem.point(), problem.point(1), problem.random(problem.n_out, seed=2)
    value, moved, pulled = problem(point), problem.moved(v), problem.pulled(u)
    total = np.zeros(cell.n_params)
    for i, rows in enumerate(problem.places()):
        alone = Problem(cell, (LENGTHS[i],), n_clamped=1)
        alone.clamp.values[:] = problem.clamp.values[rows]

        def mine(vector, shapes, rows=rows, i=i):
            members = {"theta": slice(None), "x": rows, "outputs": rows}
            parts = problem.split(vector, shapes)
            return problem.join(*(part[members.get(name, slice(i, i + 1))] for name, part in parts.items()))

        assert_array_equal(alone(mine(point, problem.shapes)), mine(value, problem.out_shapes))
        assert_array_equal(alone.moved(mine(v, problem.shapes)), mine(moved, problem.out_shapes))
        back = alone.pulled(mine(u, problem.out_shapes))
        assert_array_equal(back[cell.n_params :], mine(pulled, problem.shapes)[cell.n_params :])
        total += back[: cell.n_params]
    assert_near(total, pulled[: cell.n_params], EXACT_RTOL)


@every(ONE_OF_EACH)
@pytest.mark.compiled
def test_the_form_of_the_matrices_changes_no_bit(build):
    problems = [Problem(build(I, 26), in_place=in_place) for in_place in (False, True)]
    point, u, v = problems[0].point(), problems[0].random(problems[0].n_out, seed=1), problems[0].point(2)
    panels, in_place = ((p(point), p.moved(v), p.pulled(u)) for p in problems)
    for a, b in zip(panels, in_place, strict=True):
        assert_array_equal(a, b)


@every(ONE_OF_EACH)
@pytest.mark.compiled
def test_a_layer_that_runs_in_blocks_of_steps_has_the_same_bits(build, monkeypatch):
    """But for the sums over rows that gradients of parameters are, whose order changes."""
    lengths = (60, 60, 50, 40, 40)
    whole = Problem(build(I, H), lengths)
    monkeypatch.setattr("cells.passes.layer._BLOCK_BYTES", 1)  # as few rows as the tiles let it
    blocks = Problem(build(I, H), lengths)
    assert len(blocks.layer._blocks) > len(whole.layer._blocks) == 1
    point, u, v = whole.point(), whole.random(whole.n_out, seed=1), whole.point(2)
    assert_array_equal(blocks(point), whole(point))
    assert_array_equal(blocks.moved(v), whole.moved(v))
    found, expected = blocks.pulled(u), whole.pulled(u)
    P = whole.cell.n_params
    assert_array_equal(found[P:], expected[P:])
    assert_near(found[:P], expected[:P], EXACT_RTOL)


@every(ONE_OF_EACH)
@pytest.mark.compiled
@pytest.mark.parametrize("keeps_tape", [True, False])
def test_planes_that_no_one_keeps_take_the_place_of_one_block_and_change_no_bit(build, keeps_tape, monkeypatch):
    monkeypatch.setattr("cells.passes.layer._BLOCK_BYTES", 1)  # as few rows as the tiles let it
    problem = Problem(build(I, H), (60, 60, 50, 40, 40), n_clamped=1)
    layer, cell = problem.layer, problem.cell
    point, v = problem.point(), problem.point(2)
    outputs, added = problem.random((problem.R, H), seed=1), problem.random((problem.R, cell.n_columns), seed=3)

    def answers(keeps_planes):
        problem(point)
        moved, gradient = problem.moved(v, keeps_planes=keeps_planes), np.zeros(cell.n_params)
        options = PassOptions(keeps_tape=keeps_tape, keeps_planes=keeps_planes)
        d = layer.backward(problem.matrices, outputs, (0.0, 0.0), options, gradient=gradient, added=added)
        return problem.join(moved, gradient, d.h, d.c), len(d.z)

    (kept, n_kept), (found, n_found) = answers(True), answers(False)
    assert_array_equal(found, kept)
    assert n_kept == problem.R
    assert n_found < problem.R or cell.n_fed_back > 0


@every(CELLS)
@pytest.mark.compiled
def test_what_comes_later_changes_no_earlier_bit(build):
    """Sequences that end earlier have the states they had: padding is nothing but steps that are not made."""
    long, short = (Problem(build(I, H), lengths) for lengths in ((5, 4, 4, 3), (4, 2, 1, 1)))
    point = long.point()
    at = long.split(point, long.shapes)
    kept = [row for rows, length in zip(long.places(), short.lengths, strict=True) for row in rows[:length]]
    kept.sort()
    outputs = long.split(long(point), long.out_shapes)["outputs"][kept]
    found = short(short.join(at["theta"], at["x"][kept], at["h"], at["c"]))
    assert_array_equal(short.split(found, short.out_shapes)["outputs"], outputs)


@every(CELLS)
def test_one_hot_rows_may_be_given_by_their_index(build):
    problem = Problem(build(I, H))
    index = np.random.default_rng(3).integers(problem.cell.n_in, size=problem.R)
    point, u, v = problem.point(), problem.random(problem.n_out, seed=1), problem.point(2)
    problem.split(point, problem.shapes)["x"][:] = np.eye(problem.cell.n_in)[index]
    problem.split(v, problem.shapes)["x"][:] = 0
    dense = problem(point), problem.moved(v), problem.pulled(u)
    chosen = problem(point, index), problem.moved(v), problem.pulled(u)
    for a, b in zip(chosen, dense, strict=True):
        assert_near(a, b, EXACT_RTOL)


def permuted_point(cell, problem, point, order):
    """The point of the same network with its units in another order."""
    n = cell.n_units

    def columns(first, width):  # blocks of n columns are one number a unit
        indices = np.arange(first, first + width)
        return indices.reshape(-1, n)[:, order].ravel() if width % n == 0 else indices

    at = {name: part.copy() for name, part in problem.split(point, problem.shapes).items()}
    inputs = order if cell.raw_input_column >= 0 else np.arange(cell.n_in)
    for map_, (_, view) in zip(cell.maps, cell.views(at["theta"]), strict=True):
        if map_.form == "dense":
            rows = inputs if map_.source == "x" else columns(0, map_.source_width)
            view[:] = view[rows]
        view[:] = view[..., columns(0, map_.width)]
    return problem.join(at["theta"], at["x"][:, inputs], at["h"][:, order], at["c"][:, order if at["c"].size else []])


@every(CELLS)
def test_permuted_units_have_permuted_states(build):
    problem = Problem(build(I, H))
    order = np.random.default_rng(4).permutation(H)
    point = problem.point()
    parts = problem.split(problem(point), problem.out_shapes).values()
    expected = problem.join(*(part[:, order] if part.size else part for part in parts))
    assert_near(problem(permuted_point(problem.cell, problem, point, order)), expected, EXACT_RTOL)


@every(ONE_OF_EACH)
def test_float32_is_near_float64(build):
    problem, single = (Problem(build(I, 17), dtype=dtype) for dtype in (np.float64, np.float32))
    point, u, v = single.point(), single.random(single.n_out, seed=1), single.point(2)
    found = single(point), single.moved(v), single.pulled(u)
    expected = problem(point.astype(float)), problem.moved(v.astype(float)), problem.pulled(u.astype(float))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        assert_near(a, b, FLOAT32_RTOL)
