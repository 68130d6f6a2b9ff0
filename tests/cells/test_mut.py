"""The three mutants: when their input is projected, and what they are to one another and to the GRU."""

import numpy as np
import pytest

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import GRU, MUT1, MUT2, MUT3

I, H = 3, 9
raw_input = pytest.mark.parametrize("cell", [MUT1, MUT2])


def views(problem, vector):
    """Parameters, x and h in a point, by name."""
    parts = problem.split(vector, problem.shapes)
    return dict(problem.cell.views(parts["theta"])) | parts


@raw_input
def test_the_input_is_projected_where_its_width_is_not_the_cells(cell):
    assert cell(I, H) != cell(H, H)
    assert cell(I, H).raw_input_column == -1
    assert cell(H, H).raw_input_column >= 0
    assert cell(H, H, project_input=True).raw_input_column == -1
    projection = H * H
    assert cell(H, H, project_input=True).n_params == cell(H, H, project_input=False).n_params + projection


@raw_input
def test_an_input_of_another_width_cannot_be_added_as_it_is(cell):
    with pytest.raises(ValueError, match=r"project_input=False needs n_in = n_units, got n_in=3, n_units=9"):
        cell(I, H, project_input=False)


@raw_input
def test_the_identity_projects_to_the_input_itself(cell):
    raw, projected = Problem(cell(H, H)), Problem(cell(H, H, project_input=True))
    point, at_projected = raw.point(), projected.point()
    at, target = views(raw, point), views(projected, at_projected)
    for name in ("recurrent", "candidate", "bias", "x", "h"):
        target[name][:] = at[name]
    target["input"][:] = np.hstack([at["input"], np.eye(H)])
    assert_near(projected(at_projected), raw(point), EXACT_RTOL)


def test_projected_mut2_is_the_gru_with_the_update_gate_turned_round():
    mutant, gru = Problem(MUT2(I, H)), Problem(GRU(I, H))
    point, at_gru = mutant.point(), gru.point()
    at, target = views(mutant, point), views(gru, at_gru)
    g, u, r = (slice(k * H, k * H + H) for k in range(3))
    for name in ("input", "bias"):
        target[name][..., g], target[name][..., u], target[name][..., r] = (
            *(at[name][..., g], at[name][..., r]),
            -at[name][..., u],
        )
    target["recurrent"][:] = np.hstack([at["recurrent"][:, H:], -at["recurrent"][:, :H]])
    for name in ("candidate", "x", "h"):
        target[name][:] = at[name]
    assert_near(gru(at_gru), mutant(point), EXACT_RTOL)


@pytest.mark.parametrize("cell", [MUT1, MUT2, MUT3])
def test_an_update_gate_at_zero_keeps_the_state(cell):
    """The convention: u is the share of the new, as in the paper, where the GRU's is that of the old."""
    problem = Problem(cell(I, H))
    point = problem.point()
    views(problem, point)["bias"][H : 2 * H] = -800
    outputs = problem.split(problem(point), problem.out_shapes)["outputs"]
    for i, rows in enumerate(problem.places()):
        assert_near(outputs[rows], np.tile(views(problem, point)["h"][i], (len(rows), 1)), EXACT_RTOL)


def test_the_update_gate_of_mut1_sees_no_state():
    """The first candidate is the same whatever u, so a change of h alone moves h(1) by no more than (1 - u) and g."""
    problem = Problem(MUT1(I, H), (1,))
    point, v = problem.point(), np.zeros(problem.n)
    problem(point)
    u = problem.layer.tape.z[0, H : 2 * H].copy()
    problem.split(v, problem.shapes)["h"][:] = 1
    assert not problem.tangents(v).z[0, H : 2 * H].any()
    views(problem, point)["h"][:] += 1
    problem(point)
    assert np.array_equal(problem.layer.tape.z[0, H : 2 * H], u)
