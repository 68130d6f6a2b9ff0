"""Conjugate gradients against dense solves, SciPy and the textbook; their stops; their memory."""

import tracemalloc

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, cg

from naive import curvature as naive
from objectives import bowl
from optim import CGSettings, CGStop, conjugate_gradient

# RELIABILITY 12: agreement with a dense solve and with SciPy.
SOLVE_RTOL = 1e-8
TIGHT = CGSettings(progress=0.0, residual=1e-12, max_iterations=500)


def system(n=40, condition=1e3, seed=0, dtype=np.float64):
    _, A, b = bowl(np.geomspace(1.0, condition, n), seed, dtype)
    return A, b


@pytest.mark.parametrize("replace_every", [0, 5])
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_solution_is_that_of_a_dense_solve_and_of_scipy(warm, preconditioned, replace_every):
    A, b = system()
    x0 = np.random.default_rng(1).standard_normal(b.size) if warm else None
    M = np.diag(A).copy() if preconditioned else None
    settings = CGSettings(progress=0.0, residual=1e-12, max_iterations=500, replace_every=replace_every)
    found = conjugate_gradient(lambda v: A @ v, b, x0=x0, preconditioner=M, settings=settings)
    assert found.reason == CGStop.RESIDUAL
    expected = np.linalg.solve(A, b)
    inverse = None if M is None else LinearOperator(A.shape, lambda v: v / M)
    from_scipy, failed = cg(A, b, x0=x0, rtol=1e-12, M=inverse)
    assert failed == 0
    for other in (expected, from_scipy):
        assert np.linalg.norm(found.x - other) <= SOLVE_RTOL * np.linalg.norm(other)


@pytest.mark.parametrize("preconditioned", [False, True])
def test_iterates_are_those_of_the_textbook(preconditioned):
    A, b = system(n=12, condition=10.0)
    M = np.linspace(1.0, 3.0, 12) if preconditioned else None
    x0 = np.ones(12)
    expected = naive.conjugate_gradient(A, b, x0, 8, M)
    settings = CGSettings(progress=0.0, max_iterations=8, spacing=1.01)
    found = conjugate_gradient(lambda v: A @ v, b, x0=x0, preconditioner=M, settings=settings)
    assert [iterate.number for iterate in found.iterates] == list(range(1, 9))
    for iterate, x in zip(found.iterates, expected, strict=True):
        np.testing.assert_allclose(iterate.x, x, rtol=SOLVE_RTOL)


def test_a_function_that_divides_by_a_diagonal_is_that_diagonal():
    A, b = system()
    M = np.diag(A).copy()
    by_array, by_function = (
        conjugate_gradient(lambda v: A @ v, b, preconditioner=form)
        for form in (M, lambda r, out: np.divide(r, M, out=out))
    )
    assert by_array.quadratics == by_function.quadratics
    np.testing.assert_array_equal(by_array.x, by_function.x)


def test_the_inverse_itself_solves_in_one_step():
    A, b = system(condition=1e6)
    inverse = np.linalg.inv(A)
    found = conjugate_gradient(
        lambda v: A @ v,
        b,
        preconditioner=lambda r, out: np.matmul(inverse, r, out=out),
        settings=CGSettings(residual=1e-8),
    )
    assert found.n_iterations == 1 and found.reason == CGStop.RESIDUAL


def test_a_preconditioner_that_is_not_positive_is_named():
    A, b = system()
    with pytest.raises(ValueError, match="preconditioner must be positive definite, got"):
        conjugate_gradient(lambda v: A @ v, b, preconditioner=lambda r, out: np.multiply(r, -1.0, out=out))


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_a_quadratic_is_solved_in_as_many_steps_as_it_has_dimensions(n):
    A, b = system(n, condition=10.0)  # beyond, rounding costs directions their conjugacy before the last one
    settings = CGSettings(progress=0.0, residual=1e-10, max_iterations=500)
    assert conjugate_gradient(lambda v: A @ v, b, settings=settings).n_iterations <= n


def test_as_many_steps_as_distinct_eigenvalues_are_enough():
    _, A, b = bowl([1.0] * 10 + [5.0] * 10 + [50.0] * 10)
    assert conjugate_gradient(lambda v: A @ v, b, settings=TIGHT).n_iterations == 3


