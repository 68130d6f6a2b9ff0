"""Powers of a matrix times a vector against powers that are formed."""

import numpy as np
import pytest
import scipy.sparse as sp

from naive.spectrum import power_product as naive_power
from reservoir.powers import power_product

EPS = np.finfo(float).eps


def matrix(N, rng, density=0.2):
    """CSR with empty rows, full rows and all between."""
    W = rng.standard_normal((N, N)) * (rng.random((N, N)) < np.linspace(0, 2 * density, N)[:, None])
    return sp.csr_array(W)


@pytest.mark.parametrize("kind", ["sparse", "long indices", "dense"])
@pytest.mark.parametrize("N, p", [(1, 3), (2, 1), (40, 0), (40, 1), (40, 7)])
def test_power_times_a_vector(kind, N, p):
    rng = np.random.default_rng(N + p)
    A, x = matrix(N, rng), rng.standard_normal(N)
    if kind == "long indices":
        A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    before = x.copy()
    found = power_product(A.toarray() if kind == "dense" else A, x, p, 1.7)
    # Every product adds at most N rounding errors to what the absolute values would give.
    bound = (N + 2) * (p + 1) * EPS * naive_power(abs(A.toarray()), abs(x), p, 1.7)
    assert (abs(found - naive_power(A.toarray(), x, p, 1.7)) <= bound).all()
    np.testing.assert_array_equal(x, before)
    assert found is not x


def test_a_strided_vector_is_read_as_it_is():
    rng = np.random.default_rng(0)
    A, x = matrix(30, rng), rng.standard_normal(30) + 1j * rng.standard_normal(30)
    np.testing.assert_array_equal(power_product(A, x.imag, 3, 2.0), power_product(A, x.imag.copy(), 3, 2.0))
