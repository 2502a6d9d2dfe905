"""Measure the DRAM model to the cycle; expectations come from +latency, +rate and +image."""

import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


BYTES = 8


def option(name):
    """Return a number from the command line."""
    return int(cocotb.plusargs[name])


def content(index):
    """Return a beat of the image file."""
    with Path(cocotb.plusargs["image"]).open("rb") as image:
        image.seek(BYTES * index)
        return int.from_bytes(image.read(BYTES), "big")


class Master:
    """Send requests as fast as possible and note the cycle of every transfer."""

    def __init__(self, dut, *, ready=lambda: 1):
        self.dut = dut
        self.reads, self.writes, self.data = [], [], []
        self.ar, self.aw, self.w, self.r, self.b = [], [], [], [], []
        self.cycle = 0
        self._ready = ready

    def read(self, index, beats, ident=0):
        self.reads.append({"arid": ident, "araddr": index * BYTES, "arlen": beats - 1})

    def write(self, index, values, ident=0, strobe=2**BYTES - 1):
        self.writes.append({"awid": ident, "awaddr": index * BYTES, "awlen": len(values) - 1})
        self.data += [
            {"wdata": value, "wstrb": strobe, "wlast": int(k == len(values) - 1)}
            for k, value in enumerate(values)
        ]

    async def start(self):
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        dut.rst.value = 1
        for name in ("arvalid", "awvalid", "wvalid", "rready", "bready"):
            getattr(dut, name).value = 0
        for side in ("ar", "aw"):
            getattr(dut, f"{side}size").value = 3
            getattr(dut, f"{side}burst").value = 1
        for _ in range(3):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        for _ in range(100):
            await RisingEdge(dut.clk)

    def _offer(self, queue, valid, taken):
        """Present the head of a queue of requests."""
        if taken:
            queue.pop(0)
        valid.value = int(bool(queue))
        for name, value in (queue[0] if queue else {}).items():
            getattr(self.dut, name).value = value

    async def run(self, beats, responses):
        """Run until so many read beats and write responses have come."""
        dut = self.dut
        sides = (("ar", self.reads), ("aw", self.writes), ("w", self.data))
        for side, queue in sides:
            self._offer(queue, getattr(dut, f"{side}valid"), False)
        dut.rready.value, dut.bready.value = self._ready(), self._ready()
        held = None
        while len(self.r) < beats or len(self.b) < responses:
            await RisingEdge(dut.clk)
            self.cycle += 1
            assert self.cycle < 100_000, (len(self.r), len(self.b))
            for side, queue in sides:
                valid = getattr(dut, f"{side}valid")
                taken = bool(valid.value) and bool(getattr(dut, f"{side}ready").value)
                if taken:
                    getattr(self, side).append(self.cycle)
                self._offer(queue, valid, taken)
            beat = tuple(
                int(getattr(dut, name).value) for name in ("rid", "rdata", "rresp", "rlast"))
            valid = bool(dut.rvalid.value)
            if held is not None:
                assert (valid, beat) == (True, held), "read beat withdrawn"
            held = beat if valid and not dut.rready.value else None
            if valid and dut.rready.value:
                self.r.append((self.cycle, *beat))
            if dut.bvalid.value and dut.bready.value:
                self.b.append((self.cycle, int(dut.bid.value), int(dut.bresp.value)))
            dut.rready.value, dut.bready.value = self._ready(), self._ready()


def cycles_for(beats):
    """Return the cycles from the first to the last of so many beats at +rate."""
    rate = option("rate")
    credit = BYTES * 1024 - 1 + rate
    cycle = last = 0
    for _ in range(beats):
        while credit < BYTES * 1024:
            cycle, credit = cycle + 1, credit + rate
        last, credit = cycle, credit - BYTES * 1024
        credit = min(credit, BYTES * 1024 - 1) + rate
        cycle += 1
    return last


@cocotb.test
async def test_read_latency(dut):
    """The first beat comes `latency` cycles after the address, the others at `rate`."""
    master = Master(dut)
    await master.start()
    master.read(5, 16, ident=1)
    await master.run(16, 0)
    assert master.r[0][0] - master.ar[0] == option("latency")
    assert master.r[-1][0] - master.r[0][0] == cycles_for(16)
    assert [beat[1:] for beat in master.r] == [(1, content(5 + k), 0, k == 15) for k in range(16)]


