"""Buffers for streams: registers at a border, first in first out queues."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .primitives import NO_COLLISIONS


__all__ = (
    "StreamBuffer",
    "StreamRegister",
    "StreamQueue",
)


class StreamBuffer(wiring.Component):
    """Two registers that cut every combinational path through a stream.

    Latency is one cycle; throughput is one payload per cycle. ``o.valid``, ``o.payload`` and
    ``i.ready`` are registers, so that neither side sees the other's timing.

    Parameters
    ----------
    shape : ShapeLike
        Shape of the payload.
    spare : bool
        Whether there is a second register. Without it ``i.ready`` follows ``o.ready`` at once.

    Members
    -------
    i : In(stream)
        Payloads.
    o : Out(stream)
        The same payloads.
    """

    def __init__(self, shape, *, spare=True):
        self._shape = shape
        self._spare = spare
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        if not self._spare:
            m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
            with m.If(self.i.ready):
                m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
            return m
        full = Signal()
        spare = Signal(self._shape, reset_less=True)
        m.d.comb += self.i.ready.eq(~full)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(full | self.i.valid),
                self.o.payload.eq(Mux(full, spare, self.i.payload)),
                full.eq(0),
            ]
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [
                spare.eq(self.i.payload),
                full.eq(1),
            ]
        return m


class StreamRegister(wiring.Component):
    """One register that cuts every combinational path through a stream.

    Latency is one cycle; throughput is one payload in two cycles. It takes a third of a
    :class:`StreamBuffer`.

    Parameters
    ----------
    shape : ShapeLike
        Shape of the payload.

    Members
    -------
    i : In(stream)
        Payloads.
    o : Out(stream)
        The same payloads.
    """

    def __init__(self, shape):
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(self.o.valid):
            m.d.sync += self.o.valid.eq(~self.o.ready)
        with m.Else():
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


class StreamQueue(wiring.Component):
    """First in, first out queue of shaped payloads.

    Latency is one cycle, or two if ``buffered``; throughput is one payload per cycle. ``i.ready``
    and ``o.valid`` come from registers.

    Parameters
    ----------
    shape : ShapeLike
        Shape of the payload.
    depth : int
        Payloads that fit, at least 1; one more if ``buffered``.
    buffered : bool
        Read synchronously, as block RAM wants it. Without it the queue is registers or LUT RAM.

    Members
    -------
    i : In(stream)
        Payloads.
    o : Out(stream)
        The same payloads, in order.
    """

    def __init__(self, shape, depth, *, buffered=False):
        if depth < 1:
            raise ValueError(f"Queue depth must be at least 1, not {depth!r}")
        self._shape = shape
        self._depth = depth
        self._buffered = buffered
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
        })

    @property
    def depth(self):
        """Payloads that fit."""
        return self._depth

    def elaborate(self, platform):
        m = Module()
        if self._buffered:
            self._elaborate_buffered(m)
            return m
        rows = 1 << (self._depth - 1).bit_length()
        m.submodules.memory = mem = memory.Memory(
            shape=Shape.cast(self._shape).width, depth=rows, init=[])
        read, write = mem.read_port(domain="comb"), mem.write_port()
        stored = Signal(range(self._depth + 1))
        full = Signal()
        push, pop = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            push.eq(self.i.valid & ~full),
            pop.eq(self.o.valid & self.o.ready),
            write.en.eq(push),
            write.data.eq(self.i.payload),
            Value.cast(self.o.payload).eq(read.data),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + push),
            read.addr.eq(read.addr + pop),
        ]
        with m.If(push & ~pop):
            m.d.sync += [
                stored.eq(stored + 1), self.o.valid.eq(1), full.eq(stored == self._depth - 1)]
        with m.Elif(pop & ~push):
            m.d.sync += [stored.eq(stored - 1), self.o.valid.eq(stored != 1), full.eq(0)]
        return m

    def _elaborate_buffered(self, m):
        # Block RAM whose output register is the head of the queue; a payload is read in the cycle
        # after it is written at the earliest.
        rows = 1 << (self._depth - 1).bit_length()
        m.submodules.memory = mem = memory.Memory(
            shape=Shape.cast(self._shape).width, depth=rows, init=[], attrs=NO_COLLISIONS)
        read, write = mem.read_port(), mem.write_port()
        stored = Signal(range(self._depth + 1))  # in memory, without the head
        m.d.comb += [
            self.i.ready.eq(stored != self._depth),
            write.en.eq(self.i.valid & self.i.ready),
            write.data.eq(self.i.payload),
            read.en.eq((stored != 0) & (~self.o.valid | self.o.ready)),
            Value.cast(self.o.payload).eq(read.data),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + write.en),
            read.addr.eq(read.addr + read.en),
            stored.eq(stored + write.en - read.en),
        ]
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += self.o.valid.eq(read.en)
