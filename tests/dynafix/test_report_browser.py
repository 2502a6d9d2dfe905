"""The report in headless Chromium: it draws its charts, complains of nothing, loads nothing."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from dynafix.report import write_report
from dynafix.report.timeline import timeline

from .results_fixture import large, lenet
from .test_report import MINIMAL, hostile


SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "screenshot_report.py"


def load_script():
    """Import the script that knows how to run Chromium."""
    spec = importlib.util.spec_from_file_location("screenshot_report", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


chromium = load_script()
pytestmark = pytest.mark.skipif(
    chromium.browser() is None, reason=f"no Chromium ({', '.join(chromium.BROWSERS)}) is installed")


class Visit:
    """What a page became, what the console said and what was asked of the network."""

    def __init__(self, page, *flags):
        log = page.with_suffix(".net.json")
        done = chromium.run_browser(
            page, "--dump-dom", "--enable-logging=stderr", "--v=0", f"--log-net-log={log}", *flags)
        self.page = done.stdout
        self.console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        events = [event.get("params") or {} for event in json.loads(log.read_text())["events"]]
        self.requests = [event["url"] for event in events
                         if event.get("initiator", "not an origin") != "not an origin"]

    @property
    def charts(self):
        """What the page tells of its charts."""
        found = re.search(r'<html[^>]* data-charts="(\w+)"', self.page)
        return found and found[1]

    def marks(self, chart, kind):
        """Return how many marks of a kind the chart holds."""
        start = self.page.index(f'id="{chart}"')
        following = re.search(r"<figcaption", self.page[start:])
        return self.page[start:start + following.start()].count(f'class="{kind}"')


def visit(tmp_path, results, *flags):
    write_report(results, tmp_path / "report.html")
    return Visit(tmp_path / "report.html", *flags)


def test_visit_notices_errors_and_requests(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>x</title><img src='http://192.0.2.1/picture.png'>"
                    "<script>missing()</script>")
    seen = Visit(page)
    assert len(seen.console) == 1
    assert "missing is not defined" in seen.console[0]
    assert seen.requests == ["http://192.0.2.1/picture.png"]
    assert seen.charts is None


def test_lenet(tmp_path):
    seen = visit(tmp_path, lenet())
    assert seen.console == []
    assert seen.requests == []
    assert seen.charts == "5"
    assert seen.marks("snr", "scatterlayer mlayer") == 1
    assert seen.marks("snr", "point") == 2 * 6
    assert seen.marks("ribbon", "point") == 3 * 6
    assert seen.marks("roofline", "point") == 4 + 1
    assert seen.marks("dram", "point") == 4 * 6
    assert 'data-theme="light"' in seen.page
    assert 'role="alert" hidden' in seen.page


def test_large_network_in_the_dark(tmp_path):
    seen = visit(tmp_path, large(), chromium.DARK)
    assert seen.console == []
    assert seen.requests == []
    assert seen.charts == "5"
    assert 'data-theme="dark"' in seen.page
    assert 60 < seen.marks("timeline", "point") < len(large()["timeline"]) / 3


def test_hostile_names(tmp_path):
    seen = visit(tmp_path, hostile())
    assert seen.console == []
    assert seen.requests == []
    assert seen.charts == "5"
    assert "<img src=" not in seen.page.replace('<img src="data:image/png', "")


def test_nothing_to_draw(tmp_path):
    seen = visit(tmp_path, MINIMAL)
    assert seen.console == []
    assert seen.charts == "0"


ACTIONS = """
const seen = [];
const shown = () => document.getElementById("timeline-shown").textContent.replaceAll("\u202f", "");
const timelineKey = (key) => {
  document.getElementById("timeline").dispatchEvent(new KeyboardEvent("keydown", { key }));
  seen.push(shown());
};
const column = (place) => {
  const table = document.querySelectorAll("table.sortable")[1];
  table.querySelectorAll("th button")[place].click();
  const rows = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
  seen.push(table.querySelectorAll("th")[place].getAttribute("aria-sort") + ": " + rows.join(" "));
};
const wait = setInterval(() => {
  if (document.documentElement.dataset.charts !== "5") return;
  clearInterval(wait);
  for (const key of ["+", "ArrowRight", "-", "0"]) timelineKey(key);
  const layer = document.getElementById("timeline-layer");
  layer.value = "0";
  layer.dispatchEvent(new Event("change"));
  seen.push(shown());
  for (const place of [3, 3, 0]) column(place);
  document.getElementById("theme").click();
  document.getElementById("theme").click();
  seen.push(document.documentElement.dataset.theme);
  document.body.append(`seen${JSON.stringify(seen)}`);
}, 50);
"""


def test_keys_layers_sorting_and_theme(tmp_path):
    page, results = tmp_path / "report.html", lenet()
    for span in results["timeline"]:
        span["end"] = min(span["end"], 8000)
    results["timeline"][-1]["end"] = 8000
    write_report(results, page)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    page.write_text(text.replace("</body>", f"<script>{ACTIONS}</script></body>"))
    seen = json.loads(re.search(r"seen(\[\".*?\])", Visit(page).page)[1])
    cycles = {layer["name"]: layer["cycles"] for layer in results["layers"]}
    start, end, _ = timeline(results["timeline"]).layers()[0]
    first = round(1.12 * (end - start) + 8)
    rising = sorted(cycles, key=cycles.get)
    assert seen == [
        "cycles 2000 to 6000", "cycles 3333 to 7333", "cycles 0 to 8000, the whole image",
        "cycles 0 to 8000, the whole image", f"cycles 0 to {first}",
        "descending: " + " ".join(rising[::-1]), "ascending: " + " ".join(rising),
        "descending: " + " ".join(sorted(cycles, reverse=True)), "dark",
    ]


def test_print(tmp_path):
    page, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    write_report(lenet(), page)
    chromium.run_browser(page, f"--print-to-pdf={printed}")
    assert 6 <= len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) <= 10


def test_library_that_does_not_unpack(tmp_path):
    page = tmp_path / "report.html"
    write_report(lenet(), page)
    page.write_text(re.sub(r'(id="library">)[^<]+', r"\1AAAA", page.read_text()))
    seen = Visit(page)
    assert seen.charts == "failed"
    assert "The tables hold the same numbers." in seen.page
    assert 'role="alert" hidden' not in seen.page
    assert seen.page.count("<details open") == seen.page.count("<details")


def test_screenshot(tmp_path, monkeypatch):
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    write_report(MINIMAL, page)
    monkeypatch.setattr(sys, "argv", [
        str(SCRIPT), str(page), str(picture), "--width", "900", "--dark", "--colors", "64"])
    assert chromium.main() == 0
    with Image.open(picture) as image:
        assert image.width == 900
        assert 1000 < image.height < 3000
        assert max(image.convert("RGB").getpixel((0, 200))) < 40
    assert picture.stat().st_size < 100_000


def test_screenshot_of_nothing(tmp_path, monkeypatch, capsys):
    missing = tmp_path / "report.html"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(missing), str(tmp_path / "report.png")])
    assert chromium.main() == 2
    assert capsys.readouterr().err == f"error: {missing}: no such file\n"
