"""Every study keeps the protocol, its quick profile runs, and the command line answers mistakes helpfully."""

import contextlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from studies import __main__ as command_line
from studies import (
    classification,
    data,
    forecaster_defaults,
    mackey_glass,
    regressor_defaults,
    sine_generator,
    topologies,
    warm_folds,
)
from studies.bench import figures, runner, timing
from studies.bench.rows import RowFile, key_of
from studies.learners import baselines
from studies.tasks import tabled_series

pytest.importorskip("matplotlib")
pd = pytest.importorskip("pandas")

# Those measure time, beside rivals, and check what has one answer.
OURS = [name for name in runner.names() if not name.startswith(("speed_", "gpu_"))]
# Studies that read files which are not shipped.
FETCHES = {name for name in runner.names() if getattr(runner.load(name).Settings, "data_files", ())}


def test_the_headline_is_a_study():
    assert command_line.HEADLINE in runner.names()


@pytest.mark.parametrize("name", runner.names())
def test_a_study_keeps_the_protocol(name):
    study = runner.load(name)
    assert runner.question(study).endswith("?")
    for word in ("Method", "Sources", "Expected run time"):
        assert word in study.__doc__
    assert {"quick", "default"} <= set(study.GRID) & set(study.EXPECTED_S)
    assert study.EXPECTED_S["quick"] <= 5
    for profile in ("quick", "default", "half-hour"):
        cells = runner.cells(study, profile)
        assert len({key_of(name, settings) for settings in cells}) == len(cells) > 0


@pytest.mark.parametrize("name", OURS)
def test_the_default_profile_has_at_least_five_seeds(name):
    assert len({settings.seed for settings in runner.cells(runner.load(name), "default")}) >= 5


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore::reservoir.FreeRunDivergedWarning")  # some settings are there to be beaten
@pytest.mark.parametrize("name", OURS)
def test_the_quick_profile_runs_and_is_drawn(name, tmp_path, capsys, monkeypatch):
    if name in FETCHES and not os.environ.get("RESERVOIR_HF_DATA"):
        pytest.skip("its data are not in a local folder (RESERVOIR_HF_DATA), and tests use no network")
    fetched, fetch = set(), data.fetch
    monkeypatch.setattr(data, "fetch", lambda file: fetched.add(file) or fetch(file))
    assert command_line.main([name, "--profile", "quick", "--out", str(tmp_path)]) == 0
    assert fetched <= set(getattr(runner.load(name).Settings, "data_files", ()))
    study, rows = runner.load(name), RowFile(tmp_path).read()
    assert all(set(study.COLUMNS) <= set(row) and "error" not in row for row in rows)
    assert all(isinstance(row[c], (int, float, str)) for row in rows for c in study.COLUMNS)
    assert {row["key"] for row in rows} == {key_of(name, settings) for settings in runner.cells(study, "quick")}
    for suffix in ("png", "svg"):
        assert (tmp_path / f"{name}.{suffix}").stat().st_size > 5_000
    page = (tmp_path / "report.html").read_text()
    assert "data:image/svg+xml;base64," in page and "<table>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # self-contained
    assert "expected" not in capsys.readouterr().err.lower()


@pytest.mark.slow
@pytest.mark.compiled
def test_rows_do_not_depend_on_the_number_of_processes(tmp_path):
    for jobs in ("1", "2"):
        out = str(tmp_path / jobs)
        assert command_line.main(["four_ways", "--profile", "quick", "--jobs", jobs, "--out", out]) == 0
    one, two = ({row["key"]: row["test_error"] for row in RowFile(tmp_path / jobs).read()} for jobs in ("1", "2"))
    assert one == two and len(one) > 20


def test_a_process_a_core_where_no_time_is_measured_and_the_run_is_long(monkeypatch):
    four_ways, timed = runner.load("four_ways"), runner.load("speed_drive")
    monkeypatch.setattr(runner, "n_threads", lambda: 3)
    assert runner.usual_jobs(four_ways, "default") == 3
    assert runner.usual_jobs(four_ways, "quick") == runner.usual_jobs(timed, "default") == 1
    assert runner.usual_jobs(four_ways, "default", device="gpu") == 1
    monkeypatch.setattr(runner, "n_threads", lambda: 128)
    assert runner.usual_jobs(four_ways, "default") == runner.MAX_PROCESSES


