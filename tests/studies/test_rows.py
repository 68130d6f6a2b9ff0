"""Rows survive a kill at any moment, and only what is missing is computed again."""

import errno
import json
import os
import types
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from studies import __main__ as command_line
from studies.bench import runner
from studies.bench.environment import environment
from studies.bench.rows import DamagedRowsWarning, RowFile, key_of
from studies.data import SOURCES


@dataclass(frozen=True)
class Settings:
    size: int = 1
    seed: int = 0


@pytest.fixture
def calls(monkeypatch):
    """A study "toy" that notes which cells were computed; size 13 fails, size 17 answers two rows."""
    noted = []

    def run(settings):
        noted.append(settings)
        if settings.size == 13:
            raise ArithmeticError("unlucky size")
        return [{"part_of": i, "value": settings.size + i} for i in range(2 if settings.size == 17 else 1)]

    toy = types.SimpleNamespace(Settings=Settings, run=run, __name__="studies.toy")
    monkeypatch.setattr(runner, "load", lambda name: toy)
    return noted


def some_cells(*sizes):
    return [Settings(size) for size in sizes]


def test_a_second_run_computes_only_what_is_missing(calls, tmp_path):
    runner.run_study("toy", some_cells(1, 2), RowFile(tmp_path))
    outcome = runner.run_study("toy", some_cells(1, 2, 3), RowFile(tmp_path))
    assert [s.size for s in calls] == [1, 2, 3]
    assert (outcome.n_kept, outcome.n_computed) == (2, 1)
    assert [row["value"] for row in RowFile(tmp_path).read()] == [1, 2, 3]


def test_a_failed_cell_is_a_row_with_its_error(calls, tmp_path):
    outcome = runner.run_study("toy", some_cells(1, 13, 2), RowFile(tmp_path))
    rows = RowFile(tmp_path).read()
    assert outcome.n_failed == 1
    assert [row.get("error") for row in rows] == [None, "ArithmeticError: unlucky size", None]
    assert rows[1]["size"] == 13


def test_a_failed_cell_is_computed_again_only_on_request(calls, tmp_path):
    for retry in (False, False, True):
        runner.run_study("toy", some_cells(13), RowFile(tmp_path), retry_failed=retry)
    assert len(calls) == 2
    assert len(RowFile(tmp_path).read()) == 1


def test_a_half_written_line_costs_that_cell_only(calls, tmp_path):
    """Cut the file where a kill may, resume, and find the rows of an uninterrupted run."""
    file = RowFile(tmp_path)
    runner.run_study("toy", some_cells(1, 17), file)
    whole = file.path.read_bytes()
    for cut in range(0, len(whole), 23):
        file.path.write_bytes(whole[:cut])
        runner.run_study("toy", some_cells(1, 17), RowFile(tmp_path))
        found = [(row["size"], row["part"], row["value"]) for row in RowFile(tmp_path).read()]
        assert sorted(found) == [(1, "1/1", 1), (17, "1/2", 17), (17, "2/2", 18)]


def test_a_cell_whose_rows_are_not_all_there_is_not_shown(calls, tmp_path):
    file = RowFile(tmp_path)
    runner.run_study("toy", some_cells(17), file)
    first_line = file.path.read_text().splitlines()[0]
    file.path.write_text(first_line + "\n")
    assert file.read() == []
    assert file.keys() == set()


@pytest.mark.filterwarnings("ignore::studies.bench.rows.DamagedRowsWarning")
def test_a_damaged_row_is_computed_again(calls, tmp_path):
    """Change every byte but the last in turn: a row never comes back as another one."""
    file = RowFile(tmp_path)
    runner.run_study("toy", some_cells(1, 17), file)
    whole, rows = file.path.read_bytes(), RowFile(tmp_path).read()
    for i in range(len(whole) - 1):
        file.path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        assert all(row in rows for row in RowFile(tmp_path).read())
    file.path.write_bytes(whole.replace(b'"value": 1,', b'"value": 9,'))
    calls.clear()
    outcome = runner.run_study("toy", some_cells(1, 17), RowFile(tmp_path))
    assert [settings.size for settings in calls] == [1] and outcome.n_kept == 1
    assert sorted(row["value"] for row in RowFile(tmp_path).read()) == [1, 17, 18]


