"""Cells of Yosys as resources of Zynq parts."""

import importlib
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def zynq():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield importlib.import_module("estimate_zynq")


def test_cells(zynq):
    found = zynq.Resources.of({
        "LUT2": 5, "LUT6": 7, "INV": 1, "RAM32M": 2, "SRL16E": 3, "CARRY4": 100, "MUXF7": 9,
        "FDRE": 10, "FDSE": 2, "DSP48E1": 6, "RAMB36E1": 4, "RAMB18E1": 3, "BUFG": 1})
    assert found == zynq.Resources(lut=24, ff=12, dsp=6, bram=5.5)


def test_largest(zynq):
    part = zynq.Resources(100, 100, 10, 5)
    found = {
        "a": (8, zynq.Resources(50, 10, 8, 1)), "b": (9, zynq.Resources(100, 100, 10, 5)),
        "c": (64, zynq.Resources(20, 10, 11, 1))}
    assert zynq.largest(found, part) == "b"
    assert zynq.largest({"c": found["c"]}, part) is None


def test_table(zynq):
    lines = zynq.table([("one", zynq.Resources(53_200, 1_064, 220, 0.5)),
                        ("two", zynq.Resources(1, 1, 221, 0))])
    assert lines[0] == "| | LUT | FF | DSP | BRAM36 | of XC7Z020 | of XC7Z045 |"
    assert lines[2] == (
        "| one | 53 200 | 1 064 | 220 | 0.5 | 100 / 1 / 100 / 0 % | 24 / 0 / 24 / 0 % |")
    assert lines[3].endswith("| 0 / 0 / 100 / 0 %, does not fit | 0 / 0 / 25 / 0 % |")


def test_without_yosys(zynq, monkeypatch, capsys, tmp_path):
    def none(_):
        raise ValueError("Yosys was not found")

    monkeypatch.setattr(zynq, "find_tools", none)
    assert zynq.main(["small", "--output", str(tmp_path / "zynq.json")]) == 2
    assert capsys.readouterr().err == "error: Yosys was not found\n"
    assert zynq.main(["huge"]) == 2
    assert capsys.readouterr().err.startswith("error: Config must be one of small, ecp5_85f, ")


def test_run(zynq, monkeypatch, capsys, tmp_path):
    cells = {"LUT6": 1000, "DSP48E1": 40, "FDRE": 2000, "RAMB36E1": 3}
    monkeypatch.setattr(zynq, "find_tools", lambda names: {name: [name] for name in names})
    monkeypatch.setattr(zynq, "verilog", lambda config, family: f"// {family} {config.name}")
    def synthesize(yosys, text, script, folder, what):
        assert text == "// xilinx7 small"
        return {zynq.MODULE_NAME: cells}

    monkeypatch.setattr(zynq, "synthesize", synthesize)
    monkeypatch.setattr(zynq.os, "nice", lambda _: None)
    assert zynq.main(["small", "--output", str(tmp_path / "zynq.json")]) == 0
    out = capsys.readouterr().out
    assert "| small, 32 multipliers | 1 000 | 2 000 | 40 | 3 | 2 / 2 / 18 / 2 % |" in out
    assert "(XC7Z045) | 182 616 | 127 653 | 780 | 486 |" in out
    assert zynq.SUCCESSOR in out
    assert out.endswith("XC7Z045: the largest of these that fits is small\n")
