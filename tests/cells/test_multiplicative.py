"""The multiplicative network: one transition matrix for every input, made of factors."""

import numpy as np
import pytest

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import Elman, MultiplicativeRNN

I, H, F = 4, 9, 5


def views(problem, vector):
    """Parameters, x and h in a point, by name."""
    parts = problem.split(vector, problem.shapes)
    return dict(problem.cell.views(parts["theta"])) | parts


def test_every_input_chooses_its_transition_matrix():
    """h(t) = tanh(h(t-1) A_k + W_k + b) with A_k the k-th slice of the tensor sum_f W_fx W_fh W_hf."""
    problem = Problem(MultiplicativeRNN(I, H, F), (12,))
    point = problem.point()
    p = views(problem, point)
    symbols = np.random.default_rng(1).integers(I, size=12)
    p["x"][:] = np.eye(I)[symbols]
    tensor = np.einsum("kf,hf,fj->khj", p["input_factors"], p["recurrent_factors"], p["factors"])
    h, expected = p["h"][0], []
    for k in symbols:
        h = np.tanh(h @ tensor[k] + p["input"][k] + p["bias"])
        expected.append(h)
    assert_near(problem(point).reshape(12, H), np.array(expected), EXACT_RTOL)


def test_factors_that_the_input_does_not_change_make_the_simple_network():
    problem, simple = Problem(MultiplicativeRNN(I, H, F)), Problem(Elman(I, H))
    point, at_simple = problem.point(), simple.point()
    at, target = views(problem, point), views(simple, at_simple)
    at["x"][:, 0], at["input_factors"][:] = 1, 0
    at["input_factors"][0] = 1
    for name in ("input", "bias", "x", "h"):
        target[name][:] = at[name]
    target["recurrent"][:] = at["recurrent_factors"] @ at["factors"]
    assert_near(problem(point), simple(at_simple), EXACT_RTOL)


def test_an_input_of_zero_forgets_the_state():
    problem = Problem(MultiplicativeRNN(I, H), (3,))
    point = problem.point()
    at = views(problem, point)
    at["x"][:] = 0
    assert_near(problem(point).reshape(3, H), np.tile(np.tanh(at["bias"]), (3, 1)), EXACT_RTOL)


def test_there_are_as_many_factors_as_units_unless_said():
    assert MultiplicativeRNN(I, H).n_params == MultiplicativeRNN(I, H, H).n_params
    assert MultiplicativeRNN(I, H, F).n_params == I * H + I * F + 2 * H * F + H


def test_only_the_sum_before_tanh_is_damped():
    assert [plane.name for plane in MultiplicativeRNN(I, H).planes if plane.is_damped] == ["a"]


@pytest.mark.parametrize("bad", [0, -3, 2.5, True, "many"])
def test_numbers_of_factors_that_are_none_are_named(bad):
    with pytest.raises(ValueError, match=r"n_factors must be an integer >= 1 or None, got"):
        MultiplicativeRNN(I, H, n_factors=bad)
