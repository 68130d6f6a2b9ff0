"""Streamed sums: the Gram matrix and the triangular factor."""

import pickle

import numpy as np
import pytest

from naive.readout import sum_of_outer_products
from reservoir.readout import gram as gram_module
from reservoir.readout.columns import cut_columns
from reservoir.readout.gram import Gram
from reservoir.readout.tsqr import TriangularFactor

# RELIABILITY 5: any order of blocks and merges.
MERGE_RTOL = 1e-10
# A float64 sum of n products of numbers near one is off by less than n eps; n <= 3000 here.
SUM_RTOL = 3000 * np.finfo(float).eps
KINDS = [Gram, TriangularFactor]


def products(moments):
    """Sum of Z Zᵀ held by either kind."""
    if isinstance(moments, Gram):
        return moments.matrix
    return moments.factor.T @ moments.factor


def random_tile(n_features, n_outputs, n_columns, seed=0):
    rng = np.random.default_rng(seed)
    tile = rng.standard_normal((n_features + 1 + n_outputs, n_columns))
    tile[n_features] = np.sqrt(rng.uniform(0.5, 2.0, n_columns))
    return tile


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 0), (1, 1, 1), (3, 2, 2), (5, 1, 37)])
def test_sums_meet_the_naive_twin(kind, shape):
    tile = random_tile(*shape)
    moments = kind(*shape[:2])
    moments.add(tile)
    np.testing.assert_allclose(products(moments), sum_of_outer_products(tile), rtol=1e-12, atol=1e-12)
    assert moments.n_rows == shape[2]


@pytest.mark.parametrize("kind", KINDS)
def test_number_of_threads_does_not_change_a_bit(kind):
    tile = random_tile(120, 2, 3001)
    results = []
    for n_threads in (1, 2, 3):
        moments = kind(120, 2)
        moments.add(tile, n_threads)
        moments.add(tile[:, :700].copy(), n_threads)
        results.append(moments.matrix if kind is Gram else moments.factor)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_parts_add_up_to_what_whole_tiles_do():
    tiles = [random_tile(20, 2, n, seed) for seed, n in enumerate((40, 1, 300))]
    tiles[2][20, :7] = 0.0
    whole, in_parts = Gram(20, 2), Gram(20, 2)
    for part, tile in zip((1, 0, 1), tiles, strict=True):
        whole.add(tile)
        in_parts.add_part(part, tile)
    in_parts.finish()
    np.testing.assert_allclose(in_parts.matrix, whole.matrix, rtol=SUM_RTOL, atol=SUM_RTOL * whole.matrix.max())
    assert in_parts.n_rows == whole.n_rows == 334
    in_parts.finish()
    assert in_parts.n_rows == 334


def test_large_grams_are_summed_by_blocks(monkeypatch):
    monkeypatch.setattr(gram_module, "_ONE_SUM_FROM", 10)
    monkeypatch.setattr(gram_module, "_BLOCK", 7)
    tile = random_tile(20, 2, 50)
    grams = [Gram(20, 2), Gram(20, 2)]
    for n_threads, gram in enumerate(grams, start=1):
        gram.add(tile, n_threads)
        gram.add(tile, n_threads)
    np.testing.assert_allclose(grams[0].matrix, 2 * tile @ tile.T, rtol=SUM_RTOL, atol=SUM_RTOL)
    assert np.array_equal(grams[0].matrix, grams[1].matrix)


@pytest.mark.parametrize("kind", KINDS)
def test_merging_in_any_order_agrees(kind):
    tile = random_tile(30, 2, 600)
    blocks = np.split(tile, [1, 100, 350], axis=1)
    whole = kind(30, 2)
    whole.add(tile)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        merged = kind(30, 2)
        for k in order:
            part = kind(30, 2)
            part.add(np.ascontiguousarray(blocks[k]))
            merged.merge(part)
        np.testing.assert_allclose(products(merged), products(whole), rtol=MERGE_RTOL, atol=MERGE_RTOL)
        assert merged.n_rows == whole.n_rows


@pytest.mark.parametrize("kind", KINDS)
def test_merging_recentres_other_shifts(kind):
    rng = np.random.default_rng(3)
    shift = rng.standard_normal(5)
    tile = random_tile(3, 2, 40)
    shifted = tile - np.insert(shift, 3, 0.0)[:, None] * tile[3]
    plain, other = kind(3, 2), kind(3, 2, shift)
    plain.merge(kind(3, 2))
    other.add(np.ascontiguousarray(shifted))
    plain.merge(other)
    np.testing.assert_allclose(products(plain), tile @ tile.T, rtol=1e-12, atol=1e-12)
    assert np.array_equal(other.shift, shift)


