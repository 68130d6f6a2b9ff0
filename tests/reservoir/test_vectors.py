"""The vocabulary of vectors: each word compiled, in its plain meaning, and what it is meant to say."""

import numpy as np
import pytest
from numba import njit
from numba.core import config
from numpy.testing import assert_allclose, assert_array_equal

from reservoir.simd.vectors import (
    ONE_PACK,
    PACK_BYTES,
    ROUNDING,
    TWO_PACKS,
    aligned,
    at,
    at_least,
    fma,
    full,
    gather,
    greater,
    is_double,
    lesser,
    like,
    load,
    load_some,
    magnitude,
    pack_size,
    pad,
    polynomial,
    power_of_two,
    put,
    side_by_side,
    spread,
    store,
    store_some,
    times_or_zero,
    total,
    where_negative,
    with_sign,
)
from uncompiled import plain

DTYPES = [np.float64, np.float32]
PACKS = {"one pack": ONE_PACK, "two packs": TWO_PACKS}
# The plain fma rounds twice; Horner's rule over 3 terms of numbers near 1 does so 3 times.
PLAIN_RTOL = {np.float64: 1e-13, np.float32: 1e-5}
COEFFICIENTS = (0.5, -1.5, 2.0)

both_types = pytest.mark.parametrize("dtype", DTYPES)
both_widths = pytest.mark.parametrize("packs", PACKS.values(), ids=PACKS)


