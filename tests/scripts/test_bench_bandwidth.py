"""The table of bandwidth, from numbers at hand."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location(
        "bench_bandwidth", ROOT / "scripts" / "bench_bandwidth.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _program(cycles):
    layers = [SimpleNamespace(name=name) for name in cycles]
    predicted = [SimpleNamespace(cycles=value) for value in cycles.values()]
    return SimpleNamespace(layers=layers, prediction=SimpleNamespace(
        cycles=sum(cycles.values()), bytes=1000, layers=predicted))


def test_gain_is_that_of_slow_layers(bench):
    programs = _program({"a": 100, "b": 300}), _program({"a": 100, "b": 200})
    scores = [{"quantized_accuracy": value, "images_evaluated": 400} for value in (0.9, 0.896)]
    rows, gain, lost = bench.rows("net", programs, scores, {"b"})
    assert gain == 1.5
    assert round(lost, 6) == 0.4
    assert [len(row) for row in rows] == [len(bench.COLUMNS)] * 2
    assert rows[1][2:6] == ["300", "1.33", "200", "1.50"]
