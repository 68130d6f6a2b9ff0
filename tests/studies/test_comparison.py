"""Two runs of a study side by side."""

import json

import pytest

from studies import __main__ as command_line
from studies.bench import comparison, runner
from studies.bench.findings import Ranking
from studies.bench.rows import RowFile
from toy_study import study, table

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

A = {"a__new": (0.1, 0.2, 0.3), "a__old": (0.5, 0.6, 0.7), "b__old": (1.0, 2.0, 3.0), "b__gone": (1.0,)}
B = {"a__new": (0.4, 0.5, 0.6), "a__old": (0.1, 0.2, 0.3), "b__old": (1.5, 2.5, None)}


def test_a_group_is_better_or_worse_where_quartiles_are_apart():
    found = comparison.compare(study(), table(**A), table(**B))
    assert found["B is"].tolist() == ["worse", "better", "not apart"]
    assert found["A"][0] == "0.2 [0.15, 0.25]" and found["B / A"].tolist() == ["2.5", "0.333", "1"]
    assert comparison.in_words(found) == "B is better in 1 of 3 groups, worse in 1; in 1 the quartiles overlap."


def test_where_more_is_better_the_verdict_turns_round():
    shares = study(RANKING=Ranking("error_rate", better="higher", within=("task",)))
    assert comparison.compare(shares, table(**A), table(**B))["B is"].tolist() == ["better", "worse", "not apart"]


def test_runs_without_a_common_group_are_said_to_be_so():
    assert "no group in common" in comparison.in_words(comparison.compare(study(), table(**A), table(c__x=(1.0,))))


def run_narma(folder, shift, monkeypatch):
    narma = runner.load("narma")
    monkeypatch.setattr(narma, "run", lambda settings: [{"nrmse": shift + settings.seed / 100}])
    assert command_line.main(["narma", "--profile", "quick", "--out", str(folder)]) == 0


def test_the_command_line_compares_two_folders(tmp_path, monkeypatch, capsys):
    for name, shift in (("one", 0.5), ("other", 0.25)):
        run_narma(tmp_path / name, shift, monkeypatch)
    capsys.readouterr()
    assert command_line.main(["compare", str(tmp_path / "one"), str(tmp_path / "other")]) == 0
    assert "B is better in 2 of 2 groups, worse in 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["one"], "takes two folders with results, A and B, got 1"),
        (["one", "nowhere"], "A and B must be folders with results or studies that were run, got 'nowhere'"),
        (["one", "toy"], "A and B must be runs of one study, got narma and toy"),
    ],
)
def test_folders_that_cannot_be_compared_are_named(tmp_path, monkeypatch, capsys, given, message):
    monkeypatch.chdir(tmp_path)
    run_narma("one", 0.5, monkeypatch)
    RowFile("toy").path.write_bytes((tmp_path / "one" / "rows.jsonl").read_bytes())
    assert RowFile("one").study == "narma" and RowFile("toy").study == "toy"
    assert command_line.main(["compare", *given]) == 2
    assert message in capsys.readouterr().err


def test_what_is_damaged_has_the_name_of_its_folder(tmp_path):
    file = RowFile(tmp_path / "narma")
    for content in ("", "[]", json.dumps({"environments": {}})):
        (file.folder / "meta.json").write_text(content)
        assert file.study == "narma"
