"""Backtracking over the iterates of CG, and the line search."""

import math

import numpy as np
import pytest

from optim import LineSearch
from optim.acceptance import backtrack, resolution_of
from optim.cg import Iterate


def iterates(losses):
    return [Iterate(number, np.array([float(loss)]), 0.0) for number, loss in enumerate(losses)]


def chosen(losses, rule):
    seen = []

    def loss_at(iterate):
        seen.append(iterate.number)
        return float(iterate.x[0])

    position, found = backtrack(iterates(losses), loss_at, rule)
    assert found == [losses[number] for number in seen]
    return position, seen


def test_backtracking_stops_where_the_loss_no_longer_falls():
    assert chosen([1.0, 5.0, 3.0, 2.0, 3.0, 4.0], "first_rise") == (3, [5, 4, 3, 2])
    assert chosen([1.0, 2.0, 3.0], "first_rise") == (0, [2, 1, 0])
    assert chosen([3.0, 2.0, 1.0], "first_rise") == (2, [2, 1])


def test_rounding_is_no_rise():
    nearly = 2.0 * (1.0 + 4e-16)
    for last in ([2.0, 2.0, 2.0], [2.0, nearly, 2.0], [nearly, 2.0, nearly]):
        assert chosen([3.0, 1.0, *last], "first_rise") == (1, [4, 3, 2, 1, 0])


def test_other_rules_take_the_best_or_the_last():
    assert chosen([1.0, 5.0, 2.0, 3.0], "best") == (0, [3, 2, 1, 0])
    assert chosen([1.0, 5.0, 2.0, 3.0], "none") == (3, [3])


def test_infinite_losses_are_walked_past():
    assert chosen([1.0, 2.0, math.inf, math.inf], "first_rise") == (0, [3, 2, 1, 0])


def test_line_search_takes_the_first_length_that_falls_enough():
    tried = []

    def loss_along(alpha):
        tried.append(alpha)
        return (alpha - 0.3) ** 2

    search = LineSearch(shrink=0.5, sufficient=0.1)
    alpha, loss = search.step_length(loss_along, loss=0.09, slope=-0.6, first=0.49)
    assert (alpha, loss) == (0.5, 0.04000000000000001) and tried == [0.5]
    greedy = LineSearch(shrink=0.5, sufficient=0.9)
    assert greedy.step_length(loss_along, loss=0.09, slope=-0.6, first=0.49)[0] == 2.0**-5


def test_a_full_step_costs_no_further_loss():
    def refuse(alpha):
        raise AssertionError("not needed")

    assert LineSearch().step_length(refuse, loss=1.0, slope=-1.0, first=0.5) == (1.0, 0.5)


def test_search_gives_up_with_the_loss_it_started_from():
    tried = []
    search = LineSearch(max_tries=5)
    assert search.step_length(lambda alpha: tried.append(alpha) or math.inf, loss=1.0, slope=-1.0, first=2.0) == (
        0.0,
        1.0,
    )
    assert len(tried) == 5


def test_against_the_gradient_any_fall_will_do_but_no_plateau():
    assert LineSearch().step_length(lambda alpha: 2.0, loss=1.0, slope=5.0, first=1.0 - 1e-9)[0] == 1.0
    assert LineSearch().step_length(lambda alpha: 1.0, loss=1.0, slope=5.0, first=1.0)[0] == 0.0


@pytest.mark.parametrize("settings", [{"shrink": 1.0}, {"shrink": 0.0}, {"sufficient": 1.0}, {"max_tries": 0}])
def test_settings_out_of_range_are_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        LineSearch(**settings)


def test_resolution_of_losses_is_that_of_their_terms_and_not_of_their_sum():
    theta = np.array([3.0, -2.0])
    whole = resolution_of(lambda x: 1e6 + np.sum((x - theta) ** 2), theta, 1e6)
    cancelled = resolution_of(lambda x: (1e6 + np.sum((x - theta) ** 2 + 1e-3 * x)) - 1e6, theta, 1e-3)
    assert 1e-10 < whole < 1e-8 and 1e-11 < cancelled < 1e-8
    assert resolution_of(lambda x: np.sum((x - theta) ** 2), theta, 0.0) < 1e-12
    assert resolution_of(lambda x: float(np.float32(0.7) * np.float32(x[0])), theta, 2.1) > 1e-8
    assert resolution_of(lambda x: np.nan, theta, 1.0) < 1e-14
