"""The studies' tasks against twins written from the equations, and against what is known of the systems."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from naive import signals as naive
from studies.tasks import recordings, signals

# Chaos stretches a rounding error by e^(t / Lyapunov time), over the short spans here by less than e^5;
# times a few hundred roundings of 1e-16.
SHORT_SPAN_RTOL = 1e-11
# 530 additions to a phase that reaches 100 radians, each rounded to 1e-14.
PHASE_ATOL = 1e-11


def rng():
    return np.random.default_rng(7)


def test_narma10_obeys_its_equation():
    u, y = signals.narma10(300, rng=rng(), n_discard=10)
    again = np.random.default_rng(7).uniform(0.0, 0.5, 310)
    expected = naive.narma10(list(again))
    np.testing.assert_array_equal(u[:, 0], again[10:])
    np.testing.assert_allclose(y[:, 0], expected[11:], rtol=1e-12)


def test_narma10_pairs_each_input_with_the_response_that_contains_it():
    u, y = signals.narma10(2000, rng=rng())
    assert abs(np.corrcoef(u[:, 0], y[:, 0])[0, 1]) > 0.2
    assert abs(np.corrcoef(u[1:, 0], y[:-1, 0])[0, 1]) < 0.1


@pytest.mark.parametrize("method", signals.MACKEY_GLASS_METHODS)
@pytest.mark.parametrize("tau, n_substeps", [(17.0, 10), (2.5, 4), (1.0, 1)])
def test_mackey_glass_agrees_with_its_twin(method, tau, n_substeps):
    x = signals.mackey_glass(60, rng=rng(), tau=tau, method=method, n_substeps=n_substeps, n_discard=0)
    twin = naive.mackey_glass_rk4 if method == "rk4" else naive.mackey_glass_euler
    start = 1.2 + np.random.default_rng(7).uniform(-0.1, 0.1)
    np.testing.assert_allclose(x[:, 0], twin(start, 60, tau=tau, n_substeps=n_substeps), rtol=SHORT_SPAN_RTOL)


def test_mackey_glass_rk4_is_of_fourth_order():
    def at(n_substeps):
        return signals.mackey_glass(50, rng=rng(), n_substeps=n_substeps, n_discard=0)[:, 0]

    truth = at(160)
    error = [np.abs(at(n) - truth).max() for n in (5, 10)]
    assert 10.0 < error[0] / error[1] < 24.0  # 2^4 = 16 in the limit


@pytest.mark.parametrize("tau", [0.0, -17.0, 17.03])
def test_mackey_glass_refuses_a_delay_between_steps(tau):
    with pytest.raises(ValueError, match="multiple of 1/n_substeps"):
        signals.mackey_glass(10, rng=rng(), tau=tau)


def test_mackey_glass_names_its_methods():
    with pytest.raises(ValueError, match="'rk4', 'euler'"):
        signals.mackey_glass(10, rng=rng(), method="heun")


def test_lorenz_agrees_with_a_high_order_integrator():
    x = signals.lorenz63(100, rng=rng(), n_discard=0, n_substeps=20)
    start = np.array([1.0, 1.0, 20.0]) + np.random.default_rng(7).uniform(-1.0, 1.0, 3)
    times = 0.02 * np.arange(100)
    truth = solve_ivp(naive.lorenz63_slope, (0, times[-1]), start, "DOP853", t_eval=times, rtol=1e-12, atol=1e-12)
    # fourth order at a step of 0.001, errors stretched by about e^2 over the two units of time
    np.testing.assert_allclose(x, truth.y.T, atol=1e-7)


def test_lorenz_errors_grow_with_the_stated_exponent():
    x = signals.lorenz63(2000, rng=rng())
    y = x.copy()
    state = x[0] + 1e-9
    signals._lorenz63(y, state, 0.002, 10, 10.0, 28.0, 8.0 / 3.0)
    distance = np.log(np.linalg.norm(x - y, axis=1))
    grown = np.flatnonzero(distance > np.log(1e-2))[0]
    exponent = (distance[grown] - distance[100]) / (0.02 * (grown - 100))
    assert exponent == pytest.approx(signals.LORENZ_LYAPUNOV_EXPONENT, rel=0.35)  # one finite stretch of the orbit


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


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: np.hstack(signals.narma10(50, rng=g)),
        lambda g: signals.mackey_glass(50, rng=g, n_discard=10),
        lambda g: signals.lorenz63(50, rng=g, n_discard=10),
        lambda g: recordings.digits_as_sequences(rng=g).train,
    ],
)
def test_a_task_is_a_function_of_its_generator(draw):
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
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
