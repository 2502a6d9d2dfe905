"""Give all pairs random inputs; none may differ."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


@cocotb.test
async def test_same(dut):
    names = cocotb.plusargs["names"].split(";")
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 0
    for cycle in range(4000):
        dut.noise.value = random.getrandbits(256)
        dut.writes.value = cycle >= 400  # initial contents are read before
        await RisingEdge(dut.clk)
        differs = int(dut.differs.value) if cycle >= 16 else 0  # before the first product: anything
        assert not differs, f"in cycle {cycle} these differ: " + ", ".join(
            name for bit, name in enumerate(names) if differs >> bit & 1)
