"""Training: the loop by hand, validation, and runs that stop anywhere and go on as if they had not."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells import LSTM, Elman, Network, SequenceObjective, TruncatedObjective, initial_theta, train
from optim import SGD, Adam, Epochs, HessianFree, Momentum, RandomBatches, StopReason, load_checkpoint, minimize


def sequences(n=24, T=6, seed=0):
    """Inputs, and as targets the inputs one step before."""
    X = np.random.default_rng(seed).standard_normal((n, T, 2))
    return X, np.roll(X, 1, axis=1)


def mini_batches(seed=0):
    network = Network(Elman(2, 6), n_out=2)
    return SequenceObjective(network, *sequences(seed=seed)), initial_theta(network, rng=np.random.default_rng(0))


def windows(seed=0):
    network = Network(LSTM(3, 5), n_out=3, loss="softmax")
    numbers = np.random.default_rng(seed).integers(0, 3, (2, 21))
    objective = TruncatedObjective(network, numbers[:, :-1], numbers[:, 1:], k1=4, dtype=np.float64)
    return objective, initial_theta(network, rng=np.random.default_rng(0))


PROBLEMS = {"mini-batches": (mini_batches, {"batch_size": 5}), "windows": (windows, {})}


@pytest.fixture(params=PROBLEMS.values(), ids=list(PROBLEMS))
def problem(request):
    make, choices = request.param
    objective, theta = make()
    return objective, theta, make(seed=1)[0], choices


class Stubborn:
    """An objective that raises Ctrl-C at its n-th evaluation, once."""

    def __init__(self, objective, n):
        self.objective, self.n = objective, n
        self.n_params, self.digests = objective.n_params, objective.digests

    def value(self, theta, batch=None):
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt
        return self.objective.value(theta, batch)


def test_mini_batches_are_those_of_the_epochs_policy():
    objective, theta = mini_batches()
    by_hand = minimize(objective, theta, Adam(0.01), batches=Epochs(24, 5, seed=3), max_iterations=10)
    found = train(objective, theta, Adam(0.01), batch_size=5, seed=3, max_epochs=2)
    assert_array_equal(found.theta, by_hand.theta)
    assert (found.n_iterations, found.n_epochs) == (10, 2.0)


def test_windows_follow_one_another_and_begin_again():
    objective, theta = windows()
    found = train(objective, theta, SGD(0.1), max_iterations=7)
    method, carried = SGD(0.1), None
    state = method.init(theta)
    for iteration in range(7):
        window = objective.window(theta, iteration % 5, carried)
        carried = window.carried
        method.update(window.evaluation.grad, theta, state, scale=1 / window.evaluation.weight)
    assert_array_equal(found.theta, theta)
    assert_array_equal(found.state.carried, carried)


def test_training_lowers_the_loss_and_does_not_write_to_its_start(problem):
    objective, theta, _, choices = problem
    before = theta.copy()
    found = train(objective, theta, Adam(0.02), max_epochs=20, **choices)
    assert_array_equal(theta, before)
    assert objective.value(found.theta).loss < 0.95 * objective.value(theta).loss


# ------------------------------------------------------------------------------------------ what does not count


def with_masked(*masked):
    """Sequences of which those numbers are masked as a whole, their targets unknown."""
    X, y = sequences()
    mask = np.ones(y.shape[:2])
    mask[list(masked)], y[list(masked)] = 0.0, np.nan
    network = Network(Elman(2, 6), n_out=2)
    return SequenceObjective(network, X, y, mask=mask), initial_theta(network, rng=np.random.default_rng(0))


@pytest.mark.parametrize("batch_size", [1, 5])
def test_sequences_that_are_masked_as_a_whole_are_left_out_of_mini_batches(batch_size):
    X, y = (np.delete(part, [3, 7], axis=0) for part in sequences())
    objective, theta = with_masked(3, 7)
    without = SequenceObjective(objective.network, X, y)
    found, expected = (
        train(each, theta, Adam(0.01), batch_size=batch_size, max_epochs=2) for each in (objective, without)
    )
    assert found.n_iterations == expected.n_iterations == 2 * -(-22 // batch_size)
    assert_array_equal(found.theta, expected.theta)


def test_a_step_whose_batch_is_masked_as_a_whole_is_passed_over():
    objective, theta = with_masked(3)
    steps = [
        train(objective, theta, Adam(0.01), batches=Epochs(24, 1, shuffle=False), max_iterations=n) for n in (3, 4)
    ]
    assert_array_equal(steps[0].theta, steps[1].theta)
    assert np.isnan(steps[1].trace["loss"]).tolist() == [False, False, False, True]
    on = train(objective, theta, Adam(0.01), batches=Epochs(24, 1, shuffle=False), max_iterations=48)
    assert (on.n_iterations, on.reason) == (48, StopReason.MAX_ITERATIONS)
    assert np.isnan(on.trace["loss"]).sum() == 2


def test_hessian_free_measures_curvature_on_what_counts():
    objective, theta = with_masked(*range(0, 24, 2))
    batches = RandomBatches(24, gradient=6, curvature=1, acceptance=2)
    found = train(objective, theta, HessianFree(), batches=batches, max_iterations=6, rng=np.random.default_rng(0))
    assert found.n_iterations == 6
    assert objective.value(found.theta).loss < objective.value(theta).loss


def test_a_sequence_that_is_not_there_is_refused_beside_masked_ones_too():
    objective, theta = with_masked(3)
    with pytest.raises(ValueError, match="batch must hold numbers from 0 to 23, got 4 to 24"):
        train(objective, theta, Adam(0.01), batches=lambda rng, iteration: np.array([3, 4, 24]), max_iterations=1)


def test_a_window_in_which_nothing_counts_is_passed_over():
    network = Network(LSTM(3, 5), n_out=3, loss="softmax")
    numbers = np.random.default_rng(0).integers(0, 3, (2, 21))
    mask = np.ones((2, 20))
    mask[:, 8:12] = 0.0
    objective = TruncatedObjective(network, numbers[:, :-1], numbers[:, 1:], k1=4, mask=mask, dtype=np.float64)
    theta = initial_theta(network, rng=np.random.default_rng(0))
    short, long = (train(objective, theta, Adam(0.01), max_iterations=n) for n in (2, 3))
    assert_array_equal(short.theta, long.theta)
    assert_array_equal(long.state.carried, objective.window(long.theta, 2, short.state.carried).carried)
    on = train(objective, theta, Adam(0.01), max_epochs=3)
    assert np.flatnonzero(np.isnan(on.trace["loss"])).tolist() == [2, 7, 12]
    assert objective.value(on.theta).loss < objective.value(theta).loss


# ------------------------------------------------------------------------------------------------ validation


def test_the_best_parameters_on_the_validation_set_come_back(problem):
    objective, theta, validation, choices = problem
    seen = {}

    def watch(progress):
        if "validation" in progress.row:
            seen[progress.iteration] = (progress.row["validation"], progress.theta.copy())

    found = train(objective, theta, Adam(0.2), validation=validation, max_epochs=15, callback=watch, **choices)
    losses = {iteration: loss for iteration, (loss, _) in seen.items()}
    best = min(losses, key=losses.get)
    assert_array_equal(found.theta, seen[best][1])
    assert found.validation["iteration"].tolist() == list(losses)
    assert found.validation["loss"].tolist() == list(losses.values())
    assert found.best_validation == losses[best] == validation.value(found.theta).loss


def test_patience_ends_a_training_that_no_longer_improves(problem):
    objective, theta, validation, choices = problem
    found = train(objective, theta, Adam(0.3), validation=validation, patience=3, max_epochs=500, **choices)
    losses = found.validation["loss"]
    assert found.reason == StopReason.EARLY_STOPPING and found.success and "in 3 looks" in found.message
    assert len(losses) < 500
    assert len(losses) - 1 - int(np.argmin(losses)) == 3


def test_an_improvement_below_the_least_one_does_not_count():
    objective, theta = mini_batches()
    found = train(objective, theta, SGD(1e-9), validation=objective, patience=2, min_improvement=1e-3, max_epochs=50)
    assert found.n_iterations == 3  # the first look improves on nothing, the next two do not improve by enough


def test_the_last_step_is_looked_at_too():
    objective, theta = mini_batches()
    found = train(objective, theta, SGD(0.01), batch_size=5, validation=objective, max_iterations=7)
    assert found.validation["iteration"].tolist() == [5, 7]


# ---------------------------------------------------------------------------------------------- stop and go on


def same(one, other):
    assert_array_equal(one.theta, other.theta)
    assert one.n_iterations == other.n_iterations
    assert_array_equal(one.trace["loss"], other.trace["loss"])
    assert dict(one.validation).keys() == dict(other.validation).keys()
    for name in one.validation:
        assert_array_equal(one.validation[name], other.validation[name])
    for name, slot in one.state.method["slots"].items():
        assert_array_equal(slot, other.state.method["slots"][name])


@pytest.mark.parametrize("stop", [1, 4, 5, 9])
def test_a_resumed_training_is_the_one_that_was_never_stopped(problem, stop, tmp_path):
    objective, theta, validation, choices = problem
    settings = {**choices, "validation": validation, "validate_every": 3, "seed": 2}
    whole = train(objective, theta, Adam(0.02), max_iterations=12, **settings)
    settings["checkpoint"] = tmp_path / "run.npz"
    train(objective, theta, Adam(0.02), max_iterations=stop, **settings)
    resumed = train(objective, theta, Adam(0.02), max_iterations=12, resume=True, **settings)
    same(resumed, whole)


@pytest.mark.compiled
def test_hessian_free_trains_as_it_does_without_a_trainer(tmp_path):
    objective, theta = mini_batches()
    alone = minimize(objective, theta, HessianFree(), max_iterations=6)
    found = train(objective, theta, HessianFree(), max_iterations=6)
    assert_array_equal(found.theta, alone.theta)
    assert found.trace["damping"].tolist() == alone.trace["damping"].tolist()
    path = tmp_path / "run.npz"
    batches = RandomBatches(24, gradient=20, curvature=8)
    whole = train(objective, theta, HessianFree(), batches=batches, max_iterations=6)
    train(objective, theta, HessianFree(), batches=batches, max_iterations=3, checkpoint=path)
    resumed = train(objective, theta, HessianFree(), batches=batches, max_iterations=6, checkpoint=path, resume=True)
    assert_array_equal(resumed.theta, whole.theta)
    assert resumed.state.products == whole.state.products > 0
    few = train(objective, theta, HessianFree(), max_iterations=6, state=found.state)
    assert few.state.products > found.state.products


@pytest.mark.parametrize("look", [1, 3])
def test_ctrl_c_while_looking_at_the_validation_set_loses_nothing(problem, look, tmp_path):
    objective, theta, validation, choices = problem
    settings = {**choices, "validate_every": 2, "max_iterations": 9}
    whole = train(objective, theta, Adam(0.02), validation=validation, **settings)
    settings["checkpoint"] = tmp_path / "run.npz"
    stopped = train(objective, theta, Adam(0.02), validation=Stubborn(validation, look), **settings)
    assert stopped.reason == StopReason.INTERRUPTED and stopped.n_iterations == 2 * look
    same(train(objective, theta, Adam(0.02), validation=validation, resume=True, **settings), whole)


def test_ctrl_c_within_a_window_leaves_theta_and_states_as_they_were(tmp_path, monkeypatch):
    objective, theta = windows()
    whole = train(objective, theta, Adam(0.02), max_iterations=8)
    honest, calls = TruncatedObjective.window, []

    def window(self, *arguments, **options):
        calls.append(None)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return honest(self, *arguments, **options)

    monkeypatch.setattr(TruncatedObjective, "window", window)
    path = tmp_path / "run.npz"
    stopped = train(objective, theta, Adam(0.02), max_iterations=8, checkpoint=path)
    assert stopped.reason == StopReason.INTERRUPTED and stopped.n_iterations == 5
    same(train(objective, theta, Adam(0.02), max_iterations=8, checkpoint=path, resume=True), whole)


KILLED = """
    import numpy as np, sys
    from cells import LSTM, Network, TruncatedObjective, initial_theta, train
    from optim import Adam
    network = Network(LSTM(3, 5), n_out=3, loss="softmax")
    numbers = np.random.default_rng(0).integers(0, 3, (2, 21))
    objective = TruncatedObjective(network, numbers[:, :-1], numbers[:, 1:], k1=4, dtype=np.float64)
    theta = initial_theta(network, rng=np.random.default_rng(0))
    train(objective, theta, Adam(1e-3), max_iterations=10**9, checkpoint=sys.argv[1], checkpoint_every=1)
