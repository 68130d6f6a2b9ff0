"""The equations of every cell: its states are those of the twin, its columns and parameters lie as it says."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cell_problems import EXACT_RTOL, SIZES, H, I, Problem, assert_near
from contracts import CELLS, every


@every(CELLS)
def test_forward_equals_the_naive_twin(build):
    for n_in, n_units, lengths in SIZES:
        problem = Problem(build(n_in, n_units), lengths)
        point = problem.point()
        assert_near(problem(point), problem.twin(point), EXACT_RTOL)


@every(CELLS)
def test_columns_are_tiled_by_planes_and_parameters_by_maps(build):
    cell = build(I, H)
    theta = np.arange(cell.n_params)
    views = dict(cell.views(theta))
    assert len(views) == len(cell.maps)
    assert_array_equal(np.concatenate([view.ravel() for view in views.values()]), theta)
    assert all(np.shares_memory(view, theta) for view in views.values())
    for plane in cell.planes:
        assert cell.column_of(plane.name) + plane.width <= cell.n_columns
    for map_ in cell.maps:
        assert map_.column + map_.width <= cell.n_columns


@every(CELLS)
def test_clamped_units_have_the_given_values(build):
    problem = Problem(build(I, H), n_clamped=2)
    point = problem.point()
    value = problem(point)
    outputs = problem.split(value, problem.out_shapes)["outputs"]
    assert_array_equal(outputs[:, problem.clamp.units], problem.clamp.values)
    assert_near(value, problem.twin(point), EXACT_RTOL)


@every(CELLS)
def test_sizes_that_are_no_sizes_are_named(build):
    for bad in (0, -1, 10**30, 2.0, True, None, "3"):
        kind = ValueError if type(bad) is int else TypeError
        with pytest.raises(kind, match=r"n_(in|units) must be an integer (>= 1|in \[1, .*\]), got"):
            build(bad, bad)
