"""One run after the other against cocotbext-axi's memory, with faults.

The file +job has ``memory`` (file of its contents), ``program``, ``steps``, ``regions``
(addresses), ``output`` (address and size), ``limit``, ``max_cycles``, ``results`` (a file that gets
a line of JSON for each run) and ``runs``. Each run may have

``patches``
    addresses and bytes, in hex, that differ from the memory's contents;
``read``, ``write``
    number of a beat read or of a burst written since the start, and the response that it gets;
``reset_at``
    cycles after the start (of the first segment) in which the accelerator is reset; the run ends
    then;
``reset``
    whether to reset before the run;
``limit``
    cycles after which the accelerator is to stop by itself;
``pause``, ``reorder``
    probability of a pause on each channel; whether reads of different identifiers overtake.
"""

import json
import random
from collections import deque
from pathlib import Path

import cocotb
from cocotb.triggers import ClockCycles, First, RisingEdge
from cocotbext.axi import AxiBus, AxiRamRead, AxiRamWrite, AxiResp

from sim.bench_axi import RamAccess, pauses
from sim.control import Control, Ended
from sim.host import run_steps


__all__ = (
    "run_faults",
)


class _Read(AxiRamRead):
    """Answers reads; may interleave identifiers, and gives one beat a chosen response."""

    def arm(self, run, seed: int) -> None:
        self.fault, self.beats, self.failed = run.get("read"), 0, None
        self.reorder, self.random = run.get("reorder", False), random.Random(seed)

    async def _process_read(self):
        waiting: dict[int, deque] = {}
        while True:
            while not waiting or not self.ar_channel.empty():
                ar = await self.ar_channel.recv()
                waiting.setdefault(int(ar.arid), deque()).append(self._burst(ar))
            number = self.random.choice(list(waiting)) if self.reorder else next(iter(waiting))
            beats = waiting[number]
            beat = beats[0].popleft()
            if not beats[0]:
                beats.popleft()
            if not beats:
                del waiting[number]
            await self.r_channel.send(self._answer(number, *beat))

    def _burst(self, ar) -> deque:
        """Return address and last flag of each beat."""
        size = self.byte_lanes
        start, count = int(ar.araddr) // size * size, int(ar.arlen) + 1
        assert start % 4096 + count * size <= 4096, "a read crosses a page"
        return deque((start + n * size, n == count - 1) for n in range(count))

    def _answer(self, number: int, address: int, last: bool):
        beat = self.r_channel._transaction_obj()
        beat.rid, beat.rlast, beat.rresp = number, last, AxiResp.OKAY
        if address + self.byte_lanes <= self.size:
            beat.rdata = int.from_bytes(self.read(address, self.byte_lanes), "little")
        else:
            beat.rdata, beat.rresp = 0, AxiResp.DECERR
        if self.fault and self.fault[0] == self.beats:
            beat.rresp, self.failed = AxiResp(self.fault[1]), address
        self.beats += 1
        return beat


class _Write(AxiRamWrite):
    """Answers writes, and gives one burst a chosen response."""

    def arm(self, run) -> None:
        self.fault, self.bursts = run.get("write"), 0
        if not hasattr(self, "_send"):
            self._send, self.b_channel.send = self.b_channel.send, self._answer

    async def _write(self, address, data):
        if address + len(data) > self.size:
            raise ValueError("outside the memory")
        self.write(address, data)

    async def _answer(self, response):
        if self.fault and self.fault[0] == self.bursts:
            response.bresp = AxiResp(self.fault[1])
        self.bursts += 1
        await self._send(response)


def _set_pauses(read: _Read, write: _Write, run, seed: int) -> None:
    channels = (read.ar_channel, read.r_channel, write.aw_channel, write.w_channel,
                write.b_channel)
    for number, channel in enumerate(channels):
        channel.set_pause_generator(pauses(f"{seed} {number}", run.get("pause", 0.0)))


async def _reset(dut) -> None:
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


@cocotb.test
async def run_faults(dut) -> None:
    """Arm, start, wait for the interrupt or the limit, read the registers; a line for each run."""
    job = json.loads(Path(cocotb.plusargs["job"]).read_text())
    contents = Path(job["memory"]).read_bytes()
    bus = AxiBus.from_prefix(dut, "m_axi", bus_separator="__")
    control = Control(dut)
    write = _Write(bus.write, dut.clk, dut.rst, size=len(contents))
    read = _Read(bus.read, dut.clk, dut.rst, size=len(contents), mem=write.mem)
    write.arm({})
    read.arm({}, 0)
    await control.reset()
    with Path(job["results"]).open("w") as results:
        for number, run in enumerate(job["runs"]):
            write.write(0, contents)
            for address, data in run.get("patches", ()):
                write.write(address, bytes.fromhex(data))
            read.arm(run, number)
            write.arm(run)
            _set_pauses(read, write, run, number)
            if run.get("reset"):
                await _reset(dut)
            record = await _run(dut, control, job, run, write)
            record["failed"] = read.failed
            address, size = job["output"]
            record["output"] = write.read(address, size).hex()
            results.write(json.dumps(record) + "\n")
            results.flush()


async def _run(dut, control: Control, job, run, memory: _Write) -> dict:
    limit = run.get("reset_at") or job["max_cycles"]

    async def start() -> Ended:
        await control.write("LIMIT", run.get("limit", job["limit"]))
        await control.write("CONTROL", 0b11)
        if not dut.interrupt.value:
            await First(RisingEdge(dut.interrupt), ClockCycles(dut.clk, limit))
        if run.get("reset_at"):
            await _reset(dut)
            return Ended("reset", 0.0, 0.0)
        if not dut.interrupt.value:
            await _reset(dut)
            return Ended("hang", 0.0, 0.0)
        return Ended("interrupt", 0.0, 0.0)

    return await run_steps(
        control, job["steps"], job["program"], job["regions"], RamAccess(memory), start, ())
