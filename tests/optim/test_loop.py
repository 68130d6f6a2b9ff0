"""The loop around the methods: budgets, callbacks, best parameters, Ctrl-C, checkpoints and resuming."""

import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from optim import (
    SGD,
    Adam,
    Batches,
    CheckpointWarning,
    Epochs,
    Evaluation,
    HessianFree,
    Momentum,
    Nesterov,
    StopReason,
    from_callables,
    load_checkpoint,
    minimize,
    save_checkpoint,
)

A = np.diag([3.0, 1.0, 0.1])
START = np.array([1.0, -1.0, 2.0])
SAMPLES = np.random.default_rng(0).standard_normal((40, 3))
TARGETS = SAMPLES @ np.array([1.0, 2.0, -1.0]) + 0.1


def bowl():
    return from_callables(lambda x: (0.5 * x @ A @ x, A @ x), n_params=3)


def least_squares():
    def value_and_grad(theta, batch):
        errors = SAMPLES[batch] @ theta - TARGETS[batch]
        return Evaluation(0.5 * float(errors @ errors), float(len(batch)), SAMPLES[batch].T @ errors)

    return from_callables(value_and_grad, n_params=3, n_sequences=40)


def with_products():
    """Least squares on all samples or on some, with the digests that tell it from others."""
    plain = least_squares()

    def products(theta, v, batch):
        rows = SAMPLES if batch is None else SAMPLES[batch]
        return rows.T @ (rows @ v)

    def value_and_grad(theta, batch):
        return plain.value_and_grad(theta, np.arange(40) if batch is None else batch)

    return from_callables(value_and_grad, products, n_params=3, n_sequences=40)


def noisy_batches(rng, iteration):
    return rng.choice(40, size=8, replace=False)


def assert_same_run(one, other):
    np.testing.assert_array_equal(one.theta, other.theta)
    assert (one.value, one.n_iterations, one.reason) == (other.value, other.n_iterations, other.reason)
    assert list(one.trace) == list(other.trace)
    for column in set(one.trace) - {"seconds"}:
        np.testing.assert_array_equal(one.trace[column], other.trace[column])


def test_a_bowl_is_descended_to_its_bottom():
    result = minimize(bowl(), START, Momentum(0.3, momentum=0.5), max_iterations=2000, tolerance=1e-10)
    assert result.reason == StopReason.CONVERGED and result.success
    # The gradient is at most 1e-10, the smallest curvature 0.1.
    assert np.linalg.norm(result.theta) <= 1e-9
    assert result.trace["loss"][0] == bowl().value(START).loss and result.trace.n_rows == result.n_iterations


def test_start_is_not_written():
    start = START.copy()
    minimize(bowl(), start, Adam(0.1), max_iterations=3)
    np.testing.assert_array_equal(start, START)


def test_best_parameters_are_returned_where_losses_compare():
    # Too long a step: the first entry oscillates with growing amplitude, the best point is the second.
    line = from_callables(lambda x: (0.5 * x @ x + 0.0 * x.sum(), x), n_params=1)
    result = minimize(line, np.ones(1), SGD(lambda t: 0.5 if t == 0 else 2.5), max_iterations=10)
    assert result.theta[0] == 0.5 and result.value == 0.125
    last = minimize(line, np.ones(1), SGD(0.5), max_iterations=3)
    assert last.theta[0] == 0.125 and last.value == 0.5 * 0.125**2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("max_iterations", [0, 1, 5])
def test_a_value_that_is_not_finite_is_the_reason(max_iterations, value):
    broken = from_callables(lambda x: (value, x), n_params=3)
    result = minimize(broken, START, SGD(0.1), max_iterations=max_iterations)
    assert result.reason == StopReason.NOT_FINITE and not result.success
    np.testing.assert_array_equal(result.theta, START)


