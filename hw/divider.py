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

    Non-restoring: the divisor is taken from a remainder that is not negative, and given to one that
    is, so that a negative sum needs no negation. What comes out is rounded down; with a remainder
    left, an even quotient of a negative sum is the one wanted less one, and the sticky bit mends
    it.

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
        Take ``i`` and ``count`` in the next cycle. Ignored work in progress is lost.
    i : In(ArrayLayout(signed(width), lanes))
        Sums; ``4 * abs(i)`` must be below ``count * 2 ** quotient_width``.
    count : In(count_width)
        Divisor, at least 1.
    o_soon : Out(1)
        Strobe in the cycle before ``o_valid``.
    o_valid : Out(1)
        Strobe: ``o`` holds quotients, until the next ``start``.
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
            "o_soon": Out(1),
            "o_valid": Out(1),
            "o": Out(data.ArrayLayout(signed(self.quotient_width + 1), lanes)),
        })

    @property
    def latency(self):
        """Cycles from ``start`` to ``o_valid``."""
        return self.quotient_width + 3

    def elaborate(self, platform):
        m = Module()
        # load; a bit of the quotient each step; one step more for the remainder. What enables
        # registers of all lanes is known a cycle before.
        bits = self.quotient_width
        step = Signal(range(bits + 2))
        divisor = Signal(self.count_width + 1)
        final, load = Signal(), Signal()
        runs, shifts = Signal(), Signal()  # the remainder, the quotient
        goes_on = load | ((step != 0) & ~final)
        ends = ~load & (step == bits)
        m.d.sync += [
            load.eq(self.start),
            final.eq(ends),
            runs.eq(self.start | goes_on),
            shifts.eq(self.start | (goes_on & ~ends)),
            self.o_valid.eq(final),
        ]
        m.d.comb += self.o_soon.eq(final)
        with m.If(load):
            m.d.sync += [step.eq(1), divisor.eq(self.count)]
        with m.Elif(final):
            m.d.sync += step.eq(0)
        with m.Elif(step != 0):
            m.d.sync += step.eq(step + 1)
            with m.If(step == bits):
                m.d.sync += divisor.eq(divisor << 1)

        for lane in range(self.lanes):
            # The remainder, the rest of the dividend below it, the quotient coming up behind.
            rest, low = Signal(signed(self.count_width + 1)), Signal(bits)
            negative = Signal()
            total = Signal(signed(self.count_width + 2))
            value = Cat(C(0, 2), self.i[lane]).as_signed()
            gives = rest[-1]
            takes = ~gives & ~final
            gives_all = gives.replicate(len(divisor) + 1)
            addend = Mux(final, divisor & gives_all, Cat(divisor, C(0, 1)) ^ ~gives_all)
            shifted = Cat(low[-1] & ~final, rest)
            m.d.comb += [
                total.eq((Cat(takes, shifted) + Cat(takes, addend)) >> 1),
                self.o[lane].eq(Cat(low[0] | rest.any(), low[1:], negative)),
            ]
            with m.If(load):
                m.d.sync += negative.eq(value[-1])
            with m.If(runs):
                m.d.sync += rest.eq(Mux(load, value >> bits, total))
            with m.If(shifts):
                m.d.sync += low.eq(Mux(load, value[:bits], Cat(~total[-1], low)))
        return m
