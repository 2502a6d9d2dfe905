"""Fetch of the program and dispatch to the engines."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.isa import (
    INSTRUCTION_BITS,
    INSTRUCTION_SIZE,
    ISA_VERSION,
    MAGIC,
    Engine,
    Opcode,
)
from arch.registers import Error

from .layouts import (
    HEADER_LAYOUT,
    ErrorStrobe,
    Request,
    common_fields,
    engine_opcodes,
    instruction_layout,
    layout_of,
    read_beat_layout,
)
from .queue import StreamQueue


__all__ = (
    "Fetcher",
)


class ReadAhead(wiring.Component):
    """Read consecutive beats from DRAM into a queue, in bursts of up to four instructions.

    Bursts end at multiples of their greatest length, so that none crosses a page. A burst is
    asked for when the queue has room for all of it.

    Parameters
    ----------
    config : AcceleratorConfig
        Width of a beat, longest burst.

    Members
    -------
    start : In(1)
        Strobe: go to ``address``; nothing may be under way.
    address : In(32)
        Byte address of the first beat.
    extend : In(1)
        Strobe: replace the number of beats still to ask for by ``count``.
    count : In(32)
        Beats.
    requests : Out(stream(Request))
        Read bursts.
    beats : In(stream(read_beat_layout(config)))
        Data of the bursts. Always ready.
    o : Out(stream({data, failed}))
        Beats in order; ``failed`` marks one that came with an error.
    empty : Out(1)
        Whether no beat is in the queue or on its way.
    to_boundary : Out
        Beats from the address of the next burst to the boundary that ends it.
    """

    def __init__(self, config):
        self._config = config
        self._burst_beats = min(config.burst_length, 4 * INSTRUCTION_SIZE // config.dram_width)
        self._depth = max(2 * self._burst_beats, 8 * INSTRUCTION_SIZE // config.dram_width)
        self._beat_layout = data.StructLayout({"data": config.dram_width * 8, "failed": 1})
        super().__init__({
            "start": In(1),
            "address": In(32),
            "extend": In(1),
            "count": In(32),
            "requests": Out(stream.Signature(Request)),
            "beats": In(stream.Signature(read_beat_layout(config))),
            "o": Out(stream.Signature(self._beat_layout)),
            "empty": Out(1),
            "to_boundary": Out(range(self._burst_beats + 1)),
        })

    @property
    def burst_beats(self):
        """Beats in the longest burst."""
        return self._burst_beats

    def elaborate(self, platform):
        m = Module()
        beat_bits = (self._config.dram_width - 1).bit_length()
        block_bits = (self._burst_beats - 1).bit_length()

        m.submodules.queue = queue = StreamQueue(self._beat_layout, self._depth, buffered=True)
        connect(m, queue.o, flipped(self.o))
        m.d.comb += [
            queue.i.valid.eq(self.beats.valid),
            queue.i.payload.data.eq(self.beats.payload.data),
            queue.i.payload.failed.eq(self.beats.payload.resp[1]),
            self.beats.ready.eq(queue.i.ready),
        ]

        address = Signal(32, reset_less=True)
        left = Signal(32)
        room = Signal(range(self._depth + 1), init=self._depth)
        length = Signal(range(self._burst_beats + 1), reset_less=True)
        some = Signal(reset_less=True)
        measured = Signal()
        issue = Signal()
        popped = Signal()
        m.d.comb += [
            self.to_boundary.eq(self._burst_beats - address[beat_bits:beat_bits + block_bits]),
            self.empty.eq((room == self._depth) & ~self.requests.valid),
            issue.eq(measured & some & (room >= length)
                     & (~self.requests.valid | self.requests.ready)),
            popped.eq(self.o.valid & self.o.ready),
        ]
        with m.If(self.requests.ready):
            m.d.sync += self.requests.valid.eq(0)
        m.d.sync += [
            length.eq(Mux(left < self.to_boundary, left, self.to_boundary)),
            some.eq(left != 0),
            measured.eq(~issue),
            room.eq(room - Mux(issue, length, 0) + popped),
        ]
        with m.If(issue):
            m.d.sync += [
                self.requests.valid.eq(1),
                self.requests.payload.address.eq(address),
                self.requests.payload.length.eq(length - 1),
                address.eq(address + (length << beat_bits)),
                left.eq(left - length),
            ]
        with m.If(self.start):
            m.d.sync += [
                address.eq(self.address[beat_bits:] << beat_bits),
                left.eq(0),
                measured.eq(0),
            ]
        with m.If(self.extend):
            m.d.sync += [
                left.eq(self.count),
                measured.eq(0),
            ]
        return m


class Fetcher(wiring.Component):
    """Read a program and hand its instructions to the engines, in order.

    A program is a header and instructions of 64 bytes each up to END, at a multiple of the beat
    (of 256 bytes for the fewest bursts). The header is checked before anything is dispatched.
    Throughput is one instruction in ``64 / dram_width + 2`` cycles. An instruction whose engine
    does not take it blocks all that follow. After END, an error or ``stop`` the rest of what was
    asked for is read and thrown away. At most the rest of the 256 bytes that the header lies in
    is read past the end of a program.

    Parameters
    ----------
    config : AcceleratorConfig
        Width of a beat, longest burst, hash.

    Members
    -------
    start : In(1)
        Strobe: run the program at ``address``. Ignored unless ``idle``.
    address : In(32)
        Byte address of the header.
    stop : In(1)
        Dispatch nothing more.
    requests : Out(stream(Request))
        Read bursts.
    beats : In(stream(read_beat_layout(config)))
        Data of the bursts. Always ready.
    load, calc, save : Out(stream(instruction_layout(engine)))
        Instructions.
    dispatched : Out(1)
        Strobe: an engine has taken an instruction.
    fetched : Out(32)
        Instructions read since the start.
    idle : Out(1)
        Whether no program runs.
    error : Out(ErrorStrobe)
        MAGIC, VERSION, CONFIG: the header is not for this accelerator. OPCODE: an instruction is
        none, or there is no END. FIELD: a LOAD or SAVE of no rows. READ: a beat came with an
        error.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "start": In(1),
            "address": In(32),
            "stop": In(1),
            "requests": Out(stream.Signature(Request)),
            "beats": In(stream.Signature(read_beat_layout(config))),
            "load": Out(stream.Signature(instruction_layout(Engine.LOAD))),
            "calc": Out(stream.Signature(instruction_layout(Engine.CALC))),
            "save": Out(stream.Signature(instruction_layout(Engine.SAVE))),
            "dispatched": Out(1),
            "fetched": Out(32),
            "idle": Out(1),
            "error": Out(ErrorStrobe),
        })

    def elaborate(self, platform):
        m = Module()
        beat_width = self._config.dram_width * 8
        word_beats = INSTRUCTION_BITS // beat_width

        m.submodules.ahead = ahead = ReadAhead(self._config)
        connect(m, ahead.requests, flipped(self.requests))
        connect(m, flipped(self.beats), ahead.beats)

        # One instruction, or the header, shifted in from the top.
        word = Signal(INSTRUCTION_BITS, reset_less=True)
        beats_left = Signal(range(word_beats + 1))
        failed = Signal()
        header = data.View(HEADER_LAYOUT, word[:HEADER_LAYOUT.size])
        opcode = common_fields(word).opcode
        layout = layout_of(Opcode.LOAD)
        transfer = data.View(layout, word[:layout.size])
        # What the word is, known when it is whole.
        kinds = {entry: Signal(name=f"is_{entry.name.lower()}") for entry in
                 (Opcode.END, *engine_opcodes(self._config))}
        no_rows = Signal()
        wrong = {error: Signal(name=f"wrong_{error.name.lower()}")
                 for error in (Error.READ, Error.MAGIC, Error.VERSION, Error.CONFIG)}

        extra = Signal(range(ahead.burst_beats + 1), reset_less=True)
        remaining = Signal(32, reset_less=True)
        exhausted = Signal(reset_less=True)  # none remain
        beat_count = Signal(32)
        behind = Signal(32, reset_less=True)  # beats that have not been asked for
        m.d.comb += beat_count.eq(header.instruction_count * word_beats)

        streams = {Engine.LOAD: self.load, Engine.CALC: self.calc, Engine.SAVE: self.save}
        # Whether the word is for an engine, as a register: it lets a whole queue write.
        wanted = {engine: Signal(name=f"for_{engine.name.lower()}") for engine in streams}
        for engine, engine_stream in streams.items():
            m.d.comb += [
                Value.cast(engine_stream.payload).eq(word),
                engine_stream.valid.eq(wanted[engine]),
            ]
        m.d.comb += self.dispatched.eq(
            Cat(port.valid & port.ready for port in streams.values()).any())
        m.d.sync += self.error.valid.eq(0)

        def fail(code):
            m.d.sync += [self.error.valid.eq(1), self.error.code.eq(code)]
            m.next = "DRAIN"

        def next_word():
            m.d.sync += [beats_left.eq(word_beats), failed.eq(0)]

        def collect():
            m.d.comb += ahead.o.ready.eq(beats_left != 0)
            with m.If(ahead.o.valid & ahead.o.ready):
                m.d.sync += [
                    word.eq(Cat(word[beat_width:], ahead.o.payload.data)),
                    failed.eq(failed | ahead.o.payload.failed),
                    beats_left.eq(beats_left - 1),
                ]

        m.d.comb += ahead.address.eq(self.address)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    self.idle.eq(1),
                    ahead.start.eq(self.start),
                ]
                next_word()
                with m.If(self.start):
                    m.d.sync += self.fetched.eq(0)
                    m.next = "FIRST"
            with m.State("FIRST"):
                # With the header, what follows it up to the boundary, if that is one burst.
                m.d.comb += ahead.extend.eq(1)
                m.d.sync += extra.eq(0)
                m.d.comb += ahead.count.eq(word_beats)
                with m.If(ahead.to_boundary > word_beats):
                    m.d.sync += extra.eq(ahead.to_boundary - word_beats)
                    m.d.comb += ahead.count.eq(ahead.to_boundary)
                m.next = "HEADER"
            with m.State("HEADER"):
                collect()
                m.d.sync += [
                    behind.eq(Mux(beat_count > extra, beat_count - extra, 0)),
                    remaining.eq(header.instruction_count),
                    exhausted.eq(header.instruction_count == 0),
                    wrong[Error.READ].eq(failed),
                    wrong[Error.MAGIC].eq(header.magic != MAGIC),
                    wrong[Error.VERSION].eq(header.version != ISA_VERSION),
                    wrong[Error.CONFIG].eq(header.config_hash != self._config.hash),
                ]
                with m.If(beats_left == 0):
                    m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += ahead.count.eq(behind)
                # Too early for the errors; DRAIN takes it back before anything is asked for.
                m.d.comb += ahead.extend.eq(1)
                next_word()
                m.next = "COLLECT"
                for error in reversed(wrong):
                    with m.If(wrong[error]):
                        fail(error)
            with m.State("COLLECT"):
                collect()
                with m.If(self.stop):
                    m.next = "DRAIN"
                with m.Elif(exhausted):
                    fail(Error.OPCODE)
                with m.Elif(beats_left == 0):
                    empty = (transfer.row_count == 0) | (transfer.line_count == 0)
                    m.d.sync += [
                        *(kind.eq(opcode == entry) for entry, kind in kinds.items()),
                        no_rows.eq(empty),
                        self.fetched.eq(self.fetched + 1),
                        remaining.eq(remaining - 1),
                        exhausted.eq(remaining == 1),
                    ]
                    with m.If(failed):
                        fail(Error.READ)
                    with m.Else():
                        for engine, is_wanted in wanted.items():
                            known = Cat(opcode == kind for kind in kinds if kind.engine is engine)
                            m.d.sync += is_wanted.eq(
                                known.any() & (~empty if engine is not Engine.CALC else 1))
                        m.next = "DISPATCH"
            with m.State("DISPATCH"):
                with m.If(kinds[Opcode.END]):
                    m.next = "DRAIN"
                with m.Elif((kinds[Opcode.LOAD] | kinds[Opcode.SAVE]) & no_rows):
                    fail(Error.FIELD)
                with m.Elif(~Cat(kinds.values()).any()):
                    fail(Error.OPCODE)
                with m.If(self.dispatched):
                    m.d.sync += [is_wanted.eq(0) for is_wanted in wanted.values()]
                    next_word()
                    m.next = "COLLECT"
            with m.State("DRAIN"):
                m.d.comb += [
                    ahead.o.ready.eq(1),
                    ahead.extend.eq(1),
                    ahead.count.eq(0),
                ]
                with m.If(ahead.empty):
                    m.next = "IDLE"
        return m
