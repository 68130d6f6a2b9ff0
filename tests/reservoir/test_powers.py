"""Powers of a matrix times a vector against powers that are formed."""

import numpy as np
import pytest
import scipy.sparse as sp

from naive.spectrum import multiply_by_power as naive
from reservoir.graph.powers import multiply_by_power, multiply_in_turn

EPS = np.finfo(float).eps
SIZES = pytest.mark.parametrize("N, p", [(1, 3), (2, 1), (40, 0), (40, 1), (40, 7)])


def matrix(N, rng):
    """CSR with rows of 0 to about N / 2 entries, the last of them full."""
    W = rng.standard_normal((N, N)) * (rng.random((N, N)) < np.linspace(0, 0.5, N)[:, None])
    W[-1] = rng.standard_normal(N)
    return sp.csr_array(W)


def assert_close(found, A, x, p, scale):
    """Every product adds at most N rounding errors to what the absolute values would give."""
    bound = (len(x) + 2) * (p + 1) * EPS * naive(abs(A.toarray()), abs(x), p, scale)
    assert (abs(found - naive(A.toarray(), x, p, scale)) <= bound).all()


@pytest.mark.parametrize("kind", ["sparse", "long indices", "dense"])
@SIZES
def test_power_times_a_vector(kind, N, p):
    rng = np.random.default_rng(N + p)
    A, x = matrix(N, rng), rng.standard_normal(N)
    if kind == "long indices":
        A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    before = x.copy()
    found = multiply_by_power(A.toarray() if kind == "dense" else A, x, p, 1.7)
    assert_close(found, A, x, p, 1.7)
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(found, x)


@SIZES
def test_the_kernel_leaves_the_last_two_products(N, p):
    rng = np.random.default_rng(N + p)
    A, x = matrix(N, rng), rng.standard_normal(N)
    vectors = np.stack([x, np.full(N, np.nan)])
    multiply_in_turn(A.data, A.indices.astype(np.uint32), A.indptr.astype(np.uint32), p, 1.7, vectors)
    for power in range(max(0, p - 1), p + 1):
        assert_close(vectors[power % 2], A, x, power, 1.7)


def test_a_strided_vector_is_read_as_it_is():
    rng = np.random.default_rng(0)
    A, x = matrix(30, rng), rng.standard_normal(30) + 1j * rng.standard_normal(30)
    np.testing.assert_array_equal(multiply_by_power(A, x.imag, 3, 2.0), multiply_by_power(A, x.imag.copy(), 3, 2.0))
