"""Objectives of networks for tests: every kind of network and data, what is asked of them, how near answers must be."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import GRU, LSTM, Elman, Network
from network_problems import pair, problem

# Sums of a few hundred terms of order one, each rounded to 1e-16, and the twin's are as many.
TWIN = {"rtol": 1e-11, "atol": 1e-12}
# The same numbers added in another order.
REORDERED = {"rtol": 1e-12, "atol": 1e-13}
# Float32 rounds to 6e-8; a few hundred sums of terms of either sign lose two more digits.
FLOAT32 = 2e-5

LOSSES = ["squared", "logistic", "softmax"]
TARGETS = ["all", "last"]
DISTANCES = ["matching", "matching_quarter", "squared_values", "squared_activations"]

NETWORKS = {
    **{
        f"lstm-{loss}-{targets}": (["lstm"], {"loss": loss, "targets": targets}, {})
        for loss in LOSSES
        for targets in TARGETS
    },
    "gru-softmax": (["gru"], {"loss": "softmax"}, {}),
    "elman-relu": (["relu"], {"loss": "logistic"}, {}),
    "elman-logistic": (["logistic"], {}, {}),
    "stack": (["elman", "lstm", "gru"], {"loss": "softmax", "learn_initial_state": True}, {"masked": True}),
    "stack-last": (["lstm", "elman"], {"targets": "last", "learn_initial_state": True}, {"masked": True}),
    "outputs-masked": (["lstm"], {"loss": "logistic"}, {"masked": "outputs"}),
    "outputs-masked-last": (["elman", "gru"], {"targets": "last"}, {"masked": "outputs"}),
    "both-directions": (["lstm", "elman"], {"bidirectional": True, "learn_initial_state": True}, {}),
    "both-directions-last": (
        ["elman", "gru"],
        {"bidirectional": True, "targets": "last", "loss": "softmax"},
        {"index": True},
    ),
    "index": (["lstm"], {"loss": "softmax"}, {"index": True}),
    "index-elman": (["elman", "elman"], {"targets": "last"}, {"index": True}),
    "given-state": (["lstm"], {"learn_initial_state": True}, {"given": 2}),
    "given-state-alone": (["elman"], {"bidirectional": True}, {"given": 2}),
    "clamped": (["elman", "lstm"], {"learn_initial_state": True}, {"clamped": 1, "given": 1}),
    "clamped-lstm": (["lstm"], {"loss": "logistic"}, {"clamped": 2}),
}
pairs = pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)


def made(case):
    names, network_options, options = case
    return pair(names, options=options, **network_options)


def answers(objective, theta, batch=None):
    """Loss, weight, gradient and one damped product."""
    found = objective.value_and_grad(theta, batch)
    linear = objective.linearize(theta, batch)
    v = np.random.default_rng(1).standard_normal(theta.size).astype(theta.dtype)
    product = linear.gauss_newton(v, structural=0.3)
    return {"loss": found.loss_sum, "weight": found.weight, "grad": found.grad, "product": product}


def assert_same_answers(one, other, theta=None, batches=(None, None), exactly=False):
    theta = np.random.default_rng(5).normal(scale=0.6, size=one.n_params) if theta is None else theta
    expected, came = answers(one, theta, batches[0]), answers(other, theta, batches[1])
    for name in expected:
        if exactly:
            assert_array_equal(came[name], expected[name], err_msg=name)
        else:
            assert_allclose(came[name], expected[name], **REORDERED, err_msg=name)


STACK = Network([LSTM(3, 4), Elman(4, 3)], n_out=2, loss="softmax", learn_initial_state=True)
BOTH = Network([GRU(3, 4), Elman(8, 3)], n_out=2, bidirectional=True, targets="last")
stacks = pytest.mark.parametrize("network", [STACK, BOTH], ids=["stack", "both-directions"])


def many(network, **options):
    """Enough sequences for several shares, where batches are cut however little there is to do."""
    lengths = np.random.default_rng(3).integers(1, 6, 40)
    return problem(network, lengths, **options)
