"""Hidden Markov models and linear dynamical systems against sums and densities written out."""

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from studies.learners import hidden_markov, linear_dynamics

RTOL = 1e-9  # sums of a few hundred products
# What a likelihood may seem to fall by: the floors under probabilities, and rounding.
SLACK = 1e-6


def numbers(n=3, T=4, O=2):
    return np.random.default_rng(1).standard_normal((n, T, O))


@pytest.mark.parametrize("kind", ["symbols", "numbers"])
def test_a_hidden_markov_models_likelihood_is_the_sum_over_all_paths(kind):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (2, 4)) if kind == "symbols" else rng.standard_normal((2, 4))
    model = hidden_markov.baum_welch(X, 3, rng=rng, n_iterations=0)

    def emitted(x, state):
        if kind == "symbols":
            return model.emission[state, x]
        return norm.pdf(x, model.emission[state, 0], np.sqrt(model.emission[state, 1]))

    for x, logs in zip(X, model.log_likelihoods(X), strict=True):
        total = 0.0
        for path in itertools.product(range(3), repeat=4):
            p = model.start[path[0]] * np.prod([emitted(a, s) for a, s in zip(x, path, strict=True)])
            total += p * np.prod([model.transition[i, j] for i, j in itertools.pairwise(path)])
        assert logs.sum() == pytest.approx(np.log(total), rel=RTOL)


def test_a_linear_systems_likelihood_is_that_of_the_joint_normal_distribution():
    X = numbers()
    system = linear_dynamics.expectation_maximisation(X, 2, rng=np.random.default_rng(0), n_iterations=1)
    T, O, K = 4, 2, 2
    transfer = np.zeros((T * K, T * K))  # z = transfer [z(1), w(1), .., w(T - 1)]
    for t, s in itertools.product(range(T), range(T)):
        if s <= t:
            transfer[t * K : (t + 1) * K, s * K : (s + 1) * K] = np.linalg.matrix_power(system.A, t - s)
    noise = np.zeros((T * K, T * K))
    for t in range(T):
        noise[t * K : (t + 1) * K, t * K : (t + 1) * K] = system.Q if t else system.P
    see = np.kron(np.eye(T), system.C)
    mean = see @ transfer @ np.concatenate([system.m, np.zeros((T - 1) * K)])
    cov = see @ transfer @ noise @ transfer.T @ see.T + np.kron(np.eye(T), system.R)
    expected = multivariate_normal(mean, cov).logpdf(X.reshape(len(X), T * O))
    np.testing.assert_allclose(system.log_likelihoods(X).sum(1), expected, rtol=RTOL)


@pytest.mark.parametrize("kind", ["symbols", "numbers", "linear"])
def test_no_step_lowers_the_likelihood(kind):
    rng = np.random.default_rng(2)
    X = {"symbols": rng.integers(0, 3, (4, 12)), "numbers": numbers(4, 12)[:, :, 0], "linear": numbers(4, 12)}[kind]
    learner = linear_dynamics if kind == "linear" else hidden_markov
    learn = learner.expectation_maximisation if kind == "linear" else learner.baum_welch
    model = learn(X, 2, rng=rng, n_iterations=0)
    found = []
    for _ in range(15):
        found.append(model.log_likelihoods(X).sum())
        model = learner.step(model, X)
    assert (np.diff(found) > -SLACK).all() and found[-1] > found[0] + 0.1
