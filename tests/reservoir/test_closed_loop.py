"""Free runs side by side against loops by the equations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive.closed_loop import ACTIVATIONS, closed_loop
from reservoir.drive.closed_loop import Lanes, run_closed
from reservoir.drive.weights import build_reservoir

L, N, O, E, STEPS = 3, 7, 2, 1, 6


def problem(*, own, include_input, activation="tanh", topology="sparse", n_steps=STEPS):
    rng = np.random.default_rng(0)
    reservoir = build_reservoir(
        n_units=N, n_inputs=O + E, bias_scaling=0.5, leak_rate=0.6, in_degree=3, activation=activation, rng=rng,
        topology=topology,
    )  # fmt: skip
    coef = rng.normal(size=(L, O, N + include_input * (O + E)))
    lanes = Lanes(
        rng.normal(size=(L, N)), rng.normal(size=(L, O)), coef if own else coef[0], rng.normal(size=(L, O)),
        rng.normal(size=(L, n_steps, E)), np.full((1, 1, O), -1.0), np.full((1, n_steps, O), 1.5),
    )  # fmt: skip
    return reservoir, lanes, rng.normal(size=(L, n_steps, O))


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("include_input", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("topology", ["sparse", "shifts"])
def test_lanes_run_as_the_equations_say(own, include_input, activation, topology):
    r, lanes, noise = problem(own=own, include_input=include_input, activation=activation, topology=topology)
    outputs, is_held = run_closed(r, lanes, noise)
    W = (r.W if topology == "sparse" else r.W.to_csr()).toarray()
    for i in range(L):
        right, held = closed_loop(
            W, r.input_weights, r.bias, r.leak, activation, lanes.state[i].copy(), lanes.last[i],
            lanes.coef[i] if own else lanes.coef, lanes.intercept[i], lanes.exog[i],
            np.broadcast_to(lanes.low[0], (STEPS, O)), lanes.high[0], noise[i],
        )  # fmt: skip
        assert_allclose(outputs[i], right, rtol=1e-10, atol=1e-12)
        assert_array_equal(is_held[i], held)
    assert is_held.any()


def test_no_step_leaves_nothing():
    r, lanes, _ = problem(own=False, include_input=True, n_steps=0)
    outputs, is_held = run_closed(r, lanes)
    assert outputs.shape == (L, 0, O) and is_held.shape == (L, 0)
