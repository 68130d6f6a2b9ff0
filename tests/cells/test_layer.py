"""A cell over the rows of a batch: passes that fit one another."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import GRU, LSTM, Elman
from cells.passes.layer import Input, Layer, PassOptions
from cells.passes.memory import Memory
from cells.passes.parameters import ROWS_FOR_PANELS, Forms, Matrices
from cells.passes.rows import Rows
from cells.passes.time_loops import Clamp
from contracts import every

LENGTHS = (5, 3, 3, 1)
I, H = 3, 9  # more units than a pack of float64 holds
# Two ways to one number, sums of some hundred terms near 1.
ADJOINT_RTOL = 1e-12
# Central differences: h² times third derivatives near 1, and eps / h.
STEP, DIFFERENCES_RTOL = 1e-5, 1e-7

# One cell of each kind of source: h; e; h and e; h, c, c_now and e_before.
CELLS = {
    "elman": Elman(I, H),
    "elman-activates-first": Elman(I, H, activates_first=True),
    "gru": GRU(I, H),
    "gru-reset-after": GRU(I, H, reset_after=True),
    "lstm": LSTM(I, H),
    "lstm-all-choices": LSTM(I, H, has_peepholes=True, has_full_gate_recurrence=True),
}


@dataclass
class Case:
    """A cell, a batch, and random numbers wherever the passes take some."""

    cell: object
    lengths: tuple = LENGTHS
    dtype: type = np.float64
    n_clamped: int = 0
    seed: int = 0
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        self.rows = Rows(np.array(self.lengths))
        self.B, self.R = self.rows.n_sequences, self.rows.n_rows
        self.layer = Layer(self.cell, self.rows, self.dtype, self.memory, "layer")
        self.theta = 0.5 * self.normal(self.cell.n_params)
        self.x = self.normal(self.R, I)
        self.initial = self.states()
        self.clamp = Clamp(np.arange(self.n_clamped) * 4 % H, self.normal(self.R, self.n_clamped))

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def states(self):
        """Random h and c; a cell without c takes none."""
        return self.normal(self.B, H), self.normal(self.B, H) if self.cell.has_second_state else 0.0

    def matrices(self, theta=None):
        return Matrices(self.cell, self.theta if theta is None else theta, Forms(self.B < ROWS_FOR_PANELS))

    def forward(self, theta=None, x=None, initial=None):
        """Outputs (R, H), and the final c."""
        x = Input(self.x) if x is None else x
        initial = self.initial if initial is None else initial
        h = self.layer.forward(self.matrices(theta), x, initial, self.clamp)
        return h[self.B :].copy(), self.layer.tape.c[self.B + self.rows.last].copy()

    def rforward(self, direction, rx, rinitial):
        rx = None if rx is None else Input(rx)
        of = self.matrices(), self.matrices(direction)
        return self.layer.rforward(*of, rx, rinitial, PassOptions(keeps_planes=True))

    def backward(self, outputs, final=(0.0, 0.0), *, added=None, **options):
        """Cotangents, gradient, and derivative by the input, all copied."""
        matrices = self.matrices()
        d = self.layer.backward(matrices, outputs, final, PassOptions(keeps_planes=True, **options), added=added)
        gradient = np.zeros(self.cell.n_params, self.dtype)
        self.layer.add_gradient(d.z, gradient)
        dx = self.layer.input_cotangent(matrices, d.z).copy()
        return type(d)(*(array.copy() for array in d)), gradient, dx


def test_elman_follows_its_equation_through_a_ragged_batch():
    case = Case(CELLS["elman"])
    parameters = dict(case.cell.views(case.theta))
    W, V, b = parameters["input"], parameters["recurrent"], parameters["bias"]
    expected, h = np.zeros((case.R, H)), case.initial[0].copy()
    for row, i in enumerate(case.rows.sequence):
        expected[row] = h[i] = np.tanh(case.x[row] @ W + h[i] @ V + b)
    assert_allclose(case.forward()[0], expected, rtol=ADJOINT_RTOL)


@every(CELLS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.compiled
def test_a_batch_has_the_bits_of_its_sequences(cell, dtype):
    """Forward and by the input; the form of the matrices differs with the number of sequences."""
    case = Case(cell, dtype=dtype)
    outputs, u = case.forward()[0], case.normal(case.R, H)
    dx = case.backward(u)[2]
    for i, length in enumerate(LENGTHS):
        mine = case.rows.sequence == i
        alone = Case(cell, (length,), dtype)
        alone.theta, alone.x = case.theta, case.x[mine]
        alone.initial = tuple(s[i : i + 1] if np.ndim(s) else s for s in case.initial)
        assert_array_equal(alone.forward()[0], outputs[mine])
        assert_array_equal(alone.backward(u[mine])[2], dx[mine])


@every(CELLS)
def test_one_initial_state_is_that_of_all_sequences(cell):
    case = Case(cell)
    one = tuple(s[0] if np.ndim(s) else s for s in case.initial)
    every_one = tuple(np.tile(s, (case.B, 1)) if np.ndim(s) else s for s in one)
    assert_array_equal(case.forward(initial=one)[0], case.forward(initial=every_one)[0])


@every(CELLS)
@pytest.mark.parametrize("n_clamped", [0, 2])
def test_backward_is_the_adjoint_of_rforward_in_all_that_they_take(cell, n_clamped):
    """<u, Rh> + <final, R final> + <added, Rz> = <g, V> + <dx, Rx> + <d initial, R initial>."""
    case = Case(cell, n_clamped=n_clamped)
    case.forward()
    V, rx, rinitial = case.normal(cell.n_params), case.normal(case.R, I), case.states()
    u, final, added = case.normal(case.R, H), case.states(), case.normal(case.R, cell.n_columns)
    for plane in cell.planes:  # nothing is added to a plane that is not damped
        column = cell.column_of(plane.name)
        added[:, column : column + plane.width] *= plane.is_damped
    r = case.rforward(V, rx, rinitial)
    last = case.B + case.rows.last
    forwards = (u * r.h[case.B :]).sum() + (added * r.z).sum() + (final[0] * r.h[last]).sum()
    forwards += (final[1] * r.c[last]).sum()
    d, g, dx = case.backward(u, final, added=added)
    backwards = g @ V + (dx * rx).sum() + (d.h * rinitial[0]).sum() + (d.c * rinitial[1]).sum()
    assert_allclose(backwards, forwards, rtol=ADJOINT_RTOL)


@every(CELLS)
@pytest.mark.parametrize("n_clamped", [0, 2])
def test_rforward_is_the_derivative_of_forward(cell, n_clamped):
    """Along parameters, input and initial states at once, and along the input alone."""
    case = Case(cell, n_clamped=n_clamped)
    case.forward()
    V, rx, rinitial = case.normal(cell.n_params), case.normal(case.R, I), case.states()
    nothing = np.zeros_like(V), np.zeros_like(rx), (0.0, 0.0)
    for direction, along_x, along_initial in ((V, rx, rinitial), (nothing[0], rx, nothing[2]), (V, None, nothing[2])):
        case.forward()
        found = case.rforward(direction, along_x, along_initial).h[case.B :].copy()
        ends = []
        for step in (STEP, -STEP):
            initial = tuple(s + step * r for s, r in zip(case.initial, along_initial, strict=True))
            x = Input(case.x if along_x is None else case.x + step * along_x)
            ends.append(case.forward(case.theta + step * direction, x, initial)[0])
        differences = (ends[0] - ends[1]) / (2 * STEP)
        assert_allclose(found, differences, rtol=0, atol=DIFFERENCES_RTOL * np.abs(differences).max())


@every(CELLS)
def test_the_derivative_by_the_input_is_that_of_differences(cell):
    case = Case(cell)
    u = case.normal(case.R, H)
    case.forward()
    dx = case.backward(u)[2]
    differences = np.zeros_like(case.x)
    for place in np.ndindex(case.x.shape):
        for sign in (1, -1):
            x = case.x.copy()
            x[place] += sign * STEP
            differences[place] += sign * (u * case.forward(x=Input(x))[0]).sum() / (2 * STEP)
    assert_allclose(dx, differences, rtol=0, atol=DIFFERENCES_RTOL * np.abs(differences).max())


@every(CELLS)
def test_an_index_is_a_one_hot_input(cell):
    """Forward, along a direction, and in the gradient."""
    case = Case(cell)
    chosen = case.rng.integers(0, I, case.R)
    index, one_hot = Input(np.empty((0, I)), index=chosen), Input(np.eye(I)[chosen])
    V, rinitial, u = case.normal(cell.n_params), case.states(), case.normal(case.R, H)
    answers = []
    for x in (index, one_hot):
        outputs = case.forward(x=x)[0]
        rh = case.rforward(V, None, rinitial).h.copy()
        answers.append((outputs, rh, case.backward(u)[1]))
    for by_index, by_product in zip(*answers, strict=True):
        assert_allclose(by_index, by_product, rtol=ADJOINT_RTOL, atol=ADJOINT_RTOL)


@every(CELLS)
def test_an_input_may_begin_within_an_array(cell):
    """As the states of a layer below do, behind the initial ones."""
    case = Case(cell)
    u, V = case.normal(case.R, H), case.normal(cell.n_params)
    within = Input(np.concatenate([np.full((2, I), np.nan), case.x, np.full((1, I), np.nan)]), 2)
    answers = []
    for x in (within, Input(case.x)):
        outputs = case.forward(x=x)[0]
        answers.append((outputs, case.rforward(V, None, (0.0, 0.0)).h.copy(), *case.backward(u)[1:]))
    for found, expected in zip(*answers, strict=True):
        assert_array_equal(found, expected)


@every(CELLS)
def test_a_tape_that_is_kept_serves_again(cell):
    """The bits are those of a backward pass that overwrites it."""
    case = Case(cell)
    u = case.normal(case.R, H)
    case.forward()
    first, again = (case.backward(u, keeps_tape=True) for _ in range(2))
    last = case.backward(u)
    for other in (again, last):
        assert_array_equal(other[0].z, first[0].z)
        assert_array_equal(other[1], first[1])
        assert_array_equal(other[2], first[2])


@every(CELLS)
def test_gradients_are_added_to_what_stands_there(cell):
    case = Case(cell)
    case.forward()
    d, g, _ = case.backward(case.normal(case.R, H))
    twice = g.copy()
    case.layer.add_gradient(d.z, twice)
    assert_allclose(twice, 2 * g, rtol=ADJOINT_RTOL, atol=ADJOINT_RTOL * np.abs(g).max())


@every(CELLS)
def test_clamped_units_have_their_values_and_pass_nothing_back(cell):
    case = Case(cell, n_clamped=2)
    outputs = case.forward()[0]
    assert_array_equal(outputs[:, case.clamp.units], case.clamp.values)
    u = np.zeros((case.R, H))
    u[:, case.clamp.units] = 1.0
    assert not case.backward(u)[1].any()


@every(CELLS)
def test_the_back_propagated_signal_stays_within_its_limit(cell):
    """A limit that nothing reaches changes no bit; 0 leaves nothing of it."""
    case = Case(cell)
    u = case.normal(case.R, H)
    case.forward()
    free = case.backward(u, keeps_tape=True)[1]
    assert_array_equal(case.backward(u, keeps_tape=True, limit=1e6)[1], free)
    assert (case.backward(u, keeps_tape=True, limit=0.1)[1] != free).any()
    assert not case.backward(u, limit=0.0)[1].any()


def test_the_limit_cuts_each_unit_at_each_step():
    case = Case(Elman(I, H, "identity"), lengths=(1, 1, 1, 1))
    case.forward()
    u = case.normal(case.R, H)
    assert_array_equal(case.backward(u, limit=0.3)[0].z, np.clip(u, -0.3, 0.3))


def test_layers_that_share_memory_disturb_each_other_by_name_only():
    cell, memory = CELLS["lstm"], Memory()
    first = Case(cell, memory=memory)
    outputs = first.forward()[0]
    second = Case(cell, seed=1, memory=memory)
    second.layer = Layer(cell, second.rows, np.float64, memory, "above")
    second.forward()
    assert_array_equal(first.layer.tape.h[first.B :], outputs)
    third = Case(cell, lengths=(2, 1), seed=2, memory=memory)
    third.forward()
    assert np.shares_memory(third.layer.tape.h, first.layer.tape.h)
