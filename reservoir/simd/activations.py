r"""Activation functions and their slopes: tanh, logistic, ReLU and identity, on vectors the same bits everywhere.

With y <= 0, k = round(y / ln 2) and r = y - k ln 2 (ln 2 in two parts), |r| <= ln(2)/2:

    expm1(r) = r + r^2 P(r),    P the Chebyshev interpolant of (expm1(r) - r) / r^2
    exp(y)   = 2^k expm1(r) + 2^k
    expm1(y) = 2^k expm1(r) + (2^k - 1)
    tanh(x)     = -h / (1 + h),  h = expm1(-2|x|) / 2,  with the sign of x
    logistic(x) = 1 / (1 + e) for x >= 0, e / (1 + e) for x < 0,  e = exp(-|x|)

Both forms avoid subtracting near-equal numbers. For tanh the reduction is that of y = -|x| by ln(2)/2, and P is taken
by its even and its odd powers side by side: instructions wait less for each other. One part of ln 2 is enough there,
since what it is off by is multiplied by 2^k. The error is at most 4 units in the last place (2.7 is the most that was
found), at any x for tanh and for |x| < 700 (float64) or 80 (float32) for the logistic function, which beyond that stays
near its value there.

The division takes as long as all else. Newton's iteration in its place, from a polynomial of the denominator, is nine
instructions that wait for each other: measured, it was no faster in float64 and slower in float32.
"""

from __future__ import annotations

from typing import Any

from reservoir.jit import njit
from reservoir.simd.vectors import (
    ROUNDING,
    at_least,
    fma,
    is_double,
    like,
    magnitude,
    polynomial,
    power_of_two,
    where_negative,
    with_sign,
)

# The table: :func:`activate`, :func:`times_slope` and :func:`activate_array` say what each of them is, and ``activate``
# of ``optim/prelude.cuh`` in CUDA. A function's number is the length of its tuple, hence part of a type: a kernel is
# compiled for the one it uses.
CODES = {"identity": (), "tanh": (0,), "relu": (0, 0), "logistic": (0, 0, 0)}

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = (
    6.93147180369123816490e-01,
    1.90821492927058770002e-10,
)  # the high part ends in zeros: k * high is exact
_LN2_HIGH_32, _LN2_LOW_32 = 0.693359375, -2.12194440e-4
# Adding it leaves an integer k in the low bits, as :func:`reservoir.simd.vectors.power_of_two` takes it.
_ROUND, _ROUND_32 = ROUNDING["float64"], ROUNDING["float32"]
# Interpolation at the Chebyshev nodes of +-ln(2)/2, highest power first; r^2 P is off by 4e-17 |r| and 5e-10 |r|.
_EXPM1 = (
    2.510038549551032e-08,
    2.7620088445409746e-07,
    2.7557268459997064e-06,
    2.4801521295954376e-05,
    0.00019841269863053618,
    0.0013888888917213717,
    0.008333333333330062,
    0.04166666666662413,
    0.16666666666666669,
    0.5000000000000001,
)
_EXPM1_32 = (
    0.00019890990824673654,
    0.0013933649996309251,
    0.0083333109254809,
    0.041666464925285904,
    0.16666666681623232,
    0.500000001346581,
)

_HALF_LN2 = 0.34657359027997264
# 2 P(2 r), of which expm1(2 r) / 2 = r + r^2 2 P(2 r) is made: odd and even powers. Powers of two leave digits alone.
_ODD, _EVEN = (tuple(c * 2.0 ** (10 - i) for i, c in list(enumerate(_EXPM1))[first::2]) for first in (0, 1))
_ODD_32, _EVEN_32 = (tuple(c * 2.0 ** (6 - i) for i, c in list(enumerate(_EXPM1_32))[first::2]) for first in (0, 1))
_TANH_64 = (-22.0, 2 * _LOG2_E, _ROUND, _HALF_LN2, _ODD, _EVEN)
_TANH_32 = (-22.0, 2 * _LOG2_E, _ROUND_32, _HALF_LN2, _ODD_32, _EVEN_32)
TANH = {"float64": _TANH_64, "float32": _TANH_32}


