"""The examples of README.md run as they stand and print what is shown beneath them."""

import contextlib
import io
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
OPTIONAL = ("torch", "jax")  # frameworks that a block may need
COMPILES = re.compile(r"^from (?:cells|reservoir) import", re.MULTILINE)

if not README.is_file():
    pytest.skip("README.md is not beside the tests", allow_module_level=True)
TEXT = README.read_text(encoding="utf-8")
BLOCKS = list(BLOCK.finditer(TEXT))


def named(block):
    """A block as a parameter, named for the heading and the line it stands under, marked by what it takes."""
    before = TEXT[: block.start()]
    heading = re.findall(r"^## (.+)$", before, re.MULTILINE)[-1]
    marks = [pytest.mark.slow] if COMPILES.search(block["code"]) or frameworks(block["code"]) else []
    if COMPILES.search(block["code"]):
        marks.append(pytest.mark.compiled)
    return pytest.param(block, id=f"{heading}, line {before.count(chr(10)) + 1}", marks=marks)


def frameworks(code):
    return [name for name in OPTIONAL if re.search(rf"^import {name}\b", code, re.MULTILINE)]


@pytest.mark.parametrize("block", [named(block) for block in BLOCKS])
def test_an_example_prints_what_is_shown(block):
    for name in frameworks(block["code"]):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block["code"], str(README), "exec"), {"__name__": "__main__"})
    assert printed.getvalue() == block["shown"]


def test_every_example_is_found_and_shows_its_output():
    assert len(BLOCKS) == TEXT.count("```python") >= 7
    assert all(block["shown"] for block in BLOCKS)


def test_the_optimiser_is_shown_through_numpy_scipy_torch_and_jax():
    section = TEXT.partition("\n## The optimiser\n")[2].partition("\n## ")[0]
    needed = [frameworks(block["code"]) for block in BLOCK.finditer(section)]
    assert needed == [[], [], ["torch"], ["jax"]]
    assert "from scipy.optimize import minimize" in section


def test_examples_are_short():
    assert all(6 <= len(block["code"].splitlines()) <= 18 for block in BLOCKS)
