"""The time loop, seen through a cell that is defined here: as CONTRIBUTING.md says a new one may be."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cell_problems import EXACT_RTOL, Problem, assert_near
from cells import Elman
from cells.passes import time_loops as passes
from cells.passes.cell import Cell, Map, Plane
from cells.passes.rows import Rows
from cells.passes.time_loops import Clamp, Cotangents, Tape, backward_step, forward_step, rforward_step, step

LENGTHS = (4, 2, 1)
I, H = 2, 3


@dataclass(frozen=True)
class Leaky(Cell):
    """h(t) = k h(t-1) + x(t) W: linear, with k a choice."""

    k: float = 0.5

    @property
    def planes(self):
        return (Plane("a", self.n_units, "identity", is_state=True),)

    @property
    def maps(self):
        return (Map("input", "x", 0, self.n_units, source_width=self.n_in),)

    def weights(self, matrices):
        return Weights(self.k)


class Weights(NamedTuple):
    k: float


@step(forward_step, Weights)
def _forward(weights, tape, now, before, after, n):
    for i in range(n):
        for j in range(tape.h.shape[1]):
            tape.h[after + i, j] = weights.k * tape.h[before + i, j] + tape.z[now + i, j]


@step(backward_step, Weights)
def _backward(weights, tape, d, now, before, after, n):
    for i in range(n):
        for j in range(d.h.shape[1]):
            dh = d.h[i, j]
            d.z[now + i, j] = dh + (d.added[now + i, j] if d.added.size > 0 else 0.0)
            d.h[i, j] = weights.k * d.z[now + i, j]


@step(rforward_step, Weights)
def _rforward(weights, tape, r, now, before, after, n):
    for i in range(n):
        for j in range(r.h.shape[1]):
            r.z[now + i, j] += weights.k * r.h[before + i, j]
            r.h[after + i, j] = r.z[now + i, j]


@pytest.fixture
def tape():
    """Random input shares and initial states of a ragged batch; states and their places to be written."""
    rng, rows = np.random.default_rng(0), Rows(np.array(LENGTHS))
    B, R = rows.n_sequences, rows.n_rows
    h = np.full((B + R, H), np.nan)
    h[:B] = rng.standard_normal((B, H))
    return Tape(rng.standard_normal((R, H)), h, np.empty((B + R, 0)), np.empty((R, 0)))


def no_clamp(tape):
    return Clamp(np.empty(0, np.int64), np.empty((len(tape.z), 0)))


def sequences(tape):
    """Rows of each sequence."""
    rows = Rows(np.array(LENGTHS))
    return [np.flatnonzero(rows.sequence == i) for i in range(len(LENGTHS))]


def test_forward_runs_every_sequence_to_its_own_end(tape):
    passes.forward(Weights(0.5), tape, Rows(np.array(LENGTHS)).first, no_clamp(tape))
    for i, rows in enumerate(sequences(tape)):
        h = tape.h[i]
        for row in rows:
            h = 0.5 * h + tape.z[row]
            assert_array_equal(tape.h[len(LENGTHS) + row], h)


def test_a_clamped_unit_is_what_the_next_step_reads(tape):
    clamp = Clamp(np.array([1]), np.arange(len(tape.z))[:, None] + 10.0)
    passes.forward(Weights(0.5), tape, Rows(np.array(LENGTHS)).first, clamp)
    assert_array_equal(tape.h[len(LENGTHS) :, 1], clamp.values[:, 0])
    again = Tape(tape.z, tape.h.copy(), tape.c, tape.e)
    passes.forward(Weights(0.5), again, Rows(np.array(LENGTHS)).first, no_clamp(tape))
    assert_array_equal(again.h[:, [0, 2]], tape.h[:, [0, 2]])  # units of this cell do not see each other


@pytest.mark.parametrize("n_clamped", [0, 2])
def test_a_cell_from_elsewhere_has_its_derivatives(n_clamped):
    """<u, J v> + <added, R z> = <Jᵀ u + J_zᵀ added, v>, and J v by differences, which are exact here."""
    problem = Problem(Leaky(I, H), LENGTHS, n_clamped=n_clamped)
    point, v, u = problem.point(), problem.point(1), problem.random(problem.n_out, seed=2)
    added = problem.random((problem.R, H), seed=3)
    at = problem.split(v, problem.shapes)
    at["theta"][:] = 0  # F is linear in the rest
    value = problem(point)
    assert_near(problem(point + v) - value, problem.moved(v), EXACT_RTOL)
    v = problem.point(1)
    expected = u @ problem.moved(v) + (added * problem.tangents(v).z).sum()
    assert_allclose(problem.pulled(u, added=added) @ v, expected, rtol=EXACT_RTOL)


def cotangents(tape):
    B = len(LENGTHS)
    return Cotangents(
        np.zeros_like(tape.z), np.ones((B, H)), np.empty((B, 0)), np.empty((B, 0)), np.empty((B, 0)), np.empty((0, 0))
    )


def test_the_derivative_by_a_final_state_enters_where_the_sequence_ends(tape):
    d, first = cotangents(tape), Rows(np.array(LENGTHS)).first
    passes.backward(Weights(0.5), tape, d, np.empty((0, 0)), first, no_clamp(tape), np.inf)
    for rows, length, by_initial in zip(sequences(tape), LENGTHS, d.h, strict=True):
        assert_array_equal(d.z[rows, 0], 0.5 ** np.arange(length - 1, -1, -1))
        assert_array_equal(by_initial, 0.5**length)


def test_the_limit_cuts_what_has_come_together_at_a_state(tape):
    """Outputs' derivatives are 1 at each step, k = 1: uncut they sum to the steps left; cut they stay at the limit."""
    d, first = cotangents(tape), Rows(np.array(LENGTHS)).first
    d.h[:] = 0
    outputs = np.ones_like(tape.z)
    passes.backward(Weights(1.0), tape, d, outputs, first, no_clamp(tape), 2.5)
    for rows, length in zip(sequences(tape), LENGTHS, strict=True):
        assert_array_equal(d.z[rows, 1], np.minimum(np.arange(length, 0, -1), 2.5))


