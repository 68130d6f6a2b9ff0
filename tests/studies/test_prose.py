"""Docstrings of studies become paragraphs, headings, lists, tables and code."""

import pytest

from studies.bench import runner
from studies.bench.prose import to_html


def test_the_leading_word_of_a_paragraph_is_its_heading():
    assert (
        to_html("\nMethod. Every way\nhas the same data.\n") == "<h3>Method</h3>\n<p>Every way has the same data.</p>"
    )
    assert to_html("Expected run time: about a minute.") == "<h3>Expected run time</h3>\n<p>About a minute.</p>"


def test_backticks_are_code_and_nothing_else_is_markup():
    assert (
        to_html("of `n_steps`, ``a < b`` & <b>")
        == "<p>of <code>n_steps</code>, <code>a &lt; b</code> &amp; &lt;b&gt;</p>"
    )


def test_lists_and_indented_tables():
    assert to_html("- `one`: a\n  line\n- two") == "<ul><li><code>one</code>: a line</li><li>two</li></ul>"
    assert to_html("Text\n\n    a    1\n    b  < 2\n") == "<p>Text</p>\n<pre>a    1\nb  &lt; 2</pre>"


@pytest.mark.parametrize("name", runner.names())
def test_no_mark_of_a_docstring_is_left(name):
    text = to_html(runner.load(name).__doc__.partition("\n")[2])
    assert "<h3>Method</h3>" in text and "`" not in text and "\n- " not in text and "<p>- " not in text
