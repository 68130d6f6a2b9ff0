"""Every topology: shape, in-degree, distinct columns, determinism and precision; the door for a matrix."""

import numpy as np
import pytest
import scipy.sparse as sp

from contracts import TOPOLOGIES, every
from estimator_data import endless
from naive.spectrum import cyclic_diagonals, ring_with_jumps
from reservoir import topology
from reservoir.graph.matrix import Shifts, from_matrix

SIZES = (1, 2, 3, 7, 12, 31, 100)
WITH_IN_DEGREE = {name: TOPOLOGIES[name] for name in ("sparse", "shifts", "small_world")}
# Mean of n uniform(-1, 1) weights: standard deviation sqrt(1 / 3n); 5 of them.
STANDARD_DEVIATIONS = 5.0


def generator(seed=0):
    return np.random.default_rng(seed)


def csr(W):
    return W.to_csr() if isinstance(W, Shifts) else W


@every(TOPOLOGIES)
@pytest.mark.parametrize("N", SIZES)
def test_is_square_csr_with_int32_indices_and_no_zero_or_repeated_entry(make, N):
    W = csr(make(N, in_degree=5, rng=generator()))
    assert isinstance(W, sp.csr_array)
    assert W.shape == (N, N)
    assert W.indices.dtype == W.indptr.dtype == np.int32
    assert np.all(np.isfinite(W.data)) and np.all(W.data != 0)
    for row in range(N):
        columns = W.indices[W.indptr[row] : W.indptr[row + 1]]
        assert len(np.unique(columns)) == len(columns)
        assert np.all((columns >= 0) & (columns < N))


@every(WITH_IN_DEGREE)
@pytest.mark.parametrize(("N", "in_degree"), [(1, 1), (1, 9), (2, 2), (9, 8), (9, 9), (9, 50), (60, 10), (40, 30)])
def test_every_unit_has_the_asked_in_degree_clipped_to_the_units(make, N, in_degree):
    W = csr(make(N, in_degree=in_degree, rng=generator()))
    np.testing.assert_array_equal(np.diff(W.indptr), min(N, in_degree))


@every(TOPOLOGIES)
def test_same_generator_state_gives_the_same_matrix(make):
    first, again = (csr(make(40, in_degree=4, rng=generator(3))) for _ in range(2))
    np.testing.assert_array_equal(first.data, again.data)
    np.testing.assert_array_equal(first.indices, again.indices)


@every({name: TOPOLOGIES[name] for name in ("sparse", "shifts", "small_world", "orthogonal")})
def test_another_seed_gives_another_matrix(make):
    first, other = (csr(make(40, in_degree=4, rng=generator(seed))).toarray() for seed in (3, 4))
    assert not np.array_equal(first, other)


@every(TOPOLOGIES)
def test_float32_is_the_rounded_float64_matrix(make):
    wide, narrow = (make(30, in_degree=4, rng=generator(), dtype=dtype) for dtype in (np.float64, np.float32))
    assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(csr(wide).data.astype(np.float32), csr(narrow).data)


@every(TOPOLOGIES)
def test_build_by_name_is_the_function(make):
    name = next(name for name, function in topology.NAMES.items() if function is make)
    built = csr(topology.build(name, 25, in_degree=4, rng=generator(1)))
    np.testing.assert_array_equal(built.toarray(), csr(make(25, in_degree=4, rng=generator(1))).toarray())


@every(TOPOLOGIES)
@pytest.mark.parametrize(("wrong", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), (True, TypeError)])
def test_sizes_that_are_no_positive_integers_are_errors(make, wrong, error):
    with pytest.raises(error, match="n_units"):
        make(wrong, in_degree=2, rng=generator())
    with pytest.raises(error, match="in_degree"):
        make(5, in_degree=wrong, rng=generator())


@every(WITH_IN_DEGREE)
def test_weights_are_uniform_between_minus_one_and_one(make):
    weights = csr(make(2000, rng=generator(5))).data
    n = len(weights)
    assert np.abs(weights).max() < 1
    assert abs(weights.mean()) < STANDARD_DEVIATIONS * np.sqrt(1 / (3 * n))
    # Var(w^2) = 1/5 - 1/9.
    assert abs((weights**2).mean() - 1 / 3) < STANDARD_DEVIATIONS * np.sqrt(4 / 45 / n)


