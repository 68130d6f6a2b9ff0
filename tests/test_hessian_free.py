"""The Hessian-free method: known answers, every option, and everything that can go wrong on the way."""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

import optim
from contracts import every
from objectives import bowl, logistic_regression, small_net, valley
from optim import (
    Batches,
    CGSettings,
    Evaluation,
    HessianFree,
    LevenbergMarquardt,
    LineSearch,
    RandomBatches,
    StopReason,
    WeightDecay,
    from_callables,
    minimize,
)
from optim.batches import grown

# The model of a quadratic is exact; predicted and actual falls differ by their rounding.
RATIO_RTOL = 1e-9

OPTIONS = {
    "defaults": HessianFree(),
    "structural": HessianFree(structural=0.1),
    "preconditioned": HessianFree(preconditioner="squared_gradients"),
    "cold": HessianFree(warm_start=0.0),
    "warmer": HessianFree(warm_start=lambda t: min(0.99, 0.5 * 1.01**t)),
    "best": HessianFree(backtracking="best"),
    "last": HessianFree(backtracking="none"),
    "damped-model": HessianFree(damping=LevenbergMarquardt(model="damped")),
    "judged-last": HessianFree(damping=LevenbergMarquardt(at="last", gradient="acceptance")),
    "decayed": HessianFree(weight_decay=1e-3),
    "few-cg": HessianFree(cg=5),
    "growing": HessianFree(curvature_growth=1.5, growth_when="always"),
    "progress-from-start": HessianFree(cg=CGSettings(progress_from="start", residual=1e-3)),
}


def assert_same_run(one, other):
    np.testing.assert_array_equal(one.theta, other.theta)
    assert (one.value, one.n_iterations, one.reason) == (other.value, other.n_iterations, other.reason)
    assert list(one.trace) == list(other.trace)
    for column in set(one.trace) - {"seconds"}:
        np.testing.assert_array_equal(one.trace[column], other.trace[column])
    for field in dataclasses.fields(one.state):
        np.testing.assert_array_equal(getattr(one.state, field.name), getattr(other.state, field.name))


# --------------------------------------------------------------------------------------------- known answers


def test_a_quadratic_takes_one_step_of_at_most_as_many_products_as_dimensions():
    objective, _, s = bowl(np.geomspace(1.0, 10.0, 12))
    method = HessianFree(damping=1e-12, cg=CGSettings(progress=0.0, residual=1e-10), check=False)
    result = minimize(objective, np.zeros(12), method, max_iterations=1)
    assert result.trace["cg_iterations"][0] <= 12
    np.testing.assert_allclose(result.theta, s, rtol=1e-8)


def test_rosenbrocks_valley_is_followed_to_its_end():
    objective, start = valley()
    result = minimize(objective, start, HessianFree(), tolerance=1e-10)
    assert result.reason == StopReason.CONVERGED and result.n_iterations < 40
    np.testing.assert_allclose(result.theta, [1.0, 1.0], rtol=1e-8)


def test_ill_conditioned_logistic_regression_meets_newtons_method():
    objective, _, _ = logistic_regression()
    result = minimize(objective, np.zeros(5), HessianFree(), tolerance=1e-10)
    reference = scipy.optimize.minimize(
        lambda w: objective.value(w).loss, np.zeros(5),
        jac=lambda w: objective.value_and_grad(w).grad / 300, method="BFGS", options={"gtol": 1e-9},
    )  # fmt: skip
    assert result.reason == StopReason.CONVERGED
    np.testing.assert_allclose(result.theta, reference.x, rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "softmax", "squared of logistic"])
def test_matching_and_other_losses_are_learnt(loss):
    objective, theta = small_net(loss)
    start = objective.value(theta).loss
    result = minimize(objective, theta, HessianFree(structural=0.03), max_iterations=25)
    assert result.value < 0.02 * start


def test_ratio_of_a_quadratic_is_one_without_and_above_one_with_damping_in_the_model():
    objective, _, _ = bowl([1.0, 2.0, 5.0])
    for model, expected in (("undamped", 1.0), ("damped", None)):
        rule = LevenbergMarquardt(initial=3.0, model=model)
        ratios = minimize(objective, np.zeros(3), HessianFree(damping=rule), max_iterations=1).trace["reduction_ratio"]
        if expected:
            np.testing.assert_allclose(ratios, expected, rtol=RATIO_RTOL)
        else:
            assert 1.2 < ratios[0] < 2.0


