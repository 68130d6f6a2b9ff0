"""The study of ordinary series: its halves, and rivals that forecast what is plain to see."""

import numpy as np
import pytest

pytest.importorskip("statsmodels")

from studies.learners.classical_forecasts import WAYS
from studies.ordinary_series import SEASONS
from studies.tasks.tabled_series import NAMES


def test_every_series_has_a_season():
    assert {name.partition(".")[0] for name in NAMES} == set(SEASONS)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_season_that_repeats_is_continued(way):
    x = 10 + np.tile([3.0, -1.0, 0.0, -2.0], 30) + 0.01 * np.random.default_rng(0).standard_normal(120)
    found = WAYS[way](x[:100], 4, 20)
    assert found.shape == (20,)
    np.testing.assert_allclose(found, x[100:], atol=0.2)
