"""An SDR SDRAM at the pins of a board: registers in the pads, and the phase of its clock.

Every output leaves through a register of its pad, and the clock through a double data rate
register of the same kind, so that the delays of the pads are the same and cancel. The clock is
ahead of the others by :data:`CLOCK_LEAD`. With the period T of the clock, and t for what clock pad,
tracks and data pad take together, that leaves, of the slowest memory in :data:`hw.sdram.PARTS`:

==================================  =========================  ============  ==============
what                                there is                   is needed     50 MHz, t 0..8
==================================  =========================  ============  ==============
commands and data, before the edge  T - lead                   2.0 ns        18 ns
commands and data, behind the edge  lead                       1.0 ns        2 ns
data read, before the edge          T + lead - 6.0 ns - t      set-up        8 ns and more
data read, behind the edge          2.5 ns - lead + t          hold, 0       0.5 ns and more
==================================  =========================  ============  ==============

Tools check none of this, for they know no memory.

Source: data sheets of :data:`hw.sdram.PARTS`, AC characteristics: tAC, tOH, tIS or tAS, tIH or tAH.
"""

from fractions import Fraction

from amaranth import *
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In

from ..sdram import SDRAMSignature


__all__ = (
    "CLOCK_LEAD",
    "MEMORY_DOMAIN",
    "PAD_REGISTERS",
    "SDRAMPads",
)


CLOCK_LEAD = Fraction(2)
"""Nanoseconds by which the clock of a memory is ahead of the clock of the pads' registers."""

MEMORY_DOMAIN = "memory"
"""Domain of the clock of the memory."""

PAD_REGISTERS = 2
"""Cycles that the registers in the pads add to a read: ``read_delay`` of the controller."""

_OUTPUTS = {
    "clk_en": ("cke", False), "cs": ("cs_n", True), "ras": ("ras_n", True),
    "cas": ("cas_n", True), "we": ("we_n", True), "ba": ("ba", False), "a": ("a", False),
    "dqm": ("dqm", False),
}
"""For each pin of the board's resource, the member of the signature, and whether it is inverted."""


class SDRAMPads(wiring.Component):
    """Pins of the resource ``sdram`` of a board.

    Parameters
    ----------
    part : SDRAMPart
        The memory.

    Members
    -------
    pins : In(SDRAMSignature(part))
        What a controller drives.
    """

    def __init__(self, part):
        super().__init__({"pins": In(SDRAMSignature(part))})

    def elaborate(self, platform):
        m = Module()
        port = platform.request("sdram", 0, dir="-")
        m.submodules.clock = clock = io.DDRBuffer("o", port.clk, o_domain=MEMORY_DOMAIN)
        m.d.comb += [clock.o[0].eq(1), clock.o[1].eq(0)]
        for name, (member, inverted) in _OUTPUTS.items():
            value = getattr(self.pins, member)
            m.submodules[name] = buffer = io.FFBuffer("o", getattr(port, name))
            m.d.comb += buffer.o.eq(~value if inverted else value)
        m.submodules.dq = dq = io.FFBuffer("io", port.dq)
        m.d.comb += [
            dq.o.eq(self.pins.dq_o),
            dq.oe.eq(self.pins.dq_oe),
            self.pins.dq_i.eq(dq.i),
        ]
        return m
