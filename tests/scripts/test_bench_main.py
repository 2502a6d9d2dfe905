"""Figures against targets."""

import importlib.util
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location(
        "bench_main", ROOT / "scripts" / "bench_main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _results(**changes):
    layer = {"engines_equal": True}
    return {
        "float_accuracy": 0.872, "quantized_accuracy": 0.865, "static_accuracy": None,
        "images_evaluated": 726, "images_simulated": 10, "engines_equal": True,
        "cycles_per_image": 150_000, "roofline_cycles": 100_000, "predicted_cycles": 149_000,
        "utilization": 0.65, "dram_bytes": 90_000, "simulated_macs_per_second": 25e6,
        "simulated_cycles_per_second": 300e3, "layers": [layer, layer], **changes,
    }


def _missed(bench, results, wide=0.872):
    case = bench.Case(
        "net", Path("m"), Path("d"), loss_8=1.0, loss_16=0.0, float_accuracy=87.2,
        utilization=60, speed=20e6)
    return {line.name for line in bench.figures(case, results, wide) if not line.met}


def test_all_met(bench):
    assert _missed(bench, _results()) == set()


@pytest.mark.parametrize(("changes", "name"), [
    ({"float_accuracy": 0.8730}, "accuracy, float"),
    ({"quantized_accuracy": 0.861}, "accuracy, 8/8 dynamic"),
    ({"predicted_cycles": 134_000}, "model's prediction"),
    ({"utilization": 0.59}, "utilization"),
    ({"simulated_macs_per_second": 19e6}, "simulation, MAC/s"),
    ({"engines_equal": False}, "numpy = onnxruntime = RTL"),
    ({"layers": [{"engines_equal": False}]}, "numpy = onnxruntime = RTL"),
])
def test_one_missed(bench, changes, name):
    results = _results(**changes)
    assert _missed(bench, results, wide=results["float_accuracy"]) == {name}


def test_wide_accuracy_missed(bench):
    assert _missed(bench, _results(), wide=0.871) == {"accuracy, 16/16 dynamic"}


def test_line(bench):
    assert str(bench.Figure("roofline", "12")) == f"  {'roofline':<34}{'12':>24}"
    assert str(bench.Figure("speed", "1", "at least 2", False)).endswith("MISSED  (at least 2)")
