"""The readout of a recurrent network: each product and gradient against its equation.

Small integers, whose products and sums both precisions hold exactly: equality is exact.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells.passes.feed import FEW, Feed, no_feed
from cells.passes.outputs import add_read_out, add_readout_gradient, read_back, read_out
from naive.products import product
from one_case import in_one_case
from reservoir.simd.tiles import DEPTH, PANEL_PACKS, panels
from reservoir.simd.transpose import transposed
from reservoir.simd.vectors import PACK_BYTES

both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])
BEFORE = 2  # elements of the gradient that belong to others


def forms_of(W):
    """W, its transpose, and its columns as the kernels take them: the forms that they do not read are empty."""
    none, no_columns = np.empty((0, 0, 0), W.dtype), np.empty((0, 0), W.dtype)
    if W.shape[1] <= FEW:
        return none, none, transposed(W)[0]
    return panels(W), panels(W, transpose=True), no_columns


def feed_of(d, columns):
    """What the derivatives by few outputs come from; an empty feed if there are many."""
    return Feed(d, 0, columns, np.zeros_like(columns[0])) if columns.size else no_feed(d.dtype)


each_readout = in_one_case("O", [1, 2, FEW, FEW + 1, 7])
each_width = in_one_case("F", [1, 8, 40, 101])
each_count = in_one_case("n", [0, 1, 8, 21])


@each_readout
@each_width
@each_count
@both_types
def test_outputs_are_features_times_weights_and_the_bias(O, F, n, dtype):
    rng, first = np.random.default_rng(4), 2
    features, W, bias = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((first + n, F), (F, O), O))
    weights, _, columns = forms_of(W)
    outputs = np.full((n, O), np.nan, dtype)
    read_out(features, first, weights, columns, bias, outputs)
    expected = product(features[first:], W) + bias
    assert_array_equal(outputs, expected)
    add_read_out(features, first, weights, columns, outputs)
    assert_array_equal(outputs, 2 * expected - bias)


@each_readout
@each_width
@each_count
@both_types
def test_gradients_of_the_readout(O, F, n, dtype):
    rng, first = np.random.default_rng(5), 2
    features, W, d = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((first + n, F), (F, O), (n, O)))
    _, weights_back, columns = forms_of(W)
    before = rng.integers(-4, 5, (F + 1) * O).astype(dtype)
    gradient = np.concatenate([np.full(BEFORE, np.nan, dtype), before])
    dfeatures, dcolumns = np.full((n, F), np.nan, dtype), np.full_like(columns, np.nan)
    panel = np.full(DEPTH * PANEL_PACKS * PACK_BYTES // np.dtype(dtype).itemsize, np.nan, dtype)
    add_readout_gradient(features, first, d, gradient, BEFORE, dcolumns, panel)
    shares = np.concatenate([product(features[first:].T, d).ravel(), d.sum(axis=0)])
    assert_array_equal(gradient, np.concatenate([np.full(BEFORE, np.nan), before + shares]))
    read_back(feed_of(d, columns), d, weights_back, dfeatures)
    assert_array_equal(dfeatures, product(d, W.T))
