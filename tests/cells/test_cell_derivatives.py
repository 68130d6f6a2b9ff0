"""The derivatives of every cell: against the complex step, central differences and each other, clamped and cut."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cell_problems import EXACT_RTOL, SIZES, H, I, Problem, assert_near
from contracts import CELLS, every
from naive import cells as naive

# Central differences: STEP² times third derivatives of some 10, and eps / STEP.
STEP, DIFFERENCES_RTOL = 1e-5, 1e-6


@every(CELLS)
@pytest.mark.parametrize("n_clamped", [0, 2])
def test_gradient_equals_the_complex_step_of_the_twin(build, n_clamped):
    """By all parameters, the input, and the initial h and c, one by one."""
    problem = Problem(build(2, 3), (3, 2, 1, 1), n_clamped=n_clamped)
    point, u = problem.point(), problem.random(problem.n_out, seed=1)
    problem(point)
    gradient = naive.complex_step(lambda moved: u @ problem.twin(moved), point)
    assert_near(problem.pulled(u), gradient, EXACT_RTOL)


@every(CELLS)
def test_derivatives_equal_the_complex_step_of_the_twin_at_all_sizes(build):
    for n_in, n_units, lengths in SIZES:
        problem = Problem(build(n_in, n_units), lengths)
        point, v, u = problem.point(), problem.point(1), problem.random(problem.n_out, seed=2)
        problem(point)
        step = 1e-200
        expected = problem.twin(point + 1j * step * v).imag / step
        assert_near(problem.moved(v), expected, EXACT_RTOL)
        size = np.linalg.norm(u) * np.linalg.norm(expected)
        assert_allclose(problem.pulled(u) @ v, u @ expected, rtol=0, atol=EXACT_RTOL * size)


@every(CELLS)
@pytest.mark.parametrize("n_clamped", [0, 2])
def test_rforward_equals_central_differences(build, n_clamped):
    problem = Problem(build(I, H), n_clamped=n_clamped)
    point, v = problem.point(), problem.point(1)
    ends = [problem(point + sign * STEP * v) for sign in (1, -1)]
    problem(point)
    assert_near(problem.moved(v), (ends[0] - ends[1]) / (2 * STEP), DIFFERENCES_RTOL)


@every(CELLS)
def test_gradient_of_every_parameter_equals_central_differences(build):
    """Along a direction in each parameter, in x, and in the initial h and c."""
    problem = Problem(build(I, H))
    point, u, v = problem.point(), problem.random(problem.n_out, seed=1), problem.point(2)
    problem(point)
    gradient = problem.pulled(u)
    shapes = {map_.name: map_.shape for map_ in problem.cell.maps} | dict(list(problem.shapes.items())[1:])
    for name in shapes:
        direction = np.zeros_like(v)
        problem.split(direction, shapes)[name][...] = problem.split(v, shapes)[name]
        if not direction.any():  # no second state
            continue
        ends = [u @ problem(point + sign * STEP * direction) for sign in (1, -1)]
        size = np.linalg.norm(gradient) * np.linalg.norm(direction)
        difference = (ends[0] - ends[1]) / (2 * STEP)
        assert_allclose(gradient @ direction, difference, rtol=0, atol=DIFFERENCES_RTOL * size)


@every(CELLS)
@pytest.mark.parametrize("n_clamped", [0, 2])
def test_backward_is_the_adjoint_of_rforward(build, n_clamped):
    """<u, J v> + <added, R z> = <Jᵀ u + J_zᵀ added, v>, R z at all planes that are damped."""
    problem = Problem(build(I, H), n_clamped=n_clamped)
    problem(problem.point())
    v, u = problem.point(1), problem.random(problem.n_out, seed=2)
    added = problem.random((problem.R, problem.cell.n_columns), seed=3)
    for plane in problem.cell.planes:
        column = problem.cell.column_of(plane.name)
        added[:, column : column + plane.width] *= plane.is_damped
    moved, Rz = problem.moved(v), problem.tangents(v).z
    pulled = problem.pulled(u)
    size = np.linalg.norm(pulled) * np.linalg.norm(v)
    assert_allclose(pulled @ v, u @ moved, rtol=0, atol=EXACT_RTOL * size)
    pulled = problem.pulled(u, added=added)
    size = np.linalg.norm(pulled) * np.linalg.norm(v)
    assert_allclose(pulled @ v, u @ moved + (added * Rz).sum(), rtol=0, atol=EXACT_RTOL * size)


SLOPES = {
    "tanh": lambda s: 1 - s**2,
    "logistic": lambda s: s * (1 - s),
    "relu": lambda s: (s > 0) * 1.0,
    "identity": np.ones_like,
}


@every(CELLS)
def test_rforward_leaves_the_tangents_of_the_planes_before_their_nonlinearity(build):
    problem = Problem(build(I, H))
    cell, point, v = problem.cell, problem.point(), problem.point(1)

    def values(point):
        """Of all planes, after their nonlinearity."""
        problem(point)
        z = problem.layer.tape.z.copy()
        for plane in cell.planes:
            if plane.is_state:
                column = cell.column_of(plane.name)
                z[:, column : column + plane.width] = problem.layer.tape.h[problem.B :]
        return z

    differences = (values(point + STEP * v) - values(point - STEP * v)) / (2 * STEP)
    s = values(point)
    Rz = problem.tangents(v).z
    for plane in cell.planes:
        columns = slice(cell.column_of(plane.name), cell.column_of(plane.name) + plane.width)
        expected = differences[:, columns]
        assert_near(Rz[:, columns] * SLOPES[plane.activation](s[:, columns]), expected, DIFFERENCES_RTOL)


@every(CELLS)
def test_no_gradient_flows_through_clamped_units(build):
    problem = Problem(build(I, H), n_clamped=2)
    problem(problem.point())
    u = problem.random(problem.n_out, seed=1)
    other = u.copy()
    problem.split(other, problem.out_shapes)["outputs"][:, problem.clamp.units] += 1
    assert_array_equal(problem.pulled(u), problem.pulled(other))
    moved = problem.split(problem.moved(problem.point(2)), problem.out_shapes)["outputs"]
    assert not moved[:, problem.clamp.units].any()


@every(CELLS)
def test_limit_cuts_the_derivative_by_each_state(build):
    problem = Problem(build(I, H), (1, 1, 1, 1))
    problem(problem.point())
    u = problem.random(problem.n_out, seed=1)
    cut = u.copy()
    outputs = problem.split(cut, problem.out_shapes)["outputs"]
    np.clip(outputs, -0.5, 0.5, out=outputs)
    assert not np.array_equal(cut, u)
    assert_array_equal(problem.pulled(u, limit=0.5), problem.pulled(cut))


@every(CELLS)
def test_a_limit_that_is_never_reached_changes_no_bit(build):
    problem = Problem(build(I, H))
    problem(problem.point())
    u = problem.random(problem.n_out, seed=1)
    assert_array_equal(problem.pulled(u, limit=1e6), problem.pulled(u))