@pytest.mark.parametrize(("N", "in_degree"), [(400, 3), (60, 30)])
def test_sparse_draws_every_column_equally_often(N, in_degree):
    counts = sum(
        np.bincount(topology.sparse(N, in_degree=in_degree, rng=generator(seed)).indices, minlength=N)
        for seed in range(20)
    )
    expected = 20 * in_degree
    chi_square = ((counts - expected) ** 2 / expected).sum() / (1 - in_degree / N)
    assert abs(chi_square - (N - 1)) < STANDARD_DEVIATIONS * np.sqrt(2 * N)


def test_sparse_rows_by_blocks_have_distinct_columns(monkeypatch):
    monkeypatch.setattr(topology, "_KEYS_AT_ONCE", 100)
    W = topology.sparse(30, in_degree=20, rng=generator())
    assert all(len(set(row)) == 20 for row in W.indices.reshape(30, 20).tolist())


@pytest.mark.parametrize(("N", "in_degree"), [(1, 1), (2, 1), (8, 3), (13, 13)])
def test_shifts_as_csr_equals_the_definition_and_keeps_the_order_of_k(N, in_degree):
    W = topology.shifts(N, in_degree=in_degree, rng=generator())
    np.testing.assert_array_equal(W.to_csr().toarray(), cyclic_diagonals(W.shifts, W.weights))
    np.testing.assert_array_equal(W.to_csr().data.reshape(N, -1), W.weights.T)
    assert W.shifts.dtype == np.int64
    assert W.weights.flags.c_contiguous


@pytest.mark.parametrize("seed", range(20))
def test_shifts_have_no_self_loop_and_never_split_the_reservoir(seed):
    W = topology.shifts(12, in_degree=2, rng=generator(seed))
    assert 0 not in W.shifts
    assert sp.csgraph.connected_components(W.to_csr(), connection="strong")[0] == 1


def test_ring_passes_each_state_to_the_next_unit():
    np.testing.assert_array_equal(topology.ring(4) @ np.arange(4.0), [3, 0, 1, 2])


def test_delay_line_passes_each_state_on_and_the_last_out():
    np.testing.assert_array_equal(topology.delay_line(4) @ np.arange(1.0, 5.0), [0, 1, 2, 3])


@pytest.mark.parametrize(("N", "length"), [(1, 2), (2, 2), (3, 2), (4, 2), (9, 3), (10, 3), (15, 7), (15, 40)])
def test_ring_jumps_equals_the_definition(N, length):
    W = topology.ring_jumps(N, jump_length=length, jump_weight=0.3)
    np.testing.assert_array_equal(W.toarray(), ring_with_jumps(N, length, 0.3))


def test_ring_jumps_of_length_one_are_an_error():
    with pytest.raises(ValueError, match="jump_length"):
        topology.ring_jumps(9, jump_length=1)


@pytest.mark.parametrize("N", [1, 2, 31])
def test_orthogonal_times_its_transpose_is_the_identity(N):
    Q = topology.orthogonal(N, rng=generator()).toarray()
    np.testing.assert_allclose(Q @ Q.T, np.eye(N), atol=10 * N * np.finfo(float).eps)


def test_orthogonal_favours_no_sign_of_the_diagonal():
    signs = [np.sign(topology.orthogonal(4, rng=generator(seed)).diagonal()).sum() for seed in range(100)]
    # 400 signs, standard deviation 20.
    assert abs(sum(signs)) < STANDARD_DEVIATIONS * 20


def test_small_world_without_rewiring_is_the_lattice_of_nearest_neighbours():
    W = topology.small_world(9, in_degree=4, rng=generator(), rewiring=0.0)
    offsets = (W.indices.reshape(9, 4) - np.arange(9)[:, None]) % 9
    np.testing.assert_array_equal(np.sort(offsets, axis=1), np.tile([1, 2, 7, 8], (9, 1)))