def test_without_undoes_merge():
    parts = [Gram(4, 1), Gram(4, 1)]
    for seed, part in enumerate(parts):
        part.add(random_tile(4, 1, 50, seed))
    total = Gram(4, 1)
    for part in parts:
        total.merge(part)
    rest = total.without(parts[1])
    np.testing.assert_allclose(rest.matrix, parts[0].matrix, rtol=1e-12, atol=1e-12)
    assert rest.n_rows == 50


@pytest.mark.parametrize("kind", KINDS)
def test_result_owns_its_memory(kind):
    tile = random_tile(4, 1, 1)
    original = tile.copy()
    moments = kind(4, 1)
    moments.add(tile)
    before = products(moments)
    tile[:] = 7.0
    assert np.array_equal(products(moments), before)
    (moments.matrix if kind is Gram else moments.factor)[:] = 9.0
    assert np.array_equal(products(moments), before)
    tile[:] = original
    tile.flags.writeable = False
    moments.add(tile)


@pytest.mark.parametrize("kind", KINDS)
def test_pickle_continues_with_the_same_bits(kind):
    tile = random_tile(10, 1, 1000)
    moments = kind(10, 1, np.arange(11.0))
    moments.add(tile)
    copy = pickle.loads(pickle.dumps(moments))
    for each in (moments, copy):
        each.add(tile, 2)
    assert np.array_equal(products(moments), products(copy))
    assert np.array_equal(copy.shift, moments.shift)


def test_gram_knows_weight_means_and_rows():
    tile = random_tile(3, 1, 20)
    tile[:, 4:6] = 0.0
    gram = Gram(3, 1, shift=[1.0, 2.0, 3.0, 4.0])
    gram.add(tile)
    weights = tile[3] ** 2
    means = np.delete(tile, 3, axis=0) @ tile[3] / weights.sum() + [1.0, 2.0, 3.0, 4.0]
    assert gram.n_rows == 18
    np.testing.assert_allclose(gram.weight, weights.sum(), rtol=1e-14)
    np.testing.assert_allclose(gram.means, means, rtol=1e-12)


def test_gram_is_exactly_symmetric():
    gram = Gram(50, 1)
    gram.add(random_tile(50, 1, 2000), 2)
    assert np.array_equal(gram.matrix, gram.matrix.T)


@pytest.mark.parametrize("n_columns", [0, 1, 255, 256, 257, 5000])
def test_pieces_cover_every_column_once(n_columns):
    tile = np.arange(n_columns, dtype=float)[None]
    pieces = cut_columns(tile, 4)
    assert all(piece.shape[1] for piece in pieces)
    assert np.array_equal(np.concatenate([np.zeros((1, 0)), *pieces], axis=1), tile)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "bad", [np.ones((5, 3)), np.ones((3, 6), dtype=np.float32), np.ones((6, 3)).T, np.ones((3, 6))[:, ::2]]
)
def test_a_tile_blas_cannot_read_is_refused(kind, bad):
    with pytest.raises(ValueError, match="tile must be"):
        kind(1, 1).add(bad)


@pytest.mark.parametrize("kind", KINDS)
def test_merging_another_size_or_kind_is_refused(kind):
    with pytest.raises(ValueError, match="features and outputs"):
        kind(2, 1).merge(kind(1, 2))
    with pytest.raises(ValueError, match="expected a"):
        kind(2, 1).merge(KINDS[kind is Gram](2, 1))


def test_a_shift_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="shift must have shape"):
        Gram(2, 1, shift=np.zeros(2))


@pytest.mark.parametrize("rows", [1, 3])
def test_factor_of_few_columns_is_padded_with_zeros(rows):
    tile = random_tile(6, 1, rows)
    factor = TriangularFactor(6, 1)
    factor.add(tile)
    R = factor.factor
    assert R.shape == (8, 8)
    np.testing.assert_allclose(R.T @ R, tile @ tile.T, rtol=1e-12, atol=1e-12)
    assert np.array_equal(R, np.triu(R))
    assert np.abs(R[rows:]).max() < 1e-14


def test_factor_keeps_what_the_gram_squares_away():
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.standard_normal((500, 6)))[0].T
    tile = np.ascontiguousarray(np.array([1.0, 1e-2, 1e-4, 1e-6, 1e-9, 1e-11])[:, None] * Q)
    factor, gram = TriangularFactor(4, 1), Gram(4, 1)
    factor.add(tile)
    gram.add(tile)
    np.testing.assert_allclose(np.linalg.svd(factor.factor)[1][-1], 1e-11, rtol=1e-3)
    # Rows of a diagonal problem would be exact in any form; mixed, the squares drown in rounding.
    mix = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    mixed_factor, mixed_gram = TriangularFactor(4, 1), Gram(4, 1)
    mixed_factor.add(mix @ tile)
    mixed_gram.add(mix @ tile)
    np.testing.assert_allclose(np.linalg.svd(mixed_factor.factor)[1][-1], 1e-11, rtol=1e-3)
    assert abs(np.linalg.eigvalsh(mixed_gram.matrix)[0] - 1e-22) > 1e-18
