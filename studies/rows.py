"""Measured rows on disk: appended as they come, keyed by their settings, safe against a kill at any moment.

The file holds one JSON object a line, one line a row, and is a table as it stands (``pandas.read_json(path,
lines=True)``). The rows of one cell share a ``key`` and are numbered by ``part`` ("1/3"), so a cell of which
only some rows reached the disk is seen and computed again. When a cell occurs twice, the later rows count. A
run that diverged keeps its ``Infinity``, which Python and pandas read back. What computed them stands beside,
in ``meta.json``, under the name given in the column ``environment``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "reservoir-hf",
    "numpy",
    "scipy",
    "numba",
    "scikit-learn",
    "threadpoolctl",
    "pandas",
    "statsmodels",
)


def key_of(study: str, settings: Any) -> str:
    """Name of a cell: 16 hexadecimal digits that depend on the study and on every field of its settings."""
    text = json.dumps([study, dataclasses.asdict(settings)], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def environment() -> dict[str, Any]:
    """Versions, processor and commit of this process, as they are kept beside the rows."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "processor": _processor(),
        "n_cores": os.cpu_count(),
        "system": platform.platform(),
        "commit": _commit(),
    }


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
        frame = {"key": key_of(study, settings), "environment": self._environment_id()}
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
            lines.append(json.dumps({name: _plain(value) for name, value in whole.items()}))
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
        """Every line that can be read; the half line of a killed writer cannot and is passed over."""
        if not self.path.exists():
            return
        for line in self.path.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "key" in row:
                yield row

    def _environment_id(self) -> str:
        """Short name of this process's environment, written into ``meta.json`` when first asked for."""
        if self._environment is None:
            now = environment()
            self._environment = hashlib.sha256(json.dumps(now, sort_keys=True).encode()).hexdigest()[:8]
            known = self.environments() | {self._environment: now}
            draft = self.folder / "meta.json.new"
            draft.write_text(json.dumps({"environments": known}, indent=2) + "\n", encoding="utf-8")
            draft.replace(self.folder / "meta.json")
        return self._environment

    def environments(self) -> dict[str, dict[str, Any]]:
        """Environments that computed the rows, by the name in the column ``environment``."""
        path = self.folder / "meta.json"
        return json.loads(path.read_text(encoding="utf-8"))["environments"] if path.exists() else {}


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


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Commit of the source tree, marked "-dirty" if files were changed; "unknown" outside of one."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        owned = subprocess.run(
            [*command[:3], "ls-files", "--error-unmatch", __file__], capture_output=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() if answer.returncode == 0 and owned.returncode == 0 else "unknown"
