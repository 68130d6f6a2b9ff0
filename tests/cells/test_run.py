"""One pass of a network: adjoint identities, final states, and stretches that continue one another."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import GRU, LSTM, Elman, Network
from cells.passes.feed import FEW
from cells.passes.layer import Input, PassOptions
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters
from cells.passes.rows import Rows
from cells.shares.carried import parted, rows_after
from cells.shares.run import Run
from contracts import ONE_OF_EACH, every
from naive import networks as plain
from network_problems import pair
from optim.checks import adjoint_identity

LENGTHS = [4, 3, 1]
ADJOINT_RTOL = 1e-12  # two passes of a few hundred roundings each
NETWORKS = {
    "stack": Network([LSTM(2, 3), Elman(3, 4)], n_out=2),
    "stack-last": Network([GRU(2, 3), LSTM(3, 4)], n_out=2, targets="last"),
    "both": Network([LSTM(2, 3), GRU(6, 3)], n_out=2, bidirectional=True),
    "both-last": Network([Elman(2, 3), LSTM(6, 3)], n_out=2, bidirectional=True, targets="last"),
}
networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


class Pass:
    """A forward pass over three sequences from given states."""

    def __init__(self, network, seed=0, lengths=LENGTHS, n_continuing=0, initial=None):
        rng = np.random.default_rng(seed)
        self.network, self.rows = network, Rows(np.array(lengths))
        self.theta = rng.standard_normal(network.n_params)
        self.parameters = Parameters(network, self.theta, 4)
        self.x = Input(rng.standard_normal((self.rows.n_rows, network.n_in)))
        self.initial = states(network, rng, len(lengths)) if initial is None else initial
        self.run = Run(network, self.rows, np.float64, Memory(), n_continuing)
        self.outputs = self.run.forward(self.parameters, self.x, self.initial).copy()

    def tangents(self, v, initial):
        """Directional derivatives of outputs and final states."""
        direction = Parameters(self.network, v, 4, is_direction=True)
        outputs, tapes = self.run.rforward(self.parameters, direction, initial)
        last = self.rows.n_sequences + self.rows.last
        final = [(tape.h[last], tape.c[last]) for tape in tapes]
        return outputs.copy(), final

    def cotangents(self, u, final):
        gradient = np.zeros(self.network.n_params)
        initial = self.run.backward(self.parameters, u.copy(), gradient, PassOptions(keeps_tape=True), final=final)
        return gradient, [(h.copy(), c.copy()) for h, c in initial]


def states(network, rng, B):
    return [
        (
            rng.standard_normal((B, part.cell.n_units)),
            rng.standard_normal((B, part.cell.n_units * part.cell.has_second_state)),
        )
        for part in network.parts
    ]


def final_states(run):
    """After each sequence's last step."""
    return parted(run.network, rows_after(run, run.rows.running.size))


def flat(array, pairs):
    return np.concatenate([array.ravel(), *[part.ravel() for both in pairs for part in both]])


@networks
def test_backward_is_the_adjoint_of_r_forward_with_states_at_both_ends(network):
    one, rng = Pass(network), np.random.default_rng(1)
    v, dv = rng.standard_normal(network.n_params), states(network, rng, 3)
    u, du = rng.standard_normal(one.outputs.shape), states(network, rng, 3)
    back = flat(*one.cotangents(u, du))
    assert_array_equal(flat(*one.cotangents(u, du)), back)  # the tape is kept
    check = adjoint_identity(
        lambda _: flat(*one.tangents(v, dv)), lambda _: back, flat(v, dv), flat(u, du), rtol=ADJOINT_RTOL
    )
    assert check.passed, check


@pytest.mark.parametrize("n_out", [2, FEW + 1])
@every(NETWORKS | {"one": Network(Elman(2, 3), n_out=2)})
def test_a_readout_that_follows_the_blocks_of_the_top_layer_has_the_same_outputs(network, n_out, monkeypatch):
    """Bit for bit; gradients are sums over rows in another order."""
    network, lengths = replace(network, n_out=n_out), [90, 90, 80, 70]
    whole = Pass(network, lengths=lengths)
    monkeypatch.setattr("cells.passes.layer._BLOCK_BYTES", 1)  # as few rows as the tiles let it
    blocks = Pass(network, lengths=lengths)
    assert len(blocks.run.layers[-1]._blocks) > len(whole.run.layers[-1]._blocks) == 1
    rng, at_ends = np.random.default_rng(1), states(network, np.random.default_rng(2), 4)
    v, u = rng.standard_normal(network.n_params), rng.standard_normal(whole.outputs.shape)
    assert_array_equal(blocks.outputs, whole.outputs)
    assert_array_equal(flat(*blocks.tangents(v, at_ends)), flat(*whole.tangents(v, at_ends)))
    found, expected = flat(*blocks.cotangents(u, at_ends)), flat(*whole.cotangents(u, at_ends))
    assert_allclose(found, expected, rtol=ADJOINT_RTOL, atol=ADJOINT_RTOL * np.abs(expected).max())


