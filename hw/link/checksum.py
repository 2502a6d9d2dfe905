"""The checksum of :mod:`arch.serial`, a byte a cycle."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.serial import CHECKSUM_INIT


__all__ = ("Checksum",)


class Checksum(wiring.Component):
    """Checksum of bytes, as :func:`arch.serial.checksum` computes it.

    Members
    -------
    clear : In(1)
        Begin anew; comes before ``valid``.
    valid : In(1)
        Take a byte.
    data : In(8)
        The byte.
    value : Out(16)
        Checksum of the bytes so far, a cycle after the last one.
    """

    clear: In(1)
    valid: In(1)
    data: In(8)
    value: Out(16, init=CHECKSUM_INIT)

    def elaborate(self, platform):
        m = Module()
        # Division by x^16 + x^12 + x^5 + 1, eight steps at once: what the upper byte and the data
        # leave goes to the places of the three lower terms, and once more from the first of them.
        left = Signal(8)
        mixed = self.value[8:] ^ self.data
        m.d.comb += left.eq(mixed ^ (mixed >> 4))
        with m.If(self.clear):
            m.d.sync += self.value.eq(CHECKSUM_INIT)
        with m.Elif(self.valid):
            m.d.sync += self.value.eq(
                Cat(C(0, 8), self.value[:8]) ^ left ^ (left << 5) ^ (left << 12))
        return m
