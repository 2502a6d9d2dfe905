"""A run of a program in a bench: its segments on the accelerator, its host steps in between."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cocotb.triggers import ClockCycles

from compiler.host import HostStep

from .control import Control, Ended
from .trace import read_beats


__all__ = (
    "DramAccess",
    "run_steps",
)


Start = Callable[[], Awaitable[Ended]]


class DramAccess:
    """The DRAM of ``rtl/dram.sv`` as the host sees it, between runs.

    Parameters
    ----------
    dut
        Handle of the top module.
    path : Path
        File ``+host``.
    width : int
        Bytes of a beat.
    """

    def __init__(self, dut, path: Path, width: int) -> None:
        self._dut = dut
        self._path = path
        self._width = width
        dut.host_access.value = 0

    async def read(self, address: int, size: int) -> bytes:
        """Return bytes; address and size are multiples of a beat."""
        await self._access(1, address, size)
        return read_beats(self._path, self._width)

    async def write(self, address: int, data: bytes) -> None:
        """Write bytes; address and size are multiples of a beat."""
        beats = [data[n:n + self._width][::-1] for n in range(0, len(data), self._width)]
        self._path.write_bytes(b"".join(beats))
        await self._access(2, address, len(data))

    async def _access(self, kind: int, address: int, size: int) -> None:
        self._dut.host_first.value = address // self._width
        self._dut.host_last.value = (address + size) // self._width
        self._dut.host_access.value = kind
        await ClockCycles(self._dut.clk, 4)
        self._dut.host_access.value = 0
        await ClockCycles(self._dut.clk, 4)


async def run_steps(
    control: Control, steps: Sequence[Mapping[str, Any]], program: int, regions: Sequence[int],
    memory, start: Start, layers: Sequence[int],
) -> dict[str, Any]:
    """Run one image.

    Parameters
    ----------
    control : Control
        Registers.
    steps : sequence of mapping
        What :func:`sim.memory.job_steps` returns.
    program : int
        Address of the program image.
    regions : sequence of int
        Addresses of the regions.
    memory
        Has ``read(address, size)`` and ``write(address, data)``, to be awaited.
    start : callable
        Starts the accelerator and waits; returns how the run ended.
    layers : sequence of int
        Layers whose counters are read.

    Returns
    -------
    dict
        What :meth:`Control.results` returns, of the last segment that ran; ``cycles``,
        ``seconds``, ``cpu_seconds`` and ``counters`` are sums over all. ``reason``, ``segment``
        (number of that segment), ``segment_cycles`` (cycles of each) and ``host`` (hex of what each
        step of the host wrote).
    """
    total: dict[str, Any] = {"seconds": 0.0, "cpu_seconds": 0.0}
    cycles: list[int] = []
    host: list[str] = []
    counters: list[list] = []
    for step in steps:
        if "host" in step:
            host.append((await _host(HostStep.from_json(step["host"]), regions, memory)).hex())
            continue
        await control.configure(
            program=program + step["segment"], regions=dict(enumerate(regions)))
        ended = await start()
        total |= {
            "reason": ended.reason, "segment": len(cycles),
            "seconds": total["seconds"] + ended.seconds,
            "cpu_seconds": total["cpu_seconds"] + ended.cpu_seconds,
        }
        if ended.reason not in ("interrupt", "timeout"):
            break
        total |= await control.results(layers)
        cycles.append(total["cycles"])
        counters = _sum(counters, total["counters"])
        if ended.reason != "interrupt" or total["error"]:
            break
    return total | {
        "cycles": sum(cycles), "counters": counters, "segment_cycles": cycles, "host": host}


async def _host(step: HostStep, regions: Sequence[int], memory) -> bytes:
    """Do a step of the host."""
    source, result = step.source, step.result
    data = step.compute(await memory.read(
        regions[source.region] + source.address, step.size(source)))
    await memory.write(regions[result.region] + result.address, data)
    return data


def _sum(before: list[list], after: list[list]) -> list[list]:
    """Add counters, layer by layer and engine by engine."""
    if not before:
        return after
    return [
        [layer, engine, {name: old[name] + new[name] for name in new}]
        for (layer, engine, old), (_, _, new) in zip(before, after, strict=True)]