def test_quadratics_are_the_model_and_fall():
    A, b = system(condition=1e5)
    settings = CGSettings(progress=0.0, max_iterations=30, spacing=1.01)
    found = conjugate_gradient(lambda v: A @ v, b, x0=0.1 * b, settings=settings)
    assert (np.diff(found.quadratics) < 0.0).all()
    for iterate in found.iterates:
        model = 0.5 * iterate.x @ A @ iterate.x - b @ iterate.x
        assert iterate.quadratic == found.quadratics[iterate.number] == pytest.approx(model, rel=SOLVE_RTOL)


def test_kept_iterates_are_spaced_and_end_with_the_last():
    A, b = system(n=60, condition=1e8)
    settings = CGSettings(progress=0.0, max_iterations=40)
    found = conjugate_gradient(lambda v: A @ v, b, settings=settings)
    numbers = [iterate.number for iterate in found.iterates]
    expected = sorted({int(np.ceil(1.3**j)) for j in range(15)} | {40})
    assert numbers == [number for number in expected if number <= 40]
    np.testing.assert_array_equal(found.iterates[-1].x, found.x)


@pytest.mark.parametrize("progress_from", ["zero", "start"])
def test_progress_rule_is_that_of_the_paper(progress_from):
    A, b = system(n=200, condition=1e6)
    x0 = 0.5 * np.linalg.solve(A, b)
    settings = CGSettings(progress_from=progress_from, max_iterations=1000)
    found = conjugate_gradient(lambda v: A @ v, b, x0=x0, settings=settings)
    phi = np.array(found.quadratics)

    def goes_on(i):
        k = max(10, int(np.ceil(0.1 * i)))
        gained = phi[i] - (phi[0] if progress_from == "start" else 0.0)
        return i <= k or not (gained < 0.0 and (phi[i] - phi[i - k]) / gained < k * 5e-4)

    assert found.reason == CGStop.PROGRESS
    assert not goes_on(found.n_iterations) and all(goes_on(i) for i in range(found.n_iterations))


def test_relative_to_zero_a_warm_start_stops_sooner():
    A, b = system(n=200, condition=1e6)
    x0 = 0.9 * np.linalg.solve(A, b)
    steps = {
        way: conjugate_gradient(
            lambda v: A @ v, b, x0=x0, settings=CGSettings(progress_from=way, max_iterations=1000)
        ).n_iterations
        for way in ("zero", "start")
    }
    assert steps["zero"] < steps["start"]


def test_cap_is_kept():
    A, b = system(condition=1e8)
    found = conjugate_gradient(lambda v: A @ v, b, settings=CGSettings(max_iterations=5))
    assert found.reason == CGStop.MAX_ITERATIONS and found.n_iterations == found.n_products == 5


def test_negative_curvature_is_told_with_the_iterate_before_it():
    A = np.diag([3.0, 1.0, -0.5])
    b = np.array([1.0, 1.0, 0.1])
    found = conjugate_gradient(lambda v: A @ v, b, settings=TIGHT)
    assert found.reason == CGStop.NEGATIVE_CURVATURE and found.curvature < 0.0
    assert found.n_iterations == found.iterates[-1].number >= 1
    np.testing.assert_array_equal(found.iterates[-1].x, found.x)
    at_once = conjugate_gradient(lambda v: -v, b)
    assert at_once.reason == CGStop.NEGATIVE_CURVATURE and not at_once.iterates and not at_once.x.any()


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("when", [1, 4])
def test_what_is_not_finite_never_reaches_the_iterates(poison, when):
    A, b = system()
    calls = []

    def product(v):
        calls.append(1)
        return A @ v * (poison if len(calls) == when else 1.0)

    found = conjugate_gradient(product, b, settings=TIGHT)
    assert found.reason == CGStop.NOT_FINITE and found.n_iterations == when - 1
    assert np.isfinite(found.x).all() and all(np.isfinite(iterate.x).all() for iterate in found.iterates)
    assert bool(found.iterates) == (when > 1)


def test_a_solved_start_is_returned():
    A, b = system()
    x = np.linalg.solve(A, b)
    found = conjugate_gradient(lambda v: A @ v, A @ x, x0=x, settings=CGSettings(residual=1e-10))
    assert found.reason == CGStop.RESIDUAL and found.n_iterations == 0
    np.testing.assert_array_equal(found.iterates[-1].x, x)


def test_looks_at_the_residual_keep_float32_honest():
    A, b = system(n=100, condition=1e5, dtype=np.float32)
    errors = {}
    for every in (0, 10):
        settings = CGSettings(progress=0.0, max_iterations=800, replace_every=every, spacing=100.0)
        found = conjugate_gradient(lambda v: A @ v, b, settings=settings)
        true = np.linalg.norm(b - A.astype(float) @ found.x.astype(float)) / np.linalg.norm(b)
        errors[every] = abs(found.residual - true) / true
    assert found.x.dtype == np.float32
    assert errors[10] < 0.1 < errors[0]


