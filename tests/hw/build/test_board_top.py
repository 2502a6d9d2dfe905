"""Clock, reset and pins around a design, in simulation."""

from fractions import Fraction
from types import SimpleNamespace

import pytest
from amaranth import *
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.build.board_top import LAMPS, RESET_TIME, BoardTop
from hw.build.boards import BOARDS, board
from hw.primitives import family_of

from .echo import Echo


class Ports:
    """Stands in for a platform: ports of the simulation by the names of resources."""

    def __init__(self):
        self.clock = io.SimulationPort("i", 1)
        self.rx, self.tx = io.SimulationPort("i", 1), io.SimulationPort("o", 1)
        self.lamps = {number: io.SimulationPort("o", 1) for number in range(8)}

    def request(self, name, number=0, *, dir):
        assert dir == "-"
        if name == "uart":
            return SimpleNamespace(rx=self.rx, tx=self.tx)
        return self.lamps[number] if name == "led" else self.clock


class Setting:
    """Stands in for the setting of a PLL: passes the clock on, the lock is ours."""

    output = Fraction(2)
    rules = SimpleNamespace(direct=False)

    def __init__(self):
        self.lock = Signal()

    def instance(self, clock, output, locked):
        m = Module()
        m.d.comb += [output.eq(clock), locked.eq(self.lock)]
        return m


class Design(wiring.Component):
    """Counts; what it shows is how many cycles it was not in reset."""

    uart_rx: In(1)
    uart_tx: Out(1)
    active: Out(1)
    interrupt: Out(1)

    def elaborate(self, platform):
        m = Module()
        self.count = Signal(16)
        m.d.sync += self.count.eq(self.count + 1)
        m.d.comb += [self.uart_tx.eq(~self.uart_rx), self.active.eq(self.count[0]),
                     self.interrupt.eq(self.count[1])]
        return m


def _run(top, ports, bench):
    fragment = Fragment.get(top, ports)
    simulator = Simulator(fragment)

    async def tick(ctx, cycles=1):
        for _ in range(cycles):
            for level in (1, 0):
                ctx.set(ports.clock.i, level)
                await ctx.delay(1e-8)

    async def run(ctx):
        await bench(ctx, lambda cycles=1: tick(ctx, cycles))

    simulator.add_testbench(run)
    simulator.run()


def test_reset_ends_after_the_clock_is_stable():
    ports, design, pll = Ports(), Design(), Setting()
    wait = int(RESET_TIME * pll.output)

    async def bench(ctx, tick):
        await tick(3 * wait)
        assert ctx.get(design.count) == 0
        ctx.set(pll.lock, 1)
        await tick(wait)
        assert ctx.get(design.count) == 0
        await tick(20)
        count = ctx.get(design.count)
        assert 10 < count < 20
        await tick(10)
        assert ctx.get(design.count) == count + 10
        assert [ctx.get(ports.lamps[number].o) for number in (0, 1)] == [
            (count + 10) & 1, (count + 10) >> 1 & 1]
        ctx.set(pll.lock, 0)
        await tick(8)
        assert ctx.get(design.count) == 0
        ctx.set(pll.lock, 1)
        await tick(wait + 20)
        assert 10 < ctx.get(design.count) < 20

    _run(BoardTop(board("ulx3s"), pll, design), ports, bench)


def test_without_a_pll():
    """12 MHz: 180 cycles of reset."""
    ports, design = Ports(), Design()

    async def bench(ctx, tick):
        await tick(180)
        assert ctx.get(design.count) == 0
        await tick(20)
        assert ctx.get(design.count) > 10
        for level in (1, 0):
            ctx.set(ports.rx.i, level)
            await tick(3)
            assert ctx.get(ports.tx.o) == 1 - level

    _run(BoardTop(board("icebreaker"), None, design), ports, bench)


@pytest.mark.parametrize("each", BOARDS.values(), ids=BOARDS)
def test_primitives_of_the_family(each):
    assert family_of(each.make_platform()).name == each.device.technology.name.lower()


@pytest.mark.parametrize("each", BOARDS.values(), ids=BOARDS)
def test_every_pin_is_requested_once(each):
    """Amaranth's own platform writes the constraints, with a pin for each port."""
    pll = each.device.pll.choose(each.source, Fraction(30))
    platform = each.make_platform()
    plan = platform.prepare(BoardTop(each, pll, Echo()), "top", debug_verilog=False)
    text, = (text for name, text in plan.files.items() if name.endswith((".lpf", ".pcf", ".cst")))
    lamps = min(len(LAMPS), len(each.leds))
    for port in (f"{each.clock}_0__io", "uart_0__rx__io", "uart_0__tx__io"):
        assert port in text
    places = ("LOCATE COMP", "set_io", "IO_LOC")
    assert sum(text.count(place) for place in places) >= 3 + lamps