def test_parameters_that_have_converged_are_returned_though_rounding_made_an_earlier_loss_smaller():
    calls = []

    def value_and_grad(x):
        calls.append(1)
        return 1.0 + 1e-16 * len(calls) + (2e-16 if abs(x[0]) < 1e-9 else 0.0), x

    result = minimize(from_callables(value_and_grad, n_params=1), np.array([1e-8]), SGD(0.95), tolerance=1e-9)
    assert result.reason == StopReason.CONVERGED and abs(result.theta[0]) <= 1e-9


def test_batches_are_followed_and_the_last_parameters_returned():
    result = minimize(least_squares(), np.zeros(3), Adam(0.1), batches=Epochs(40, 8), max_iterations=300)
    np.testing.assert_allclose(result.theta, [1.0, 2.0, -1.0], atol=0.1)
    only_gradient = minimize(
        least_squares(), np.zeros(3), Adam(0.1), max_iterations=300,
        batches=lambda rng, iteration: Batches(gradient=Epochs(40, 8)(rng, iteration)),
    )  # fmt: skip
    assert_same_run(result, only_gradient)


def test_budgets_end_a_run():
    assert minimize(bowl(), START, SGD(0.1), max_iterations=0).value == bowl().value(START).loss
    result = minimize(bowl(), START, SGD(0.1), max_iterations=10**9, max_seconds=0.01)
    assert result.reason == StopReason.MAX_SECONDS and 0.01 <= result.seconds < 5.0
    assert result.message == StopReason.MAX_SECONDS.advice


@pytest.mark.parametrize("answer", [True, np.True_, StopIteration])
def test_a_callback_may_stop(answer):
    seen = []

    def callback(progress):
        seen.append((progress.iteration, progress.row["loss"]))
        if progress.iteration == 3:
            if answer is StopIteration:
                raise StopIteration
            return answer
        return None

    result = minimize(bowl(), START, SGD(0.1), callback=callback)
    assert result.reason == StopReason.CALLBACK and [iteration for iteration, _ in seen] == [1, 2, 3]
    assert [loss for _, loss in seen] == result.trace["loss"].tolist()


@pytest.mark.parametrize("answer", [None, False, np.False_, 1, "no"])
def test_only_true_stops(answer):
    result = minimize(bowl(), START, SGD(0.1), max_iterations=3, callback=lambda progress: answer)
    assert result.reason == StopReason.MAX_ITERATIONS


def test_an_error_in_a_callback_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        minimize(bowl(), START, SGD(0.1), callback=lambda progress: 1 / 0)


@pytest.mark.parametrize("batches", [None, Epochs(1, 1)])
def test_a_loss_that_becomes_non_finite_stops_with_the_last_finite_parameters(batches):
    def value_and_grad(x, batch=None):
        with np.errstate(over="ignore"):
            return Evaluation(float(np.exp(x[0] ** 2)), 1.0, np.array([-1e3]))

    objective = from_callables(value_and_grad, n_params=1, n_sequences=None if batches is None else 1)
    result = minimize(objective, np.zeros(1), SGD(0.01), batches=batches, max_iterations=50)
    assert result.reason == StopReason.NOT_FINITE and not result.success
    assert np.isinf(result.trace["loss"][-1]) and np.isfinite(result.value)
    # Steps of 10: exp(20²) is finite, exp(30²) is not. The lowest loss was at the start.
    assert result.theta[0] == (0.0 if batches is None else 20.0)


def test_a_gradient_that_is_not_finite_never_reaches_the_parameters():
    objective = from_callables(lambda x: (1.0, np.array([np.nan])), n_params=1)
    result = minimize(objective, np.ones(1), Adam(0.1))
    assert result.reason == StopReason.NOT_FINITE and result.theta[0] == 1.0


