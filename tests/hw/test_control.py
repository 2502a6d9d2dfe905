import random

import pytest

from arch.config import preset
from arch.isa import ISA_VERSION, MAGIC, Engine
from arch.registers import COUNTERS, REGISTERS, Error, register
from hw.control import FETCH_SOURCE, Control, CycleCounter
from hw.counters import CounterBank

from .bench import simulate


CONFIG = preset("ecp5_85f")


class Host:
    """AXI4-Lite master; with a generator of random numbers it stalls."""

    def __init__(self, ctx, dut, rng=None):
        self.ctx, self.port, self.rng = ctx, dut.s_axi, rng

    async def pause(self):
        while self.rng and self.rng.random() < 0.5:
            await self.ctx.tick()

    async def write(self, name, word, strobes=0xF):
        await self.write_at(register(name).offset, word, strobes)

    async def write_at(self, offset, word, strobes=0xF):
        ctx, port = self.ctx, self.port
        ctx.set(port.awaddr, offset)
        ctx.set(port.wdata, word)
        ctx.set(port.wstrb, strobes)
        left = ["awvalid", "wvalid"]
        if self.rng:
            self.rng.shuffle(left)
        for name in left:
            await self.pause()
            ctx.set(getattr(port, name), 1)
        while True:
            _, _, aw_ready, w_ready = await ctx.tick().sample(port.awready, port.wready)
            assert aw_ready == w_ready
            if aw_ready:
                break
        ctx.set(port.awvalid, 0)
        ctx.set(port.wvalid, 0)
        await self.pause()
        ctx.set(port.bready, 1)
        while True:
            _, _, valid, resp = await ctx.tick().sample(port.bvalid, port.bresp)
            if valid:
                break
        ctx.set(port.bready, 0)
        assert resp == 0

    async def read(self, name):
        return await self.read_at(register(name).offset)

    async def read_at(self, offset):
        ctx, port = self.ctx, self.port
        await self.pause()
        ctx.set(port.araddr, offset)
        ctx.set(port.arvalid, 1)
        while True:
            _, _, ready = await ctx.tick().sample(port.arready)
            if ready:
                break
        ctx.set(port.arvalid, 0)
        await self.pause()
        ctx.set(port.rready, 1)
        while True:
            _, _, valid, data, resp = await ctx.tick().sample(port.rvalid, port.rdata, port.rresp)
            if valid:
                break
        ctx.set(port.rready, 0)
        assert resp == 0
        return data


def run(scenario, *processes, rng=None):
    dut = Control(CONFIG)

    async def main(ctx):
        ctx.set(dut.fetch_idle, 1)
        await scenario(ctx, dut, Host(ctx, dut, rng))

    simulate(dut, main, processes=[process(dut) for process in processes])


async def strobe(ctx, port, value=1, cycles=1):
    ctx.set(port, value)
    for _ in range(cycles):
        await ctx.tick()
    ctx.set(port, 0)


async def begin(ctx, dut, host):
    """Start a run: the fetch goes busy in the cycle after the strobe, as the Fetcher does."""
    await host.write("CONTROL", 1)
    assert ctx.get(dut.busy)
    ctx.set(dut.fetch_idle, 0)
    await ctx.tick()


@pytest.mark.parametrize("rng", [None, random.Random(1)], ids=["fast", "stalls"])
def test_registers(rng):
    """Every register reads what it should; only those of the table that are rw can be written."""
    async def scenario(ctx, dut, host):
        constants = {
            "ID": MAGIC, "VERSION": ISA_VERSION, "HASH_LO": CONFIG.hash % (1 << 32),
            "HASH_HI": CONFIG.hash >> 32}
        kept = {"PROGRAM": 32, "REGION_0": 32, "REGION_1": 32, "REGION_2": 32, "REGION_3": 32,
                "LIMIT": 32, "SELECT": 14}
        ctx.set(dut.fetched, 77)
        ctx.set(dut.count, 1000)
        written = {}
        for index, entry in enumerate(REGISTERS):
            if entry.name not in ("CONTROL", "STATUS"):
                written[entry.name] = 0x1234_5678 + index * 0x1111_1111
                await host.write(entry.name, written[entry.name])
        for offset in (0x58, 0xFC):
            await host.write_at(offset, ~0 & 0xFFFF_FFFF)
        expected = {entry.name: 0 for entry in REGISTERS} | constants
        expected |= {name: written[name] & ((1 << width) - 1) for name, width in kept.items()}
        expected |= {f"COUNT_{name.upper()}": 1000 for name in COUNTERS}
        for entry in REGISTERS:
            assert await host.read(entry.name) == expected[entry.name], entry.name
        assert await host.read_at(0x58) == 0
        assert await host.read_at(0xFC) == 0
        assert ctx.get(dut.program) == expected["PROGRAM"]
        assert [ctx.get(dut.bases[n]) for n in range(4)] == [
            expected[f"REGION_{n}"] for n in range(4)]
        assert ctx.get(dut.select_layer) == expected["SELECT"] & 0xFFF
        assert ctx.get(dut.select_engine) == expected["SELECT"] >> 12
        assert not ctx.get(dut.busy)

    run(scenario, rng=rng)


