"""LOAD and SAVE in one engine, a burst at a time."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.isa import Engine, Memory, Opcode, Region

from .bursts import narrow_beats
from .layouts import (
    Done,
    Request,
    Response,
    Status,
    bases_layout,
    beats_per_row,
    instruction_layout,
    read_beat_layout,
    save_beat_layout,
    write_beat_layout,
)
from .load import JOB_LAYOUT, BeatWriter


__all__ = ("TransferEngine",)


class TransferEngine(wiring.Component):
    """Run LOAD and SAVE instructions, one after the other.

    A burst ends at a multiple of ``config.burst_length`` beats or with its line; the next one is
    asked for when the data, of a SAVE also the response, has come. Instructions are not copied:
    their payload must stay until ``done``.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of rows, width of a beat and of an address, longest burst.

    Members
    -------
    bases : In(bases_layout(config.address_bits))
        Byte address of each region. Must be stable while busy.
    instructions : In(stream(instruction_layout(Engine.LOAD)))
        Instructions; ``memory`` of a SAVE must be 0.
    read_requests, write_requests : Out(stream(Request))
        Bursts.
    read_beats : In(stream(read_beat_layout(config)))
        Data of the read bursts.
    write_beats : Out(stream(save_beat_layout(config)))
        Data of the write bursts.
    responses : In(stream(Response))
        One response for each write burst.
    writes : Out(stream(write_beat_layout(config)))
        Beats for the on-chip memories.
    reads : Out(stream(20))
        Row numbers for feature memory.
    row_valid : In(1)
        ``row_data`` is the row asked for.
    row_data : In(row_size * 8)
        Row that was read; stays until the next one is asked for.
    stop : In(1)
        Ask for nothing more and throw away what comes; needs a reset afterwards.
    quiet : Out(1)
        No burst lacks beats or its response.
    load_done, save_done : Out(Done)
        Strobe: the instruction has had all its effects.
    load_status, save_status : Out(Status)
        What happens in this cycle; a move is a beat on the bus.
    load_error, save_error : Out(1)
        Strobe: a beat read came with an error, or a response reports one.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "bases": In(bases_layout(config.address_bits)),
            "instructions": In(stream.Signature(instruction_layout(Engine.LOAD))),
            "read_requests": Out(stream.Signature(Request)),
            "read_beats": In(stream.Signature(read_beat_layout(config))),
            "write_requests": Out(stream.Signature(Request)),
            "write_beats": Out(stream.Signature(save_beat_layout(config))),
            "responses": In(stream.Signature(Response)),
            "writes": Out(stream.Signature(write_beat_layout(config))),
            "reads": Out(stream.Signature(20)),
            "row_valid": In(1),
            "row_data": In(config.row_size * 8),
            "stop": In(1),
            "quiet": Out(1),
            "load_done": Out(Done),
            "save_done": Out(Done),
            "load_status": Out(Status),
            "save_status": Out(Status),
            "load_error": Out(1),
            "save_error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        code = self.instructions.payload
        saving = Signal()
        m.submodules.writer = writer = BeatWriter(config)
        connect(m, writer.writes, flipped(self.writes))

        # Places in DRAM are those of beats.
        place = (config.dram_width - 1).bit_length()
        bases = Array(self.bases[region][place:] for region in Region)
        row = Signal(config.address_bits - place, reset_less=True)
        line_row = Signal.like(row)
        beats_left = Signal.like(row)  # of the line
        lines_left = Signal(code.line_count.shape(), reset_less=True)
        length = Signal(range(max(2, config.burst_length)), reset_less=True)  # less one
        to_block = Signal.like(length)
        count = Signal.like(row)
        moved, finished = Signal(), Signal()
        m.d.comb += [
            saving.eq(code.opcode == Opcode.SAVE),
            count.eq(self._line_beats(m, code, saving)),
            to_block.eq(~row[:len(length)] & (config.burst_length - 1)),
            writer.jobs.payload.eq(Cat(code[name] for name in JOB_LAYOUT.members)),
            writer.beats.payload.eq(self.read_beats.payload),
            self.write_beats.payload.last.eq(length == 0),
        ]
        for requests in (self.read_requests, self.write_requests):
            m.d.comb += [
                requests.payload.address.eq(row << place), requests.payload.length.eq(length)]
        row_ready, take_row = self._rows(m, code, moved & saving, beats_left == 1)
        with m.If(moved):
            m.d.sync += [
                row.eq(row + 1), beats_left.eq(beats_left - 1), length.eq(length - 1)]

        m.d.comb += self.quiet.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    self.instructions.ready.eq(1),
                    writer.jobs.valid.eq(self.instructions.valid & ~saving),
                ]
                m.d.sync += [
                    row.eq(bases[code.region] + code.address[place:]),
                    lines_left.eq(code.line_count),
                ]
                with m.If(self.instructions.valid):
                    m.next = "LINE"
            with m.State("LINE"):
                m.d.sync += [line_row.eq(row), beats_left.eq(count)]
                m.next = "BURST"
            with m.State("BURST"):
                m.d.sync += length.eq(Mux(beats_left > to_block, to_block, beats_left - 1))
                with m.If(~self.stop):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += [
                    self.quiet.eq(0),
                    self.read_requests.valid.eq(~saving),
                    self.write_requests.valid.eq(saving),
                ]
                with m.If(Mux(saving, self.write_requests.ready, self.read_requests.ready)):
                    m.next = "MOVE"
            with m.State("MOVE"):
                m.d.comb += [
                    self.quiet.eq(0),
                    take_row.eq(saving),
                    writer.beats.valid.eq(self.read_beats.valid & ~saving),
                    self.read_beats.ready.eq((writer.beats.ready | self.stop) & ~saving),
                    self.write_beats.valid.eq(row_ready & saving),
                    moved.eq(Mux(
                        saving, row_ready & self.write_beats.ready,
                        self.read_beats.valid & self.read_beats.ready)),
                ]
                with m.If(moved & (length == 0)):
                    m.next = "END"
                    with m.If(saving):
                        m.next = "RESPONSE"
            with m.State("RESPONSE"):
                m.d.comb += [self.quiet.eq(0), self.responses.ready.eq(1)]
                with m.If(self.responses.valid):
                    m.next = "END"
            with m.State("END"):
                m.next = "BURST"
                with m.If(beats_left == 0):
                    m.d.sync += [
                        row.eq(line_row + code.line_stride[place:]),
                        lines_left.eq(lines_left - 1),
                    ]
                    m.next = "LINE"
                    with m.If(lines_left == 1):
                        m.next = "FINISH"
            with m.State("FINISH"):
                with m.If(~writer.busy):
                    m.d.comb += finished.eq(1)
                    m.next = "IDLE"

        for done, status, chosen in (
            (self.load_done, self.load_status, ~saving),
            (self.save_done, self.save_status, saving),
        ):
            busy = ~self.instructions.ready & chosen
            m.d.comb += [
                done.valid.eq(finished & chosen), done.layer.eq(code.layer),
                done.post.eq(code.post),
                status.layer.eq(code.layer), status.busy.eq(busy), status.moved.eq(moved & chosen),
                status.stall.eq(busy & ~moved),
            ]
        m.d.sync += [
            self.load_error.eq(
                self.read_beats.valid & self.read_beats.ready & self.read_beats.payload.resp[1]),
            self.save_error.eq(
                self.responses.valid & self.responses.ready & self.responses.payload.resp[1]),
        ]
        return m

    def _line_beats(self, m, code, saving):
        """Return the beats of a line in DRAM."""
        config = self._config
        shifts = [beats.bit_length() - 1 for beats in beats_per_row(config)]
        beats = Signal(config.address_bits)
        with m.If(~saving & code.line_beats.any()):
            m.d.comb += beats.eq(code.line_beats)
        if config.unpacks_weights:
            with m.Elif(~saving & code.weight_bits.any()):
                m.d.comb += beats.eq(narrow_beats(
                    m, code, shifts[Memory.WEIGHT], config.weight_depth))
        with m.Else():
            with m.Switch(Mux(saving, Memory.FEATURE, code.memory)):
                for memory, shift in enumerate(shifts):
                    with m.Case(memory) if memory < len(shifts) - 1 else m.Default():
                        m.d.comb += beats.eq(code.row_count << shift)
        return beats

    def _rows(self, m, code, moved, ends_line):
        """Read the rows of a SAVE, each when its first beat is to move.

        Return whether a row is there, and a signal that asks for one.
        """
        config = self._config
        columns = beats_per_row(config)[Memory.FEATURE]
        row = Signal(range(config.feature_depth), reset_less=True)
        line_row = Signal.like(row)
        column = Signal(range(max(2, columns)))
        there, asked, take = Signal(), Signal(), Signal()
        m.d.comb += [
            self.reads.valid.eq(take & ~there & ~asked),
            self.reads.payload.eq(row),
            self.write_beats.payload.data.eq(
                self.row_data.word_select(column, config.dram_width * 8)),
        ]
        with m.If(self.row_valid):
            m.d.sync += [there.eq(1), asked.eq(0)]
        with m.Elif(self.reads.valid & self.reads.ready):
            m.d.sync += asked.eq(1)
        with m.If(self.instructions.ready):
            m.d.sync += [row.eq(code.row), line_row.eq(code.row), column.eq(0), there.eq(0)]
        with m.Elif(moved):
            m.d.sync += column.eq(column + 1)
            with m.If(column == columns - 1):
                m.d.sync += [column.eq(0), row.eq(row + 1), there.eq(0)]
            with m.If(ends_line):
                m.d.sync += [
                    row.eq(line_row + code.row_stride), line_row.eq(line_row + code.row_stride)]
        return there, take
