"""The terminal: nothing wraps, dropped columns are named, plain lines without a terminal."""

import io

import pytest

from dynafix.steps import Steps
from dynafix.terminal import Column, Terminal


COLUMNS = [Column("layer", most=12), Column("operator"), Column("cycles", right=True),
           Column("numpy = ort = RTL")]
ROWS = [["conv1", "Conv 5×5 + ReLU", "1 012", "✓"], ["a/very/long/name", "MaxPool", "144", "✗"]]
TOTAL = ["total", "", "1 156", "✗ 10 images"]


def _printed(action, **options):
    stream = io.StringIO()
    with Terminal(stream, **options) as terminal:
        action(terminal)
    return stream.getvalue()


def _table(terminal):
    terminal.table(COLUMNS, ROWS, total=TOTAL)


def test_table_in_a_pipe():
    assert _printed(_table).splitlines() == [
        " layer         operator         cycles  numpy = ort = RTL",
        " conv1         Conv 5×5 + ReLU   1 012  ✓",
        " a/very/long…  MaxPool             144  ✗",
        " total                           1 156  ✗ 10 images",
    ]


@pytest.mark.parametrize(("width", "shown", "dropped"), [
    (70, 4, None),
    (50, 3, "numpy = ort = RTL"),
    (36, 2, "cycles, numpy = ort = RTL"),
])
def test_narrow_table_drops_columns(width, shown, dropped):
    lines = _printed(_table, width=width).splitlines()
    assert [column.title in lines[0] for column in COLUMNS].count(True) == shown
    assert max(map(len, lines[:4])) <= width
    if dropped is None:
        assert len(lines) == 4
    else:
        text = " ".join(line.strip() for line in lines[4:])
        assert text == f"not shown at {width} columns: {dropped}"


def test_lines_fold_under_themselves():
    lines = _printed(lambda t: t.line("import", "one two three four five six"), width=30)
    assert lines.splitlines() == [" import     one two three four", "            five six"]


def _count(terminal):
    for done in range(4):
        terminal.progress("simulate", done, 3, "images", "8 cycles each")


def test_progress_in_a_pipe_is_one_line():
    assert _printed(_count) == " simulate   3/3 images   8 cycles each\n"


def test_progress_on_a_terminal_is_a_bar():
    printed = _printed(_count, terminal=True, width=80)
    assert "━" in printed
    assert "3/3 images   8 cycles each" in printed


def test_interrupted_bar_is_ended():
    stream = io.StringIO()
    with Terminal(stream, terminal=True, width=80) as terminal:
        terminal.progress("simulate", 1, 3)
    assert stream.getvalue().endswith("\x1b[?25h")


def test_quiet():
    def everything(terminal):
        terminal.line("import", "x")
        _count(terminal)
        terminal.summary("report", "report.html")
    assert _printed(everything, quiet=True) == " report     report.html\n"


def test_silent_steps(capsys):
    steps = Steps()
    steps.line("import", "x")
    steps.progress("simulate", 1, 2, "images")
    with steps.busy("verilate", "x"):
        pass
    assert capsys.readouterr().out == ""


def _verilate(terminal):
    with terminal.busy("verilate", "ecp5_85f"):
        pass
    terminal.line("verilate", "ecp5_85f, 41 s")


def test_busy_bar_is_wiped():
    before, after = _printed(_verilate, terminal=True, width=80).rsplit("\x1b[2K", 1)
    assert "━" in before
    assert "━" not in after
    assert after.endswith("ecp5_85f, 41 s\n")


def test_busy_in_a_pipe_is_silent():
    assert _printed(_verilate) == " verilate   ecp5_85f, 41 s\n"
    assert _printed(_verilate, quiet=True, terminal=True) == ""
