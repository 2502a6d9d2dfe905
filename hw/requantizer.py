"""Accumulators to codes: shift, round, saturate and clamp."""

from typing import NamedTuple

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
    lo : In(signed(17))
        Lower bound of the code, a code itself, of either sign; must be stable from ``valid`` to
        ``o_valid``.
    hi : In(ArrayLayout(signed(code_width + 1), lanes))
        Upper bound of each lane, likewise; must be there in the cycle before ``o_valid``.
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
            "hi": In(data.ArrayLayout(signed(code_width + 1), lanes)),
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
            m.d.comb += self.o[lane].eq(self._lane(
                m, stages, self.acc[lane], self.shift[lane], self.hi[lane]))
        return m

    def _lane(self, m, stages, acc, shift, hi):
        """Add one lane.

        Two low bits carry the half (guard) and what lies below it (sticky). Each step of the shift
        drops the upper bits that no later step can bring into a code, and notes whether the number
        needed them (over): then only its sign counts. ::

            acc ── shift by 16, 8 ── shift by 4, 2, 1 ── increment ── clip
        """
        least = self.code_width + 2  # a code of either sign, and the guard bit
        coarse, fine = _Shifted(least + 7, "coarse"), _Shifted(least, "fine")
        fine_shift = Signal(3)
        rounded = Signal(signed(least))
        over, negative = Signal(), Signal()
        code = Signal(self.code_width)

        value = _Number(Cat(C(0, 1), acc).as_signed(), C(0, 1), C(0, 1), acc[-1])
        with m.If(stages[0]):
            for bit in (4, 3):
                value = _shift(value, shift[bit], 1 << bit, least + (1 << bit) - 1)
            m.d.sync += [fine_shift.eq(shift[:3]), *coarse.load(value)]
        value = coarse.number
        with m.If(stages[1]):
            for bit in (2, 1, 0):
                value = _shift(value, fine_shift[bit], 1 << bit, least + (1 << bit) - 1)
            m.d.sync += fine.load(value)
        with m.If(stages[2]):
            m.d.sync += [
                rounded.eq((fine.value >> 1) + self._increment(fine)),
                over.eq(fine.over),
                negative.eq(fine.negative),
            ]
        lo = self.lo[:self.code_width + 1].as_signed()
        with m.If(stages[3]):
            with m.If(Mux(over, negative, rounded < lo)):
                m.d.sync += code.eq(lo)
            with m.Elif(over | (rounded > hi)):
                m.d.sync += code.eq(hi)
            with m.Else():
                m.d.sync += code.eq(rounded)
        return code

    def _increment(self, value):
        sticky, guard, odd = value.sticky, value.value[0], value.value[1]
        match self.rounding:
            case Rounding.HALF_EVEN:
                return guard & (sticky | odd)
            case Rounding.HALF_UP:
                return guard
            case Rounding.HALF_AWAY:
                return guard & (sticky | ~value.negative)
            case Rounding.FLOOR:
                return C(0, 1)


class _Number(NamedTuple):
    """A number on its way through the shift: value with guard bit, and what has been lost."""

    value: Value
    sticky: Value
    over: Value
    negative: Value


class _Shifted:
    """Registers for a :class:`_Number`."""

    def __init__(self, width, name):
        self.value = Signal(signed(width), name=f"{name}_value")
        self.sticky = Signal(name=f"{name}_sticky")
        self.over = Signal(name=f"{name}_over")
        self.negative = Signal(name=f"{name}_negative")

    @property
    def number(self):
        return _Number(self.value, self.sticky, self.over, self.negative)

    def load(self, number):
        return [register.eq(value) for register, value in zip(self.number, number)]


def _shift(number, enable, amount, width):
    """Shift right by ``amount`` if enabled; keep ``width`` bits."""
    value = number.value
    upper = [value[start:] for start in (width - 1, width - 1 + amount) if start + 1 < len(value)]
    lost = [~(bits.all() | ~bits.any()) for bits in upper]
    over = Mux(enable, lost[1], lost[0]) if len(lost) == 2 else lost[0] & ~enable if lost else 0
    return _Number(
        Mux(enable, value >> amount, value)[:width].as_signed(),
        number.sticky | (enable & value[:amount].any()),
        number.over | over,
        number.negative)