"""


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.11])
def test_a_kill_at_any_moment_leaves_a_checkpoint_from_which_to_go_on(after_s, tmp_path):
    path = tmp_path / "run.npz"
    root = Path(sys.modules["cells"].__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), str(path)], env=environment)
    limit = time.monotonic() + 120.0
    while not path.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps = load_checkpoint(path)["iteration"]
    objective, theta = windows()
    resumed = train(objective, theta, Adam(1e-3), max_iterations=steps + 3, checkpoint=path, resume=True)
    same(resumed, train(objective, theta, Adam(1e-3), max_iterations=steps + 3))


def test_a_training_goes_on_from_the_state_of_another():
    objective, theta = mini_batches()
    whole = train(objective, theta, Adam(0.02), max_epochs=8)
    half = train(objective, theta, Adam(0.02), max_epochs=4)
    rest = train(objective, half.theta, Adam(0.02), max_epochs=4, state=half.state)
    assert_array_equal(rest.theta, whole.theta)
    with pytest.raises(ValueError, match="SGD"):
        train(objective, half.theta, SGD(0.02), max_epochs=4, state=half.state)


def test_a_checkpoint_of_another_method_is_refused(tmp_path):
    objective, theta = mini_batches()
    path = tmp_path / "run.npz"
    train(objective, theta, Adam(0.02), max_epochs=2, checkpoint=path)
    with pytest.raises(ValueError, match=r"method was Adam and is Momentum"):
        train(objective, theta, Momentum(0.02, momentum=0.9), max_epochs=4, checkpoint=path, resume=True)


def test_a_checkpoint_of_other_data_or_settings_is_refused_by_name(problem, tmp_path):
    objective, theta, other, choices = problem
    path = tmp_path / "run.npz"
    train(objective, theta, Adam(0.02), validation=other, max_iterations=4, checkpoint=path, **choices)

    def resumed(**changes):
        same = {"objective": objective, "validation": other, "method": Adam(0.02), "max_iterations": 6, **choices}
        return train(theta0=theta, checkpoint=path, resume=True, **{**same, **changes})

    for changes, name in (
        ({"objective": other}, r"objective\.inputs was"),
        ({"validation": objective}, r"method\.validation\.inputs was"),
        ({"validation": None}, r"method\.validate_every was"),
        ({"method": Adam(0.01)}, r"method\.learning_rate was 0\.02 and is 0\.01"),
        ({"validate_every": 3}, r"method\.validate_every was \d+ and is 3"),
    ):
        with pytest.raises(ValueError, match=rf"run\.npz.*{name}"):
            resumed(**changes)
    assert resumed(patience=50).n_iterations == 6


def test_the_digests_tell_all_that_the_loss_depends_on():
    network, (X, y) = Network(Elman(2, 6), n_out=2), sequences()
    lengths, mask = np.full(24, 5), np.ones((24, 6))
    mask[3, 2] = 0.5
    others = [
        SequenceObjective(network, X, y),
        SequenceObjective(Network(Elman(2, 6, activation="relu"), n_out=2), X, y),
        SequenceObjective(network, X + 1e-12, y),
        SequenceObjective(network, X, y + 1e-12),
        SequenceObjective(network, X, y, lengths=lengths),
        SequenceObjective(network, X, y, mask=mask),
        SequenceObjective(network, X, y, initial_state=([1], [0.5])),
        SequenceObjective(network, X, y, clamped=([1], np.full((24, 6, 1), 0.5))),
        SequenceObjective(network, X, y, clip_signal=1.0),
        SequenceObjective(network, X, y, structural_mean="mean_time"),
        TruncatedObjective(network, X, y, k1=2),
        TruncatedObjective(network, X, y, k1=2, k2=3),
        TruncatedObjective(network, X, y, k1=2, reduction="sum"),
        TruncatedObjective(network, X, y, k1=2, restart_every=2),
        TruncatedObjective(network, X, y, k1=2, initial_state=np.ones(6)),
    ]
    assert len({str(objective.digests()) for objective in others}) == len(others)
    assert SequenceObjective(network, list(X), y, n_jobs=1).digests() == others[0].digests()


# -------------------------------------------------------------------------------------------------- bad ends


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's own, with the JIT switched off
def test_a_loss_that_is_no_longer_finite_stops_with_the_last_finite_parameters():
    objective, theta = mini_batches()
    found = train(objective, theta, SGD(1e200), max_epochs=50)
    assert found.reason == StopReason.NOT_FINITE
    assert np.isfinite(found.theta).all()
    assert found.n_iterations < 50


def test_a_validation_loss_that_is_not_finite_is_never_the_best():
    objective, theta = mini_batches()

    class Lost(Stubborn):
        def value(self, theta, batch=None):
            self.n += 1
            found = self.objective.value(theta, batch)
            return found if self.n == 2 else type(found)(float("nan"), found.weight)

    found = train(objective, theta, SGD(0.01), max_epochs=4, validation=Lost(objective, 0))
    assert found.validation["loss"].argmin() == 1
    assert found.best_validation == objective.value(found.theta).loss


BAD = {
    "patience needs validation": {"patience": 3},
    "max_epochs": {"max_epochs": -1},
    "validate_every": {"validate_every": 0},
    "min_improvement": {"min_improvement": -1.0},
    "validate_every must be an integer": {"validate_every": 1.5},
    "patience must be an integer": {"patience": 1.5, "validation": 0},
    "batch_size must be an integer": {"batch_size": 2.5},
    "seed must be an integer >= 0": {"seed": -1, "batch_size": 5},
    "batch_size must be an integer >= 1, got True": {"batch_size": True},
    "batches or batch_size": {"batch_size": 3, "batches": Epochs(24, 3)},
}


@pytest.mark.parametrize("message", BAD)
def test_settings_that_cannot_be_meant_are_refused(message):
    objective, theta = mini_batches()
    with pytest.raises((ValueError, TypeError), match=message):
        train(objective, theta, Adam(0.01), **BAD[message])


def test_windows_take_no_batch_size():
    objective, theta = windows()
    with pytest.raises(ValueError, match="batch_size"):
        train(objective, theta, Adam(0.01), batch_size=1)
