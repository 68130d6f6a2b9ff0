"""What every cell must hold, on every cell: its equations, their derivatives, and what must not change a number."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells.layer import ROWS_FOR_PANELS, Input, Layer, Matrices, Memory
from cells.passes import Clamp
from cells.rows import Rows
from contracts import CELLS, ONE_OF_EACH, every
from naive import cells as naive

# Two ways to one number: sums of at most some hundred terms near 1, activations off by 4 units in the last place, a few
# steps; of the largest number.
EXACT_RTOL = 1e-12
# Central differences: STEP² times third derivatives of some 10, and eps / STEP.
STEP, DIFFERENCES_RTOL = 1e-5, 1e-6
# 4 steps, sums of some 20 terms rounded to 6e-8 each, slopes of up to 4 in between.
FLOAT32_RTOL = 2e-5

LENGTHS = (4, 2, 2, 1, 1)
I, H = 3, 5
# (n_in, n_units, lengths): one unit and step; a batch in panels; one row; more units than one and two packs.
SIZES = [(1, 1, (1,)), (I, H, LENGTHS), (2, 9, (3,)), (4, 17, (2, 2, 1)), (1, 33, (2, 1, 1, 1))]


class Problem:
    """A cell over a ragged batch as one function F of one vector: its *point*, (theta, x, initial h, initial c).

    F's value is (outputs, final c). ``moved(v)`` is J v and ``pulled(u)`` is Jᵀ u at the point of the last call of F.
    """

    def __init__(self, cell, lengths=LENGTHS, dtype=np.float64, n_clamped=0, in_place=None):
        self.cell, self.lengths, self.dtype = cell, lengths, dtype
        self.rows = Rows(np.array(lengths))
        self.B, self.R, self.H = len(lengths), sum(lengths), cell.n_units
        C = self.H if cell.has_second_state else 0
        self.shapes = {"theta": (cell.n_params,), "x": (self.R, cell.n_in), "h": (self.B, self.H), "c": (self.B, C)}
        self.out_shapes = {"outputs": (self.R, self.H), "c": (self.B, C)}
        self.layer = Layer(cell, self.rows, dtype, Memory(), "layer")
        self.in_place = self.B < ROWS_FOR_PANELS if in_place is None else in_place
        self.clamp = Clamp(np.arange(n_clamped) * 3 % self.H, self.random((self.R, n_clamped), seed=99))

    def random(self, shape, seed=0):
        return np.random.default_rng(seed).standard_normal(shape).astype(self.dtype)

    @property
    def n(self):
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def n_out(self):
        return sum(int(np.prod(shape)) for shape in self.out_shapes.values())

    def point(self, seed=0):
        """A random point; weights of a size that keeps the units off their bounds."""
        point = self.random(self.n, seed)
        point[: self.cell.n_params] *= 0.6
        return point

    @staticmethod
    def split(vector, shapes):
        """Views of the parts of a vector, by name."""
        parts, start = {}, 0
        for name, shape in shapes.items():
            stop = start + int(np.prod(shape))
            parts[name] = vector[start:stop].reshape(shape)
            start = stop
        return parts

    @staticmethod
    def join(*parts):
        return np.concatenate([np.ravel(part) for part in parts])

    def __call__(self, point, index=None):
        at = self.split(point, self.shapes)
        self.x = Input(at["x"]) if index is None else Input(at["x"][:0], 0, index)
        self.matrices = Matrices(self.cell, self.in_place).set(at["theta"])
        self.weights = self.cell.weights(self.matrices)
        h = self.layer.forward(self.matrices, self.weights, self.x, (at["h"], at["c"]), self.clamp)
        return self.join(h[self.B :], self.layer.tape.c[self.B + self.rows.last])

    def tangents(self, v):
        """R of the tape."""
        V = self.split(v, self.shapes)
        direction = Matrices(self.cell, self.in_place).set(V["theta"])
        rx = None if self.x.index is not None else Input(V["x"])
        return self.layer.rforward(self.matrices, self.weights, direction, self.x, rx, (V["h"], V["c"]), self.clamp)

    def moved(self, v):
        r = self.tangents(v)
        return self.join(r.h[self.B :], r.c[self.B + self.rows.last])

    def pulled(self, u, *, keeps_tape=True, **options):
        U = self.split(u, self.out_shapes)
        d = self.layer.backward(self.weights, U["outputs"], (0.0, U["c"]), self.clamp, keeps_tape=keeps_tape, **options)
        gradient = np.zeros(self.cell.n_params, self.dtype)
        self.layer.add_gradient(d.z, self.x, gradient)
        dx = self.layer.input_cotangent(self.matrices, d.z)
        return self.join(gradient, dx, d.h, d.c)

    # The same by the naive twin, which knows nothing of rows.

    def places(self):
        """Rows of each sequence, by the rule: all first steps, then all second steps, of those who have one."""
        order = [(t, i) for t in range(max(self.lengths)) for i, length in enumerate(self.lengths) if t < length]
        return [[row for row, (_, owner) in enumerate(order) if owner == i] for i in range(self.B)]

    def twin(self, point):
        at = self.split(point, self.shapes)
        choices = {f.name: getattr(self.cell, f.name) for f in fields(self.cell) if f.name not in ("n_in", "n_units")}
        p = dict(self.cell.views(at["theta"]))
        outputs, finals = np.zeros(self.out_shapes["outputs"], point.dtype), np.zeros_like(at["c"])
        for i, rows in enumerate(self.places()):
            c = at["c"][i] if self.cell.has_second_state else None
            name, units, values = type(self.cell).__name__, self.clamp.units, self.clamp.values[rows]
            outputs[rows], c = naive.run(name, choices, p, at["x"][rows], at["h"][i], c, units, values)
            if c is not None:
                finals[i] = c
        return self.join(outputs, finals)


def assert_near(found, expected, rtol):
    assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())


# ------------------------------------------------------------------------------------------------ the equations


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


# ------------------------------------------------------------------------------------------------ derivatives


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
    "linear": np.ones_like,
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


# ------------------------------------------------------------------------------------------------ what changes nothing


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
    monkeypatch.setattr("cells.layer._BLOCK_BYTES", 1)  # as few rows as the tiles let it
    blocks = Problem(build(I, H), lengths)
    assert len(blocks.layer._blocks) > len(whole.layer._blocks) == 1
    point, u, v = whole.point(), whole.random(whole.n_out, seed=1), whole.point(2)
    assert_array_equal(blocks(point), whole(point))
    assert_array_equal(blocks.moved(v), whole.moved(v))
    found, expected = blocks.pulled(u), whole.pulled(u)
    P = whole.cell.n_params
    assert_array_equal(found[P:], expected[P:])
    assert_near(found[:P], expected[:P], EXACT_RTOL)


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


# ------------------------------------------------------------------------------------------------ bad input


@every(CELLS)
@pytest.mark.parametrize("bad", [0, -1, 2.0, True, None, "3"])
def test_sizes_that_are_no_sizes_are_named(build, bad):
    with pytest.raises(ValueError, match=r"n_(in|units) must be an integer >= 1, got"):
        build(bad, bad)
