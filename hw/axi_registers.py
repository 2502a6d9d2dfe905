"""Registers in the way from an AXI4 master to a slave."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .axi import AXI4Signature
from .queue import StreamBuffer


__all__ = ("AXI4Registers",)


_CHANNELS = {
    "aw": ("id", "addr", "len", "size", "burst"),
    "ar": ("id", "addr", "len", "size", "burst"),
    "w": ("data", "strb", "last"),
}
_ANSWERS = ("bid", "bresp", "bvalid", "rid", "rdata", "rresp", "rlast", "rvalid")


class AXI4Registers(wiring.Component):
    """Cut every combinational path of requests and of data to write, which come a cycle later.

    Answers pass through without registers.

    Parameters
    ----------
    data_width : int
        Bits of a beat.
    id_width : int
        Bits of an identifier.

    Members
    -------
    master : In(AXI4Signature)
        Where requests come from.
    slave : Out(AXI4Signature)
        Where they go.
    """

    def __init__(self, *, data_width, id_width):
        signature = AXI4Signature(addr_width=32, data_width=data_width, id_width=id_width)
        super().__init__({"master": In(signature), "slave": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        master, slave = self.master, self.slave
        for channel, fields in _CHANNELS.items():
            names = [channel + field for field in fields]
            layout = data.StructLayout({name: getattr(master, name).shape() for name in names})
            m.submodules[channel] = buffer = StreamBuffer(layout)
            m.d.comb += [
                buffer.i.valid.eq(getattr(master, f"{channel}valid")),
                getattr(master, f"{channel}ready").eq(buffer.i.ready),
                getattr(slave, f"{channel}valid").eq(buffer.o.valid),
                buffer.o.ready.eq(getattr(slave, f"{channel}ready")),
                *(buffer.i.payload[name].eq(getattr(master, name)) for name in names),
                *(getattr(slave, name).eq(buffer.o.payload[name]) for name in names),
            ]
        m.d.comb += [
            *(getattr(master, name).eq(getattr(slave, name)) for name in _ANSWERS),
            slave.bready.eq(master.bready),
            slave.rready.eq(master.rready),
        ]
        return m
