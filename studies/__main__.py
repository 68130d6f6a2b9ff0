"""``python -m studies [NAME] [--profile P] [--seeds N] [--jobs N] [--device D] [--out DIR]``, or ``compare A B``."""

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
    options, unknown = _parser().parse_known_args(arguments)
    try:
        _refuse(unknown, options)
        if options.name == "list":
            return _list()
        if options.name == "compare":
            return _compare(options.folders)
        if options.folders:
            raise ValueError(f"only compare takes folders, got {' '.join(options.folders)}. Leave them out.")
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
        help=f"a study, `list` for all of them, or `compare` for two runs of one (default: {HEADLINE})",
    )
    parser.add_argument("folders", nargs="*", metavar="A B", help="two folders with results, to compare")
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


def _refuse(unknown: list[str], options: argparse.Namespace) -> None:
    """Raise for options that there are not, with the one that may be meant."""
    if unknown:
        given = unknown[0].partition("=")[0]
        known = [f"--{name.replace('_', '-')}" for name in vars(options) if name not in ("name", "folders")]
        raise ValueError(f"options must be among {', '.join(known)}; got {given}.{runner.meant(given, known)}")


def _list() -> int:
    for name in runner.names():
        study = runner.load(name)
        print(f"{name:22} {runner.question(study)}  [default: {_duration(runner.expected_s(study, 'default'))}]")
    return 0


def _compare(folders: list[str]) -> int:
    """Two runs of one study side by side, to the terminal."""
    from studies.bench import comparison

    if len(folders) != 2:
        raise ValueError(f"compare takes two folders with results, A and B, got {len(folders)}. Name both.")
    files = [RowFile(comparison.folder_of(folder)) for folder in folders]
    names = [file.study for file in files]
    if names[0] != names[1]:
        raise ValueError(f"A and B must be runs of one study, got {names[0]} and {names[1]}. Compare like with like.")
    study = runner.load(names[0])
    table = comparison.compare(study, *(_table(study, file.read()) for file in files))
    print(runner.question(study))
    for letter, file in zip("AB", files, strict=True):
        print(f"{letter}: {file.folder}")
    print(comparison.in_words(table))
    if len(table):
        print(table.to_string(index=False))
    return 0


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
    n_failed = _report(study, cells, file, options)
    counts = f"{outcome.n_computed} computed, {outcome.n_kept} kept, {n_failed} failed"
    print(f"{counts}; {_duration(outcome.time_s)}. The page to open: {file.folder / 'report.html'}")
    if n_failed:
        print(f"To try the failed ones again: {_command(file, options)} --retry-failed", file=sys.stderr)
    return 1 if n_failed else 0


def _command(file: RowFile, options: argparse.Namespace) -> str:
    """What to type for this run."""
    seeds = "" if options.seeds is None else f" --seeds {options.seeds}"
    device = "" if options.device == "cpu" else f" --device {options.device}"
    where = f" --out {shlex.quote(str(file.folder))}"
    return f"python -m studies {options.name} --profile {options.profile}{seeds}{device}{where}"


def _table(study: ModuleType, rows: list[dict[str, Any]]) -> Any:
    """Rows as a pandas table that has every column by which they are grouped, and ``error``."""
    import pandas as pd

    table = pd.DataFrame(rows)
    return table.reindex(columns=table.columns.union([*study.BY, "seed", "error"], sort=False))


def _report(study: ModuleType, cells: list[Any], file: RowFile, options: argparse.Namespace) -> int:
    """Answer and table to the terminal; figure and page to the folder. Only the cells asked for are shown.

    Returns the number of cells that failed, now or before.
    """
    from studies.bench import figures, findings, page, summary

    place = {key_of(options.name, settings): i for i, settings in enumerate(cells)}
    rows = sorted((row for row in file.read() if row["key"] in place), key=lambda row: place[row["key"]])
    table = _table(study, rows)
    good, failed = table[table["error"].isna()], table[table["error"].notna()]
    drawing, remarks = None, []
    if len(good):
        remarks = study.remarks(good) if hasattr(study, "remarks") else []
        with figures.house_style():
            drawing = figures.save(study.plot(good), file.folder, options.name)[1]
    print(findings.finding(study, table))
    print(summary.summarise(study, table).to_string(index=False))
    for line in [page.legend(study), *remarks, *sorted({f"Failed: {error}" for error in failed["error"]})]:
        print(line)
    used = set(table["environment"])
    environments = {name: text for name, text in file.environments().items() if name in used}
    shown = page.Page(drawing, environments, remarks, options.profile, _command(file, options))
    page.write(file.folder, study, table, shown)
    return failed["key"].nunique()


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
