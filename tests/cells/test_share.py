"""Shares of a batch: what they find is added, and the same however often a pass is repeated."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import LSTM, MUT1, Elman, Network
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters
from cells.shares.share import Share, ShareOptions
from cells.shares.stretches import Stretches
from network_problems import problem

# The same sums in another order.
RTOL = 1e-13


def share(network, lengths, kind=Share, **options):
    ours = problem(network, lengths)
    data = ours.objective().data
    return ours, kind(network, data.portion(data.by_length), ShareOptions(np.float64, **options))


def network(**options):
    return Network([LSTM(2, 3), Elman(3, 2)], n_out=2, learn_initial_state=True, **options)


def test_what_is_found_is_added():
    ours, one = share(network(), [3, 2])
    parameters = Parameters(one.network, ours.theta, 2)
    direction = Parameters(one.network, ours.direction(), 2, is_direction=True)
    results = []
    for start in (0.0, 1.0):
        gradient, product = np.full_like(ours.theta, start), np.full_like(ours.theta, start)
        memory = Memory()
        one.value_and_grad(gradient, memory, parameters)
        one.forward(parameters, memory)
        one.gauss_newton(product, Memory(), parameters, direction, 0.0)
        results.append(np.concatenate([gradient, product]))
    assert_allclose(results[1], results[0] + 1.0, rtol=RTOL, atol=RTOL)


def gradients(one, network, thetas, memory):
    """Losses and gradients, one after the other, as one vector each."""
    parameters, found = Parameters(network, thetas[0], one.data.rows.n_sequences), []
    for theta in thetas:
        gradient = np.full_like(theta, 0.5)
        loss = one.value_and_grad(gradient, memory, parameters.set(theta))
        found.append(np.append(gradient, loss))
    return found


# Networks and data of every kind, among them those whose passes are not lists of calls.
PASSES = {
    "all": (network(), {}),
    "last": (network(targets="last"), {}),
    "one-layer": (Network(LSTM(2, 3), n_out=3, loss="softmax"), {"masked": True}),
    "raw-input": (Network(MUT1(3, 3), n_out=2), {}),
    "raw-index": (Network([MUT1(3, 3), MUT1(3, 3)], n_out=2, loss="logistic"), {"index": True}),
    "clamped": (network(), {"clamped": 1}),
    "given": (network(), {"given": 2}),
    "both": (Network([LSTM(2, 3), LSTM(6, 3)], n_out=2, bidirectional=True, targets="last"), {}),
    "stretches": (network(), {}),
}


@pytest.mark.parametrize("lengths", [[5], [4, 4, 3, 1, 1]])
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_gives_the_same_bits_however_often_it_is_repeated(monkeypatch, name, lengths):
    network, options = PASSES[name]
    n_made, forward = [0], Share.forward

    def counted(*args, **options):
        n_made[0] += 1
        return forward(*args, **options)

    monkeypatch.setattr(Share, "forward", counted)
    ours = problem(network, lengths, **options)
    data, settings, kind = ours.objective().data, ShareOptions(np.float64), Stretches if name == "stretches" else Share
    thetas = [ours.theta, 2 * ours.theta, -ours.theta, ours.theta]
    shares = [kind(network, data.portion(data.by_length), settings) for _ in range(5)]
    repeated = gradients(shares[0], network, thetas, Memory())
    assert (n_made[0] == 1) == (name not in {"given", "both", "stretches"})
    fresh = [gradients(one, network, [theta], Memory())[0] for one, theta in zip(shares[1:], thetas, strict=True)]
    assert_array_equal(repeated, fresh)
    assert not np.array_equal(repeated[0], repeated[1])


def test_a_pass_in_another_memory_or_with_other_parameters_is_not_taken_for_the_one_before():
    ours, one = share(network(), [3, 2])
    expected = gradients(one, one.network, [ours.theta], memory := Memory())
    gradients(one, one.network, [2 * ours.theta], memory)
    assert_array_equal(gradients(one, one.network, [ours.theta] * 2, Memory()), expected * 2)
    other = problem(network(), [4] * 9)
    larger = Share(one.network, (data := other.objective().data).portion(data.by_length), ShareOptions(np.float64))
    gradients(larger, one.network, [other.theta], memory)  # which grows
    assert_array_equal(gradients(one, one.network, [ours.theta] * 3, memory), expected * 3)


def test_a_pass_that_was_interrupted_is_not_repeated(monkeypatch):
    ours, one = share(network(), [3, 2])
    parameters, memory = Parameters(one.network, ours.theta, 2), Memory()
    with monkeypatch.context() as patched:
        patched.setattr("cells.shares.run.add_readout_gradient", lambda *_: [][0])
        with pytest.raises(IndexError):
            one.value_and_grad(np.zeros_like(ours.theta), memory, parameters)
    gradient, expected = np.zeros_like(ours.theta), np.zeros_like(ours.theta)
    loss = one.value_and_grad(gradient, memory, parameters)
    assert loss == share(network(), [3, 2])[1].value_and_grad(expected, Memory(), parameters)
    assert_array_equal(gradient, expected)
