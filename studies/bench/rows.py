"""Measured rows on disk: appended as they come, keyed by their settings, safe against a kill at any moment.

The file holds one JSON object a line, one line a row, and is a table as it stands (``pandas.read_json(path,
lines=True)``). The rows of one cell share a ``key`` and are numbered by ``part`` ("1/3"), so a cell of which
only some rows reached the disk is seen and computed again; so is one with a row that its ``checksum`` does not fit.
When a cell occurs twice, the later rows count. A run that diverged keeps its ``Infinity``, which Python and pandas
read back. What computed them stands beside, in ``meta.json``, under the name given in the column ``environment``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optim.replacement import replacement
from studies.bench.environment import environment
from studies.data import SOURCES


class DamagedRowsWarning(UserWarning):
    """Something in a study's folder is not what was written there; what it was is computed again or left out."""


def key_of(study: str, settings: Any) -> str:
    """Name of a cell: 16 hexadecimal digits that depend on the study, on every field of its settings, and on its data.

    The data are the files that the settings name in ``data_files``, if they do, by the digests of
    :data:`studies.data.SOURCES`.
    """
    data = {name: SOURCES[name].sha256 for name in getattr(settings, "data_files", ())}
    return _digest([study, dataclasses.asdict(settings), *([data] if data else [])])[:16]


class RowFile:
    """The rows of one study in one folder.

    Parameters
    ----------
    folder : made if it is not there; rows go to ``rows.jsonl``, the environment to ``meta.json``
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "rows.jsonl"
        self._environment: str | None = None

    def read(self) -> list[dict[str, Any]]:
        """Rows of all complete cells, in the order in which the cells were finished."""
        cells: dict[str, list[dict[str, Any]]] = {}
        for row in self._lines():
            part, _, total = str(row.get("part", "")).partition("/")
            if part == "1":
                cells[row["key"]] = []
            rows = cells.setdefault(row["key"], [])
            if part != str(len(rows) + 1) or not total.isdigit():
                cells.pop(row["key"])  # rows of a cell whose beginning is lost
                continue
            rows.append(row)
        return [row for rows in cells.values() if _is_complete(rows) for row in rows]

    def keys(self, *, with_errors: bool = True) -> set[str]:
        """Keys of the cells that are there; without those that failed if `with_errors` is false."""
        rows = self.read()
        failed = set() if with_errors else {row["key"] for row in rows if row.get("error")}
        return {row["key"] for row in rows} - failed

    def append(self, study: str, settings: Any, measured: list[dict[str, Any]], seconds: float) -> None:
        """Add the rows of one finished cell, on the disk before this returns."""
        frame = {"key": key_of(study, settings), "environment": self._environment_id(study)}
        lines = []
        for i, row in enumerate(measured or [{"error": "ValueError: the study returned no rows"}]):
            part = f"{i + 1}/{max(1, len(measured))}"
            whole = {
                **frame,
                "part": part,
                **dataclasses.asdict(settings),
                **row,
                "cell_time_s": round(seconds, 6),
            }
            plain = {name: _plain(value) for name, value in whole.items()}
            lines.append(json.dumps({**plain, "checksum": _digest(plain)[:8]}))
        with open(self.path, "ab+") as file:
            file.write((self._mend(file) + "\n".join(lines) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _mend(file: Any) -> str:
        """A line break if a killed writer left the last line unfinished, so that it stays on its own."""
        if file.seek(0, os.SEEK_END) == 0:
            return ""
        file.seek(-1, os.SEEK_END)
        return "" if file.read(1) == b"\n" else "\n"

    def _lines(self) -> Iterable[dict[str, Any]]:
        """Every row that is as it was written; the half line of a killed writer is passed over."""
        if not self.path.exists():
            return
        n_damaged = 0
        for line in self.path.read_bytes().splitlines():
            row = _row_of(line)
            if row is not None:
                yield row
            elif line.endswith(b"}"):
                n_damaged += 1
        if n_damaged:
            _warn(f"{self.path} must hold rows as they were written, got {n_damaged} damaged ones; they do not count.")

    @property
    def study(self) -> str:
        """Name of the study whose rows these are; that of the folder if they are from before it was kept."""
        try:
            return str(json.loads((self.folder / "meta.json").read_bytes())["study"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return self.folder.resolve().name

    def _environment_id(self, study: str) -> str:
        """Short name of this process's environment, written into ``meta.json`` when first asked for."""
        if self._environment is None:
            now = environment()
            self._environment = _digest(now)[:8]
            known = self.environments() | {self._environment: now}
            with replacement(self.folder / "meta.json") as file:
                file.write((json.dumps({"study": study, "environments": known}, indent=2) + "\n").encode())
        return self._environment

    def environments(self) -> dict[str, dict[str, Any]]:
        """Environments that computed the rows, by the name in the column ``environment``."""
        path = self.folder / "meta.json"
        if not path.exists():
            return {}
        try:
            found = json.loads(path.read_bytes())["environments"]
            if isinstance(found, dict) and all(isinstance(each, dict) for each in found.values()):
                return found
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
        _warn(f"{path} must hold environments as they were written, got something else; those till now are unknown.")
        return {}


def _row_of(line: bytes) -> dict[str, Any] | None:
    """The row that was written as ``line``; None if it was another, or none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("key"), str):
        return None
    checksum = row.pop("checksum", None)
    return row if checksum == _digest(row)[:8] else None


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _warn(message: str) -> None:
    warnings.warn(message, DamagedRowsWarning, stacklevel=4)


def _is_complete(rows: list[dict[str, Any]]) -> bool:
    return bool(rows) and rows[-1]["part"] == f"{len(rows)}/{len(rows)}"


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it: NumPy scalars as Python's, tuples as lists, paths as text."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    return value
