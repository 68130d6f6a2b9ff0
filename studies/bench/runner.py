"""What a study is, how one is found, and how its cells are computed, kept and resumed.

A study is a module of this package with these names, and no list to add it to:

- ``Settings``: frozen dataclass, everything one cell needs, with a field ``seed``; ``device`` if it can run on a GPU;
  a ``ClassVar`` ``data_files`` if it reads any of :data:`studies.data.SOURCES`, so that other data are other cells
- ``GRID``: dict profile -> list of entries; an entry maps fields to values, a list or range is an axis of the grid
- ``EXPECTED_S``: dict profile -> seconds by default on two cores, written from a measurement
- ``COLUMNS``: tuple, the columns that `run` measures, units in the names
- ``BY``: tuple, the settings that the summary table groups by
- ``run``: settings -> list of dicts with the keys COLUMNS; a pure function
- ``plot``: pandas table of rows -> matplotlib figure

and either ``RANKING``, the :class:`studies.bench.findings.Ranking` by which the page says who is best, or ``finding``,
table of rows -> the sentence with the answer. It may have ``remarks``, table of rows -> list of sentences (statistics,
say), and ``SIDE_BY_SIDE = True`` if no cell measures time, so that by default there may be a process per core. "quick"
and "default" must be in GRID. A longer profile that is absent is "default" with as many more seeds as fit into its
time.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import itertools
import os
import pkgutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import studies
from optim.threads import n_threads, single_blas_thread
from reservoir.compilation import compilation
from studies.bench.rows import RowFile, key_of

PROFILES = ("quick", "default", "half-hour", "hour", "night")
BUDGET_S = {"half-hour": 1_800.0, "hour": 3_600.0, "night": 8 * 3_600.0}
MAX_SEEDS = 500
MAX_PROCESSES = 8  # unless more are asked for: each takes some 400 MB
SHORT_S = 30.0  # processes that start anew cost more than they save
PARTS = ("Settings", "GRID", "EXPECTED_S", "COLUMNS", "BY", "run", "plot")


class WorkerDied(RuntimeError):
    """A worker process ended without an answer, so the run could not go on."""


@dataclass(frozen=True)
class Outcome:
    """What a run did: cells found in the file, computed now, failed among the latter; seconds it took, and those of
    them, summed over processes, that went into compiling kernels."""

    n_kept: int
    n_computed: int
    n_failed: int
    time_s: float
    compiling_s: float = 0.0


def names() -> list[str]:
    """Names of all studies, sorted: the modules of this package that define a class ``Settings``."""
    folder = Path(studies.__path__[0])
    found = (module.name for module in pkgutil.iter_modules([str(folder)]) if not module.ispkg)
    return sorted(n for n in found if "\nclass Settings" in (folder / f"{n}.py").read_text(encoding="utf-8"))


def load(name: str) -> ModuleType:
    """Import the study called `name`, or say which there are."""
    known = names()
    if name not in known:
        raise ValueError(
            f"NAME must be one of {', '.join(known)}; got {name!r}.{meant(name, known)} See `python -m studies list`."
        )
    study = importlib.import_module(f"studies.{name}")
    missing = [part for part in PARTS if not hasattr(study, part)]
    if not (hasattr(study, "RANKING") or hasattr(study, "finding")):
        missing.append("RANKING or finding")
    if missing:
        raise TypeError(f"a study must define {', '.join(PARTS)}; {name} lacks {', '.join(missing)}. Add them.")
    return study


def meant(given: str, known: Iterable[str]) -> str:
    """A question after the nearest of the names that are known, if one is near."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def question(study: ModuleType) -> str:
    """First line of the study's docstring."""
    return (study.__doc__ or "").strip().partition("\n")[0]


def expected_s(study: ModuleType, profile: str) -> float:
    """Seconds a whole run of `profile` is expected to take."""
    return float(study.EXPECTED_S.get(profile, BUDGET_S.get(profile, float("nan"))))


def is_side_by_side(study: ModuleType) -> bool:
    """Whether cells may be computed at the same time without changing what they measure."""
    return getattr(study, "SIDE_BY_SIDE", False)


def usual_jobs(study: ModuleType, profile: str, device: str = "cpu") -> int:
    """Processes of a run that does not say how many: one, or one a core where the study allows it and is long."""
    if not is_side_by_side(study) or device == "gpu" or expected_s(study, profile) < SHORT_S:
        return 1
    return min(MAX_PROCESSES, n_threads())


