"""The table of networks: what is asked, what is missed, what is kept."""

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from dynafix.terminal import Terminal


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    name = "bench_accelerator"
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture
def case(bench):
    return bench.Case("LeNet-5", "lenet5_mnist", "tiny", utilization=0.5, ratio=2.0, kilobytes=600,
                      speed=0.004)


@pytest.fixture
def steps():
    return Terminal(io.StringIO(), quiet=True)


def _found(**rtl):
    predicted = {"macs": 8000, "multipliers": 8, "cycles": 1250, "roofline": 1000, "bytes": 2048}
    seen = {"difference": None, "seconds": 1.0, "cpu_seconds": 1.0, **rtl}
    return {"predicted": predicted, **({"rtl": seen} if rtl else {})}


def test_all_met(bench, case):
    assert bench.misses(case, _found()) == []
    cells = dict(zip([column.title for column in bench.COLUMNS], bench.row(case, _found())))
    assert cells["predicted"] == "1 250"
    assert (cells["RTL"], cells["model"], cells["util."], cells["DRAM KB"], cells[""]) == (
        "–", "–", "0.800", "2.0", "✓")


def test_rtl_counts_where_it_has_run(bench, case):
    found = _found(cycles=1280, bytes=4096)
    cells = bench.row(case, found)
    assert cells[2:6] == ["1 250", "1 280", "-2.34 %", "0.781"]
    assert bench.misses(case, found) == []


def test_utilization_tells_what_could_be(bench, case):
    found = _found()
    found["predicted"]["products"] = 2
    assert bench.row(case, found)[5] == "0.800 of 2"


@pytest.mark.parametrize(("rtl", "missed"), [
    ({"cycles": 1290, "bytes": 0}, ["model against RTL"]),
    ({"cycles": 2001, "bytes": 0}, ["utilization", "cycles ÷ roofline", "model against RTL"]),
    ({"cycles": 1250, "bytes": 0, "cpu_seconds": 2.5}, ["speed of the simulation"]),
    ({"cycles": 1250, "bytes": 601 * 1024}, ["DRAM traffic"]),
    ({"cycles": 1250, "bytes": 0, "difference": "layer 1"}, ["RTL differs from numpy"]),
])
def test_misses(bench, case, rtl, missed):
    assert bench.misses(case, _found(**rtl)) == missed
    assert bench.row(case, _found(**rtl))[-1] == f"✗ {', '.join(missed)}"


def test_network_that_cannot_run_says_why(bench, case, steps, tmp_path):
    found = bench.measure(case, tmp_path, tmp_path, rtl=False, steps=steps)
    assert bench.row(case, found)[-1] == (
        f"does not run: lenet5_mnist.onnx is neither in {tmp_path} nor in {tmp_path}")
    wide = bench.Case("wide", "net", changes={"data_bits": 12})
    assert "data_bits must be 8 or 16, not 12" in bench.measure(
        wide, tmp_path, tmp_path, rtl=False, steps=steps)["reason"]
    (tmp_path / "lenet5_mnist.onnx").write_bytes(b"no model")
    found = bench.measure(case, tmp_path, tmp_path, rtl=False, steps=steps)
    assert found["reason"].startswith("not")


def test_prediction_is_kept(bench, case, steps, tmp_path, lenet, monkeypatch):
    first = bench.measure(case, lenet.parent, tmp_path, rtl=False, steps=steps)
    assert first["predicted"]["multipliers"] == 8

    def compiled(*_):
        raise AssertionError("compiled again")

    monkeypatch.setattr(bench, "_compiled", compiled)
    assert bench.measure(case, lenet.parent, tmp_path, rtl=False, steps=steps) == first
    monkeypatch.setattr(bench, "_software", lambda: b"changed")
    with pytest.raises(AssertionError, match="compiled again"):
        bench.measure(case, lenet.parent, tmp_path, rtl=False, steps=steps)


def test_rtl_is_kept_until_the_hardware_changes(bench, case, steps, tmp_path, lenet, monkeypatch):
    runs = []

    def simulated(*_):
        runs.append(1)
        return {"cycles": 1, "bytes": 1, "counters": {}, "difference": None}

    monkeypatch.setattr(bench, "_simulated", simulated)
    for _ in range(2):
        found = bench.measure(case, lenet.parent, tmp_path, rtl=True, steps=steps)
    assert (found["rtl"]["cycles"], len(runs)) == (1, 1)
    assert "rtl" in bench.measure(case, lenet.parent, tmp_path, rtl=False, steps=steps)
    monkeypatch.setattr(bench, "_hardware", lambda case: "changed")
    assert "rtl" not in bench.measure(case, lenet.parent, tmp_path, rtl=False, steps=steps)
    bench.measure(case, lenet.parent, tmp_path, rtl=True, steps=steps)
    assert len(runs) == 2


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize("title", ["ResNet-8", "DS-CNN", "peers_small_cnn"])
def test_model_agrees_with_rtl(bench, shared_models, steps, tmp_path, title):
    case = next(case for case in bench.CASES if case.title == title)
    found = bench.measure(case, shared_models, tmp_path, rtl=True, steps=steps)
    assert found["rtl"]["difference"] is None
    assert found["predicted"]["cycles"] == pytest.approx(
        found["rtl"]["cycles"], rel=bench.MODEL_ERROR)
    assert np.isfinite(found["predicted"]["roofline"])