def test_a_damaged_row_is_told(calls, tmp_path):
    file = RowFile(tmp_path)
    runner.run_study("toy", some_cells(1, 2), file)
    for damage in ((b'"value": 1,', b'"value": 9,'), (b'"value": 1,', b'"value": x,'), (b"checksum", b"checksun")):
        content = file.path.read_bytes()
        file.path.write_bytes(content.replace(*damage, 1))
        with pytest.warns(DamagedRowsWarning, match=r"rows\.jsonl must hold rows as they were written, got 1 damaged"):
            assert len(file.read()) == 1
        file.path.write_bytes(content)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"environments": 3}', '{"environments": {"a": 1}}', "[" * 10**5])
def test_a_broken_file_of_environments_costs_a_warning(calls, tmp_path, content):
    runner.run_study("toy", some_cells(1), RowFile(tmp_path))
    (tmp_path / "meta.json").write_text(content)
    with pytest.warns(DamagedRowsWarning, match=r"meta\.json must hold environments"):
        runner.run_study("toy", some_cells(1, 2), RowFile(tmp_path))
    assert len(RowFile(tmp_path).read()) == 2 and len(RowFile(tmp_path).environments()) == 1


def test_a_full_disk_is_one_clear_line(calls, tmp_path, monkeypatch, capsys):
    toy = runner.load("toy")
    toy.GRID, toy.EXPECTED_S, toy.__doc__ = {"default": [{"size": [1, 2, 3]}]}, {"default": 1.0}, "How large?"
    honest = RowFile.append

    def append(self, study, settings, measured, seconds):
        if settings.size == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(self, study, settings, measured, seconds)

    monkeypatch.setattr(RowFile, "append", append)
    assert command_line.main(["toy", "--out", str(tmp_path)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("studies:")]
    assert len(lines) == 1 and str(tmp_path) in lines[0] and "No space left on device" in lines[0]
    assert [row["value"] for row in RowFile(tmp_path).read()] == [1]


def test_ctrl_c_keeps_what_was_finished(calls, tmp_path, monkeypatch):
    toy = runner.load("toy")

    def stopped(settings):
        if settings.size == 3:
            raise KeyboardInterrupt
        return [{"value": settings.size}]

    monkeypatch.setattr(toy, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        runner.run_study("toy", some_cells(1, 2, 3, 4), RowFile(tmp_path))
    assert [row["value"] for row in RowFile(tmp_path).read()] == [1, 2]


def test_the_key_depends_on_every_field_and_on_the_study():
    keys = {key_of("a", Settings(1, 0)), key_of("a", Settings(2, 0)), key_of("a", Settings(1, 1)),
            key_of("b", Settings(1, 0))}  # fmt: skip
    assert len(keys) == 4
    assert key_of("a", Settings(1, 0)) == key_of("a", Settings())


def test_the_key_depends_on_the_data(monkeypatch):
    @dataclass(frozen=True)
    class OfData(Settings):
        data_files: ClassVar = ("tinyshakespeare.txt",)

    before = key_of("a", OfData())
    assert before != key_of("a", Settings())
    source = SOURCES["tinyshakespeare.txt"]
    monkeypatch.setitem(SOURCES, "tinyshakespeare.txt", replace(source, sha256="0" * 64))
    assert key_of("a", OfData()) != before


def test_the_environment_stands_beside_the_rows(calls, tmp_path):
    runner.run_study("toy", some_cells(1), RowFile(tmp_path))
    (name, found), *rest = json.loads((tmp_path / "meta.json").read_text())["environments"].items()
    assert not rest
    assert RowFile(tmp_path).read()[0]["environment"] == name
    assert found == environment()
    assert {"versions", "processor", "commit", "n_cores"} <= set(found)
    assert {"python", "numpy", "scipy", "numba"} <= set(found["versions"])


def test_values_that_are_not_finite_come_back(tmp_path):
    file = RowFile(tmp_path)
    file.append("toy", Settings(), [{"nrmse": float("inf")}], 0.1)
    assert file.read()[0]["nrmse"] == float("inf")


def test_no_rows_is_an_error_not_a_gap(tmp_path):
    file = RowFile(tmp_path)
    file.append("toy", Settings(), [], 0.1)
    assert "returned no rows" in file.read()[0]["error"]
