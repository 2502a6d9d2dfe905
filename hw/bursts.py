"""Cutting a transfer instruction into AXI4 bursts."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import CHUNK_BEATS
from arch.isa import Memory, Opcode, Region

from .axi import PAGE_SIZE
from .layouts import BASES_LAYOUT, beats_per_row, layout_of


__all__ = (
    "Burst",
    "BurstGenerator",
    "narrow_beats",
)


class Burst(data.Struct):
    """One burst of an instruction; ``final`` marks the last one.

    ``length`` is the number of beats less one.
    """

    address: 32
    length: 8
    final: 1
    layer: 12
    post: 3


class BurstGenerator(wiring.Component):
    """Cut LOAD or SAVE instructions into bursts, each as long as possible.

    A burst never crosses a line of the instruction, a page of 4096 bytes, or
    ``config.burst_length`` beats. An instruction takes two cycles, three when its weights are
    narrow and it does not say how many beats they take, and two more for each burst.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of rows, width of a beat, longest burst.
    opcode : Opcode
        LOAD or SAVE.

    Members
    -------
    bases : In(BASES_LAYOUT)
        Byte address of each region; a multiple of the beat. Must be stable while busy.
    instructions : In(stream(layout_of(opcode)))
        Instructions.
    bursts : Out(stream(Burst))
        Bursts in order.
    busy : Out(1)
        Whether an instruction is being cut.
    layer : Out(12)
        Layer of that instruction.
    """

    def __init__(self, config, opcode):
        self._config = config
        self._opcode = opcode
        super().__init__({
            "bases": In(BASES_LAYOUT),
            "instructions": In(stream.Signature(layout_of(opcode))),
            "bursts": Out(stream.Signature(Burst)),
            "busy": Out(1),
            "layer": Out(12),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        narrow = self._opcode == Opcode.LOAD and config.unpacks_weights
        shifts = [beats.bit_length() - 1 for beats in beats_per_row(config)]
        page_beats = PAGE_SIZE // config.dram_width
        beat_bits = (config.dram_width - 1).bit_length()
        page_bits = (PAGE_SIZE - 1).bit_length()

        bases = Array(self.bases[region] for region in Region)
        instruction = Signal(layout_of(self._opcode), reset_less=True)
        line_beats = Signal(20 + max(shifts), reset_less=True)
        lines_left = Signal(16, reset_less=True)
        line_address = Signal(32, reset_less=True)
        line_step = Signal(32, reset_less=True)
        next_line = Signal(32)
        address = Signal(32, reset_less=True)
        count = Signal.like(line_beats)  # beats of a line
        beats_left = Signal.like(line_beats)
        length = Signal(range(config.burst_length + 1), reset_less=True)
        ends_line = Signal(reset_less=True)

        # Longest burst that starts at `address`.
        to_page = Signal(range(page_beats + 1))
        limit = Signal.like(length)
        m.d.comb += [
            next_line.eq(line_address + line_step),
            to_page.eq(page_beats - address[beat_bits:page_bits]),
            limit.eq(Mux(to_page < config.burst_length, to_page, config.burst_length)),
            self.busy.eq(1),
            self.layer.eq(instruction.layer),
        ]
        if narrow:
            line_of_narrow = narrow_beats(
                m, instruction, shifts[Memory.WEIGHT], config.weight_depth)
        with m.If(self.bursts.ready):
            m.d.sync += self.bursts.valid.eq(0)

        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += [
                    self.busy.eq(self.bursts.valid),
                    self.instructions.ready.eq(1),
                ]
                with m.If(self.instructions.valid):
                    m.d.sync += [
                        instruction.eq(self.instructions.payload),
                        line_address.eq(bases[self.instructions.payload.region]),
                        line_step.eq(self.instructions.payload.address),
                    ]
                    m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.d.sync += [
                    address.eq(next_line),
                    line_address.eq(next_line),
                    line_step.eq(instruction.line_stride),
                    lines_left.eq(instruction.line_count),
                    line_beats.eq(count),
                    beats_left.eq(count),
                ]
                with m.Switch(instruction.memory):
                    for memory, shift in enumerate(shifts):
                        with m.Case(memory) if memory < len(shifts) - 1 else m.Default():
                            m.d.comb += count.eq(instruction.row_count << shift)
                m.next = "LENGTH"
                if self._opcode == Opcode.LOAD:
                    with m.If(instruction.line_beats.any()):
                        m.d.comb += count.eq(instruction.line_beats)
                    if narrow:
                        with m.Elif(instruction.weight_bits.any()):
                            m.next = "NARROW"
            if narrow:
                with m.State("NARROW"):
                    m.d.comb += count.eq(line_of_narrow)
                    m.d.sync += [line_beats.eq(count), beats_left.eq(count)]
                    m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.sync += [
                    ends_line.eq(beats_left <= limit),
                    length.eq(Mux(beats_left <= limit, beats_left, limit)),
                ]
                m.next = "ISSUE"
            with m.State("ISSUE"):
                with m.If(~self.bursts.valid | self.bursts.ready):
                    m.d.sync += [
                        self.bursts.valid.eq(1),
                        self.bursts.payload.address.eq(address),
                        self.bursts.payload.length.eq(length - 1),
                        self.bursts.payload.final.eq(ends_line & (lines_left == 1)),
                        self.bursts.payload.layer.eq(instruction.layer),
                        self.bursts.payload.post.eq(instruction.post),
                    ]
                    m.next = "LENGTH"
                    with m.If(ends_line):
                        m.d.sync += [
                            address.eq(next_line),
                            line_address.eq(next_line),
                            beats_left.eq(line_beats),
                            lines_left.eq(lines_left - 1),
                        ]
                        with m.If(lines_left == 1):
                            m.next = "ACCEPT"
                    with m.Else():
                        m.d.sync += [
                            address.eq(address + (length << beat_bits)),
                            beats_left.eq(beats_left - length),
                        ]
        return m


def narrow_beats(m, instruction, shift, depth):
    """Return the beats of one line of narrow weights, whose rows would have ``2 ** shift``.

    They are right from the second cycle of an instruction on.
    """
    chunks = Signal(range((depth << shift) // CHUNK_BEATS + 2), reset_less=True)
    beats = Signal.like(chunks)
    rows = instruction.row_count[:depth.bit_length()]
    m.d.sync += chunks.eq(((rows << shift) + (CHUNK_BEATS - 1)) >> (CHUNK_BEATS - 1).bit_length())
    # A chunk is half as many beats as a code has bits. By hand: a multiplier is worth more
    # elsewhere.
    halves = sum(
        Mux(bit, chunks, 0) << place for place, bit in enumerate(instruction.weight_bits))
    m.d.comb += beats.eq((halves + 1) >> 1)
    return beats
