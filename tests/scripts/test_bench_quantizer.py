"""Cells of the quantizer's benchmark: measured once, kept by content, shown with intervals."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynafix.steps import Steps


ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "dynafix" / "models"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield importlib.import_module("bench_quantizer")


@pytest.fixture(scope="module")
def cells(bench):
    return importlib.import_module("quantizer_cells")


@pytest.fixture
def network(cells):
    return cells.Network("lenet5", SHIPPED / "lenet5_mnist.onnx", SHIPPED / "mnist_1000.npz",
                         calibration=8, images=40)


def test_cell_is_measured_once(cells, network, tmp_path, monkeypatch):
    path = tmp_path / "cells.json"
    options = {"data_bits": 8, "weight_bits": 4}
    found = cells.Bench(path, Steps()).method(network, "8/4 plain", options)
    assert found["images"] == 40
    assert found["loss"]["top1"] == pytest.approx(
        100 * (found["float"]["top1"] - found["quantized"]["top1"]))
    monkeypatch.setattr(cells, "quantize", None)  # would fail
    again = cells.Bench(path, Steps())
    assert again.method(network, "8/4 plain", options) == found
    with pytest.raises(TypeError):
        again.method(network, "8/4 plain", {**options, "per_channel": True})
    assert cells.Bench(path, Steps(), kept=True).method(network, "", {"data_bits": 7}) == {
        "error": "not measured yet"}


def test_refusal_is_a_cell(cells, network, tmp_path):
    found = cells.Bench(tmp_path / "cells.json", Steps()).method(
        network, "wrong", {"data_bits": 99})
    assert "99" in found["error"]


def test_other_quantizer(cells, bench, network, tmp_path):
    peer = bench.PEERS[0]
    found = cells.Bench(tmp_path / "cells.json", Steps()).peer(network, peer)
    assert found["images"] == 40
    assert found["logits_snr_db"] > 20
    missing = cells.Peer("other", "no-such-package", "no_such_module", None)
    assert cells.Bench(tmp_path / "cells.json", Steps()).peer(network, missing) == {
        "error": "not installed: pip install no-such-package"}


def test_failure_of_another_quantizer_is_a_cell(cells, network, tmp_path):
    def fail(source, target, reader):
        raise ValueError("no such\nnumber")

    peer = cells.Peer("other", "onnxruntime", "onnxruntime", fail)
    bench = cells.Bench(tmp_path / "cells.json", Steps(), software="1")
    found = bench.peer(network, peer)
    assert found["error"] == "fails with ValueError: no such"
    bench.software = "2"
    assert bench.peer(network, peer) is found  # does not depend on ours


def test_cell_text(bench):
    loss = {"top1": 1.25, "top1_interval": [-0.4, 2.9]}
    assert bench.cell({"loss": loss, "logits_snr_db": 24.18}) == "1.25 (-0.4 … 2.9) 24.2 dB"
    assert bench.cell({"loss": loss, "logits_snr_db": None}) == "1.25 (-0.4 … 2.9)"
    assert bench.cell({"error": "no"}) == "–"


def test_missing_files_are_said(bench, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", [
        "bench", "--networks", "glyphs", "--models", str(tmp_path), "--output",
        str(tmp_path / "out")])
    assert bench.main() == 0
    assert f"glyphs, not found: {tmp_path / 'glyphs.onnx'}" in capsys.readouterr().out


def test_run_twice(bench, capsys, monkeypatch, tmp_path):
    (tmp_path / "lenet_caffe_mnist.onnx").symlink_to(SHIPPED / "lenet5_mnist.onnx")
    (tmp_path / "mnist_dev.npz").symlink_to(SHIPPED / "mnist_1000.npz")
    monkeypatch.setattr("sys.argv", [
        "bench", "--networks", "lenet_caffe_mnist", "--models", str(tmp_path), "--data",
        str(tmp_path), "--output", str(tmp_path / "out"), "--widths", "8/8,8/8 static",
        "--methods", "plain,per channel,all", "--images", "30", "--calibration", "5"])
    assert bench.main() == 0
    first = capsys.readouterr().out
    assert "lenet_caffe_mnist: 30 images, float" in first
    assert "8/8 static all: static precision has one format for all weights" in first
    stored = json.loads((tmp_path / "out" / "cells.json").read_text())["cells"]
    assert len(stored) == 4
    assert bench.main() == 0
    assert "quantize" not in capsys.readouterr().out
    assert "| 8/8 |" in (tmp_path / "out" / "table.md").read_text()


def test_unknown_name(bench, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "--methods", "magic"])
    with pytest.raises(SystemExit) as caught:
        bench.main()
    assert caught.value.code == 2
    assert "--methods must be of plain, " in capsys.readouterr().err


def test_figure(bench, tmp_path):
    bench.draw({"net": {"float": 0.6, "8/8 static": 0.01, "8/8 dynamic": 0.58}},
               tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0xc0, 0x50, 0x4d), (0x3b, 0x75, 0xaf)} <= colors


def test_calibration_and_evaluation_images_are_disjoint(network):
    part = network.dataset
    calibration = part.calibration.read(range(len(part.calibration)))
    evaluation = part.evaluation.read(range(network.count))
    assert not any(np.array_equal(one, two) for one in calibration for two in evaluation)