@pytest.mark.parametrize("batches", [None, noisy_batches])
@pytest.mark.parametrize("method", [Adam(0.05), Nesterov(0.01, momentum=0.9)], ids=["adam", "nesterov"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, method, batches):
    path = tmp_path / "run.npz"
    whole = minimize(least_squares(), np.zeros(3), method, batches=batches, max_iterations=30)
    minimize(least_squares(), np.zeros(3), method, batches=batches, max_iterations=11, checkpoint=path)
    resumed = minimize(
        least_squares(), np.zeros(3), method, batches=batches, max_iterations=30, checkpoint=path, resume=True
    )
    assert_same_run(whole, resumed)


@pytest.mark.parametrize("where", ["objective", "callback"])
def test_interrupted_runs_return_and_can_be_resumed_exactly(tmp_path, where):
    path = tmp_path / "run.npz"
    whole = minimize(least_squares(), np.zeros(3), Adam(0.05), batches=noisy_batches, max_iterations=30)
    calls = []
    plain = least_squares()

    def value_and_grad(theta, batch):
        calls.append(1)
        if where == "objective" and len(calls) == 8:
            raise KeyboardInterrupt
        return plain.value_and_grad(theta, batch)

    def callback(progress):
        if where == "callback" and progress.iteration == 7:
            raise KeyboardInterrupt

    stopped = minimize(
        from_callables(value_and_grad, n_params=3, n_sequences=40), np.zeros(3), Adam(0.05), batches=noisy_batches,
        max_iterations=30, checkpoint=path, checkpoint_every=1000, callback=callback,
    )  # fmt: skip
    assert stopped.reason == StopReason.INTERRUPTED and stopped.n_iterations == 7
    resumed = minimize(
        plain, np.zeros(3), Adam(0.05), batches=noisy_batches, max_iterations=30, checkpoint=path, resume=True
    )
    assert_same_run(whole, resumed)


def test_ctrl_c_answers_within_a_second():
    script = (
        "import time, sys, numpy as np\n"
        "from optim import SGD, from_callables, minimize\n"
        "def slow(x):\n"
        "    time.sleep(0.01)\n"
        "    return 0.5 * x @ x, x\n"
        "print('ready', flush=True)\n"
        "result = minimize(from_callables(slow, n_params=2), np.ones(2), SGD(1e-3), max_iterations=10**6)\n"
        "print(result.reason.value, result.n_iterations > 0, bool(result.value < 1.0))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(minimize.__code__.co_filename).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    started = time.perf_counter()
    answer = process.communicate(timeout=10)[0]
    assert answer.split() == ["interrupted", "True", "True"]
    assert time.perf_counter() - started < 1.0


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    minimize(bowl(), START, SGD(0.1), max_iterations=1, checkpoint=path)
    with pytest.raises(ValueError, match=r"must be of a run by Adam with 3 parameters .* got one by SGD"):
        minimize(bowl(), START, Adam(0.1), checkpoint=path, resume=True)
    single = from_callables(lambda x: (0.5 * float(x @ x), x), n_params=3)
    with pytest.raises(ValueError, match="in float32, got one by SGD with 3 in float64"):
        minimize(single, START.astype(np.float32), SGD(0.1), checkpoint=path, resume=True)


def test_progress_goes_to_the_log_without_a_progress_bar(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with caplog.at_level(logging.INFO, logger="optim"):
        minimize(bowl(), START, SGD(0.1), max_iterations=2, verbose=1)
    assert [record.getMessage()[:12] for record in caplog.records] == ["step 1 of 2:", "step 2 of 2:"]


def test_progress_bar_ends_where_the_run_ends(capsys):
    pytest.importorskip("tqdm")
    minimize(bowl(), START, SGD(0.1), max_iterations=3, verbose=1)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": SGD}, "method must be an optimiser such as .* got the class SGD"),
        ({"method": "adam"}, "method must be an optimiser such as .* got 'adam'"),
        ({"max_iterations": -1}, "max_iterations must be an integer >= 0, got -1"),
        ({"max_seconds": 0}, "max_seconds must be a finite number > 0, got 0"),
        ({"tolerance": float("nan")}, "tolerance must be a finite number >= 0, got nan"),
        ({"resume": True}, "resume=True needs checkpoint, got None"),
        ({"checkpoint_every": 0}, "checkpoint_every must be an integer >= 1, got 0"),
        ({"checkpoint_every": 1.5}, "checkpoint_every must be an integer >= 1, got 1.5"),
        ({"checkpoint": "."}, "checkpoint must be a file or a new name"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, message):
    settings = {"method": SGD(0.1), **arguments}
    with pytest.raises((ValueError, TypeError), match=message):
        minimize(bowl(), START, **settings)


WHERE_STEPS_ARE_TAKEN = {"loop", "minimisation", "result", "first_order", "adaptive", "hessian_free"}


class InterruptAt:
    """A callback that raises Ctrl-C at the n-th line that runs between the second step and the third."""

    def __init__(self, n_lines=None):
        self.n_lines, self.n_seen = n_lines, 0

    def __call__(self, progress):
        if progress.iteration == 2:
            frame = sys._getframe(1)
            while Path(frame.f_code.co_filename).stem in WHERE_STEPS_ARE_TAKEN:
                frame.f_trace = self.trace
                frame = frame.f_back
            sys.settrace(self.trace)
        elif progress.iteration == 3:
            sys.settrace(None)

    def trace(self, frame, event, argument):
        if Path(frame.f_code.co_filename).stem not in WHERE_STEPS_ARE_TAKEN:
            return None
        if event == "line":
            self.n_seen += 1
            if self.n_seen == self.n_lines:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self.trace


@pytest.mark.parametrize("batches", [None, noisy_batches])
@pytest.mark.parametrize(
    ("method", "stride"),
    [
        pytest.param(Adam(0.05), 7, id="adam"),
        pytest.param(HessianFree(cg=2, check=False), 11, id="hf"),
        pytest.param(Adam(0.05), 1, id="adam-every-line", marks=pytest.mark.slow),
        pytest.param(HessianFree(cg=2, check=False), 1, id="hf-every-line", marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_at_any_line_leaves_a_checkpoint_that_resumes_exactly(tmp_path, method, stride, batches):
    def run(**options):
        return minimize(with_products(), np.zeros(3), method, batches=batches, max_iterations=5, **options)

    def interrupted(n_lines):
        callback, path = InterruptAt(n_lines), tmp_path / f"{n_lines}.npz"
        stopped = run(checkpoint=path, checkpoint_every=1000, callback=callback)
        return callback.n_seen, stopped, path

    debugger, whole, seen = sys.gettrace(), run(), set()
    try:
        for n_lines in range(interrupted(None)[0], 0, -stride):
            _, stopped, path = interrupted(n_lines)
            assert stopped.reason == StopReason.INTERRUPTED
            assert stopped.n_iterations == stopped.trace.n_rows
            assert_same_run(whole, run(checkpoint=path, resume=True))
            seen.add(stopped.n_iterations)
    finally:
        sys.settrace(debugger)
    assert seen == {2, 3}


def scattered(scale=1.0, offset=0.0):
    """Least squares on all samples, without ``digests``."""

    def value_and_grad(theta):
        errors = scale * SAMPLES @ theta - TARGETS - offset
        return 0.5 * float(errors @ errors), scale * SAMPLES.T @ errors

    return from_callables(value_and_grad, n_params=3)


class WithDigests:
    """An objective that tells its data."""

    def __init__(self, objective, **digests):
        self.objective, self.n_params, self.n_sequences = objective, objective.n_params, 40
        self.value, self.value_and_grad = objective.value, objective.value_and_grad
        self.digests = lambda: digests


def test_a_checkpoint_of_other_settings_is_refused_by_their_name(tmp_path):
    path = tmp_path / "run.npz"

    def run(**changes):
        settings = {"method": Adam(0.05), "batches": Epochs(40, 8), **changes}
        return minimize(least_squares(), np.zeros(3), checkpoint=path, **settings)

    run(max_iterations=3)
    for changes, name in (
        ({"method": Adam(0.06)}, "method.learning_rate was 0.05 and is 0.06"),
        ({"method": Adam(0.05, clip_norm=1.0)}, "method.clip_norm was None and is 1"),
        ({"batches": Epochs(40, 8, seed=1)}, "batches.seed was 0 and is 1"),
        ({"batches": None}, "batches was Epochs and is None"),
    ):
        with pytest.raises(ValueError, match=rf"on the same data .*run.npz.*{name}"):
            run(**changes, max_iterations=5, resume=True)
    assert run(max_iterations=5, tolerance=1e-9, max_seconds=60.0, resume=True).n_iterations == 5


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    path = tmp_path / "run.npz"

    def run(objective, **options):
        return minimize(objective, np.zeros(3), SGD(1e-3), checkpoint=path, **options)

    run(scattered(), max_iterations=5)
    for other in (scattered(scale=1.1), scattered(offset=0.3)):
        with pytest.raises(ValueError, match=r"on the same data, got .*run.npz.* had the loss .* and now have"):
            run(other, max_iterations=9, resume=True)
    assert run(scattered(), max_iterations=9, resume=True).n_iterations == 9
    run(WithDigests(scattered(), inputs="1", targets="2"), max_iterations=5)
    with pytest.raises(ValueError, match=r"objective\.targets was 2 and is 3"):
        run(WithDigests(scattered(), inputs="1", targets="3"), max_iterations=9, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": np.zeros(4)}, "4 in float64"),
        ({"kept": np.zeros(2)}, "run.kept must be float64 of shape"),
        ({"iteration": 10**6}, "trace must have 1000000 rows"),
        ({"rng": 3}, "rng must be a Generator"),
        ({"state": {"iteration": 1}}, "slots"),
        ({"state": {"iteration": 1, "slots": {}}}, "state.slots must have the entries"),
        ({"state": {"iteration": 1, "slots": {"mean": np.zeros(9), "square": np.zeros(3)}}}, "state.slots"),
        ({"seconds": "long"}, "run.seconds must be a number"),
        ({"other": 1}, "other"),
    ],
)
def test_a_checkpoint_that_no_run_has_left_is_refused(tmp_path, change, message):
    path = tmp_path / "run.npz"
    minimize(bowl(), START, Adam(0.1), max_iterations=1, checkpoint=path)
    save_checkpoint(path, {**load_checkpoint(path), **change})
    with pytest.raises(ValueError, match=message) as caught:
        minimize(bowl(), START, Adam(0.1), max_iterations=2, checkpoint=path, resume=True)
    assert str(path) in str(caught.value)


def test_a_full_disk_costs_a_warning_and_not_the_result(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    whole = minimize(least_squares(), np.zeros(3), Adam(0.05), batches=noisy_batches, max_iterations=9)
    honest, calls = os.fsync, []

    def full_after_a_while(number):
        calls.append(number)
        if len(calls) > 4:  # a file and its folder are synced for each checkpoint
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(number)

    monkeypatch.setattr(os, "fsync", full_after_a_while)
    with pytest.warns(CheckpointWarning, match=r"run.npz' \(No space left .* follows step 2 is lost") as seen:
        found = minimize(
            least_squares(), np.zeros(3), Adam(0.05), batches=noisy_batches, max_iterations=9, checkpoint=path
        )
    assert len({str(warning.message) for warning in seen}) == 1 and seen[0].filename == __file__
    assert_same_run(found, whole)
    assert load_checkpoint(path)["iteration"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


FULL = """
    import resource, sys, warnings
    import numpy as np
    from optim import SGD, from_callables, minimize
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    bowl = from_callables(lambda x: (0.5 * float(x @ x), x), n_params=10_000)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = minimize(bowl, np.ones(10_000), SGD(0.5), max_iterations=3, checkpoint=sys.argv[1])
    print(result.n_iterations, {type(warning.message).__name__ for warning in seen})
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this system has no limit on the length of files")
def test_a_system_that_takes_no_more_bytes_leaves_the_result(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(minimize.__code__.co_filename).parents[1])}
    script = [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path / "run.npz")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["3", "{'CheckpointWarning'}\n"]
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_can_never_be_written_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint must be in a folder that is there"):
        minimize(bowl(), START, SGD(0.1), checkpoint=tmp_path / "nowhere" / "run.npz")
