"""Long series cut in time: what one run gives, at every seam, and no cut where a reservoir does not forget."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive import drive as naive
from reservoir import ESNRegressor, load
from reservoir.drive import lanes as lane_runs
from reservoir.drive import routes as runs
from reservoir.drive.lanes import SEAM_TOLERANCE, agree
from reservoir.drive.one_sequence import forgetting_time
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.drive.weights import build_reservoir
from reservoir_tasks import (
    GRAM,
    LONG,
    N_UNITS,
    SEAM,
    Ways,
    all_results,
    changed,
    everything,
    forgetful,
    one_by_one,
    sums,
    task_for,
)

pytestmark = pytest.mark.compiled  # thousands of steps: minutes with the JIT switched off, and no kernels of its own


@pytest.fixture
def ways(monkeypatch):
    return Ways(monkeypatch)


# --------------------------------------------------------------------------------------- one run and its cuts


@pytest.mark.parametrize("dtype", SEAM)
@pytest.mark.parametrize("topology", ["sparse", "shifts"])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_time_cuts_give_what_one_run_gives(monkeypatch, ways, topology, dtype, noise):
    reservoir = forgetful(topology=topology, dtype=dtype)
    task = task_for(reservoir, noise=noise, noise_seed=7)
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    cut = drive(reservoir, task, **everything(reservoir, task))
    assert ways.taken == ["one by one", "in lanes"]
    for one, many in zip(all_results(whole), all_results(cut), strict=True):
        assert_allclose(many, one, **SEAM[dtype])


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", SEAM)
def test_two_packs_of_lanes_give_what_one_run_gives(monkeypatch, ways, dtype):
    reservoir = forgetful(dtype=dtype)
    task = task_for(reservoir, (20_000, 3, 5_000))
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    cut = drive(reservoir, task, **everything(reservoir, task))
    assert ways.taken == ["one by one", "in lanes"]
    for one, many in zip(all_results(whole), all_results(cut), strict=True):
        assert_allclose(many, one, **SEAM[dtype])


def test_initial_states_are_where_the_cut_sequences_start(monkeypatch, ways):
    reservoir = forgetful()
    initial = np.random.default_rng(1).uniform(-1, 1, (3, N_UNITS))
    task = task_for(reservoir, (1500, 200, 1500), initial=initial)
    whole = one_by_one(monkeypatch, reservoir, task, wants_states=True)
    cut = drive(reservoir, task, wants_states=True)
    assert ways.taken == ["one by one", "in lanes"]
    assert_allclose(cut.states, whole.states, **SEAM[np.float64])
    first = task.offsets[:-1]
    assert_array_equal(cut.states[first], whole.states[first])
    at_rest = drive(reservoir, changed(task, initial=None), wants_states=True)
    assert np.abs(at_rest.states[first] - cut.states[first]).max() > 0.01


# ------------------------------------------------------------------------------ reservoirs that do not forget


def lasting(kind):
    """Reservoirs whose past never fades, or only within more steps than it pays to repeat."""
    if kind == "orthogonal identity":
        return build_reservoir(
            n_units=N_UNITS, n_inputs=1, topology="orthogonal", spectral_radius=1.0, activation="identity",
            rng=np.random.default_rng(0),
        )  # fmt: skip
    if kind == "chaotic":
        return build_reservoir(
            n_units=20, n_inputs=1, spectral_radius=1.8, input_scaling=0.01, bias_scaling=0.0, in_degree=10,
            rng=np.random.default_rng(0),
        )  # fmt: skip
    return build_reservoir(n_units=N_UNITS, n_inputs=1, spectral_radius=0.99, leak_rate=0.01, in_degree=4,
                           rng=np.random.default_rng(0))  # fmt: skip


@pytest.mark.parametrize("kind", ["orthogonal identity", "chaotic", "slow"])
def test_what_does_not_forget_is_driven_one_by_one(monkeypatch, ways, kind):
    reservoir = lasting(kind)
    task = task_for(reservoir)
    assert forgetting_time(reservoir, task) == np.inf
    run = drive(reservoir, task, **everything(reservoir, task))
    assert ways.taken == ["one by one"]
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    for expected, got in zip(all_results(whole), all_results(run), strict=True):
        assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", ["orthogonal identity", "chaotic", "slow"])
def test_seams_of_what_does_not_forget_are_found_open(monkeypatch, ways, kind):
    reservoir = lasting(kind)
    task = task_for(reservoir)
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    monkeypatch.setattr(runs, "forgetting_time", lambda *_: 50)
    run = drive(reservoir, task, **everything(reservoir, task))
    # Warm-ups of 50, 100, 200, 400 and, with many weights, 800 steps; 1,600 do not pay for lanes of 500.
    first, *cuts, last = ways.taken
    assert first == last == "one by one" and set(cuts) == {"in lanes"} and len(cuts) in (4, 5)
    for expected, got in zip(all_results(whole), all_results(run), strict=True):
        assert_array_equal(got, expected)


def test_a_warm_up_too_short_is_doubled_until_the_seams_close(monkeypatch, ways):
    reservoir = forgetful()
    task = task_for(reservoir, n_targets=1)
    whole = one_by_one(monkeypatch, reservoir, task, **everything(reservoir, task))
    (expected,) = sums(reservoir, task)
    ways.taken.clear()
    monkeypatch.setattr(runs, "forgetting_time", lambda *_: 1)
    run = drive(reservoir, task, **everything(reservoir, task))
    assert set(ways.taken) == {"in lanes"}
    assert 4 < len(ways.taken) < 9  # 1, 2, 4, ... at least 16, at most 256
    for one, many in zip(all_results(whole), all_results(run), strict=True):
        assert_allclose(many, one, **SEAM[np.float64])
    (tiles,) = sums(reservoir, task)
    assert tiles.n_rows == LONG
    assert_allclose(tiles.matrix, expected.matrix, **GRAM)


@pytest.mark.compiled  # what NumPy says about infinities when it stands in for a kernel is another matter
@pytest.mark.parametrize("dtype", SEAM)
def test_a_reservoir_that_diverges_is_driven_without_a_word(monkeypatch, dtype):
    reservoir = build_reservoir(
        n_units=5, n_inputs=1, spectral_radius=3.0, activation="identity", in_degree=3, dtype=dtype,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    task = task_for(reservoir, (20_000,))
    whole = one_by_one(monkeypatch, reservoir, task, wants_states=True)
    run = drive(reservoir, task, wants_states=True)
    assert not np.isfinite(run.states).all()
    assert_array_equal(run.states, whole.states)


# ----------------------------------------------------------------------------- how long a reservoir remembers


@pytest.mark.parametrize(("kept", "taken"), [(30, "in lanes"), (1200, "one by one")])
def test_what_is_known_of_forgetting_is_not_measured_again(monkeypatch, ways, kept, taken):
    monkeypatch.setattr(runs, "forgetting_time", None)
    drive(forgetful(), task_for(forgetful(), forgetting_time=kept))
    assert ways.taken[0] == taken


def test_a_fit_keeps_the_forgetting_time_for_predictions(monkeypatch, ways, tmp_path):
    u = np.random.default_rng(0).uniform(-1, 1, (4_000, 1))
    settings = {"n_units": N_UNITS, "spectral_radius": 0.6, "alpha": 1.0, "random_state": 0}
    assert ESNRegressor(**settings).fit(u[:900], u[:900]).forgetting_time_ is None
    model = ESNRegressor(**settings).fit(u[:1000], u[:1000])
    assert 0 < model.forgetting_time_ < 200
    monkeypatch.setattr(runs, "forgetting_time", None)
    ways.taken.clear()
    predicted = model.predict(u)
    assert ways.taken == ["in lanes"]
    model.save(tmp_path / "model.npz")
    assert_array_equal(load(tmp_path / "model.npz").predict(u), predicted)
    model.forgetting_time_ = 0
    with pytest.raises(ValueError, match="forgetting_time_ must"):
        model.save(tmp_path / "model.npz")


def test_what_does_not_come_near_soon_is_given_up_soon():
    reservoir = build_reservoir(
        n_units=20, n_inputs=1, spectral_radius=0.9, leak_rate=0.1, rng=np.random.default_rng(0)
    )
    rows = np.random.default_rng(1).uniform(-1, 1, (20_000, 1))
    assert forgetting_time(reservoir, Task(rows[:2_000], np.array([0, 2_000]))) == np.inf
    assert 500 < forgetting_time(reservoir, Task(rows, np.array([0, 20_000]))) < 5_000


def test_agreement_is_relative_to_the_largest_above_one_only():
    a = np.array([100.0, 0.5])
    assert agree(a, a + 9e-11, SEAM_TOLERANCE[np.dtype(float)])
    assert not agree(a, a + 2e-10, SEAM_TOLERANCE[np.dtype(float)])
    assert not agree(a / 1000, a / 1000 + 2e-12, SEAM_TOLERANCE[np.dtype(float)])
    assert not agree(a, np.array([100.0, np.nan]), 1.0)
    assert agree(np.zeros(0), np.zeros(0), 0.0)


def test_a_large_state_hides_no_difference_of_another():
    a = np.array([[1000.0, 0.0], [1.0, 0.0]])
    assert agree(a, a + np.array([[1e-10], [0.0]]), 1e-12)
    assert not agree(a, a + np.array([[0.0], [1e-10]]), 1e-12)
    assert not agree(np.array([np.inf]), np.array([0.0]), 1e-12)
    assert agree(a[:0], a[:0], 0.0)


@pytest.mark.parametrize("at_once", [1, 3 * N_UNITS])
def test_seams_that_are_compared_in_blocks_are_all_compared(monkeypatch, ways, at_once):
    monkeypatch.setattr(lane_runs, "COMPARED_AT_ONCE", at_once)
    shapes = []

    def looking(a, b, tolerance):
        shapes.append(a.shape)
        return agree(a, b, tolerance)

    reservoir = forgetful(spectral_radius=0.8)
    task = task_for(reservoir)
    measured = forgetting_time(reservoir, task)
    monkeypatch.setattr(runs, "forgetting_time", lambda *_: measured)
    monkeypatch.setattr(lane_runs, "agree", looking)
    drive(reservoir, task)
    assert sum(n for n, _ in shapes) == 15  # seams of 16 stretches
    assert max(n for n, _ in shapes) == max(1, at_once // N_UNITS)


def test_forgetting_takes_as_long_as_two_runs_need_to_meet():
    reservoir = forgetful(spectral_radius=0.8)
    task = task_for(reservoir)
    measured = forgetting_time(reservoir, task)
    rows = task.rows[:1600].astype(float)
    weights = reservoir.W.toarray(), reservoir.input_weights, reservoir.bias, reservoir.leak
    far = np.random.default_rng(0).choice([-1.0, 1.0], N_UNITS)
    from_rest, from_far = (naive.echo_states(*weights, rows, start=start)[0] for start in (None, far))
    met = int(np.flatnonzero(np.abs(from_rest - from_far).max(axis=1) <= 0.1 * 1e-12)[0])
    assert met <= measured < 3 * met + 40  # the slowest of a few places, in blocks, a quarter added


def test_both_precisions_are_cut_at_the_usual_settings():
    for dtype in (np.float64, np.float32):
        reservoir = build_reservoir(n_units=100, n_inputs=1, dtype=dtype, rng=np.random.default_rng(0))
        rows = np.random.default_rng(1).uniform(-1, 1, (20_000, 1)).astype(dtype)
        assert forgetting_time(reservoir, Task(rows, np.array([0, 20_000]))) < 1_000
