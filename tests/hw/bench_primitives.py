"""Give all pairs random inputs; expectations are that none differs."""

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
        await RisingEdge(dut.clk)
        differs = int(dut.differs.value)
        assert not differs, (
            f"cycle {cycle}: "
            + ", ".join(name for bit, name in enumerate(names) if differs >> bit & 1))
