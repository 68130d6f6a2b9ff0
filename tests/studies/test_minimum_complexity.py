"""The simple reservoirs are what their definitions say, and a linear cycle holds what theory says."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from studies import minimum_complexity
from studies.minimum_complexity import CYCLE, FEEDBACK, LINE, PI, Settings, digits_of_pi, model

CANDIDATE = {"spectral_radius": 0.8, "input_scaling": 0.5, "alpha": 1e-8, "backward": 0.25}


def weights(way):
    reservoir = model(Settings(way=way, n_units=6), CANDIDATE).fit(np.ones((9, 1)), np.arange(9.0)).reservoir_
    return reservoir.W.toarray(), reservoir.input_weights[:, 0]


@pytest.mark.compiled
def test_every_way_is_wired_by_its_definition():
    line = 0.8 * np.eye(6, k=-1)
    corner = np.zeros((6, 6))
    corner[0, -1] = 0.8
    expected = {CYCLE: line + corner, LINE: line, FEEDBACK: line + 0.2 * np.eye(6, k=1), PI: line + corner}
    for way, W in expected.items():
        found, inputs = weights(way)
        np.testing.assert_allclose(found, W, rtol=1e-12)
        assert_array_equal(np.abs(inputs), np.full(6, 0.5))
    assert_array_equal(np.sign(weights(PI)[1]), [-1, -1, -1, 1, 1, -1])  # 3.141592


def test_digits_of_pi():
    assert "".join(map(str, digits_of_pi(30))) == "141592653589793238462643383279"


@pytest.mark.compiled
def test_a_linear_cycle_holds_what_theory_says():
    settings = Settings(task="memory", way=PI, n_units=11)
    judge = minimum_complexity._capacity(settings, np.random.default_rng(0))
    held = judge(CANDIDATE | {"input_scaling": 1.0, "alpha": 1e-12}, is_test=True) * 11
    assert abs(held - (11 - (1 - 0.8**22))) < 0.05
