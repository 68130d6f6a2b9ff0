"""Options of the Hessian-free method: each learns and does what it says, and a run's bits depend on nothing else."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import optim
from contracts import every
from objectives import bowl, small_net
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
    minimize,
)
from optim.batches import grown

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


@every(OPTIONS)
def test_every_option_learns_without_a_step_uphill(method):
    objective, theta = small_net("softmax", n_sequences=40)
    policy = RandomBatches(40, gradient=40, curvature=15)
    result = minimize(objective, theta, method, batches=policy, max_iterations=25, rng=np.random.default_rng(1))
    assert objective.value(result.theta).loss < 0.6 * objective.value(theta).loss
    trace = result.trace
    assert (trace["loss_after"] <= trace["loss_acceptance"]).all() and (trace["damping"] > 0).all()
    assert trace["products"][-1] == result.state.products and (np.diff(trace["products"]) > 0).all()


# --------------------------------------------------------------------------------------------- what each does


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


def test_growth_without_end_takes_what_there_is():
    drawn = Batches(np.arange(30), np.arange(5), np.arange(5))
    for scale in (1e300, np.inf):
        assert len(grown(drawn, scale, 30).curvature) == 30


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


def test_line_search_can_be_replaced():
    objective, theta = small_net()
    result = minimize(
        objective, theta, HessianFree(line_search=LineSearch(sufficient=0.0, max_tries=1)), max_iterations=5
    )
    assert set(result.trace["step_length"]) <= {0.0, 1.0}


# ----------------------------------------------------------------------------------------------- the same run


def assert_same_run(one, other):
    np.testing.assert_array_equal(one.theta, other.theta)
    assert (one.value, one.n_iterations, one.reason) == (other.value, other.n_iterations, other.reason)
    assert list(one.trace) == list(other.trace)
    for column in set(one.trace) - {"seconds"}:
        np.testing.assert_array_equal(one.trace[column], other.trace[column])
    for field in dataclasses.fields(one.state):
        np.testing.assert_array_equal(getattr(one.state, field.name), getattr(other.state, field.name))


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
        folders = (Path(optim.__file__).parents[1], Path(__file__).parents[1])
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
