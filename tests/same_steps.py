"""The same Hessian-free steps, whoever computes losses, gradients and products."""

import itertools

import numpy as np

from optim import HessianFree, RandomBatches, minimize

# Ten steps of about fifteen CG iterations. With λ from 1 on what differs by rounding stays below 1e-11; with λ from 0.1
# on CG goes on to where its directions are no longer conjugate, and it grows to 1e-3.
LOSS_RTOL, DAMPING = 1e-6, 1.0
N_STEPS = 10


def assert_same_steps(objectives, theta, structural):
    """Ten steps on each of the objectives, which hold 24 sequences: the same λ, CG counts and losses."""
    method, policy = HessianFree(structural=structural, damping=DAMPING), RandomBatches(24, gradient=20, curvature=10)
    traces = [
        minimize(each, theta, method, batches=policy, max_iterations=N_STEPS, rng=np.random.default_rng(0)).trace
        for each in objectives
    ]
    assert all(trace.n_rows == N_STEPS for trace in traces)
    assert len(set(traces[0]["damping"])) > 3
    for one, other in itertools.combinations(traces, 2):
        np.testing.assert_array_equal(one["damping"], other["damping"])
        np.testing.assert_array_equal(one["cg_iterations"], other["cg_iterations"])
        for column in ("loss", "loss_after"):
            np.testing.assert_allclose(one[column], other[column], rtol=LOSS_RTOL)
