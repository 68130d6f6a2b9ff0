"""Squared gradients of sequences: sums over steps first, squares after."""

import numpy as np
from numpy.testing import assert_allclose

from cells import Elman, Network, SequenceObjective
from contracts import CELLS, every
from naive import networks as plain
from network_problems import pair, problem

RTOL = 1e-12  # the same terms, summed sequence by sequence


def test_squares_are_those_of_the_plain_networks_gradients():
    ours, net, sequences = pair(["lstm", "elman"], loss="softmax", learn_initial_state=True)
    expected = sum(plain.gradient(net, ours.theta, [sequence]) ** 2 for sequence in sequences)
    found = ours.objective().linearize(ours.theta).squared_gradients()
    assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@every(CELLS)
def test_squares_of_every_cell_are_those_of_sequences_alone(cell):
    ours = problem(Network(cell(3, 3), n_out=2, loss="logistic", learn_initial_state=True), [2, 3, 2], masked=True)
    objective = ours.objective()
    alone = [objective.value_and_grad(ours.theta, np.array([i])).grad ** 2 for i in range(3)]
    found = objective.linearize(ours.theta).squared_gradients()
    assert_allclose(found, sum(alone), rtol=RTOL, atol=1e-14)


def test_steps_of_a_sequence_are_summed_before_they_are_squared():
    # Outputs are the bias, 0; targets 1 and -1: the two steps cancel in one sequence, and not in two.
    network = Network(Elman(1, 1), n_out=1)
    theta, y = np.zeros(network.n_params), np.array([[[1.0], [-1.0]]])
    together = SequenceObjective(network, np.ones((1, 2, 1)), y)
    apart = SequenceObjective(network, np.ones((2, 1, 1)), y.reshape(2, 1, 1))
    bias = [objective.linearize(theta).squared_gradients()[-1] for objective in (together, apart)]
    assert bias == [0.0, 2.0]


def test_a_batch_is_summed_over_its_sequences():
    ours, _, _ = pair(["gru"], loss="softmax")
    objective = ours.objective()
    one, two, both = (
        objective.linearize(ours.theta, np.array(batch)).squared_gradients() for batch in ([0], [2], [2, 0])
    )
    assert_allclose(both, one + two, rtol=RTOL, atol=1e-14)
