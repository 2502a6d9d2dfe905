"""On-chip memory behind an AXI4 port."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..axi import AXI4Signature
from ..primitives import BulkMemory


__all__ = ("BlockMemory",)


_SLVERR = 0b10


class BlockMemory(wiring.Component):
    """AXI4 slave over on-chip memory with a single port.

    A beat a cycle, read or written; what is written goes first, once the memory's output has been
    taken over. A read answers three cycles after its request. Bursts increment and have full beats;
    writes heed ``wstrb``. One burst in each direction at a time, in order. Beats beyond the end are
    answered with SLVERR.

    Parameters
    ----------
    data_width : int
        Bits of a beat.
    id_width : int
        Bits of an identifier.
    size : int
        Bytes; a multiple of a beat, and no power of two where that would waste memory.
    init : bytes
        What the first bytes are before anything is written. The others are 0. Memory that cannot be
        initialized, such as SPRAM of iCE40, needs it empty.

    Members
    -------
    axi : In(AXI4Signature)
        The port.
    """

    def __init__(self, *, data_width, id_width, size, init=b""):
        beat = data_width // 8
        if size < 2 * beat or size % beat:
            raise ValueError(
                f"Size must be a multiple of {beat} bytes, at least two, not {size!r}")
        if len(init) > size:
            raise ValueError(f"Init must have at most {size} bytes, not {len(init)}")
        self.data_width = data_width
        self.id_width = id_width
        self.size = size
        self.init = init
        super().__init__({
            "axi": In(AXI4Signature(addr_width=32, data_width=data_width, id_width=id_width)),
        })

    def elaborate(self, platform):
        m = Module()
        port = self.axi
        beat = self.data_width // 8
        depth = self.size // beat
        m.submodules.memory = memory = BulkMemory(
            width=self.data_width, depth=depth,
            init=[int.from_bytes(self.init[n:n + beat], "little")
                  for n in range(0, len(self.init), beat)])

        place = beat.bit_length() - 1
        hold = Signal()  # a beat read is not taken: what is behind it waits
        writing = Signal()
        issue = Signal()
        answered = Signal()  # what the memory gives is to be taken: a write would lose it
        w_active, w_row, w_beyond = Signal(), Signal(range(depth)), Signal()
        r_active, r_row, r_beyond = Signal(), Signal(range(depth)), Signal()
        for active, row, beyond, accept, address, step in (
            (w_active, w_row, w_beyond, port.awvalid & port.awready, port.awaddr, writing),
            (r_active, r_row, r_beyond, port.arvalid & port.arready, port.araddr, issue),
        ):
            with m.If(accept):
                m.d.sync += [
                    active.eq(1), row.eq(address[place:]), beyond.eq(address >= self.size)]
            with m.Elif(step):
                m.d.sync += row.eq(row + 1)
                with m.If(row == depth - 1):
                    m.d.sync += beyond.eq(1)

        m.d.comb += [
            memory.en.eq(issue | memory.w_en.any()),
            memory.w_en.eq(port.wstrb & (writing & ~w_beyond).replicate(beat)),
            memory.row.eq(Mux(writing, w_row, r_row)),
            memory.w_data.eq(port.wdata),
            memory.hold.eq(hold),
            port.rdata.eq(memory.r_data),
        ]

        m.d.comb += [
            port.awready.eq(~w_active & ~port.bvalid),
            port.wready.eq(w_active & ~answered),
            writing.eq(port.wready & port.wvalid),
        ]
        with m.If(port.bready):
            m.d.sync += port.bvalid.eq(0)
        with m.If(port.awvalid & port.awready):
            m.d.sync += port.bid.eq(port.awid)
        with m.If(writing & port.wlast):
            m.d.sync += [
                w_active.eq(0), port.bvalid.eq(1), port.bresp.eq(Mux(w_beyond, _SLVERR, 0))]

        left, number = Signal(8), Signal(self.id_width)
        m.d.comb += [
            port.arready.eq(~r_active),
            hold.eq(port.rvalid & ~port.rready),
            issue.eq(r_active & ~hold & ~(w_active & port.wvalid)),
        ]
        with m.If(port.arvalid & port.arready):
            m.d.sync += [left.eq(port.arlen), number.eq(port.arid)]
        with m.Elif(issue):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += r_active.eq(0)

        last, beyond, owner = Signal(), Signal(), Signal(self.id_width)
        with m.If(~hold):
            m.d.sync += [
                answered.eq(issue), last.eq(left == 0), beyond.eq(r_beyond), owner.eq(number),
                port.rvalid.eq(answered), port.rlast.eq(last), port.rid.eq(owner),
                port.rresp.eq(Mux(beyond, _SLVERR, 0)),
            ]
        return m
