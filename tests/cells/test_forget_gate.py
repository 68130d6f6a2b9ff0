"""The forget-gate cell: what it keeps, what it forgets, and that nothing bounds it."""

import numpy as np
from numpy.testing import assert_array_equal

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import Elman, ForgetGate

I, H = 3, 9
OPEN, SHUT = 800.0, -800.0


def problem_with_forget_bias(bias, lengths=(4, 2, 1, 1)):
    """Its forget gate sees nothing but a bias."""
    problem = Problem(ForgetGate(I, H), lengths)
    point = problem.point()
    p = dict(problem.cell.views(problem.split(point, problem.shapes)["theta"]))
    p["input"][:, :H], p["recurrent"][:, :H], p["bias"][:H] = 0, 0, bias
    return problem, point, p


def test_a_shut_gate_leaves_the_simple_network():
    problem, point, p = problem_with_forget_bias(SHUT)
    simple = Problem(Elman(I, H), problem.lengths)
    at = problem.split(point, problem.shapes)
    same = simple.join(p["input"][:, H:], p["recurrent"][:, H:], p["bias"][H:], at["x"], at["h"])
    assert_near(problem(point), simple(same), EXACT_RTOL)


def test_with_an_open_gate_the_state_grows_by_one_a_step():
    """The lecture's point: without an input gate the sum of what comes in is not bounded."""
    T = 50
    problem, point, p = problem_with_forget_bias(OPEN, (T,))
    p["input"][:], p["recurrent"][:], p["bias"][H:] = 0, 0, 50
    start = problem.split(point, problem.shapes)["h"]
    start[:] = 0
    assert_array_equal(problem(point).reshape(T, H), np.arange(1, T + 1)[:, None] * np.ones(H))


def test_an_open_gate_lets_the_gradient_pass_undiminished():
    problem, point, p = problem_with_forget_bias(OPEN, (30,))
    p["recurrent"][:] = 0
    problem(point)
    u = np.zeros(problem.n_out)
    u[-H:] = 1
    assert_array_equal(problem.split(problem.pulled(u), problem.shapes)["h"], np.ones((1, H)))