@every(ONE_OF_EACH)
def test_r_forward_is_the_derivative_of_forward(cell):
    network = Network([cell(3, 3), cell(3, 3)], n_out=2)
    one, rng = Pass(network), np.random.default_rng(1)
    v, dv, h = rng.standard_normal(network.n_params), states(network, rng, 3), 1e-6
    moved = []
    for step in (h, -h):
        initial = [(a + step * da, c + step * dc) for (a, c), (da, dc) in zip(one.initial, dv, strict=True)]
        outputs = one.run.forward(Parameters(network, one.theta + step * v, 4), one.x, initial).copy()
        moved.append(flat(outputs, [(h, c) for h, c in final_states(one.run) if np.size(c) > 1] or []))
    one.run.forward(one.parameters, one.x, one.initial)
    outputs, final = one.tangents(v, dv)
    expected = (moved[0] - moved[1]) / (2 * h)
    found = flat(outputs, [(a, c) for a, c in final if c.size])
    assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@networks
def test_parameters_that_are_set_again_are_those_of_the_new_point(network):
    """Every form that a pass reads is brought up to date, also with few inputs in every layer."""
    one, rng = Pass(network), np.random.default_rng(1)
    dv, u = states(network, rng, 3), rng.standard_normal(one.outputs.shape)
    direction = Parameters(network, one.theta, 4, is_direction=True)

    def everything(parameters, direction):
        outputs = one.run.forward(parameters, one.x, one.initial).copy()
        tangents = one.run.rforward(parameters, direction, dv)[0].copy()
        gradient = np.zeros(network.n_params)
        one.run.backward(parameters, u.copy(), gradient)
        return outputs, tangents, gradient

    for theta, v in rng.standard_normal((2, 2, network.n_params)):
        found = everything(one.parameters.set(theta), direction.set(v))
        fresh = Parameters(network, theta, 4), Parameters(network, v, 4, is_direction=True)
        for ours, expected in zip(found, everything(*fresh), strict=True):
            assert_array_equal(ours, expected)


def test_outputs_are_those_of_the_plain_network():
    ours, net, sequences = pair(["lstm", "gru"], bidirectional=True, lengths=LENGTHS)
    rows = Rows(np.array(LENGTHS))
    run = Run(ours.network, rows, np.float64, Memory())
    parameters = Parameters(ours.network, ours.theta, 3)
    x = np.array([ours.X[i][t] for i, t in zip(rows.sequence, rows.step, strict=True)])
    outputs = run.forward(parameters, Input(x), parameters.initial)
    for i, sequence in enumerate(sequences):
        expected = np.real(plain.forward(net, ours.theta, sequence)[0])
        assert_allclose(outputs[rows.sequence == i], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["stack", "stack-last"])
def test_a_run_from_final_states_continues_the_one_before(name):
    network = NETWORKS[name]
    whole = Pass(network, lengths=[5, 4, 2])
    rows, cut = whole.rows, 2
    n_rows = rows.first[cut]
    first = Run(network, Rows(np.array([2, 2, 2])), np.float64, Memory(), n_continuing=2)
    begun = first.forward(whole.parameters, Input(whole.x.array[:n_rows]), whole.initial).copy()
    after = [(h[:2], c[:2] if np.ndim(c) else c) for h, c in final_states(first)]
    second = Run(network, Rows(np.array([3, 2])), np.float64, Memory())
    ended = second.forward(whole.parameters, Input(whole.x.array, int(n_rows)), after)
    if network.targets == "last":
        begun, ended = ended, begun  # the sequences that end first come last
    assert_allclose(np.concatenate([begun, ended]), whole.outputs, rtol=1e-13)
    for one, other in zip(final_states(second), final_states(whole.run), strict=True):
        assert_allclose(one[0], other[0][:2], rtol=1e-13)


def test_runs_of_one_memory_follow_one_another():
    network, memory = NETWORKS["both"], Memory()
    alone = [Pass(network, lengths=lengths) for lengths in ([5, 5, 5, 5], [2], LENGTHS)]
    for one in [*alone, *alone]:
        run = Run(network, one.rows, np.float64, memory)
        assert_array_equal(run.forward(one.parameters, one.x, one.initial), one.outputs)
