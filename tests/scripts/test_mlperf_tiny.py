"""Latencies beside published ones."""

import importlib
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mlperf():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield importlib.import_module("mlperf_tiny")


def test_table(mlperf):
    lines = mlperf.table({"IC": 100_000, "KWS": 30_000}, 128, [100, 125], "8 × 16")
    assert lines[0] == "| system | MHz | DSP | IC, ms | VWW, ms | KWS, ms | |"
    assert lines[2].startswith("| dynafix, 8 × 16 | 100 | 128 in the array | 1.000 |  | 0.300 |")
    assert lines[3].startswith("| dynafix, 8 × 16 | 125 | 128 in the array | 0.800 |  | 0.240 |")
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


def test_missing_network(mlperf, tmp_path, capsys):
    assert mlperf.main(["--models", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(
        "error: image classification: resnet8_mlperftiny.onnx is neither in ")
    assert mlperf.main(["--config", "huge"]) == 2
