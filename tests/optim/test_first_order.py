"""First-order methods, each against its plain recursion, and what they have in common."""

import copy
import pickle

import numpy as np
import pytest

from contracts import every
from naive import first_order as naive
from optim import SGD, Adagrad, Adam, Momentum, Nesterov, RisingMomentum, RMSProp, clip_by_norm, clip_by_value
from optim.long_vectors import BLOCK

# Both sides round every operation once; orders of operations differ, and 60 steps of a stable recursion add up.
RECURSION_RTOL = 1e-12
N_STEPS = 60

CURVATURE = np.array([3.0, 1.0, 0.3, 0.0, 2.0])
START = np.array([1.0, -2.0, 3.0, 0.5, -0.1])

METHODS = {
    "sgd": SGD(0.1),
    "momentum": Momentum(0.1, momentum=0.8),
    "nesterov": Nesterov(0.1, momentum=0.8),
    "adagrad": Adagrad(0.1),
    "adagrad-outside": Adagrad(0.1, epsilon_place="outside"),
    "rmsprop": RMSProp(0.01, momentum=0.5),
    "adam": Adam(0.05),
    "adam-clipped": Adam(0.05, clip_value=0.3, clip_norm=0.2),
}


def gradient(theta):
    return CURVATURE * theta + 0.1 * np.sin(3.0 * theta)


def rate(t):
    return 0.1 / (1.0 + 0.01 * t)


def rising(t):
    """A momentum that changes at every step, so that a wrong index of it shows."""
    return 0.9 - 0.5 / (t + 1)


def follow(method, theta, n_steps, state=None):
    theta = theta.copy()
    state = method.init(theta) if state is None else state
    for _ in range(n_steps):
        theta, state = method.update(gradient(theta).astype(theta.dtype), theta, state)
    return theta, state


RECURSIONS = {
    "sgd": (SGD(rate), lambda: naive.sgd(gradient, START, rate, N_STEPS)),
    "momentum": (
        Momentum(rate, momentum=rising),
        lambda: naive.classical_momentum(gradient, START, rate, rising, N_STEPS),
    ),
    "adagrad": (Adagrad(rate), lambda: naive.adagrad(gradient, START, rate, 1e-8, True, N_STEPS)),
    "adagrad-outside": (
        Adagrad(rate, epsilon=1e-3, epsilon_place="outside"),
        lambda: naive.adagrad(gradient, START, rate, 1e-3, False, N_STEPS),
    ),
    "rmsprop": (
        RMSProp(rate, decay=0.8, momentum=rising, epsilon=1e-3),
        lambda: naive.rmsprop(gradient, START, rate, 0.8, rising, 1e-3, False, N_STEPS),
    ),
    "rmsprop-inside": (
        RMSProp(rate, decay=0.8, momentum=rising, epsilon=1e-3, epsilon_place="inside"),
        lambda: naive.rmsprop(gradient, START, rate, 0.8, rising, 1e-3, True, N_STEPS),
    ),
    "adam": (
        Adam(rate, beta1=0.8, beta2=0.9, epsilon=1e-3),
        lambda: naive.adam(gradient, START, rate, 0.8, 0.9, 1e-3, N_STEPS),
    ),
}


@every(RECURSIONS)
def test_method_follows_its_recursion(case):
    method, expected = case
    theta, state = follow(method, START, N_STEPS)
    np.testing.assert_allclose(theta, expected(), rtol=RECURSION_RTOL)
    assert state.iteration == N_STEPS


def test_nesterov_is_the_method_of_the_paper_seen_from_the_point_looked_ahead_to():
    method = Nesterov(rate, momentum=rising)
    theta, state = follow(method, START, N_STEPS)
    expected = naive.nesterov(gradient, START, rate, rising, N_STEPS)
    np.testing.assert_allclose(method.position(theta, state), expected, rtol=RECURSION_RTOL)
    ahead = expected + rising(N_STEPS) * state.slots["velocity"]
    np.testing.assert_allclose(theta, ahead, rtol=RECURSION_RTOL)


def test_nesterov_differs_from_classical_momentum():
    one, _ = follow(Nesterov(0.1, momentum=0.8), START, 3)
    other, _ = follow(Momentum(0.1, momentum=0.8), START, 3)
    assert not np.allclose(one, other, rtol=1e-3)


def test_nesterov_outruns_steepest_descent_on_a_long_valley():
    valley = np.array([1.0, 1e-3])
    theta, plain = np.ones(2), np.ones(2)
    method = Nesterov(0.9, momentum=RisingMomentum(0.95, period=10))
    state = method.init(theta)
    for _ in range(600):
        theta, state = method.update(valley * theta, theta, state)
        plain -= 0.9 * valley * plain
    assert theta @ (valley * theta) < 0.01 * (plain @ (valley * plain))


