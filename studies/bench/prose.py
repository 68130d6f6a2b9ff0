"""Docstrings of studies as HTML: paragraphs with their leading words, lists, indented tables, code."""

from __future__ import annotations

import html
import inspect
import re

LEAD = re.compile(r"([A-Z][a-z]+(?: [a-z]+){0,2})([.:]) ")
CODE = re.compile(r"``(.+?)``|`(.+?)`")


def to_html(text: str) -> str:
    """HTML of a docstring without its first line.

    Parameters
    ----------
    text : paragraphs between empty lines; one may begin with a word and a full stop that say what it is about, as
        "Method."; lines after "- " are a list, indented ones a table in fixed width
    """
    return "\n".join(_block(block) for block in re.split(r"\n\s*\n", inspect.cleandoc("\n" + text)) if block.strip())


def _block(block: str) -> str:
    if block.startswith("- "):
        return (
            "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in re.split(r"^- ", block, flags=re.M)[1:]) + "</ul>"
        )
    if block.startswith("  "):
        return f"<pre>{html.escape(inspect.cleandoc(block))}</pre>"
    lead = LEAD.match(block)
    if lead is None:
        return f"<p>{_inline(block)}</p>"
    rest = block[lead.end() :]
    return f"<h3>{html.escape(lead[1])}</h3>\n<p>{_inline(rest[0].upper() + rest[1:])}</p>"


def _inline(text: str) -> str:
    escaped = html.escape(" ".join(text.split()), quote=False)
    return CODE.sub(lambda found: f"<code>{found[1] or found[2]}</code>", escaped)
