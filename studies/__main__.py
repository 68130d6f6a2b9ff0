"""``python -m studies [NAME] [--profile P] [--seeds N] [--jobs N] [--device D] [--out DIR]``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from studies.bench import runner
from studies.bench.rows import RowFile, key_of

HEADLINE = "four_ways"


def main(arguments: list[str] | None = None) -> int:
    """Run a study, or list them; status 0, or 1 if a cell failed, 2 for a wrong argument, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    if options.name == "list":
        _list()
        return 0
    try:
        study = runner.load(options.name)
        cells = runner.cells(study, options.profile, n_seeds=options.seeds, device=options.device)
        if options.jobs is None:
            options.jobs = runner.usual_jobs(study, options.profile, options.device)
        if options.jobs < 1:
            raise ValueError(f"--jobs must be a whole number >= 1, got {options.jobs}. Leave it out for the usual one.")
    except ValueError as error:
        print(f"studies: {error}", file=sys.stderr)
        return 2
    folder = Path(options.out or Path("study_results") / options.name)
    try:
        return _run(study, cells, RowFile(folder), options)
    except OSError as error:  # of a cell it is a row: this one is of the results
        print(
            f"studies: results cannot be kept in {folder} ({error}). What was finished before is there; make room, or "
            "name another folder by --out, and run the same command again.",
            file=sys.stderr,
        )
        return 1
    except runner.WorkerDied as error:
        print(f"studies: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"\nStopped. What was finished is in {folder}; the same command goes on from there.",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies", description="Run a comparative study and report on it.")
    parser.add_argument(
        "name",
        nargs="?",
        default=HEADLINE,
        metavar="NAME",
        help=f"a study, or `list` for all of them (default: {HEADLINE})",
    )
    parser.add_argument("--profile", default="default", metavar="P", help=f"one of {', '.join(runner.PROFILES)}")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 instead of the profile's own")
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="processes (default: 1, or one a core, at most 8, for a long study that allows it)",
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"), help="where reservoirs run (default: cpu)")
    parser.add_argument("--out", metavar="DIR", help="where results go (default: ./study_results/NAME)")
    parser.add_argument("--retry-failed", action="store_true", help="compute again what ended in an error last time")
    return parser


def _list() -> None:
    for name in runner.names():
        study = runner.load(name)
        print(f"{name:22} {runner.question(study)}  [default: {_duration(runner.expected_s(study, 'default'))}]")


def _run(study: ModuleType, cells: list[Any], file: RowFile, options: argparse.Namespace) -> int:
    name = options.name
    n_kept = len({key_of(name, settings) for settings in cells} & file.keys())
    jobs = "1 job" if options.jobs == 1 else f"{options.jobs} jobs"
    print(f"{runner.question(study)}")
    print(
        f"{name}, profile {options.profile}: {len(cells)} cells, {n_kept} already in {file.folder}; "
        f"all take about {_duration(runner.expected_s(study, options.profile))} by default on two cores; {jobs} now."
    )
    progress, close = _progress(len(cells))
    try:
        outcome = runner.run_study(
            name, cells, file, n_jobs=options.jobs, retry_failed=options.retry_failed, progress=progress
        )
    finally:
        close()
    _report(study, cells, file, options)
    counts = f"{outcome.n_computed} computed, {outcome.n_kept} kept, {outcome.n_failed} failed"
    print(f"{counts}; {_duration(outcome.time_s)}. The page to open: {file.folder / 'report.html'}")
    return 1 if outcome.n_failed else 0


def _report(study: ModuleType, cells: list[Any], file: RowFile, options: argparse.Namespace) -> None:
    """Table to the terminal; figure and page to the folder. Only rows of the cells asked for are shown."""
    import pandas as pd

    from studies.bench import figures
    from studies.bench import page as report

    place = {key_of(options.name, settings): i for i, settings in enumerate(cells)}
    table = pd.DataFrame(sorted((row for row in file.read() if row["key"] in place), key=lambda row: place[row["key"]]))
    good = table[table["error"].isna()] if "error" in table else table
    drawing, remarks = None, []
    if len(good):
        remarks = study.remarks(good) if hasattr(study, "remarks") else []
        with figures.house_style():
            drawing = figures.save(study.plot(good), file.folder, options.name)[1]
    print(report.as_text(report.summarise(study, table)))
    pending = [f"{way}: {reason}" for way, reason in getattr(study, "PENDING", {}).items()]
    errors = sorted({f"Failed: {error}" for error in table["error"].dropna()}) if "error" in table else []
    for line in [*pending, *remarks, *errors]:
        print(line)
    used = set(table["environment"])
    environments = {name: text for name, text in file.environments().items() if name in used}
    command = f"python -m studies {options.name} --profile {options.profile} --out {shlex.quote(str(file.folder))}"
    subtitle = f"Study {options.name}, profile {options.profile}, {len(cells)} cells."
    report.write(
        file.folder,
        study,
        table,
        figure=drawing,
        environments=environments,
        remarks=remarks,
        subtitle=subtitle,
        command=command,
    )


def _progress(n_cells: int) -> tuple[Callable[[int], Any], Callable[[], Any]]:
    """How to report finished cells, and what to call at the end: tqdm's bar if installed, else lines."""
    try:
        from tqdm import tqdm
    except ImportError:
        n_done = [0]

        def line(n: int) -> None:
            n_done[0] += n
            print(f"  {n_done[0]} of {n_cells} cells", flush=True)

        return line, lambda: None
    bar = tqdm(total=n_cells, unit="cell", file=sys.stderr, dynamic_ncols=True)
    return bar.update, bar.close


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.0f} h"


if __name__ == "__main__":
    raise SystemExit(main())
