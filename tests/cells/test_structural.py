"""Structural damping: each distance's curvature from the distance itself, and where it stands in a network."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import Network
from cells.passes.layer import PassOptions
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters
from cells.passes.rows import Rows
from cells.passes.structural import DISTANCES, apply_distance
from cells.shares.run import Run
from contracts import CELLS, every
from naive import networks as plain
from network_problems import problem
from one_case import in_one_case
from reservoir.simd.activations import CODES

FUNCTIONS = plain.ACTIVATIONS
both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def entropy(p, q):
    return -(q * np.log(p) + (1 - q) * np.log(1 - p))


# D(s, s_n) between the values of a plane, of which the curvature by a is asked where both are equal.
MATCHING = {
    "tanh": lambda s, s_n: entropy((1 + s) / 2, (1 + s_n) / 2),
    "logistic": entropy,
    "relu": lambda s, s_n: (s - s_n) ** 2 / 2,
    "identity": lambda s, s_n: (s - s_n) ** 2 / 2,
}
POINTS = {"relu": np.array([-0.7, 0.4, 2.0]), "tanh": np.array([-1.1, 0.0, 0.6])}


@pytest.mark.parametrize("kind", CODES)
def test_matching_curvature_is_the_second_derivative_of_the_matching_distance(kind):
    a = POINTS.get(kind, np.array([-1.3, 0.0, 0.8]))
    h = 1e-4
    distance, function = MATCHING[kind], FUNCTIONS[kind]

    def along(step):
        return distance(function(a + step), function(a))

    found = (along(h) - 2 * along(0.0) + along(-h)) / h**2
    expected = [plain.distance_curvature("matching", kind, value) for value in a]
    assert_allclose(found, expected, atol=1e-6)  # h² times fourth derivatives, eps / h²


@both_types
@in_one_case("kind", CODES)
@pytest.mark.parametrize("distance", DISTANCES)
@in_one_case("width", [1, 5, 8, 21])
def test_columns_are_multiplied_by_the_curvature_of_the_distance(distance, kind, width, dtype):
    rng = np.random.default_rng(width)
    R, first, column, rz_column = 4, 2, 3, 1
    a = rng.standard_normal((R, width))
    values = np.full((R + first, width + column), np.nan, dtype)
    values[first:, column:] = FUNCTIONS[kind](a)
    rz = np.pad(rng.standard_normal((R, width)), [(0, 0), (1, 2)], constant_values=7.0).astype(dtype)
    factors = rng.random(R).astype(dtype)
    D = np.array([[plain.distance_curvature(distance, kind, x) for x in row] for row in a])
    expected = rz.astype(np.float64)
    expected[:, 1:-2] *= D * factors[:, None]
    apply_distance(
        *(DISTANCES[distance], CODES[kind], values, first, column, factors, rz, rz_column, width),
    )
    near = 4 * np.finfo(dtype).eps  # 1 - s² loses a digit near s = 1, which no value here is
    assert_allclose(rz, expected, rtol=near, atol=4 * near)


@every(CELLS)
def test_planes_that_are_factors_or_given_states_are_left_alone(cell):
    """What is damped is what the curvature is asked of; all of it is damped but factors and states that are given."""
    network = Network(cell(3, 3), n_out=1)
    ours = problem(network, [2, 1])
    rows = Rows(np.array([2, 1]))
    run = Run(network, rows, np.float64, Memory())
    parameters = Parameters(network, ours.theta, 2)
    direction = Parameters(network, ours.direction(), 2, is_direction=True)
    data = ours.objective(clamped=(np.array([1]), [np.full((T, 1), 3.0) for T in (2, 1)])).data
    portion = data.portion(np.arange(2))
    run.forward(parameters, portion.x, [(0.0, 0.0)], portion.clamp)
    _, tapes = run.rforward(parameters, direction, [(0.0, 0.0)], PassOptions(keeps_planes=True))
    before = tapes[0].z.copy()
    after = run.layers[0].damp(tapes[0], "squared_activations", np.full(3, 0.5))
    column = 0
    for plane in network.layers[0].planes:
        part = slice(column, column + plane.width)
        expected = 0.5 * before[:, part] * plane.is_damped
        if plane.is_state:
            expected[:, 1] = 0.0
        assert_array_equal(after[:, part], expected)
        column += plane.width


def test_a_state_that_is_given_adds_no_negative_curvature():
    # tanh never exceeds 1, but a given state may: 1 - s² would then be negative.
    network = Network(CELLS["elman-tanh"](2, 3), n_out=1)
    ours = problem(network)
    objective = ours.objective(clamped=(np.array([0]), [np.full((T, 1), 5.0) for T in (3, 1, 4)]))
    v = np.zeros_like(ours.theta)
    network.views(v)["layer0.bias"][0] = 1.0  # moves the given unit alone
    assert not objective.linearize(ours.theta).gauss_newton(v, structural=1.0).any()


def test_factors_of_rows_make_a_mean_over_time():
    network = Network(CELLS["lstm-np"](2, 3), n_out=1)
    ours = problem(network, [4])
    v = ours.direction()
    total, mean = (
        ours.objective(structural_mean=name).linearize(ours.theta).gauss_newton(v, structural=1.0)
        - ours.objective().linearize(ours.theta).gauss_newton(v)
        for name in ("sum_time", "mean_time")
    )
    assert_allclose(mean, total / 4, rtol=1e-12, atol=1e-13)