@every(METHODS)
def test_blocks_do_not_change_a_bit(method):
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(2 * BLOCK + 3)
    grad = rng.standard_normal(theta.size)
    # Clipping by norm looks at all entries; a bound that is not reached leaves the rest to be compared.
    method = copy.copy(method)
    object.__setattr__(method, "clip_norm", None)
    whole, state = theta.copy(), method.init(theta)
    parts = [theta[:1].copy(), theta[1:].copy()]
    states = [method.init(part) for part in parts]
    for _ in range(3):
        method.update(grad, whole, state)
        for part, part_state, part_grad in zip(parts, states, [grad[:1], grad[1:]], strict=True):
            method.update(part_grad, part, part_state)
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@every(METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays_and_nothing_but_theta_and_state_is_written(method, dtype):
    theta = START.astype(dtype)
    grad = gradient(theta).astype(dtype)
    grad.flags.writeable = False
    state = method.init(theta)
    same, same_state = method.update(grad, theta, state)
    assert same is theta and same_state is state and theta.dtype == dtype
    assert all(slot.dtype == dtype and slot.shape == theta.shape for slot in state.slots.values())
    assert not np.array_equal(theta, START.astype(dtype))


@every(METHODS)
def test_float32_stays_near_float64(method):
    single, _ = follow(method, START.astype(np.float32), 20)
    double, _ = follow(method, START, 20)
    # 20 steps, each with some ten roundings of 6e-8 of numbers up to 3; division by a small root multiplies them.
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


@every(METHODS)
def test_a_pickled_state_goes_on_bit_for_bit(method):
    straight, _ = follow(method, START, 20)
    theta, state = follow(method, START, 10)
    resumed, _ = follow(method, theta, 10, pickle.loads(pickle.dumps(state)))
    np.testing.assert_array_equal(resumed, straight)


@every(METHODS)
def test_scale_makes_a_mean_of_a_sum(method):
    theta, other = START.copy(), START.copy()
    method.update(8.0 * gradient(theta), theta, method.init(theta), scale=0.125)
    method.update(gradient(other), other, method.init(other))
    np.testing.assert_array_equal(theta, other)


def test_entries_are_clipped_before_the_norm():
    theta = np.zeros(3)
    grad = np.array([10.0, -0.5, 0.0])
    SGD(1.0, clip_value=1.0, clip_norm=0.5).update(grad, theta, SGD(1.0).init(theta))
    np.testing.assert_allclose(-theta, clip_by_norm(clip_by_value(grad, 1.0), 0.5), rtol=RECURSION_RTOL)


def test_a_root_of_zero_is_not_divided_by():
    theta = np.ones(2, np.float32)
    method = Adagrad(0.1, epsilon=0.0)
    method.update(np.array([0.0, 1e-30], np.float32), theta, method.init(theta))
    np.testing.assert_array_equal(theta, np.ones(2, np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.0), "learning_rate must be a finite number > 0, got 0.0"),
        (lambda: SGD("fast"), "learning_rate must be a finite number > 0, got 'fast'"),
        (lambda: Adam(clip_norm=-1.0), "clip_norm must be a finite number > 0, got -1.0"),
        (lambda: Momentum(0.1, momentum=1.0), r"momentum must be a finite number in \[0, 1\), got 1.0"),
        (lambda: Adam(beta2=1.0), r"beta2 must be a finite number in \[0, 1\), got 1.0"),
        (lambda: RMSProp(decay=-0.1), r"decay must be a finite number in \[0, 1\), got -0.1"),
        (lambda: Adagrad(epsilon_place="under"), "epsilon_place must be one of 'inside', 'outside', got 'under'"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_schedule_that_breaks_leaves_the_parameters_alone():
    theta = np.ones(2)
    for method in (SGD(lambda t: np.nan), Momentum(0.1, momentum=lambda t: np.inf), Adam(lambda t: -np.inf)):
        with pytest.raises(ValueError, match=r"(learning_rate|momentum) must be finite at every step, got .* at step"):
            method.update(np.ones(2), theta, method.init(theta))
    np.testing.assert_array_equal(theta, np.ones(2))


def test_a_gradient_of_another_size_or_precision_is_named():
    theta = np.zeros(3)
    for grad in (np.zeros(4), np.zeros(3, np.float32), [0.0, 0.0, 0.0]):
        with pytest.raises(ValueError, match="grad must be float64 of shape"):
            SGD(0.1).update(grad, theta, SGD(0.1).init(theta))
