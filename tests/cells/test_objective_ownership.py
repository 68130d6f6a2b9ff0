"""What an objective owns: what was returned stays, threads may share it, and whatever stops it leaves it whole."""

import gc
import signal
import threading
import time
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cells.passes.memory
import cells.passes.parameters
import cells.shares.run
import cells.shares.share
import cells.shares.sharing
from network_problems import problem
from objective_problems import STACK, answers, many

pytestmark = pytest.mark.usefixtures("small_batches_are_cut_into_shares_too")


# ---------------------------------------------------------------------------------------------- who owns what


def test_what_was_returned_is_not_overwritten():
    ours = problem(STACK)
    objective = ours.objective()
    grad = objective.value_and_grad(ours.theta).grad
    linear = objective.linearize(ours.theta)
    product, squares = linear.gauss_newton(ours.theta), linear.squared_gradients()
    kept = [array.copy() for array in (grad, product, squares)]
    objective.value_and_grad(2 * ours.theta)
    objective.linearize(2 * ours.theta).gauss_newton(grad)
    linear.gauss_newton(grad, structural=0.1)
    linear.squared_gradients()
    for array, copy in zip((grad, product, squares), kept, strict=True):
        assert_array_equal(array, copy)


@pytest.mark.parametrize("recompute", [False, True])
def test_a_linearization_stays_where_it_was_made(recompute):
    ours = many(STACK)
    objective = ours.objective(recompute=recompute)
    theta, v = ours.theta.copy(), ours.direction()
    expected = ours.objective(recompute=recompute).linearize(theta).gauss_newton(v, structural=0.2)
    linear = objective.linearize(theta)
    theta *= 3.0  # an optimiser's step in place
    other = objective.linearize(theta, np.arange(7))
    objective.value(theta)
    objective.value_and_grad(theta)
    apart = other.gauss_newton(v)
    assert_array_equal(linear.gauss_newton(v, structural=0.2), expected)
    assert_array_equal(other.gauss_newton(v), apart)
    assert linear.loss_sum == objective.value(ours.theta).loss_sum


def test_a_linearization_that_is_gone_leaves_its_memory_to_the_next():
    ours = many(STACK)
    objective = ours.objective()
    expected = objective.linearize(ours.theta).gauss_newton(ours.theta)
    for batch in (None, np.arange(3), None):
        objective.linearize(2 * ours.theta, batch).gauss_newton(ours.theta)
    assert_array_equal(objective.linearize(ours.theta).gauss_newton(ours.theta), expected)


@pytest.mark.slow
@pytest.mark.compiled
def test_memory_does_not_grow_from_call_to_call():
    lengths = np.random.default_rng(3).integers(30, 60, 40)
    ours = problem(STACK, lengths)
    objective = ours.objective(n_jobs=1)  # with more, it depends on their race which memory meets which share first
    linear = objective.linearize(ours.theta)

    def once(k):
        objective.value(ours.theta)
        objective.value_and_grad(ours.theta, np.arange(k % 5, 40))
        linear.gauss_newton(ours.theta, structural=0.1)
        objective.linearize(ours.theta).gauss_newton(ours.theta)

    def growth():
        linear.squared_gradients()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for k in range(100):
            once(k)
        linear.squared_gradients()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    once(0)
    linear.squared_gradients()
    tracemalloc.start()
    try:
        for k in range(6):
            once(k)
        # Not even the planes of one layer are kept once in a hundred calls. What others in this process keep now and
        # then, they do not keep every time.
        planes = lengths.sum() * STACK.layers[0].n_columns * 8
        assert any(growth() < planes / 2 for _ in range(3))
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("change", ["strided", "read-only", "memory-mapped"])
def test_parameters_of_any_layout_give_the_same_answer(change, tmp_path):
    ours = problem(STACK)
    if change == "strided":
        theta = np.repeat(ours.theta, 2)[::2]
    elif change == "read-only":
        theta = ours.theta.copy()
        theta.flags.writeable = False
    else:
        np.save(tmp_path / "theta.npy", ours.theta)
        theta = np.load(tmp_path / "theta.npy", mmap_mode="r")
    expected, came = answers(ours.objective(), ours.theta), answers(ours.objective(), theta)
    v = ours.direction()
    expected["product"] = ours.objective().linearize(theta).gauss_newton(v)
    came["product"] = ours.objective().linearize(ours.theta).gauss_newton(np.repeat(v, 2)[::2])
    for name in expected:
        assert type(came[name]) in (float, np.ndarray)
        assert_array_equal(came[name], expected[name])


# ------------------------------------------------------------------------------------------ threads and interrupts


@pytest.mark.compiled
def test_one_objective_serves_many_threads():
    ours = many(STACK)
    objective = ours.objective()
    thetas = [ours.theta * (1 + k / 10) for k in range(8)]
    expected = [answers(ours.objective(), theta) for theta in thetas]
    found = [[] for _ in thetas]

    def ask(k):
        for _ in range(5):
            found[k].append(answers(objective, thetas[k]))

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, alone in enumerate(expected):
        assert len(found[k]) == 5
        for came in found[k]:
            for name in alone:
                assert_array_equal(came[name], alone[name])


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.compiled
def test_an_interrupt_is_answered_soon_and_leaves_the_objective_whole(n_jobs):
    ours = many(STACK)
    objective = ours.objective(n_jobs=n_jobs)
    expected = answers(objective, ours.theta)
    linear = objective.linearize(ours.theta)
    expected["kept"] = linear.gauss_newton(ours.theta)
    begun = []

    def interrupt():
        begun.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.05, interrupt)
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        while True:
            objective.value_and_grad(2 * ours.theta)
            objective.linearize(2 * ours.theta)
            linear.gauss_newton(ours.theta)
    assert time.perf_counter() - begun[0] < 1.0
    came = answers(objective, ours.theta)
    came["kept"] = linear.gauss_newton(ours.theta)
    for name in expected:
        assert_array_equal(came[name], expected[name])


def test_an_interrupt_at_any_line_leaves_the_objective_whole(monkeypatch):
    ours = problem(STACK)
    objective = ours.objective(n_jobs=1)
    reached = []

    def interrupted(*args, **kwargs):
        reached.append(True)
        raise KeyboardInterrupt

    for owner, name in (
        (cells.passes.parameters.Parameters, "set"),
        (cells.shares.run.Run, "forward"),
        (cells.shares.run.Run, "backward"),
        (cells.shares.share, "add_initial_gradient"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                objective.value_and_grad(2 * ours.theta)
    assert len(reached) == 4
    expected, came = answers(ours.objective(), ours.theta), answers(objective, ours.theta)
    for key in expected:
        assert_array_equal(came[key], expected[key])


def test_memory_that_runs_out_leaves_the_objective_whole(monkeypatch):
    ours = problem(STACK)
    objective = ours.objective(n_jobs=1)
    aligned, left = cells.passes.memory.aligned, [0]

    def scarce(shape, dtype):
        if left[0] == 0:
            raise MemoryError("no more")
        left[0] -= 1
        return aligned(shape, dtype)

    for left[0] in range(8):
        with monkeypatch.context() as patched:
            patched.setattr(cells.passes.memory, "aligned", scarce)
            with pytest.raises(MemoryError):
                objective.value_and_grad(ours.theta)
        objective._memories = type(objective._memories)()  # what was lent so far would do for the next try
    expected, came = answers(ours.objective(), ours.theta), answers(objective, ours.theta)
    for key in expected:
        assert_array_equal(came[key], expected[key])
