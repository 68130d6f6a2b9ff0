"""The spectral radius against dense eigenvalues, known answers, and what happens when it cannot be had."""

import json
import threading
from collections import Counter

import numpy as np
import pytest
import scipy
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from contracts import TOPOLOGIES, every
from make_spectral_radii import FILE, SEEDS, digest
from naive.spectrum import spectral_radius as naive_radius
from reservoir import spectrum, topology
from reservoir.graph import arnoldi
from reservoir.graph.matrix import Shifts
from reservoir.graph.powers import multiply_by_power
from reservoir.graph.spectrum import SpectralRadiusWarning, scale_and_report, scale_to_radius, spectral_radius

SCIPY = tuple(int(part) for part in scipy.__version__.split(".")[:2])
# Promised against dense eigenvalues, relative. LAPACK's own error at these sizes: N eps times a condition
# of the eigenvalue of up to 1e3, below 1e-10.
EXACT = 1e-8
# Weights rounded to float32 move a simple eigenvalue by eps times its condition.
EXACT_FLOAT32 = 1e3 * float(np.finfo(np.float32).eps)
# Known answers: the widest bracket that the iterations on non-negative matrices stop at.
BRACKET = spectrum._PERRON_WIDTH
CYCLIC = {name: make for name, make in TOPOLOGIES.items() if name != "delay_line"}
SAMPLED = {name: TOPOLOGIES[name] for name in ("sparse", "shifts", "small_world")}
STORED = json.loads(FILE.read_text(encoding="utf-8"))


def generator(seed=0):
    return np.random.default_rng(seed)


def dense(W):
    W = W.to_csr() if isinstance(W, Shifts) else W
    return W.toarray() if sp.issparse(W) else W


def stored_radius(W):
    """From the dense eigenvalues of this very matrix, which are computed if they were not before."""
    return STORED.get(digest(W)) or naive_radius(W)


@every(CYCLIC)
@pytest.mark.parametrize("N", [1, 2, 3, 7, 64, 299])
def test_scaled_radius_is_the_wanted_one_by_dense_eigenvalues(make, N):
    W = scale_to_radius(make(N, in_degree=5, rng=generator()), 0.9)
    assert naive_radius(dense(W)) == pytest.approx(0.9, rel=EXACT)


@every(CYCLIC)
def test_float32_stays_float32_and_is_scaled_to_its_precision(make):
    W = scale_to_radius(make(80, in_degree=5, rng=generator(), dtype=np.float32), 0.9)
    assert W.dtype == np.float32
    assert naive_radius(dense(W)) == pytest.approx(0.9, rel=EXACT_FLOAT32)


@every(CYCLIC)
def test_scaling_keeps_the_kind_the_order_and_the_callers_matrix(make):
    W = make(20, in_degree=5, rng=generator())
    before = dense(W).copy()
    scaled, report = (result := scale_and_report(W, 0.5)).W, result.before
    assert type(scaled) is type(W)
    np.testing.assert_array_equal(dense(W), before)
    np.testing.assert_allclose(dense(scaled), before * (0.5 / report.value), rtol=1e-15)
    if isinstance(W, Shifts):
        np.testing.assert_array_equal(scaled.shifts, W.shifts)
    else:
        np.testing.assert_array_equal(scaled.indices, W.indices)


@every(TOPOLOGIES)
def test_same_bits_on_every_call_and_for_any_number_of_blas_threads(make):
    W = make(400, in_degree=5, rng=generator())
    first = spectral_radius(W)
    for limit in (1, 2, 3):
        with threadpool_limits(limit, user_api="blas"):
            assert spectral_radius(W) == first


@every(SAMPLED)
def test_arnoldi_finds_the_radius_at_every_size_around_the_crossover(make):
    for N in (201, 260):
        for seed in range(2):
            W = make(N, in_degree=6, rng=generator(seed))
            assert spectral_radius(W).value == pytest.approx(naive_radius(dense(W)), rel=EXACT)


@pytest.mark.slow
@every(SAMPLED)
def test_radius_is_exact_on_twenty_graphs_of_a_thousand_units(make):
    for seed in SEEDS:
        W = make(1000, in_degree=10, rng=generator(seed))
        found = spectral_radius(W)
        assert found.method == "arnoldi"
        assert found.value == pytest.approx(stored_radius(dense(W)), rel=EXACT)


@pytest.mark.slow
@every(SAMPLED)
def test_radius_is_exact_at_two_thousand_units(make):
    W = make(2000, in_degree=10, rng=generator(1))
    assert spectral_radius(W).value == pytest.approx(stored_radius(dense(W)), rel=EXACT)


@pytest.mark.slow
def test_a_hundred_thousand_units_are_scaled_to_a_thousandth():
    W = topology.sparse(100_000, in_degree=10, rng=generator())
    found = spectral_radius(W)
    assert found.error < 1e-3
    # A second estimate, from other start vectors.
    other = spectral_radius(W, rng=generator(1))
    assert other.value == pytest.approx(found.value, rel=1e-3)


