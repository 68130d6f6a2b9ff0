"""Schedules at the steps where they turn."""

import numpy as np
import pytest

from naive import first_order as naive
from optim import Cosine, Piecewise, RisingMomentum, StepDecay, Warmup
from optim.schedule import value_at

# log2 and a power of two, each rounded once.
FORMULA_RTOL = 1e-14


@pytest.mark.parametrize("maximum", [0.9, 0.99, 0.995, 0.999])
def test_rising_momentum_is_equation_five(maximum):
    steps = [0, 1, 249, 250, 499, 500, 1250, 25_000, 10**6]
    schedule = RisingMomentum(maximum)
    expected = [naive.momentum_of_2013(t, maximum) for t in steps]
    np.testing.assert_allclose([schedule(t) for t in steps], expected, rtol=FORMULA_RTOL)


def test_rising_momentum_never_falls_and_ends_at_its_maximum():
    values = np.array([RisingMomentum(0.99)(t) for t in range(0, 20_000, 50)])
    assert (np.diff(values) >= 0).all() and values[0] == 0.5 and values[-1] == 0.99


def test_cosine_is_symmetric_about_its_middle():
    rate = Cosine(2.0, n_steps=100, final=1.0)
    values = np.array([rate(t) for t in range(101)])
    np.testing.assert_allclose(values + values[::-1], 3.0, rtol=FORMULA_RTOL)
    assert rate(1000) == 1.0 and (np.diff(values) < 0).all()


def test_warmup_hands_over_to_a_schedule_that_has_been_counting():
    rate = Warmup(StepDecay(1.0, factor=0.5, every=4), n_steps=8)
    assert [rate(t) for t in (0, 3, 4, 7, 8)] == [0.125, 0.5, 0.3125, 0.5, 0.25]


def test_piecewise_changes_at_its_starts():
    momentum = Piecewise([RisingMomentum(0.9), 0.5, lambda t: 1.0 / t], starts=[10, 20])
    assert [momentum(t) for t in (9, 10, 19, 20)] == [0.5, 0.5, 0.5, 0.05]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Piecewise((0.1, 0.2), starts=()), "starts must be increasing, one fewer than the 2 parts"),
        (lambda: Piecewise((1, 2, 3), starts=(5, 5)), "starts must be increasing"),
        (lambda: RisingMomentum(1.0), r"maximum must be a finite number in \[0, 1\), got 1.0"),
        (lambda: StepDecay(1.0, factor=-1.0, every=2), "factor must be a finite number > 0"),
        (lambda: Cosine(1.0, n_steps=0), "n_steps must be an integer >= 1, got 0"),
        (lambda: Warmup("fast", n_steps=2), "then must be a finite number, got 'fast'; give a number, or a function"),
        (lambda: StepDecay(1.0, factor=0.5, every=1.5), "every must be an integer >= 1, got 1.5"),
        (lambda: Piecewise((1, 2), starts=7), "starts must be a sequence, got 7"),
        (lambda: Piecewise((1, "b"), starts=(7,)), "each of parts must be a finite number, got 'b'"),
        (lambda: Piecewise((1, 2), starts=(0.5,)), "each of starts must be an integer >= 0, got 0.5"),
    ],
)
def test_settings_that_make_no_schedule_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_schedule_that_is_not_finite_is_named_with_its_step(value):
    with pytest.raises(ValueError, match=r"learning_rate must be finite at every step, got (nan|inf) at step 3"):
        value_at(lambda t: value, 3, "learning_rate")
