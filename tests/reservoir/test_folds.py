"""Folds of sequences that are alike, and what a readout says of the rows it has not seen."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive.readout import ridge
from reservoir.readout.folds import held_out_outputs, stratified_folds

# Products of rows lose half the digits of what they are made of where the penalty is small against them.
SOLVED = {"rtol": 1e-7, "atol": 1e-9}


@pytest.mark.parametrize("counts", [(10, 15, 20), (2, 33), (7, 3, 11)])
def test_every_fold_has_its_share_of_every_class(counts):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    folds = stratified_folds((labels[:, None] == np.arange(len(counts))) * 1.0, 5)
    for label, count in enumerate(counts):
        found = np.bincount(folds[labels == label], minlength=5)
        assert found.min() >= count // 5 and found.max() <= -(-count // 5)


def test_every_fold_has_one_of_five_neighbouring_numbers():
    y = np.random.default_rng(1).normal(size=(100, 1))
    in_order = stratified_folds(y, 5)[np.argsort(y[:, 0])]
    assert_array_equal(np.sort(in_order.reshape(-1, 5), axis=1), np.tile(np.arange(5), (20, 1)))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(20, 5), (12, 40)])
def test_held_out_outputs_are_those_of_refits(shape, fit_intercept):
    rng = np.random.default_rng(2)
    Z, Y, weights = rng.normal(size=shape) + 1, rng.normal(size=(shape[0], 2)), rng.uniform(0.5, 2, shape[0])
    folds = stratified_folds(Y, 4)
    alphas = np.array([0.1, 10.0])
    found = held_out_outputs(Z, Y, weights, folds, alphas, fit_intercept=fit_intercept)
    for alpha, outputs in zip(alphas, found, strict=True):
        for fold in range(4):
            W, b = ridge(Z[folds != fold], Y[folds != fold], weights[folds != fold], alpha, fit_intercept)
            assert_allclose(outputs[folds == fold], Z[folds == fold] @ W.T + b, **SOLVED)
