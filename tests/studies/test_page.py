"""The page answers first, in words, and can be read on a telephone and on a desk."""

import html
import json
import re
import shutil
import subprocess

import pytest

from studies import __main__ as command_line
from studies.bench import page, runner
from studies.bench.summary import MARK, summarise
from toy_study import study, table

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

ROWS = {"a__new": (0.1, 0.2, 0.3), "a__old": (0.5, 0.6, 0.7), "b__new": (0.5, 0.6, 0.9), "b__old": (0.2, 0.55, None)}


def written(tmp_path, *, profile="default", rows=None, **changes):
    drawing = tmp_path / "toy.svg"
    drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="600" height="300"></svg>')
    shown = page.Page(drawing, {"e": {"n_cores": 2}}, ["A remark."], profile, "python -m studies toy")
    return page.write(tmp_path, study(**changes), table(**(rows or ROWS)), shown).read_text()


def test_the_answer_the_figure_and_the_table_stand_in_this_order(tmp_path):
    text = written(tmp_path)
    places = [text.index(mark) for mark in ("Which way is best?", "Best median error rate", "<figure>", "<table>")]
    assert places == sorted(places) and "lower is better" in text and "A remark." in text
    assert "<h3>Method</h3>" in text and "$" not in text


def test_the_best_of_each_task_is_marked(tmp_path):
    found = summarise(study(), table(**ROWS))
    assert [MARK in cell for cell in found["error_rate"]] == [True, False, False, True]
    assert found["rows"].tolist() == [3, 3, 3, 2] and found["failed"].tolist() == [0, 0, 0, 1]
    assert re.findall(r'class="best">([^<]*)<', written(tmp_path)) == [found["error_rate"][0], found["error_rate"][3]]


@pytest.mark.parametrize(("seeds", "words"), [(1, "A smoke test, one seed."), (2, "A smoke test, 2 seeds.")])
def test_a_quick_profile_has_a_banner(tmp_path, seeds, words):
    rows = {name: values[:seeds] for name, values in ROWS.items()}
    assert words in written(tmp_path, profile="quick", rows=rows)
    assert "smoke" not in written(tmp_path)


def test_text_of_rows_cannot_become_markup(tmp_path):
    assert "<script>" not in written(tmp_path, rows={"<script>__x": (1.0,), "a__<b>": (None,)})


def test_failures_are_counted_beside_their_error(tmp_path):
    assert re.search(r"<h2>Failures</h2>.*ValueError: no luck</td><td[^>]*>1<", written(tmp_path))


# ------------------------------------------------------------------------------------------------ in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Everything that ends right of the window and of what scrolls by itself, and where the figure is.
MEASURE = """<script>addEventListener("load", () => {
  const isWide = e => e.getBoundingClientRect().right > innerWidth + 0.5
    || (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline");
  const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".rows, script") && isWide(e));
  const figure = document.querySelector("figure").getBoundingClientRect();
  const said = {width: innerWidth, height: innerHeight, top: figure.top, bottom: figure.bottom,
    page: document.documentElement.scrollWidth, wide: wide.map(e => e.tagName + "." + e.className)};
  parent.postMessage(JSON.stringify(said), "*");
});</script>"""
# A frame has the size that it is given; a window has its own ideas.
FRAME = """<!doctype html><iframe src="probe.html" style="border: 0; width: {width}px; height: {height}px"></iframe>
<pre id="said"></pre>
<script>addEventListener("message", event => {{ document.getElementById("said").textContent = event.data; }});</script>
"""


def in_browser(path, width, height, folder):
    """What the page says of itself in a frame of this size, and what the console says."""
    path.with_name("probe.html").write_text(path.read_text().replace("</body>", MEASURE + "</body>"))
    frame = path.with_name("frame.html")
    frame.write_text(FRAME.format(width=width, height=height))
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--window-size=1600,1200")
    shown = ("--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom", frame.as_uri())
    answer = subprocess.run([CHROMIUM, *quiet, *shown], capture_output=True, text=True, timeout=60)
    said = json.loads(html.unescape(re.search(r'<pre id="said">(.*?)</pre>', answer.stdout)[1]))
    return said, [line for line in answer.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize(("width", "height"), [(400, 800), (1400, 900)])
@pytest.mark.parametrize("name", ["four_ways", "narma", "topologies"])
def test_nothing_is_clipped_and_the_figure_is_above_the_fold(name, width, height, tmp_path, monkeypatch):
    found = runner.load(name)

    def run(settings):
        return [{column: 0.1 + 0.01 * settings.seed if column != "measure" else "NRMSE" for column in found.COLUMNS}]

    monkeypatch.setattr(found, "run", run)
    assert command_line.main([name, "--out", str(tmp_path), "--jobs", "1"]) == 0
    said, console = in_browser(tmp_path / "report.html", width, height, tmp_path / "browser")
    assert not console
    assert (said["width"], said["height"]) == (width, height)
    assert said["page"] <= width and not said["wide"]
    assert 0 < said["top"] and said["bottom"] <= height