@njit(nogil=True, error_model="numpy")
def _reduced_exponential(y):
    """2^k and expm1(r) with exp(y) = 2^k exp(r), for y <= 0 within the range of 2^k."""
    if is_double(y):
        t = fma(y, like(y, _LOG2_E), like(y, _ROUND))
        k = t - like(y, _ROUND)
        r = fma(k, like(y, -_LN2_LOW), fma(k, like(y, -_LN2_HIGH), y))
        p = polynomial(r, _EXPM1)
    else:
        t = fma(y, like(y, _LOG2_E), like(y, _ROUND_32))
        k = t - like(y, _ROUND_32)
        r = fma(k, like(y, -_LN2_LOW_32), fma(k, like(y, -_LN2_HIGH_32), y))
        p = polynomial(r, _EXPM1_32)
    return power_of_two(t), fma(r * r, p, r)


@njit(nogil=True, error_model="numpy")
def tanh_with(constants, x):
    """Hyperbolic tangent of a vector, with :data:`TANH` of its type.

    A kernel that takes the constants as an argument keeps them in registers. Those written into its code are loaded
    again at every use where the loop around them is a long one.
    """
    lowest, scale, rounding, half_ln2, odd, even = constants
    y = at_least(like(x, -1.0) * magnitude(x), like(x, lowest))
    t = fma(y, like(x, scale), like(x, rounding))
    r = fma(t - like(x, rounding), like(x, -half_ln2), y)
    square = r * r
    small = fma(square, fma(polynomial(square, odd), r, polynomial(square, even)), r)
    power = power_of_two(t)
    h = fma(power, small, fma(power, like(x, 0.5), like(x, -0.5)))
    return with_sign(h / (like(x, 1.0) + h), x)


@njit(nogil=True, error_model="numpy")
def tanh(x):
    """Hyperbolic tangent of a vector."""
    return tanh_with(_TANH_64, x) if is_double(x) else tanh_with(_TANH_32, x)


@njit(nogil=True, error_model="numpy")
def logistic(x):
    """1 / (1 + exp(-x)) of a vector."""
    lowest = -708.0 if is_double(x) else -87.0
    y = at_least(like(x, -1.0) * magnitude(x), like(x, lowest))
    power, small = _reduced_exponential(y)
    e = fma(power, small, power)
    one = like(x, 1.0)
    return where_negative(x, e, one) / (one + e)


@njit(nogil=True, error_model="numpy")
def activate(code, x):
    """The activation function with this entry in :data:`CODES`, of a vector."""
    if len(code) == 1:
        return tanh(x)
    if len(code) == 2:
        return at_least(x, like(x, 0.0))
    if len(code) == 3:
        return logistic(x)
    return x


@njit(nogil=True, error_model="numpy")
def activate_with(code, constants, x):
    """As :func:`activate`, with :data:`TANH` of the type of ``x``."""
    return tanh_with(constants, x) if len(code) == 1 else activate(code, x)


@njit(nogil=True, error_model="numpy")
def one_minus_square(v):
    """1 - v²: the derivative of tanh where it is v."""
    return fma(like(v, -1.0) * v, v, like(v, 1.0))


@njit(nogil=True, error_model="numpy")
def times_one_minus(v):
    """v (1 - v): the derivative of the logistic function where it is v."""
    return v * (like(v, 1.0) - v)


@njit(nogil=True, error_model="numpy")
def times_slope(v, code, value):
    """``v`` times the derivative of the activation function where the function has this value."""
    if len(code) == 1:
        return v * one_minus_square(value)
    if len(code) == 2:
        return where_negative(like(v, 0.0) - value, v, like(v, 0.0))
    if len(code) == 3:
        return v * times_one_minus(value)
    return v


def activate_array(xp: Any, name: str, z: Any) -> Any:
    """The activation function of that name, of an array of ``xp``, NumPy or CuPy."""
    if name == "tanh":
        return xp.tanh(z)
    if name == "relu":
        return xp.maximum(z, 0)
    return 1 / (1 + xp.exp(-z)) if name == "logistic" else z


@njit(nogil=True, error_model="numpy")
def exponential(y):
    """exp(y) of a vector y <= 0; below the range of normal numbers, the smallest of them."""
    lowest = -708.0 if is_double(y) else -87.0
    power, small = _reduced_exponential(at_least(y, like(y, lowest)))
    return fma(power, small, power)