def test_small_world_rewires_the_asked_share_of_edges_and_makes_no_self_loop():
    N, in_degree, rewiring = 2000, 10, 0.1
    W = topology.small_world(N, in_degree=in_degree, rng=generator(), rewiring=rewiring)
    offsets = (W.indices.reshape(N, in_degree) - np.arange(N)[:, None]) % N
    assert 0 not in offsets
    n_far = (np.minimum(offsets, N - offsets) > in_degree // 2).sum()
    # An edge may be rewired to a place that another has left, so slightly fewer are far.
    n_edges = N * in_degree
    assert abs(n_far - rewiring * n_edges) < STANDARD_DEVIATIONS * np.sqrt(n_edges * rewiring)


def test_small_world_refuses_a_rewiring_that_is_no_probability():
    with pytest.raises(ValueError, match="rewiring"):
        topology.small_world(9, rng=generator(), rewiring=1.5)


DENSE = np.array([[0.0, 1.5, 0.0], [-2.0, 0.0, 0.25], [0.0, 0.0, 3.0]])
FORMS = {
    "dense": DENSE,
    "list": DENSE.tolist(),
    "fortran": np.asfortranarray(DENSE),
    "float32": DENSE.astype(np.float32),
    **{kind: sp.coo_array(DENSE).asformat(kind) for kind in ("coo", "csr", "csc", "lil", "dok", "bsr", "dia")},
    "matrix": sp.csr_matrix(DENSE),
}


@every(FORMS)
def test_any_form_of_a_matrix_becomes_the_same_canonical_csr(form):
    W = from_matrix(form)
    np.testing.assert_array_equal(W.toarray(), DENSE)
    assert isinstance(W, sp.csr_array) and W.nnz == 4 and W.has_sorted_indices
    assert W.indices.dtype == np.int32
    assert W.dtype == (np.float32 if getattr(form, "dtype", None) == np.float32 else np.float64)


def test_matrix_of_integers_becomes_float64_and_a_dtype_is_obeyed():
    assert from_matrix(np.eye(3, dtype=np.int32)).dtype == np.float64
    assert from_matrix(np.eye(3, dtype=bool)).dtype == np.float64
    assert from_matrix(np.eye(3), dtype=np.float32).dtype == np.float32


def test_repeated_entries_are_summed_and_the_callers_matrix_is_left_alone():
    mine = sp.csr_array((np.array([1.0, 2.0, 0.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    W = from_matrix(mine)
    np.testing.assert_array_equal(W.toarray(), [[0, 3], [0, 0]])
    np.testing.assert_array_equal(mine.data, [1, 2, 0])
    W.data[:] = 7.0
    np.testing.assert_array_equal(mine.data, [1, 2, 0])


def test_read_only_matrix_is_accepted():
    mine = DENSE.copy()
    mine.flags.writeable = False
    np.testing.assert_array_equal(from_matrix(mine).toarray(), DENSE)


def with_indices(indices, indptr, kind=sp.csr_array):
    """Three units of one weight each, whose indices are then put out of their bounds."""
    W = kind(np.eye(3))
    W.indices, W.indptr = np.array(indices, np.int32), np.array(indptr, np.int32)
    return W


WRONG_MATRICES = {
    "not square": (np.ones((2, 3)), ValueError, "square"),
    "one dimension": (np.ones(4), ValueError, "square"),
    "empty": (np.ones((0, 0)), ValueError, "square"),
    "nan": (np.array([[np.nan]]), ValueError, "finite"),
    "infinite": (sp.csr_array(np.array([[np.inf]])), ValueError, "finite"),
    "complex": (np.eye(2) * 1j, TypeError, "real"),
    "float16": (np.eye(2, dtype=np.float16), TypeError, "float16"),
    "object": (np.eye(2, dtype=object), TypeError, "object"),
    "text": (np.array([["a"]]), TypeError, "real"),
    "index beyond": (with_indices([0, 1, 99], [0, 1, 2, 3]), ValueError, "inside it, got indices must be < 3"),
    "index below": (with_indices([0, 1, -9], [0, 1, 2, 3]), ValueError, "inside it, got indices must be >= 0"),
    "row pointer beyond": (with_indices([0, 1, 2], [0, 1, 2, 10**6]), ValueError, "inside it"),
    "row pointer that falls": (with_indices([0, 1, 2], [0, 3, 1, 3]), ValueError, "inside it"),
    "row pointer below": (with_indices([0, 1, 2], [0, -5, 1, 3]), ValueError, "inside it"),
    "column pointer beyond": (with_indices([0, 1, 2], [0, 1, 2, 10**6], sp.csc_array), ValueError, "inside it"),
    "sum of duplicates": (sp.coo_array(([1e308] * 2, ([0, 0], [0, 0])), shape=(1, 1)), ValueError, "range of float64"),
    "masked": (np.ma.array(np.eye(2), mask=np.eye(2)), ValueError, "no masked entry"),
    "list in itself": (endless(2), ValueError, "rectangular"),
    "ragged": ([[1, 2], [3]], ValueError, "rectangular"),
    "shift of 64 bits": (Shifts(np.array([1, 2**62]), np.ones((2, 3))), ValueError, "distinct"),
    "shift out of range": (Shifts(np.array([3]), np.ones((1, 3))), ValueError, "distinct"),
    "shift twice": (Shifts(np.array([1, 1]), np.ones((2, 3))), ValueError, "distinct"),
    "shifts without weights": (Shifts(np.array([1, 2]), np.ones((1, 3))), ValueError, "shape"),
}


@every(WRONG_MATRICES)
def test_a_matrix_that_cannot_be_a_reservoir_is_a_clear_error(case):
    matrix, error, words = case
    with pytest.raises(error, match=words) as caught:
        from_matrix(matrix)
    assert str(caught.value).startswith("topology must")


def test_shifts_of_a_user_stay_shifts():
    mine = Shifts(np.array([1, 0]), np.ones((2, 3), np.float32))
    W = topology.build(mine, rng=generator(), dtype=None)
    assert isinstance(W, Shifts) and W.dtype == np.float32
    np.testing.assert_array_equal(W.shifts, [1, 0])


def test_build_takes_the_size_from_a_matrix_and_refuses_another():
    assert topology.build(DENSE, rng=generator()).shape == (3, 3)
    assert topology.build(DENSE, 3, rng=generator()).shape == (3, 3)
    with pytest.raises(ValueError, match="set n_units=3"):
        topology.build(DENSE, 500, rng=generator())


def test_build_refuses_an_unknown_name_and_lists_the_known_ones():
    with pytest.raises(ValueError, match="'sparse', 'shifts', 'ring'") as caught:
        topology.build("torus", 5, rng=generator())
    assert "'torus'" in str(caught.value)


def test_a_matrix_with_indices_out_of_bounds_is_not_changed():
    W = with_indices([0, 1, 2], [0, 1, 2, 3])
    W.indices, W.indptr = W.indices.astype(np.int64), W.indptr.astype(np.int64)
    from_matrix(W)
    assert W.indices.dtype == W.indptr.dtype == np.int64


def test_duplicates_and_unsorted_indices_are_summed_and_sorted():
    W = sp.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 0, 1]), np.array([0, 3, 3])), shape=(2, 2))
    found = from_matrix(W)
    np.testing.assert_array_equal(found.toarray(), [[2.0, 5.0], [0.0, 0.0]])
    assert found.indices.tolist() == [0, 1]


def test_weights_beyond_the_precision_asked_for_are_refused():
    with pytest.raises(ValueError, match=r"^topology must give weights in the range of float32"):
        from_matrix(np.full((2, 2), 1e308), dtype=np.float32)
    with pytest.raises(ValueError, match=r"^topology must give weights in the range of float32"):
        from_matrix(Shifts(np.array([1]), np.full((1, 3), 1e308)), dtype=np.float32)


@pytest.mark.parametrize("name", ["sparse", "shifts", "orthogonal", "small_world"])
def test_more_weights_than_an_index_can_count_are_refused_before_memory_is_taken(name):
    with pytest.raises(ValueError, match="at most 2147483647 weights, got"):
        topology.NAMES[name](100_000, in_degree=50_000, rng=generator())


@pytest.mark.parametrize(("name", "value"), [("jump_length", 10**30), ("jump_length", 1), ("jump_weight", "a")])
def test_jumps_that_cannot_be_meant_are_refused(name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name} must"):
        topology.ring_jumps(10, **{name: value})


def test_a_jump_longer_than_the_ring_leaves_the_ring():
    np.testing.assert_array_equal(topology.ring_jumps(5, jump_length=2**62).toarray(), topology.ring(5).toarray())
