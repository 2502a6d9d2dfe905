"""The LOAD engine: from DRAM into the on-chip memories."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.config import CHUNK_BEATS, TABLES
from arch.isa import UNROLL_FIELDS, Memory, Opcode

from .bursts import BurstGenerator
from .layouts import (
    BASES_LAYOUT,
    Done,
    Request,
    Status,
    beats_per_row,
    layout_of,
    read_beat_layout,
    write_beat_layout,
)
from .queue import StreamBuffer, StreamQueue
from .unpacker import Unpacker
from .unroller import UNROLL_LAYOUT, Unroller


__all__ = (
    "JOB_LAYOUT",
    "BeatWriter",
    "LoadEngine",
)


JOB_LAYOUT = layout_of(
    Opcode.LOAD, "layer", "post", "memory", "row", "row_count", "line_count", "row_stride",
    "weight_bits", "pairs", "columns", *UNROLL_FIELDS)
"""What the data side must know of an instruction."""


def _write_layout(config):
    """Return the layout of a beat on its way to a memory; ``final`` marks the last of a job."""
    return data.StructLayout({
        "write": write_beat_layout(config), "final": 1, "layer": 12, "post": 3})


class BeatWriter(wiring.Component):
    """Give each beat read from DRAM its place on chip.

    Latency is one cycle; throughput is one beat per cycle, also from one job to the next, as long
    as narrow weights fill no more than ``config.weight_columns`` columns of a row per cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of rows and width of a beat.

    Members
    -------
    jobs : In(stream(JOB_LAYOUT))
        What to do with the beats that follow; with ``config.in_order`` the payload stays until
        ``done``.
    beats : In(stream(read_beat_layout(config)))
        Beats, lines in order.
    writes : Out(stream(write_beat_layout(config)))
        The same beats, narrow weights as 8-bit codes, with their place.
    done : Out(Done)
        Strobe in the cycle after the last write of a job has been accepted.
    busy : Out(1)
        Whether a job is under way.
    layer : Out(12)
        Layer of that job.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "jobs": In(stream.Signature(JOB_LAYOUT)),
            "beats": In(stream.Signature(read_beat_layout(config))),
            "writes": Out(stream.Signature(write_beat_layout(config))),
            "done": Out(Done),
            "busy": Out(1),
            "layer": Out(12),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        lasts = [beats - 1 for beats in beats_per_row(config)]
        columns = config.weight_columns
        parts = CHUNK_BEATS // columns
        if config.packed_weights:
            m.submodules.unpacker = unpacker = Unpacker(
                config.dram_width * 8, dual=config.dual_products)

        active = Signal()
        job = self.jobs.payload if config.in_order else Signal(JOB_LAYOUT, reset_less=True)
        depth = max(config.feature_depth, config.weight_depth, config.param_depth, TABLES)
        row = Signal(range(depth), reset_less=True)
        line_row = Signal.like(row)
        rows_left = Signal(range(depth + 1), reset_less=True)
        lines_left = Signal(16, reset_less=True)
        # Whether one is left, known from the cycle before on.
        last_row, last_line = Signal(reset_less=True), Signal(reset_less=True)
        column = Signal.like(self.writes.payload.column, init=0)
        # Of the columns of a row that are written at once: whether this is the last, the place of
        # the last but one, and whether there is one only.
        ends_row = Signal(reset_less=True)
        before_last = Signal.like(column)
        whole_row = Signal(reset_less=True)

        last_column = Signal.like(column)  # of the job that comes

        # Narrow weights come out of the unpacker in chunks, and are written in `parts` parts.
        # Only 8-bit weight memory has them.
        packed = self.jobs.payload.weight_bits.any() if config.unpacks_weights else C(0)
        narrow = Signal(reset_less=True)
        two_planes = Signal(reset_less=True)
        part = Signal(range(max(2, parts)))
        wide_data = Signal(columns * config.dram_width * 8)
        ends_chunk = Signal()

        # The lower code of a pair is stored plus 8, without a sign.
        beat = Signal(columns * config.dram_width * 8)
        stored = beat
        if config.dual_products:
            stored = beat ^ Cat(C(0, 3), job.pairs, C(0, 4)).replicate(len(beat) // 8)
        plain = Signal(config.dram_width * 8)
        plain_valid = Signal()
        plain_ready = Signal()

        m.submodules.border = border = StreamBuffer(
            _write_layout(config), spare=not config.in_order)
        placed = border.i.payload
        move = Signal()
        ends_line = Signal()
        ends_job = Signal()
        take = Signal()
        chunk_ready, chunk_valid = C(0, 1), C(0, 1)
        if config.packed_weights:
            chunk_ready, chunk_valid = unpacker.i.ready, unpacker.o.valid
            m.d.comb += [
                unpacker.bits.eq(job.weight_bits),
                unpacker.two_planes.eq(two_planes),
                unpacker.pairs.eq(job.pairs),
                unpacker.i.valid.eq(self.beats.valid & active & narrow),
                unpacker.i.payload.eq(self.beats.payload.data),
                unpacker.o.ready.eq(border.i.ready & ends_chunk),
                unpacker.clear.eq(ends_line),
                wide_data.eq(unpacker.o.payload.as_value().word_select(part, len(wide_data))),
            ]
        m.d.comb += [
            beat.eq(Mux(narrow, wide_data, plain.replicate(columns))),
            ends_chunk.eq((part == parts - 1) | ends_line),
            plain.eq(self.beats.payload.data),
            plain_valid.eq(self.beats.valid & active),
            plain_ready.eq(border.i.ready),
            self.beats.ready.eq(active & Mux(narrow, chunk_ready, plain_ready)),
            border.i.valid.eq(Mux(narrow, chunk_valid, plain_valid)),
            move.eq(border.i.valid & border.i.ready),
            ends_line.eq(ends_row & last_row),
            ends_job.eq(ends_line & last_line),
            take.eq(~active | (move & ends_job)),
            self.jobs.ready.eq(take),
            self.busy.eq(active | self.writes.valid | self.done.valid),
            self.layer.eq(job.layer),
        ]

        if config.unroll_size:
            m.submodules.unroller = unroller = ResetInserter(move & ends_job)(Unroller(
                width=config.dram_width * 8, depth=config.unroll_size // config.dram_width,
                code_width=config.data_bits))
            unrolls = Signal(reset_less=True)
            m.d.sync += unroller.start.eq(
                take & self.jobs.valid & self.jobs.payload.kernel_lines.any())
            with m.If(take):
                m.d.sync += unrolls.eq(self.jobs.payload.kernel_lines.any())
            m.d.comb += [unroller.job[name].eq(job[name]) for name in UNROLL_LAYOUT.members]
            m.d.comb += unroller.i.payload.eq(self.beats.payload.data)
            with m.If(unrolls):
                m.d.comb += [
                    unroller.i.valid.eq(self.beats.valid & active),
                    plain_ready.eq(unroller.i.ready),
                    plain.eq(unroller.o.payload),
                    plain_valid.eq(unroller.o.valid & active),
                    unroller.o.ready.eq(border.i.ready),
                ]

        m.d.comb += [
            placed.write.memory.eq(job.memory),
            placed.write.row.eq(row),
            placed.write.column.eq(column),
            placed.write.wide.eq(narrow),
            placed.write.data.eq(stored),
            placed.final.eq(ends_job),
            placed.layer.eq(job.layer),
            placed.post.eq(job.post),
            self.writes.valid.eq(border.o.valid),
            self.writes.payload.eq(border.o.payload.write),
            border.o.ready.eq(self.writes.ready),
        ]
        m.d.sync += [
            self.done.valid.eq(
                self.writes.valid & self.writes.ready & border.o.payload.final),
            self.done.layer.eq(border.o.payload.layer),
            self.done.post.eq(border.o.payload.post),
        ]
        with m.If(move):
            m.d.sync += [
                column.eq(column + Mux(narrow, columns, 1)),
                ends_row.eq(Mux(ends_row, whole_row, column == before_last)),
                part.eq(Mux(narrow & ~ends_chunk, part + 1, 0)),
            ]
            with m.If(ends_row):
                m.d.sync += [
                    column.eq(0),
                    row.eq(row + 1),
                    rows_left.eq(rows_left - 1),
                    last_row.eq(rows_left == 2),
                ]
            with m.If(ends_line):
                m.d.sync += [
                    row.eq(line_row + job.row_stride),
                    line_row.eq(line_row + job.row_stride),
                    rows_left.eq(job.row_count),
                    last_row.eq(job.row_count == 1),
                    lines_left.eq(lines_left - 1),
                    last_line.eq(lines_left == 2),
                ]
        with m.If(take):
            m.d.sync += active.eq(self.jobs.valid)
            if not config.in_order:
                m.d.sync += job.eq(self.jobs.payload)
            m.d.sync += [
                row.eq(self.jobs.payload.row),
                line_row.eq(self.jobs.payload.row),
                rows_left.eq(self.jobs.payload.row_count),
                last_row.eq(self.jobs.payload.row_count == 1),
                lines_left.eq(self.jobs.payload.line_count),
                last_line.eq(self.jobs.payload.line_count == 1),
                narrow.eq(packed),
                two_planes.eq(self.jobs.payload.weight_bits == 2),
                before_last.eq(last_column - Mux(packed, columns, 1)),
                ends_row.eq(last_column == 0),
                whole_row.eq(last_column == 0),
            ]
        with m.Switch(self.jobs.payload.memory):
            for memory, last in enumerate(lasts):
                with m.Case(memory) if memory < len(lasts) - 1 else m.Default():
                    m.d.comb += last_column.eq(last)
        some = self.jobs.payload.columns[:len(last_column) + 1]
        with m.If(some.any()):
            m.d.comb += last_column.eq(some - Mux(packed, columns, 1))
        with m.Elif(packed):
            m.d.comb += last_column.eq(lasts[Memory.WEIGHT] + 1 - columns)
        return m


class LoadEngine(wiring.Component):
    """Run LOAD instructions: rows from DRAM into feature, weight or parameter memory.

    Requests run ahead of the data, over up to :attr:`job_depth` instructions, so that
    instructions of 8 beats and more follow each other at one beat per cycle. At most
    ``window + burst_length`` beats are asked for and not yet received, which bounds the time that
    the fetch of instructions can wait behind data.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of rows, width of a beat, longest burst.
    window : int
        Beats on their way at which no further burst is asked for.

    Members
    -------
    bases : In(BASES_LAYOUT)
        Byte address of each region. Must be stable while busy.
    instructions : In(stream(layout_of(Opcode.LOAD)))
        Instructions whose tokens have been taken.
    requests : Out(stream(Request))
        Read bursts.
    beats : In(stream(read_beat_layout(config)))
        Data of the bursts, in order.
    writes : Out(stream(write_beat_layout(config)))
        Beats for the on-chip memories.
    done : Out(Done)
        Strobe in the cycle after the last write of an instruction has been accepted.
    stop : In(1)
        Ask for nothing more and throw away what comes; needs a reset afterwards.
    quiet : Out(1)
        No beat is on its way.
    status : Out(Status)
        What happens in this cycle; a move is a beat received.
    error : Out(1)
        Strobe: a beat came with an error. Its data is written all the same.
    """

    job_depth = 4

    def __init__(self, config, *, window=128):
        if window < 1:
            raise ValueError(f"Window must be at least 1 beat, not {window!r}")
        self._config = config
        self._window = window
        super().__init__({
            "bases": In(BASES_LAYOUT),
            "instructions": In(stream.Signature(layout_of(Opcode.LOAD))),
            "requests": Out(stream.Signature(Request)),
            "beats": In(stream.Signature(read_beat_layout(config))),
            "writes": Out(stream.Signature(write_beat_layout(config))),
            "stop": In(1),
            "quiet": Out(1),
            "done": Out(Done),
            "status": Out(Status),
            "error": Out(1),
        })

    @property
    def window(self):
        """Beats on their way at which no further burst is asked for."""
        return self._window

    def elaborate(self, platform):
        m = Module()
        m.submodules.generator = generator = BurstGenerator(self._config, Opcode.LOAD)
        m.submodules.jobs = jobs = StreamQueue(JOB_LAYOUT, self.job_depth)
        m.submodules.writer = writer = BeatWriter(self._config)
        connect(m, jobs.o, writer.jobs)
        connect(m, writer.writes, flipped(self.writes))

        taken = writer.beats
        if self._config.wire_registers:
            m.submodules.border = border = StreamBuffer(read_beat_layout(self._config))
            connect(m, border.o, writer.beats)
            taken = border.i

        # An instruction enters both sides at once.
        entering = self.instructions.payload
        m.d.comb += [
            self.instructions.ready.eq(generator.instructions.ready & jobs.i.ready),
            generator.bases.eq(self.bases),
            generator.instructions.payload.eq(entering),
            generator.instructions.valid.eq(self.instructions.valid & jobs.i.ready),
            jobs.i.valid.eq(self.instructions.valid & generator.instructions.ready),
        ]
        m.d.comb += [jobs.i.payload[name].eq(entering[name]) for name in JOB_LAYOUT.members]

        # Beats asked for and not yet received; only our own requests raise it, so that a valid
        # request stays valid. It knows of both a cycle later; no request follows another at once.
        on_the_way = Signal(range(self._window + self._config.burst_length))
        allowed = Signal()
        asked, was_asked = Signal(), Signal()
        more = Signal(range(self._config.burst_length + 1))
        received, was_received = Signal(), Signal()
        m.d.comb += [
            allowed.eq((on_the_way < self._window) & ~was_asked & ~self.stop),
            self.quiet.eq((on_the_way == 0) & ~was_asked),
            self.requests.valid.eq(generator.bursts.valid & allowed),
            self.requests.payload.address.eq(generator.bursts.payload.address),
            self.requests.payload.length.eq(generator.bursts.payload.length),
            generator.bursts.ready.eq(self.requests.ready & allowed),
            asked.eq(self.requests.valid & self.requests.ready),
            taken.payload.eq(self.beats.payload),
            taken.valid.eq(self.beats.valid),
            self.beats.ready.eq(taken.ready | self.stop),
            received.eq(self.beats.valid & self.beats.ready),
        ]
        m.d.sync += [
            was_asked.eq(asked),
            more.eq(Mux(asked, self.requests.payload.length + 1, 0)),
            was_received.eq(received),
            on_the_way.eq(on_the_way + more - was_received),
            self.error.eq(received & self.beats.payload.resp[1]),
        ]

        m.d.comb += [
            self.done.eq(writer.done),
            self.status.layer.eq(Mux(writer.busy, writer.layer, generator.layer)),
            self.status.busy.eq(writer.busy | generator.busy | jobs.o.valid),
            self.status.moved.eq(received),
            self.status.stall.eq(self.status.busy & ~received),
        ]
        return m