@cocotb.test
async def test_reads_back_to_back(dut):
    """Requests in flight hide the latency: nothing between the last beat and the next first."""
    master = Master(dut)
    await master.start()
    for k in range(24):
        master.read(16 * k, 16, ident=k % 2)
    await master.run(24 * 16, 0)
    assert master.r[0][0] - master.ar[0] == option("latency")
    assert master.r[-1][0] - master.r[0][0] == cycles_for(24 * 16)
    assert [beat[1:] for beat in master.r] == [
        (k // 16 % 2, content(k), 0, k % 16 == 15) for k in range(24 * 16)]


@cocotb.test
async def test_write_latency(dut):
    """The response comes `latency` cycles after the last beat; what was written reads back."""
    master = Master(dut)
    await master.start()
    values = [random.getrandbits(64) for _ in range(8)]
    master.write(option("writable"), values, ident=1)
    await master.run(0, 1)
    # Data waits in the write buffer for the bandwidth.
    assert master.b == [(max(master.w[-1], master.w[0] + cycles_for(8)) + option("latency"), 1, 0)]
    master.read(option("writable"), 8)
    await master.run(8, 1)
    assert [beat[2] for beat in master.r] == values


@cocotb.test
async def test_writes_back_to_back(dut):
    """Writes in flight hide the latency."""
    master = Master(dut)
    await master.start()
    for k in range(12):
        master.write(option("writable") + 16 * k, [k] * 16)
    await master.run(0, 12)
    assert master.b[-1][0] - master.w[0] == cycles_for(12 * 16) + option("latency")
    assert int(dut.write_beats.value) == 12 * 16


@cocotb.test
async def test_shared_bandwidth(dut):
    """Reads and writes together take as long as one of them of the same total."""
    master = Master(dut)
    await master.start()
    for k in range(8):
        master.write(option("writable") + 16 * k, [k] * 16)
        master.read(16 * k, 16)
    await master.run(128, 8)
    spent = max(master.r[-1][0], master.b[-1][0] - option("latency")) - master.w[0]
    if option("rate") >= 2 * BYTES * 1024:
        assert spent <= 128 + option("latency")
    else:
        # Until the first read is due, only writes run.
        assert cycles_for(256) <= spent <= cycles_for(256) + option("latency")


@cocotb.test
async def test_random(dut):
    """Random strobes, lengths, pauses: equal to a list of beats, in order."""
    master = Master(dut, ready=lambda: random.getrandbits(1))
    await master.start()
    for k in range(40):
        index, count = option("writable") + 16 * k, random.randint(1, 16)
        before, after = ([random.getrandbits(64) for _ in range(count)] for _ in range(2))
        strobe = random.getrandbits(BYTES)
        mask = sum(255 << 8 * lane for lane in range(BYTES) if strobe >> lane & 1)
        master.write(index, before)
        master.write(index, after, strobe=strobe)
        await master.run(len(master.r), len(master.b) + 2)
        master.read(index, count)
        await master.run(len(master.r) + count, len(master.b))
        assert [beat[2] for beat in master.r[-count:]] == [
            new & mask | old & ~mask for old, new in zip(before, after, strict=True)], k


@cocotb.test
async def test_refused(dut):
    """Outside the memory and in its protected part: SLVERR, for that burst only."""
    master = Master(dut)
    await master.start()
    master.read(option("words") - 1, 1)
    master.read(option("words"), 1)
    master.write(option("writable") - 1, [7, 8])
    master.write(option("words"), [9])
    master.write(option("writable"), [3])
    await master.run(2, 3)
    assert [beat[3] for beat in master.r] == [0, 2]
    assert [response[2] for response in master.b] == [2, 2, 0]
    master.read(option("writable") - 1, 2)
    await master.run(4, 3)
    assert [beat[2] for beat in master.r[2:]] == [content(option("writable") - 1), 3]


@cocotb.test(skip="burst" not in getattr(cocotb, "plusargs", {}))
async def test_bad_burst(dut):
    """A burst that crosses 4 KiB stops the simulation."""
    master = Master(dut)
    await master.start()
    master.read(4096 // BYTES - 1, 2)
    await master.run(2, 0)
