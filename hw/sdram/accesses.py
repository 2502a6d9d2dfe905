"""Cutting AXI4 bursts into accesses of the memory."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..axi import BURST_INCR, PAGE_SIZE


__all__ = (
    "AccessGenerator",
    "access_layout",
    "burst_layout",
)


def burst_layout(id_width):
    """Return the layout of an AXI4 request; ``length`` is the number of beats less one."""
    return data.StructLayout({
        "address": 32, "length": 8, "size": 3, "burst": 2, "id": id_width})


def access_layout(part, *, data_width, id_width):
    """Return the layout of one burst of the memory, which is one beat of AXI4.

    ``column`` counts beats; ``last`` marks the last beat of the AXI4 burst, ``error`` one that
    is answered with an error and writes nothing.
    """
    beat_bits = (data_width // part.data_bits).bit_length() - 1
    return data.StructLayout({
        "column": part.column_bits - beat_bits, "bank": part.bank_bits, "row": part.row_bits,
        "id": id_width, "last": 1, "error": 1})


class AccessGenerator(wiring.Component):
    """Turn each AXI4 burst into accesses, one for each beat.

    Throughput is one access per cycle. Neighbouring rows of the address space lie in different
    banks, so that the next one can be opened meanwhile. A burst that leaves the memory, does not
    increment, or has beats narrower than the bus gives accesses with ``error``.

    Parameters
    ----------
    part : SDRAMPart
        Geometry of the memory.
    data_width : int
        Bits of a beat.
    id_width : int
        Bits of an identifier.

    Members
    -------
    i : In(stream(burst_layout(id_width)))
        Bursts.
    o : Out(stream(access_layout(part, ...)))
        Accesses, from registers.
    """

    def __init__(self, part, *, data_width, id_width):
        self._part = part
        self._data_width = data_width
        super().__init__({
            "i": In(stream.Signature(burst_layout(id_width))),
            "o": Out(stream.Signature(
                access_layout(part, data_width=data_width, id_width=id_width))),
        })

    def elaborate(self, platform):
        m = Module()
        place = (self._data_width // 8).bit_length() - 1
        burst, access = self.i.payload, self.o.payload
        address = Cat(access.column, access.bank, access.row)
        # A burst stays in its page.
        moving = address[:(PAGE_SIZE >> place).bit_length() - 1]
        left = Signal.like(burst.length)
        m.d.comb += self.i.ready.eq(~self.o.valid | (self.o.ready & access.last))
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                address.eq(burst.address[place:]),
                left.eq(burst.length),
                access.last.eq(burst.length == 0),
                access.id.eq(burst.id),
                access.error.eq(
                    (burst.address[self._part.address_bits:] != 0)
                    | (burst.burst != BURST_INCR) | (burst.size != place)),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += [
                moving.eq(moving + 1),
                left.eq(left - 1),
                access.last.eq(left == 1),
            ]
        return m