def test_not_a_number_stays_one_under_a_limit(tape):
    """A loss that is no longer finite must be seen, not cut to a bound."""
    d, first = cotangents(tape), Rows(np.array(LENGTHS)).first
    d.h[0, 0] = np.nan
    passes.backward(Weights(1.0), tape, d, np.empty((0, 0)), first, no_clamp(tape), 2.5)
    assert np.isnan(d.h[0, 0])


def test_no_units_and_no_parameters_are_touched_by_steps_that_are_not_made(tape):
    first = np.array([0])
    before = tape.h.copy()
    passes.forward(Weights(0.5), Tape(tape.z[:0], tape.h[:3], tape.c[:3], tape.e[:0]), first, no_clamp(tape))
    assert_array_equal(tape.h, before)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_two_stretches_of_steps_are_one(tape, cut):
    first, clamp = Rows(np.array(LENGTHS)).first, no_clamp(tape)
    wholes = [Tape(*(array.copy() for array in tape)) for _ in range(2)]
    parts = [Tape(*(array.copy() for array in tape)) for _ in range(2)]
    passes.forward(Weights(0.5), wholes[0], first, clamp)
    passes.rforward(Weights(0.5), wholes[0], wholes[1], first, clamp)
    for stretch in ((0, cut), (cut, max(LENGTHS))):
        passes.forward(Weights(0.5), parts[0], first, clamp, *stretch)
        passes.rforward(Weights(0.5), parts[0], parts[1], first, clamp, *stretch)
    for part, whole in zip(parts, wholes, strict=True):
        assert_array_equal(part.h, whole.h)
    d, halves = cotangents(tape), cotangents(tape)
    outputs = np.random.default_rng(1).standard_normal(tape.z.shape)
    passes.backward(Weights(0.5), wholes[0], d, outputs, first, clamp, np.inf)
    for stretch in ((cut, max(LENGTHS)), (0, cut)):
        mine = outputs[first[stretch[0]] : first[stretch[1]]]
        passes.backward(Weights(0.5), wholes[0], halves, mine, first, clamp, np.inf, *stretch)
    assert_array_equal(halves.z, d.z)
    assert_array_equal(halves.h, d.h)


# ------------------------------------------------------------------------------------------------ registration


def test_a_step_with_other_argument_names_is_refused():
    with pytest.raises(TypeError, match=r"a forward_step must take \(weights, .*got \(weights, tape, row\)"):

        @step(forward_step, Weights)
        def _wrong(weights, tape, row):
            pass


@pytest.mark.compiled
def test_a_cell_from_elsewhere_is_kept_out_of_the_disk_cache(tape):
    """No program that cannot import this file could read the cache again, and its edits would go unnoticed."""
    kernels = passes._forward, passes._backward, passes._rforward
    passes.forward(Weights(0.5), tape, Rows(np.array(LENGTHS)).first, no_clamp(tape))
    for kernel in kernels:
        assert not [signature for signature in kernel.signatures if "test_passes" in str(signature[0])]
        assert passes._compiled_for(Weights(0.5), kernel) is passes.UNCACHED[kernel]
    assert passes.UNCACHED[passes._forward].signatures


def test_cells_of_the_package_are_found_again_in_the_disk_cache():
    problem = Problem(Elman(I, H), LENGTHS)
    problem(problem.point())
    for kernel in (passes._forward, passes._backward, passes._rforward):
        assert passes._compiled_for(problem.matrices.weights, kernel) is kernel


def test_steps_run_as_they_stand(tape):
    """The stand-ins for compiled steps look the function up by the type of the weights."""
    step_by_hand = Tape(*(array.copy() for array in tape))
    passes.forward(Weights(0.5), tape, Rows(np.array(LENGTHS)).first, no_clamp(tape))
    B, first = len(LENGTHS), Rows(np.array(LENGTHS)).first
    before = 0
    for t in range(len(first) - 1):
        forward_step(Weights(0.5), step_by_hand, first[t], before, B + first[t], first[t + 1] - first[t])
        before = B + first[t]
    assert_near(step_by_hand.h, tape.h, EXACT_RTOL)
