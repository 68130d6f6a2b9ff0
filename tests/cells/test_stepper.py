"""A step at a time: what stands for what, and nothing that is not there reaches the kernels."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells import GRU, Network, Stepper, initial_theta, predict


def network(n_in=4, **choices):
    made = Network(GRU(n_in, 3), n_out=2, **choices)
    return made, initial_theta(made, rng=np.random.default_rng(0))


@pytest.mark.parametrize("x", [3, 3.0, np.int64(3), np.float32(3), [3], [[3]], np.array([[3.0]])])
def test_what_one_input_column_holds_is_a_number(x):
    net, theta = network(1)
    assert_array_equal(Stepper(net, theta).step(x), predict(net, theta, [np.array([[3.0]])])[0])


def test_one_column_of_several_sequences_holds_numbers_too():
    net, theta = network(1)
    expected = predict(net, theta, np.array([[[3.0]], [[5.0]]]))[:, 0]
    for x in ([3, 5], [[3], [5]], [3.0, 5.0]):
        assert_array_equal(Stepper(net, theta, n_sequences=2).step(x), expected)


@pytest.mark.parametrize("x", [1, np.uint8(1), [1], [0, 1, 0, 0], [[0.0, 1.0, 0.0, 0.0]], np.eye(4, dtype=int)[1]])
def test_an_integer_stands_for_a_one_hot_row(x):
    net, theta = network()
    assert_array_equal(Stepper(net, theta).step(x), predict(net, theta, [np.array([1])])[0])


@pytest.mark.parametrize("x", [4, -1, 10**9, -(10**9), 2**63, np.array([4]), np.uint64(2**64 - 1)])
def test_a_token_that_is_not_there_is_refused(x):
    net, theta = network()
    stepper = Stepper(net, theta)
    with pytest.raises(ValueError, match=r"x must hold class numbers from 0 to 3, .*got "):
        stepper.step(x)
    assert not stepper.state.any()


@pytest.mark.parametrize(
    "x",
    [
        [1],
        [1, 2, 3],
        1,
        [[1, 2]],
        [[0.0] * 4],
        np.zeros((4, 2)),
        np.zeros((3, 4)),
        np.zeros(8),
        np.zeros((2, 4, 1)),
        [],
    ],
)
def test_each_of_two_sequences_needs_its_row(x):
    net, theta = network()
    with pytest.raises(ValueError, match=r"x must hold numbers \(2, 4\), .* or integers \(2,\) .*got "):
        Stepper(net, theta, n_sequences=2).step(x)


@pytest.mark.parametrize("x", [[np.nan, 0.0, 0.0, 0.0], [np.inf] * 4, ["a"] * 4, [None] * 4, [1j] * 4, 10**30])
def test_what_is_no_finite_number_is_refused(x):
    net, theta = network()
    with pytest.raises((ValueError, TypeError), match="x must"):
        Stepper(net, theta).step(x)


@pytest.mark.parametrize("n_sequences", [0, -1, 10**12, 2**70, True, 1.0, "2", None])
def test_a_number_of_sequences_is_bounded(n_sequences):
    net, theta = network()
    with pytest.raises((ValueError, TypeError), match=r"n_sequences must be an integer in .*got "):
        Stepper(net, theta, n_sequences=n_sequences)


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t.astype(int), lambda t: t.tolist(), lambda t: t[None]])
def test_parameters_of_another_network_are_refused(change):
    net, theta = network()
    for run in (lambda t: Stepper(net, t), lambda t: predict(net, t, [np.zeros((2, 4))])):
        with pytest.raises(ValueError, match="theta must be a float64 or float32 array of shape"):
            run(change(theta))
