"""What concerns parameters for all of time: each product and gradient against its equation, row by row.

All numbers are small integers, whose products and sums both precisions hold exactly: equality is exact.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells.passes.products import (
    add_bias,
    add_bias_gradient,
    add_chosen_rows,
    add_chosen_rows_gradient,
    add_diagonal,
    add_diagonal_gradient,
    add_map,
    add_map_gradient,
    begin_planes,
)
from cells.passes.rows import Rows
from naive.products import one_hot, product, take_rows
from one_case import in_one_case
from reservoir.simd.tiles import DEPTH, PANEL_PACKS, panels
from reservoir.simd.vectors import PACK_BYTES

both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])
# One step, one sequence, sequences that end one after the other, and more rows than a sum takes at a time.
LENGTHS = {
    "one row": [1],
    "one step": [1, 1, 1],
    "one sequence": [6],
    "ragged": [5, 3, 3, 1],
    "many rows": [70, 70, 65],
}
each_batch = in_one_case("lengths", LENGTHS.values())
# (terms, columns): 1, odd, several packs, several panels.
each_size = in_one_case("K, width", [(1, 1), (3, 7), (17, 40), (5, 101)])
BEFORE, BEHIND = 2, 3  # columns, or elements of the gradient, that belong to others


class Numbers:
    """A batch: source, planes and gradient with NaN wherever the maps under test have no business."""

    def __init__(self, lengths, kind, K, width, dtype):
        self.rng, self.dtype = np.random.default_rng(0), dtype
        self.rows = Rows(np.array(lengths))
        self.spans = getattr(self.rows, kind)
        self.R, self.width = self.rows.n_rows, width
        n_read = int((self.spans[:, 0] + self.spans[:, 2]).max())
        self.source = self.guarded(self.integers(n_read, K))
        self.z = self.guarded(self.integers(self.R, width))
        self.taken = take_rows(self.source[:, BEFORE : BEFORE + K], self.spans, self.R)
        has_source = take_rows(np.ones((n_read, 1)), self.spans, self.R)
        self.dz = np.where(has_source, self.mine(self.z), 0.0)

    def integers(self, *shape):
        return self.rng.integers(-4, 5, shape).astype(self.dtype)

    def guarded(self, block):
        return np.pad(block, [(0, 0)] * (block.ndim - 1) + [(BEFORE, BEHIND)], constant_values=np.nan)

    def mine(self, z):
        return z[:, BEFORE : BEFORE + self.width]

    def assert_added(self, z, before, share):
        """``share`` has been added to the planes of ``before``, and nothing has been done to others'."""
        assert z.dtype == self.dtype
        assert_array_equal(z, self.guarded((self.mine(before) + share).astype(self.dtype)))

    def assert_gradient(self, gradient, before, share):
        assert_array_equal(gradient, self.guarded((before + share.ravel()).astype(self.dtype)))


KINDS = ["span_now", "span_after", "spans_before", "spans_step_before"]
each_kind = in_one_case("kind", KINDS)


@both_types
def test_planes_begin_with_zeros_and_biases(dtype):
    numbers = Numbers([5, 3, 3, 1], "span_now", 3, 21, dtype)
    z, bias = numbers.z.copy(), numbers.integers(21)
    add_bias(bias, z, BEFORE)
    numbers.assert_added(z, numbers.z, bias)
    begin_planes(z)
    assert_array_equal(z, np.zeros_like(numbers.z))


@each_batch
@each_kind
@each_size
@in_one_case("in_place", [False, True])
@both_types
def test_a_map_adds_source_times_matrix(lengths, kind, K, width, in_place, dtype):
    numbers = Numbers(lengths, kind, K, width, dtype)
    z, W = numbers.z.copy(), numbers.integers(K, width)
    add_map(numbers.source, BEFORE, numbers.spans, panels(W, in_place=in_place), z, BEFORE, width)
    numbers.assert_added(z, numbers.z, product(numbers.taken, W))


