"""Accumulators to codes: shift, round, saturate and clamp."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.formats import Rounding


__all__ = ("Requantizer",)


class Requantizer(wiring.Component):
    """Rescale one accumulator per lane to a code.

    Computes ``clip(round(acc / 2 ** shift), lo, hi)`` as :func:`arch.formats.requantize` does.
    Latency is :attr:`latency` cycles; throughput is one payload per cycle.

    Parameters
    ----------
    lanes : int
        Lanes.
    acc_width : int
        Bits of a signed accumulator.
    code_width : int
        Bits of a code.
    rounding : Rounding
        Rounding rule.

    Members
    -------
    valid : In(1)
        ``acc`` holds accumulators.
    acc : In(ArrayLayout(signed(acc_width), lanes))
        Accumulators.
    shift : In(ArrayLayout(5, lanes))
        Amount of right shift, in bits, together with ``acc``.
    lo, hi : In(signed(17))
        Bounds of the code; must be stable from ``valid`` to ``o_valid``.
    o_valid : Out(1)
        ``o`` holds codes.
    o : Out(ArrayLayout(code_width, lanes))
        Codes.
    """

    latency = 4

    def __init__(self, *, lanes, acc_width, code_width, rounding=Rounding.HALF_EVEN):
        self.lanes = lanes
        self.acc_width = acc_width
        self.code_width = code_width
        self.rounding = rounding
        super().__init__({
            "valid": In(1),
            "acc": In(data.ArrayLayout(signed(acc_width), lanes)),
            "shift": In(data.ArrayLayout(5, lanes)),
            "lo": In(signed(17)),
            "hi": In(signed(17)),
            "o_valid": Out(1),
            "o": Out(data.ArrayLayout(code_width, lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        valid = Signal(self.latency)
        m.d.sync += valid.eq(Cat(self.valid, valid))
        m.d.comb += self.o_valid.eq(valid[-1])
        stages = [self.valid, *valid[:-1]]
        for lane in range(self.lanes):
            m.d.comb += self.o[lane].eq(self._lane(m, stages, self.acc[lane], self.shift[lane]))
        return m

    def _lane(self, m, stages, acc, shift):
        """Add one lane; two low bits carry the half and what lies below it (sticky).

        acc ── shift by 8s ── shift by 0..7 ── increment ── clip
        """
        # acc with guard and sticky below it
        coarse = Signal(signed(self.acc_width + 2))
        fine = Signal(signed(self.acc_width + 2))
        fine_shift = Signal(3)
        rounded = Signal(signed(self.acc_width + 1))
        code = Signal(self.code_width)

        extended = Cat(C(0, 2), acc).as_signed()
        with m.If(stages[0]):
            m.d.sync += fine_shift.eq(shift[:3])
            with m.Switch(shift[3:]):
                for step in range(4):
                    with m.Case(step):
                        m.d.sync += coarse.eq(_shift_sticky(extended, 8 * step))
        with m.If(stages[1]):
            with m.Switch(fine_shift):
                for step in range(8):
                    with m.Case(step):
                        m.d.sync += fine.eq(_shift_sticky(coarse, step))
        with m.If(stages[2]):
            m.d.sync += rounded.eq((fine >> 2) + self._increment(fine))
        with m.If(stages[3]):
            with m.If(rounded < self.lo):
                m.d.sync += code.eq(self.lo)
            with m.Elif(rounded > self.hi):
                m.d.sync += code.eq(self.hi)
            with m.Else():
                m.d.sync += code.eq(rounded)
        return code

    def _increment(self, value):
        sticky, guard, odd, negative = value[0], value[1], value[2], value[-1]
        match self.rounding:
            case Rounding.HALF_EVEN:
                return guard & (sticky | odd)
            case Rounding.HALF_UP:
                return guard
            case Rounding.HALF_AWAY:
                return guard & (sticky | ~negative)
            case Rounding.FLOOR:
                return C(0, 1)


def _shift_sticky(value, amount):
    """Shift right, or-ing what falls off into the lowest bit."""
    if amount == 0:
        return value
    shifted = value.shift_right(amount)
    return Cat(shifted[0] | value[:amount].any(), shifted[1:]).as_signed()
