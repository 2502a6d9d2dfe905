"""The table of networks in an SDRAM."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from arch.config import preset
from compiler import compile_model

from ..sim.sdram.test_external import spilling_model


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location(
        "bench_sdram", ROOT / "scripts" / "bench_sdram.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured(bench):
    program = compile_model(spilling_model(), replace(preset("tiny"), feature_depth=512))
    return bench.Measured("net", program, sdram=2_000, ideal=1_900, wide=1_000, traffic=3_000,
                          equal=3, images=4)


def test_row(bench, measured):
    cells = bench.row(measured, "ulx3s")
    assert len(cells) == len(bench.COLUMNS)
    # 2 KB of feature memory are in 1 block RAM, 8 KB of weight memory in 4.
    assert cells[2].endswith(" + 5")
    assert cells[3:] == [
        "208", "3 000", "2 000", "1 900", "95.0 %", "75.0 %", "1 000", "3 of 4 images"]


@pytest.mark.parametrize(("changes", "code"), [
    ({"equal": 4}, 0), ({}, 1), ({"equal": 4, "sdram": 2_200}, 1)])
def test_exit_code(bench, measured, monkeypatch, tmp_path, capsys, changes, code):
    for name in ("models/lenet_caffe_mnist.onnx", "data/mnist_dev.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(
        bench, "measure", lambda *arguments, **options: replace(measured, **changes))
    assert bench.main(["--shared", str(tmp_path)]) == code
    out = capsys.readouterr().out
    assert "not measured: needs" in " ".join(out.split())


def test_board_without_memory(bench, capsys):
    with pytest.raises(SystemExit):
        bench.main(["--board", "ecpix5"])
    assert "--board must have an SDRAM, not be ecpix5" in capsys.readouterr().err
