"""The SAVE engine: from feature memory to DRAM."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.isa import Memory, Opcode

from .bursts import BurstGenerator
from .layouts import (
    BASES_LAYOUT,
    Done,
    Request,
    Response,
    Status,
    beats_per_row,
    layout_of,
    save_beat_layout,
)
from .queue import StreamQueue


__all__ = (
    "SaveEngine",
)


# What the reading side must know of an instruction.
_JOB_LAYOUT = layout_of(Opcode.SAVE, "row", "row_count", "line_count", "row_stride")


class RowReader(wiring.Component):
    """Read the rows of a job from feature memory, ahead of their use.

    Throughput is one row per cycle, also from one job to the next.

    Parameters
    ----------
    row_width : int
        Width of a row, in bits.
    memory_depth : int
        Rows of feature memory.
    depth : int
        Rows asked for and not yet taken, at most; a power of two.

    Members
    -------
    jobs : In(stream)
        Rows to read.
    reads : Out(stream(20))
        Row numbers.
    row_valid : In(1)
        Whether ``row_data`` is the next row asked for. Cannot be refused.
    row_data : In(row_width)
        Row that was read.
    rows : Out(stream(row_width))
        Rows, in order.
    """

    def __init__(self, row_width, *, memory_depth, depth=8):
        if depth & (depth - 1):
            raise ValueError(f"Depth must be a power of two, not {depth!r}")
        self._row_width = row_width
        self._memory_depth = memory_depth
        self._depth = depth
        super().__init__({
            "jobs": In(stream.Signature(_JOB_LAYOUT)),
            "reads": Out(stream.Signature(20)),
            "row_valid": In(1),
            "row_data": In(row_width),
            "rows": Out(stream.Signature(row_width)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = StreamQueue(self._row_width, self._depth)
        connect(m, queue.o, flipped(self.rows))

        active = Signal()
        job = Signal(_JOB_LAYOUT, reset_less=True)
        row = Signal(range(self._memory_depth), reset_less=True)
        line_row = Signal.like(row)
        rows_left = Signal(range(self._memory_depth + 1), reset_less=True)
        lines_left = Signal(16, reset_less=True)
        # Whether one is left, known from the cycle before on.
        last_row, last_line = Signal(reset_less=True), Signal(reset_less=True)
        used = Signal(range(self._depth + 1))

        asked = Signal()
        take = Signal()
        m.d.comb += [
            queue.i.valid.eq(self.row_valid),
            queue.i.payload.eq(self.row_data),
            self.reads.valid.eq(active & ~used[-1]),
            self.reads.payload.eq(row),
            asked.eq(self.reads.valid & self.reads.ready),
            take.eq(~active | (asked & last_row & last_line)),
            self.jobs.ready.eq(take),
        ]
        m.d.sync += used.eq(used + asked - (self.rows.valid & self.rows.ready))
        with m.If(asked):
            m.d.sync += [
                row.eq(row + 1),
                rows_left.eq(rows_left - 1),
                last_row.eq(rows_left == 2),
            ]
            with m.If(last_row):
                m.d.sync += [
                    row.eq(line_row + job.row_stride),
                    line_row.eq(line_row + job.row_stride),
                    rows_left.eq(job.row_count),
                    last_row.eq(job.row_count == 1),
                    lines_left.eq(lines_left - 1),
                    last_line.eq(lines_left == 2),
                ]
        with m.If(take):
            m.d.sync += [
                active.eq(self.jobs.valid),
                job.eq(self.jobs.payload),
                row.eq(self.jobs.payload.row),
                line_row.eq(self.jobs.payload.row),
                rows_left.eq(self.jobs.payload.row_count),
                last_row.eq(self.jobs.payload.row_count == 1),
                lines_left.eq(self.jobs.payload.line_count),
                last_line.eq(self.jobs.payload.line_count == 1),
            ]
        return m


class RunningBurst(data.Struct):
    """What the data side must know of a burst."""

    length: 8
    layer: 12


class BeatReader(wiring.Component):
    """Cut rows into beats, lowest bytes first, and beats into bursts.

    Latency is one cycle; throughput is one beat per cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        Size of a row and width of a beat.

    Members
    -------
    bursts : In(stream(RunningBurst))
        Lengths of the bursts.
    rows : In(stream(row_size * 8))
        Rows.
    beats : Out(stream(save_beat_layout(config)))
        Beats of the bursts.
    busy : Out(1)
        Whether a burst is under way.
    layer : Out(12)
        Layer of that burst.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "bursts": In(stream.Signature(RunningBurst)),
            "rows": In(stream.Signature(config.row_size * 8)),
            "beats": Out(stream.Signature(save_beat_layout(config))),
            "busy": Out(1),
            "layer": Out(12),
        })

    def elaborate(self, platform):
        m = Module()
        beat_width = self._config.dram_width * 8
        row_beats = beats_per_row(self._config)[Memory.FEATURE]

        row = Signal(self._config.row_size * 8, reset_less=True)
        row_valid = Signal()
        column = Signal(range(max(2, row_beats)))
        burst = Signal(RunningBurst, reset_less=True)

        moved = Signal()
        take_row = Signal()
        take_burst = Signal()
        m.d.comb += [
            self.beats.valid.eq(row_valid & self.busy),
            self.beats.payload.data.eq(row[:beat_width]),
            self.beats.payload.last.eq(burst.length == 0),
            moved.eq(self.beats.valid & self.beats.ready),
            take_row.eq(~row_valid | (moved & (column == row_beats - 1))),
            take_burst.eq(~self.busy | (moved & self.beats.payload.last)),
            self.rows.ready.eq(take_row),
            self.bursts.ready.eq(take_burst),
            self.layer.eq(burst.layer),
        ]
        with m.If(moved):
            m.d.sync += [
                column.eq(column + 1),
                row.eq(row >> beat_width),
                burst.length.eq(burst.length - 1),
            ]
        with m.If(take_row):
            m.d.sync += [
                row_valid.eq(self.rows.valid),
                row.eq(self.rows.payload),
                column.eq(0),
            ]
        with m.If(take_burst):
            m.d.sync += [
                self.busy.eq(self.bursts.valid),
                burst.eq(self.bursts.payload),
            ]
        return m


