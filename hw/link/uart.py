"""Asynchronous serial line: 8 data bits, least significant first, no parity, one stop bit."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


__all__ = (
    "LEAST_DIVISOR",
    "UARTReceiver",
    "UARTTransmitter",
)


LEAST_DIVISOR = 4
"""Fewest cycles of a bit."""


def _check_divisor(divisor):
    if divisor < LEAST_DIVISOR:
        raise ValueError(f"Divisor must be at least {LEAST_DIVISOR}, not {divisor!r}")


class UARTReceiver(wiring.Component):
    """Bytes from a serial line.

    Every cycle of a start or data bit votes on its value, so that spikes of less than half a bit do
    no harm. The stop bit is looked at in its middle; the next start bit may follow at once. A line
    that stays low gives one error.

    Parameters
    ----------
    divisor : int
        Cycles of a bit, at least 4.

    Members
    -------
    rx : In(1)
        Line; high when idle. May change at any time.
    valid : Out(1)
        A byte has arrived; for one cycle.
    error : Out(1)
        A byte without its stop bit has arrived; for one cycle.
    data : Out(8)
        The byte; valid together with ``valid``.
    """

    def __init__(self, *, divisor):
        _check_divisor(divisor)
        self.divisor = divisor
        super().__init__({
            "rx": In(1, init=1),
            "valid": Out(1),
            "error": Out(1),
            "data": Out(8),
        })

    def elaborate(self, platform):
        m = Module()
        meta, line = Signal(init=1, reset_less=True), Signal(init=1, reset_less=True)
        m.d.sync += [meta.eq(self.rx), line.eq(meta)]

        cycle = Signal(range(self.divisor))
        # Ones in this bit so far, so counted that the uppermost bit is the majority.
        votes = Signal(self.divisor.bit_length())
        bits = Signal(4)  # bits that are still to come, the start bit counted; 0: stop bit
        receiving = Signal()
        broken = Signal()  # no stop bit came: wait for the line to be high
        first_vote = (1 << len(votes) - 1) - (self.divisor + 1) // 2
        counted = Signal.like(votes)
        m.d.comb += counted.eq(votes + line)
        m.d.sync += [self.valid.eq(0), self.error.eq(0)]
        with m.If(~receiving):
            with m.If(broken):
                m.d.sync += broken.eq(~line)
            with m.Elif(~line):
                m.d.sync += receiving.eq(1)
            m.d.sync += [cycle.eq(1), votes.eq(first_vote), bits.eq(9)]
        with m.Elif((bits == 0) & (cycle == self.divisor // 2)):
            m.d.sync += [
                receiving.eq(0), broken.eq(~line), self.valid.eq(line), self.error.eq(~line)]
        with m.Elif(cycle == self.divisor - 1):
            vote = counted[-1]
            m.d.sync += [cycle.eq(0), votes.eq(first_vote), bits.eq(bits - 1)]
            with m.If(bits == 9):
                m.d.sync += receiving.eq(~vote)
            m.d.sync += self.data.eq(Cat(self.data[1:], vote))
        with m.Else():
            m.d.sync += [cycle.eq(cycle + 1), votes.eq(counted)]
        return m


class UARTTransmitter(wiring.Component):
    """Bytes to a serial line.

    Parameters
    ----------
    divisor : int
        Cycles of a bit, at least 4.

    Members
    -------
    i : In(stream(8))
        Bytes; one is taken every ten bits.
    tx : Out(1)
        Line; high when idle, from a register.
    """

    def __init__(self, *, divisor):
        _check_divisor(divisor)
        self.divisor = divisor
        super().__init__({
            "i": In(stream.Signature(8)),
            "tx": Out(1, init=1),
        })

    def elaborate(self, platform):
        m = Module()
        cycle = Signal(range(self.divisor))
        bits = Signal(9)  # data and stop bit; what is behind them is 0
        m.d.comb += self.i.ready.eq(~bits.any() & (cycle == 0))
        with m.If(cycle != 0):
            m.d.sync += cycle.eq(cycle - 1)
        with m.Elif(bits.any()):
            m.d.sync += [Cat(self.tx, bits).eq(bits), cycle.eq(self.divisor - 1)]
        with m.Elif(self.i.valid):
            m.d.sync += [
                bits.eq(Cat(self.i.payload, C(1))), self.tx.eq(0), cycle.eq(self.divisor - 1)]
        return m