@njit(cache=True)
def say_everything(packs, a, b, c, indices, wide, vectors, numbers):
    """A row of ``vectors``, or an entry of ``numbers``, for each word."""
    n = vectors.shape[1]
    x, y, z = load(a, packs, 3), load(b, packs, 1), load(c, packs, 0)
    store(vectors, 0, x)
    store(vectors, n, full(a, packs, 0.3))
    store(vectors, 2 * n, like(x, -2.5))
    store(vectors, 3 * n, spread(a, packs, 5))
    store(vectors, 4 * n, gather(a, packs, 2, indices, 1))
    store(vectors, 5 * n, magnitude(x))
    store(vectors, 6 * n, with_sign(x, y))
    store(vectors, 7 * n, at_least(x, y))
    store(vectors, 8 * n, where_negative(x, y, z))
    store(vectors, 9 * n, times_or_zero(x, y))
    store(vectors, 10 * n, x + y)
    store(vectors, 11 * n, x - y)
    store(vectors, 12 * n, x * y)
    store(vectors, 13 * n, y / z)
    store(vectors, 14 * n, power_of_two(load(c, packs, c.size // 2)))
    store(vectors, 15 * n, fma(y, z, y))
    store(vectors, 16 * n, polynomial(z, COEFFICIENTS))
    store(wide, 1, z)
    put(numbers, 0, at(a, 4))
    put(numbers, 1, total(load(c, ONE_PACK, 0)))
    put(numbers, 2, pack_size(a))
    put(numbers, 3, is_double(x))
    put(numbers, 4, fma(at(c, 0), at(c, 1), at(c, 2)))


EXACT_WORDS = (
    "load", "full", "like", "spread", "gather", "magnitude", "with_sign", "at_least", "where_negative",
    "times_or_zero", "+", "-", "*", "/", "power_of_two",
)  # fmt: skip
ROUNDED_WORDS = ("fma", "polynomial")
N_NUMBERS = 5


def arguments(packs, dtype):
    """Arrays with every special value at every word; powers of two to make in the second half of ``c``."""
    rng = np.random.default_rng(0)
    n = len(packs) * PACK_BYTES // np.dtype(dtype).itemsize
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1.0, 2.0], dtype)
    a = np.concatenate([rng.standard_normal(3), special, rng.standard_normal(2 * n)]).astype(dtype)
    b = np.concatenate([[9.0], np.repeat([0.0, -3.0], 2), rng.standard_normal(2 * n)]).astype(dtype)
    exponents = rng.integers(-100, 100, n)
    c = np.concatenate([rng.uniform(1, 2, n), ROUNDING[np.dtype(dtype).name] + exponents]).astype(dtype)
    indices = np.concatenate([[0], rng.integers(0, 2 * n, n)]).astype(np.int32)
    return a, b, c, indices, exponents, n


def meanings(packs, dtype):
    """What each word says, from NumPy."""
    a, b, c, indices, exponents, n = arguments(packs, dtype)
    x, y, z = a[3 : 3 + n], b[1 : 1 + n], c[:n]
    with np.errstate(invalid="ignore", over="ignore"):
        return {
            "load": x,
            "full": np.full(n, 0.3, dtype),
            "like": np.full(n, -2.5, dtype),
            "spread": np.full(n, a[5]),
            "gather": a[2 + indices[1:]],
            "magnitude": np.abs(x),
            "with_sign": np.copysign(x, y),
            "at_least": np.where(x < y, y, x),
            "where_negative": np.where(x < 0, y, z),
            "times_or_zero": np.where(y == 0, 0, x * y),
            "+": x + y,
            "-": x - y,
            "*": x * y,
            "/": y / z,
            "power_of_two": 2.0**exponents,
            "fma": y.astype(np.longdouble) * z + y,
            "polynomial": (0.5 * z - 1.5) * z + 2.0,
        }


def say(function, packs, dtype):
    a, b, c, indices, _, n = arguments(packs, dtype)
    vectors, numbers = np.zeros((len(EXACT_WORDS + ROUNDED_WORDS), n), dtype), np.zeros(N_NUMBERS)
    wide = np.zeros(n + 2)
    with np.errstate(invalid="ignore", over="ignore"):
        function(packs, a, b, c, indices, wide, vectors, numbers)
    return dict(zip(EXACT_WORDS + ROUNDED_WORDS, vectors, strict=True)), numbers, wide


@pytest.mark.parametrize("function", [say_everything, plain(say_everything)], ids=["as run", "plain"])
@both_widths
@both_types
def test_each_word_means_what_numpy_says(function, packs, dtype):
    said, numbers, wide = say(function, packs, dtype)
    meant = meanings(packs, dtype)
    for word in EXACT_WORDS:
        assert_array_equal(said[word], meant[word], err_msg=word)
        is_number = ~np.isnan(said[word])
        same_zeros = np.signbit(said[word]) == np.signbit(meant[word])
        assert same_zeros[is_number].all(), word
    for word in ROUNDED_WORDS:
        assert_allclose(said[word], meant[word].astype(dtype), rtol=PLAIN_RTOL[dtype], err_msg=word)
    a, _, c, _, _, n = arguments(packs, dtype)
    assert_array_equal(wide, [0, *c[:n], 0])
    P = PACK_BYTES // np.dtype(dtype).itemsize
    assert_array_equal(numbers[[0, 2, 3]], [a[4], P, dtype == np.float64])
    assert_allclose(numbers[[1, 4]], [c[:P].sum(), c[0] * c[1] + c[2]], rtol=PLAIN_RTOL[dtype])


@both_widths
@both_types
def test_plain_words_agree_with_compiled_ones(packs, dtype):
    said, numbers, _ = say(say_everything, packs, dtype)
    plainly, plain_numbers, _ = say(plain(say_everything), packs, dtype)
    for word in EXACT_WORDS:
        assert_array_equal(said[word], plainly[word], err_msg=word)
    for word in ROUNDED_WORDS:
        assert_allclose(said[word], plainly[word], rtol=PLAIN_RTOL[dtype], err_msg=word)
    assert_array_equal(numbers[:4], plain_numbers[:4])
    assert_allclose(numbers[4], plain_numbers[4], rtol=PLAIN_RTOL[dtype])


@njit(cache=True)
def multiply_add(packs, a, b, c, out):
    store(out, 0, fma(load(a, packs, 0), load(b, packs, 0), load(c, packs, 0)))
    return fma(at(a, 0), at(b, 0), at(c, 0))


@pytest.mark.compiled
@both_types
def test_compiled_fma_rounds_once(dtype):
    eps = np.finfo(dtype).eps
    n = PACK_BYTES // np.dtype(dtype).itemsize
    out = np.zeros(n, dtype)
    scalar = multiply_add(ONE_PACK, np.full(n, 1 + eps), np.full(n, 1 - eps), np.full(n, -1, dtype), out)
    assert_array_equal(out, np.full(n, -(eps**2)))
    assert scalar == -(eps**2)


@njit(cache=True)
def sum_of_pack(a):
    return total(load(a, ONE_PACK, 0))


@njit(cache=True)
def order(a, b):
    return lesser(a, b), greater(a, b)


@pytest.mark.parametrize("a, b", [(3, -2), (-2, 3), (0.5, 2.5), (2.5, 0.5), (np.nan, 1.0), (1.0, np.nan)])
def test_the_lesser_and_the_greater_are_those_of_python(a, b):
    assert_array_equal(order(a, b), (min(a, b), max(a, b)))


@both_types
def test_total_adds_halves_until_one_number_is_left(dtype):
    a = np.random.default_rng(0).standard_normal(PACK_BYTES // np.dtype(dtype).itemsize).astype(dtype)
    halves = a
    while len(halves) > 1:
        halves = halves[: len(halves) // 2] + halves[len(halves) // 2 :]
    assert sum_of_pack(a) == halves[0]


@njit(cache=True)
def swap_packs(a, out):
    n = pack_size(a)
    store(out, 0, side_by_side(load(a, ONE_PACK, n), load(a, ONE_PACK, 0)))


@both_types
def test_two_packs_stand_side_by_side(dtype):
    n = PACK_BYTES // np.dtype(dtype).itemsize
    a, out = np.arange(2 * n, dtype=dtype), np.zeros(2 * n, dtype)
    swap_packs(a, out)
    assert_array_equal(out, np.roll(a, n))


@both_types
def test_power_of_two_holds_over_the_range_of_exponents(dtype):
    exponents = np.arange(-1022 if dtype == np.float64 else -126, 1)
    t = (ROUNDING[np.dtype(dtype).name] + exponents).astype(dtype)
    assert_array_equal(power_of_two(t), np.ldexp(dtype(1), exponents))


@njit(cache=True)
def copy_some(packs, a, start, b, end, count):
    """``count`` elements of ``a`` from ``start`` on to ``end`` on in ``b``; returns the sum of their first pack."""
    v = load_some(a, packs, start, count)
    store_some(b, end, v, count)
    return total(load_some(a, ONE_PACK, start, count))


some = pytest.mark.parametrize("function", [copy_some, plain(copy_some)], ids=["as run", "plain"])


@some
@both_widths
@both_types
def test_some_of_a_vector_is_copied_and_nothing_around_it(function, packs, dtype):
    P = PACK_BYTES // np.dtype(dtype).itemsize
    n, above, below = len(packs) * P, 3, 5
    numbers = np.random.default_rng(0).integers(-9, 10, n).astype(dtype)
    for count in (0, 1, 2, P - 1, P, n - 1, n):
        a = np.full(above + count + below, np.nan, dtype)
        a[above : above + count] = numbers[:count]
        b = np.full(below + count + above, -1, dtype)
        assert function(packs, a, above, b, below, count) == numbers[: min(count, P)].sum()
        assert_array_equal(b, [*[-1] * below, *numbers[:count], *[-1] * above])


@some
@both_widths
@both_types
def test_more_than_a_vector_holds_is_a_whole_vector(function, packs, dtype):
    n = len(packs) * PACK_BYTES // np.dtype(dtype).itemsize
    a, b = np.arange(3 * n, dtype=dtype), np.zeros(3 * n, dtype)
    for count in (n + 1, 2 * n, 10**6):
        function(packs, a, 1, b, 2, count)
        assert_array_equal(b, [0, 0, *a[1 : 1 + n], *[0] * (2 * n - 2)])


@both_types
@pytest.mark.parametrize("shape", [(0, 5), (1,), (3, 7), (2, 2, 2)])
def test_aligned_arrays_are_zeros_that_begin_on_a_pack(shape, dtype):
    for _ in range(5):  # wherever the allocator puts it
        array = aligned(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not array.any()
        assert array.ctypes.data % PACK_BYTES == 0 or array.size == 0


@both_types
def test_padding_goes_to_the_next_two_packs(dtype):
    step = 2 * PACK_BYTES // np.dtype(dtype).itemsize
    assert [pad(n, dtype) for n in (0, 1, step, step + 1)] == [0, step, step, 2 * step]


# ------------------------------------------------------------------------------------------------ bounds

needs_bounds_check = pytest.mark.skipif(
    not config.BOUNDSCHECK or config.DISABLE_JIT, reason="bounds are checked with NUMBA_BOUNDSCHECK=1 and the JIT only"
)


@njit(cache=True)
def load_from(a, packs, position):
    return total(load(a, ONE_PACK, position)) + at(a, 0)


@njit(cache=True)
def store_to(a, packs, position):
    store(a, position, full(a, packs, 1.0))
    return at(a, 0)


@njit(cache=True)
def read_at(a, packs, position):
    return at(a, position)


@njit(cache=True)
def write_at(a, packs, position):
    put(a, position, 1.0)
    return at(a, 0)


@njit(cache=True)
def spread_from(a, packs, position):
    store(a, 0, spread(a, packs, position))
    return at(a, 0)


ONE_PLACE = {"at": read_at, "put": write_at, "spread": spread_from}
MANY_PLACES = {"load": load_from, "store": store_to}


@pytest.mark.compiled
@needs_bounds_check
@pytest.mark.parametrize("function", ONE_PLACE.values(), ids=ONE_PLACE)
def test_a_number_outside_its_array_raises(function):
    a = np.zeros(16)
    assert function(a, ONE_PACK, 15) in (0, 1)
    for position in (16, -1, 10**9):
        with pytest.raises(IndexError, match="outside its array"):
            function(a, ONE_PACK, position)


@pytest.mark.compiled
@needs_bounds_check
@pytest.mark.parametrize("function", MANY_PLACES.values(), ids=MANY_PLACES)
@both_types
def test_a_vector_that_reaches_outside_its_array_raises(function, dtype):
    P = PACK_BYTES // np.dtype(dtype).itemsize
    a = np.zeros(2 * P, dtype)
    function(a, ONE_PACK, P)
    for position in (P + 1, 2 * P, -1):
        with pytest.raises(IndexError, match="outside its array"):
            function(a, ONE_PACK, position)


@pytest.mark.compiled
@needs_bounds_check
@both_types
def test_some_of_a_vector_from_outside_the_array_raises(dtype):
    n = PACK_BYTES // np.dtype(dtype).itemsize
    a, b = np.zeros(n, dtype), np.zeros(3 * n, dtype)
    for start, count in ((0, n), (n - 1, 1), (0, 10 * n), (n - 2, 2)):
        copy_some(ONE_PACK, a, start, b, 0, count)
    for start, count in ((1, n), (n, 1), (-1, 1), (n - 2, 3)):
        with pytest.raises(IndexError, match="outside its array"):
            copy_some(ONE_PACK, a, start, b, 0, count)
        with pytest.raises(IndexError, match="outside its array"):
            copy_some(ONE_PACK, b, 0, a, start, count)


@njit(cache=True)
def gather_from(a, packs, base, indices, position):
    store(a, 0, gather(a, packs, base, indices, position))


@pytest.mark.compiled
@needs_bounds_check
def test_gathering_with_indices_outside_their_array_raises():
    indices = np.zeros(8, np.int32)
    gather_from(np.zeros(8), ONE_PACK, 0, indices, 0)
    with pytest.raises(IndexError, match="outside its array"):
        gather_from(np.zeros(8), ONE_PACK, 0, indices, 1)


@pytest.mark.compiled
@needs_bounds_check
@pytest.mark.parametrize(("base", "last"), [(0, 8), (1, 7), (0, -1)])
def test_gathering_from_outside_the_array_raises(base, last):
    indices = np.array([0, 0, 0, 0, 0, 0, 0, last], np.int32)
    with pytest.raises(IndexError, match="outside its array"):
        gather_from(np.zeros(8), ONE_PACK, base, indices, 0)