class PendingBurst(data.Struct):
    """What the response side must know of a burst."""

    final: 1
    layer: 12
    post: 3


class SaveEngine(wiring.Component):
    """Run SAVE instructions: rows from feature memory to DRAM.

    Addresses run ahead of the data, data runs at one beat per cycle, and an instruction is done
    when all its responses have come. Up to :attr:`burst_depth` bursts wait for theirs.

    Parameters
    ----------
    config : AcceleratorConfig
        Size of a row, width of a beat, longest burst.

    Members
    -------
    bases : In(BASES_LAYOUT)
        Byte address of each region. Must be stable while busy.
    instructions : In(stream(layout_of(Opcode.SAVE)))
        Instructions whose tokens have been taken; ``memory`` must be 0.
    reads : Out(stream(20))
        Row numbers for feature memory.
    row_valid : In(1)
        Whether ``row_data`` is the next row asked for. Cannot be refused.
    row_data : In(row_size * 8)
        Row that was read.
    requests : Out(stream(Request))
        Write bursts.
    beats : Out(stream(save_beat_layout(config)))
        Data of the bursts.
    responses : In(stream(Response))
        One response for each burst, in order. Always ready.
    done : Out(Done)
        Strobe in the cycle after the last response of an instruction.
    stop : In(1)
        Ask for nothing more; needs a reset afterwards.
    quiet : Out(1)
        No burst asked for lacks beats or its response.
    status : Out(Status)
        What happens in this cycle; a move is a beat sent.
    error : Out(1)
        Strobe: a response reports an error.
    """

    job_depth = 4
    burst_depth = 16

    def __init__(self, config):
        self._config = config
        super().__init__({
            "bases": In(BASES_LAYOUT),
            "instructions": In(stream.Signature(layout_of(Opcode.SAVE))),
            "reads": Out(stream.Signature(20)),
            "row_valid": In(1),
            "row_data": In(config.row_size * 8),
            "requests": Out(stream.Signature(Request)),
            "beats": Out(stream.Signature(save_beat_layout(config))),
            "responses": In(stream.Signature(Response)),
            "stop": In(1),
            "quiet": Out(1),
            "done": Out(Done),
            "status": Out(Status),
            "error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.generator = generator = BurstGenerator(self._config, Opcode.SAVE)
        m.submodules.jobs = jobs = StreamQueue(_JOB_LAYOUT, self.job_depth)
        m.submodules.row_reader = row_reader = RowReader(
            self._config.row_size * 8, memory_depth=self._config.feature_depth)
        m.submodules.running = running = StreamQueue(RunningBurst, self.burst_depth)
        m.submodules.beat_reader = beat_reader = BeatReader(self._config)
        m.submodules.pending = pending = StreamQueue(PendingBurst, self.burst_depth)
        connect(m, jobs.o, row_reader.jobs)
        connect(m, row_reader.reads, flipped(self.reads))
        connect(m, row_reader.rows, beat_reader.rows)
        connect(m, running.o, beat_reader.bursts)
        connect(m, beat_reader.beats, flipped(self.beats))
        m.d.comb += [
            row_reader.row_valid.eq(self.row_valid),
            row_reader.row_data.eq(self.row_data),
        ]

        # An instruction enters both sides at once.
        entering = self.instructions.payload
        m.d.comb += [
            self.instructions.ready.eq(generator.instructions.ready & jobs.i.ready),
            generator.bases.eq(self.bases),
            generator.instructions.payload.eq(entering),
            generator.instructions.payload.memory.eq(Memory.FEATURE),
            generator.instructions.valid.eq(self.instructions.valid & jobs.i.ready),
            jobs.i.valid.eq(self.instructions.valid & generator.instructions.ready),
        ]
        m.d.comb += [jobs.i.payload[name].eq(entering[name]) for name in _JOB_LAYOUT.members]

        # A burst goes out when there is room for it among those that wait for their response, to
        # which all that run belong: only our own requests take that room, so that a valid request
        # stays valid.
        burst = generator.bursts.payload
        room = Signal()
        asked = Signal()
        m.d.comb += [
            room.eq(pending.i.ready & ~self.stop),
            self.quiet.eq(~pending.o.valid & ~running.o.valid & ~beat_reader.busy),
            self.requests.valid.eq(generator.bursts.valid & room),
            self.requests.payload.address.eq(burst.address),
            self.requests.payload.length.eq(burst.length),
            generator.bursts.ready.eq(self.requests.ready & room),
            asked.eq(self.requests.valid & self.requests.ready),
            running.i.valid.eq(asked),
            running.i.payload.length.eq(burst.length),
            running.i.payload.layer.eq(burst.layer),
            pending.i.valid.eq(asked),
            pending.i.payload.final.eq(burst.final),
            pending.i.payload.layer.eq(burst.layer),
            pending.i.payload.post.eq(burst.post),
        ]

        m.d.comb += [
            self.responses.ready.eq(1),
            pending.o.ready.eq(self.responses.valid),
        ]
        m.d.sync += [
            self.done.valid.eq(self.responses.valid & pending.o.payload.final),
            self.done.layer.eq(pending.o.payload.layer),
            self.done.post.eq(pending.o.payload.post),
            self.error.eq(self.responses.valid & self.responses.payload.resp[1]),
        ]

        moved = Signal()
        m.d.comb += [
            moved.eq(self.beats.valid & self.beats.ready),
            self.status.busy.eq(generator.busy | beat_reader.busy | pending.o.valid),
            self.status.moved.eq(moved),
            self.status.stall.eq(self.status.busy & ~moved),
        ]
        with m.If(beat_reader.busy):
            m.d.comb += self.status.layer.eq(beat_reader.layer)
        with m.Elif(pending.o.valid):
            m.d.comb += self.status.layer.eq(pending.o.payload.layer)
        with m.Else():
            m.d.comb += self.status.layer.eq(generator.layer)
        return m
