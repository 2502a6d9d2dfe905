"""The accelerator's control port, driven from a cocotb bench."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cocotb.clock import Clock
from cocotb.triggers import First, RisingEdge

from arch.isa import Engine
from arch.registers import COUNTERS, register


__all__ = (
    "AxiLite",
    "Control",
    "Ended",
)


class Ended(NamedTuple):
    """How a run ended.

    Parameters
    ----------
    reason : str
        Name of the signal that rose.
    seconds, cpu_seconds : float
        Time that it took the simulator: elapsed, and of the processor, which other programs on a
        busy machine change little.
    """

    reason: str
    seconds: float
    cpu_seconds: float


class AxiLite:
    """Master of an AXI4-Lite port, one transfer at a time.

    Parameters
    ----------
    dut
        Handle of the module that has the port.
    clk
        Handle of its clock.
    prefix : str
        What the names of the port's signals begin with.
    timeout : int
        Cycles after which a transfer that does not end raises ``TimeoutError``.
    """

    def __init__(self, dut, clk, *, prefix: str = "s_axi__", timeout: int = 10_000) -> None:
        self._clk = clk
        self._timeout = timeout
        self._ports = {
            name: getattr(dut, prefix + name) for name in (
                "awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready",
                "bresp", "bvalid", "bready", "araddr", "arvalid", "arready",
                "rdata", "rresp", "rvalid", "rready")
        }
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
            self._ports[name].value = 0
        self._ports["wstrb"].value = 0xF

    async def _transfer(self, channels: Iterable[str], source: bool) -> None:
        """Raise our side of some channels, and lower each after its transfer."""
        mine, theirs = ("valid", "ready") if source else ("ready", "valid")
        waiting = list(channels)
        for channel in waiting:
            self._ports[channel + mine].value = 1
        for _ in range(self._timeout):
            await RisingEdge(self._clk)
            for channel in list(waiting):
                if self._ports[channel + theirs].value:
                    self._ports[channel + mine].value = 0
                    waiting.remove(channel)
            if not waiting:
                return
        raise TimeoutError(f"Control port: no transfer on {waiting} in {self._timeout} cycles")

    async def write(self, address: int, value: int) -> None:
        """Write a register; ``OSError`` if the port refuses."""
        self._ports["awaddr"].value = address
        self._ports["wdata"].value = value
        await self._transfer(("aw", "w"), source=True)
        await self._transfer(("b",), source=False)
        if self._ports["bresp"].value != 0:
            raise OSError(f"Control port: write to {address:#04x} was refused")

    async def read(self, address: int) -> int:
        """Read a register; ``OSError`` if the port refuses."""
        self._ports["araddr"].value = address
        await self._transfer(("ar",), source=True)
        await self._transfer(("r",), source=False)
        if self._ports["rresp"].value != 0:
            raise OSError(f"Control port: read of {address:#04x} was refused")
        return int(self._ports["rdata"].value)


class Control:
    """Registers of the accelerator by name, and one run for one image.

    Parameters
    ----------
    dut
        Handle of the top module, with ``clk``, ``rst``, ``interrupt`` and the port ``s_axi``.
    """

    def __init__(self, dut) -> None:
        self._dut = dut
        self._port = AxiLite(dut, dut.clk)

    async def reset(self, cycles: int = 4) -> None:
        """Start the clock and reset the design."""
        Clock(self._dut.clk, 10, unit="ns").start()
        self._dut.rst.value = 1
        for _ in range(cycles):
            await RisingEdge(self._dut.clk)
        self._dut.rst.value = 0
        await RisingEdge(self._dut.clk)

    async def write(self, name: str, value: int) -> None:
        """Write the register called ``name``."""
        await self._port.write(register(name).offset, value)

    async def read(self, name: str) -> int:
        """Read the register called ``name``."""
        return await self._port.read(register(name).offset)

    async def read_wide(self, low: str, high: str) -> int:
        """Read two registers as one number of 64 bits."""
        return await self.read(low) | await self.read(high) << 32

    async def configure(self, *, program: int, regions: Mapping[int, int]) -> None:
        """Write the addresses of program and regions."""
        await self.write("PROGRAM", program)
        for region, address in regions.items():
            await self.write(f"REGION_{int(region)}", address)

    async def run(self, *flags, free: bool = False) -> Ended:
        """Start, and wait for the interrupt or one of some other signals to rise.

        Parameters
        ----------
        flags
            Handles of the other signals.
        free : bool
            Whether the top module, which then is ``rtl/top.sv``, runs the clock meanwhile.
        """
        signals = (self._dut.interrupt, *flags)
        await self.write("CONTROL", 0b11)
        begin, cpu_begin = time.perf_counter(), time.process_time()
        # A program that is refused at once may have ended before the response came.
        if not any(signal.value for signal in signals):
            if free:
                self._dut.free_run.value = 1
            await First(*(RisingEdge(signal) for signal in signals))
            if free:
                self._dut.free_run.value = 0
        seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin
        await RisingEdge(self._dut.clk)
        name = next(signal._name for signal in signals if signal.value)
        return Ended(name, seconds, cpu_seconds)

    async def results(self, layers: Iterable[int]) -> dict[str, Any]:
        """Read status, error, cycles and the counters of some layers; clear the interrupt."""
        results = {
            "status": await self.read("STATUS"),
            "error": await self.read("ERROR"),
            "error_index": await self.read("ERROR_INDEX"),
            "error_done": await self.read("ERROR_DONE"),
            "cycles": await self.read_wide("CYCLES_LO", "CYCLES_HI"),
            "counters": [
                [layer, engine.name.lower(), await self._counters(layer, engine)]
                for layer in layers for engine in Engine
            ],
        }
        await self.write("STATUS", 0b10)
        return results

    async def _counters(self, layer: int, engine: Engine) -> dict[str, int]:
        await self.write("SELECT", layer | engine << 12)
        return {name: await self.read(f"COUNT_{name.upper()}") for name in COUNTERS}
