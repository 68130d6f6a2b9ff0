"""The simple recurrent network: its two forms, what its nonlinearities do, and back-propagation by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import Elman
from naive import cells as naive
from reservoir.simd.activations import CODES

# A few dozen steps of some 20 terms, each rounded to 1e-16.
LONG_RTOL = 1e-11
I, H = 3, 17
LENGTHS = (40, 23, 7, 1)


def by_parameter(problem, point):
    """Parameters in a point, or in a gradient, by name."""
    return dict(problem.cell.views(problem.split(point, problem.shapes)["theta"]))


@pytest.mark.parametrize("limit", [np.inf, 0.3])
def test_gradient_of_long_sequences_equals_back_propagation_by_hand(limit):
    """Also with a limit on the signal, which is cut at each step."""
    problem = Problem(Elman(I, H), LENGTHS)
    point, u = problem.point(), problem.random(problem.n_out, seed=1)
    problem(point)
    found = problem.pulled(u, limit=limit)
    at, p = (
        problem.split(point, problem.shapes),
        dict(problem.cell.views(problem.split(point, problem.shapes)["theta"])),
    )
    outputs, total = u.reshape(problem.R, H), {name: 0.0 for name in p}
    for i, rows in enumerate(problem.places()):
        d, dh = naive.elman_gradient(p, at["x"][rows], at["h"][i], outputs[rows], limit)
        total = {name: total[name] + d[name] for name in p}
        assert_near(problem.split(found, problem.shapes)["h"][i], dh, LONG_RTOL)
    for name, gradient in by_parameter(problem, found).items():
        assert_near(gradient, total[name], LONG_RTOL)


@pytest.mark.parametrize("activation", CODES)
def test_the_nonlinearity_of_the_first_form_gives_the_states_of_the_other(activation):
    """With a(t) the states of the first form, h(t) = activation(a(t)) follows the usual equation."""
    first = Problem(Elman(I, H, activation, activates_first=True))
    point = first.point()
    a = first(point)
    usual = Problem(Elman(I, H, activation))
    f = naive.ACTIVATIONS[activation]
    initial = first.split(point, first.shapes)["h"]
    initial[:] = f(initial)
    assert_near(usual(point), f(a), EXACT_RTOL)


def test_identity_weights_and_relu_hold_a_state_for_ever():
    problem = Problem(Elman(I, H, "relu"), (200,))
    point = np.zeros(problem.n)
    dict(problem.cell.views(point[: problem.cell.n_params]))["recurrent"][:] = np.eye(H)
    state = problem.split(point, problem.shapes)["h"]
    state[:] = np.abs(problem.random((1, H)))
    outputs = problem(point).reshape(200, H)
    assert_array_equal(outputs, np.tile(state, (200, 1)))
    u = np.zeros(problem.n_out)
    u[-H:] = 1
    assert_array_equal(problem.split(problem.pulled(u), problem.shapes)["h"], np.ones((1, H)))


def test_the_linear_cell_answers_a_pulse_with_powers_of_its_matrix():
    problem = Problem(Elman(1, 4, "identity"), (9,))
    point = problem.point()
    at = problem.split(point, problem.shapes)
    at["x"][:], at["x"][0], at["h"][:] = 0, 1, 0
    p = dict(problem.cell.views(at["theta"]))
    p["bias"][:] = 0
    outputs = problem(point).reshape(9, 4)
    for t in range(9):
        assert_near(outputs[t], p["input"][0] @ np.linalg.matrix_power(p["recurrent"], t), EXACT_RTOL)


def test_a_relu_at_zero_lets_no_gradient_pass():
    problem = Problem(Elman(1, 2, "relu"), (1,))
    problem(np.zeros(problem.n))
    assert not problem.pulled(np.ones(2)).any()


def test_tanh_states_stay_below_one_where_the_gradient_is_lost():
    problem = Problem(Elman(1, 2), (3,))
    point = np.full(problem.n, 100.0)
    assert_allclose(problem(point), 1)
    assert_array_equal(problem.pulled(np.ones(6)), 0)


def test_an_activation_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"activation must be one of identity, tanh, relu, logistic, got 'sigmoid'"):
        Elman(3, 4, "sigmoid")