def test_byte_strobes():
    async def scenario(ctx, dut, host):
        await host.write("REGION_2", 0x1122_3344)
        await host.write("REGION_2", 0xAABB_CCDD, strobes=0b0101)
        assert await host.read("REGION_2") == 0x11BB_33DD
        await host.write("CONTROL", 3, strobes=0b1110)
        assert await host.read("CONTROL") == 0
        assert not ctx.get(dut.busy)

    run(scenario)


def test_run():
    """Start, instructions in flight, done, interrupt, clear."""
    starts, finishes = [], []

    def count(dut):
        async def process(ctx):
            while True:
                _, _, start, finish = await ctx.tick().sample(dut.start, dut.finish)
                starts.append(start)
                finishes.append(finish)
        return process

    async def scenario(ctx, dut, host):
        await host.write("CONTROL", 2)
        assert await host.read("CONTROL") == 2
        for number in range(2):
            await host.write("CONTROL", 3)
            ctx.set(dut.fetch_idle, 0)
            assert await host.read("STATUS") == 1
            await host.write("CONTROL", 3)
            assert sum(starts) == number + 1, "a start while busy must be ignored"
            await strobe(ctx, dut.dispatched, cycles=24)
            await strobe(ctx, dut.ended, 0b111, cycles=5)
            ctx.set(dut.fetch_idle, 1)
            await strobe(ctx, dut.ended, 0b101, cycles=2)
            await strobe(ctx, dut.ended, 0b010, cycles=4)
            assert await host.read("STATUS") == 1
            assert not ctx.get(dut.interrupt)
            await strobe(ctx, dut.ended, 0b100)
            await ctx.tick()
            await ctx.tick()
            assert ctx.get(dut.interrupt)
            assert await host.read("STATUS") == 2
            assert sum(finishes) == number + 1
            if number == 0:
                await host.write("STATUS", 5)
                assert await host.read("STATUS") == 2
                await host.write("STATUS", 2)
                assert await host.read("STATUS") == 0
                assert not ctx.get(dut.interrupt)
        await host.write("CONTROL", 3)
        await ctx.tick()
        assert not ctx.get(dut.interrupt), "a start must clear done"

    run(scenario, count)


def test_counts_follow_select():
    """A read straight after SELECT gets the counts of the layer selected."""
    def bank(dut):
        async def process(ctx):
            line = [0] * CounterBank.latency
            while True:
                line.append(10 * ctx.get(dut.select_layer) + ctx.get(dut.select_number))
                await ctx.tick()
                line.pop(0)
                ctx.set(dut.count, 100 + line[0])
        return process

    async def scenario(ctx, dut, host):
        for layer in (5, 9, 2):
            await host.write("SELECT", layer | Engine.CALC << 12)
            for number, name in enumerate(COUNTERS):
                assert await host.read(f"COUNT_{name.upper()}") == 100 + 10 * layer + number
            assert ctx.get(dut.select_engine) == Engine.CALC

    run(scenario, bank)


def test_counts_wait_until_they_are_there():
    """A read of a count waits while counts are on their way; other reads do not."""
    def bank(dut):
        async def process(ctx):
            ctx.set(dut.counting, 1)
            await ctx.tick().repeat(60)
            ctx.set(dut.counting, 0)
            await ctx.tick()
            ctx.set(dut.count, 1234)
        return process

    async def scenario(ctx, dut, host):
        assert await host.read("ID") == MAGIC
        assert ctx.get(dut.counting)
        assert await host.read("COUNT_STALL") == 1234
        assert not ctx.get(dut.counting)

    run(scenario, bank)


def test_no_interrupt_unless_enabled():
    async def scenario(ctx, dut, host):
        await begin(ctx, dut, host)
        ctx.set(dut.fetch_idle, 1)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(dut.interrupt)
        assert await host.read("STATUS") == 2

    run(scenario)


