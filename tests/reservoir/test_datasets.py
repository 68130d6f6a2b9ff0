"""The systems against twins written from their equations, and against what is known of them."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from naive import datasets as naive
from reservoir import datasets

# Chaos stretches a rounding error by e^(t / Lyapunov time), over the short spans here by less than e^5;
# times a few hundred roundings of 1e-16.
SHORT_SPAN_RTOL = 1e-11


def rng():
    return np.random.default_rng(7)


def test_narma10_obeys_its_equation():
    u, y = datasets.narma10(300, random_state=rng(), n_discard=10)
    again = np.random.default_rng(7).uniform(0.0, 0.5, 310)
    expected = naive.narma10(list(again))
    np.testing.assert_array_equal(u[:, 0], again[10:])
    np.testing.assert_allclose(y[:, 0], expected[11:], rtol=1e-12)


def test_narma10_pairs_each_input_with_the_response_that_contains_it():
    u, y = datasets.narma10(2000, random_state=rng())
    assert abs(np.corrcoef(u[:, 0], y[:, 0])[0, 1]) > 0.2
    assert abs(np.corrcoef(u[1:, 0], y[:-1, 0])[0, 1]) < 0.1


@pytest.mark.parametrize("method", datasets.MACKEY_GLASS_METHODS)
@pytest.mark.parametrize("tau, n_substeps", [(17.0, 10), (2.5, 4), (1.0, 1)])
def test_mackey_glass_agrees_with_its_twin(method, tau, n_substeps):
    x = datasets.mackey_glass(60, random_state=rng(), tau=tau, method=method, n_substeps=n_substeps, n_discard=0)
    twin = naive.mackey_glass_rk4 if method == "rk4" else naive.mackey_glass_euler
    start = 1.2 + np.random.default_rng(7).uniform(-0.1, 0.1)
    np.testing.assert_allclose(x[:, 0], twin(start, 60, tau=tau, n_substeps=n_substeps), rtol=SHORT_SPAN_RTOL)


def test_mackey_glass_rk4_is_of_fourth_order():
    def at(n_substeps):
        return datasets.mackey_glass(50, random_state=rng(), n_substeps=n_substeps, n_discard=0)[:, 0]

    truth = at(160)
    error = [np.abs(at(n) - truth).max() for n in (5, 10)]
    assert 10.0 < error[0] / error[1] < 24.0  # 2^4 = 16 in the limit


def test_lorenz_agrees_with_a_high_order_integrator():
    x = datasets.lorenz63(100, random_state=rng(), n_discard=0, n_substeps=20)
    start = np.array([1.0, 1.0, 20.0]) + np.random.default_rng(7).uniform(-1.0, 1.0, 3)
    times = 0.02 * np.arange(100)
    truth = solve_ivp(naive.lorenz63_slope, (0, times[-1]), start, "DOP853", t_eval=times, rtol=1e-12, atol=1e-12)
    # fourth order at a step of 0.001, errors stretched by about e^2 over the two units of time
    np.testing.assert_allclose(x, truth.y.T, atol=1e-7)


def test_lorenz_errors_grow_with_the_stated_exponent():
    x = datasets.lorenz63(2000, random_state=rng())
    y = x.copy()
    state = x[0] + 1e-9
    datasets._lorenz63(y, state, 0.002, 10, 10.0, 28.0, 8.0 / 3.0)
    distance = np.log(np.linalg.norm(x - y, axis=1))
    grown = np.flatnonzero(distance > np.log(1e-2))[0]
    exponent = (distance[grown] - distance[100]) / (0.02 * (grown - 100))
    assert exponent == pytest.approx(datasets.LORENZ_LYAPUNOV_EXPONENT, rel=0.35)  # one finite stretch of the orbit


def test_lorenz96_agrees_with_a_high_order_integrator():
    x = datasets.lorenz96(100, random_state=rng(), n_features=7, forcing=9.0, n_discard=0, n_substeps=64)
    start = 9.0 + np.random.default_rng(7).standard_normal(7)
    times = 0.01 * np.arange(100)
    slope = naive.lorenz96_slope(9.0)
    truth = solve_ivp(slope, (0, times[-1]), start, "DOP853", t_eval=times, rtol=1e-12, atol=1e-12)
    # fourth order, so that 1e-10 is left of the 2e-5 of a step of 0.0025
    np.testing.assert_allclose(x, truth.y.T, atol=1e-8)


def test_henon_agrees_with_its_twin_and_grows_errors_as_stated():
    start = np.random.default_rng(7).uniform(-0.1, 0.1, 2)
    x = datasets.henon(40, random_state=rng(), n_discard=0)
    # a rounding of 1e-16 grows by e^(0.42 * 40) = 2e7
    np.testing.assert_allclose(x, naive.henon(start, 40, 1.4, 0.3), atol=1e-8)
    orbit = datasets.henon(20_000, random_state=rng())
    tangent, grown = np.array([1.0, 0.0]), 0.0
    for x in orbit[:, 0]:
        tangent = np.array([-2.8 * x * tangent[0] + tangent[1], 0.3 * tangent[0]])
        grown += np.log(np.linalg.norm(tangent))
        tangent /= np.linalg.norm(tangent)
    # a mean over 20,000 steps, each of which spreads by about 0.5
    assert grown / len(orbit) == pytest.approx(datasets.HENON_LYAPUNOV_EXPONENT, abs=0.015)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: datasets.narma10(0), ValueError, "n_steps must be an integer >= 1, got 0"),
        (lambda: datasets.narma10(9, n_discard=9), ValueError, "n_discard must be an integer >= 10, got 9"),
        (lambda: datasets.mackey_glass(9.5), TypeError, "n_steps must be an integer"),
        (lambda: datasets.mackey_glass(9, method="heun"), ValueError, "method must be one of 'rk4', 'euler'"),
        (lambda: datasets.mackey_glass(9, tau=-17.0), ValueError, "tau must be a finite number > 0, got -17.0"),
        (lambda: datasets.mackey_glass(9, tau=17.03), ValueError, "tau must be a positive multiple of 1/n_substeps"),
        (lambda: datasets.lorenz63(9, dt=0.0), ValueError, "dt must be a finite number > 0"),
        (lambda: datasets.lorenz63(9, random_state="x"), TypeError, "random_state must be"),
        (lambda: datasets.lorenz63(9, dt=0.5, n_substeps=1), ValueError, "dt must be a value at which .* finite"),
        (lambda: datasets.lorenz96(9, n_features=3), ValueError, "n_features must be an integer >= 4, got 3"),
        (lambda: datasets.henon(9, a=2.5), ValueError, "a must be a value at which .* finite, got 2.5"),
        (lambda: datasets.henon(2**62), MemoryError, "room for the series"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, error, message):
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: np.hstack(datasets.narma10(50, random_state=g)),
        lambda g: datasets.mackey_glass(50, random_state=g, n_discard=10),
        lambda g: datasets.lorenz63(50, random_state=g, n_discard=10),
        lambda g: datasets.lorenz96(50, random_state=g, n_discard=10),
        lambda g: datasets.henon(50, random_state=g, n_discard=10),
    ],
)
def test_a_series_is_a_function_of_its_random_state(draw):
    first, again, other = draw(1), draw(np.random.default_rng(1)), draw(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float64 and first.flags.c_contiguous and len(first) == 50