BLOCKS = [np.array([[0.0, 3.0], [0.5, 0.0]]), np.array([[2.0]]), np.array([[0.4, -0.9], [0.9, 0.4]])]
KNOWN = {
    "zero": (np.zeros((3, 3)), 0.0, "acyclic"),
    "one unit without a loop": (np.zeros((1, 1)), 0.0, "acyclic"),
    "one unit": (np.array([[-0.7]]), 0.7, "loop"),
    "strictly triangular": (np.triu(np.ones((5, 5)), 1), 0.0, "acyclic"),
    "triangular": (np.triu(np.ones((4, 4))) * [1, 2, -5, 3], 5.0, "loop"),
    "cycle": (np.array([[0.0, 0, 8], [-1, 0, 0], [0, 1, 0]]), 2.0, "cycle"),
    "two cycles": (sp.block_diag([BLOCKS[0], BLOCKS[0] * 2]).toarray(), 2 * np.sqrt(1.5), "cycle"),
    "isometry": (BLOCKS[2], np.sqrt(0.16 + 0.81), "isometry"),
    "blocks": (sp.block_diag(BLOCKS).toarray(), 2.0, "loop"),
    "non-negative": (np.array([[1.0, 2.0], [3.0, 2.0]]), 4.0, "perron"),
    "mixed signs": (np.array([[1.0, -2.0], [3.0, -4.0]]), 2.0, "dense"),
    "huge": (np.array([[1e300, -2e300], [3e300, -4e300]]), 2e300, "dense"),
    "tiny": (np.array([[1e-300, -2e-300], [3e-300, -4e-300]]), 2e-300, "dense"),
}


@every(KNOWN)
def test_known_answer(case):
    W, value, method = case
    found = spectral_radius(W)
    assert found.value == pytest.approx(value, rel=BRACKET, abs=0)
    assert found.method == method


def test_reducible_graph_has_the_radius_of_its_largest_part():
    parts = [topology.sparse(40, in_degree=4, rng=generator(seed)).toarray() for seed in range(3)]
    W = np.triu(generator(5).random((120, 120)), 40)  # one way between the parts: changes no eigenvalue
    for i, part in enumerate(parts):
        W[40 * i : 40 * i + 40, 40 * i : 40 * i + 40] = part
    order = generator(6).permutation(120)
    expected = max(naive_radius(part) for part in parts)
    assert spectral_radius(W[order][:, order]).value == pytest.approx(expected, rel=EXACT)


def test_perron_root_of_a_ring_with_jumps_equals_dense_eigenvalues():
    W = topology.ring_jumps(250, jump_length=9, jump_weight=0.7)
    found = spectral_radius(W)
    assert found.method == "perron"
    assert found.value == pytest.approx(naive_radius(W.toarray()), rel=EXACT)


def test_radius_of_a_low_rank_matrix_where_the_krylov_space_ends_early():
    u, v = (generator(seed).standard_normal((1000, 1)) * (generator(2).random((1000, 1)) < 0.02) for seed in (0, 1))
    W = sp.csr_array(u @ v.T) + sp.csr_array(sp.eye_array(1000)) * 0.01
    assert spectral_radius(W).value == pytest.approx(abs(float((u.T @ v).item()) + 0.01), rel=EXACT)


@every({"dense": np.asarray, "csc": sp.csc_array, "coo": sp.coo_array, "matrix": sp.csr_matrix})
def test_every_form_of_a_matrix_is_scaled_in_its_own_form(form):
    W = form(np.array([[0.0, 2.0], [8.0, 0.0]]))
    scaled = scale_to_radius(W, 0.5)
    assert type(scaled) is type(W)
    np.testing.assert_array_equal(dense(scaled), [[0, 0.25], [1, 0]])


def test_delay_line_takes_the_radius_as_its_weight():
    W = scale_to_radius(topology.delay_line(5), 0.8)
    np.testing.assert_array_equal(W.toarray(), np.diag(np.full(4, 0.8), -1))


@every({"zero": np.zeros((3, 3)), "triangular": np.triu(np.ones((3, 3)), 1), "one unit": np.zeros((1, 1))})
def test_other_nilpotent_matrices_cannot_be_scaled_and_the_error_says_what_to_do(W):
    with pytest.raises(ValueError, match=r"nilpotent.*spectral_radius=None"):
        scale_to_radius(W, 0.9)
    np.testing.assert_array_equal(scale_to_radius(W, 0.0), W)


def test_a_radius_that_is_rounding_alone_is_refused():
    W = np.kron(generator().random((20, 20)), [[1.0, -1.0], [1.0, -1.0]])  # W @ W = 0, every unit in a cycle
    with pytest.warns(SpectralRadiusWarning), pytest.raises(ValueError, match="can be computed"):
        scale_to_radius(W, 0.9)


@pytest.mark.parametrize("rho", [-0.9, np.nan, np.inf])
def test_radius_must_be_finite_and_not_negative(rho):
    with pytest.raises(ValueError, match="spectral_radius must be"):
        scale_to_radius(np.eye(2), rho)