def test_cycles():
    """CYCLES counts from start to done and then stands still."""
    async def scenario(ctx, dut, host):
        for length in (10, 3):
            await begin(ctx, dut, host)
            for _ in range(length):
                await ctx.tick()
            ctx.set(dut.fetch_idle, 1)
            await ctx.tick()
            first = await host.read("CYCLES_LO")
            assert first - length in range(5)
            for _ in range(20):
                await ctx.tick()
            assert await host.read("CYCLES_LO") == first
            assert await host.read("CYCLES_HI") == 0

    run(scenario)


def test_cycle_counter():
    dut = CycleCounter(3)
    rng = random.Random(0)

    async def main(ctx):
        for _ in range(4):
            count = 0
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            for _ in range(60):
                enable = rng.randrange(2)
                count += enable
                ctx.set(dut.enable, enable)
                await ctx.tick()
            ctx.set(dut.enable, 0)
            await ctx.tick()
            assert ctx.get(dut.high) << 3 | ctx.get(dut.low) == count

    simulate(dut, main)


@pytest.mark.parametrize(("working", "waiting", "number", "done"), [
    (0b000, 0b000, FETCH_SOURCE, 0), (0b110, 0b001, Engine.CALC, 2), (0b000, 0b101, Engine.LOAD, 1),
    (0b000, 0b100, Engine.SAVE, 3),
])
def test_limit(working, waiting, number, done):
    """A run that is too long ends; the engine at work is named, else one that waits."""
    async def scenario(ctx, dut, host):
        await host.write("LIMIT", 200)
        await begin(ctx, dut, host)
        ctx.set(dut.working, working)
        ctx.set(dut.waiting, waiting)
        for mask in (0b111, 0b110, 0b100):
            await strobe(ctx, dut.ended, mask)
        await ctx.tick().repeat(100)
        assert not ctx.get(dut.stop)
        await ctx.tick().repeat(150)
        assert ctx.get(dut.stop)
        ctx.set(dut.quiet, 1)
        ctx.set(dut.fetch_idle, 1)
        await ctx.tick().repeat(70)
        assert await host.read("STATUS") == 6
        assert await host.read("ERROR") == Error.TIMEOUT | number << 8
        assert await host.read("ERROR_DONE") == done

    run(scenario)


@pytest.mark.parametrize(("source", "code", "number"), [
    ("fetch", Error.MAGIC, FETCH_SOURCE), ("fetch", Error.OPCODE, FETCH_SOURCE),
    ("load", Error.READ, Engine.LOAD), ("save", Error.WRITE, Engine.SAVE),
])
def test_error(source, code, number):
    """The first error is kept, stops the run, and is followed by done."""
    async def scenario(ctx, dut, host):
        ctx.set(dut.load_error, 1)
        await ctx.tick()
        ctx.set(dut.load_error, 0)
        assert await host.read("STATUS") == 0, "an error between runs must be ignored"
        await host.write("CONTROL", 2)
        await host.write("CONTROL", 3)
        ctx.set(dut.fetch_idle, 0)
        await strobe(ctx, dut.dispatched, cycles=3)
        ctx.set(dut.fetched, 41)
        if source == "fetch":
            ctx.set(dut.fetch_error, {"valid": 1, "code": code})
            await ctx.tick()
            ctx.set(dut.fetch_error.valid, 0)
        else:
            await strobe(ctx, getattr(dut, f"{source}_error"))
        assert ctx.get(dut.stop)
        ctx.set(dut.fetched, 42)
        ctx.set(dut.fetch_error, {"valid": 1, "code": Error.VERSION})
        await strobe(ctx, dut.save_error)
        ctx.set(dut.fetch_error.valid, 0)
        assert await host.read("STATUS") == 5
        ctx.set(dut.fetch_idle, 1)
        await strobe(ctx, dut.dropped, 0b100)
        assert ctx.get(dut.stop)
        await strobe(ctx, dut.ended, 0b011)
        await ctx.tick().repeat(100)
        assert ctx.get(dut.stop), "the bus is not quiet"
        assert not ctx.get(dut.abort)
        ctx.set(dut.quiet, 1)
        await ctx.tick().repeat(40)
        assert ctx.get(dut.abort)
        ctx.set(dut.quiet, 0)
        await ctx.tick().repeat(30)
        assert not ctx.get(dut.stop)
        assert not ctx.get(dut.abort)
        assert ctx.get(dut.interrupt)
        assert await host.read("STATUS") == 6
        assert await host.read("ERROR") == code | number << 8
        assert await host.read("ERROR_INDEX") == 41
        await host.write("STATUS", 2)
        assert await host.read("STATUS") == 0
        await begin(ctx, dut, host)
        assert await host.read("ERROR") == 0
        assert await host.read("STATUS") == 1

    run(scenario)
