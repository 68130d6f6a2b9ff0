"""The objective of a network on sequences: against the plain twin, and for every cell."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import GRU, LSTM, Elman, Network
from contracts import CELLS, ONE_OF_EACH, every
from naive import networks as plain
from network_problems import LENGTHS, problem
from objective_problems import (
    DISTANCES,
    FLOAT32,
    LOSSES,
    NETWORKS,
    REORDERED,
    TARGETS,
    TWIN,
    answers,
    assert_same_answers,
    made,
    pairs,
)
from optim import checks

pytestmark = pytest.mark.usefixtures("small_batches_are_cut_into_shares_too")


# ------------------------------------------------------------------------------------------------- the plain twin


@pairs
def test_loss_and_gradient_are_those_of_the_plain_network(case):
    ours, net, sequences = made(case)
    found = ours.objective().value_and_grad(ours.theta)
    assert_allclose(found.loss_sum, plain.loss(net, ours.theta, sequences), **TWIN)
    assert_allclose(found.grad, plain.gradient(net, ours.theta, sequences), **TWIN)
    rows = [np.mean(weights) for s in sequences for weights in s.weights]  # a row weighs the mean of its outputs
    assert_allclose(found.weight, sum(rows), rtol=1e-14)
    assert ours.objective().value(ours.theta).loss_sum == found.loss_sum


@pairs
def test_gauss_newton_products_are_those_of_the_dense_matrix(case):
    ours, net, sequences = made(case)
    came = checks.dense_gauss_newton(ours.objective(), ours.theta)
    assert_allclose(came, plain.gauss_newton(net, ours.theta, sequences), **TWIN)


@pairs
def test_structural_damping_adds_the_dense_matrix_of_the_distance(case):
    ours, net, sequences = made(case)
    v = ours.direction()
    for distance in DISTANCES:
        objective = ours.objective(structural_distance=distance)
        linear = objective.linearize(ours.theta)
        added = linear.gauss_newton(v, structural=0.7) - linear.gauss_newton(v)
        assert_allclose(added, 0.7 * plain.structural(net, ours.theta, sequences, distance) @ v, **TWIN)


@pytest.mark.parametrize("case", [NETWORKS["both-directions"], NETWORKS["stack-last"]], ids=["both", "stack"])
def test_structural_damping_may_be_a_mean_over_time(case):
    ours, net, sequences = made(case)
    v = ours.direction()
    linear = ours.objective(structural_mean="mean_time").linearize(ours.theta)
    added = linear.gauss_newton(v, structural=0.7) - linear.gauss_newton(v)
    expected = plain.structural(net, ours.theta, sequences, "matching", "mean_time") @ v
    assert_allclose(added, 0.7 * expected, **TWIN)


# ----------------------------------------------------------------------------------------------------- every cell


def small(cell, **options):
    return Network(cell(2, 3), n_out=2, learn_initial_state=True, **options)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_passes_the_checks_of_objectives(name):
    kinds = {"loss": LOSSES[len(name) % 3], "targets": TARGETS[len(name) % 2]}
    ours = problem(small(CELLS[name], **kinds))
    checks.check(ours.objective(), ours.theta, structural=0.3)


@pytest.mark.slow
@pytest.mark.compiled
@every(CELLS)
def test_every_cell_passes_them_in_stacks_of_both_directions(cell):
    layers = [cell(2, 2), LSTM(4, 2), Elman(4, 2), cell(4, 4) if cell(4, 4).n_in == 4 else GRU(4, 4)]
    network = Network(layers, n_out=2, loss="softmax", bidirectional=True, learn_initial_state=True)
    ours = problem(network, masked=True)
    checks.check(ours.objective(), ours.theta, structural=0.3)


@every(ONE_OF_EACH)
def test_states_computed_again_give_the_same_answers(cell):
    for kind in TARGETS:
        if cell(3, 3).n_fed_back:
            with pytest.raises(NotImplementedError, match="recompute needs cells that read h and c alone"):
                problem(Network(cell(3, 3), n_out=2, targets=kind)).objective(recompute=True)
            continue
        network = Network([cell(3, 3), Elman(3, 2)], n_out=2, targets=kind, learn_initial_state=True)
        assert_same_answers(*(problem(network, masked=True).objective(recompute=again) for again in (False, True)))


@pytest.mark.parametrize("case", [NETWORKS["clamped"], NETWORKS["given-state"], NETWORKS["index-elman"]])
def test_states_computed_again_keep_what_is_given(case):
    ours, _, _ = made(case)
    assert_same_answers(ours.objective(), ours.objective(recompute=True))


@every(ONE_OF_EACH)
def test_single_precision_is_near_double(cell):
    network = Network(cell(3, 3), n_out=2, loss="softmax", learn_initial_state=True)
    double, single = (problem(network, dtype=dtype) for dtype in (np.float64, np.float32))
    near, found = answers(double.objective(), double.theta), answers(single.objective(), single.theta)
    for name in near:
        assert np.asarray(found[name]).dtype in (np.float32, float)
        assert_allclose(found[name], near[name], rtol=0, atol=FLOAT32 * max(1.0, np.max(np.abs(near[name]))))
    assert single.objective().dtype == np.float32


@every(ONE_OF_EACH)
def test_squared_gradients_are_those_of_sequences_alone(cell):
    network = Network([cell(3, 3), LSTM(3, 2)], n_out=2, loss="softmax", learn_initial_state=True)
    ours = problem(network, masked=True)
    objective = ours.objective()
    alone = [objective.value_and_grad(ours.theta, np.array([i])).grad ** 2 for i in range(len(LENGTHS))]
    assert_allclose(objective.linearize(ours.theta).squared_gradients(), sum(alone), **REORDERED)


@pytest.mark.parametrize("name", ["both-directions-last", "given-state", "clamped", "index", "stack-last"])
def test_squared_gradients_know_all_kinds_of_data(name):
    ours, _, _ = made(NETWORKS[name])
    objective = ours.objective()
    alone = [objective.value_and_grad(ours.theta, np.array([i])).grad ** 2 for i in range(len(LENGTHS))]
    linear = objective.linearize(ours.theta)
    before = linear.gauss_newton(ours.direction())
    assert_allclose(linear.squared_gradients(), sum(alone), **REORDERED)
    assert_array_equal(linear.gauss_newton(ours.direction()), before)
