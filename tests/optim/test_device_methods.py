"""Every method of minimisation, and conjugate gradients, on vectors of CuPy: on the stand-in, the numbers of NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from contracts import METHODS, METHODS_SIZE, every
from cuda_host import standin
from optim import SGD, Adam, CGSettings, conjugate_gradient, from_callables, minimize
from optim.device import namespace, to_device

P = METHODS_SIZE
# Sums of six terms in another order, over some steps of a method that does not enlarge what is lost.
SAME = {"rtol": 1e-10, "atol": 1e-12}


def matrix(dtype):
    root = np.random.default_rng(0).standard_normal((P, P))
    return (root @ root.T + np.eye(P)).astype(dtype)


def bowl(dtype=np.float64, place=lambda array: array):
    """½ xᵀA x + ¼ Σ x⁴ where ``place`` puts its matrix."""
    A = place(matrix(dtype))
    return from_callables(
        lambda x: (float(0.5 * x @ A @ x + 0.25 * (x**4).sum()), A @ x + x**3),
        lambda x, v: A @ v + 3 * x**2 * v,
        squared_gradients=lambda x: (A @ x + x**3) ** 2,
        n_params=P,
    )


def start(dtype=np.float64):
    return np.linspace(-1, 1, P).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@every(METHODS)
def test_a_method_goes_the_way_it_goes_on_the_processor(method, dtype):
    expected = minimize(bowl(dtype), start(dtype), method, max_iterations=4)
    with standin.installed() as cupy:
        found = minimize(bowl(dtype, to_device), to_device(start(dtype)), method, max_iterations=4)
        assert isinstance(found.theta, cupy.ndarray) and found.theta.dtype == dtype
        theta = found.theta.get()
    assert found.reason == expected.reason
    assert_allclose(theta, expected.theta, **(SAME if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-6}))


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    with standin.installed():
        objective, path = bowl(place=to_device), tmp_path / "run.npz"
        whole = minimize(objective, to_device(start()), Adam(0.01), max_iterations=5)
        minimize(objective, to_device(start()), Adam(0.01), max_iterations=2, checkpoint=path)
        rest = minimize(objective, to_device(start()), Adam(0.01), max_iterations=5, checkpoint=path, resume=True)
        assert namespace(rest.theta, rest.state.slots["mean"]) is namespace(whole.theta)
        assert_array_equal(rest.theta.get(), whole.theta.get())


@pytest.mark.parametrize("options", [{}, {"x0": np.ones(P)}, {"preconditioner": np.arange(1.0, P + 1)}])
def test_conjugate_gradients_are_those_of_the_processor(options):
    A, b, settings = matrix(np.float64), start(), CGSettings(max_iterations=5)
    expected = conjugate_gradient(lambda v: A @ v, b, settings=settings, second_product=lambda v: 2 * A @ v, **options)
    with standin.installed() as cupy:
        there = {name: to_device(value) for name, value in options.items()}
        B = to_device(A)
        found = conjugate_gradient(
            lambda v: B @ v, to_device(b), settings=settings, second_product=lambda v: 2 * B @ v, **there
        )
        assert isinstance(found.x, cupy.ndarray)
        assert_allclose(found.x.get(), expected.x, **SAME)
        assert_allclose(found.iterates[-1].x.get(), expected.iterates[-1].x, **SAME)
    assert found.reason == expected.reason


def test_vectors_of_two_places_are_refused():
    with standin.installed():
        with pytest.raises(TypeError, match="must live in one place, got cupy and numpy"):
            conjugate_gradient(lambda v: v, to_device(start()), x0=start())
        with pytest.raises(TypeError, match="must live in one place, got cupy and numpy"):
            minimize(from_callables(lambda x: (0.0, start()), n_params=P), to_device(start()), SGD(0.1))
