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

    def run(latency, rate, test_filter=None, **plusargs):
        return run_bench(dram, "tests.sim.bench_dram", tmp_path, plusargs={
            "image": image, "words": 2048, "writable": 528, "latency": latency, "rate": rate,
            **plusargs,
        }, test_filter=test_filter)

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


def test_protocol_is_checked(bench):
    with pytest.raises(SimulationError, match="burst of 2 beats at 00000ff8 crosses 4 KiB"):
        bench(30, 8192, "test_bad_burst", burst=1)


def test_no_test_is_an_error(bench):
    with pytest.raises(SimulationError, match=r"^Bench tests\.sim\.bench_dram ran no test$"):
        bench(30, 8192, "test_of_nothing")


def test_bench_that_does_not_import(dram, tmp_path):
    with pytest.raises(SimulationError, match="No module named 'bench_of_nothing'"):
        run_bench(dram, "bench_of_nothing", tmp_path)
