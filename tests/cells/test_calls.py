"""Passes as lists of calls: repeated they do what was done, with other numbers in the same arrays."""

import gc
import weakref

import numpy as np
from numba import njit
from numpy.testing import assert_array_equal

from cells.passes.calls import Calls, plainly


@njit(cache=True)
def add_scaled(total, x, factor, half):
    """A kernel with arguments of several types, which returns a number."""
    for i in range(x.size):
        total[i] += factor * (0.5 * x[i] if half else x[i])
    return factor * 1.0


def test_what_is_noted_is_done_at_once():
    calls, total = Calls(), np.zeros(3)
    assert calls(add_scaled, total, np.arange(3.0), 2, False) == 2.0
    assert_array_equal(total, [0.0, 2.0, 4.0])


def test_calls_are_made_again_in_their_order_with_what_the_arrays_hold_now():
    calls, total, x = Calls(), np.zeros(3), np.ones(3)
    calls(np.copyto, total, 1.0)
    calls(add_scaled, total, x, 2, True)
    calls(np.multiply, total, x, total)
    x[:] = [0.0, 1.0, 3.0]
    for _ in range(3):
        calls.again()
        assert_array_equal(total, [0.0, 2.0, 12.0])


def test_the_variable_is_replaced_wherever_it_stands():
    variable, other, x = np.zeros(3), np.full(3, 7.0), np.ones(3)
    calls = Calls(variable)
    calls(add_scaled, variable, x, 1, False)
    calls(add_scaled, x, variable, 1, False)
    calls(np.add, variable, variable, variable)
    before = variable.copy()
    calls.again(other)
    assert_array_equal(variable, before)
    assert_array_equal(x, [11.0] * 3)  # 2 after the first time, and the 9 of the other
    assert_array_equal(other, [18.0] * 3)  # 7 and the 2 of x, doubled


def test_the_floats_that_come_back_are_summed():
    calls, total = Calls(), np.zeros(2)
    calls(add_scaled, total, np.ones(2), 2, False)
    calls(np.copyto, total, 0.0)
    calls(np.add, total, 1.0, total)
    calls(add_scaled, total, np.ones(2), 3, False)
    assert calls.again() == 5.0


def test_the_variable_is_not_kept_alive():
    variable = np.zeros(3)
    gone, calls = weakref.ref(variable), Calls(variable)
    calls(add_scaled, variable, np.ones(3), 1, False)
    del variable
    gc.collect()
    assert gone() is None
    calls.again(total := np.zeros(3))
    assert_array_equal(total, np.ones(3))


def test_plainly_is_the_call_itself():
    assert plainly(divmod, 7, 2) == (3, 1)
