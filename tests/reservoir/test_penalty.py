"""Choice of the penalty, each way against brute force."""

import array_api_strict
import numpy as np
import pytest

from naive import readout as naive
from reservoir.readout.gram import Gram
from reservoir.readout.penalty import LeftOutErrors, blocked_errors, choose_alpha, gcv_errors
from reservoir.readout.rows import HeldRows
from reservoir.readout.tsqr import TriangularFactor

# Refits and closed forms agree to rounding times a condition number of about 1e3.
BRUTE_FORCE_RTOL = 1e-9
ALPHAS = np.array([0.0, 1e-3, 1.0, 50.0])
KINDS = [Gram, TriangularFactor]
SHIFT = np.array([0.5, -1.0, 2.0, 0.0, 1.0, -0.5])


def make(n_rows=30, n_features=4, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_rows, n_features)) + 1.0
    targets = features @ rng.standard_normal((n_features, 2)) + rng.standard_normal((n_rows, 2))
    return features, targets, rng.uniform(0.3, 2.0, n_rows)


def make_tile(features, targets, weights, shift=SHIFT):
    rows = np.insert(np.hstack([features, targets]) - shift, features.shape[1], 1.0, axis=1)
    return np.ascontiguousarray(rows.T * np.sqrt(weights))


def loo_errors(tiles, decomposition, alphas):
    left_out = LeftOutErrors(decomposition, alphas)
    for tile in tiles:
        left_out.add(tile)
    return left_out.errors


