"""Address generation: five nested loops, one step per cycle."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import LEVELS


__all__ = (
    "Sequencer",
    "step_layout",
)


def step_layout(word_width):
    """Return the layout of one step."""
    return data.StructLayout({
        "word": word_width,
        "y": signed(13),
        "x": signed(13),
        "first": 1,         # of the instruction
        "group_first": 1,
        "group_last": 1,
        "pass_first": 1,    # in the first group
        "pass_last": 1,     # in the last group
        "odd": 1,           # second, fourth, ... of its group
        "line_first": 1,    # first of a run of the innermost loop
        "result": 1,        # ends a window; always without warm and skip
    })


class Sequencer(wiring.Component):
    """Walk the loops of a CALC instruction.

    The first step appears one cycle after ``start``, then one step per cycle, with the
    instruction's gap after each group.

    Parameters
    ----------
    word_width : int
        Bits of a word number.
    layout : StructLayout
        Layout of the instruction.

    Members
    -------
    spread : In(1)
        One cycle without a step follows each step of the last pass; stable as ``instruction``.
    start : In(1)
        Take ``instruction``, which must stay until ``last``.
    instruction : In(layout)
        Instruction whose loops are walked.
    running : Out(1)
        Steps are left.
    valid : Out(1)
        ``step`` holds a step.
    step : Out(step_layout)
        Position and flags.
    last : Out(1)
        Last cycle of the last step of the instruction.
    """

    def __init__(self, *, word_width, layout):
        self.word_width = word_width
        self.layout = layout
        super().__init__({
            "spread": In(1),
            "start": In(1),
            "instruction": In(layout),
            "running": Out(1),
            "valid": Out(1),
            "step": Out(step_layout(word_width)),
            "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        code = self.instruction
        counts = [Signal(12, name=f"left_{level}") for level in range(LEVELS)]
        # ended[j]: loop j is in its last iteration
        ended = [Signal(name=f"ended_{level}") for level in range(LEVELS)]
        gap = Signal(6)
        group_first, pass_first, first, odd = Signal(), Signal(), Signal(), Signal()
        line_first = Signal()
        idle_steps = Signal(4)  # steps until the next result
        resting = Signal()
        rests = Signal()

        group_last = ended[0] & ended[1]
        pass_last = ended[2] & ended[3] & ended[4]
        m.d.comb += [
            self.valid.eq(self.running & (gap == 0) & ~resting),
            rests.eq(self.spread & pass_last & ~resting),
            self.last.eq(self.running & (gap == 0) & ~rests & group_last & pass_last),
            self.step.first.eq(first),
            self.step.group_first.eq(group_first),
            self.step.group_last.eq(group_last),
            self.step.pass_first.eq(pass_first),
            self.step.pass_last.eq(pass_last),
            self.step.odd.eq(odd),
            self.step.line_first.eq(line_first),
            self.step.result.eq(idle_steps == 0),
        ]

        with m.If(self.start):
            m.d.sync += [
                self.running.eq(1),
                gap.eq(0), resting.eq(0),
                first.eq(1), group_first.eq(1), pass_first.eq(1), odd.eq(0),
                line_first.eq(1), idle_steps.eq(code.warm),
                self.step.word.eq(code.word),
                self.step.y.eq(code.y),
                self.step.x.eq(code.x),
            ]
            for level in range(LEVELS):
                self._reload(m, counts, ended, level)
        with m.Elif(gap != 0):
            m.d.sync += gap.eq(gap - 1)
        with m.Elif(self.running & rests):
            m.d.sync += resting.eq(1)
        with m.Elif(self.running):
            m.d.sync += [
                resting.eq(0),
                first.eq(0), group_first.eq(group_last), odd.eq(~odd & ~group_last),
                line_first.eq(ended[0]),
            ]
            with m.If(ended[0]):
                m.d.sync += idle_steps.eq(code.warm)
            with m.Elif(idle_steps == 0):
                m.d.sync += idle_steps.eq(code.skip)
            with m.Else():
                m.d.sync += idle_steps.eq(idle_steps - 1)
            with m.If(group_last):
                m.d.sync += [gap.eq(code.gap), pass_first.eq(0)]
            with m.If(self.last):
                m.d.sync += self.running.eq(0)
            self._advance(m, counts, ended)
        return m

    def _reload(self, m, counts, ended, level):
        count = self.instruction[f"count_{level}"]
        m.d.sync += [counts[level].eq(count), ended[level].eq(count == 1)]

    def _advance(self, m, counts, ended):
        """Advance the innermost loop that has not ended; reload those inside it."""
        code, step = self.instruction, self.step
        condition = m.If
        for level in range(LEVELS):
            with condition(~ended[level]):
                m.d.sync += [
                    counts[level].eq(counts[level] - 1),
                    ended[level].eq(counts[level] == 2),
                    step.word.eq(step.word + code[f"word_{level}"]),
                    step.y.eq(step.y + code[f"y_{level}"]),
                    step.x.eq(step.x + code[f"x_{level}"]),
                ]
                for inner in range(level):
                    self._reload(m, counts, ended, inner)
            condition = m.Elif
