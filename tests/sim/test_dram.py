"""The DRAM model against exact figures, at several latencies and bandwidths."""

from pathlib import Path

import numpy as np
import pytest

import sim
from sim.build import build
from sim.errors import SimulationError
from sim.runner import run_bench


RTL = Path(sim.__file__).parent / "rtl"

pytestmark = pytest.mark.verilator


@pytest.fixture(scope="module")
def dram():
    return build({"dram.sv": (RTL / "dram.sv").read_text()}, "dram", public=True)


@pytest.fixture
def bench(dram, tmp_path):
    """Run the bench on random contents."""
    image = tmp_path / "image.bin"
    image.write_bytes(np.random.default_rng(3).bytes(2048 * 8))

    def run(latency, rate, **options):
        return run_bench(dram, "tests.sim.bench_dram", tmp_path, plusargs={
            "image": image, "words": 2048, "writable": 528, "latency": latency, "rate": rate,
        }, **options)

    return run


@pytest.mark.parametrize(("latency", "rate"), [
    (30, 8 * 1024),         # one beat a cycle
    (1, 8 * 1024),
    (100, 3 * 1024),        # less than half
    (12, 16 * 1024),        # reads and writes at full speed together
    (30, 6553),             # a fraction of bytes
])
def test_dram(bench, latency, rate):
    assert bench(latency, rate) == 7
