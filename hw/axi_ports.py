"""The AXI4 master port: from streams to flat signals."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .axi import BURST_INCR, AXI4Signature
from .layouts import Request, Response, read_beat_layout, save_beat_layout
from .queue import StreamBuffer, StreamRegister


__all__ = (
    "AXIPorts",
    "bus_beat_layout",
    "bus_request_layout",
)


def bus_request_layout():
    """Return the layout of a read burst with its transaction identifier."""
    return data.StructLayout({"request": Request, "id": 1})


def bus_beat_layout(config):
    """Return the layout of a beat read, with its transaction identifier."""
    return data.StructLayout({"beat": read_beat_layout(config), "id": 1})


class AXIPorts(wiring.Component):
    """Drive an AXI4 master port from one stream for each channel, through registers.

    Beats and responses move every cycle, requests every other one: no burst is cut faster.

    Bursts increment, beats have the full width of the bus, all bytes are written, writes have
    identifier 0.

    Parameters
    ----------
    config : AcceleratorConfig
        Width of a beat.

    Members
    -------
    read_requests : In(stream(bus_request_layout()))
        AR.
    read_beats : Out(stream(bus_beat_layout(config)))
        R.
    write_requests : In(stream(Request))
        AW.
    write_beats : In(stream(save_beat_layout(config)))
        W.
    responses : Out(stream(Response))
        B.
    m_axi : Out(AXI4Signature)
        The port.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "read_requests": In(stream.Signature(bus_request_layout())),
            "read_beats": Out(stream.Signature(bus_beat_layout(config))),
            "write_requests": In(stream.Signature(Request)),
            "write_beats": In(stream.Signature(save_beat_layout(config))),
            "responses": Out(stream.Signature(Response)),
            "m_axi": Out(AXI4Signature(
                addr_width=32, data_width=config.dram_width * 8, id_width=1)),
        })

    def elaborate(self, platform):
        m = Module()
        port = self.m_axi
        m.submodules.ar = ar = StreamRegister(bus_request_layout())
        m.submodules.r = r = StreamBuffer(bus_beat_layout(self._config))
        m.submodules.aw = aw = StreamRegister(Request)
        m.submodules.w = w = StreamBuffer(save_beat_layout(self._config))
        m.submodules.b = b = StreamBuffer(Response)
        connect(m, flipped(self.read_requests), ar.i)
        connect(m, r.o, flipped(self.read_beats))
        connect(m, flipped(self.write_requests), aw.i)
        connect(m, flipped(self.write_beats), w.i)
        connect(m, b.o, flipped(self.responses))

        size = (self._config.dram_width - 1).bit_length()
        m.d.comb += [
            port.arid.eq(ar.o.payload.id),
            port.araddr.eq(ar.o.payload.request.address),
            port.arlen.eq(ar.o.payload.request.length),
            port.arsize.eq(size),
            port.arburst.eq(BURST_INCR),
            port.arvalid.eq(ar.o.valid),
            ar.o.ready.eq(port.arready),

            r.i.payload.id.eq(port.rid),
            r.i.payload.beat.data.eq(port.rdata),
            r.i.payload.beat.resp.eq(port.rresp),
            r.i.payload.beat.last.eq(port.rlast),
            r.i.valid.eq(port.rvalid),
            port.rready.eq(r.i.ready),

            port.awid.eq(0),
            port.awaddr.eq(aw.o.payload.address),
            port.awlen.eq(aw.o.payload.length),
            port.awsize.eq(size),
            port.awburst.eq(BURST_INCR),
            port.awvalid.eq(aw.o.valid),
            aw.o.ready.eq(port.awready),

            port.wdata.eq(w.o.payload.data),
            port.wstrb.eq(~0),
            port.wlast.eq(w.o.payload.last),
            port.wvalid.eq(w.o.valid),
            w.o.ready.eq(port.wready),

            b.i.payload.resp.eq(port.bresp),
            b.i.valid.eq(port.bvalid),
            port.bready.eq(b.i.ready),
        ]
        return m
