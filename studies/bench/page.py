"""One page a run: the summary table, the figure, the settings and the environment, in a single HTML file."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.bench.figures import quartiles

if TYPE_CHECKING:
    import pandas as pd

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2328; --faint: #656d76; --page: #ffffff; --card: #f6f8fa;
  --line: #d8dee4; --accent: #0072b2; --bad: #b35900; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6edf3; --faint: #9198a1; --page: #0d1117; --card:
#161b22;
  --line: #30363d; --accent: #56b4e9; --bad: #e69f00; }} }}
body {{ margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--page); color:
var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }}
h1 {{ font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; }} h2 {{ font-size: 1.1rem; margin: 2.4rem 0
.7rem; }} .faint {{ color: var(--faint); }} .wide {{ overflow-x: auto; }} table {{ border-collapse: collapse;
font-size: .9rem; font-variant-numeric: tabular-nums; }} th, td {{ padding: .35rem .8rem; border-bottom: 1px
solid var(--line); text-align: left; white-space: nowrap; }} th {{ color: var(--faint); font-weight: 600; }}
td.number, th.number {{ text-align: right; }} td.bad {{ color: var(--bad); }} tr.pending td {{ color:
var(--faint); font-style: italic; }} figure {{ margin: 0; background: #ffffff; border: 1px solid var(--line);
border-radius: 8px; padding: .8rem; }} figure img {{ display: block; width: 100%; height: auto; }} pre {{
background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1rem;
  overflow-x: auto; font-size: .85rem; white-space: pre-wrap; }}
details summary {{ cursor: pointer; color: var(--accent); }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="faint">{subtitle}</p>
<h2>Summary</h2>
<p class="faint">Median over seeds, quartiles in brackets. A run that failed is counted, not left out.</p>
<div class="wide">{summary}</div>
{remarks}
<h2>Figure</h2>
{figure}
{failures}
<h2>Method</h2>
<pre>{method}</pre>
<h2>Settings</h2>
<details><summary>{n_rows} rows, each with its settings</summary><div class="wide">{rows}</div></details>
<h2>Environment</h2>
<pre>{environment}</pre>
<p class="faint">Rerun: <code>{command}</code></p>
</body>
</html>
"""


def summarise(study: ModuleType, table: pd.DataFrame) -> list[dict[str, str]]:
    """Median and quartiles of every measured column, group by group, as text.

    Parameters
    ----------
    study : module with BY (what to group by) and COLUMNS (what was measured)
    table : rows of the study; failed ones have a text in the column ``error``

    Returns
    -------
    lines : one dict a group, its columns in the order in which they are shown
    """
    lines = []
    table = table.reindex(columns=table.columns.union([*study.BY, "error"], sort=False))
    measured = [column for column in study.COLUMNS if column not in study.BY]
    for values, group in table.groupby(list(study.BY), sort=False, dropna=False):
        line = {name: _short(value) for name, value in zip(study.BY, values, strict=True)}
        failed = group["error"].notna()
        good = group[~failed]
        for column in measured:
            line[column] = _spread(good[column]) if column in good else ""
        line |= {"rows": str(len(good)), "failed": str(int(failed.sum()))}
        lines.append(line)
    return lines


def as_text(lines: list[dict[str, str]]) -> str:
    """The summary as a table for a terminal."""
    if not lines:
        return "(no rows)"
    names = list(lines[0])
    widths = {name: max(len(name), *(len(line.get(name, "")) for line in lines)) for name in names}
    rule = "  ".join("-" * widths[name] for name in names)
    body = ["  ".join(line.get(name, "").ljust(widths[name]) for name in names).rstrip() for line in lines]
    return "\n".join(["  ".join(name.ljust(widths[name]) for name in names).rstrip(), rule, *body])


def write(
    folder: Path,
    study: ModuleType,
    table: pd.DataFrame,
    *,
    figure: Path | None,
    environments: dict[str, Any],
    remarks: list[str],
    subtitle: str,
    command: str,
) -> Path:
    """Write ``report.html`` into `folder`; it needs no other file.

    Parameters
    ----------
    figure : SVG file to put into the page, or None if nothing could be drawn
    environments : as `RowFile.environments` gives them
    remarks : sentences below the table
    subtitle : a line on what was run
    command : how to run it again
    """
    first, _, method = (study.__doc__ or "").strip().partition("\n")
    failed = table[table["error"].notna()] if "error" in table else table.iloc[:0]
    page = PAGE.format(
        title=html.escape(first.rstrip(".")),
        subtitle=html.escape(subtitle),
        summary=_html_table(summarise(study, table), getattr(study, "PENDING", {}), study.BY[-1]),
        remarks="".join(f"<p>{html.escape(remark)}</p>" for remark in remarks),
        figure=_html_figure(figure),
        failures=_html_failures(failed),
        method=html.escape(method.strip()),
        n_rows=len(table),
        rows=_html_table([{k: _short(v) for k, v in row.items()} for row in table.to_dict("records")]),
        environment=html.escape(json.dumps(environments, indent=2)),
        command=html.escape(command),
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _spread(values: pd.Series) -> str:
    """Median [lower quartile, upper quartile]; text columns show their only value."""
    if values.dtype.kind not in "fiu":
        return ", ".join(sorted({str(v) for v in values.dropna()}))
    if values.empty:
        return ""
    low, middle, high = quartiles(values)
    return f"{middle:.3g}" if len(values) == 1 else f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def _short(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _html_table(lines: list[dict[str, str]], pending: dict[str, str] | None = None, pending_column: str = "") -> str:
    if not lines:
        return "<p>No rows.</p>"
    names = list(lines[0])
    numeric = {n for n in names if all(line.get(n, "")[:1].strip("-0123456789.in") == "" for line in lines)}
    head = "".join(f"<th{_css(n in numeric)}>{html.escape(n.replace('_', ' '))}</th>" for n in names)
    body = "".join(
        "<tr>" + "".join(f"<td{_css(n in numeric)}>{html.escape(line.get(n, ''))}</td>" for n in names) + "</tr>"
        for line in lines
    )
    for name, reason in (pending or {}).items():
        place = names.index(pending_column)
        cells = "<td></td>" * place + f"<td>{html.escape(name)}</td>"
        wide = len(names) - place - 1
        body += f'<tr class="pending">{cells}<td colspan="{wide}">{html.escape(reason)}</td></tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _css(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _html_figure(path: Path | None) -> str:
    if path is None:
        return "<p>Nothing to draw: no cell succeeded.</p>"
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<figure><img alt="{html.escape(path.stem)}" src="data:image/svg+xml;base64,{data}"></figure>'


def _html_failures(failed: pd.DataFrame) -> str:
    if failed.empty:
        return ""
    lines = [{"cells": str(len(group)), "error": str(error)} for error, group in failed.groupby("error")]
    return f'<h2>Failures</h2><div class="wide">{_html_table(lines)}</div>'
