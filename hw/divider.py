"""Division of sums by a window size, exact enough for any rounding rule."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


__all__ = ("Divider",)


class Divider(wiring.Component):
    """Divide one sum per lane by a common count.

    Computes ``o = sign(i) * (floor(4 * abs(i) / count) | (4 * abs(i) % count != 0))``: the
    quotient with two fraction bits and a sticky bit, which a right shift by two rounds exactly.
    One division at a time; latency is :attr:`latency` cycles.

    Parameters
    ----------
    lanes : int
        Lanes.
    width : int
        Bits of a signed sum.
    count_width : int
        Bits of the count.
    quotient_width : int
        Bits of a quotient's magnitude.

    Members
    -------
    start : In(1)
        Take ``i`` and ``count``. Ignored work in progress is lost.
    i : In(ArrayLayout(signed(width), lanes))
        Sums; ``4 * abs(i)`` must be below ``count * 2 ** quotient_width``.
    count : In(count_width)
        Divisor, at least 1.
    o_valid : Out(1)
        ``o`` holds quotients, for one cycle.
    o : Out(ArrayLayout(signed(quotient_width + 1), lanes))
        Quotients.
    """

    def __init__(self, *, lanes, width, count_width, quotient_width=16):
        self.lanes = lanes
        self.width = width
        self.count_width = count_width
        self.quotient_width = quotient_width
        super().__init__({
            "start": In(1),
            "i": In(data.ArrayLayout(signed(width), lanes)),
            "count": In(count_width),
            "o_valid": Out(1),
            "o": Out(data.ArrayLayout(signed(self.quotient_width + 1), lanes)),
        })

    @property
    def latency(self):
        """Cycles from ``start`` to ``o_valid``."""
        return self.quotient_width + 2

    def elaborate(self, platform):
        m = Module()
        bits = self.quotient_width
        rest_width = self.count_width + bits + 1
        step = Signal(range(bits + 2))
        divisor = Signal(rest_width)
        running = Signal()
        m.d.comb += running.eq((step != 0) & (step <= bits))
        m.d.sync += self.o_valid.eq(step == bits + 1)
        with m.If(self.start):
            m.d.sync += [step.eq(1), divisor.eq(self.count << (bits - 1))]
        with m.Elif(step == bits + 1):
            m.d.sync += step.eq(0)
        with m.Elif(step != 0):
            m.d.sync += step.eq(step + 1)

        for lane in range(self.lanes):
            rest, quotient, negative = Signal(rest_width), Signal(bits), Signal()
            less = Signal(rest_width)
            fits = Signal()
            magnitude = Signal(bits)
            m.d.comb += [
                Cat(less, fits).eq(Cat(rest, 1) - divisor),
                magnitude.eq(quotient | (rest != 0)),
            ]
            with m.If(self.start):
                value = self.i[lane]
                m.d.sync += [negative.eq(value < 0), rest.eq(Mux(value < 0, -value, value) << 2)]
            with m.Elif(running):
                m.d.sync += [
                    rest.eq(Mux(fits, less, rest) << 1),
                    quotient.eq(Cat(fits, quotient)),
                ]
            with m.If(step == bits + 1):
                m.d.sync += self.o[lane].eq(Mux(negative, -magnitude, magnitude))
        return m
