"""The accelerator with on-chip memory and a serial line: a design that needs nothing else."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from ..accelerator import Accelerator
from ..link import AXI4Mux, HostLink
from .block_memory import BlockMemory


__all__ = ("StandaloneTop",)


class StandaloneTop(wiring.Component):
    """Accelerator, on-chip memory in the place of DRAM, and the link to a host.

    ::

        uart ── HostLink ──── registers ──── Accelerator
                   │                              │
                   └────────── AXI4Mux ───────────┘
                                  │
                             BlockMemory

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the accelerator; its bus is as wide as the memory.
    image : bytes, optional
        What memory holds first, from address 0; the host loads it if not given.
    size : int
        Bytes of memory; a multiple of ``config.dram_width``.
    divisor : int
        Cycles of a bit of the serial line, at least 4.
    clock : int
        Clock in Hz.
    timeout : int, optional
        Cycles of silence that end a frame, a power of two; 50 to 100 ms if not given, for
        computers and USB adapters pause in between.

    Members
    -------
    uart_rx : In(1)
        From the host.
    uart_tx : Out(1)
        To the host.
    active : Out(1)
        A request is being taken or answered.
    interrupt : Out(1)
        A run has ended, see :class:`hw.accelerator.Accelerator`.
    """

    def __init__(self, config, image=None, *, size, divisor, clock, timeout=None):
        self.config = config
        self.image = image
        self.size = size
        self.divisor = divisor
        self.clock = clock
        self.timeout = 1 << (clock // 20).bit_length() if timeout is None else timeout
        super().__init__({
            "uart_rx": In(1, init=1),
            "uart_tx": Out(1, init=1),
            "active": Out(1),
            "interrupt": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        width = self.config.dram_width * 8
        m.submodules.link = link = HostLink(
            data_width=width, divisor=self.divisor, timeout=self.timeout, memory_size=self.size,
            clock=self.clock)
        m.submodules.accelerator = accelerator = Accelerator(self.config)
        m.submodules.mux = mux = AXI4Mux(data_width=width, id_width=1)
        m.submodules.memory = memory = BlockMemory(
            data_width=width, id_width=2, size=self.size, init=self.image or b"")
        connect(m, link.m_axi, mux.first)
        connect(m, accelerator.m_axi, mux.second)
        connect(m, mux.slave, memory.axi)
        connect(m, link.m_lite, accelerator.s_axi)
        m.d.comb += [
            link.uart_rx.eq(self.uart_rx),
            self.uart_tx.eq(link.uart_tx),
            self.active.eq(link.active),
            self.interrupt.eq(accelerator.interrupt),
        ]
        return m
