import random

import pytest
from amaranth import Module
from amaranth.lib.wiring import connect

from hw.axi_registers import AXI4Registers
from hw.link import AXI4Mux
from hw.tops import BlockMemory

from ..bench import simulate
from .masters import Master, run_scripts


SIZE = 512


class Pair:
    """Two masters before a memory; each writes and reads bursts in a half of its own."""

    def __init__(self, rng, shares, *, registers):
        self.module = m = Module()
        m.submodules.mux = mux = AXI4Mux(data_width=32, id_width=1)
        m.submodules.memory = memory = BlockMemory(data_width=32, id_width=2, size=SIZE)
        if registers:
            m.submodules.border = border = AXI4Registers(data_width=32, id_width=2)
            connect(m, mux.slave, border.master)
            connect(m, border.slave, memory.axi)
        else:
            connect(m, mux.slave, memory.axi)
        self.masters = [
            Master(port, rng, share=share)
            for port, share in zip((mux.first, mux.second), shares)]
        self.bursts = [
            [(half * SIZE // 2 + 4 * rng.randrange(48),
              [rng.getrandbits(32) for _ in range(rng.randint(1, 16))], rng.randrange(2))
             for _ in range(12)] for half in range(2)]

    def script(self, number):
        """Return a script that writes every burst of a master, and reads it."""
        master = self.masters[number]

        def script(ctx):
            for place, burst in enumerate(self.bursts[number]):
                yield from master.write(ctx, [burst], data_first=bool(place & 1))
                address, beats, identifier = burst
                yield from master.request_reads(ctx, [(address, len(beats), identifier)])
                while len(master.bursts) <= place:
                    yield
        return script


@pytest.mark.parametrize("registers", [False, True])
@pytest.mark.parametrize("shares", [(1.0, 1.0), (0.3, 1.0), (0.8, 0.3)])
def test_masters_do_not_disturb_each_other(shares, registers):
    pair = Pair(random.Random(int(10 * sum(shares))), shares, registers=registers)

    def ended(ctx):
        while any(len(master.bursts) < 12 for master in pair.masters):
            yield

    simulate(pair.module, run_scripts(
        ended, pair.script(0), pair.script(1),
        *(master.take_reads for master in pair.masters)))
    for master, bursts in zip(pair.masters, pair.bursts):
        assert master.responses == [(number, 0) for _, _, number in bursts]
        assert master.bursts == [(number, beats, [0] * len(beats)) for _, beats, number in bursts]


def test_first_is_not_kept_waiting():
    # The second master asks without an end; the first one's only request still comes through.
    pair = Pair(random.Random(1), (1.0, 1.0), registers=False)
    first, second = pair.masters

    def once(ctx):
        yield from first.request_reads(ctx, [(0, 1, 0)])
        while not first.bursts:
            yield

    simulate(pair.module, run_scripts(
        once, lambda ctx: second.request_reads(ctx, [(256, 16, 1)] * 100),
        first.take_reads, second.take_reads))
    assert len(second.bursts) <= 2


def test_requests_stay():
    # What is offered to the slave is held until it is taken, whoever else asks meanwhile.
    dut = AXI4Mux(data_width=32, id_width=1)

    async def testbench(ctx):
        ctx.set(dut.second.araddr, 0x200)
        ctx.set(dut.second.arvalid, 1)
        await ctx.tick().repeat(2)
        ctx.set(dut.first.araddr, 0x100)
        ctx.set(dut.first.arvalid, 1)
        for _ in range(3):
            await ctx.tick()
            assert (ctx.get(dut.slave.arvalid), ctx.get(dut.slave.araddr)) == (1, 0x200)
        ctx.set(dut.slave.arready, 1)
        assert ctx.get(dut.slave.arid) == 2
        await ctx.tick()
        assert (ctx.get(dut.slave.arvalid), ctx.get(dut.slave.araddr)) == (1, 0x100)
        assert ctx.get(dut.slave.arid) == 0

    simulate(dut, testbench)


def test_data_belongs_to_its_request():
    # Data is passed on with its request at the earliest, and not that of the next burst with it.
    dut = AXI4Mux(data_width=32, id_width=1)

    async def testbench(ctx):
        ctx.set(dut.second.wvalid, 1)
        ctx.set(dut.second.wlast, 1)
        ctx.set(dut.slave.wready, 1)
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.slave.wvalid)
        assert not ctx.get(dut.second.wready)
        ctx.set(dut.second.awvalid, 1)
        assert ctx.get(dut.slave.wvalid & dut.second.wready)
        await ctx.tick()
        for _ in range(3):  # the request waits, its only beat has been written
            assert ctx.get(dut.slave.awvalid)
            assert not ctx.get(dut.slave.wvalid)
            assert not ctx.get(dut.second.wready)
            await ctx.tick()

    simulate(dut, testbench)
