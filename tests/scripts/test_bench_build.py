"""The table of bitstreams."""

import importlib.util
from pathlib import Path

import pytest

from compiler import compile_model
from compiler.memory_image import place
from dynafix import api
from dynafix.options import Options
from hw.build.boards import BOARDS
from hw.build.errors import BuildError
from tests.dynafix.results_fixture import build


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_build", ROOT / "scripts/bench_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_row(bench):
    case = next(each for each in bench.CASES if each.board == "colorlight-i5")
    cells = bench.row(case, build(), 61_672, 0.987)
    assert cells == [
        "Colorlight i5", "chip", "2 × 4", "4 bits", "52.2 (40.0)", "582 369", "14 203 (58 %)",
        "9 871 (41 %)", "55 (98 %)", "", "24 (86 %)", "61 672", "1.54", "98.70"]
    assert len(cells) == len(bench.COLUMNS)


def test_dram_is_that_of_the_board(bench):
    for case in bench.CASES:
        assert (case.dram is not None) == case.external == case.name.endswith("-sdram")
        if case.external:
            assert (case.dram.latency, case.dram.bytes_per_cycle) == (17, 2)


def test_slow_clock_makes_it_slower(bench):
    found = build(clock_mhz=40.0, fmax_mhz={"sync": 20.0})
    assert bench.row(bench.CASES[0], found, 40_000, 0.5)[-2] == "2.00"


def test_networks_fit_the_memory_of_the_chips(bench, tmp_path):
    """Their images, before there is any accelerator."""
    for bits in {case.weight_bits for case in bench.CASES}:
        quantized = api.quantize(bench.MODEL, bench.DATA, tmp_path / str(bits),
                                 options=Options(weight_bits=bits, calibration=10))
        for case in bench.CASES:
            if case.weight_bits == bits and not case.external:
                device = BOARDS[case.board].device
                size = place(compile_model(quantized.model, case.config)).size
                bits_of_memory = (device.resources["block_ram"] * device.technology.block_ram_bits
                                  + device.resources.get("large_ram", 0) * 256 * 1024)
                assert 8 * size < bits_of_memory


def test_what_fails_is_said(bench, monkeypatch, capsys, tmp_path):
    def fail(*arguments):
        raise BuildError("no tool")

    monkeypatch.setattr(bench, "_build", fail)
    assert bench.main(["ulx3s", "--output", str(tmp_path)]) == 2
    assert "ulx3s: not built: no tool" in capsys.readouterr().out


def test_asked(bench, monkeypatch, capsys, tmp_path):
    for fmax, code, word in ((99.9, 1, "missed"), (100.0, 0, "met")):
        found = build(fmax_mhz={"sync": fmax})
        monkeypatch.setattr(bench, "_build", lambda *_, found=found: (["x"] * 14, found))
        assert bench.main(["ulx3s", "--output", str(tmp_path)]) == code
        assert f"at least 100 MHz: {word}" in capsys.readouterr().out
