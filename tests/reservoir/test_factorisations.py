"""Decompositions that come to an end, and are right, also where divide and conquer is not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from reservoir import ESNForecaster
from reservoir.readout.factorisations import eigenvectors, singular_vectors
from reservoir.readout.gram import Gram
from reservoir.readout.tsqr import TriangularFactor

# Backward-stable ways are off by a few roundings of the largest value times the root of the size.
STABLE = {"rtol": 0, "atol": 1e-13}


def graded(n=60):
    """A triangular factor whose rows sink through rounding, as those of fewer data than features do."""
    scales = 10.0 ** -np.concatenate([np.linspace(0, 3, n // 2), np.linspace(13, 200, n - n // 2)])
    return np.triu(np.random.default_rng(0).standard_normal((n, n))) * scales[:, None]


def does_not_converge(*args, **kwargs):
    raise np.linalg.LinAlgError("SVD did not converge")


def spoilt(exact):
    """The same decomposition with one vector turned a little towards another, as has been seen of LAPACK."""

    def decomposed(a, **kwargs):
        found = list(exact(a, **kwargs))
        vectors = found[0] if len(found) == 3 else found[1]
        vectors[:, 0] += 1e-6 * vectors[:, 1]
        return found

    return decomposed


BROKEN = pytest.mark.parametrize("break_", [lambda exact: does_not_converge, spoilt], ids=["raises", "spoilt"])


def check_singular(matrix):
    U, s, V = singular_vectors(matrix)
    assert_allclose(U * s @ V, matrix, **STABLE)
    assert_allclose(U.T @ U, np.eye(len(s)), **STABLE)
    assert_allclose(V @ V.T, np.eye(len(s)), **STABLE)
    assert (np.diff(s) <= 0).all()


def check_symmetric(matrix):
    values, vectors = eigenvectors(np.tril(matrix))
    assert_allclose(vectors * values @ vectors.T, matrix, **STABLE)
    assert_allclose(vectors.T @ vectors, np.eye(len(values)), **STABLE)
    assert (np.diff(values) >= 0).all()


MATRICES = {
    "graded": graded(),
    "graded the other way": np.ascontiguousarray(graded().T),
    "subnormal": graded() * 1e-310,
    "zeros": np.zeros((7, 7)),
    "one": np.ones((1, 1)),
    "wide": np.random.default_rng(1).standard_normal((5, 30)),
    "tall": np.random.default_rng(1).standard_normal((30, 5)),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=list(MATRICES))
def test_factors_are_orthogonal_and_give_the_matrix(matrix):
    check_singular(matrix)
    check_symmetric(matrix @ matrix.T)


@BROKEN
def test_qr_iteration_takes_the_place_of_what_fails(monkeypatch, break_):
    monkeypatch.setattr(np.linalg, "svd", break_(np.linalg.svd))
    monkeypatch.setattr(np.linalg, "eigh", break_(np.linalg.eigh))
    check_singular(graded())
    check_symmetric(graded() @ graded().T)


@BROKEN
@pytest.mark.parametrize("kind", [Gram, TriangularFactor])
def test_sums_are_decomposed_all_the_same(monkeypatch, break_, kind):
    moments = kind(3, 1)
    moments.add(np.insert(np.random.default_rng(0).standard_normal((4, 50)), 3, 1.0, axis=0))
    right = moments.centred().decompose()
    monkeypatch.setattr(np.linalg, "svd", break_(np.linalg.svd))
    monkeypatch.setattr(np.linalg, "eigh", break_(np.linalg.eigh))
    found = moments.centred().decompose()
    assert_allclose(found.values, right.values, rtol=1e-12)
    coef = [(d.vectors @ d.coefficients(1.0)) for d in (found, right)]
    assert_allclose(*coef, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [6, 19, 24])
def test_a_short_series_chooses_its_penalty_over_blocks(seed):
    z = np.random.default_rng(seed).standard_normal((144, 1))
    alphas = [1e-3, 1e-1, 10.0]
    model = ESNForecaster(washout=12, alpha=alphas, alpha_selection="blocked", random_state=seed).fit(z)
    assert model.alpha_ in alphas and np.isfinite(model.coef_).all()
