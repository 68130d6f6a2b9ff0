"""The list of studies says what the studies say of themselves."""

import pytest

from studies.bench import overview, runner


def test_the_list_of_studies_is_that_of_the_docstrings():
    if not overview.PATH.is_file():
        pytest.skip("README.md is not beside the studies")
    text = overview.PATH.read_text(encoding="utf-8")
    assert text == overview.overview(), "python -m studies.bench.overview"
    assert all(f"[`{name}`]({name}.py)" in text for name in runner.names())


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("Why?\n\nFound. It is\n``so`` here.\n\nSources. A.", "It is `so` here."),
        ("Why?\n\nFound (medians of\nfive). So.", "(medians of\nfive) So."),
        ("Why?\n\nMethod. Nothing was found.", ""),
    ],
)
def test_what_was_found_is_one_paragraph(docstring, found):
    assert overview.found_in(docstring) == " ".join(found.split())