def test_a_sum_and_its_mean_are_the_same_problem():
    objective, theta = small_net()
    one = minimize(objective, theta, HessianFree(structural=0.1), max_iterations=5)

    class Doubled:
        n_params = objective.n_params

        def value(self, theta, batch=None):
            found = objective.value(theta, batch)
            return Evaluation(2 * found.loss_sum, 2 * found.weight)

        def value_and_grad(self, theta, batch=None):
            found = objective.value_and_grad(theta, batch)
            return Evaluation(2 * found.loss_sum, 2 * found.weight, 2 * found.grad)

        def linearize(self, theta, batch=None):
            linear = objective.linearize(theta, batch)

            class Products:
                weight = 2 * linear.weight

                def gauss_newton(self, v, *, structural=0.0):
                    return 2 * linear.gauss_newton(v, structural=structural)

            return Products()

    assert_same_run(one, minimize(Doubled(), theta, HessianFree(structural=0.1), max_iterations=5))


# --------------------------------------------------------------------------------------------------- options


@every(OPTIONS)
def test_every_option_learns_without_a_step_uphill(method):
    objective, theta = small_net("softmax", n_sequences=40)
    policy = RandomBatches(40, gradient=40, curvature=15)
    result = minimize(objective, theta, method, batches=policy, max_iterations=25, rng=np.random.default_rng(1))
    assert objective.value(result.theta).loss < 0.6 * objective.value(theta).loss
    trace = result.trace
    assert (trace["loss_after"] <= trace["loss_acceptance"]).all() and (trace["damping"] > 0).all()
    assert trace["products"][-1] == result.state.products and (np.diff(trace["products"]) > 0).all()


@every(OPTIONS)
def test_resumed_equals_uninterrupted(method, tmp_path):
    objective, theta = small_net("softmax", n_sequences=40)
    policy = RandomBatches(40, gradient=30, curvature=10, acceptance=8, debias=5)
    path = tmp_path / "run.npz"

    def run(n_steps, **options):
        return minimize(
            objective, theta, method, batches=policy, max_iterations=n_steps, rng=np.random.default_rng(1), **options
        )

    whole = run(7)
    run(3, checkpoint=path)
    assert_same_run(whole, run(7, checkpoint=path, resume=True))


def test_structural_damping_changes_no_loss_and_no_gradient_but_the_step():
    objective, theta = small_net()
    rows = [
        minimize(objective, theta, HessianFree(structural=mu, damping=1.0), max_iterations=1).trace for mu in (0.0, 1.0)
    ]
    assert rows[0]["loss"] == rows[1]["loss"] and rows[0]["gradient_norm"] == rows[1]["gradient_norm"]
    assert rows[0]["quadratic"] != rows[1]["quadratic"]


def test_structural_damping_moves_hidden_states_less():
    objective, theta = small_net()
    before = objective.net.preactivations_of(theta)[0]
    moved = []
    for mu in (0.0, 10.0):
        method = HessianFree(structural=mu, damping=1e-2, backtracking="none")
        result = minimize(objective, theta, method, max_iterations=1)
        moved.append(np.linalg.norm(objective.net.preactivations_of(result.theta)[0] - before))
    assert moved[1] < 0.7 * moved[0]


def test_weight_decay_is_the_wrapper():
    objective, theta = small_net()
    mask = np.arange(theta.size) % 2 == 0
    inside = minimize(objective, theta, HessianFree(weight_decay=0.01, decay_mask=mask), max_iterations=4)
    outside = minimize(WeightDecay(objective, 0.01, mask), theta, HessianFree(), max_iterations=4)
    np.testing.assert_array_equal(inside.theta, outside.theta)
    assert inside.value == outside.value == WeightDecay(objective, 0.01, mask).value(inside.theta).loss


def test_value_of_a_converged_run_includes_the_decay():
    objective, _, _ = bowl([1.0, 2.0])
    result = minimize(objective, np.ones(2), HessianFree(weight_decay=0.5), tolerance=1e-9)
    assert result.success and result.value == WeightDecay(objective, 0.5).value(result.theta).loss


def test_debias_batch_is_used_along_the_directions():
    objective, theta = small_net(n_sequences=40)
    rows = np.arange(40)
    plain = Batches(rows, rows[:8], rows[:8])
    debiased = Batches(rows, rows[:8], rows[:8], rows[20:28])
    results = [
        minimize(objective, theta, HessianFree(check=False), batches=lambda rng, t, b=b: b, max_iterations=1)
        for b in (plain, debiased)
    ]
    assert results[0].trace["cg_iterations"] == results[1].trace["cg_iterations"]
    # Both products an iteration, and one for the ratio.
    assert results[1].state.products - 1 == 2 * (results[0].state.products - 1)
    assert not np.array_equal(results[0].theta, results[1].theta)
    np.testing.assert_array_equal(results[0].state.direction, results[1].state.direction)


