"""Sharing the AXI4 read channels between the LOAD engine and the fetch."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .axi_ports import bus_beat_layout, bus_request_layout
from .layouts import Request, read_beat_layout


__all__ = (
    "FETCH_ID",
    "LOAD_ID",
    "ReadArbiter",
)


LOAD_ID = 0
FETCH_ID = 1


class ReadArbiter(wiring.Component):
    """Merge two streams of read bursts and part their data again, by transaction identifier.

    The fetch comes first: its bursts are short. Combinational.

    Parameters
    ----------
    config : AcceleratorConfig
        Width of a beat.

    Members
    -------
    load_requests, fetch_requests : In(stream(Request))
        Bursts.
    requests : Out(stream(bus_request_layout()))
        The bursts of both, with their identifiers.
    beats : In(stream(bus_beat_layout(config)))
        Data of all bursts; bursts of different identifiers in any order.
    load_beats, fetch_beats : Out(stream(read_beat_layout(config)))
        Data of the bursts of each.
    """

    def __init__(self, config):
        beat = stream.Signature(read_beat_layout(config))
        super().__init__({
            "load_requests": In(stream.Signature(Request)),
            "fetch_requests": In(stream.Signature(Request)),
            "requests": Out(stream.Signature(bus_request_layout())),
            "beats": In(stream.Signature(bus_beat_layout(config))),
            "load_beats": Out(beat),
            "fetch_beats": Out(beat),
        })

    def elaborate(self, platform):
        m = Module()
        # A burst offered stays offered, also when one that comes first appears. One that LOAD
        # withdraws, because it was stopped, costs a cycle.
        load_held = Signal()
        fetch_first = Signal()
        m.d.comb += [
            fetch_first.eq(self.fetch_requests.valid & ~load_held),
            self.requests.valid.eq(self.load_requests.valid | fetch_first),
        ]
        m.d.sync += load_held.eq(self.requests.valid & ~self.requests.ready & ~fetch_first)
        with m.If(fetch_first):
            m.d.comb += [
                self.requests.payload.request.eq(self.fetch_requests.payload),
                self.requests.payload.id.eq(FETCH_ID),
                self.fetch_requests.ready.eq(self.requests.ready),
            ]
        with m.Else():
            m.d.comb += [
                self.requests.payload.request.eq(self.load_requests.payload),
                self.requests.payload.id.eq(LOAD_ID),
                self.load_requests.ready.eq(self.requests.ready),
            ]

        is_fetch = self.beats.payload.id == FETCH_ID
        m.d.comb += [
            self.load_beats.payload.eq(self.beats.payload.beat),
            self.fetch_beats.payload.eq(self.beats.payload.beat),
            self.load_beats.valid.eq(self.beats.valid & ~is_fetch),
            self.fetch_beats.valid.eq(self.beats.valid & is_fetch),
            self.beats.ready.eq(Mux(is_fetch, self.fetch_beats.ready, self.load_beats.ready)),
        ]
        return m