def test_in_turn_times_slow_contestants_less_often(monkeypatch):
    clock, calls = [0.0], Counter()

    def contestant(name, seconds):
        def call():
            clock[0] += seconds
            calls[name] += 1

        return call

    fake = SimpleNamespace(perf_counter=lambda: clock[0], sleep=lambda seconds: None)
    monkeypatch.setattr(timing, "time", fake)
    contestants = {"slow": contestant("slow", 1.0), "fast": contestant("fast", 0.25)}
    assert timing.in_turn(contestants, 6) == {"slow": 1.0, "fast": 0.25}
    assert calls == {"slow": 2 * (1 + 3), "fast": 2 * (1 + 3)}  # one call of each round is not timed
    calls.clear()
    timing.in_turn(contestants, 6, turn_s=0.6)
    assert calls == {"slow": 2 * (1 + 1), "fast": 2 * (1 + 3)}


@pytest.mark.slow
@pytest.mark.compiled
def test_a_killed_run_goes_on_from_where_it_was(tmp_path):
    command = [sys.executable, "-m", "studies", "narma", "--profile", "quick", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = tmp_path / "rows.jsonl"
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= 2):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    process.kill()
    process.wait()
    kept = RowFile(tmp_path).keys()
    assert len(kept) >= 2
    assert command_line.main(command[3:]) == 0
    times = [row["cell_time_s"] for row in RowFile(tmp_path).read()]
    assert len(times) == len(runner.cells(runner.load("narma"), "quick"))
    assert [row["key"] for row in RowFile(tmp_path).read()][: len(kept)] == [
        key_of("narma", settings) for settings in runner.cells(runner.load("narma"), "quick")[: len(kept)]
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["narmma"], r"NAME must be one of .*narma.*got 'narmma'. Did you mean narma\?.*studies list"),
        (["narma", "--profile", "fast"], r"--profile must be one of quick, default.*got 'fast'. Choose"),
        (["narma", "--profile", "quik"], r"got 'quik'. Did you mean quick\?"),
        (["narma", "--sedes", "3"], r"options must be among .*--seeds.*; got --sedes. Did you mean --seeds\?"),
        (["narma", "lorenz"], r"only compare takes folders, got lorenz"),
        (["narma", "--seeds", "0"], r"--seeds must be a whole number >= 1, got 0"),
        (["narma", "--jobs", "0"], r"--jobs must be a whole number >= 1, got 0"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_right_ones(arguments, message, capsys):
    assert command_line.main(arguments) == 2
    assert re.search(message, capsys.readouterr().err)


def test_list_names_every_study_and_its_question(capsys):
    assert command_line.main(["list"]) == 0
    text = capsys.readouterr().out
    for name in runner.names():
        assert re.search(rf"^{name} .*\?", text, re.MULTILINE)


def test_a_longer_profile_is_the_default_with_more_seeds():
    study = runner.load("narma")
    default, hour = (
        {key_of("narma", settings) for settings in runner.cells(study, profile)} for profile in ("default", "hour")
    )
    assert default < hour
    assert len(hour) <= len(default) * runner.BUDGET_S["hour"] / study.EXPECTED_S["default"]


def test_failed_cells_are_reported_and_give_a_status(tmp_path, monkeypatch, capsys):
    study = runner.load("narma")

    def fail(settings):
        raise RuntimeError("no luck today")

    monkeypatch.setattr(study, "run", fail)
    arguments = ["narma", "--profile", "quick", "--seeds", "1", "--out", str(tmp_path)]
    assert command_line.main(arguments) == 1
    assert "no luck today" in capsys.readouterr().out
    assert "no luck today" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0])["error"] == "RuntimeError: no luck today"


