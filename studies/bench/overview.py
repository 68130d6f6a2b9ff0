"""``studies/README.md``: every study's question, time and finding, made of the docstrings.

``python -m studies.bench.overview`` writes it anew.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import studies
from studies.bench import runner

PATH = Path(studies.__path__[0]) / "README.md"
FOUND = re.compile(r"Found(?: \((?P<how>[^)]*)\))?\. ")
HEAD = """# Studies

Made from the docstrings by `python -m studies.bench.overview`; edit those.

`python -m studies NAME` runs one, `--profile quick` in seconds and as a smoke test only; its page says what the rows of
that run show. The method, the tuning and the sources stand at the top of `studies/NAME.py` and on the page.

| study | question | by default |
|---|---|---|
"""


def overview() -> str:
    """The whole text."""
    loaded = {name: runner.load(name) for name in runner.names()}
    lines = [
        f"| [`{name}`]({name}.py) | {runner.question(study)} | {_duration(runner.expected_s(study, 'default'))} |\n"
        for name, study in loaded.items()
    ]
    found = {name: finding for name, study in loaded.items() if (finding := found_in(study.__doc__ or ""))}
    said = [f"\n**`{name}`** {finding}\n" for name, finding in found.items()]
    return "".join([HEAD, *lines, "\n## What was found\n", *said])


def found_in(docstring: str) -> str:
    """The paragraph that begins with "Found.", on one line; "" if there is none."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        lead = FOUND.match(paragraph)
        if lead is not None:
            how = f"({lead['how']}) " if lead["how"] else ""
            return " ".join(f"{how}{paragraph[lead.end() :]}".split()).replace("``", "`")
    return ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    PATH.write_text(overview(), encoding="utf-8")
