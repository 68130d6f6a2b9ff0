"""The gated recurrent unit: what its gates do, and when its two forms are one."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import GRU, Elman

I, H = 3, 9
each_form = pytest.mark.parametrize("reset_after", [False, True])


def views(problem, vector):
    """Parameters, x and h in a point, by name."""
    parts = problem.split(vector, problem.shapes)
    return dict(problem.cell.views(parts["theta"])) | parts


def columns(name):
    """Columns of the candidate g, the reset gate r and the update gate u."""
    return slice("gru".index(name) * H, "gru".index(name) * H + H)


def shut(problem, point, gate, bias):
    """Let a gate depend on nothing but this bias."""
    at, r = views(problem, point), columns(gate)
    at["input"][:, r], at["recurrent"][:, r.start - H : r.stop - H], at["bias"][r] = 0, 0, bias


@each_form
def test_an_update_gate_at_one_keeps_the_state(reset_after):
    """The convention: u is the share of the old state."""
    problem = Problem(GRU(I, H, reset_after))
    point = problem.point()
    shut(problem, point, "u", 800)
    outputs = problem.split(problem(point), problem.out_shapes)["outputs"]
    for i, rows in enumerate(problem.places()):
        assert_array_equal(outputs[rows], np.tile(views(problem, point)["h"][i], (len(rows), 1)))


@each_form
def test_with_update_at_zero_and_reset_at_one_it_is_the_simple_network(reset_after):
    problem, simple = Problem(GRU(I, H, reset_after)), Problem(Elman(I, H))
    point, at_simple = problem.point(), simple.point()
    shut(problem, point, "u", -800)
    shut(problem, point, "r", 800)
    at, target = views(problem, point), views(simple, at_simple)
    g = columns("g")
    target["input"][:], target["x"][:], target["h"][:] = at["input"][:, g], at["x"], at["h"]
    target["recurrent"][:] = at["recurrent"][:, 2 * H :] if reset_after else at["candidate"]
    target["bias"][:] = at["bias"][g] + (at["bias"][3 * H :] if reset_after else 0)
    assert_near(problem(point), simple(at_simple), EXACT_RTOL)


def test_a_diagonal_matrix_may_be_scaled_before_or_after():
    """(r * h) R = r * (h R) where R is diagonal; the second bias has no counterpart."""
    before, after = Problem(GRU(I, H)), Problem(GRU(I, H, reset_after=True))
    point, at_after = before.point(), after.point()
    at, target = views(before, point), views(after, at_after)
    at["candidate"][:] = np.diag(np.diag(at["candidate"]))
    for name in ("input", "x", "h"):
        target[name][:] = at[name]
    target["recurrent"][:] = np.hstack([at["recurrent"], at["candidate"]])
    target["bias"][:] = np.concatenate([at["bias"], np.zeros(H)])
    assert_near(after(at_after), before(point), EXACT_RTOL)


def test_the_reset_gate_scales_the_second_bias_too():
    """As in cuDNN: with r = 0 nothing of q is left, h(t-1) R_g + b_q or not."""
    problem = Problem(GRU(I, H, reset_after=True))
    point = problem.point()
    shut(problem, point, "r", -800)
    before = problem(point)
    views(problem, point)["bias"][3 * H :] += 5
    assert_near(problem(point), before, EXACT_RTOL)


def test_a_factor_is_not_damped():
    """q is scaled, not squashed: structural damping has no business there."""
    assert {plane.name: plane.is_damped for plane in GRU(I, H, reset_after=True).planes} == {
        "g": True,
        "r": True,
        "u": True,
        "q": False,
    }
