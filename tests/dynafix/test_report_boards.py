"""The report's part on bitstreams."""

import re

from dynafix.report.bitstreams import answer, bitstreams
from dynafix.report.page import render

from .results_fixture import build, lenet


def _results(*builds):
    return {**lenet(), "builds": list(builds)}


def test_answer():
    found = _results(build(), build(board_title="ULX3S 85F", fmax_mhz={"sync": 30.04}))
    assert answer(found) == (
        "Colorlight i5: 52.2\u00a0MHz of the 40.0 asked; 98\u00a0% of the block RAM. "
        "ULX3S 85F: 30.0\u00a0MHz of the 40.0 asked, which is too slow; 98\u00a0% of the block "
        "RAM.")


def test_tables():
    each, = bitstreams(_results(build()))
    assert each.facts == "LFE5U-25F, CABGA381, grade 6, standalone"
    assert [[cell.text for cell in row] for row in each.clocks.rows] == [
        ["sync", "52.2", "40.0", "✓ met"]]
    assert [row[0].text for row in each.fill.rows] == [
        "LUT4", "flip-flops", "block RAM", "multipliers"]
    assert each.fill.rows[0][3].share == 14_203 / 24_288
    assert [row[3].kind for row in each.fill.rows] == ["", "", "warn", ""]


def test_clock_not_met():
    each, = bitstreams(_results(build(fmax_mhz={"sync": 39.9})))
    assert [(cell.text, cell.kind) for cell in each.clocks.rows[0][3:]] == [("✗ not met", "bad")]


def test_section_only_with_builds():
    without, with_boards = render(lenet()), render(_results(build()))
    assert 'id="boards"' not in without
    found = re.findall(r'<h2 id="\w+"><span[^>]*>(\d)</span>([^<]+)</h2>', with_boards)
    assert found[4:] == [("5", "Does it fit a board?"), ("6", "How was it made?")]
    assert "8 levels, 19.1 ns, 62 % routing" in with_boards
    assert "colorlight-i5.bit" in with_boards


def test_several_placements_and_gaps():
    each, = bitstreams(_results(build(
        seeds={"1": {"sync": 1.0}, "2": "failed"}, critical_path=None, available={}, fmax_mhz={})))
    assert each.facts.endswith("best of 2 placements")
    assert (each.path, each.fill.rows, each.clocks.rows) == ("", [], [])
    assert answer(_results(build(available={}))) == (
        "Colorlight i5: 52.2\u00a0MHz of the 40.0 asked.")


def test_hostile_names():
    text = render(_results(build(board_title="<script>x</script>", grade="a\u202eb")))
    assert "<script>x" not in text
    assert "\u202e" not in text
