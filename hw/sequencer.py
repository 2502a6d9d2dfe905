"""Address generation: five nested loops, one step per cycle."""

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import LEVELS


__all__ = (
    "Sequencer",
    "step_layout",
)


def step_layout(word_width, loop_width=12):
    """Return the layout of one step."""
    return data.StructLayout({
        "word": word_width,
        "y": signed(loop_width + 1),
        "x": signed(loop_width + 1),
        "first": 1,         # of the instruction
        "group_first": 1,
        "group_last": 1,
        "pass_first": 1,    # in the first group
        "pass_last": 1,     # in the last group
        "odd": 1,           # second, fourth, ... of its group
        "line_first": 1,    # first of a run of the innermost loop
        "wrapped": 1,       # its result belongs to the run before
        "line_last": 1,     # last of a run of the innermost loop
        "in_last_line": 1,  # in the last run of a group
        "result": 1,        # ends a window; always without warm and skip
        "hold": 1,          # reads the second operand, before the first step
    })


class Sequencer(wiring.Component):
    """Walk the loops of a CALC instruction.

    The first step appears one cycle after ``start``, then one step per cycle, with the
    instruction's gap after each group. With ``wrap``, so many steps more end each group: they
    stay at its last position, and begin another run.

    Parameters
    ----------
    word_width : int
        Bits of a word number.
    layout : StructLayout
        Layout of the instruction.
    loop_width : int
        Bits of counts, sizes and coordinates that are heeded.
    rest : int
        Cycles without a step of ``spread``.

    Members
    -------
    spread : In(1)
        ``rest`` cycles without a step follow each step of the last pass; stable as ``instruction``.
    start : In(1)
        Take ``instruction``, which must stay until ``last``.
    instruction : In(layout)
        Instruction whose loops are walked.
    hold : In(1)
        Word ``word_b`` comes first; as stable as ``instruction``.
    word_b : In(word_width)
        That word.
    running : Out(1)
        Steps are left.
    valid : Out(1)
        ``step`` holds a step.
    step : Out(step_layout)
        Position and flags.
    last : Out(1)
        Last cycle of the last step of the instruction.
    """

    def __init__(self, *, word_width, layout, loop_width=12, rest=1):
        self.word_width = word_width
        self.layout = layout
        self.loop_width = loop_width
        self.rest = rest
        super().__init__({
            "spread": In(1),
            "start": In(1),
            "instruction": In(layout),
            "hold": In(1),
            "word_b": In(word_width),
            "running": Out(1),
            "valid": Out(1),
            "step": Out(step_layout(word_width, loop_width)),
            "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        code = self.instruction
        counts = [Signal(self.loop_width, name=f"left_{level}") for level in range(LEVELS)]
        # ended[j]: loop j is in its last iteration
        ended = [Signal(name=f"ended_{level}") for level in range(LEVELS)]
        gap = Signal(6)
        pausing = Signal()  # gap is not 0
        holding = Signal()
        group_first, pass_first, first, odd = Signal(), Signal(), Signal(), Signal()
        line_first = Signal()
        idle_steps = Signal(4)  # steps until the next result
        wrapped = Signal(3)     # steps whose results belong to the run before
        tail = Signal()         # a step that wraps is still to come in this group
        in_tail = Signal()      # the step is one of those at the end of a group
        resting = Signal(self.rest.bit_length())
        rests = Signal()

        single = self.rest == 1
        walked = ended[0] & ended[1]
        group_last = walked & ~tail
        pass_last = ended[2] & ended[3] & ended[4]
        m.d.comb += [
            self.valid.eq(self.running & ~pausing & (~resting if single else resting == 0)),
            rests.eq(self.spread & pass_last & (~resting if single else resting != self.rest)),
            self.last.eq(
                self.running & ~pausing & ~rests & ~holding & group_last & pass_last),
            self.step.first.eq(first & ~holding),
            self.step.hold.eq(holding),
            self.step.group_first.eq(group_first),
            self.step.group_last.eq(group_last),
            self.step.pass_first.eq(pass_first),
            self.step.pass_last.eq(pass_last),
            self.step.odd.eq(odd),
            self.step.line_first.eq(line_first),
            self.step.wrapped.eq(wrapped != 0),
            self.step.line_last.eq(ended[0]),
            self.step.in_last_line.eq(ended[1]),
            self.step.result.eq(idle_steps == 0),
        ]

        with m.If(self.start):
            m.d.sync += [
                self.running.eq(1),
                gap.eq(0), pausing.eq(0), resting.eq(0),
                first.eq(1), group_first.eq(1), pass_first.eq(1), odd.eq(0),
                line_first.eq(1), idle_steps.eq(code.warm),
                wrapped.eq(0), tail.eq(code.wrap != 0), in_tail.eq(0),
                holding.eq(self.hold),
                self.step.word.eq(Mux(self.hold, self.word_b, code.word)),
                self.step.y.eq(self._low(code.y)),
                self.step.x.eq(self._low(code.x)),
            ]
        with m.Elif(holding):
            m.d.sync += [holding.eq(0), self.step.word.eq(code.word)]
        with m.Elif(pausing):
            m.d.sync += [gap.eq(gap - 1), pausing.eq(gap != 1)]
        with m.Elif(self.running & rests):
            m.d.sync += resting.eq(1 if single else resting + 1)
        with m.Elif(self.running):
            m.d.sync += [
                resting.eq(0),
                first.eq(0), group_first.eq(group_last), odd.eq(~odd & ~group_last),
                line_first.eq(ended[0] & ~(in_tail & tail)),
            ]
            with m.If(ended[0] & ~in_tail):
                m.d.sync += wrapped.eq(code.wrap)
            with m.Elif(wrapped != 0):
                m.d.sync += wrapped.eq(wrapped - 1)
            with m.If(walked):
                m.d.sync += [
                    in_tail.eq(tail),
                    tail.eq(
                        Mux(tail, Mux(in_tail, wrapped != 2, code.wrap != 1), code.wrap != 0)),
                ]
            with m.If(ended[0] & ~tail):
                m.d.sync += idle_steps.eq(code.warm)
            with m.Elif(idle_steps == 0):
                m.d.sync += idle_steps.eq(code.skip)
            with m.Else():
                m.d.sync += idle_steps.eq(idle_steps - 1)
            with m.If(group_last):
                m.d.sync += [gap.eq(code.gap), pausing.eq(code.gap != 0), pass_first.eq(0)]
            with m.If(self.last):
                m.d.sync += self.running.eq(0)
        walks = (
            self.running & ~pausing & ~rests & ~holding & ~self.start & ~(walked & tail))
        self._advance(m, counts, ended, walks)
        return m

    def _low(self, value):
        """Return the bits of a field that are heeded."""
        if len(value) == self.loop_width:
            return value
        low = value[:self.loop_width]
        return low.as_signed() if value.shape().signed else low

    def _advance(self, m, counts, ended, walks):
        """Advance the innermost loop that has not ended; reload those inside it.

        After the last step all are reloaded, which does not matter. Each level has its own
        conditions, side by side: a chain of them would be long. Which loop the next step advances
        is known a step before.
        """
        code, step = self.instruction, self.step
        turns = Signal(LEVELS)  # one-hot: the loop to advance
        ends = []
        for level in range(LEVELS):
            inner = Cat(ended[:level]).all() if level else C(1)
            reload = self.start | ended[level]
            count = self._low(code[f"count_{level}"])
            ends.append(Mux(
                self.start | inner, Mux(reload, count == 1, counts[level] == 2), ended[level]))
            with m.If(self.start | (walks & inner)):
                m.d.sync += counts[level].eq(Mux(reload, count, counts[level] - 1))
        with m.If(self.start | walks):
            for level, end in enumerate(ends):
                m.d.sync += [
                    ended[level].eq(end),
                    turns[level].eq(Cat(ends[:level]).all() & ~end)]
        with m.If(walks):
            for name in ("word", "y", "x"):
                steps = [code[f"{name}_{level}"] for level in range(LEVELS)]
                if name != "word":
                    steps = [self._low(delta) for delta in steps]
                chosen = reduce(or_, (
                    delta.as_unsigned() & turn.replicate(len(delta))
                    for delta, turn in zip(steps, turns)))
                m.d.sync += step[name].eq(step[name] + chosen.as_signed())
