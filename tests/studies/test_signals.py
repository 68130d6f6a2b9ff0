"""The studies' own signals against twins written from their equations, and recordings against what is known of them."""

import numpy as np
import pytest

from naive import signals as naive
from studies.tasks import recordings, signals

# 530 additions to a phase that reaches 100 radians, each rounded to 1e-14.
PHASE_ATOL = 1e-11


def rng():
    return np.random.default_rng(7)


def test_commanded_sine_agrees_with_its_twin():
    levels = np.array([0.01, 0.03, 0.05])
    swing = signals.commanded_sine(530, levels, rng=rng(), hold=100, disturbance=0.4, relaxation=0.1)
    draw = np.random.default_rng(7)
    frequency = np.repeat(draw.choice(levels, 6), 100)[:530]
    expected = naive.commanded_sine(frequency, 100, draw.uniform(-0.4, 0.4, 6), 0.1)
    np.testing.assert_array_equal(swing.frequency, frequency)
    np.testing.assert_allclose(swing.output, expected, atol=PHASE_ATOL)


@pytest.mark.parametrize("n_steps, n_delays", [(0, 2), (1, 1), (3, 5), (8, 3)])
def test_delayed_copies_agree_with_their_twin(n_steps, n_delays):
    u = rng().uniform(size=n_steps)
    expected = np.reshape(naive.delayed_copies(list(u), n_delays), (n_steps, n_delays))
    np.testing.assert_array_equal(signals.delayed_copies(u, n_delays), expected)


def test_digits_are_a_function_of_their_generator():
    first, again, other = (recordings.digits_as_sequences(rng=np.random.default_rng(seed)).train for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_digits_are_split_without_overlap():
    data = recordings.digits_as_sequences(rng=rng(), n_test=597)
    assert data.train.shape == (1200, 8, 8) and data.test.shape == (597, 8, 8)
    assert 0.0 <= data.train.min() and data.train.max() == 1.0
    assert np.bincount(np.append(data.train_labels, data.test_labels)).sum() == 1797


def test_sunspots_are_the_square_roots_of_the_yearly_counts():
    pytest.importorskip("statsmodels")
    x = recordings.sunspots()
    assert x.shape == (309, 1)
    assert x[0, 0] ** 2 == pytest.approx(5.0)  # the count of the year 1700
