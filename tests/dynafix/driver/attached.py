"""The simulated accelerator as blocking code sees it: registers, memory, the interrupt."""

from pathlib import Path

import cocotb
from cocotb.task import resume
from cocotb.triggers import ClockCycles, First, RisingEdge

from sim.control import AxiLite, Control
from sim.host import DramAccess


__all__ = ("Attached",)


class Attached:
    """Registers and DRAM of ``rtl/top.sv``, for functions that run by ``cocotb.task.bridge``.

    Parameters
    ----------
    dut
        Handle of the top module.
    width : int
        Bytes of a beat.
    """

    def __init__(self, dut, width):
        self._dut = dut
        self._memory = DramAccess(dut, Path(cocotb.plusargs["host"]), width)
        self._port = AxiLite(dut, dut.clk)
        self.read = resume(self._port.read)
        self.write = resume(self._port.write)
        self.load = resume(self._memory.read)
        self.store = resume(self._memory.write)
        self.wait_cycles = resume(self._wait_cycles)
        self.wait_interrupt = resume(self._wait_interrupt)
        self.interrupt = resume(self._interrupt)

    @classmethod
    async def reset(cls, dut, width):
        """Start the clock, reset the design, and return what is attached to it."""
        await Control(dut).reset()
        return cls(dut, width)

    async def _wait_cycles(self, cycles):
        await ClockCycles(self._dut.clk, cycles)

    async def _interrupt(self):
        """Return whether the interrupt is raised."""
        return bool(self._dut.interrupt.value)

    async def _wait_interrupt(self):
        """Let the clock run freely until the interrupt; return whether it came."""
        dut = self._dut
        if not dut.interrupt.value:
            dut.free_run.value = 1
            await First(RisingEdge(dut.interrupt), RisingEdge(dut.timeout))
            dut.free_run.value = 0
            await RisingEdge(dut.clk)
        return bool(dut.interrupt.value)