def test_without_convergence_small_matrices_fall_back_to_dense_eigenvalues(monkeypatch):
    monkeypatch.setattr(arnoldi, "_arnoldi", lambda *args, **kwargs: None)
    W = topology.sparse(300, in_degree=5, rng=generator())
    found = spectral_radius(W)
    assert found.method == "dense"
    assert found.value == pytest.approx(naive_radius(W.toarray()), rel=1e-12)


def test_arnoldi_runs_that_disagree_fall_back_to_dense_eigenvalues(monkeypatch):
    answers = iter([arnoldi.Estimate(1.0, 1e-15, "arnoldi"), arnoldi.Estimate(1.1, 1e-15, "arnoldi")])
    monkeypatch.setattr(arnoldi, "_arnoldi", lambda *args, **kwargs: next(answers))
    W = topology.sparse(300, in_degree=5, rng=generator())
    assert spectral_radius(W).value == pytest.approx(naive_radius(W.toarray()), rel=1e-12)


def test_without_convergence_large_matrices_warn_and_give_an_error_that_covers_the_truth(monkeypatch):
    W = topology.sparse(2500, in_degree=5, rng=generator())
    truth = spectral_radius(W)
    monkeypatch.setattr(arnoldi, "_arnoldi", lambda *args, **kwargs: None)
    with pytest.warns(SpectralRadiusWarning, match="growth"):
        found = spectral_radius(W)
    assert found.method == "growth"
    assert abs(found.value / truth.value - 1) < found.error < 0.5


def test_arpack_that_gives_up_is_no_exception(monkeypatch):
    W = topology.sparse(400, in_degree=5, rng=generator())
    patient, n_gave_up = arnoldi.eigs, []

    def impatient(*args, **kwargs):
        n_gave_up.append(1)
        return patient(*args, **{**kwargs, "maxiter": 1, "tol": 0.0, "ncv": 9})

    monkeypatch.setattr(arnoldi, "eigs", impatient)
    found = spectral_radius(W)
    assert len(n_gave_up) == 2
    assert found.method == "dense"
    assert found.value == pytest.approx(naive_radius(W.toarray()), rel=EXACT)


@pytest.mark.slow
@every(SAMPLED)
def test_error_above_two_thousand_units_covers_the_difference_to_a_converged_value(make, monkeypatch):
    """The tolerance of large parts, tried at 5,000 units, where the tight one is affordable."""
    W = make(5000, in_degree=10, rng=generator())
    tight = spectral_radius(W)
    monkeypatch.setattr(arnoldi, "_ROUGH", 4000)
    loose = spectral_radius(W)
    rounding = 1e-12
    assert abs(loose.value / tight.value - 1) <= loose.error + rounding


@pytest.mark.slow
@pytest.mark.parametrize("N", [1000, 2500])
def test_the_radius_has_the_same_bits_on_any_number_of_threads(N):
    W = topology.sparse(N, in_degree=4, rng=generator())
    one, two = (spectral_radius(W, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert one.method == "arnoldi" and one == two


class Stop(BaseException):
    """What nobody but the test raises or catches, as Ctrl-C."""


@pytest.mark.skipif(SCIPY < (1, 17), reason="ARPACK runs one after the other before SciPy 1.17")
@pytest.mark.parametrize("here", [True, False])
def test_a_run_that_ends_in_an_exception_ends_the_other(monkeypatch, here):
    main, both, calls = threading.main_thread(), threading.Barrier(2, timeout=30), Counter()

    def product(A, x, p, scale):
        if p > 1:  # not those of the growth rate
            is_main = threading.current_thread() is main
            calls[is_main] += 1
            if calls[is_main] == 1:
                both.wait()
            if is_main == here:
                raise Stop
        return multiply_by_power(A, x, p, scale)

    monkeypatch.setattr(arnoldi, "multiply_by_power", product)
    with pytest.raises(Stop):
        spectral_radius(topology.sparse(1000, in_degree=10, rng=generator()), n_jobs=2)
    assert calls[here] == 1
    assert 0 < calls[not here] < 150  # a run that is not stopped has more than 200


def test_a_qr_iteration_that_stalls_is_run_on_the_transpose(monkeypatch):
    W = np.random.default_rng(0).standard_normal((20, 20))
    right, eigvals = spectral_radius(W).value, scipy.linalg.eigvals

    def stalls_on_this_one(A, **kwargs):
        if np.array_equal(A, W / np.abs(W).max()):
            raise np.linalg.LinAlgError("eig algorithm (geev) did not converge")
        return eigvals(A, **kwargs)

    monkeypatch.setattr(scipy.linalg, "eigvals", stalls_on_this_one)
    np.testing.assert_allclose(spectral_radius(W).value, right, rtol=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_weights_so_small_that_the_factor_is_no_float_are_scaled(kind):
    W = 1e-310 * np.random.default_rng(0).standard_normal((20, 20))
    scaled = scale_to_radius(kind(W), 0.9)
    # Subnormal weights have 12 digits left.
    np.testing.assert_allclose(spectral_radius(scaled).value, 0.9, rtol=1e-11)