def test_a_rerun_with_failures_says_how_to_try_them_again(tmp_path, monkeypatch, capsys):
    study, luck = runner.load("narma"), []

    def run(settings):
        if not luck:
            raise RuntimeError("no luck today")
        return [{"nrmse": 0.5}]

    monkeypatch.setattr(study, "run", run)
    arguments = ["narma", "--profile", "quick", "--seeds", "2", "--out", str(tmp_path)]
    assert command_line.main(arguments) == command_line.main(arguments) == 1
    said = capsys.readouterr()
    assert "0 computed, 4 kept, 4 failed" in said.out
    again = re.search(r"To try the failed ones again: python -m studies (.*)", said.err)[1].split()
    luck.append(True)
    assert command_line.main(again) == 0
    assert "4 computed, 0 kept, 0 failed" in capsys.readouterr().out


def test_all_four_ways_have_a_column_for_every_task():
    from studies.learners.recurrent import KINDS

    cells = runner.cells(runner.load("four_ways"), "default")
    for task in {settings.task for settings in cells}:
        assert {*KINDS, "echo state"} <= {settings.way for settings in cells if settings.task == task}


def test_swing_errors_measure_amplitude_and_frequency():
    y = 1.1 * np.sin(2 * np.pi * 0.0408 * np.arange(10_000))
    amplitude_error, phase_drift = sine_generator.swing_errors(y, 0.04)
    # a window of 125 steps holds 5.1 swings: its mean square is off by a share of at most 1 / (2 pi 5.1)
    assert amplitude_error == pytest.approx(0.1, abs=1.1 / (4 * np.pi * 5.1))
    assert phase_drift == pytest.approx(0.02, abs=1e-4)  # zero crossings by straight lines, 400 of them


def test_a_swing_that_explodes_or_dies_is_infinitely_wrong():
    assert sine_generator.swing_errors(1.01 ** np.arange(2000.0), 0.04) == (np.inf, np.inf)
    assert sine_generator.swing_errors(np.zeros(2000), 0.04) == (1.0, np.inf)


def test_a_diverged_free_run_counts_as_infinite():
    series = np.array([[-1.0], [1.0]])
    assert mackey_glass.free_run_nrmse(np.array([0.3, -0.4]), series) == pytest.approx(np.sqrt(0.125))
    assert mackey_glass.free_run_nrmse(np.array([0.3, np.nan]), series) == np.inf
    assert mackey_glass.free_run_nrmse(np.array([0.3, 1e80]), series) == np.inf


def test_paired_comparison_sees_a_small_constant_shift_under_large_common_noise():
    noise = np.random.default_rng(0).normal(scale=10.0, size=20)
    own = np.random.default_rng(1).normal(scale=0.1, size=20)
    found = topologies.compare(noise + own + 1.0, noise)
    assert found.low < found.median < found.high
    assert found.low > 0.8 and found.high < 1.2
    assert found.p_value < 1e-4
    assert topologies.compare(noise, noise).p_value == 1.0


def test_ratios_of_errors_are_paired_geometric_means():
    common = np.exp(np.random.default_rng(0).normal(scale=2.0, size=30))
    own = np.exp(np.random.default_rng(1).normal(scale=0.05, size=30))
    found = topologies.ratio_of(1.1 * own * common, common)
    assert found.low < found.mean < found.high and 1.05 < found.low and found.high < 1.15
    both = topologies.overall([found, topologies.ratio_of(common, 1.1 * own * common)])
    assert both.mean == pytest.approx(1.0, abs=1e-12) and both.low < 1.0 < both.high < found.high / found.mean
    assert np.log(both.high) == pytest.approx(1.96 * np.sqrt(2 * found.variance) / 2)


def test_losses_that_are_not_finite_count_as_the_worst(monkeypatch):
    for value in (np.inf, np.nan, 1e9):
        monkeypatch.setattr(topologies.narma, "run", lambda settings, value=value: [{"nrmse": value}])
        assert topologies.run(topologies.Settings(task="narma"))[0]["loss"] == topologies.WORST


def test_series_that_choose_defaults_are_not_those_that_are_reported():
    pytest.importorskip("statsmodels")
    series = tabled_series.tabled_series()
    assert tuple(series) == tabled_series.NAMES == tuple(sorted(series))
    assert not set(tabled_series.DEVELOPMENT) & set(tabled_series.REPORTED)
    assert all(np.isfinite(x).all() and x.shape[1] == 1 for x in series.values())