@each_batch
@each_kind
@each_size
@both_types
def test_gradient_of_a_map_is_source_transposed_times_dz(lengths, kind, K, width, dtype):
    numbers = Numbers(lengths, kind, K, width, dtype)
    before = numbers.integers(K * width)
    gradient = numbers.guarded(before)
    panel = np.full(DEPTH * PANEL_PACKS * PACK_BYTES // np.dtype(dtype).itemsize, np.nan, dtype)
    add_map_gradient(numbers.source, BEFORE, numbers.spans, numbers.z, BEFORE, width, gradient, BEFORE, K, panel)
    numbers.assert_gradient(gradient, before, product(numbers.taken.T, numbers.dz))


@each_batch
@each_size
@both_types
def test_chosen_rows_are_the_product_with_one_hot_rows(lengths, K, width, dtype):
    numbers = Numbers(lengths, "span_now", K, width, dtype)
    z, W, index = numbers.z.copy(), numbers.integers(K, width), numbers.rng.integers(0, K, numbers.R)
    add_chosen_rows(index, W, z, BEFORE)
    numbers.assert_added(z, numbers.z, product(one_hot(index, K), W))


@each_batch
@each_size
@both_types
def test_gradient_of_chosen_rows_is_that_of_one_hot_rows(lengths, K, width, dtype):
    numbers = Numbers(lengths, "span_now", K, width, dtype)
    index, before = numbers.rng.integers(0, K, numbers.R), numbers.integers(K * width)
    gradient = numbers.guarded(before)
    add_chosen_rows_gradient(index, numbers.z, BEFORE, width, gradient, BEFORE)
    numbers.assert_gradient(gradient, before, product(one_hot(index, K).T, numbers.dz))


@each_batch
@each_kind
@in_one_case("width", [1, 7, 40])
@both_types
def test_a_diagonal_map_adds_source_times_weights(lengths, kind, width, dtype):
    numbers = Numbers(lengths, kind, width, width, dtype)
    z, w = numbers.z.copy(), numbers.integers(width)
    add_diagonal(numbers.source, BEFORE, numbers.spans, w, z, BEFORE)
    numbers.assert_added(z, numbers.z, product(numbers.taken, np.diag(w)))


@each_batch
@each_kind
@in_one_case("width", [1, 7, 40])
@both_types
def test_gradient_of_a_diagonal_map_is_the_diagonal_of_that_of_a_matrix(lengths, kind, width, dtype):
    numbers = Numbers(lengths, kind, width, width, dtype)
    before = numbers.integers(width)
    gradient = numbers.guarded(before)
    add_diagonal_gradient(numbers.source, BEFORE, numbers.spans, numbers.z, BEFORE, gradient, BEFORE, width)
    numbers.assert_gradient(gradient, before, np.diag(product(numbers.taken.T, numbers.dz)))


@each_batch
@in_one_case("width", [1, 7, 8, 16, 40])
@both_types
def test_gradient_of_a_bias_is_the_sum_of_rows(lengths, width, dtype):
    numbers = Numbers(lengths, "span_now", 1, width, dtype)
    before = numbers.integers(width)
    gradient = numbers.guarded(before)
    add_bias_gradient(numbers.z, BEFORE, width, gradient, BEFORE)
    numbers.assert_gradient(gradient, before, numbers.dz.sum(axis=0))


@pytest.mark.compiled
@both_types
def test_bits_of_a_row_depend_not_on_the_batch_around_it(dtype):
    rng, (K, width) = np.random.default_rng(1), (DEPTH + 3, 50)
    source, W = rng.standard_normal((200, K)).astype(dtype), rng.standard_normal((K, width)).astype(dtype)
    whole, alone = np.zeros((200, width), dtype), np.zeros((200, width), dtype)
    add_map(source, 0, np.array([[0, 0, 200]]), panels(W), whole, 0, width)
    for row in (0, 95, 96, 199):
        add_map(source, 0, np.array([[row, row, 1]]), panels(W, in_place=True), alone, 0, width)
        assert_array_equal(alone[row], whole[row])
