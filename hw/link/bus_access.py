"""Single transfers on AXI4 and AXI4-Lite, a byte at a time on the other side."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.serial import REGISTER_SIZE

from ..axi import BURST_INCR, AXI4LiteSignature, AXI4Signature


__all__ = ("BusAccess",)


class BusAccess(wiring.Component):
    """A beat that is filled or emptied byte by byte, and moved by bursts of one beat.

    A serial line is so much slower than memory that longer bursts would gain nothing. One transfer
    at a time.

    Parameters
    ----------
    data_width : int
        Bits of a beat of ``m_axi``, at least 32.

    Members
    -------
    start : In(1)
        Begin a transfer; only while not ``busy``.
    write, registers : In(1)
        Its direction, and whether it goes to ``m_lite``. Stable from ``start`` on while ``busy``.
    address : In(32)
        Its address; of memory, any in the beat. Stable as ``write`` is.
    abort : In(1)
        Give up a transfer that does not end. This breaks the rules of the bus: nothing but a reset
        may follow.
    shift : In(1)
        Move the bytes of the beat one place down, ``i_byte`` into the uppermost; not while
        ``busy``.
    i_byte : In(8)
        Next byte to write.
    o_byte : Out(8)
        Lowest byte of the beat, or of the register read.
    busy : Out(1)
        A transfer has not ended.
    error : Out(1)
        In the last cycle of a transfer: the slave answered with an error.
    m_axi : Out(AXI4Signature)
        Memory.
    m_lite : Out(AXI4LiteSignature)
        Registers.
    """

    def __init__(self, *, data_width):
        self.data_width = data_width
        super().__init__({
            "start": In(1),
            "write": In(1),
            "registers": In(1),
            "address": In(32),
            "abort": In(1),
            "shift": In(1),
            "i_byte": In(8),
            "o_byte": Out(8),
            "busy": Out(1),
            "error": Out(1),
            "m_axi": Out(AXI4Signature(addr_width=32, data_width=data_width, id_width=1)),
            "m_lite": Out(AXI4LiteSignature(addr_width=8, data_width=32)),
        })

    def elaborate(self, platform):
        m = Module()
        beat = Signal(self.data_width, reset_less=True)
        address_valid, data_valid = Signal(), Signal()
        memory, lite = self.m_axi, self.m_lite

        def choose(of_lite, of_memory):
            return Mux(self.registers, of_lite, of_memory)

        ended = self.busy & choose(
            Mux(self.write, lite.bvalid, lite.rvalid),
            Mux(self.write, memory.bvalid, memory.rvalid))
        m.d.comb += [
            self.o_byte.eq(beat[:8]),
            # Both errors of the bus, SLVERR and DECERR, have this bit.
            self.error.eq(ended & choose(
                Mux(self.write, lite.bresp, lite.rresp)[1],
                Mux(self.write, memory.bresp, memory.rresp)[1])),
        ]
        place = (self.data_width // 8).bit_length() - 1
        for port, chosen, address in (
            (memory, ~self.registers, Cat(C(0, place), self.address[place:])),
            (lite, self.registers, self.address),
        ):
            m.d.comb += [
                port.awaddr.eq(address),
                port.araddr.eq(address),
                port.awvalid.eq(address_valid & self.write & chosen),
                port.arvalid.eq(address_valid & ~self.write & chosen),
                port.wvalid.eq(data_valid & chosen),
                port.wstrb.eq(~0),
                port.bready.eq(1),
                port.rready.eq(1),
            ]
        for channel in ("aw", "ar"):
            m.d.comb += [
                getattr(memory, f"{channel}size").eq(place),
                getattr(memory, f"{channel}burst").eq(BURST_INCR),
            ]
        m.d.comb += [
            memory.wdata.eq(beat),
            memory.wlast.eq(1),
            # The last bytes that came are uppermost.
            lite.wdata.eq(beat[-8 * REGISTER_SIZE:]),
        ]

        with m.If(choose(Mux(self.write, lite.awready, lite.arready),
                         Mux(self.write, memory.awready, memory.arready))):
            m.d.sync += address_valid.eq(0)
        with m.If(choose(lite.wready, memory.wready)):
            m.d.sync += data_valid.eq(0)
        with m.If(ended):
            m.d.sync += self.busy.eq(0)
        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), address_valid.eq(1), data_valid.eq(self.write)]
        with m.If(self.abort):
            m.d.sync += [self.busy.eq(0), address_valid.eq(0), data_valid.eq(0)]
        with m.If(self.shift):
            m.d.sync += beat.eq(Cat(beat[8:], self.i_byte))
        with m.Elif(ended & ~self.write):
            m.d.sync += beat.eq(Cat(choose(lite.rdata, memory.rdata[:32]), memory.rdata[32:]))
        return m
