# amaranth: UnusedElaboratable=no
"""Clock, reset and pins around a design, in simulation."""

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from amaranth import *
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.build.board_top import LAMPS, RESET_TIME, BoardTop
from hw.build.boards import BOARDS, board
from hw.build.clock import clocked_board
from hw.build.sdram import CLOCK_LEAD, PAD_REGISTERS
from hw.primitives import family_of
from hw.sdram import SDRAMSignature
from hw.tops import ExternalTop

from ...sim.configs import LITTLE
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


class MemoryPorts(Ports):
    """The same with a memory."""

    def __init__(self, part):
        super().__init__()
        self.memory = SimpleNamespace(
            dq=io.SimulationPort("io", part.data_bits),
            **{name: io.SimulationPort("o", width) for name, width in {
                "clk": 1, "clk_en": 1, "cs": 1, "ras": 1, "cas": 1, "we": 1,
                "ba": part.bank_bits, "a": part.row_bits, "dqm": part.data_bits // 8}.items()})

    def request(self, name, number=0, *, dir):
        return self.memory if name == "sdram" else super().request(name, number, dir=dir)

    def get_io_buffer(self, buffer):
        """Return a buffer for simulation; Amaranth has none of double data rate."""
        if not isinstance(buffer, io.DDRBuffer):
            return buffer.elaborate(None)
        m = Module()
        m.d.comb += buffer.port.o.eq(
            Mux(ClockSignal(buffer.o_domain), buffer.o[0], buffer.o[1]))
        return m


class Setting:
    """Stands in for the setting of a PLL: passes the clock on, the lock is ours."""

    output = Fraction(2)
    lead = Fraction(0)
    rules = SimpleNamespace(direct=False)

    def __init__(self):
        self.lock = Signal()

    def instance(self, clock, output, locked, ahead):
        m = Module()
        m.d.comb += [output.eq(clock), locked.eq(self.lock)]
        if ahead is not None:
            m.d.comb += ahead.eq(clock)
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


def _external_plan(each, **options):
    """Return the files that Amaranth writes for a design with the memory of a board."""
    clocked = clocked_board(each, lead=CLOCK_LEAD)
    design = ExternalTop(
        LITTLE, each.memory, divisor=50, clock=round(clocked.frequency * 1_000_000),
        read_delay=PAD_REGISTERS)
    return each.make_platform().prepare(
        BoardTop(each, clocked.pll, design), "top", debug_verilog=False, **options).files


@pytest.fixture(scope="module")
def external_files():
    return {each.name: _external_plan(each) for each in BOARDS.values() if each.memory}


@pytest.mark.parametrize("each", [each for each in BOARDS.values() if each.memory],
                         ids=lambda each: each.name)
def test_pins_of_a_memory(each, external_files):
    """Every pin of the memory is there once, and every one but its clock has a register."""
    files, part = external_files[each.name], each.memory
    text, = (text for name, text in files.items() if name.endswith(".lpf"))
    widths = {"clk": 1, "clk_en": 1, "cs": 1, "ras": 1, "cas": 1, "we": 1, "ba": part.bank_bits,
              "a": part.row_bits, "dq": part.data_bits, "dqm": part.data_bits // 8}
    found = Counter(re.findall(r'LOCATE COMP "sdram_0__(\w+?)__io', text))
    assert found == widths
    pins = re.findall(r'LOCATE COMP "sdram_0__\S+ SITE "(\w+)"', text)
    assert len(set(pins)) == len(pins) == sum(widths.values())
    cells = Counter(re.findall(r"cell \\(\w+) ", files["top.il"]))
    registered = sum(widths.values()) - 1
    assert cells["OFS1P3DX"] >= registered + part.data_bits  # dq has one for its direction, too
    assert cells["IFS1P3DX"] == part.data_bits
    assert cells["ODDRX1F"] == 1


def test_clock_of_a_memory(external_files):
    text = external_files["ulx3s"]["top.il"]
    assert "connect \\CLKOS2 \\memory_clk" in text
    assert "connect \\SCLK \\memory_clk" in re.search(
        r"cell \\ODDRX1F .*?\n *end", text, re.DOTALL)[0]


class Driver(wiring.Component):
    """Drives the pins of a memory with a number that counts, and keeps what comes back."""

    def __init__(self, part):
        super().__init__({
            "uart_rx": In(1), "uart_tx": Out(1), "active": Out(1), "interrupt": Out(1),
            "sdram": Out(SDRAMSignature(part))})

    def elaborate(self, platform):
        m = Module()
        self.count, self.came = Signal(8), Signal(16)
        pins = self.sdram
        m.d.sync += self.count.eq(self.count + 1)
        m.d.comb += [
            Cat(pins.cke, pins.cs_n, pins.ras_n, pins.cas_n, pins.we_n).eq(self.count),
            pins.dq_oe.eq(self.count[0]), self.came.eq(pins.dq_i),
            *(getattr(pins, name).eq(self.count) for name in ("ba", "a", "dqm", "dq_o")),
        ]
        return m


def test_registers_of_a_memory():
    """What the design drives is on the pads a cycle later, and comes in a cycle later."""
    part = replace(board("ulx3s").memory, row_bits=8)
    ports, design, pll = MemoryPorts(part), Driver(part), Setting()
    pll.lead = Fraction(2)
    pads = ports.memory

    async def bench(ctx, tick):
        ctx.set(pll.lock, 1)
        await tick(100)
        for _ in range(40):
            before = ctx.get(design.count)
            ctx.set(pads.dq.i, before)
            await tick()
            assert ctx.get(design.count) == before + 1 == ctx.get(pads.a.o) + 1
            assert [ctx.get(pad.o) for pad in (pads.clk_en, pads.cs, pads.ras, pads.cas, pads.we)
                    ] == [before & 1, *(1 - (before >> bit & 1) for bit in range(1, 5))]
            assert [ctx.get(pad.o) for pad in (pads.ba, pads.dqm, pads.dq)] == [
                before & 3, before & 3, before]
            assert ctx.get(pads.dq.oe) == 0xFFFF * (before & 1)
            assert ctx.get(design.came) == before
            # The clock of the memory rises with its domain, here that of the design.
            ctx.set(ports.clock.i, 1)
            await ctx.delay(1e-9)
            assert ctx.get(pads.clk.o) == 1
            ctx.set(ports.clock.i, 0)
            await ctx.delay(1e-9)
            assert ctx.get(pads.clk.o) == 0

    _run(BoardTop(board("ulx3s"), pll, design), ports, bench)


def test_memory_without_its_clock():
    each = board("ulx3s")
    for pll, design in (
        (each.device.pll.choose(each.source, Fraction(50)),
         ExternalTop(LITTLE, each.memory, divisor=50, clock=50_000_000)),
        (clocked_board(each, lead=CLOCK_LEAD).pll, Echo()),
    ):
        with pytest.raises(ValueError, match="if and only if the PLL has a second output"):
            BoardTop(each, pll, design)
