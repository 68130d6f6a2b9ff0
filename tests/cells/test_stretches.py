"""Shares in stretches of time: they cover it once, keep little, and give what the whole gives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import LSTM, Elman, Network
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


@pytest.mark.parametrize("T", [1, 2, 3, 4, 7, 16, 17, 100])
def test_stretches_cover_time_once_and_are_about_as_many_as_they_are_long(T):
    ours, again = share(network(), [T], Stretches)
    stretches = [one.data for one in again.shares]
    assert_array_equal(np.concatenate([data.x.array for data in stretches]), ours.X[0])
    assert max(len(stretches), *(data.n_steps for data in stretches)) <= np.sqrt(T) + 1


@pytest.mark.parametrize("targets", ["all", "last"])
@pytest.mark.parametrize("lengths", [[1], [1, 1], [9, 9], [9, 8, 5, 3, 3, 1], [2, 10, 4]])
def test_stretches_give_what_the_whole_gives(targets, lengths):
    found = []
    for kind in (Share, Stretches):
        ours, one = share(network(targets=targets), lengths, kind, is_mean_over_time=True)
        parameters = Parameters(one.network, ours.theta, len(lengths))
        direction = Parameters(one.network, ours.direction(), len(lengths), is_direction=True)
        gradient, product, memory = np.zeros_like(ours.theta), np.zeros_like(ours.theta), Memory()
        loss = one.value_and_grad(gradient, memory, parameters)
        assert one.forward(parameters, memory) == loss
        one.gauss_newton(product, Memory(), parameters, direction, 0.4)
        found.append((loss, gradient, product))
    for whole, stretched in zip(*found, strict=True):
        assert_allclose(stretched, whole, rtol=RTOL, atol=RTOL * np.max(np.abs(whole)))


def n_bytes(memory):
    return sum(array.nbytes for array in memory._arrays.values())


@pytest.mark.compiled
def test_memory_of_stretches_grows_with_the_root_of_time():
    kept = {}
    for T in (100, 1600):
        ours, one = share(network(), [T, T], Stretches)
        memory, parameters = Memory(), Parameters(one.network, ours.theta, 2)
        one.value_and_grad(np.zeros_like(ours.theta), memory, parameters)
        states = sum(h.nbytes + np.asarray(c).nbytes for before in one.before[1:] for h, c in before)
        kept[T] = n_bytes(memory) + states - memory._arrays["panel"].nbytes
        _, whole = share(network(), [T, T])
        whole_memory = Memory()
        whole.value_and_grad(np.zeros_like(ours.theta), whole_memory, parameters)
        assert kept[T] < (n_bytes(whole_memory) - whole_memory._arrays["panel"].nbytes) / 4
    assert kept[1600] < 5 * kept[100]  # 4 for 16 times the steps, and what is constant
