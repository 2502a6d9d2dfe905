"""The accelerator against cocotbext-axi's memory, with random pauses on all five channels.

The file +job has what :mod:`sim.bench_images` needs and ``memory`` (file of its contents),
``outputs`` (addresses), ``output_size``, ``max_cycles``, ``pause`` (probability of a pause on each
channel in a cycle) and ``seed``. Rows are traced in Python, in the format of ``rtl/top.sv``.
"""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from sim.control import Control, Ended
from sim.host import run_steps


__all__ = (
    "RamAccess",
    "pauses",
    "run_images",
)


_HELD = {
    "aw": ("awid", "awaddr", "awlen", "awsize", "awburst"),
    "w": ("wdata", "wstrb", "wlast"),
    "ar": ("arid", "araddr", "arlen", "arsize", "arburst"),
}


class RamAccess:
    """A memory of cocotbext-axi as the host sees it."""

    def __init__(self, ram) -> None:
        self._ram = ram

    async def read(self, address: int, size: int) -> bytes:
        """Return bytes."""
        return bytes(self._ram.read(address, size))

    async def write(self, address: int, data: bytes) -> None:
        """Write bytes."""
        self._ram.write(address, data)


def pauses(seed: str, probability: float) -> Iterator[bool]:
    """Yield pauses with a probability, in runs of random lengths."""
    rng = random.Random(seed)
    while True:
        paused = rng.random() < probability
        yield from itertools.repeat(paused, rng.choice((1, 1, 1, 2, 4, 16)))


def _memory(dut, job) -> AxiRam:
    contents = Path(job["memory"]).read_bytes()
    ram = AxiRam(
        AxiBus.from_prefix(dut, "m_axi", bus_separator="__"), dut.clk, dut.rst,
        size=len(contents))
    ram.write(0, contents)
    channels = {
        "aw": ram.write_if.aw_channel, "w": ram.write_if.w_channel, "b": ram.write_if.b_channel,
        "ar": ram.read_if.ar_channel, "r": ram.read_if.r_channel,
    }
    for name, channel in channels.items():
        channel.set_pause_generator(pauses(f"{job['seed']}{name}", job["pause"]))
    return ram


async def _check_held(dut, channel: str) -> None:
    """Check that a request of the accelerator stays until it is taken."""
    valid = getattr(dut, f"m_axi__{channel}valid")
    ready = getattr(dut, f"m_axi__{channel}ready")
    payload = [getattr(dut, f"m_axi__{name}") for name in _HELD[channel]]
    held = None
    while True:
        await RisingEdge(dut.clk)
        now = [int(signal.value) for signal in payload] if valid.value else None
        assert held is None or now == held, f"{channel}: {held} became {now} before its transfer"
        held = now if not ready.value else None


async def _trace(dut, path: str) -> None:
    """Write every row that CALC writes, a line each."""
    digits = len(dut.trace__write_data) // 4
    with Path(path).open("w", buffering=1) as rows:
        while True:
            await RisingEdge(dut.clk)
            if dut.trace__write_valid.value:
                number, data = int(dut.trace__write_row.value), int(dut.trace__write_data.value)
                rows.write(f"{number:05x} {data:0{digits}x}\n")


async def _watchdog(dut, cycles: int) -> None:
    """Stop the test when nothing on the bus moves any more."""
    idle = 0
    while idle < cycles:
        await RisingEdge(dut.clk)
        moved = dut.m_axi__rvalid.value or dut.m_axi__bvalid.value or dut.trace__write_valid.value \
            or dut.s_axi__awvalid.value or dut.s_axi__arvalid.value
        idle = 0 if moved else idle + 1
    raise TimeoutError(f"nothing moved in {cycles} cycles")


@cocotb.test
async def run_images(dut) -> None:
    """Reset, start, wait and read for one image after the other."""
    job = json.loads(Path(cocotb.plusargs["job"]).read_text())
    control = Control(dut)
    ram = _memory(dut, job)
    await control.reset()
    for channel in _HELD:
        cocotb.start_soon(_check_held(dut, channel))
    cocotb.start_soon(_trace(dut, job["rows"]))
    cocotb.start_soon(_watchdog(dut, job["max_cycles"]))
    counts = []

    async def start() -> Ended:
        ended = await control.run()
        counts.append(Path(job["rows"]).read_text().count("\n"))
        return ended

    with Path(job["results"]).open("w") as results:
        for image, regions in enumerate(job["regions"]):
            record = await run_steps(
                control, job["steps"], job["program"], regions, RamAccess(ram), start,
                job["layers"])
            record["rows"], counts = counts, []
            record["output"] = ram.read(job["outputs"][image], job["output_size"]).hex()
            results.write(json.dumps(record) + "\n")
            results.flush()
            if record["error"]:
                return
