"""Fetch, LOAD and SAVE of an accelerator that runs one instruction after the other."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.isa import Engine

from .axi import BURST_INCR, AXI4Signature
from .in_order import InOrderFetcher
from .layouts import (
    Done,
    ErrorStrobe,
    bases_layout,
    index_width,
    instruction_layout,
    write_beat_layout,
)
from .read_arbiter import FETCH_ID, LOAD_ID
from .transfer import TransferEngine


__all__ = ("InOrderFront",)


class InOrderFront(wiring.Component):
    """What stands between the bus and CALC, without queues, tokens and copies of instructions.

    The bus has one burst at a time, and sees the engines directly.

    ::

        m_axi ─┬─ fetch ── instruction ─┬─ CALC
               └─ LOAD, SAVE ◀──────────┘

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes.

    Members
    -------
    m_axi : Out(AXI4Signature)
        Master to DRAM.
    start, program, bases, stop, abort : In
        As :class:`hw.control.Control` gives them.
    calc : Out(stream(instruction_layout(Engine.CALC)))
        Instructions; the payload stays until ``calc_done``.
    calc_done : In(Done)
        CALC has done its instruction.
    writes, reads, row_valid, row_data
        On-chip memories, as of :class:`hw.transfer.TransferEngine`.
    quiet, load_done, save_done, load_status, save_status, load_error, save_error
        As of :class:`hw.transfer.TransferEngine`.
    started : Out(3)
        Strobe by engine: it has taken an instruction.
    dispatched, fetched, idle, fetch_error : Out
        As of :class:`hw.in_order.InOrderFetcher`.
    """

    def __init__(self, config):
        self._config = config
        self._transfer = TransferEngine(config)
        ports = self._transfer.signature.members
        super().__init__({
            "m_axi": Out(AXI4Signature(
                addr_width=32, data_width=config.dram_width * 8, id_width=1)),
            "start": In(1),
            "program": In(config.address_bits),
            "bases": In(bases_layout(config.address_bits)),
            "stop": In(1),
            "abort": In(1),
            "calc": Out(stream.Signature(instruction_layout(Engine.CALC))),
            "calc_done": In(Done),
            "writes": Out(stream.Signature(write_beat_layout(config))),
            **{name: ports[name] for name in (
                "reads", "row_valid", "row_data", "quiet", "load_done", "save_done",
                "load_status", "save_status", "load_error", "save_error")},
            "started": Out(len(Engine)),
            "dispatched": Out(1),
            "fetched": Out(index_width(config)),
            "idle": Out(1),
            "fetch_error": Out(ErrorStrobe),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.fetcher = fetcher = InOrderFetcher(self._config)
        transfer = self._transfer
        m.submodules.transfer = ResetInserter(self.abort)(transfer)
        connect(m, fetcher.calc, flipped(self.calc))
        connect(m, transfer.writes, flipped(self.writes))
        connect(m, transfer.reads, flipped(self.reads))
        m.d.comb += [
            fetcher.start.eq(self.start), fetcher.address.eq(self.program),
            fetcher.stop.eq(self.stop),
            fetcher.ended.eq(
                transfer.load_done.valid | transfer.save_done.valid | self.calc_done.valid),
            transfer.instructions.payload.eq(fetcher.load.payload),
            transfer.instructions.valid.eq(fetcher.load.valid | fetcher.save.valid),
            fetcher.load.ready.eq(transfer.instructions.ready),
            fetcher.save.ready.eq(transfer.instructions.ready),
            transfer.bases.eq(self.bases), transfer.stop.eq(self.stop),
            transfer.row_valid.eq(self.row_valid), transfer.row_data.eq(self.row_data),
            self.started.eq(Cat(
                port.valid & port.ready for port in (fetcher.load, fetcher.calc, fetcher.save))),
            self.dispatched.eq(fetcher.dispatched), self.fetched.eq(fetcher.fetched),
            self.idle.eq(fetcher.idle), self.fetch_error.eq(fetcher.error),
        ]
        for name in ("quiet", "load_done", "save_done", "load_status", "save_status",
                     "load_error", "save_error"):
            m.d.comb += getattr(self, name).eq(getattr(transfer, name))
        self._elaborate_bus(m, fetcher, transfer)
        return m

    def _elaborate_bus(self, m, fetcher, transfer):
        """Give the bus to the fetch or to LOAD and SAVE: never both use it."""
        port = self.m_axi
        fetches = fetcher.requests.valid
        read = Mux(fetches, fetcher.requests.payload, transfer.read_requests.payload)
        size = (self._config.dram_width - 1).bit_length()
        m.d.comb += [
            port.arvalid.eq(fetches | transfer.read_requests.valid),
            port.arid.eq(Mux(fetches, FETCH_ID, LOAD_ID)),
            Cat(port.araddr, port.arlen).eq(read),
            port.arsize.eq(size),
            port.arburst.eq(BURST_INCR),
            fetcher.requests.ready.eq(port.arready),
            transfer.read_requests.ready.eq(port.arready),
            port.rready.eq(fetcher.beats.ready | transfer.read_beats.ready),

            port.awvalid.eq(transfer.write_requests.valid),
            port.awid.eq(0),
            Cat(port.awaddr, port.awlen).eq(transfer.write_requests.payload),
            port.awsize.eq(size),
            port.awburst.eq(BURST_INCR),
            transfer.write_requests.ready.eq(port.awready),
            port.wvalid.eq(transfer.write_beats.valid),
            port.wdata.eq(transfer.write_beats.payload.data),
            port.wlast.eq(transfer.write_beats.payload.last),
            port.wstrb.eq(~0),
            transfer.write_beats.ready.eq(port.wready),
            transfer.responses.valid.eq(port.bvalid),
            transfer.responses.payload.resp.eq(port.bresp),
            port.bready.eq(transfer.responses.ready),
        ]
        for beats in (fetcher.beats, transfer.read_beats):
            m.d.comb += [
                beats.valid.eq(port.rvalid),
                beats.payload.data.eq(port.rdata),
                beats.payload.resp.eq(port.rresp),
                beats.payload.last.eq(port.rlast),
            ]
