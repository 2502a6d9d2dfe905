"""AXI4 slave in front of an SDR SDRAM."""

from amaranth import *
from amaranth.back import verilog as backend
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from ..axi import AXI4Signature
from ..clocked import clocked
from ..queue import StreamQueue, StreamRegister
from .accesses import AccessGenerator, burst_layout
from .pins import SDRAMSignature
from .scheduler import Scheduler, started_layout


__all__ = (
    "CONTROLLER_NAME",
    "SDRAMController",
    "checked_timing",
    "controller_verilog",
)


CONTROLLER_NAME = "sdram_controller"


_SLVERR = 0b10
_BURST_LENGTHS = (1, 2, 4, 8)
_READ_DELAYS = range(4)


def checked_timing(part, *, clock, data_width, read_delay):
    """Return the timing of a part with some clock, for which there is a controller.

    Parameters are those of :class:`SDRAMController`.

    Raises
    ------
    ValueError
        If a beat is no burst of the memory, the clock does not suit it, or data come too late.
    """
    if data_width / part.data_bits not in _BURST_LENGTHS:
        widths = ", ".join(str(length * part.data_bits) for length in _BURST_LENGTHS)
        raise ValueError(
            f"Data width of a memory of {part.data_bits} bits must be one of {widths}, "
            f"not {data_width!r}")
    if read_delay not in _READ_DELAYS:
        raise ValueError(
            f"Read delay must be {_READ_DELAYS[0]} to {_READ_DELAYS[-1]} cycles, "
            f"not {read_delay!r}")
    return part.timing(clock)


