"""Latencies beside published ones."""

import importlib
import json
from pathlib import Path

import pytest

from arch.boards import BOARD_PRESETS
from arch.config import preset
from tests.dynafix.results_fixture import build


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mlperf():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield importlib.import_module("mlperf_tiny")


def test_table(mlperf):
    clocks = [mlperf.Clock.assumed(100, preset("ecp5_85f")), mlperf.Clock.built(build(
        fmax_mhz={"sync": 125.0}, asked_mhz={"sync": 150.0}, met=False))]
    lines = mlperf.table({"IC": 100_000, "KWS": 30_000}, clocks, "8 × 16")
    assert lines[0] == "| system | MHz | DSP | IC, ms | VWW, ms | KWS, ms | |"
    assert lines[2] == ("| dynafix, 8 × 16 | 100 | 128 in the array | 1.000 |  | 0.300 | cycle "
                        "model, clock assumed |")
    assert lines[3] == (
        "| dynafix, 8 × 16 | 125 | 24 in the design | 0.800 |  | 0.240 | cycle model, clock "
        "reached by place and route, Colorlight i5, 150 MHz asked: missed |")
    assert len(lines) == 4 + len(mlperf.PUBLISHED)
    assert all(line.count("|") == lines[0].count("|") for line in lines)


def test_cycles_come_from_the_compiler(mlperf, monkeypatch, capsys):
    asked = []

    def measure(case, *_, **__):
        asked.append((case.model, case.config, case.bytes_per_cycle))
        return {"predicted": {"cycles": 2000 * len(asked), "macs": 4000}}

    monkeypatch.setattr(mlperf, "measure", measure)
    assert mlperf.main(["--config", "small", "--dram-bytes-per-cycle", "4", "--clocks", "50"]) == 0
    assert asked == [(model, "small", 4.0) for model in mlperf.NETWORKS.values()]
    out = capsys.readouterr().out
    assert "| dynafix, 4 × 8, DRAM 4 bytes a cycle | 50 | 32 in the array | 0.040 | 0.080 |" in out


def test_accelerator_and_clock_of_a_build(mlperf, monkeypatch, capsys, tmp_path):
    asked = []

    def measure(case, *_, **__):
        asked.append(case.accelerator())
        return {"predicted": {"cycles": 104_500, "macs": 4000}}

    monkeypatch.setattr(mlperf, "measure", measure)
    config = BOARD_PRESETS["colorlight-i5"]
    file = tmp_path / "build.json"
    file.write_text(json.dumps(build(config=config.to_json())))
    assert mlperf.main(["--build", str(file)]) == 0
    assert [each.hash for each in asked] == [config.hash] * 3
    line, = [line for line in capsys.readouterr().out.splitlines() if "dynafix" in line]
    assert line == (
        "| dynafix, 2 × 4, DRAM 4 bytes a cycle | 52.25 | 24 in the design | 2.000 | 2.000 | 2.000 "
        "| cycle model, clock reached by place and route, Colorlight i5, 40 MHz asked: met |")


def test_no_clock(mlperf, tmp_path, capsys):
    assert mlperf.main([]) == 2
    assert capsys.readouterr().err == (
        "error: No clock: give --build FILE for that of a bitstream, or --clocks MHZ for one that "
        "is assumed\n")
    assert mlperf.main(["--clocks", "100", "0"]) == 2
    assert capsys.readouterr().err == "error: --clocks must be positive numbers of MHz, not 0\n"
    assert mlperf.main(["--build", str(tmp_path / "build.json")]) == 2
    assert "missing. Make it with: dynafix build" in capsys.readouterr().err


def test_missing_network(mlperf, tmp_path, capsys):
    assert mlperf.main(["--models", str(tmp_path), "--clocks", "100"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: image classification: resnet8_mlperftiny.onnx is neither in ")
    assert mlperf.main(["--config", "huge"]) == 2
