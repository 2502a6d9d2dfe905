"""Accumulators to codes, some lanes at a time."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.formats import Rounding

from .requantizer import Requantizer


__all__ = ("SerialRequantizer",)


class SerialRequantizer(wiring.Component):
    """Rescale one accumulator per lane to a code, ``width`` lanes in a cycle.

    Computes what :class:`Requantizer` does. Latency is :attr:`latency` cycles; throughput is one
    payload in :attr:`steps` cycles, and ``start`` may not come faster.

    Parameters
    ----------
    lanes, acc_width, code_width, rounding
        As of :class:`Requantizer`.
    width : int
        Lanes at a time; divides ``lanes``.

    Members
    -------
    start : In(1)
        ``acc`` holds accumulators in the next cycle.
    acc : In(ArrayLayout(signed(acc_width), lanes))
        Accumulators.
    ask : Out(1)
        In two cycles, ``shift`` and ``hi`` must be those of the lanes of ``part``.
    part : Out(range(steps))
        Lanes from ``part * width`` on.
    shift : In(ArrayLayout(5, width))
        Amount of right shift, in bits.
    lo : In(signed(17))
        Lower bound of the code, as of :class:`Requantizer`.
    hi : In(ArrayLayout(signed(code_width + 1), width))
        Upper bounds.
    o_valid : Out(1)
        ``o`` holds codes.
    o : Out(ArrayLayout(code_width, lanes))
        Codes.
    """

    def __init__(self, *, lanes, width, acc_width, code_width, rounding=Rounding.HALF_EVEN):
        self.lanes = lanes
        self.width = width
        self.acc_width = acc_width
        self.code_width = code_width
        self.rounding = rounding
        super().__init__({
            "start": In(1),
            "acc": In(data.ArrayLayout(signed(acc_width), lanes)),
            "ask": Out(1),
            "part": Out(range(self.steps)),
            "shift": In(data.ArrayLayout(5, width)),
            "lo": In(signed(17)),
            "hi": In(data.ArrayLayout(signed(code_width + 1), width)),
            "o_valid": Out(1),
            "o": Out(data.ArrayLayout(code_width, lanes)),
        })

    @property
    def steps(self):
        """Cycles in which the lanes go in."""
        return self.lanes // self.width

    @property
    def latency(self):
        """Cycles from the accumulators to the codes."""
        return self.steps + Requantizer.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = Requantizer(
            lanes=self.width, acc_width=self.acc_width, code_width=self.code_width,
            rounding=self.rounding)
        # acc ── some lanes a cycle ── inner ── collected ── o
        running, following = Signal(), Signal.like(self.part)
        m.d.comb += [
            self.ask.eq(self.start | running),
            self.part.eq(Mux(self.start, 0, following)),
        ]
        with m.If(self.ask):
            m.d.sync += [
                running.eq(self.part != self.steps - 1), following.eq(self.part + 1)]

        take, asked, valid = Signal(), Signal(), Signal()
        held = Signal.like(self.acc.as_value())
        m.d.sync += [take.eq(self.start), asked.eq(self.ask), valid.eq(asked)]
        with m.If(take):
            m.d.sync += held.eq(self.acc)
        with m.Else():
            m.d.sync += held.eq(held >> self.width * self.acc_width)

        # Upper bounds are needed last.
        hi = self.hi
        for _ in range(Requantizer.latency - 1):
            later = Signal.like(self.hi)
            m.d.sync += later.eq(hi)
            hi = later
        m.d.comb += [
            inner.valid.eq(valid),
            inner.acc.eq(held[:self.width * self.acc_width]),
            inner.shift.eq(self.shift),
            inner.lo.eq(self.lo),
            inner.hi.eq(hi),
        ]

        # The last codes are taken as they come.
        number = Signal.like(self.part)
        codes = Signal((self.lanes - self.width) * self.code_width)
        m.d.comb += [
            self.o_valid.eq(inner.o_valid & (number == self.steps - 1)),
            self.o.eq(Cat(codes, inner.o.as_value())),
        ]
        with m.If(inner.o_valid):
            m.d.sync += [
                number.eq(number + 1),
                codes.eq(self.o.as_value()[self.width * self.code_width:])]
        return m
