"""Long short-term memory: how its variants follow from one another, and what its memory is for."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import LSTM
from naive import cells as naive

# A few dozen steps of some 20 terms, each rounded to 1e-16.
LONG_RTOL = 1e-11
I, H = 3, 17


def views(problem, vector):
    """Parameters, x, h and c in a point or a gradient, by name."""
    parts = problem.split(vector, problem.shapes)
    return dict(problem.cell.views(parts["theta"])) | parts


def copy_columns(source, target, columns):
    """Give the parameters of one cell's point to another's; ``columns[name]`` are the gates both have, in order."""
    for plane in columns:
        a, b = source.cell.column_of(plane), target.cell.column_of(plane)
        for name in ("input", "recurrent", "bias"):
            views(target, target.at)[name][..., b : b + H] = views(source, source.at)[name][..., a : a + H]
    for name in ("x", "h", "c"):
        views(target, target.at)[name][:] = views(source, source.at)[name]


def problems(*cells):
    """A problem for each cell, with a random point ``at``."""
    made = [Problem(cell) for cell in cells]
    for problem in made:
        problem.at = problem.point()
    return made


def test_gradient_of_long_sequences_equals_back_propagation_by_hand():
    problem = Problem(LSTM(I, H), (40, 23, 7, 1))
    point, u = problem.point(), problem.random(problem.n_out, seed=1)
    problem.split(u, problem.out_shapes)["c"][:] = 0
    problem(point)
    found, p, total = views(problem, problem.pulled(u)), views(problem, point), {}
    outputs = problem.split(u, problem.out_shapes)["outputs"]
    theta = dict(problem.cell.views(p["theta"]))
    for i, rows in enumerate(problem.places()):
        d, dh, dc = naive.lstm_gradient(theta, p["x"][rows], p["h"][i], p["c"][i], outputs[rows])
        total = {name: total.get(name, 0.0) + d[name] for name in d}
        assert_near(found["h"][i], dh, LONG_RTOL)
        assert_near(found["c"][i], dc, LONG_RTOL)
    for name, gradient in total.items():
        assert_near(found[name], gradient, LONG_RTOL)


def test_without_forget_gate_the_memory_and_its_gradient_never_fade():
    """The constant error carousel: the self-weight of c is 1."""
    T = 500
    problem = Problem(LSTM(I, H, has_forget_gate=False), (T,))
    point = problem.point()
    at = views(problem, point)
    at["recurrent"][:], at["x"][:] = 0, 0
    at["bias"][:H] = -800  # the input gate is shut
    finals = problem.split(problem(point), problem.out_shapes)["c"]
    assert_array_equal(finals, at["c"])
    u = np.zeros(problem.n_out)
    problem.split(u, problem.out_shapes)["c"][:] = 1
    assert_array_equal(views(problem, problem.pulled(u))["c"], np.ones((1, H)))


@pytest.mark.parametrize(
    ("gate", "absent"), [("i", "has_input_gate"), ("f", "has_forget_gate"), ("o", "has_output_gate")]
)
def test_an_absent_gate_is_an_open_one(gate, absent):
    whole, less = problems(LSTM(I, H), LSTM(I, H, **{absent: False}))
    copy_columns(whole, less, [name for name in "ifog" if name != gate])
    at, column = views(whole, whole.at), whole.cell.column_of(gate)
    for name in ("input", "recurrent"):
        at[name][:, column : column + H] = 0
    at["bias"][column : column + H] = 800
    assert_near(less(less.at), whole(whole.at), EXACT_RTOL)


def test_a_coupled_gate_is_a_forget_gate_with_the_signs_of_the_input_gate_reversed():
    """logistic(-a) = 1 - logistic(a)."""
    whole, coupled = problems(LSTM(I, H), LSTM(I, H, is_coupled=True))
    at = views(whole, whole.at)
    i, f = (slice(whole.cell.column_of(name), whole.cell.column_of(name) + H) for name in "if")
    for name in ("input", "recurrent", "bias"):
        at[name][..., f] = -at[name][..., i]
    copy_columns(whole, coupled, "iog")
    assert_near(coupled(coupled.at), whole(whole.at), EXACT_RTOL)


@pytest.mark.parametrize("choice", ["has_peepholes", "has_full_gate_recurrence"])
def test_connections_of_weight_zero_are_none(choice):
    plain, more = problems(LSTM(I, H), LSTM(I, H, **{choice: True}))
    more.at[:] = 0
    copy_columns(plain, more, "ifog")
    assert_array_equal(more(more.at), plain(plain.at))


def test_the_output_gate_peeps_at_the_memory_of_its_own_step():
    """i and f see c before it is changed: with everything else 0, c(1) = c(0) / 2 and o = logistic(c(1))."""
    problem = Problem(LSTM(1, 1, has_peepholes=True), (1,))
    point = np.zeros(problem.n)
    at = views(problem, point)
    at["peephole_o"][:], at["c"][:] = 1, 3.0
    c = 1.5
    assert_near(problem(point), np.array([np.tanh(c) / (1 + np.exp(-c)), c]), EXACT_RTOL)


def test_gates_are_fed_back_within_their_own_sequence():
    """The first step of no sequence sees a gate, also where another sequence has been."""
    problem = Problem(LSTM(I, H, has_full_gate_recurrence=True), (2, 1, 1))
    point = problem.point()
    before = problem(point)
    views(problem, point)["gates"][:] += 1
    changed = problem(point) != before
    outputs = problem.split(changed, problem.out_shapes)["outputs"]
    assert not outputs[:3].any()
    assert outputs[3].all()


@pytest.mark.parametrize(
    ("choices", "n_params"),
    [
        ({}, 4 * (3 + 10 + 1) * 10),
        ({"has_forget_gate": False}, 3 * (3 + 10 + 1) * 10),
        ({"is_coupled": True}, 3 * (3 + 10 + 1) * 10),
        ({"has_peepholes": True}, 4 * (3 + 10 + 1) * 10 + 30),
        ({"has_peepholes": True, "has_output_gate": False}, 3 * (3 + 10 + 1) * 10 + 20),
        ({"has_full_gate_recurrence": True}, 4 * (3 + 10 + 1) * 10 + 30 * 30),
    ],
)
def test_numbers_of_parameters(choices, n_params):
    assert LSTM(3, 10, **choices).n_params == n_params


def test_a_coupled_gate_needs_what_it_is_coupled_to():
    with pytest.raises(ValueError, match=r"is_coupled=True needs the input gate, got has_input_gate=False"):
        LSTM(3, 4, is_coupled=True, has_input_gate=False)
