"""What goes wrong on the way of the Hessian-free method is survived or named, and never harms the parameters."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from contracts import every
from objectives import bowl, small_net
from optim import SGD, Adam, Batches, HessianFree, RandomBatches, StopReason, from_callables, minimize


class Broken:
    """An objective that calls ``hook(name, count, answer)`` on every answer; what it returns is used instead."""

    def __init__(self, objective, hook):
        self.objective, self.hook, self.counts = objective, hook, {}
        self.n_params = objective.n_params

    def passed(self, name, answer):
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.hook(name, self.counts[name], answer)

    def value(self, theta, batch=None):
        return self.passed("value", self.objective.value(theta, batch))

    def value_and_grad(self, theta, batch=None):
        return self.passed("value_and_grad", self.objective.value_and_grad(theta, batch))

    def linearize(self, theta, batch=None):
        linear, outer = self.passed("linearize", self.objective.linearize(theta, batch)), self

        class Products:
            weight = linear.weight

            def gauss_newton(self, v, *, structural=0.0):
                return outer.passed("product", linear.gauss_newton(v, structural=structural))

        return Products()


def fresh(method, theta):
    theta = theta.copy()
    return theta, method.init(theta)


def poison(evaluation, value):
    return dataclasses.replace(evaluation, loss_sum=value)


# -------------------------------------------------------------------------------- numbers that are not finite


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("call", [1, 2, 6, 20])
def test_a_product_that_is_not_finite_raises_damping_and_is_survived(call, value):
    objective, theta = small_net()

    def hook(name, count, answer):
        return answer * value if name == "product" and count == call else answer

    method = HessianFree(check=False, cg=10)
    theta, state = fresh(method, theta)
    steps = []
    for _ in range(3):
        broken = Broken(objective, hook) if not steps else objective
        before = state.damping
        with np.errstate(invalid="ignore"):
            theta, state, step = method.step(broken, theta, state)
        steps.append(step.row)
        assert np.isfinite(theta).all() and np.isfinite(state.direction).all() and step.reason is None
        if len(steps) == 1 and call < 20:
            assert state.damping > before
    assert steps[0]["restarts"] == (1 if call == 1 else 0)
    assert steps[2]["loss_after"] < steps[0]["loss"]


def test_products_that_are_never_finite_end_the_run_with_the_start():
    objective, theta = small_net()
    broken = Broken(objective, lambda name, count, answer: answer * math.nan if name == "product" else answer)
    result = minimize(broken, theta, HessianFree(patience=2))
    assert result.reason == StopReason.NO_PROGRESS and "steps in a row moved nothing" in result.message
    np.testing.assert_array_equal(result.theta, theta)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_losses_that_are_not_finite_are_backed_away_from(value):
    objective, theta = small_net()
    method = HessianFree(check=False)
    reference, _, _ = method.step(objective, *fresh(method, theta))

    def hook(name, count, answer):
        # The first is the loss at theta; the next are those of the last iterates of CG.
        return poison(answer, value) if name == "value" and 2 <= count <= 3 else answer

    same_batch = Batches(None, None, np.arange(24))
    moved, _, step = method.step(Broken(objective, hook), *fresh(method, theta), batches=same_batch)
    assert step.row["taken_iterate"] < step.row["cg_iterations"] and step.row["step_length"] > 0
    assert np.isfinite(moved).all() and not np.array_equal(moved, reference)


def test_losses_that_are_never_finite_reject_the_step_and_raise_damping():
    objective, theta = small_net()

    def hook(name, count, answer):
        return poison(answer, math.nan) if name == "value" and count > 1 else answer

    method = HessianFree(check=False, restart_increase=4.0)
    moved, state, step = method.step(
        Broken(objective, hook), *fresh(method, theta), batches=Batches(None, None, np.arange(24))
    )
    np.testing.assert_array_equal(moved, theta)
    assert state.damping == 4.0 * 0.1 and state.rejected == 1 and not state.direction.any()
    assert step.row["step_length"] == 0.0 and step.row["reduction_ratio"] == -math.inf


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_start_that_is_not_finite_stops_before_anything_is_written(where):
    objective, theta = small_net()

    def hook(name, count, answer):
        if name != "value_and_grad":
            return answer
        return poison(answer, math.inf) if where == "loss" else dataclasses.replace(answer, grad=answer.grad * math.nan)

    result = minimize(Broken(objective, hook), theta, HessianFree())
    assert result.reason == StopReason.NOT_FINITE
    np.testing.assert_array_equal(result.theta, theta)


@pytest.mark.parametrize("method", [HessianFree(patience=2, cg=5), SGD(0.1), Adam(0.05)], ids=["hf", "sgd", "adam"])
@pytest.mark.parametrize("policy", [None, RandomBatches(12, gradient=8, curvature=4, acceptance="gradient")])
@pytest.mark.parametrize("name", ["value", "loss", "gradient", "product"])
def test_whatever_is_not_finite_and_whenever_parameters_are_and_the_reason_tells(name, policy, method):
    objective, theta = small_net(n_sequences=12, n_steps=2, n_hidden=2)
    values = (math.nan, -math.inf) if name in ("value", "loss") else (math.nan, 1e308)
    called = {"loss": "value_and_grad", "gradient": "value_and_grad"}.get(name, name)
    for value, when, once in itertools.product(values, (1, 4), (True, False)):

        def hook(came, count, answer, value=value, when=when, once=once):
            if came != called or not (count == when if once else count >= when):
                return answer
            if name == "product":
                return np.concatenate([[value], answer[1:]])
            if name == "gradient":
                return dataclasses.replace(answer, grad=np.concatenate([[value], answer.grad[1:]]))
            return poison(answer, value)

        result = minimize(Broken(objective, hook), theta, method, batches=policy, max_iterations=3)
        assert np.isfinite(result.theta).all()
        assert np.isfinite(result.value) or result.reason == StopReason.NOT_FINITE
        assert objective.value(result.theta).loss <= 1.5 * objective.value(theta).loss


# ---------------------------------------------------------------------------------- objectives that are wrong


def skew(theta):
    S = np.triu(np.ones((theta.size, theta.size)), 1)
    return S - S.T


WRONG = {
    "loss changes": (
        StopReason.NOT_DETERMINISTIC,
        lambda name, count, answer: poison(answer, answer.loss_sum + count) if name == "value" else answer,
    ),
    "products change": (
        StopReason.NOT_DETERMINISTIC,
        lambda name, count, answer: answer * (1.0 + 0.01 * count) if name == "product" else answer,
    ),
    "not positive": (
        StopReason.NEGATIVE_CURVATURE,
        lambda name, count, answer: -answer if name == "product" else answer,
    ),
}


@every(WRONG)
def test_wrong_objectives_are_named_before_the_parameters_are_touched(case):
    reason, hook = case
    objective, theta = small_net()
    result = minimize(Broken(objective, hook), theta, HessianFree())
    assert result.reason == reason and not result.success and result.n_iterations == 1
    assert reason.advice in result.message and len(result.message) > len(reason.advice) + 20
    np.testing.assert_array_equal(result.theta, theta)
    assert not result.state.direction.any() and result.state.iteration == 0


def test_products_that_are_not_symmetric_are_named():
    objective = from_callables(
        lambda x: (0.5 * x @ x, x), lambda x, v: v + skew(x) @ v, n_params=6
    )  # positive: the skew part adds nothing to vᵀGv
    result = minimize(objective, np.ones(6), HessianFree())
    assert result.reason == StopReason.NOT_SYMMETRIC and "uᵀGv" in result.message
    np.testing.assert_array_equal(result.theta, np.ones(6))


def saddle():
    """½ x² - ½ y² + ¼ y⁴ with its Hessian, which is indefinite near the start; minima at (0, ±1), value -1/4."""
    return from_callables(
        lambda x: (0.5 * x[0] ** 2 - 0.5 * x[1] ** 2 + 0.25 * x[1] ** 4, np.array([x[0], x[1] ** 3 - x[1]])),
        lambda x, v: np.array([v[0], (3.0 * x[1] ** 2 - 1.0) * v[1]]),
        n_params=2,
    )


def test_negative_curvature_found_by_cg_stops_a_run_unless_told_otherwise():
    start = np.array([1.0, 0.1])
    stopped = minimize(saddle(), start, HessianFree(check=False))
    assert stopped.reason == StopReason.NEGATIVE_CURVATURE and "CG met" in stopped.message
    np.testing.assert_array_equal(stopped.theta, start)
    result = minimize(saddle(), start, HessianFree(check=False, negative_curvature="truncate"), tolerance=1e-9)
    assert result.reason == StopReason.CONVERGED
    np.testing.assert_allclose(result.theta, [0.0, 1.0], atol=1e-8)


def test_a_gradient_that_lies_ends_without_progress_and_without_harm():
    uphill = from_callables(lambda x: (0.5 * x @ x, -x), lambda x, v: v, n_params=3)
    result = minimize(uphill, np.ones(3), HessianFree(patience=4))
    assert result.reason == StopReason.NO_PROGRESS and result.n_iterations == 4
    assert np.diff(np.log(result.trace["damping"])) == pytest.approx(np.log(4.0))
    np.testing.assert_array_equal(result.theta, np.ones(3))


# ------------------------------------------------------------------------------------------------- interrupts


@pytest.mark.parametrize(
    ("name", "call"),
    [("value_and_grad", 1), ("linearize", 1), *((name, call) for name in ("value", "product") for call in (1, 2, 5))],
)
def test_an_interrupted_step_writes_nothing(name, call):
    objective, theta = small_net()
    method = HessianFree(check=False)
    theta, state, _ = method.step(objective, *fresh(method, theta))
    kept, kept_state = theta.copy(), dataclasses.replace(state, direction=state.direction.copy())

    def hook(called, count, answer):
        if (called, count) == (name, call):
            raise KeyboardInterrupt
        return answer

    with pytest.raises(KeyboardInterrupt):
        method.step(Broken(objective, hook), theta, state, batches=Batches(None, None, np.arange(24)))
    np.testing.assert_array_equal(theta, kept)
    for field in dataclasses.fields(state):
        np.testing.assert_array_equal(getattr(state, field.name), getattr(kept_state, field.name))


def test_an_interrupted_run_returns_the_best_so_far():
    objective, theta = small_net()

    def hook(name, count, answer):
        if name == "product" and count == 60:
            raise KeyboardInterrupt
        return answer

    result = minimize(Broken(objective, hook), theta, HessianFree(cg=15), max_iterations=50)
    assert result.reason == StopReason.INTERRUPTED and 1 <= result.n_iterations < 50
    assert objective.value(result.theta).loss <= result.trace["loss"].min()


# -------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"damping": 0.0},
            ValueError,
            r"damping must be a finite number in \[1e-12, 1e\+12\], got 0.0; .* LevenbergMarquardt",
        ),
        ({"damping": "auto"}, TypeError, "damping must be a finite number .*, got 'auto'"),
        ({"structural": -0.1}, ValueError, "structural must be a finite number >= 0, got -0.1"),
        ({"cg": 0}, ValueError, "cg must be an integer >= 1, got 0; .* CGSettings"),
        ({"cg": 2.5}, TypeError, "cg must be an integer >= 1, got 2.5"),
        ({"warm_start": 1.5}, ValueError, r"warm_start must be a finite number in \[0, 1\], got 1.5"),
        ({"line_search": 0.5}, TypeError, "line_search must be a LineSearch, got 0.5"),
        ({"preconditioner": "fisher"}, ValueError, "preconditioner must be one of .*squared_gradients.* got 'fisher'"),
        ({"backtracking": True}, TypeError, "backtracking must be one of"),
        ({"negative_curvature": "ignore"}, ValueError, "negative_curvature must be one of"),
        ({"curvature_growth": 0.5}, ValueError, "curvature_growth must be a finite number >= 1, got 0.5"),
        ({"restart_increase": 1.0}, ValueError, "restart_increase must be a finite number > 1, got 1.0"),
        ({"growth_when": "never"}, ValueError, "growth_when must be one of"),
        ({"patience": 0}, ValueError, "patience must be an integer >= 1, got 0"),
        ({"patience": 2.5}, TypeError, "patience must be an integer >= 1, got 2.5"),
        ({"dampening": 1.0}, TypeError, "unexpected keyword argument 'dampening'"),
    ],
)
def test_settings_out_of_range_are_named(settings, error, message):
    with pytest.raises(error, match=message):
        HessianFree(**settings)


def test_problems_that_do_not_fit_are_named_before_the_first_step():
    no_products = from_callables(lambda x: (x @ x, 2 * x), n_params=2)
    with pytest.raises(TypeError, match="without linearize"):
        minimize(no_products, np.ones(2), HessianFree())
    objective, _, _ = bowl([1.0, 2.0])
    with pytest.raises(TypeError, match="got dtype int64"):
        minimize(objective, np.ones(2, int), HessianFree())
    with pytest.raises(ValueError, match="a curvature product must be float64 of shape"):
        minimize(from_callables(lambda x: (x @ x, 2 * x), lambda x, v: v[:1], n_params=2), np.ones(2), HessianFree())
    with pytest.raises(NotImplementedError, match="structural must be 0"):
        minimize(objective, np.ones(2), HessianFree(structural=0.1))
    with pytest.raises(NotImplementedError, match="squared_gradients"):
        minimize(objective, np.ones(2), HessianFree(preconditioner="squared_gradients"))
    with pytest.raises(NotImplementedError, match=r"has preconditioner\(damping\)"):
        minimize(objective, np.ones(2), HessianFree(preconditioner="own"))
