"""The table of bandwidth, from numbers at hand."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location(
        "bench_bandwidth", ROOT / "scripts" / "bench_bandwidth.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _found(bench, right, **layers):
    """Return a network whose layers have (cycles, roofline, MACs), with two multipliers."""
    program = SimpleNamespace(
        layers=[SimpleNamespace(name=name, macs=each[2]) for name, each in layers.items()],
        roofline=[each[1] for each in layers.values()],
        config=SimpleNamespace(multipliers=2),
        prediction=SimpleNamespace(
            cycles=sum(each[0] for each in layers.values()), bytes=1000,
            layers=[SimpleNamespace(cycles=each[0]) for each in layers.values()]))
    return bench.Found(program, np.array(right, bool), 20.0)


def test_gain_is_that_of_layers_whose_roofline_is_bytes(bench):
    before = _found(bench, [1, 1, 1, 0], a=(90, 80, 160), b=(300, 250, 20), pool=(10, 9, 0))
    after = _found(bench, [1, 0, 1, 0], a=(90, 80, 160), b=(200, 150, 20), pool=(10, 9, 0))
    assert bench.slow_layers(before.program) == {"b"}
    rows, gain, lost = bench.rows("net", before, after)
    assert (gain, lost) == (1.5, 25.0)
    assert [len(row) for row in rows] == [len(bench.COLUMNS)] * 2
    assert rows[1][2:6] == ["300", "1.33", "200", "1.50"]
    assert rows[1][9].startswith("25.00 (-")
    assert rows[0][9] == ""


def test_gain_is_that_of_the_network_where_no_layer_is_slow(bench):
    before = _found(bench, [1, 1], a=(140, 80, 160))
    after = _found(bench, [1, 1], a=(100, 80, 160))
    rows, gain, lost = bench.rows("net", before, after)
    assert (gain, lost) == (1.4, 0.0)
    assert rows[1][3:6] == ["1.40", "none", ""]
