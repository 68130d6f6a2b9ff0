"""Batch policies: every sequence once an epoch, roles apart, pure functions of the step."""

import numpy as np
import pytest

from optim import Batches, Epochs, RandomBatches
from optim.batches import draw


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10, 20])
def test_an_epoch_has_every_sequence_once(batch_size):
    policy = Epochs(10, batch_size, seed=3)
    for epoch in range(2):
        drawn = [policy(None, epoch * policy.n_batches + k) for k in range(policy.n_batches)]
        assert sorted(np.concatenate(drawn).tolist()) == list(range(10))


def test_epochs_differ_and_do_not_depend_on_what_was_asked_before():
    policy = Epochs(50, 50)
    late = policy(None, 7).copy()
    assert not np.array_equal(policy(None, 0), late)
    np.testing.assert_array_equal(Epochs(50, 50)(None, 7), late)


@pytest.mark.parametrize("source", ["gradient", "rest"])
def test_random_batches_nest_curvature_and_keep_the_rest_apart(source):
    policy = RandomBatches(100, gradient=60, curvature=20, acceptance=15, acceptance_from=source, debias=10)
    drawn = policy(np.random.default_rng(0), 0)
    gradient, curvature, acceptance, debias = (
        set(part.tolist()) for part in (drawn.gradient, drawn.curvature, drawn.acceptance, drawn.debias)
    )
    assert [len(role) for role in (gradient, curvature, acceptance, debias)] == [60, 20, 15, 10]
    assert curvature < gradient and debias < gradient and not debias & curvature
    assert not acceptance & (curvature | debias)
    assert acceptance < gradient if source == "gradient" else not acceptance & gradient


def test_acceptance_may_be_another_role():
    rng = np.random.default_rng(0)
    drawn = RandomBatches(10, gradient=5, curvature=2, acceptance="gradient")(rng, 0)
    assert drawn.acceptance is drawn.gradient and drawn.debias is None


def test_an_integer_array_serves_every_role():
    drawn = draw(lambda rng, iteration: np.arange(3), np.random.default_rng(0), 0)
    assert drawn.gradient is drawn.curvature is drawn.acceptance
    assert draw(None, np.random.default_rng(0), 0) == Batches()


def test_a_policy_that_returns_something_else_is_named():
    with pytest.raises(TypeError, match="must return Batches or a 1-D integer array"):
        draw(lambda rng, iteration: [1, 2], np.random.default_rng(0), 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Epochs(0, 1), "n_sequences must be an integer >= 1, got 0"),
        (lambda: Epochs(10, 2.5), "batch_size must be an integer >= 1, got 2.5"),
        (lambda: RandomBatches(10, gradient=11, curvature=2), r"gradient must be an integer in \[1, 10\], got 11"),
        (lambda: RandomBatches(10, gradient=5, curvature=6), r"curvature must be an integer in \[1, 5\]"),
        (lambda: RandomBatches(10, gradient=5, curvature=3, acceptance="test"), "acceptance must be"),
        (lambda: RandomBatches(10, gradient=5, curvature=3, debias=3), "side by side, 6 sequences, got 5"),
        (lambda: RandomBatches(10, gradient=5, curvature=3, acceptance=3), "side by side, 6 sequences, got 5"),
        (
            lambda: RandomBatches(10, gradient=8, curvature=3, acceptance=3, acceptance_from="rest"),
            "side by side, 11 sequences, got 10",
        ),
        (lambda: RandomBatches(10, gradient=8, curvature=3, acceptance_from="all"), "acceptance_from must be"),
    ],
)
def test_sizes_that_do_not_fit_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
