"""Fetch and dispatch of one instruction after the other, in one register."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import (
    HEADER_FIELDS,
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
    index_width,
    instruction_layout,
    layout_of,
    read_beat_layout,
)


__all__ = ("InOrderFetcher",)


_HEADER_WORD = 32
"""Bits of a header that are compared at a time."""


class InOrderFetcher(wiring.Component):
    """Read a program and hand its instructions to the engines, each when the one before is done.

    What :class:`hw.fetch.Fetcher` does, without anything ahead: an instruction is one burst, and
    stays in the only register that there is for it until the engine that runs it has ended. A
    program is at a multiple of 64 bytes.

    Parameters
    ----------
    config : AcceleratorConfig
        Width of a beat and of an address, hash.

    Members
    -------
    start : In(1)
        Strobe: run the program at ``address``. Ignored unless ``idle``.
    address : In(config.address_bits)
        Byte address of the header.
    stop : In(1)
        Dispatch nothing more.
    ended : In(1)
        Strobe: the instruction dispatched last is done.
    requests : Out(stream(Request))
        Read bursts.
    beats : In(stream(read_beat_layout(config)))
        Data of the bursts. Always ready where one has been asked for.
    load, calc, save : Out(stream(instruction_layout(engine)))
        Instructions; the payload stays until ``ended``.
    dispatched : Out(1)
        Strobe: an engine has taken an instruction.
    fetched : Out(index_width(config))
        Instructions read since the start.
    idle : Out(1)
        Whether no program runs.
    error : Out(ErrorStrobe)
        As of :class:`hw.fetch.Fetcher`.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "start": In(1),
            "address": In(config.address_bits),
            "stop": In(1),
            "ended": In(1),
            "requests": Out(stream.Signature(Request)),
            "beats": In(stream.Signature(read_beat_layout(config))),
            "load": Out(stream.Signature(instruction_layout(Engine.LOAD))),
            "calc": Out(stream.Signature(instruction_layout(Engine.CALC))),
            "save": Out(stream.Signature(instruction_layout(Engine.SAVE))),
            "dispatched": Out(1),
            "fetched": Out(index_width(config)),
            "idle": Out(1),
            "error": Out(ErrorStrobe),
        })

    def elaborate(self, platform):
        m = Module()
        beat_width = self._config.dram_width * 8
        word_beats = INSTRUCTION_BITS // beat_width
        place = (INSTRUCTION_SIZE - 1).bit_length()

        beats = [Signal(beat_width, name=f"beat_{number}", reset_less=True)
                 for number in range(word_beats)]
        word = Cat(beats)
        row = Signal(self._config.address_bits - place, reset_less=True)
        number = Signal(range(word_beats))
        left = Signal(index_width(self._config) + 1)
        in_header = Signal()
        failed = Signal()
        wrong = Signal(8)  # what is wrong with the header, 0 if nothing

        streams = {Engine.LOAD: self.load, Engine.CALC: self.calc, Engine.SAVE: self.save}
        for port in streams.values():
            m.d.comb += Value.cast(port.payload).eq(word)
        header = data.View(HEADER_LAYOUT, word[:HEADER_LAYOUT.size])
        layout = layout_of(Opcode.LOAD)
        transfer = data.View(layout, word[:layout.size])
        no_rows = (transfer.row_count == 0) | (transfer.line_count == 0)
        m.d.comb += [
            self.dispatched.eq(Cat(port.valid & port.ready for port in streams.values()).any()),
            self.requests.payload.address.eq(row << place),
            self.requests.payload.length.eq(word_beats - 1),
        ]
        m.d.sync += self.error.valid.eq(0)

        def fail(code):
            m.d.sync += [self.error.valid.eq(1), self.error.code.eq(code)]
            m.next = "IDLE"

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.idle.eq(1)
                m.d.sync += [
                    row.eq(self.address[place:]), self.fetched.eq(0), in_header.eq(1), wrong.eq(0)]
                with m.If(self.start):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.sync += [number.eq(0), failed.eq(0)]
                m.d.comb += self.requests.valid.eq(1)
                with m.If(self.requests.ready):
                    m.d.sync += row.eq(row + 1)
                    m.next = "COLLECT"
            with m.State("COLLECT"):
                m.d.comb += self.beats.ready.eq(1)
                with m.If(self.beats.valid):
                    m.d.sync += [
                        number.eq(number + 1), failed.eq(failed | self.beats.payload.resp[1])]
                    with m.Switch(number):
                        for index, beat in enumerate(beats):
                            with m.Case(index):
                                m.d.sync += beat.eq(self.beats.payload.data)
                    self._compare(m, number, wrong)
                    with m.If(number == word_beats - 1):
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += [in_header.eq(0), self.fetched.eq(self.fetched + (~in_header)[0])]
                with m.If(self.stop):
                    m.next = "IDLE"
                with m.Elif(failed):
                    fail(Error.READ)
                with m.Elif(in_header):
                    m.d.sync += left.eq(header.instruction_count)
                    m.next = "ASK"
                    with m.If(wrong != 0):
                        fail(wrong)
                with m.Elif(left == 0):
                    fail(Error.OPCODE)
                with m.Else():
                    m.d.sync += left.eq(left - 1)
                    m.next = "DISPATCH"
            with m.State("DISPATCH"):
                with m.Switch(common_fields(word).opcode):
                    with m.Case(Opcode.END):
                        m.next = "IDLE"
                    for entry in engine_opcodes(self._config):
                        with m.Case(entry):
                            if entry.engine == Engine.CALC:
                                m.d.comb += streams[entry.engine].valid.eq(1)
                            else:
                                m.d.comb += streams[entry.engine].valid.eq(~no_rows)
                                with m.If(no_rows):
                                    fail(Error.FIELD)
                    with m.Default():
                        fail(Error.OPCODE)
                with m.If(self.dispatched):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(self.stop):
                    m.next = "IDLE"
                with m.Elif(self.ended):
                    m.next = "ASK"
        return m

    def _compare(self, m, number, wrong):
        """Compare a beat of the header with what it must be; what is wrong first, stays."""
        expected, position = {}, 0
        values = {
            "magic": (MAGIC, Error.MAGIC), "version": (ISA_VERSION, Error.VERSION),
            "config_hash": (self._config.hash, Error.CONFIG)}
        for field in HEADER_FIELDS:
            if field.name in values:
                value, code = values[field.name]
                for start in range(0, field.width, _HEADER_WORD):
                    expected[position + start] = (value >> start) % (1 << _HEADER_WORD), code
            position += field.width
        width = self._config.dram_width * 8
        received = self.beats.payload.data
        with m.If(wrong == 0):
            with m.Switch(number):
                for beat in range(-(-max(expected) // width) + 1):
                    with m.Case(beat):
                        here = {at - beat * width: entry for at, entry in expected.items()
                                if beat * width <= at < (beat + 1) * width}
                        for at, (value, code) in reversed(here.items()):
                            with m.If(received[at:at + _HEADER_WORD] != value):
                                m.d.sync += wrong.eq(code)
