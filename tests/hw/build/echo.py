"""A small design with the ports of a top: what comes in goes out, and the lamps count."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Echo(wiring.Component):
    """Sends back what it receives, bit by bit, a cycle later."""

    uart_rx: In(1)
    uart_tx: Out(1)
    active: Out(1)
    interrupt: Out(1)

    def elaborate(self, platform):
        m = Module()
        count = Signal(24)
        m.d.sync += [self.uart_tx.eq(self.uart_rx), count.eq(count + 1)]
        m.d.comb += Cat(self.active, self.interrupt).eq(count[-2:])
        return m