# ------------------------------------------------------------------------------------------------- the floor

# What rounding leaves of a solution is eps times the condition, times a factor for sums over a long way.
FLOOR_FACTOR = 10.0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("start", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_at_the_floor_an_iteration_stays_there(preconditioned, start, dtype):
    A, b = system(n=200, condition=1e4, dtype=dtype)
    x0 = (start * np.random.default_rng(1).standard_normal(b.size)).astype(dtype)
    exact, eps = A.astype(float), np.finfo(dtype).eps
    truth = np.linalg.solve(exact, b.astype(float))
    floor = 1e4 * eps * np.linalg.norm(truth)
    for n in (1500, 2500, 4000):
        settings = CGSettings(progress=0.0, max_iterations=n, spacing=1.01)
        M = np.diag(A).copy() if preconditioned else None
        found = conjugate_gradient(lambda v: A @ v, b, x0=x0, preconditioner=M, settings=settings)
        assert np.linalg.norm(found.x - truth) <= FLOOR_FACTOR * floor
        # φ above its minimum: what differences of φ itself would drown in rounding.
        errors = np.array([iterate.x.astype(float) for iterate in found.iterates]) - truth
        heights = np.einsum("ij,jk,ik->i", errors, exact, errors)
        assert (np.diff(heights) <= FLOOR_FACTOR * floor**2).all()
        size = max(abs(quadratic) for quadratic in found.quadratics)
        assert (np.diff(found.quadratics) <= FLOOR_FACTOR * eps * size).all()
    assert found.reason == CGStop.FLOOR and found.n_iterations < 2500
    true = np.linalg.norm(b - exact @ found.x.astype(float)) / np.linalg.norm(b)
    assert found.residual == pytest.approx(true, rel=0.2)


@pytest.mark.parametrize("every", [1, 7, 50])
def test_looks_change_no_iterate_of_a_start_from_zero(every):
    A, b = system(n=100, condition=1e4)
    looking, blind = (
        conjugate_gradient(lambda v: A @ v, b, settings=CGSettings(progress=0.0, max_iterations=600, replace_every=k))
        for k in (every, 0)
    )
    assert looking.quadratics == blind.quadratics
    np.testing.assert_array_equal(looking.x, blind.x)


def test_what_a_start_far_away_has_spoilt_is_mended():
    A, b = system(n=100, condition=1e3)
    truth = np.linalg.solve(A, b)
    x0 = 1e8 * np.random.default_rng(1).standard_normal(b.size)
    error = {}
    for every in (0, 50):
        settings = CGSettings(progress=0.0, max_iterations=2000, replace_every=every)
        found = conjugate_gradient(lambda v: A @ v, b, x0=x0, settings=settings)
        error[every] = np.linalg.norm(found.x - truth) / np.linalg.norm(truth)
    assert error[50] < 1e-11 < 1e-8 < error[0]


def test_a_residual_that_only_the_recursion_reaches_is_told_apart():
    A, b = system(n=100, condition=1e4, dtype=np.float32)
    reasons = {}
    for residual in (1e-2, 1e-6):
        found = conjugate_gradient(
            lambda v: A @ v, b, settings=CGSettings(progress=0.0, residual=residual, max_iterations=2000)
        )
        true = np.linalg.norm(b - A.astype(float) @ found.x.astype(float)) / np.linalg.norm(b)
        reasons[found.reason] = true <= residual
    assert reasons == {CGStop.RESIDUAL: True, CGStop.FLOOR: False}


def test_lengths_measured_again_stay_at_the_floor_too():
    A, b = system(n=60, condition=1e3, dtype=np.float32)
    truth = 0.5 * np.linalg.solve(A.astype(float), b.astype(float))
    for n in (400, 4000):
        settings = CGSettings(progress=0.0, max_iterations=n)
        found = conjugate_gradient(lambda v: A @ v, b, settings=settings, second_product=lambda v: 2.0 * (A @ v))
        error = np.linalg.norm(found.iterates[-1].x - truth)
        assert error <= FLOOR_FACTOR * 1e3 * np.finfo(np.float32).eps * np.linalg.norm(truth)


@pytest.mark.parametrize("condition", [10.0, 1e3, 1e5])
def test_as_many_iterations_as_scipy_are_enough(condition):
    A, b = system(n=150, condition=condition)
    steps = []
    _, failed = cg(A, b, rtol=1e-8, maxiter=5000, callback=steps.append)
    settings = CGSettings(progress=0.0, residual=1e-8, max_iterations=5000)
    found = conjugate_gradient(lambda v: A @ v, b, settings=settings)
    assert failed == 0 and found.reason == CGStop.RESIDUAL
    assert found.n_iterations <= 1.01 * len(steps) + 1


def test_second_product_decides_the_lengths():
    A, b = system(n=8, condition=10.0)
    doubled = conjugate_gradient(lambda v: A @ v, b, settings=TIGHT, second_product=lambda v: 2.0 * (A @ v))
    plain = conjugate_gradient(lambda v: A @ v, b, settings=TIGHT)
    np.testing.assert_array_equal(doubled.x, plain.x)
    for one, other in zip(doubled.iterates, plain.iterates, strict=True):
        np.testing.assert_allclose(one.x, 0.5 * other.x, rtol=SOLVE_RTOL)
        model = 0.5 * one.x @ (2.0 * A) @ one.x - b @ one.x
        assert one.quadratic == pytest.approx(model, rel=SOLVE_RTOL)
    assert doubled.n_products == plain.n_products + plain.n_iterations


def test_debiasing_shortens_steps_along_directions_that_only_look_flat():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((2, 60, 50))  # two batches of 60 samples of white noise in 50 dimensions
    first, second = (S.T @ S / 60 + 1e-3 * np.eye(50) for S in samples)
    b = rng.standard_normal(50)
    settings = CGSettings(progress=0.0, max_iterations=40)
    plain = conjugate_gradient(lambda v: first @ v, b, settings=settings)
    debiased = conjugate_gradient(lambda v: first @ v, b, settings=settings, second_product=lambda v: second @ v)
    truth = np.eye(50) * (1.0 + 1e-3)  # the curvature of the population

    def true_model(x):
        return 0.5 * x @ truth @ x - b @ x

    assert true_model(debiased.iterates[-1].x) < true_model(plain.iterates[-1].x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iterations_allocate_nothing_of_the_size_of_the_vectors(dtype):
    n = 200_000
    diagonal = np.linspace(1.0, 1e4, n).astype(dtype)
    out = np.empty(n, dtype)
    b = np.ones(n, dtype)
    seen = []

    def product(v):
        if len(seen) == 3:
            tracemalloc.reset_peak()
        seen.append(tracemalloc.get_traced_memory()[0])
        return np.multiply(diagonal, v, out=out)

    tracemalloc.start()
    try:
        conjugate_gradient(product, b, preconditioner=diagonal**0.5, settings=CGSettings(max_iterations=20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What is allocated: blocks of 8192 entries, and Python's small objects.
    assert peak - seen[3] < 4 * 8192 * 8 < out.nbytes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_iterations": 0}, "max_iterations must be an integer >= 1, got 0"),
        ({"max_iterations": 10**30}, r"max_iterations must be an integer in \[1, 9223372036854775807\], got 1000+;"),
        ({"progress": -1.0}, "progress must be a finite number >= 0, got -1.0"),
        ({"spacing": 1.0}, "spacing must be a finite number >= 1.001, got 1.0"),
        ({"progress_from": "warm"}, "progress_from must be one of 'zero', 'start', got 'warm'"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        CGSettings(**settings)


@pytest.mark.parametrize("name", ["max_iterations", "window", "replace_every"])
def test_counts_are_whole_numbers(name):
    with pytest.raises(TypeError, match=f"{name} must be an integer >= [01], got 1.5"):
        CGSettings(**{name: 1.5})


def test_vectors_that_do_not_fit_are_named():
    A, b = system()
    with pytest.raises(ValueError, match="x0 must be float64 of shape"):
        conjugate_gradient(lambda v: A @ v, b, x0=np.zeros(3))
    with pytest.raises(ValueError, match="preconditioner must be float64"):
        conjugate_gradient(lambda v: A @ v, b, preconditioner=np.ones(b.size, np.float32))
    with pytest.raises(ValueError, match=r"preconditioner must be > 0 in every entry, got a smallest one of .*0.0"):
        conjugate_gradient(lambda v: A @ v, b, preconditioner=np.arange(b.size, dtype=float))
    for wrong in (np.ones(3, int), np.ones((2, 2)), [1.0]):
        with pytest.raises(TypeError, match="b must be a 1-D array of float32 or float64, got"):
            conjugate_gradient(lambda v: v, wrong)
