"""What stands between a design and the pins of a board: clock, reset, serial port, lamps."""

import math
from fractions import Fraction

from amaranth import *
from amaranth.lib import io, wiring
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer
from amaranth.lib.wiring import connect

from .clock_gate import ClockGate, has_global_reset
from .sdram import MEMORY_DOMAIN, SDRAMPads


__all__ = (
    "LAMPS",
    "RESET_TIME",
    "BoardTop",
    "ClockReset",
)


LAMPS = ("active", "interrupt")
"""Members of a design that the lamps of a board show, first lamp first."""

RESET_TIME = Fraction(15)
"""Microseconds from a stable clock to the end of the reset. Block RAM of iCE40 reads zeros for 3
microseconds after configuration; the rest is margin.

Source: github.com/YosysHQ/icestorm, issue 76; amaranth, ``LatticeICE40Platform``."""


class ClockReset(wiring.Component):
    """Clock and reset of the domain ``sync``: the oscillator of a board, through a PLL or not.

    Where the PLL has a second output, it is the clock of the domain :data:`.sdram.MEMORY_DOMAIN`.

    The reset ends :data:`RESET_TIME` after the PLL has locked, and comes back should it lose its
    lock. Where the device has a global one, the domain has no other, see :class:`.ClockGate`.

    Parameters
    ----------
    board : Board
        The board.
    pll : Pll or None
        Setting of the PLL; the clock of the oscillator itself when there is none.
    """

    def __init__(self, board, pll):
        self.board = board
        self.pll = pll
        super().__init__({})

    @property
    def frequency(self):
        """Frequency of ``sync``, a fraction of MHz."""
        return self.board.source if self.pll is None else self.pll.output

    def elaborate(self, platform):
        m = Module()
        clock, locked = Signal(), Signal()
        ahead = ClockSignal(MEMORY_DOMAIN) if self.pll is not None and self.pll.lead else None
        pin = platform.request(self.board.clock, dir="-")
        if self.pll is None:
            m.submodules.buffer = buffer = io.Buffer("i", pin)
            m.d.comb += [clock.eq(buffer.i), locked.eq(1)]
        elif self.pll.rules.direct:
            m.submodules.pll = self.pll.instance(pin.io, clock, locked, ahead)
        else:
            m.submodules.buffer = buffer = io.Buffer("i", pin)
            m.submodules.pll = self.pll.instance(buffer.i, clock, locked, ahead)
        m.domains.start = ClockDomain(reset_less=True, local=True)
        m.d.comb += ClockSignal("start").eq(clock)
        stable = Signal()
        m.submodules.stable = FFSynchronizer(locked, stable, o_domain="start")
        cycles = math.ceil(RESET_TIME * self.frequency)
        left = Signal(range(cycles + 1), init=cycles)
        if has_global_reset(platform):
            m.submodules.gate = gate = ClockGate()
            m.d.start += [gate.released.eq(left < cycles // 2), gate.running.eq(left == 0)]
            m.d.comb += [gate.clock.eq(clock), ClockSignal("sync").eq(gate.clk)]
        else:
            reset = Signal(init=1)
            m.d.start += reset.eq(left != 0)
            m.d.comb += ClockSignal("sync").eq(clock)
            m.submodules.reset = ResetSynchronizer(reset, domain="sync")
        with m.If(~stable):
            m.d.start += left.eq(cycles)
        with m.Elif(left != 0):
            m.d.start += left.eq(left - 1)
        return m


class BoardTop(wiring.Component):
    """A design on a board.

    Parameters
    ----------
    board : Board
        The board.
    pll : Pll or None
        Setting of its PLL.
    design : wiring.Component
        With ``uart_rx``, ``uart_tx``, and signals for the lamps of the board: those of
        :data:`LAMPS`. One with ``sdram`` has the board's memory.

    Raises
    ------
    ValueError
        If the design has ``sdram`` and the PLL no second output, or the other way round.
    """

    def __init__(self, board, pll, design):
        self.board = board
        self.pll = pll
        self.design = design
        self._has_memory = "sdram" in design.signature.members
        if self._has_memory != bool(pll is not None and pll.lead):
            raise ValueError("A design must have sdram if and only if the PLL has a second output")
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=has_global_reset(platform))
        m.submodules.clock_reset = ClockReset(self.board, self.pll)
        m.submodules.design = design = self.design
        if self._has_memory:
            m.domains += ClockDomain(MEMORY_DOMAIN, reset_less=True)
            m.submodules.memory = pads = SDRAMPads(design.sdram.signature.part)
            connect(m, design.sdram, pads.pins)
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.submodules.receive = FFSynchronizer(rx.i, design.uart_rx, init=1)
        m.d.comb += tx.o.eq(design.uart_tx)
        for name, port in zip(LAMPS, self.board.lamps(platform)):
            m.submodules[name] = lamp = io.Buffer("o", port)
            m.d.comb += lamp.o.eq(getattr(design, name))
        return m
