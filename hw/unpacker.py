"""Narrow weight codes, packed in DRAM, as bytes."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import CHUNK_BEATS


__all__ = ("Unpacker",)


_PAIRS = (4, 6)
"""Bits of pairs that are narrower than two codes on chip."""


class Unpacker(wiring.Component):
    """Widen signed codes of 2 to 7 bits, packed without gaps, to 8 bits.

    A chunk of ``CHUNK_BEATS`` beats of output is ``bits / 2`` beats of input, so only halves of
    beats are ever left over::

        i ── half, half ──► held halves, new ones behind them ── bits * 2 // 4 beats ──► widen ── o

    Latency is none: a chunk is offered together with its last beat, which is accepted with it.
    Throughput is one beat of input per cycle.

    Parameters
    ----------
    width : int
        Bits of a beat; a multiple of 16.
    dual : bool
        Whether codes can be pairs.

    Members
    -------
    bits : In(3)
        Bits of a code. Must be stable while ``i.valid`` is asserted or anything is held.
    pairs : In(1)
        A code is two of half the bits, widened to 4 bits each. As stable as ``bits``.
    clear : In(1)
        Drop what is left over when the chunk offered is accepted: it was padding.
    i : In(stream(width))
        Beats, first code in the lowest bits.
    o : Out(stream(ArrayLayout(signed(8), CHUNK_BEATS * width // 8)))
        Chunks.
    """

    def __init__(self, width, *, dual=False):
        self._width = width
        self._dual = dual
        super().__init__({
            "bits": In(3),
            "pairs": In(1),
            "clear": In(1),
            "i": In(stream.Signature(width)),
            "o": Out(stream.Signature(
                data.ArrayLayout(signed(8), CHUNK_BEATS * width // 8))),
        })

    @property
    def width(self):
        """Bits of a beat."""
        return self._width

    def elaborate(self, platform):
        m = Module()
        half = self._width // 2
        low, high = self.i.payload[:half], self.i.payload[half:]
        count = Signal(3)  # halves held
        held = [Signal(half, name=f"held_{number}", reset_less=True) for number in range(6)]
        halves = [Signal(half, name=f"half_{number}") for number in range(7)]
        full = Signal()
        m.d.comb += [
            full.eq(count + 2 >= self.bits),
            self.o.valid.eq(self.i.valid & full),
            self.i.ready.eq(~full | self.o.ready),
        ]
        for number, value in enumerate(halves):
            last = held[number] if number < len(held) else high
            behind = Mux(count + 1 == number, high, last)
            m.d.comb += value.eq(Mux(count == number, low, behind))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [register.eq(value) for register, value in zip(held, halves)]
            m.d.sync += count.eq(count + 2)
            with m.If(full):
                m.d.sync += [held[0].eq(high), count.eq(count + 2 - self.bits)]
                with m.If(self.clear):
                    m.d.sync += count.eq(0)

        packed = Cat(halves)
        with m.Switch(self.bits):
            for bits in range(2, 8):
                with m.Case(bits):
                    m.d.comb += [
                        self.o.payload[number].eq(
                            self._widened(packed.word_select(number, bits)))
                        for number in range(self.o.payload.shape().length)
                    ]
        return m

    def _widened(self, code):
        if not self._dual or len(code) not in _PAIRS:
            return code.as_signed()
        half = len(code) // 2
        return Mux(self.pairs, Cat(*(
            Cat(part, part[-1].replicate(4 - half)) for part in (code[:half], code[half:]))),
            Cat(code, code[-1].replicate(8 - len(code))))