@pytest.mark.slow
def test_a_search_on_warm_folds_finds_what_is_best_when_warm():
    """Regret of at most 0.02 in nine of ten seeds; folds from rest give away more in most."""
    rows = [row for seed in range(10) for row in warm_folds.run(warm_folds.Settings(**warm_folds.TASKS[0], seed=seed))]
    regrets = {kind: np.array([row["regret_r2"] for row in rows if row["folds"] == kind]) for kind in ("cold", "warm")}
    assert np.sum(regrets["warm"] <= warm_folds.GOAL) >= 9
    assert np.median(regrets["cold"]) > warm_folds.GOAL


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], (1.75, 2.5, 3.25)),
        ([5.0], (5.0, 5.0, 5.0)),
        ([1.0, 2.0, np.inf], (1.5, 2.0, np.inf)),
        ([np.nan, 1.0], (np.inf, np.inf, np.inf)),
        ([np.inf, np.inf], (np.inf, np.inf, np.inf)),
    ],
)
def test_quartiles_count_what_is_not_finite_as_the_worst(values, expected):
    assert figures.quartiles(values) == expected


def test_the_forecaster_has_the_defaults_that_the_study_chose():
    from reservoir import ESNForecaster

    defaults = inspect.signature(ESNForecaster).parameters
    assert {name: defaults[name].default for name in forecaster_defaults.DEFAULTS} == forecaster_defaults.DEFAULTS


def test_the_regressor_has_the_defaults_that_the_study_chose():
    from reservoir import ESNRegressor

    defaults = inspect.signature(ESNRegressor).parameters
    assert defaults["alpha"].default == "auto" and defaults["standardize"].default is False
    assert regressor_defaults.MODELS["auto"] == {"alpha": "auto"}


def test_the_classifier_has_the_defaults_that_the_study_chose():
    from reservoir import ESNClassifier
    from reservoir.estimators import pooled_network
    from reservoir.readout.pooling import POOLINGS

    chosen, defaults = classification.Settings(), inspect.signature(ESNClassifier).parameters
    for name in ("n_units", "spectral_radius", "input_scaling", "topology", "bidirectional"):
        assert defaults[name].default == getattr(chosen, name), name
    assert tuple(float(leak) for leak in chosen.leaks.split()) == pooled_network.LEAK_RATES
    assert chosen.bias_scaling == pooled_network.BIAS_SCALING and tuple(chosen.pooling.split()) == POOLINGS


def test_windows_hold_the_newest_step_first():
    X = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(baselines.windows(X, 2), [[0, 1, 0, 0], [2, 3, 0, 1], [4, 5, 2, 3], [6, 7, 4, 5]])


def test_products_are_those_of_every_pair():
    np.testing.assert_array_equal(baselines.with_products(np.array([[2.0, 3.0]])), [[2, 3, 4, 6, 9]])


def test_a_lagged_ridge_continues_a_linear_recursion():
    x = np.cos(0.2 * np.arange(300))[:, None]
    model = baselines.Memoryless("lagged ridge", n_lags=2, alpha=0.0).fit(x[:-1], x[1:])
    future = model.forecast(30, context=np.stack([x[50:60], x[90:100]]))
    np.testing.assert_allclose(future[0], x[60:90], atol=1e-8)
    np.testing.assert_allclose(future[1], x[100:130], atol=1e-8)


def test_a_forecast_that_leaves_all_bounds_stays_infinite():
    x = 1.5 ** np.arange(20.0)[:, None]
    model = baselines.Memoryless("lagged ridge", n_lags=1, alpha=0.0).fit(x[:-1], x[1:])
    future = model.forecast(60, context=x[None, -1:])[0, :, 0]
    assert np.isfinite(future[:5]).all() and np.isinf(future[-1])


def test_an_unknown_baseline_lists_the_known_ones():
    with pytest.raises(ValueError, match="lagged quadratic ridge"):
        baselines.Memoryless("forest", n_lags=2)
