"""Chaotic flows: where they stand, and that what is integrated is what is written."""

import numpy as np

from studies.tasks.chaotic_flows import DEVELOPMENT, FLOWS, NAMES, REPORTED, trajectory


def test_the_halves_are_alphabetical_and_share_nothing():
    assert list(NAMES) == sorted(NAMES) and len(NAMES) == len(FLOWS) == 20
    assert set(DEVELOPMENT).isdisjoint(REPORTED) and len(DEVELOPMENT) == len(REPORTED) == 10


def test_a_trajectory_moves_as_its_slope_says():
    flow, x = dict(FLOWS)["Rossler"], trajectory("Rossler", 30, 1000)
    slopes = np.array([flow.slope(0.0, row) for row in x])
    moved = (x[2:] - x[:-2]) * 500 / flow.period
    np.testing.assert_allclose(moved, slopes[1:-1], atol=2e-3 * np.abs(slopes).max())  # of second order in the step
