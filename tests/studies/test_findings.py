"""The sentence that answers is made of the rows, and says how clear the answer is."""

import numpy as np
import pytest

from studies.bench import runner
from studies.bench.findings import Ranking, finding, of_ratios, winners
from toy_study import study, table

pd = pytest.importorskip("pandas")

ROWS = {"a__new": (0.1, 0.2, 0.3), "a__old": (0.5, 0.6, 0.7), "b__new": (0.5, 0.6, 0.9), "b__old": (0.2, 0.55, 0.8)}


def test_the_winner_of_each_contest_is_named_and_whether_it_is_apart():
    said = finding(study(), table(**ROWS))
    assert said.startswith("Best median error rate, of 2 contests by task: new in 1 (a) and old in 1 (b).")
    assert said.endswith("Quartiles are apart from everyone else's in 1.")


def test_one_contest_names_the_follower():
    said = finding(study(), table(a__new=(0.1, 0.2, 0.3), a__old=(0.5, 0.6, 0.7)))
    assert said == "new has the best median error rate, 0.2 over 3 runs; old follows with 0.6, quartiles apart."


def test_where_more_is_better_the_highest_wins_and_what_is_not_finite_loses():
    shares = study(RANKING=Ranking("error_rate", better="higher", within=("task",)))
    rows = table(a__new=(0.1, 0.2), a__old=(0.5, 0.6), a__lost=(np.nan, np.nan))
    assert winners(shares, rows) == {1}
    assert winners(study(), rows) == {0}


def test_the_direction_may_depend_on_the_task():
    both = study(RANKING=Ranking("error_rate", better={"a": "lower", "b": "higher"}, within=("task",)))
    assert winners(both, table(**ROWS)) == {0, 2}


def test_equal_medians_share_a_win():
    rows = table(a__new=(0.0, 0.0), a__old=(0.0, 0.0))
    assert winners(study(), rows) == {0, 1}
    assert finding(study(), rows) == "new and old share the best median error rate, 0 over 2 runs."


def test_only_the_last_mark_of_a_curve_counts():
    curve = study(BY=("way", "mark"), RANKING=Ranking("error_rate", last="mark"))
    rows = table(a__new=(0.1,), a__old=(0.2,), b__new=(0.4,), b__old=(0.3,)).assign(mark=[1, 1, 2, 2])
    assert winners(curve, rows) == {3}
    assert finding(curve, rows).startswith("old has the best median error rate, 0.3 over 1 run")


def test_a_name_leaves_out_what_is_usual():
    one_at_a_time = study(BY=("way", "size", "rate"), RANKING=Ranking("error_rate"))
    rows = table(a__new=(0.1,), a__old=(0.2,), a__big=(0.3,), a__third=(0.4,), a__fast=(0.05,))
    rows = rows.assign(size=[10, 10, 99, 10, 10], rate=[0.5, 0.5, 0.5, 0.5, 0.75])
    assert finding(one_at_a_time, rows) == (
        "fast, rate = 0.75 has the best median error rate, 0.05 over 1 run; new follows with 0.1."
    )


def test_failed_cells_do_not_win_and_a_run_of_failures_has_no_answer():
    assert winners(study(), table(a__new=(None, None), a__old=(0.2, 0.3), a__third=(0.4, None))) == {1}
    assert finding(study(), table(a__new=(None,))) == "Every cell failed, so there is no answer."


def test_ratios_count_cases_that_are_faster_and_those_that_reach_the_aim():
    rows = pd.DataFrame({"case": ["x", "y", "z"], "ratio": [0.5, 2.0, np.nan], "reach": [1.0, 2.0, 1.0]})
    assert of_ratios(rows) == (
        "Faster than the best rival, or below the bound, in 1 of 2 cases, and as fast as set out to be in 1; ratios "
        "from 0.5 to 2."
    )


@pytest.mark.parametrize("name", runner.names())
def test_a_ranking_is_of_what_the_study_has(name):
    found = runner.load(name)
    if not hasattr(found, "RANKING"):
        pytest.skip("it has a sentence of its own")
    ranking = found.RANKING
    assert ranking.column in found.COLUMNS and ranking.column not in found.BY
    assert {*ranking.within, *([ranking.last] if ranking.last else [])} <= set(found.BY)
    if isinstance(ranking.better, dict):
        tasks = {getattr(settings, ranking.within[0]) for settings in runner.cells(found, "default")}
        assert tasks <= set(ranking.better)