@pytest.mark.parametrize("gradient_is_all", [True, False])
def test_growth_takes_sequences_of_the_gradient_that_play_no_role_yet(gradient_is_all):
    gradient = None if gradient_is_all else np.arange(30)[::-1]
    drawn = Batches(gradient, np.arange(5), np.arange(5), np.arange(5, 9))
    more = grown(drawn, 2.0, 30)
    assert len(more.curvature) == 10 and more.acceptance is more.curvature
    assert not set(more.curvature) & set(drawn.debias) and len(set(more.curvature)) == 10
    assert len(grown(drawn, 100.0, 30).curvature) == 26
    assert grown(drawn, 1.0, 30) is drawn and grown(Batches(), 2.0, 30).curvature is None
    apart = grown(Batches(gradient, np.arange(5), np.arange(10, 20)), 100.0, 30)
    assert not set(apart.curvature) & set(range(10, 20))


def test_curvature_grows_when_asked_to():
    objective, theta = small_net(n_sequences=40)
    method = HessianFree(curvature_growth=2.0, growth_when="always")
    policy = RandomBatches(40, gradient=40, curvature=5)
    result = minimize(objective, theta, method, batches=policy, max_iterations=3)
    assert result.trace["curvature_scale"].tolist() == [2.0, 4.0, 8.0]


def test_float32_stays_and_learns():
    objective, theta = small_net(dtype=np.float32)
    result = minimize(objective, theta, HessianFree(structural=0.03), max_iterations=15)
    assert result.theta.dtype == np.float32 and result.state.direction.dtype == np.float32
    assert result.value < 0.05 * objective.value(theta).loss


def test_budget_of_products_is_kept():
    objective, theta = small_net()
    result = minimize(objective, theta, HessianFree(cg=10), max_products=40)
    assert result.reason == StopReason.MAX_PRODUCTS and 40 <= result.state.products <= 40 + 12


def test_fresh_processes_find_the_same_bits():
    script = (
        "from objectives import small_net\n"
        "from optim import HessianFree, RandomBatches, minimize\n"
        "objective, theta = small_net('softmax', n_sequences=40)\n"
        "method = HessianFree(structural=0.1, preconditioner='squared_gradients')\n"
        "policy = RandomBatches(40, gradient=30, curvature=10)\n"
        "result = minimize(objective, theta, method, batches=policy, max_iterations=5)\n"
        "print(result.theta.tobytes().hex(), result.state.damping.hex())\n"
    )
    answers = set()
    for threads in ("1", "2"):
        folders = (Path(optim.__file__).parents[1], Path(__file__).parent)
        environment = {
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        }
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        answers.add(run.stdout)
    assert len(answers) == 1 and len(answers.pop()) > 100


# --------------------------------------------------------------------------------------------- what goes wrong


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


def test_at_the_limit_of_the_dtype_a_run_has_converged():
    objective, start = valley()
    result = minimize(objective, start, HessianFree(), tolerance=0.0, max_iterations=500)
    assert result.reason == StopReason.CONVERGED
    flat = from_callables(lambda x: (1.0, np.zeros(2)), lambda x, v: v, n_params=2)
    assert minimize(flat, np.ones(2), HessianFree()).reason == StopReason.CONVERGED


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
        ({"damping": 0.0}, ValueError, "initial must be a finite number > 0, got 0.0"),
        ({"damping": "auto"}, TypeError, "initial must be a finite number > 0, got 'auto'"),
        ({"structural": -0.1}, ValueError, "structural must be a finite number >= 0, got -0.1"),
        ({"cg": 0}, ValueError, "max_iterations must be a finite number > 0, got 0"),
        ({"warm_start": 1.5}, ValueError, r"warm_start must be in \[0, 1\], got 1.5"),
        ({"preconditioner": "fisher"}, ValueError, "preconditioner must be one of .*squared_gradients.* got 'fisher'"),
        ({"backtracking": True}, ValueError, "backtracking must be one of"),
        ({"negative_curvature": "ignore"}, ValueError, "negative_curvature must be one of"),
        ({"curvature_growth": 0.5}, ValueError, "curvature_growth must be a factor that does not shrink, got 0.5"),
        ({"restart_increase": 1.0}, ValueError, "restart_increase must be a factor"),
        ({"growth_when": "never"}, ValueError, "growth_when must be one of"),
        ({"patience": 0}, ValueError, "patience must be a finite number > 0"),
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


def test_line_search_can_be_replaced():
    objective, theta = small_net()
    result = minimize(
        objective, theta, HessianFree(line_search=LineSearch(sufficient=0.0, max_tries=1)), max_iterations=5
    )
    assert set(result.trace["step_length"]) <= {0.0, 1.0}