class SDRAMController(wiring.Component):
    """Serve AXI4 bursts from an SDR SDRAM.

    ::

        AR ── accesses ─┐                ┌─ command, bank, address
                        ├── scheduler ───┤
        AW ── accesses ─┘                │ start
        W ─── queue ─────────────────────┼─ words ──▶ dq_o, dqm
        R ◀── queue ◀── beats ◀──────────┴─ words ◀── dq_i

    A beat is one burst of the memory. Long bursts use the data bus in every cycle, but for
    refreshes; a read answers in about 15 cycles when nothing else goes on. Bursts of one direction
    are answered in order; a read that is sent after the response of a write sees its data. What
    leaves the memory is answered with SLVERR, and so are bursts that do not increment or whose
    beats are narrower than the bus. Requests wait until the memory is powered up.

    All pins come from registers without logic behind them, and ``dq_i`` goes into one.

    Parameters
    ----------
    part : SDRAMPart
        The memory.
    clock : int
        Clock in Hz, of the controller and of the memory.
    data_width : int
        Bits of a beat: 1, 2, 4 or 8 words of the memory.
    id_width : int
        Bits of an identifier.
    read_delay : int
        Whole cycles by which data read reach ``dq_i`` later than the CAS latency says: 0 if the
        memory sees an edge of its clock no later than the one that ``dq_i`` is taken with; one
        more for each register in the pads on the way there and back, and for a board whose delays
        take more than is left of the cycle. At most 3.

    Members
    -------
    axi : In(AXI4Signature)
        The port.
    pins : Out(SDRAMSignature)
        The memory.
    """

    queue_depth = 16
    """Beats that wait in each direction: as many as LUT memory has rows."""

    response_depth = 4
    """Writes that wait for their response to be taken."""

    def __init__(self, part, *, clock, data_width, id_width, read_delay=0):
        self.part = part
        self.timing = checked_timing(
            part, clock=clock, data_width=data_width, read_delay=read_delay)
        self.data_width = data_width
        self.id_width = id_width
        self.read_delay = read_delay
        super().__init__({
            "axi": In(AXI4Signature(addr_width=32, data_width=data_width, id_width=id_width)),
            "pins": Out(SDRAMSignature(part)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.scheduler = scheduler = Scheduler(
            self.part, self.timing, data_width=self.data_width, id_width=self.id_width,
            read_delay=self.read_delay)
        pins = self.pins
        m.d.comb += [
            pins.cke.eq(scheduler.cke),
            pins.cs_n.eq(0),
            Cat(pins.we_n, pins.cas_n, pins.ras_n).eq(scheduler.command),
            pins.ba.eq(scheduler.ba),
            pins.a.eq(scheduler.a),
        ]
        reads, writes = self._accesses(m, "ar"), self._accesses(m, "aw")
        room = self._elaborate_reads(m, scheduler)
        ready = self._elaborate_writes(m, scheduler)
        for accesses, port, open_ in (
            (reads, scheduler.reads, room), (writes, scheduler.writes, ready),
        ):
            m.d.comb += [
                port.valid.eq(accesses.valid & open_),
                port.payload.eq(accesses.payload),
                accesses.ready.eq(port.ready & open_),
            ]
        return m

    def _accesses(self, m, channel):
        """Return the accesses of a channel of requests."""
        port = self.axi
        register = StreamRegister(burst_layout(self.id_width))
        generator = AccessGenerator(
            self.part, data_width=self.data_width, id_width=self.id_width)
        m.submodules[channel] = register
        m.submodules[f"{channel}_accesses"] = generator
        burst = register.i.payload
        m.d.comb += [
            burst.address.eq(getattr(port, f"{channel}addr")),
            burst.length.eq(getattr(port, f"{channel}len")),
            burst.size.eq(getattr(port, f"{channel}size")),
            burst.burst.eq(getattr(port, f"{channel}burst")),
            burst.id.eq(getattr(port, f"{channel}id")),
            register.i.valid.eq(getattr(port, f"{channel}valid")),
            getattr(port, f"{channel}ready").eq(register.i.ready),
        ]
        connect(m, register.o, generator.i)
        return generator.o

    def _elaborate_reads(self, m, scheduler):
        """Collect the words of each beat; return whether there is room for another beat."""
        port, words = self.axi, self.data_width // self.part.data_bits
        layout = started_layout(self.id_width)
        m.submodules.r = queue = StreamQueue(
            data.StructLayout({"data": self.data_width, "started": layout}), self.queue_depth)
        room = Signal(range(self.queue_depth + 1), init=self.queue_depth)
        open_ = _counted(
            m, room, room - (scheduler.reads.valid & scheduler.reads.ready)
            + (port.rvalid & port.rready))

        # The command reaches the memory two cycles after the scheduler has decided, the last word
        # the input register as many later as there are words.
        latency = 1 + self.timing.cas_latency + self.read_delay + words
        stages = [Signal(data.StructLayout({"valid": 1, "started": layout}), name=f"read_{number}")
                  for number in range(latency)]
        beat = Signal(self.data_width, reset_less=True)  # the uppermost word is the last one
        m.d.sync += [
            stages[0].valid.eq(scheduler.start & ~scheduler.started.write),
            stages[0].started.eq(scheduler.started),
            *(later.eq(earlier) for earlier, later in zip(stages, stages[1:])),
            beat.eq(Cat(beat, self.pins.dq_i)[self.part.data_bits:]),
        ]
        m.d.comb += [
            queue.i.valid.eq(stages[-1].valid),
            queue.i.payload.data.eq(beat),
            queue.i.payload.started.eq(stages[-1].started),
            port.rvalid.eq(queue.o.valid),
            queue.o.ready.eq(port.rready),
            port.rdata.eq(queue.o.payload.data),
            port.rid.eq(queue.o.payload.started.id),
            port.rlast.eq(queue.o.payload.started.last),
            port.rresp.eq(Mux(queue.o.payload.started.error, _SLVERR, 0)),
        ]
        return open_

    def _elaborate_writes(self, m, scheduler):
        """Part each beat into words; return whether a beat may be written."""
        port, words = self.axi, self.data_width // self.part.data_bits
        m.submodules.w = queue = StreamQueue(
            data.StructLayout({"data": self.data_width, "strobe": self.data_width // 8}),
            self.queue_depth)
        m.submodules.b = responses = StreamQueue(
            data.StructLayout({"id": self.id_width, "error": 1}), self.response_depth)
        taken = scheduler.writes.valid & scheduler.writes.ready
        beats = Signal(range(self.queue_depth + 1))  # there, and not promised to an access
        room = Signal(range(self.response_depth + 1), init=self.response_depth)
        some_beats = _counted(m, beats, beats + (port.wvalid & port.wready) - taken)
        some_room = _counted(
            m, room, room - (taken & scheduler.writes.payload.last) + (port.bvalid & port.bready))
        start = scheduler.start & scheduler.started.write
        number = Signal(range(max(words, 2)))
        masked = Signal()
        writing, error = start | number.any(), Mux(start, scheduler.started.error, masked)
        width = self.part.data_bits
        m.d.sync += [
            self.pins.dq_oe.eq(writing),
            self.pins.dq_o.eq(queue.o.payload.data.word_select(number, width)),
            self.pins.dqm.eq(Mux(
                writing, ~queue.o.payload.strobe.word_select(number, width // 8)
                | error.replicate(width // 8), 0)),
            masked.eq(error),
        ]
        with m.If(writing):
            m.d.sync += number.eq(Mux(number == words - 1, 0, number + 1))
        m.d.comb += [
            queue.i.valid.eq(port.wvalid),
            queue.i.payload.data.eq(port.wdata),
            queue.i.payload.strobe.eq(port.wstrb),
            port.wready.eq(queue.i.ready),
            queue.o.ready.eq(writing & (number == words - 1)),
            responses.i.valid.eq(start & scheduler.started.last),
            responses.i.payload.id.eq(scheduler.started.id),
            responses.i.payload.error.eq(scheduler.started.error),
            port.bvalid.eq(responses.o.valid),
            port.bid.eq(responses.o.payload.id),
            port.bresp.eq(Mux(responses.o.payload.error, _SLVERR, 0)),
            responses.o.ready.eq(port.bready),
        ]
        return some_beats & some_room


def _counted(m, count, following):
    """Let a count follow; return whether it is not 0, a register."""
    some = Signal(init=count.init != 0, name=f"some_{count.name}")
    after = Signal.like(count, name=f"next_{count.name}")
    m.d.comb += after.eq(following)
    m.d.sync += [count.eq(after), some.eq(after != 0)]
    return some


def controller_verilog(controller):
    """Return the Verilog of an :class:`SDRAMController`, called :data:`CONTROLLER_NAME`."""
    return clocked(backend.convert(
        controller, name=CONTROLLER_NAME, emit_src=False, strip_internal_attrs=True))
