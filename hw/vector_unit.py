"""Maximum and sum over groups of rows: pooling and Add."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.timing import quotient_bits

from .divider import Divider


__all__ = ("VectorUnit",)


class VectorUnit(wiring.Component):
    """Combine the rows of a group, lane by lane, and divide the sum if asked.

    An element is the code of a lane, shifted left. Steps out of bounds are skipped. Latency from
    the last row of a group to its result is :attr:`latency` cycles, with division
    :attr:`divide_latency` cycles.

    Parameters
    ----------
    lanes : int
        Lanes.
    code_width : int
        Bits of a code.
    width : int
        Bits of a signed result.

    Members
    -------
    valid : In(1)
        ``row`` belongs to a step.
    row : In(ArrayLayout(code_width, lanes))
        Codes.
    first, last : In(1)
        The step begins, ends a group.
    inside : In(1)
        The step is in bounds.
    counted : In(1)
        The step counts in the divisor.
    signed : In(1)
        Codes of this row are two's complement.
    shift : In(4)
        Left shift of this row, in bits.
    sum, divide : In(1)
        Sum instead of maximum; divide by the number of counted steps. Stable during a group.
    o_valid : Out(1)
        ``o`` holds results.
    o : Out(ArrayLayout(signed(width), lanes))
        Results; after a division with two fraction bits.
    """

    latency = 3
    count_width = 16

    def __init__(self, *, lanes, code_width, width):
        self.lanes = lanes
        self.code_width = code_width
        self.width = width
        self._divider = Divider(
            lanes=lanes, width=width, count_width=self.count_width,
            quotient_width=quotient_bits(code_width))
        super().__init__({
            "valid": In(1),
            "row": In(data.ArrayLayout(code_width, lanes)),
            "first": In(1),
            "last": In(1),
            "inside": In(1),
            "counted": In(1),
            "signed": In(1),
            "shift": In(4),
            "sum": In(1),
            "divide": In(1),
            "o_valid": Out(1),
            "o": Out(data.ArrayLayout(signed(width), lanes)),
        })

    @property
    def divide_latency(self):
        """Cycles from the last row of a group to its quotient."""
        return self.latency + self._divider.latency

    def elaborate(self, platform):
        m = Module()
        # row ── shift ── combine (acc) ─┬─ o
        #                                └─ divider ── o
        stage = Signal(data.StructLayout(
            {"valid": 1, "first": 1, "last": 1, "inside": 1, "counted": 1}))
        ended = Signal()
        count = Signal(self.count_width)
        m.submodules.divider = divider = self._divider
        m.d.comb += [
            divider.start.eq(ended & self.divide),
            divider.count.eq(count),
        ]
        m.d.sync += [
            stage.eq(Cat(self.valid, self.first, self.last, self.inside, self.counted)),
            ended.eq(stage.valid & stage.last),
            self.o_valid.eq(Mux(self.divide, divider.o_valid, ended)),
        ]
        with m.If(stage.valid):
            m.d.sync += count.eq(Mux(stage.first, 0, count) + stage.counted)

        identity = -(1 << (self.width - 1))
        for lane in range(self.lanes):
            code = self.row[lane]
            element, acc = Signal(signed(self.width)), Signal(signed(self.width))
            with m.If(self.valid):
                extended = Cat(code, self.signed & code[-1]).as_signed()
                m.d.sync += element.eq(extended << self.shift)
            before = Mux(stage.first, Mux(self.sum, 0, identity), acc)
            with m.If(stage.valid):
                with m.If(~stage.inside):
                    m.d.sync += acc.eq(before)
                with m.Elif(self.sum):
                    m.d.sync += acc.eq(before + element)
                with m.Elif(stage.first | (element > acc)):
                    m.d.sync += acc.eq(element)
            m.d.comb += divider.i[lane].eq(acc)
            with m.If(self.divide):
                m.d.sync += self.o[lane].eq(divider.o[lane])
            with m.Elif(ended):
                m.d.sync += self.o[lane].eq(acc)
        return m