def cells(study: ModuleType, profile: str, *, n_seeds: int | None = None, device: str = "cpu") -> list[Any]:
    """Settings of every cell of a profile, in the order of its grid.

    Parameters
    ----------
    study : module, see above
    profile : one of PROFILES
    n_seeds : int >= 1 or None, use seeds 0 .. n_seeds - 1 instead of the grid's own
    device : "cpu" or "gpu"
    """
    if profile not in PROFILES:
        raise ValueError(
            f"--profile must be one of {', '.join(PROFILES)}; got {profile!r}.{meant(profile, PROFILES)} Choose one."
        )
    if n_seeds is not None and n_seeds < 1:
        raise ValueError(f"--seeds must be a whole number >= 1, got {n_seeds}. Leave it out for the profile's own.")
    fields = {field.name for field in dataclasses.fields(study.Settings)}
    if device == "gpu" and "device" not in fields:
        raise ValueError(f"--device must be cpu for {study.__name__}, got gpu: this study has no GPU part. Use cpu.")
    common = {"device": "gpu"} if device == "gpu" else {}
    entries = study.GRID.get(profile, study.GRID["default"])
    growth = 1.0 if profile in study.GRID else BUDGET_S[profile] / study.EXPECTED_S["default"]
    return [
        study.Settings(**combination, **common)
        for entry in entries
        for combination in _product(_with_seeds(entry, n_seeds, growth))
    ]


def _with_seeds(entry: dict[str, Any], n_seeds: int | None, growth: float) -> dict[str, Any]:
    """The entry with its seed axis, if it has one, replaced by `n_seeds` seeds or `growth` times as long."""
    seeds = entry.get("seed")
    if not isinstance(seeds, (list, range)):
        return entry
    grown = list(seeds) if growth <= 1.0 else range(min(MAX_SEEDS, int(len(seeds) * growth)))
    return {**entry, "seed": grown if n_seeds is None else range(n_seeds)}


def _product(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination of the entry's axes (lists and ranges), the last axis running fastest."""
    axes = [value if isinstance(value, (list, range)) else [value] for value in entry.values()]
    for combination in itertools.product(*axes):
        yield dict(zip(entry, combination, strict=True))


def compute(name: str, settings: Any) -> tuple[list[dict[str, Any]], float, float]:
    """Rows of one cell, the seconds it took, and those that compiling kernels took before they are kept on disk.

    A cell that fails is one row with its error.

    This is the outermost frame of a cell, where every failure must become a row: hence the wide `except`.
    """
    start, compiled = time.perf_counter(), compilation().seconds
    try:
        study = load(name)
        # The last bits of BLAS may depend on its threads, and those on the number of processes.
        with single_blas_thread() if is_side_by_side(study) else nullcontext():
            measured = study.run(settings) or [{"error": "ValueError: the study returned no rows"}]
    except Exception as error:
        measured = [{"error": f"{type(error).__name__}: {error}"}]
    compiling = compilation().seconds - compiled
    return measured, time.perf_counter() - start - compiling, compiling


def run_study(
    name: str,
    wanted: list[Any],
    file: RowFile,
    *,
    n_jobs: int = 1,
    retry_failed: bool = False,
    progress: Callable[[int], Any] = lambda n: None,
) -> Outcome:
    """Compute the cells of `wanted` that `file` lacks and append each as soon as it is there.

    Parameters
    ----------
    name : the study
    wanted : list of its Settings
    file : where rows are kept
    n_jobs : int >= 1, processes; cells are independent, and where they may run side by side (`is_side_by_side`) their
        rows do not depend on it
    retry_failed : bool, compute again the cells that are in the file as an error
    progress : called with the number of cells just finished
    """
    start = time.perf_counter()
    kept = file.keys(with_errors=not retry_failed)
    missing = [settings for settings in wanted if key_of(name, settings) not in kept]
    progress(len(wanted) - len(missing))
    n_failed, compiling_s = 0, 0.0
    for settings, measured, seconds, compiling in _results(name, missing, n_jobs):
        file.append(name, settings, measured, seconds)
        compiling_s += compiling
        n_failed += any("error" in row for row in measured)
        progress(1)
    return Outcome(len(wanted) - len(missing), len(missing), n_failed, time.perf_counter() - start, compiling_s)


def _results(name: str, missing: list[Any], n_jobs: int) -> Iterator[tuple[Any, list[dict[str, Any]], float, float]]:
    """(settings, rows, seconds, seconds of compiling) of every missing cell, as they come."""
    if n_jobs == 1 or len(missing) < 2:
        for settings in missing:
            yield settings, *compute(name, settings)
        return
    # First seeds first: neighbours then compile different kernels, and a run that is stopped has a row of everything.
    missing = sorted(missing, key=lambda settings: settings.seed)
    workers = min(n_jobs, len(missing))
    with ProcessPoolExecutor(workers, get_context("spawn"), _share_cores, (workers,)) as pool:
        pending = {pool.submit(compute, name, settings): settings for settings in missing}
        try:
            for future in as_completed(pending):
                yield pending[future], *future.result()
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a worker process was ended from outside, as happens when memory runs out. What was finished is "
                "kept; run the same command again with fewer --jobs."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _share_cores(n_workers: int) -> None:
    """Give this worker its share of the cores: own threads by the environment, BLAS by threadpoolctl."""
    from threadpoolctl import threadpool_limits

    share = max(1, n_threads() // n_workers)
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(share)
    threadpool_limits(share)
