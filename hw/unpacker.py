"""Narrow weight codes, in planes of bits in DRAM, as bytes."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import CHUNK_BEATS


__all__ = ("Unpacker",)


class Unpacker(wiring.Component):
    """Widen signed codes of 2 to 7 bits to 8 bits.

    A chunk of ``CHUNK_BEATS`` beats of output is ``bits`` halves of beats of input, each a plane:
    one bit of all codes, the highest first. Two planes come at a time, so that codes grow by two
    places. If ``bits`` is odd, two chunks share a beat, the lowest bits of both, and what is the
    first plane of the second chunk is its lowest bit::

        i ── low, high ──► codes held, two places up ── o
                  └──────► spare

    The codes of the first chunk then have two places below bit 0: bit 1 comes there, in ``spare``,
    and goes up with the rest in the beat that is shared. After it ``spare`` holds the lowest bits
    of the second chunk until its end.

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
    two_planes : In(1)
        ``bits`` is 2. As stable as that; apart from it because it decides early.
    pairs : In(1)
        A code is two of half the bits, widened to 4 bits each, planes of the upper and of the lower
        ones in turn. As stable as ``bits``.
    clear : In(1)
        Drop what is left over when the chunk offered is accepted: it was padding.
    i : In(stream(width))
        Beats, the plane that comes first in the lower half, the first code in its lowest bit.
    o : Out(stream(ArrayLayout(signed(8), CHUNK_BEATS * width // 8)))
        Chunks.
    """

    def __init__(self, width, *, dual=False):
        self._width = width
        self._dual = dual
        super().__init__({
            "bits": In(3),
            "two_planes": In(1),
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
        odd = self.bits[0]
        whole = Signal(2)  # beats of this chunk alone that have come
        behind = Signal()  # the chunk began in the beat before them

        def ends(whole, behind):
            shared = odd & ~behind & (whole == self.bits[1:])
            return shared, shared | ((behind | ~odd) & (whole + 1 == self.bits[1:]))

        # Whether the beat that comes ends a chunk. Between instructions, where ``bits`` changes,
        # a chunk is ended by its first beat only if it is of two planes.
        fresh, ending = Signal(init=1), Signal()
        first, full = Signal(), Signal()
        moves = Signal()
        shared, _ = ends(whole, behind)
        next_whole, next_behind = Signal.like(whole), Signal()
        m.d.comb += [
            first.eq(whole == 0),
            full.eq(Mux(fresh, self.two_planes, ending)),
            next_whole.eq(Mux(full, 0, whole + 1)),
            next_behind.eq(Mux(full, shared & ~self.clear, behind)),
            self.o.valid.eq(self.i.valid & full),
            self.i.ready.eq(~full | self.o.ready),
            moves.eq(self.i.valid & self.i.ready),
        ]
        with m.If(moves):
            m.d.sync += [
                whole.eq(next_whole), behind.eq(next_behind),
                fresh.eq((next_whole == 0) & ~next_behind),
                ending.eq(ends(next_whole, next_behind)[1])]

        # By place, the bits of all codes.
        planes = [Signal(half, name=f"plane_{place}") for place in range(8)]
        held = [Signal(half, name=f"held_{place}", reset_less=True) for place in range(7)]
        spare = Signal(half, reset_less=True)
        above = [Mux(first, low, plane) for plane in held]
        codes = [
            Mux(behind, spare, Mux(odd, low, high)),
            Mux(odd, Mux(behind, high, Mux(first, low, spare)), low),
            Mux(odd & behind, low, above[0]),
            *above[1:6],
        ]
        if self._dual:
            # One place at a time: the low plane is of the upper codes, the high one of the lower.
            pairs = [
                high, *(Mux(first, high, plane) for plane in held[:3]), low, *above[4:]]
            codes = [Mux(self.pairs, pair, plane) for pair, plane in zip(pairs, codes)]
        m.d.comb += [plane.eq(code) for plane, code in zip(planes, codes, strict=True)]
        with m.If(moves):
            m.d.sync += [register.eq(plane) for register, plane in zip(held, planes)]
            with m.If(~behind):
                m.d.sync += spare.eq(high)
        m.d.comb += [
            self.o.payload[number].eq(Cat(plane[number] for plane in planes))
            for number in range(half)
        ]
        return m
