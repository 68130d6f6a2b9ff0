"""One page a run, in a single HTML file: the answer, the figure, the table, and how it was done."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from types import ModuleType
from typing import TYPE_CHECKING, Any

from studies.bench.findings import finding
from studies.bench.prose import to_html
from studies.bench.summary import MARK, shortened, summarise

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Page:
    """What a page shows besides the study and its rows.

    Parameters
    ----------
    figure : SVG file to put into the page, or None if nothing could be drawn
    environments : as `RowFile.environments` gives them
    remarks : sentences below the table
    profile : what was run; "quick" is a smoke test and is said to be one
    command : how to run it again
    """

    figure: Path | None
    environments: dict[str, Any]
    remarks: list[str]
    profile: str
    command: str


def write(folder: Path, study: ModuleType, table: pd.DataFrame, page: Page) -> Path:
    """Write ``report.html`` into `folder`; it needs no other file."""
    first, _, method = (study.__doc__ or "").strip().partition("\n")
    template = Template(resources.files("studies.bench").joinpath("page.html").read_text(encoding="utf-8"))
    text = template.substitute(
        title=html.escape(first.rstrip(".")),
        finding=html.escape(finding(study, table)),
        banner=_banner(page.profile, table["seed"].nunique()),
        figure=_figure(page.figure),
        legend=html.escape(legend(study)),
        summary=_table(summarise(study, table)),
        remarks="".join(f"<p>{html.escape(remark)}</p>" for remark in page.remarks),
        failures=_failures(table[table["error"].notna()]),
        method=to_html(method),
        n_rows=len(table),
        rows=_table(table.map(shortened)),
        environment=html.escape(json.dumps(page.environments, indent=2)),
        subtitle=html.escape(f"Study {study.__name__.rpartition('.')[2]}, profile {page.profile}."),
        command=html.escape(page.command),
    )
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def legend(study: ModuleType) -> str:
    """How to read the table of a study."""
    said = "Median over seeds, quartiles in brackets. A run that failed is counted, not left out."
    if not hasattr(study, "RANKING"):
        return said
    ranking = study.RANKING
    name, within = (text.replace("_", " ") for text in (ranking.column, ", ".join(ranking.within)))
    where = f" of each {within}" if within else ""
    return f"{said} {MARK} marks the best median{where} by {name}, {ranking.in_words()}."


def _banner(profile: str, n_seeds: int) -> str:
    if profile != "quick":
        return ""
    seeds = "one seed" if n_seeds == 1 else f"{n_seeds} seeds"
    return (
        f'<p class="banner"><strong>A smoke test, {seeds}.</strong> Small problems that show that everything runs; for '
        "an answer leave out <code>--profile quick</code>.</p>"
    )


def _figure(path: Path | None) -> str:
    if path is None:
        return "<p>Nothing to draw: no cell succeeded.</p>"
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<figure><img alt="{html.escape(path.stem)}" src="data:image/svg+xml;base64,{data}"></figure>'


def _table(table: pd.DataFrame) -> str:
    """A table whose cells know their column, so that narrow screens can show them one below the other."""
    names = [html.escape(str(name).replace("_", " ")) for name in table]
    head = "".join(f"<th>{name}</th>" for name in names)
    lines = ("".join(map(_cell, names, map(str, values))) for values in table.itertuples(index=False))
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(name: str, text: str) -> str:
    best = ' class="best"' if text.endswith(MARK) else ""
    return f'<td data-column="{name}"{best}>{html.escape(text)}</td>'


def _failures(failed: pd.DataFrame) -> str:
    if failed.empty:
        return ""
    counts = failed.groupby("error", sort=False).size().rename("rows").reset_index()
    return f'<h2>Failures</h2><div class="summary wide">{_table(counts)}</div>'
