"""The studies of Hessian-free optimisation on puzzles: solved runs, failed ones, and the conventions of damping."""

import dataclasses

import pytest

from studies import long_lags, structural_damping
from studies.bench import runner
from studies.long_lags import Settings, solve
from studies.tasks import puzzles

pytest.importorskip("matplotlib")
pd = pytest.importorskip("pandas")

pytestmark = pytest.mark.compiled  # networks are trained

SMALL = {
    "task": "temporal order", "T": 10, "n_units": 20, "n_gradient": 200, "n_curvature": 100, "n_train": 1000,
    "n_test": 500,
}  # fmt: skip


def without_time(row):
    return {column: value for column, value in row.items() if column != "time_s"}


def rows_of(study, *measured, **common):
    """A table of rows as the report hands it to a study."""
    rows = [dataclasses.asdict(study.Settings(**common | settings)) | row for settings, row in measured]
    return pd.DataFrame(rows)


def measured(is_solved, n_products):
    stop = "solved" if is_solved else "max_products"
    return {
        "is_solved": is_solved, "n_steps": 10, "n_products": n_products, "time_s": 2.0,
        "wrong_share": 0.0 if is_solved else 0.5, "stop": stop,
    }  # fmt: skip


def test_a_solved_run_says_what_it_took():
    row = solve(Settings(**SMALL | {"n_gradient": 500, "n_units": 30}, max_products=1000))
    assert set(row) == set(long_lags.COLUMNS)
    assert (row["is_solved"], row["stop"]) == (1, "solved")
    assert row["wrong_share"] < long_lags.SOLVED
    assert row["n_steps"] < row["n_products"] < 1000


def test_a_run_without_enough_products_has_failed():
    row = solve(Settings(**SMALL, max_products=10))
    assert (row["is_solved"], row["stop"], row["n_steps"]) == (0, "max_products", 1)
    assert row["wrong_share"] > long_lags.SOLVED


def test_the_same_seed_gives_the_same_run():
    one, two, other = (solve(Settings(**SMALL, max_steps=2, seed=seed)) for seed in (3, 3, 4))
    assert without_time(one) == without_time(two) != without_time(other)


@pytest.mark.parametrize("task", long_lags.PUZZLES)
def test_every_puzzle_can_be_begun(task):
    assert long_lags.VERSION in puzzles.DEFINITIONS[task]
    row = solve(Settings(**SMALL | {"task": task}, max_steps=1))
    assert (row["stop"], row["n_steps"]) == ("max_iterations", 1)
    assert 0.0 < row["wrong_share"] <= 1.0


def test_a_quarter_of_the_distance_with_four_times_the_strength_is_the_same_run():
    common = dict(T=10, task=long_lags.FEW_PATTERNS, n_units=20, max_steps=3)
    (whole,), (quarter,), (same_mu,) = (
        structural_damping.run(structural_damping.Settings(distance=distance, structural=mu, **common))
        for distance, mu in (("matching", 0.25), ("matching_quarter", 1.0), ("matching_quarter", 0.25))
    )
    assert without_time(whole) == without_time(quarter) != without_time(same_mu)


@pytest.mark.parametrize("profile", runner.PROFILES)
def test_without_damping_every_seed_runs_once(profile):
    cells = runner.cells(structural_damping, profile)
    undamped = [(cell.T, cell.seed) for cell in cells if cell.structural == 0.0]
    assert len(set(undamped)) == len(undamped) > 0
    assert {(cell.T, cell.seed) for cell in cells} == set(undamped)


def test_remarks_count_solved_runs_and_take_medians_of_those_alone():
    rows = rows_of(
        long_lags,
        *(({"seed": i}, measured(*m)) for i, m in enumerate([(1, 100), (1, 300), (1, 200), (0, 5000)])),
        structural=0.0,
    )
    (remark,) = long_lags.remarks(rows)
    assert remark == (
        "addition, T = 30, without structural damping: 3 of 4 runs solve it, "
        "in 10 steps, 200 products and 2 s in the median."
    )
    (remark,) = long_lags.remarks(rows[rows["is_solved"] == 0])
    assert remark.endswith("0 of 1 runs solve it.")


def test_a_failed_run_is_drawn_as_a_cross_and_not_counted():
    rows = rows_of(
        long_lags,
        ({"seed": 0}, measured(1, 100)),
        ({"seed": 1}, measured(0, 5000)),
        ({"seed": 0, "structural": 0.0, "T": 50}, measured(1, 300)),
    )
    (axes,) = long_lags.plot(rows).axes
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [line.get_ydata().tolist() for line in crosses] == [[5000]]
    assert sorted(text.get_text() for text in axes.texts) == ["1/1", "1/2"]


def test_remarks_on_damping_tell_conventions_apart():
    rows = rows_of(
        structural_damping,
        ({"structural": 0.0, "distance": "none", "mean": "none"}, measured(0, 5000)),
        ({"seed": 0}, measured(1, 100)),
        ({"seed": 1}, measured(0, 5000)),
        ({"mean": "mean_time", "structural": 1.0}, measured(1, 300)),
    )
    without, summed, averaged = structural_damping.remarks(rows)
    assert without.startswith("T = 50: solved by 0 of 1 at μ = 0. ")
    assert summed.startswith("T = 50, matching, sum over time: solved by 1 of 2 at μ = 1/30. ")
    assert averaged.startswith("T = 50, matching, mean over time: solved by 1 of 1 at μ = 1. ")


def test_every_panel_of_the_damping_study_shows_the_runs_without_damping():
    rows = rows_of(
        structural_damping,
        ({"structural": 0.0, "distance": "none", "mean": "none"}, measured(1, 900)),
        ({"distance": "matching"}, measured(1, 100)),
        ({"distance": "squared_values"}, measured(0, 5000)),
    )
    figure = structural_damping.plot(rows)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert 900 in [y for line in axes.lines for y in line.get_ydata()]
