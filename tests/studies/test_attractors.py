"""What the study of attractors measures, on what is known."""

import numpy as np
import pytest

from cells import Elman, Network
from reservoir.datasets import HENON_LYAPUNOV_EXPONENT, henon
from studies import attractors


def test_the_amplitude_is_that_of_the_sine():
    y = 0.9 * np.sin(2 * np.pi * np.arange(1000) / attractors.PERIOD)
    assert attractors.amplitude_error(y) == pytest.approx(0.1, abs=1e-3)  # whole periods, rounded to a step


def test_the_maps_exponent_is_the_one_known():
    # a mean over 20,000 steps, each of which spreads by about 0.5
    assert attractors.map_exponent(henon(20_000, random_state=0)[:, 0]) == pytest.approx(
        HENON_LYAPUNOV_EXPONENT, abs=0.015
    )


def test_a_closed_loop_grows_tangents_by_its_largest_eigenvalue_near_rest():
    network = Network(Elman(1, 2), n_out=1)
    theta = np.zeros(network.n_params)
    views = network.views(theta)
    views["layer0.recurrent"][:] = np.diag([0.5, 0.2])
    views["layer0.input"][:] = [[0.3, 0.0]]
    views["readout.weights"][:] = [[1.0], [0.0]]
    found = attractors.closed_loop_exponent(network, theta, np.zeros(3), 400)
    assert found == pytest.approx(np.log(0.8), abs=2e-3)  # 0.5, and 0.3 by way of the output; a start of some steps
    views["readout.bias"][:] = 5.0
    assert attractors.closed_loop_exponent(network, theta, np.zeros(3), 400) == np.inf
