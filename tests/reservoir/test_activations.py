"""Activation functions: their errors in units of the last place, their special values and their symmetries."""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from naive import activations as naive
from reservoir.simd.activations import CODES, activate, activate_array, times_slope
from reservoir.simd.vectors import ONE_PACK, PACK_BYTES, load, pack_size, store
from uncompiled import plain

DTYPES = [np.float64, np.float32]
# What the sources promise, and the plain meaning, which rounds a fused multiply-add twice.
MOST_ULP = 4.0
PLAIN_RTOL = {np.float64: 1e-13, np.float32: 1e-6}
# Where the logistic function is held to units of the last place.
LOGISTIC_RANGE = {np.float64: 700.0, np.float32: 80.0}
# One rounding of a product and one of a difference near 1.
SLOPE_ULP = 2.0
HAS_EXTENDED_PRECISION = np.finfo(np.longdouble).nmant >= 63

both_types = pytest.mark.parametrize("dtype", DTYPES)
each_function = pytest.mark.parametrize("name", CODES)


@njit(cache=True)
def apply(packs, code, x, y):
    for i in range(0, x.size, len(packs) * pack_size(x)):
        store(y, i, activate(code, load(x, packs, i)))


def activated(name, x, function=apply):
    """The activation of any number of values."""
    n_pack = PACK_BYTES // x.dtype.itemsize
    padded = np.zeros(-(-len(x) // n_pack) * n_pack, x.dtype)
    padded[: len(x)] = x
    result = np.zeros_like(padded)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        function(ONE_PACK, CODES[name], padded, result)
    return result[: len(x)]


def samples(dtype, n, limit=np.inf, seed=0):
    """Both signs, evenly and by order of magnitude, and what is near the edges of the reduction."""
    rng = np.random.default_rng(seed)
    lowest = -300 if dtype == np.float64 else -37
    parts = [
        rng.uniform(-3, 3, n),
        rng.uniform(-30, 30, n),
        rng.uniform(-800, 800, n),
        10.0 ** rng.uniform(lowest, 2, n) * rng.choice([-1, 1], n),
        np.log(2) / 4 * (rng.integers(-200, 200, n) + rng.normal(0, 1e-6, n)),
    ]
    x = np.concatenate(parts).astype(dtype)
    return x[np.abs(x) < limit]


def limit_of(name, dtype):
    return LOGISTIC_RANGE[dtype] if name == "logistic" else np.inf


@each_function
@both_types
def test_error_is_at_most_four_units_in_the_last_place(name, dtype):
    x = samples(dtype, 100, limit_of(name, dtype))
    errors = naive.errors_in_ulp(activated(name, x), [getattr(naive, name)(value) for value in x])
    assert errors.max() <= MOST_ULP


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.skipif(not HAS_EXTENDED_PRECISION, reason="numpy.longdouble is no wider than float64 here")
@pytest.mark.parametrize("name", ["tanh", "logistic"])
@both_types
def test_error_over_a_million_samples(name, dtype):
    x = samples(dtype, 200_000, limit_of(name, dtype), seed=1)
    exact = getattr(naive, f"wide_{name}")(x)
    assert naive.wide_errors_in_ulp(activated(name, x), exact).max() <= MOST_ULP


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("name", ["tanh", "logistic"])
def test_error_over_every_order_of_float32(name):
    bits = np.arange(0, np.float32(np.inf).view(np.uint32), 997, dtype=np.uint32)
    x = bits.view(np.float32)
    x = np.concatenate([x, -x])
    x = x[np.abs(x) < limit_of(name, np.float32)]
    exact = getattr(naive, f"wide_{name}")(x.astype(np.float64))
    assert naive.wide_errors_in_ulp(activated(name, x), exact).max() <= MOST_ULP


SPECIAL = {
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (np.inf, 1.0), (-np.inf, -1.0), (1e30, 1.0), (-1e30, -1.0), (np.nan, np.nan)],
    "relu": [(0.0, 0.0), (np.inf, np.inf), (-np.inf, 0.0), (-1e30, 0.0), (1e30, 1e30), (np.nan, np.nan)],
    "logistic": [(0.0, 0.5), (-0.0, 0.5), (np.inf, 1.0), (1e30, 1.0), (np.nan, np.nan)],
    "identity": [(0.0, 0.0), (-0.0, -0.0), (np.inf, np.inf), (-1e30, -1e30), (np.nan, np.nan)],
}


@each_function
@both_types
def test_special_values(name, dtype):
    x, y = np.array(SPECIAL[name]).T.astype(dtype)
    got = activated(name, x)
    assert_array_equal(got, y)
    is_number = ~np.isnan(y)
    assert_array_equal(np.signbit(got)[is_number], np.signbit(y)[is_number])


@both_types
def test_tanh_of_a_denormal_is_the_denormal(dtype):
    x = np.array([5e-324, 1e-310, 2.3e-308] if dtype == np.float64 else [1e-45, 1e-40, 1.2e-38]).astype(dtype)
    assert (x > 0).all()
    assert_array_equal(activated("tanh", x), x)
    assert_array_equal(activated("tanh", -x), -x)


@both_types
def test_logistic_of_very_negative_numbers_stays_tiny_and_positive(dtype):
    x = np.array([-np.inf, -1e30, -1e4, -LOGISTIC_RANGE[dtype] * 1.1], dtype)
    got = activated("logistic", x)
    assert (got > 0).all()
    assert (got <= 1.01 * np.exp(-LOGISTIC_RANGE[dtype])).all()


@both_types
def test_tanh_is_odd_to_the_last_bit(dtype):
    x = samples(dtype, 2000)
    assert_array_equal(activated("tanh", -x), -activated("tanh", x))


@both_types
def test_tanh_never_leaves_minus_one_to_one(dtype):
    assert np.abs(activated("tanh", samples(dtype, 2000))).max() <= 1


@each_function
@both_types
def test_rises_but_for_rounding(name, dtype):
    limit = limit_of(name, dtype)
    x = np.sort(samples(dtype, 2000, limit))
    y = activated(name, x).astype(np.longdouble)
    # Two errors of at most MOST_ULP each, of the larger value.
    step_back = y[:-1] - y[1:]
    assert (step_back <= 2 * MOST_ULP * np.spacing(np.abs(y[1:]).astype(dtype)).astype(np.longdouble)).all()


@pytest.mark.compiled
@each_function
@both_types
def test_plain_meaning_agrees(name, dtype):
    x = samples(dtype, 200, limit_of(name, dtype))
    assert_allclose(activated(name, x, plain(apply)), activated(name, x), rtol=PLAIN_RTOL[dtype], atol=0)


@pytest.mark.compiled
@each_function
@both_types
def test_plain_meaning_has_the_same_special_values(name, dtype):
    x = np.array(SPECIAL[name])[:, 0].astype(dtype)
    assert_array_equal(activated(name, x, plain(apply)), activated(name, x))


# ------------------------------------------------------------------------------------------------- the other forms

SLOPES = {  # from the function's value s
    "identity": np.ones_like,
    "tanh": lambda s: (1 - s) * (1 + s),
    "relu": lambda s: (s > 0) * np.ones_like(s),
    "logistic": lambda s: s * (1 - s),
}


@njit(cache=True)
def times_slopes(code, v, s, y):
    for i in range(0, s.size, pack_size(s)):
        store(y, i, times_slope(load(v, ONE_PACK, i), code, load(s, ONE_PACK, i)))


def slopes(name, s, v):
    """``v`` times the slope where the function has the value ``s``; whole packs of both."""
    found = np.zeros_like(s)
    times_slopes(CODES[name], v, s, found)
    return found


@each_function
def test_slopes_from_values_are_the_derivatives(name):
    x, h = np.linspace(-4, 4, 64), 1e-6  # h² times third derivatives, eps / h
    values = [activate_array(np, name, x + step) for step in (h, 0.0, -h)]
    assert_allclose(slopes(name, values[1], np.full(64, 2.0)), (values[0] - values[2]) / h, atol=1e-8)


@each_function
@both_types
def test_slopes_are_rounded_twice_at_most(name, dtype):
    s = activate_array(np, name, 3 * np.random.default_rng(0).standard_normal(64)).astype(dtype)
    exact = SLOPES[name](s.astype(np.longdouble))
    assert_allclose(slopes(name, s, np.ones_like(s)), exact.astype(dtype), rtol=0, atol=SLOPE_ULP * np.finfo(dtype).eps)


def test_the_slope_of_tanh_keeps_its_digits_near_one():
    """1 - s² is a difference of near-equal numbers there, but a fused product rounds once."""
    s = np.full(64, 1 - 1e-12)
    exact = SLOPES["tanh"](s.astype(np.longdouble)).astype(float)
    # The plain meaning, with the JIT off, rounds the square first: eps / 2e-12.
    assert_allclose(slopes("tanh", s, np.ones_like(s)), exact, rtol=1e-3)


@each_function
@both_types
def test_functions_of_arrays_are_the_same_functions(name, dtype):
    x = np.linspace(-5, 5, 101).astype(dtype)
    found = activate_array(np, name, x)
    assert found.dtype == dtype
    assert_allclose(found, activated(name, x), rtol=MOST_ULP * 2 * np.finfo(dtype).eps)
