"""Builds are made once, and failures say what to do."""

import os
import subprocess
import sys

import pytest

from sim import compile_once
from sim.build import build
from sim.errors import SimulationError
from sim.toolchain import check_tools, verilator_command


WIRE = {"wire.sv": "module wire_through #(parameter int W = 4) "
                   "(input logic [W-1:0] i, output logic [W-1:0] o); assign o = i; endmodule\n"}


@pytest.fixture
def compiled(monkeypatch):
    """Instead of compiling, note what would be."""
    calls = []

    def compile_nothing(work, sources, top, parameters, public, waves, kept):
        calls.append((top, parameters, public, waves))
        (work / "build").mkdir()
        for name in (top, "build.log"):
            (work / "build" / name).write_text("")

    monkeypatch.setattr("sim.build._compile", compile_nothing)
    return calls


def test_cached_by_content(tmp_path, compiled):
    cache = tmp_path / "a folder with spaces"
    first = build(WIRE, "wire_through", cache=cache)
    again = build(WIRE, "wire_through", cache=cache)
    assert (first.cached, again.cached, len(compiled)) == (False, True, 1)
    assert first.folder == again.folder
    assert {path.name for path in first.folder.iterdir()} == {"wire_through", "build.log"}
    others = [
        build({"wire.sv": WIRE["wire.sv"] + "// changed\n"}, "wire_through", cache=cache),
        build(WIRE, "wire_through", parameters={"W": 8}, cache=cache),
        build(WIRE, "wire_through", public=True, cache=cache),
        build(WIRE, "wire_through", waves=True, cache=cache),
    ]
    assert not any(other.cached for other in others)
    assert len({first.folder, *(other.folder for other in others)}) == 5
    # Nothing is left of the work.
    assert {path.name for path in cache.iterdir()} == {
        ".lock", *(path.folder.name for path in (first, *others))}


def test_cached_by_tools(tmp_path, compiled, monkeypatch):
    first = build(WIRE, "wire_through", cache=tmp_path)
    monkeypatch.setattr("sim.build.tool_versions", lambda: {"compiler": "another"})
    assert build(WIRE, "wire_through", cache=tmp_path).folder != first.folder


def test_failed_build_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments):
        raise SimulationError("no")

    monkeypatch.setattr("sim.build._compile", fail)
    with pytest.raises(SimulationError, match="^no$"):
        build(WIRE, "wire_through", cache=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_what_was_not_used_for_longest_is_removed(tmp_path, compiled, monkeypatch):
    monkeypatch.setattr("sim.build.CACHE_SIZE", 0)
    first = build(WIRE, "wire_through", cache=tmp_path)
    second = build(WIRE, "wire_through", public=True, cache=tmp_path)
    for result in (first, second):
        (result.folder / "wire_through").write_text("x" * 100)
    assert first.folder.exists()  # both are empty when they are made
    for age, result in ((10, first), (20, second)):
        before = result.folder.stat().st_mtime - age
        os.utime(result.folder, (before, before))
    # A build that is used again counts as new.
    assert build(WIRE, "wire_through", public=True, cache=tmp_path).cached
    monkeypatch.setattr("sim.build.CACHE_SIZE", 150)
    third = build(WIRE, "wire_through", waves=True, cache=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        ".lock", second.folder.name, third.folder.name}


def test_two_processes_build_once(tmp_path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "import sim.build\n"
        "def compile_slowly(work, sources, top, *_):\n"
        "    (work / 'build').mkdir()\n"
        "    time.sleep(1)\n"
        "    for name in (top, 'build.log'):\n"
        "        (work / 'build' / name).write_text('')\n"
        "sim.build._compile = compile_slowly\n"
        "print(sim.build.build({}, 'top', cache=Path(sys.argv[1])).cached)\n")
    words = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[0].strip() for process in processes]
    assert sorted(told) == ["False", "True"]


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Return a compiler that notes each call in the result, and a folder of sources to share."""
    script, runtime = tmp_path / "compiler.py", tmp_path / "runtime"
    runtime.mkdir()
    script.write_text(
        "import pathlib, sys\n"
        "calls = pathlib.Path(__file__).with_name('calls')\n"
        "calls.write_text((calls.read_text() if calls.exists() else '') + '.')\n"
        "if sys.argv[-1].endswith('bad.cpp'):\n"
        "    sys.exit(3)\n"
        "if '-o' in sys.argv:\n"
        "    pathlib.Path(sys.argv[sys.argv.index('-o') + 1]).write_text(' '.join(sys.argv[1:]))\n")
    monkeypatch.chdir(tmp_path)

    def run(*words):
        before = len((tmp_path / "calls").read_text()) if (tmp_path / "calls").exists() else 0
        status = compile_once.main(
            [str(tmp_path / "kept"), str(runtime), sys.executable, str(script), *words])
        return status, len((tmp_path / "calls").read_text()) - before

    return run, str(runtime)


def test_runtime_is_compiled_once(compiler, tmp_path):
    run, runtime = compiler
    words = ["-O2", "-c", "-o", "a.o", f"{runtime}/a.cpp"]
    assert [run(*words), run(*words)] == [(0, 1), (0, 0)]
    assert (tmp_path / "a.o").read_text() == " ".join(words)
    # Other flags and other files are other objects.
    assert run("-O3", *words[1:]) == (0, 1)
    assert (tmp_path / "a.o").read_text().startswith("-O3")
    assert run(*words[:-1], f"{runtime}/b.cpp") == (0, 1)
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".o"}


@pytest.mark.parametrize("words", [
    ("-c", "-o", "a.o", "a.cpp"), ("-c", "-o", "a.o", "elsewhere/a.cpp"),
    ("-o", "top", "a.o"), ("-c", "top.cpp")])
def test_what_belongs_to_one_build_is_always_compiled(compiler, tmp_path, words):
    run, _ = compiler
    assert [run(*words), run(*words)] == [(0, 1), (0, 1)]
    assert not (tmp_path / "kept").exists()


def test_failure_of_the_compiler_is_not_kept(compiler, tmp_path):
    run, runtime = compiler
    words = ("-c", "-o", "a.o", f"{runtime}/bad.cpp")
    assert [run(*words), run(*words)] == [(3, 1), (3, 1)]
    assert not (tmp_path / "kept").exists()


def test_bad_source(tmp_path):
    with pytest.raises(SimulationError, match=r"^Verilator cannot build 'm': %Error: .*m\.sv:1:"):
        build({"m.sv": "module m; assign = 1; endmodule\n"}, "m", cache=tmp_path)


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulationError, match=(
            r"^Compiled simulations cannot be stored in '.*/file': .*; choose another folder$")):
        build(WIRE, "wire_through", cache=tmp_path / "file")


def test_missing_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulationError, match=(
            "^Verilator needs 'make', which is not on PATH; on Debian or Ubuntu: "
            r"apt install g\+\+ make perl$")):
        check_tools()


def test_verilator_is_the_installed_package():
    assert verilator_command().endswith("site-packages/verilator/bin/verilator")