def sums(kind, tile, n_features=4, shift=SHIFT):
    moments = kind(n_features, 2, shift)
    moments.add(np.ascontiguousarray(tile))
    return moments


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_gcv_meets_the_dense_hat_matrix(kind, fit_intercept):
    data = make()
    decomposition = sums(kind, make_tile(*data)).centred(fit_intercept=fit_intercept).decompose()
    scores = gcv_errors(decomposition, ALPHAS)
    expected = [naive.generalised_error(*data, alpha, fit_intercept) for alpha in ALPHAS]
    np.testing.assert_allclose(scores, expected, rtol=BRUTE_FORCE_RTOL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_leave_one_out_meets_refits(kind, fit_intercept):
    data = make()
    tile = make_tile(*data)
    decomposition = sums(kind, tile).centred(fit_intercept=fit_intercept).decompose()
    # Columns of weight zero belong to no row.
    tiles = [tile[:, :11], np.zeros((7, 3)), tile[:, 11:]]
    scores = loo_errors(tiles, decomposition, ALPHAS)
    rows = [np.array([t]) for t in range(len(data[0]))]
    expected = [naive.left_out_errors(rows, *data, alpha, fit_intercept) for alpha in ALPHAS]
    np.testing.assert_allclose(scores, expected, rtol=BRUTE_FORCE_RTOL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_blocked_cross_validation_meets_refits(kind, fit_intercept):
    data = make()
    tile = make_tile(*data)
    blocks = [np.arange(9), np.arange(9, 17), np.arange(17, 30)]
    folds = [sums(kind, tile[:, block]) for block in blocks]
    scores = blocked_errors(folds, ALPHAS, fit_intercept=fit_intercept)
    expected = [naive.left_out_errors(blocks, *data, alpha, fit_intercept) for alpha in ALPHAS]
    np.testing.assert_allclose(scores, expected, rtol=BRUTE_FORCE_RTOL)


def test_fewer_rows_than_features_are_scored_from_the_rows():
    data = make(n_rows=8, n_features=12)
    shift = np.zeros(14)
    tile = make_tile(*data, shift=shift)
    decomposition = sums(HeldRows, tile, 12, shift).centred().decompose()
    rows = [np.array([t]) for t in range(8)]
    alphas = ALPHAS[1:]
    expected = [naive.left_out_errors(rows, *data, alpha) for alpha in alphas]
    np.testing.assert_allclose(loo_errors([tile], decomposition, alphas), expected, rtol=BRUTE_FORCE_RTOL)
    expected = [naive.generalised_error(*data, alpha) for alpha in alphas]
    np.testing.assert_allclose(gcv_errors(decomposition, alphas), expected, rtol=BRUTE_FORCE_RTOL)


def test_a_penalty_at_which_rows_fit_themselves_is_never_chosen():
    data = make(n_rows=5, n_features=12)
    tile = make_tile(*data, shift=np.zeros(14))
    decomposition = sums(HeldRows, tile, 12, np.zeros(14)).centred().decompose()
    for scores in (gcv_errors(decomposition, ALPHAS), loo_errors([tile], decomposition, ALPHAS)):
        assert np.all(np.isinf(scores[0])) and np.all(np.isfinite(scores[1:]))
        assert choose_alpha(scores, ALPHAS, decomposition.target_energy) > 0.0
    assert choose_alpha(np.full((4, 2), np.inf), ALPHAS, np.ones(2)) == 50.0


def test_gcv_of_noiseless_targets_does_not_cancel():
    rng = np.random.default_rng(4)
    features = rng.standard_normal((200, 4))
    data = features, features @ rng.standard_normal((4, 2)), np.ones(200)
    alphas = np.array([1e-6, 1e-4])
    factor = sums(TriangularFactor, make_tile(*data)).centred().decompose()
    expected = np.array([naive.squared_error(*naive.ridge(*data, a), *data) for a in alphas]) / (195 / 200) ** 2
    # The residual, 1e-8 of the targets at most, is known to eps of the targets; its square is summed here.
    np.testing.assert_allclose(gcv_errors(factor, alphas), expected, rtol=1e-3)


def test_gcv_chooses_much_penalty_for_noise_and_little_for_signal():
    rng = np.random.default_rng(2)
    features, signal, weights = make(n_rows=100)
    alphas = np.geomspace(1e-6, 1e6, 13)
    chosen = []
    for targets in (signal * 1e3, rng.standard_normal((100, 2))):
        decomposition = sums(Gram, make_tile(features, targets, weights)).centred().decompose()
        chosen.append(choose_alpha(gcv_errors(decomposition, alphas), alphas, decomposition.target_energy))
    assert chosen[0] < 10.0 < chosen[1]


def test_outputs_count_alike_whatever_their_scale():
    errors = np.array([[1.0, 300.0], [2.0, 100.0]])
    alphas = np.array([0.1, 1.0])
    assert choose_alpha(errors, alphas, np.array([1.0, 1e6])) == 0.1
    assert choose_alpha(errors, alphas, np.array([1.0, 1.0])) == 1.0
    assert choose_alpha(errors, alphas, np.array([0.0, 1e6])) == 0.1


def test_array_api_namespace_gives_the_same_scores():
    tile = make_tile(*make())
    strict = array_api_strict.asarray(tile)
    gram = Gram(4, 2, SHIFT)
    gram.add(strict)
    here, there = sums(Gram, tile).centred().decompose(), gram.centred().decompose()
    np.testing.assert_allclose(gcv_errors(there, ALPHAS), gcv_errors(here, ALPHAS), rtol=BRUTE_FORCE_RTOL)
    scores = loo_errors([tile], here, ALPHAS)
    np.testing.assert_allclose(loo_errors([strict], there, ALPHAS), scores, rtol=BRUTE_FORCE_RTOL)
    folds = [Gram(4, 2, SHIFT), Gram(4, 2, SHIFT)]
    folds[0].add(strict[:, :15])
    folds[1].add(strict[:, 15:])
    scores = blocked_errors([sums(Gram, tile[:, :15]), sums(Gram, tile[:, 15:])], ALPHAS)
    np.testing.assert_allclose(blocked_errors(folds, ALPHAS), scores, rtol=BRUTE_FORCE_RTOL)


@pytest.mark.parametrize("kind", KINDS)
def test_each_fold_is_left_out_in_turn(kind):
    tile = make_tile(*make(n_rows=1300))
    blocks = [slice(0, 600), slice(600, 700), slice(700, 1300)]  # the long ones are summed in several pieces
    folds = [sums(kind, tile[:, block]) for block in blocks]
    for fold in folds:
        fold.finish()
    v = np.random.default_rng(3).standard_normal((2, 4)), np.ones(2)
    for block, rest in zip(blocks, kind.each_left_out(folds), strict=True):
        others = sums(kind, np.delete(tile, block, axis=1))
        assert rest.n_rows == others.n_rows
        np.testing.assert_allclose(rest.held_out_error(*v), others.held_out_error(*v), rtol=BRUTE_FORCE_RTOL)


@pytest.mark.parametrize("kind", KINDS)
def test_penalties_that_rounding_outweighs_are_not_judged(kind):
    features, targets, weights = make()
    features[:, 3] = features[:, 2]
    tile = make_tile(features, targets, weights)
    folds = [sums(kind, tile[:, :15]), sums(kind, tile[:, 15:])]
    known = np.isfinite(blocked_errors(folds, np.array([0.0, 1e-30, 1e-3]))).all(axis=1)
    assert list(known) == [False, False, True]
    assert np.isinf(blocked_errors(folds, np.array([0.0, 1e-30]))).all()


def test_one_fold_is_an_error():
    with pytest.raises(ValueError, match="at least 2 blocks"):
        blocked_errors([Gram(1, 1)], ALPHAS)
