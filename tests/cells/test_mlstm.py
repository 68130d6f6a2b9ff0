"""The multiplicative LSTM beside the LSTM that it contains."""

import numpy as np

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import LSTM, MultiplicativeLSTM

I, H = 3, 9


def views(problem, vector):
    """Parameters, x, h and c in a point, by name."""
    parts = problem.split(vector, problem.shapes)
    return dict(problem.cell.views(parts["theta"])) | parts


def test_factors_of_one_make_the_lstm():
    """A first input of 1 whose gains are 1, and the identity from h: m = h."""
    problem, lstm = Problem(MultiplicativeLSTM(I, H)), Problem(LSTM(I, H))
    point, at_lstm = problem.point(), lstm.point()
    at, target = views(problem, point), views(lstm, at_lstm)
    at["x"][:, 0], at["input_factors"][:] = 1, 0
    at["input_factors"][0], at["recurrent_factors"][:] = 1, np.eye(H)
    for name in ("input", "recurrent", "bias", "x", "h", "c"):
        target[name][:] = at[name]
    assert_near(problem(point), lstm(at_lstm), EXACT_RTOL)


def test_without_input_the_gates_see_nothing_of_the_state():
    problem = Problem(MultiplicativeLSTM(I, H), (1,))
    point = problem.point()
    at = views(problem, point)
    at["x"][:] = 0
    before = problem(point)
    at["h"][:] += 1
    assert_near(problem(point), before, EXACT_RTOL)


def test_the_factors_are_not_damped():
    assert [plane.name for plane in MultiplicativeLSTM(I, H).planes if plane.is_damped] == ["i", "f", "o", "g"]
