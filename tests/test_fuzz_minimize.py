"""Any call of ``minimize`` and of conjugate gradients ends in finite numbers and a reason, or names an argument."""

import inspect

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from hostile import Refused, examples, outcome, settings_of
from naive import first_order as plain
from optim import (
    SGD,
    Adagrad,
    Adam,
    CGSettings,
    CGStop,
    HessianFree,
    LevenbergMarquardt,
    LineSearch,
    Momentum,
    Nesterov,
    RMSProp,
    StopReason,
    conjugate_gradient,
    from_callables,
    minimize,
)

pytestmark = pytest.mark.fuzz
FUZZ = {"suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
RATES = {"learning_rate": [1e-2, 0.5], "clip_value": [None, 1.0], "clip_norm": [None, 1.0]}
METHODS = {
    SGD: RATES,
    Momentum: RATES | {"momentum": [0.9, 0.0]},
    Nesterov: RATES | {"momentum": [0.9, 0.0]},
    Adagrad: RATES | {"epsilon": [1e-8], "epsilon_place": ["inside", "outside"]},
    RMSProp: RATES | {"decay": [0.9], "momentum": [0.0], "epsilon": [1e-8], "epsilon_place": ["outside"]},
    Adam: RATES | {"beta1": [0.9], "beta2": [0.999], "epsilon": [1e-8]},
    HessianFree: {
        "damping": [0.1, 1e-6, LevenbergMarquardt()],
        "structural": [0.0],
        "cg": [5, 50, CGSettings(max_iterations=8)],
        "warm_start": [0.95, 0.0],
        "preconditioner": [None],
        "backtracking": ["first_rise", "best"],
        "line_search": [LineSearch()],
        "weight_decay": [0.0, 1e-3],
        "negative_curvature": ["stop", "truncate"],
        "patience": [3],
        "check": [True, False],
    },
}
RUN = {
    "max_iterations": [0, 1, 6],
    "max_seconds": [None],
    "max_products": [None, 40],
    "tolerance": [0.0, 1e-6],
    "checkpoint_every": [1],
    "verbose": [0],
}


def arguments_of(*functions):
    """Names that a message may blame; theta is what theta0 becomes."""
    names = {name for function in functions for name in inspect.signature(function).parameters}
    return names | {"theta", "objective", "gradient", "HessianFree"}


class Misbehaviour(Exception):
    """Raised by an objective; it must reach the caller as it is."""


@st.composite
def objectives(draw):
    """A quadratic of up to five parameters, positive, indefinite or flat, and how it misbehaves from some call on."""
    n = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    eigenvalues = rng.uniform(0.1, 10.0, n) * draw(st.sampled_from([1.0, 1.0, 1e-200, 1e200, 0.0]))
    if draw(st.sampled_from([False, False, True])):
        eigenvalues[0] *= -1
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A, b = (Q * eigenvalues) @ Q.T, rng.standard_normal(n)
    A = (A + A.T) / 2
    dtype = draw(st.sampled_from([np.float64, np.float64, np.float32]))
    fault = draw(st.sampled_from(["none"] * 5 + ["nan", "infinity", "shape", "none returned", "raises", "dtype"]))
    after = draw(st.integers(0, 6))
    calls = [0]

    def spoilt(value):
        calls[0] += 1
        if calls[0] <= after:
            return value
        if fault == "raises":
            raise Misbehaviour
        return {
            "none": value, "nan": value * np.nan, "infinity": value * np.inf, "shape": np.append(value, 1),
            "none returned": None, "dtype": value.astype(np.float16) if isinstance(value, np.ndarray) else value,
        }[fault]  # fmt: skip

    def value_and_grad(x):
        x = x.astype(float)
        with np.errstate(all="ignore"):
            return float(0.5 * x @ A @ x - b @ x), spoilt((A @ x - b).astype(dtype))

    def product(x, v):
        with np.errstate(all="ignore"):
            return spoilt((A @ v.astype(float)).astype(dtype))

    return from_callables(value_and_grad, product, n_params=n), dtype, fault


STARTS = ("ones", "ones", "ones", "nan", "integers", "list", "2-D", "empty", "longer", "huge", "none")


def start(kind, n, dtype):
    return {
        "ones": np.ones(n, dtype), "nan": np.full(n, np.nan, dtype), "integers": np.ones(n, int), "list": [1.0] * n,
        "2-D": np.ones((n, 1), dtype), "empty": np.empty(0, dtype), "longer": np.ones(n + 1, dtype),
        "huge": np.full(n, 1e30, dtype), "none": None,
    }[kind]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
@settings(max_examples=examples(90), **FUZZ)
@given(data=st.data())
def test_any_minimisation(method, data):
    blamed = arguments_of(minimize, from_callables, *METHODS, LevenbergMarquardt, LineSearch, CGSettings)
    chosen, _ = data.draw(settings_of(METHODS[method]))
    made = outcome(lambda: method(**chosen), blamed)
    if isinstance(made, Refused):
        return
    objective, dtype, fault = data.draw(objectives())
    of_run, _ = data.draw(settings_of(RUN))
    theta0 = start(data.draw(st.sampled_from(STARTS)), objective.n_params, dtype)
    with np.errstate(all="ignore"):
        try:
            result = outcome(lambda: minimize(objective, theta0, made, **of_run), blamed)
        except Misbehaviour:
            assert fault == "raises"
            return
    if not isinstance(result, Refused):
        assert isinstance(result.reason, StopReason) and result.message
        assert result.theta.dtype == theta0.dtype and np.isfinite(result.theta).all()


CG = {
    "max_iterations": [1, 5, 60],
    "progress": [0.0, 5e-4],
    "window": [10, 1],
    "residual": [0.0, 1e-6],
    "spacing": [1.3],
    "replace_every": [0, 3, 50],
}


@settings(max_examples=examples(200), **FUZZ)
@given(data=st.data())
def test_any_conjugate_gradients(data):
    blamed = arguments_of(conjugate_gradient, CGSettings) | {"b"}
    chosen, _ = data.draw(settings_of(CG))
    made = outcome(lambda: CGSettings(**chosen), blamed)
    if isinstance(made, Refused):
        return
    n, dtype = data.draw(st.integers(1, 12)), data.draw(st.sampled_from([np.float64, np.float32]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    B = rng.standard_normal((n, n)) * data.draw(st.sampled_from([1.0, 1e-15, 1e15, 0.0]))
    A, b = (B @ B.T).astype(dtype), rng.standard_normal(n).astype(dtype)
    x0 = data.draw(st.sampled_from([None, np.ones(n, dtype), np.ones(n + 1, dtype), np.full(n, np.nan, dtype)]))
    fault = data.draw(st.sampled_from([0.0, 0.0, 0.0, np.nan, np.inf]))
    with np.errstate(all="ignore"):
        found = outcome(lambda: conjugate_gradient(lambda v: A @ v + fault, b, x0=x0, settings=made), blamed)
    if isinstance(found, Refused):
        return
    assert isinstance(found.reason, CGStop) and found.x.dtype == dtype
    if x0 is None or np.isfinite(x0).all():
        assert np.isfinite(found.x).all()
        if found.reason == CGStop.NOT_FINITE and found.n_iterations == 0:
            return  # the very first product, of x0
        assert np.isfinite(found.quadratics).all()
        scale = np.finfo(dtype).eps * 100 * max(1.0, max(map(abs, found.quadratics)))
        assert found.quadratics[-1] <= found.quadratics[0] + scale


# ------------------------------------------------------------------------------------------------ equal to twins

TWINS = {
    SGD: lambda gradient, theta, n: plain.sgd(gradient, theta, lambda t: 0.02, n),
    Momentum: lambda gradient, theta, n: plain.classical_momentum(gradient, theta, lambda t: 0.02, lambda t: 0.8, n),
    Adagrad: lambda gradient, theta, n: plain.adagrad(gradient, theta, lambda t: 0.02, 1e-8, True, n),
    RMSProp: lambda gradient, theta, n: plain.rmsprop(
        gradient, theta, lambda t: 0.02, 0.9, lambda t: 0.0, 1e-8, False, n
    ),
    Adam: lambda gradient, theta, n: plain.adam(gradient, theta, lambda t: 0.02, 0.9, 0.999, 1e-8, n),
}
MORE = {Momentum: {"momentum": 0.8}}


@settings(max_examples=examples(250), **FUZZ)
@given(method=st.sampled_from(list(TWINS)), n=st.integers(1, 5), n_steps=st.integers(1, 8), seed=st.integers(0, 2**16))
def test_first_order_steps_equal_the_twin(method, n, n_steps, seed):
    rng = np.random.default_rng(seed)
    B, b, theta0 = rng.standard_normal((n, n)), rng.standard_normal(n), rng.standard_normal(n)
    A = B @ B.T
    objective = from_callables(lambda x: (0.5 * x @ A @ x - b @ x, A @ x - b), n_params=n)
    path = []
    minimize(
        objective, theta0, method(0.02, **MORE.get(method, {})), max_iterations=n_steps,
        callback=lambda progress: path.append(progress.theta.copy()),
    )  # fmt: skip
    twin = TWINS[method](lambda x: A @ x - b, theta0, n_steps)
    assert_allclose(
        path[n_steps - 1], twin, rtol=1e-9, atol=1e-9
    )  # some hundred roundings, divided by roots of squares


@settings(max_examples=examples(150), **FUZZ)
@given(n=st.integers(1, 12), seed=st.integers(0, 2**16), is_warm=st.booleans(), is_preconditioned=st.booleans())
def test_conjugate_gradients_equal_the_dense_solution(n, seed, is_warm, is_preconditioned):
    rng = np.random.default_rng(seed)
    B, b = rng.standard_normal((n, n)), rng.standard_normal(n)
    A = B @ B.T + 0.1 * np.eye(n)
    found = conjugate_gradient(
        lambda v: A @ v,
        b,
        x0=rng.standard_normal(n) if is_warm else None,
        preconditioner=np.diag(A).copy() if is_preconditioned else None,
        settings=CGSettings(max_iterations=10 * n + 20, progress=0.0),
    )
    # The residual reaches rounding; a condition of at most some 1e4 (n = 12, 0.1 at the low end) multiplies it.
    assert_allclose(found.x, np.linalg.solve(A, b), rtol=1e-8, atol=1e-8)
