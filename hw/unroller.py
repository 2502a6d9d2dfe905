"""Kernel taps as lanes, made from lines of a map on their way in."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import UNROLL_FIELDS, Opcode

from .layouts import layout_of
from .primitives import RowMemory


__all__ = (
    "UNROLL_LAYOUT",
    "Unroller",
)


UNROLL_LAYOUT = layout_of(Opcode.LOAD, *UNROLL_FIELDS)


class Unroller(wiring.Component):
    """Turn lines of a map into rows that hold all codes under the kernel, for each position.

    ::

        i ──► ring of lines ──► rotate ──► held codes, new ones behind them ──► o
                   ▲
          position ─► kernel line ─► beat

    A position is ``kernel_lines`` segments of ``segment`` contiguous bytes, one of each line, and
    ``fill`` bytes of zeros. Bytes outside the map are zeros.

    A job needs a reset before and after. Latency from the last beat of a line that is needed is
    :attr:`latency` cycles. Throughput is one beat read from the ring per cycle; a segment takes as
    many as it touches.

    Parameters
    ----------
    width : int
        Bits of a beat.
    depth : int
        Beats that the ring holds; a power of two.
    code_width : int
        Bits of a code. No segment may end further to the right than twice the bytes of the ring.

    Members
    -------
    job : In(UNROLL_LAYOUT)
        Geometry. Must be stable from ``start`` to the last beat.
    start : In(1)
        Strobe: begin.
    i : In(stream(width))
        Beats of ``map_lines`` lines of ``map_beats`` beats.
    o : Out(stream(width))
        Beats of rows; those behind the last line of positions are of no use.
    """

    latency = 7

    def __init__(self, *, width, depth, code_width):
        self._width = width
        self._depth = depth
        self._code_width = code_width
        super().__init__({
            "job": In(UNROLL_LAYOUT),
            "start": In(1),
            "i": In(stream.Signature(width)),
            "o": Out(stream.Signature(width)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = RowMemory(
            columns=1, column_width=self._width, depth=self._depth, prompt=True)
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), ring.r_hold.eq(~advance)]
        dropped = Signal()
        step = self._walk(m, advance, self._receive(m, ring, dropped), dropped)
        self._funnel(m, ring, step, advance)
        return m

    def _receive(self, m, ring, dropped):
        """Write beats to the ring while it has room; return whether one ends a line.

        Room is what the next cycle will have, so that ``i.ready`` comes from registers.
        """
        place = Signal(range(self._depth))
        beat = Signal.like(self.job.map_beats)
        due = Signal.like(self.job.map_lines)
        held = Signal(range(self._depth + 1))
        wanted, full = Signal(), Signal()
        taken, ends_line = Signal(), Signal()
        next_due, next_held = Signal.like(due), Signal.like(held)
        m.d.comb += [
            self.i.ready.eq(wanted & ~full),
            taken.eq(self.i.valid & self.i.ready),
            ends_line.eq(taken & (beat + 1 == self.job.map_beats)),
            next_due.eq(Mux(self.start, self.job.map_lines, due - ends_line)),
            next_held.eq(held + taken - Mux(dropped, self.job.map_beats, 0)),
            ring.w_en.eq(taken),
            ring.w_row.eq(place),
            ring.w_data.eq(self.i.payload),
        ]
        m.d.sync += [
            due.eq(next_due), wanted.eq(next_due != 0),
            held.eq(next_held), full.eq(next_held == self._depth)]
        with m.If(taken):
            m.d.sync += [place.eq(place + 1), beat.eq(Mux(ends_line, 0, beat + 1))]
        return ends_line

    def _walk(self, m, advance, received, dropped):
        """Walk over positions, kernel lines and beats; return what to do with each beat read."""
        job = self.job
        width = self._width // 8
        low = (width - 1).bit_length()

        above = Signal.like(job.lines_above, reset_less=True)
        lines_left = Signal.like(job.map_lines, reset_less=True)
        lines_held = Signal(range(self._depth + 1))
        base = Signal(range(self._depth))
        drops = Signal.like(job.stride_lines, reset_less=True)
        positions = Signal.like(job.positions, reset_less=True)
        # Byte at which the segments of a position start, and the one that is next.
        start = Signal(signed((self._depth * width).bit_length() + 2), reset_less=True)
        offset = Signal.like(start, reset_less=True)
        # Bytes from the start of the beat to the end of the segment.
        reach = Signal(max(len(job.segment), len(job.fill)) + 1, reset_less=True)
        kernel_line = Signal.like(job.kernel_lines, reset_less=True)
        skip = Signal.like(above, reset_less=True)
        rest = Signal.like(lines_left, reset_less=True)
        line = Signal.like(base, reset_less=True)

        filling = Signal()
        outside = Signal()
        take = Signal(range(width + 1))
        ends_segment = Signal()
        ends_position = Signal()
        next_start = Signal.like(start)
        m.d.comb += [
            filling.eq(kernel_line == job.kernel_lines),
            outside.eq(
                filling | (skip != 0) | (rest == 0) | (offset < 0)
                | (offset[low:].as_signed() >= job.map_beats)),
            ends_segment.eq(reach <= width),
            take.eq(Mux(ends_segment, reach[:low + 1], width) - offset[:low]),
            ends_position.eq(
                ends_segment & (filling | ((kernel_line + 1 == job.kernel_lines)
                                           & (job.fill == 0)))),
            next_start.eq(start + job.advance),
        ]
        m.d.sync += lines_held.eq(lines_held + received - dropped)

        def begin_position(where):
            return [
                start.eq(where), offset.eq(where), reach.eq(job.segment + where[:low]),
                kernel_line.eq(0),
                skip.eq(above), rest.eq(lines_left), line.eq(base)]

        step = Signal(_step_layout(self._depth, width))
        m.d.comb += [
            step.row.eq((line + offset[low:])[:len(step.row)]),
            step.zero.eq(outside),
            step.byte.eq(offset[:low]),
            step.take.eq(take),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [above.eq(job.lines_above), lines_left.eq(job.map_lines)]
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += [positions.eq(job.positions), drops.eq(job.stride_lines)]
                m.d.sync += begin_position(-job.before)
                with m.If((lines_held >= lines_left) | (lines_held + above >= job.kernel_lines)):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += step.valid.eq(1)
                with m.If(advance):
                    m.d.sync += [
                        offset.eq((offset[low:].as_signed() + 1) << low), reach.eq(reach - width)]
                    with m.If(ends_segment):
                        m.d.sync += kernel_line.eq(kernel_line + 1)
                        m.d.sync += [offset.eq(start), reach.eq(job.segment + start[:low])]
                        with m.If(kernel_line + 1 == job.kernel_lines):
                            m.d.sync += [offset.eq(0), reach.eq(job.fill)]
                        with m.If(skip != 0):
                            m.d.sync += skip.eq(skip - 1)
                        with m.Else():
                            m.d.sync += [
                                rest.eq(Mux(rest == 0, 0, rest - 1)),
                                line.eq(line + job.map_beats)]
                    with m.If(ends_position):
                        m.d.sync += begin_position(next_start)
                        m.d.sync += positions.eq(positions - 1)
                        with m.If(positions == 1):
                            m.next = "DROP"
            with m.State("DROP"):
                dropping = Signal()
                m.d.comb += dropping.eq((above != 0) | (lines_held != 0))
                m.d.comb += dropped.eq(dropping & (above == 0))
                with m.If(dropping):
                    m.d.sync += drops.eq(drops - 1)
                    with m.If(drops == 1):
                        m.next = "WAIT"
                with m.If(above != 0):
                    m.d.sync += above.eq(above - 1)
                with m.Elif(dropping):
                    m.d.sync += [
                        base.eq(base + job.map_beats), lines_left.eq(lines_left - 1)]
        return step

    def _funnel(self, m, ring, step, advance):
        """Rotate what is read to its place, and give whole beats out."""
        code, codes = self._code_width, self._width // self._code_width
        size = code // 8
        bits = (codes - 1).bit_length()

        # Held codes of the beat that comes next, counted when a beat is asked for.
        count = Signal(bits)
        after = Signal(bits + 1)
        byte_bits = (size - 1).bit_length()
        first, taken = step.byte[byte_bits:], step.take[byte_bits:]
        m.d.comb += after.eq(count + taken)
        asked = Signal(_funnel_layout(bits))
        row = Signal.like(ring.r_row, reset_less=True)
        with m.If(advance):
            m.d.sync += [
                asked.valid.eq(step.valid), asked.zero.eq(step.zero), asked.count.eq(count),
                asked.rotate.eq(count - first), asked.emit.eq(after[-1]), row.eq(step.row)]
            with m.If(step.valid):
                m.d.sync += count.eq(after)
        m.d.comb += [ring.r_row.eq(row), ring.r_en.eq(asked.valid & advance)]

        stages = [asked]
        for number in range(RowMemory.latency + 1):
            stage = Signal.like(asked, name=f"stage_{number}")
            with m.If(advance):
                m.d.sync += stage.eq(stages[-1])
            stages.append(stage)
        read, turned = stages[RowMemory.latency], stages[RowMemory.latency + 1]

        word = ring.r_data
        for bit in reversed(range(bits)):
            word = Mux(read.rotate[bit], word.rotate_left(code << bit), word)
        rotated = Signal(self._width, reset_less=True)
        held = Signal(self._width, reset_less=True)
        with m.If(advance):
            m.d.sync += rotated.eq(Mux(read.zero, 0, word))
            m.d.sync += self.o.valid.eq(turned.valid & turned.emit)
        for number in range(codes):
            new, old = (word.word_select(number, code) for word in (rotated, held))
            # The last code is never held: a whole beat would have gone out.
            is_held = number < turned.count if number < codes - 1 else C(0)
            with m.If(advance & turned.valid):
                m.d.sync += self.o.payload.word_select(number, code).eq(Mux(is_held, old, new))
                with m.If(turned.emit | ~is_held):
                    m.d.sync += old.eq(new)


def _step_layout(depth, width):
    return data.StructLayout({
        "valid": 1, "zero": 1, "row": range(depth), "byte": range(width),
        "take": range(width + 1)})


def _funnel_layout(bits):
    return data.StructLayout({
        "valid": 1, "zero": 1, "count": bits, "rotate": bits, "emit": 1})
