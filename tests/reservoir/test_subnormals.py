"""Subnormal numbers count as zeros inside kernels, and nowhere else."""

import numpy as np
import pytest
from numba import config, njit
from numpy.testing import assert_allclose, assert_array_equal

from cells import Elman, Network, SequenceObjective
from cells.passes.layer import Input, Layer, PassOptions
from cells.passes.memory import Memory
from cells.passes.parameters import Forms, Matrices
from cells.passes.rows import Rows
from cells.passes.time_loops import Clamp
from reservoir.simd.subnormals import flush_subnormals, flushes_here, restore_mode

SMALLEST = np.finfo(np.float32).tiny
# A product of T factors, each of which rounds a sum of some terms to float32.
T, H = 60, 9
FADED_RTOL = 8 * T * np.finfo(np.float32).eps
# A number in this range has not met a subnormal on its way, nor will those it is added to.
LARGE_ENOUGH = 1e-30

flushing = pytest.mark.skipif(
    bool(config.DISABLE_JIT) or not flushes_here(), reason="needs compiled kernels on a processor whose mode is known"
)


@njit
def _squares(a, squares):
    for i in range(a.size):
        squares[i] = a[i] * a[i]


@njit
def _flushed_squares(a, squares):
    mode = flush_subnormals()
    _squares(a, squares)
    restore_mode(mode)


@njit
def _squares_after_a_flush_within_a_flush(a, inner, squares):
    mode = flush_subnormals()
    _flushed_squares(a, inner)
    _squares(a, squares)
    restore_mode(mode)


def tiny_numbers():
    """Normal float32 numbers whose squares are subnormal, more of them than a vector register holds."""
    return np.full(37, 1e-20, np.float32)


def squares_here():
    """Whether this thread has subnormal numbers."""
    return (tiny_numbers() * tiny_numbers())[0] > 0


@flushing
def test_subnormal_results_are_zeros_within_and_numbers_again_after():
    a, within, after = tiny_numbers(), np.ones(37, np.float32), np.ones(37, np.float32)
    _flushed_squares(a, within)
    _squares(a, after)
    assert not within.any()
    assert (after > 0).all()
    assert squares_here()


@flushing
def test_subnormal_operands_are_zeros_within():
    a = np.array([1e-40, 1.0], np.float32)
    doubled = np.empty(2, np.float32)
    _flushed_scale(a, doubled)
    assert_array_equal(doubled, [0.0, 2.0**100])


@njit
def _flushed_scale(a, scaled):
    mode = flush_subnormals()
    for i in range(a.size):
        scaled[i] = a[i] * np.float32(2.0**100)
    restore_mode(mode)


@flushing
def test_a_mode_that_was_set_stays_set():
    a, inner, outer = tiny_numbers(), np.ones(37, np.float32), np.ones(37, np.float32)
    _squares_after_a_flush_within_a_flush(a, inner, outer)
    assert not inner.any()
    assert not outer.any()
    assert squares_here()


def test_both_functions_do_nothing_when_read_as_python():
    assert flush_subnormals() == 0
    assert restore_mode(0) is None


# ------------------------------------------------------------------------------------------------ in cells


def faded(dtype):
    """Derivatives (T, H) by the planes of a logistic cell at all steps, from one by its last output; each step fades.

    The recurrent matrix is small and positive, so that no signs cancel: the signal falls to a tenth at every step.
    """
    B = 1
    cell, rows = Elman(1, H, activation="logistic"), Rows(np.full(B, T))
    rng = np.random.default_rng(0)
    theta = np.zeros(cell.n_params)
    dict(cell.views(theta))["recurrent"][:] = rng.uniform(0.5, 1, (H, H)) * 0.4 / (0.75 * H)
    matrices = Matrices(cell, theta.astype(dtype), Forms(in_place=True))
    layer = Layer(cell, rows, dtype, Memory())
    clamp = Clamp(np.empty(0, np.int64), np.empty((rows.n_rows, 0), dtype))
    layer.forward(matrices, Input(np.zeros((T, 1), dtype)), (0.0, 0.0), clamp)
    outputs = np.zeros((T, H), dtype)
    outputs[-1] = 1.0
    return layer.backward(matrices, outputs, (0.0, 0.0), PassOptions(keeps_planes=True)).z


@flushing
def test_signals_that_fade_end_in_zeros_not_in_subnormals():
    dz = np.abs(faded(np.float32))
    assert dz[dz > 0].min() >= SMALLEST
    assert not dz[0].any()


def test_signals_that_fade_are_right_until_then():
    dz, exact = faded(np.float32), faded(np.float64)
    assert 0 < exact[0].max() < SMALLEST
    large = exact > LARGE_ENOUGH
    assert_allclose(dz[large], exact[large], rtol=FADED_RTOL)
    # Each of the H terms of a sum may have been taken as zero.
    assert_allclose(dz, exact, rtol=FADED_RTOL, atol=H * SMALLEST)


@pytest.mark.compiled
def test_gradients_of_fading_signals_have_the_same_bits_for_any_number_of_threads():
    network = Network(Elman(2, 100, activation="logistic"), n_out=1, targets="last")
    rng = np.random.default_rng(0)
    theta = rng.uniform(0, 0.004, network.n_params).astype(np.float32)
    X, y = rng.normal(size=(40, T, 2)).astype(np.float32), rng.normal(size=(40, 1))
    alone, together = (SequenceObjective(network, X, y, n_jobs=n).value_and_grad(theta).grad for n in (1, 2))
    assert_array_equal(alone, together)
    assert squares_here()
