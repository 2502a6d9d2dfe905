"""Two AXI4 masters in front of one slave."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..axi import AXI4Signature


__all__ = ("AXI4Mux",)


_REQUEST = ("addr", "len", "size", "burst")


class AXI4Mux(wiring.Component):
    """Let two masters share a slave.

    Bursts of both are passed on as they are, with the number of their master above their
    identifier, by which answers find their way back. When both wait, ``first`` is next. Reads cost
    ``second`` no cycle; a burst of writes ends before another begins. Payloads and handshakes pass
    through without registers.

    Parameters
    ----------
    data_width : int
        Bits of a beat.
    id_width : int
        Bits of an identifier of the masters.

    Members
    -------
    first, second : In(AXI4Signature)
        The masters.
    slave : Out(AXI4Signature)
        The slave; its identifiers have one bit more.
    """

    def __init__(self, *, data_width, id_width):
        self.data_width = data_width
        self.id_width = id_width
        master = AXI4Signature(addr_width=32, data_width=data_width, id_width=id_width)
        super().__init__({
            "first": In(master),
            "second": In(master),
            "slave": Out(AXI4Signature(
                addr_width=32, data_width=data_width, id_width=id_width + 1)),
        })

    def _request(self, channel, is_second):
        """Pass on the payload of a channel of requests."""
        slave = self.slave
        for name in _REQUEST:
            a, b = (getattr(port, channel + name) for port in (self.first, self.second))
            yield getattr(slave, channel + name).eq(Mux(is_second, b, a))
        a, b = (getattr(port, channel + "id") for port in (self.first, self.second))
        yield getattr(slave, channel + "id").eq(Cat(Mux(is_second, b, a), is_second))

    def elaborate(self, platform):
        m = Module()
        self._elaborate_reads(m)
        self._elaborate_writes(m)
        return m

    def _elaborate_reads(self, m):
        first, second, slave = self.first, self.second, self.slave
        is_second = Signal(init=1)
        m.d.comb += [
            *self._request("ar", is_second),
            slave.arvalid.eq(Mux(is_second, second.arvalid, first.arvalid)),
            first.arready.eq(slave.arready & ~is_second),
            second.arready.eq(slave.arready & is_second),
        ]
        # A request that is offered stays offered.
        with m.If(~slave.arvalid | slave.arready):
            m.d.sync += is_second.eq(~first.arvalid | ~is_second)

        to_second = slave.rid[-1]
        for port in (first, second):
            m.d.comb += [
                port.rid.eq(slave.rid),
                port.rdata.eq(slave.rdata),
                port.rresp.eq(slave.rresp),
                port.rlast.eq(slave.rlast),
            ]
        m.d.comb += [
            first.rvalid.eq(slave.rvalid & ~to_second),
            second.rvalid.eq(slave.rvalid & to_second),
            slave.rready.eq(Mux(to_second, second.rready, first.rready)),
        ]

    def _elaborate_writes(self, m):
        first, second, slave = self.first, self.second, self.slave
        is_second = Signal(init=1)
        requested, written = Signal(), Signal()  # what is done of this burst
        valid = Mux(is_second, second.awvalid, first.awvalid)
        w_valid = Mux(is_second, second.wvalid, first.wvalid)
        # Data may come before their request is taken, but not before it is there.
        w_open = (requested | valid) & ~written
        w_ready = slave.wready & w_open
        m.d.comb += [
            *self._request("aw", is_second),
            slave.awvalid.eq(valid & ~requested),
            first.awready.eq(slave.awready & ~requested & ~is_second),
            second.awready.eq(slave.awready & ~requested & is_second),
            slave.wdata.eq(Mux(is_second, second.wdata, first.wdata)),
            slave.wstrb.eq(Mux(is_second, second.wstrb, first.wstrb)),
            slave.wlast.eq(Mux(is_second, second.wlast, first.wlast)),
            slave.wvalid.eq(w_valid & w_open),
            first.wready.eq(w_ready & ~is_second),
            second.wready.eq(w_ready & is_second),
        ]
        now_requested = requested | (slave.awvalid & slave.awready)
        now_written = written | (slave.wvalid & slave.wready & slave.wlast)
        ended = now_requested & now_written
        m.d.sync += [requested.eq(now_requested & ~ended), written.eq(now_written & ~ended)]
        with m.If(ended | ~(requested | valid)):
            m.d.sync += is_second.eq(~first.awvalid | ~is_second)

        to_second = slave.bid[-1]
        for port in (first, second):
            m.d.comb += [port.bid.eq(slave.bid), port.bresp.eq(slave.bresp)]
        m.d.comb += [
            first.bvalid.eq(slave.bvalid & ~to_second),
            second.bvalid.eq(slave.bvalid & to_second),
            slave.bready.eq(Mux(to_second, second.bready, first.bready)),
        ]
