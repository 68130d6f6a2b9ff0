"""Levenberg-Marquardt's rule and the reduction ratio."""

import math

import pytest

from optim import LevenbergMarquardt
from optim.damping import reduction_ratio


@pytest.mark.parametrize(
    ("ratio", "factor"),
    [(0.1, 1.5), (0.25, 1.0), (0.75, 1.0), (0.76, 2.0 / 3.0), (math.nan, 1.5), (-math.inf, 1.5), (3.0, 2.0 / 3.0)],
)
def test_damping_follows_the_ratio(ratio, factor):
    assert LevenbergMarquardt().updated(0.3, ratio) == 0.3 * factor


def test_damping_stays_within_its_bounds():
    rule = LevenbergMarquardt(initial=1.0, minimum=0.9, maximum=1.1)
    assert rule.updated(1.0, 0.0) == 1.1 and rule.updated(1.0, 1.0) == 0.9


@pytest.mark.parametrize(
    ("change", "predicted", "ratio"),
    [(-1.0, -2.0, 0.5), (1.0, -2.0, -math.inf), (-1.0, 2.0, -math.inf), (math.nan, -1.0, -math.inf),
     (math.inf, -1.0, -math.inf), (-1.0, math.nan, -math.inf), (0.0, -1.0, 0.0)],
)  # fmt: skip
def test_a_loss_that_rises_or_is_not_finite_has_the_worst_ratio(change, predicted, ratio):
    assert reduction_ratio(change, predicted) == ratio


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial": 0.0}, r"initial must be a finite number in \[1e-12, 1e\+12\], got 0.0"),
        ({"initial": -1.0}, "initial must be a finite number in .*, got -1.0"),
        ({"initial": 1e20}, "initial must be a finite number in .*, got 1e.20; or widen minimum and maximum"),
        ({"increase": 0.5}, "increase must be a finite number >= 1, got 0.5"),
        ({"low": 0.8, "high": 0.7}, "high must be a finite number >= 0.8, got 0.7"),
        ({"model": "inside"}, "model must be one of 'undamped', 'damped', got 'inside'"),
        ({"at": "first"}, "at must be one of 'backtracked', 'last', got 'first'"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        LevenbergMarquardt(**settings)
